//! What a CONNECT line and the lines before it tell about the connection, in the makers' many forms.
//!
//! | form | maker |
//! | --- | --- |
//! | `CONNECT 33600` | all: the carrier's rate or the port's, as the modem is set |
//! | `CONNECT 33600/ARQ/V34/LAPM/V42BIS` | US Robotics |
//! | `CONNECT 38400/V.32bis 14400/V.42bis` | ZyXEL: port, modulation, carrier, protocol |
//! | `CONNECT 115200/V34/LAPM/V42B/TX=28800/RX=28000` | Intel, Lucent: port, .., carrier both ways |
//! | `CONNECT 115200/V.34/LAP-M/V.42bis/31200:TX/33600:RX` | the same with the tag behind |
//! | `CONNECT 1200TX/75RX`, `CONNECT 75/1200`, `CONNECT 1200/75` | V.23: who dials sends on the slower way, unless it is said |
//! | `CARRIER 31200`, `PROTOCOL: LAP-M`, `COMPRESSION: V.42BIS` | Rockwell, before `CONNECT 57600` |
//! | `+MCR: V34`, `+MRR: 28800,31200`, `+ER: LAPM`, `+DR: V42B` | V.250 §6.4.3, §6.5.5, §6.6.2 |
//! | `+CR: REL`, `+ILRR: 9600` | 3GPP TS 27.007 §6.9, V.250 §6.2.13 |

use serde::Serialize;

/// Which rate the number behind CONNECT is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectRate {
    /// The carrier's (DCE): the modem is set so.
    Carrier,
    /// The port's (DTE).
    Port,
    /// The port's if it is the rate that the port has, else the carrier's.
    #[default]
    Either,
}

/// A line about the connection, said before `CONNECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// `CARRIER 31200`, `+MRR: 28800,31200`: to the host if told apart, and from it.
    Carrier {
        /// Bit/s from us to the host.
        up: Option<u32>,
        /// Bit/s from the host to us.
        down: u32,
    },
    /// `+MCR: V34`
    Modulation(String),
    /// `PROTOCOL: LAP-M`, `+ER: LAPM`
    Protocol(Option<String>),
    /// `COMPRESSION: V.42BIS`, `+DR: V42B`
    Compression(Option<String>),
    /// `+ILRR: 57600`: the port's own rate.
    Port(u32),
}

/// What the modem told about the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConnectInfo {
    /// The whole CONNECT line as the modem said it.
    pub text: String,
    /// Bit/s of the carrier from the host to us, as far as told.
    #[serde(rename = "rate_down")]
    pub rate: Option<u32>,
    /// Bit/s of the carrier from us to the host, as far as told.
    pub rate_up: Option<u32>,
    /// Bit/s between computer and modem, where the modem told that.
    pub port_rate: Option<u32>,
    /// Modulation as written without dots and dashes: `V34`, `V32BIS`, `V90`.
    pub modulation: Option<String>,
    /// Error control, written likewise: `LAPM`, `MNP4`, `ARQ`, `X75`, `RLP`.
    #[serde(rename = "error_correction")]
    pub protocol: Option<String>,
    /// Data compression, written likewise: `V42BIS`, `MNP5`.
    pub compression: Option<String>,
    /// The lines that told about the connection before CONNECT did.
    pub notes: Vec<String>,
}

impl ConnectInfo {
    /// Reads a CONNECT line. A lone number stands in `rate` until [`Self::settle`] knows better.
    pub fn read(text: &str) -> Self {
        let mut info = Self { text: text.to_owned(), ..Self::default() };
        let tail = text.get("CONNECT".len()..).unwrap_or_default();
        let mut plain_rates = Vec::new();
        let mut rank = 0;
        for word in words(tail) {
            if let Some((rate, way)) = rate_word(word) {
                match way {
                    Some(Way::Up) => info.rate_up = Some(rate),
                    Some(Way::Down) => info.rate = Some(rate),
                    None => plain_rates.push(rate),
                }
            }
            let word = plain(word);
            let told = protocol_rank(&word);
            if told > rank {
                rank = told;
                info.protocol = Some(word);
            } else if is_compression(&word) {
                info.compression.get_or_insert(word);
            } else if is_modulation(&word) {
                info.modulation.get_or_insert(word);
            }
        }
        match plain_rates[..] {
            // V.23: whoever dialled sends on the backward channel. Makers differ in which they say first.
            [up, down] if up < BACKWARD_MAX || down < BACKWARD_MAX => {
                (info.rate_up, info.rate) = (Some(up.min(down)), Some(up.max(down)));
            }
            [port, carrier, ..] => (info.port_rate, info.rate) = (Some(port), Some(carrier)),
            [port] if info.rate.is_some() => info.port_rate = Some(port),
            [lone] => info.rate = Some(lone),
            [] => {}
        }
        info
    }

    /// Adds what was reported before CONNECT came; a report knows better than the CONNECT line.
    pub fn with_reports(mut self, reports: Vec<(Report, String)>) -> Self {
        for (report, line) in reports {
            match report {
                Report::Carrier { up, down } => {
                    // What the CONNECT line says beside it is then the port's.
                    if self.port_rate.is_none() && self.rate_up.is_none() {
                        self.port_rate = self.rate;
                    }
                    (self.rate, self.rate_up) = (Some(down), up.or(Some(down)));
                }
                Report::Modulation(modulation) => self.modulation = Some(modulation),
                Report::Protocol(protocol) => self.protocol = protocol,
                Report::Compression(compression) => self.compression = compression,
                Report::Port(rate) => self.port_rate = Some(rate),
            }
            self.notes.push(line);
        }
        self
    }

    /// Decides what a lone number behind CONNECT was, by the profile's word and the port's rate, and
    /// holds the carrier's rate to what the way behind the modem carries at `most`.
    pub fn settle(mut self, meaning: ConnectRate, port: Option<u32>, most: Option<u32>) -> Self {
        if self.port_rate.is_none() && self.rate_up.is_none() {
            let is_port = match meaning {
                ConnectRate::Carrier => false,
                ConnectRate::Port => true,
                ConnectRate::Either => port.is_some() && self.rate == port,
            };
            if is_port {
                self.port_rate = self.rate.take();
            }
        }
        if let Some(most) = most {
            self.rate = Some(self.rate.map_or(most, |rate| rate.min(most)));
            self.rate_up = self.rate_up.map(|rate| rate.min(most));
        }
        self
    }

    /// All of it in one line for people.
    pub fn sentence(&self) -> String {
        let mut told = Vec::new();
        match (self.rate, self.rate_up) {
            (Some(down), Some(up)) if up != down => told.push(format!("{down} bit/s down, {up} up")),
            (Some(rate), _) => told.push(format!("{rate} bit/s")),
            (None, Some(up)) => told.push(format!("{up} bit/s up")),
            (None, None) => {}
        }
        told.extend(self.modulation.clone());
        told.extend(self.protocol.clone());
        told.extend(self.compression.clone());
        if let Some(port) = self.port_rate {
            told.push(format!("port at {port} bit/s"));
        }
        let is_number = !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit());
        let text = if is_number { format!("CONNECT as number {}", self.text) } else { self.text.clone() };
        if told.is_empty() { text } else { format!("{text} ({})", told.join(", ")) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// Words of a CONNECT line: parted by blanks and slashes; a tag stays with its number.
fn words(tail: &str) -> impl Iterator<Item = &str> {
    tail.split(|c: char| c.is_whitespace() || matches!(c, '/' | '(' | ')' | ';'))
        .filter(|word| !word.is_empty())
}

/// A rate, and which way a tag says it goes: `28800`, `33,600`, `28800bps`, `TX=28800`, `31200:TX`,
/// `1200TX`. It has three digits or more, but for V.23's 75 bit/s.
fn rate_word(word: &str) -> Option<(u32, Option<Way>)> {
    let word = word.to_ascii_uppercase();
    let way_of = |tag: &str| match tag.trim_matches(|c: char| !c.is_ascii_alphabetic()) {
        "TX" => Some(Some(Way::Up)),
        "RX" => Some(Some(Way::Down)),
        "" | "BPS" | "BIT" => Some(None),
        _ => None,
    };
    let start = word.find(|c: char| c.is_ascii_digit())?;
    let (tag_before, rest) = word.split_at(start);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(rest.len());
    let (digits, tag_behind) = rest.split_at(end);
    let way = match (tag_before, tag_behind) {
        ("", tag) | (tag, "") => way_of(tag)?,
        (_, _) => return None,
    };
    // Nothing stands between letters and digits but `=` or `:`; `V34` and `V.32` are no rates.
    if !tag_before.is_empty() && !tag_before.ends_with(['=', ':']) {
        return None;
    }
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    if digits.len() < 3 && digits != "75" {
        return None;
    }
    Some((digits.parse().ok()?, way))
}

/// `LAP-M` and `V.42bis` as `LAPM` and `V42BIS`.
pub(super) fn plain(word: &str) -> String {
    word.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '+').map(|c| c.to_ascii_uppercase()).collect()
}

/// A protocol's name, or nothing where the modem says that there is none. Hayes has several in one
/// (`ERROR-CONTROL/LAP-M`): the one that says most.
pub(super) fn protocol_named(name: &str) -> Option<String> {
    let best = name
        .split('/')
        .map(plain)
        .filter(|word| protocol_rank(word) > 0)
        .max_by_key(|word| protocol_rank(word));
    best.or_else(|| unless_none(name))
}

/// A name, or nothing where the modem says that there is none.
pub(super) fn unless_none(name: &str) -> Option<String> {
    let name = plain(name);
    (!name.is_empty() && name != "NONE").then_some(name)
}

/// How exactly a word of a CONNECT line names the error control: LAPM says more than ARQ.
fn protocol_rank(word: &str) -> u8 {
    match word {
        "LAPM" | "X75" | "V120" | "V110" | "RLP" => 3,
        "MNP" | "MNP2" | "MNP3" | "MNP4" | "MNP10" | "V42" => 2,
        "ARQ" | "REL" | "RELIABLE" | "ALT" | "ALTCELLULAR" | "EC" | "ERRORFREE" => 1,
        _ => 0,
    }
}

fn is_compression(word: &str) -> bool {
    matches!(word, "V42BIS" | "V42B" | "V44" | "MNP5" | "CLASS5" | "COMPRESSED")
}

/// What the `+MCR` of V.250 §6.4.3 and makers' CONNECT lines call modulations.
fn is_modulation(word: &str) -> bool {
    matches!(
        word,
        "V21"
            | "V22"
            | "V22B"
            | "V22BIS"
            | "V23"
            | "V23C"
            | "V26"
            | "V26B"
            | "V27TER"
            | "V29"
            | "V32"
            | "V32B"
            | "V32BIS"
            | "V32TERBO"
            | "V34"
            | "V34+"
            | "V34B"
            | "V90"
            | "V92"
            | "K56"
            | "K56FLEX"
            | "X2"
            | "VFC"
            | "VFAST"
            | "HST"
            | "PEP"
            | "TURBOPEP"
            | "ZYX"
            | "B103"
            | "B212"
            | "BELL103"
            | "BELL212A"
            | "DIGITAL"
            | "GSM"
    )
}

/// Below this a rate is the backward channel of V.23, in bit/s.
pub(super) const BACKWARD_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// Text, rate down, rate up, port, modulation, protocol, compression.
    type Row = (
        &'static str,
        Option<u32>,
        Option<u32>,
        Option<u32>,
        Option<&'static str>,
        Option<&'static str>,
        Option<&'static str>,
    );

    const FORMS: [Row; 25] = [
        ("CONNECT", None, None, None, None, None, None),
        ("CONNECT 2400", Some(2_400), None, None, None, None, None),
        ("CONNECT2400", Some(2_400), None, None, None, None, None),
        ("CONNECT 28800bps", Some(28_800), None, None, None, None, None),
        ("CONNECT 33,600", Some(33_600), None, None, None, None, None),
        ("CONNECT 33600 V42bis", Some(33_600), None, None, None, None, Some("V42BIS")),
        ("CONNECT 9600/ARQ", Some(9_600), None, None, None, Some("ARQ"), None),
        (
            "CONNECT 33333/ARQ/V90/LAPM/V42BIS",
            Some(33_333),
            None,
            None,
            Some("V90"),
            Some("LAPM"),
            Some("V42BIS"),
        ),
        (
            "CONNECT 14400/V.32bis/LAP-M/V.42bis",
            Some(14_400),
            None,
            None,
            Some("V32BIS"),
            Some("LAPM"),
            Some("V42BIS"),
        ),
        ("CONNECT 19200/MNP5", Some(19_200), None, None, None, None, Some("MNP5")),
        (
            "CONNECT 38400/V.32bis 14400/V.42bis",
            Some(14_400),
            None,
            Some(38_400),
            Some("V32BIS"),
            None,
            Some("V42BIS"),
        ),
        (
            "CONNECT 57600/ZyX 19200/LAPM/V42b",
            Some(19_200),
            None,
            Some(57_600),
            Some("ZYX"),
            Some("LAPM"),
            Some("V42B"),
        ),
        (
            "CONNECT 115200/V34/LAPM/V42B/TX=28800/RX=28000",
            Some(28_000),
            Some(28_800),
            Some(115_200),
            Some("V34"),
            Some("LAPM"),
            Some("V42B"),
        ),
        (
            "CONNECT 115200/V.90/LAP-M/V.44/31200:TX/49333:RX",
            Some(49_333),
            Some(31_200),
            Some(115_200),
            Some("V90"),
            Some("LAPM"),
            Some("V44"),
        ),
        ("CONNECT 1200/75", Some(1_200), Some(75), None, None, None, None),
        ("CONNECT 75/1200", Some(1_200), Some(75), None, None, None, None),
        ("CONNECT 75TX/1200RX", Some(1_200), Some(75), None, None, None, None),
        ("CONNECT 1200TX/75RX", Some(75), Some(1_200), None, None, None, None),
        ("CONNECT 28800/REL/V42BIS", Some(28_800), None, None, None, Some("REL"), Some("V42BIS")),
        ("CONNECT 28800 LAPM COMPRESSED", Some(28_800), None, None, None, Some("LAPM"), Some("COMPRESSED")),
        ("CONNECT 28800 NoEC", Some(28_800), None, None, None, None, None),
        ("CONNECT FAST/KERM", None, None, None, None, None, None),
        ("CONNECT 64000/X.75", Some(64_000), None, None, None, Some("X75"), None),
        ("CONNECT 99999999999999", None, None, None, None, None, None),
        ("CONNECT/V34", None, None, None, Some("V34"), None, None),
    ];

    #[test]
    fn connect_lines_of_many_makers_are_read_whole() {
        for (text, rate, rate_up, port_rate, modulation, protocol, compression) in FORMS {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let expected = ConnectInfo {
                text: text.to_owned(),
                rate,
                rate_up,
                port_rate,
                modulation: owned(modulation),
                protocol: owned(protocol),
                compression: owned(compression),
                notes: Vec::new(),
            };
            assert_eq!(ConnectInfo::read(text), expected);
        }
    }

    #[test]
    fn reports_before_connect_know_better_than_its_line() {
        let reports = vec![
            (Report::Carrier { up: None, down: 31_200 }, "CARRIER 31200".to_owned()),
            (Report::Modulation("V34".into()), "+MCR: V34".to_owned()),
            (Report::Protocol(Some("LAPM".into())), "PROTOCOL: LAP-M".to_owned()),
            (Report::Compression(None), "COMPRESSION: NONE".to_owned()),
        ];
        let info = ConnectInfo::read("CONNECT 115200/V42BIS").with_reports(reports);
        assert_eq!((info.rate, info.rate_up, info.port_rate), (Some(31_200), Some(31_200), Some(115_200)));
        assert_eq!(info.protocol.as_deref(), Some("LAPM"));
        assert_eq!(info.compression, None);
        assert_eq!(info.notes.len(), 4);
    }

    #[test]
    fn a_lone_number_is_the_ports_or_the_carriers() {
        let settled = |meaning, port| {
            let info = ConnectInfo::read("CONNECT 57600").settle(meaning, port, None);
            (info.rate, info.port_rate)
        };
        let (carrier, port) = ((Some(57_600), None), (None, Some(57_600)));
        assert_eq!(settled(ConnectRate::Carrier, Some(57_600)), carrier);
        assert_eq!(settled(ConnectRate::Port, Some(115_200)), port);
        assert_eq!(settled(ConnectRate::Either, Some(57_600)), port);
        assert_eq!(settled(ConnectRate::Either, Some(115_200)), carrier);
        assert_eq!(settled(ConnectRate::Either, None), carrier);
        let satellite =
            ConnectInfo::read("CONNECT 9600").settle(ConnectRate::Either, Some(19_200), Some(2_400));
        assert_eq!(satellite.rate, Some(2_400), "the way behind the modem is slower than its carrier");
    }

    #[test]
    fn a_sentence_tells_what_is_known() {
        let said = |text| ConnectInfo::read(text).sentence();
        assert_eq!(said("CONNECT"), "CONNECT");
        let numeric = ConnectInfo { text: "10".into(), rate: Some(2_400), ..ConnectInfo::default() };
        assert_eq!(numeric.sentence(), "CONNECT as number 10 (2400 bit/s)");
        assert_eq!(said("CONNECT 2400"), "CONNECT 2400 (2400 bit/s)");
        assert_eq!(
            said("CONNECT 115200/V90/LAPM/V44/31200:TX/49333:RX"),
            "CONNECT 115200/V90/LAPM/V44/31200:TX/49333:RX \
             (49333 bit/s down, 31200 up, V90, LAPM, V44, port at 115200 bit/s)"
        );
    }
}
