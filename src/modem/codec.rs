//! What a modem says: bytes cut into lines, lines read as typed responses (ITU-T V.250 §5.7, §6.3).
//!
//! In words (`V1`) a response is `<CR><LF>text<CR><LF>`, as a number (`V0`) it is `digits<CR>`. A
//! line is read as soon as its first terminator has come, because behind `CONNECT` every byte
//! belongs to someone else; an `<LF>` that follows is a blank line here and means nothing.

use std::time::Duration;

use memchr::memchr2;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while, take_while1};
use nom::character::complete::{char, digit1, space0, space1};
use nom::combinator::{all_consuming, map, map_res, opt, recognize, rest, value, verify};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

/// Cuts a modem's bytes into lines and reads each.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    overlong: bool,
}

/// One line from a modem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What it means.
    pub response: Response,
    /// The line as the modem said it, without control characters.
    pub text: String,
    /// True for a result code in numbers: it ends at its CR, and no LF follows (V.250 §6.2.6).
    pub numeric: bool,
    /// Which of CR and LF ended the line.
    pub ended_by: u8,
}

/// What a line from a modem means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// `OK`
    Ok,
    /// `CONNECT`, with what was said behind it.
    Connect(ConnectInfo),
    /// `RING`: somebody calls us.
    Ring,
    /// `NMBR = 5551212` and the like, between two `RING`s.
    CallerId,
    /// `NO CARRIER`
    NoCarrier,
    /// `ERROR`, `+CME ERROR: 30`
    Error,
    /// `NO DIALTONE`, `NO DIAL TONE`, and `LINE IN USE` (another telephone on the same line)
    NoDialtone,
    /// `BUSY`
    Busy,
    /// `NO ANSWER`
    NoAnswer,
    /// `VOICE`: a person answered.
    Voice,
    /// `FAX`: a fax machine answered.
    Fax,
    /// `BLACKLISTED`: the modem refuses this number after too many attempts.
    Blacklisted,
    /// `DELAYED 00:01:30`: the modem refuses this number for so long.
    Delayed(Option<Duration>),
    /// `RINGING`, `RRING`: it rings at the other end.
    Ringing,
    /// `CARRIER 31200` and other lines that tell about the connection before `CONNECT` does.
    Report(Report),
    /// Our own command, echoed.
    Echo,
    /// Anything else.
    Text,
}

/// A line about the connection, said before `CONNECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// `CARRIER 31200`, `+MRR: 31200`
    Carrier(u32),
    /// `PROTOCOL: LAP-M`, `+ER: LAPM`
    Protocol(Option<String>),
    /// `COMPRESSION: V.42BIS`, `+DR: V42B`
    Compression(Option<String>),
    /// `+MCR: V34` (modulation), `+ILRR: 57600` (the port's own rate)
    Other,
}

/// What the modem told about the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectInfo {
    /// The whole CONNECT line as the modem said it.
    pub text: String,
    /// Bit/s: the carrier's if a line told it, else the number behind CONNECT, which may be the port's.
    pub rate: Option<u32>,
    /// Error control as written without dots and dashes: `LAPM`, `MNP4`, `ARQ`.
    pub protocol: Option<String>,
    /// Data compression, written likewise: `V42BIS`, `MNP5`.
    pub compression: Option<String>,
    /// The lines that told about the connection before CONNECT did.
    pub notes: Vec<String>,
}

impl Reader {
    /// Reads up to the end of the first line that says something, and returns how many bytes that
    /// was. A line not yet ended is kept for the next call.
    pub fn hear(&mut self, bytes: &[u8]) -> (usize, Option<Heard>) {
        let mut taken = 0;
        while let Some(length) = memchr2(CR, LF, &bytes[taken..]) {
            let end = taken + length;
            self.keep(&bytes[taken..end]);
            taken = end + 1;
            if let Some(heard) = self.end_line(bytes[end]) {
                return (taken, Some(heard));
            }
        }
        self.keep(&bytes[taken..]);
        (bytes.len(), None)
    }

    /// Whether something stands on a line not yet ended.
    pub fn is_mid_line(&self) -> bool {
        !self.line.is_empty()
    }

    /// What stands on a line not yet ended.
    pub fn unfinished(&self) -> Option<String> {
        self.is_mid_line().then(|| String::from_utf8_lossy(&self.line).into_owned())
    }

    fn keep(&mut self, bytes: &[u8]) {
        // NUL padding and XON/XOFF come between any two characters and belong to no line.
        let mut shown = bytes.iter().copied().filter(|byte| !byte.is_ascii_control());
        let room = RESPONSE_LINE_MAX - self.line.len();
        self.line.extend(shown.by_ref().take(room));
        self.overlong |= shown.next().is_some();
    }

    fn end_line(&mut self, ended_by: u8) -> Option<Heard> {
        let line = std::mem::take(&mut self.line);
        let overlong = std::mem::take(&mut self.overlong);
        // The line may be shown on a terminal, and C1 controls hide in UTF-8.
        let text: String = String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect();
        let text = text.trim().to_owned();
        if text.is_empty() {
            return None;
        }
        if overlong {
            return Some(Heard { response: Response::Text, text, numeric: false, ended_by });
        }
        let number = if ended_by == CR { parse_numeric(&text) } else { None };
        let numeric = number.is_some();
        let response = number.unwrap_or_else(|| parse_verbose(&text));
        Some(Heard { response, text, numeric, ended_by })
    }
}

impl ConnectInfo {
    /// Reads a CONNECT line: `CONNECT 57600/ARQ/V34/LAPM/V42BIS`, `CONNECT 33600 V42bis`.
    fn read(text: &str) -> Self {
        let mut info = Self { text: text.to_owned(), ..Self::default() };
        let mut rank = 0;
        let tail = text.get("CONNECT".len()..).unwrap_or_default();
        for word in tail.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-') {
            if info.rate.is_none() {
                info.rate = rate_word(word);
            }
            let word = plain(word);
            let told = protocol_rank(&word);
            if told > rank {
                rank = told;
                info.protocol = Some(word);
            } else if is_compression(&word) {
                info.compression.get_or_insert(word);
            }
        }
        info
    }

    /// Adds what was reported before CONNECT came; a report knows better than the CONNECT line.
    pub fn with_reports(mut self, reports: Vec<(Report, String)>) -> Self {
        for (report, line) in reports {
            match report {
                Report::Carrier(rate) => self.rate = Some(rate),
                Report::Protocol(protocol) => self.protocol = protocol,
                Report::Compression(compression) => self.compression = compression,
                Report::Other => {}
            }
            self.notes.push(line);
        }
        self
    }
}

/// The result codes in numbers that V.250 Table 1 and Hayes' manuals agree on. Above 10 every maker
/// has a list of his own, in which nearly all say CONNECT: 13 is 7200, 9600 or 14400 bit/s.
fn parse_numeric(text: &str) -> Option<Response> {
    let digits: IResult<&str, &str> =
        all_consuming(verify(digit1, |digits: &str| digits.len() <= NUMERIC_DIGITS_MAX)).parse(text);
    let (_, digits) = digits.ok()?;
    let connect =
        |rate| Response::Connect(ConnectInfo { text: text.to_owned(), rate, ..ConnectInfo::default() });
    Some(match digits.parse::<u16>().ok()? {
        0 => Response::Ok,
        1 => connect(None),
        2 => Response::Ring,
        3 => Response::NoCarrier,
        4 => Response::Error,
        5 => connect(Some(1_200)),
        6 => Response::NoDialtone,
        7 => Response::Busy,
        8 => Response::NoAnswer,
        9 => connect(Some(600)),
        10 => connect(Some(2_400)),
        11 => connect(Some(4_800)),
        12 => connect(Some(9_600)),
        18 => connect(Some(57_600)),
        24 => Response::Delayed(None), // Rockwell and its many descendants
        32 => Response::Blacklisted,   // likewise
        _ => connect(None),
    })
}

fn parse_verbose(text: &str) -> Response {
    let parsed: IResult<&str, Response> = alt((
        map(recognize(result("CONNECT")), |line: &str| Response::Connect(ConnectInfo::read(line))),
        report,
        failure,
        alt((
            value(Response::Ok, all_consuming(tag_no_case("OK"))),
            value(Response::Error, all_consuming(tag_no_case("ERROR"))),
            value(Response::Error, tag_no_case("+CME ERROR")), // 3GPP TS 27.007 §9.2
            value(Response::Error, tag_no_case("+CMS ERROR")),
            value(Response::Ringing, result("RINGING")),
            value(Response::Ringing, result("RRING")),
            value(Response::Ring, result("RING")),
            value(Response::Ring, tag_no_case("+CRING:")),
            value(Response::CallerId, caller_id),
            value(Response::Echo, tag_no_case("AT")),
        )),
    ))
    .parse(text);
    parsed.map_or(Response::Text, |(_, response)| response)
}

/// The ways a call fails.
fn failure(text: &str) -> IResult<&str, Response> {
    alt((
        value(Response::NoCarrier, result("NO CARRIER")),
        value(Response::NoDialtone, result("NO DIALTONE")),
        value(Response::NoDialtone, result("NO DIAL TONE")),
        value(Response::NoDialtone, result("LINE IN USE")),
        value(Response::NoAnswer, result("NO ANSWER")),
        value(Response::Busy, result("BUSY")),
        value(Response::Voice, result("VOICE")),
        value(Response::Fax, result("FAX")),
        value(Response::Blacklisted, result("BLACKLISTED")),
        map(preceded((tag_no_case("DELAYED"), space1), all_consuming(clock)), |time| {
            Response::Delayed(Some(time))
        }),
        value(Response::Delayed(None), result("DELAYED")),
    ))
    .parse(text)
}

/// A result's words and whatever stands behind them, unless that makes another word of the last one
/// (`CONNECTING`, `NO CARRIERS`) or a sentence (`BUSY as a bee`).
fn result<'a>(
    words: &'static str,
) -> impl Parser<&'a str, Output = &'a str, Error = nom::error::Error<&'a str>> {
    let is_connect = words == "CONNECT"; // its tail is free text (V.250 §6.3.1)
    terminated(
        tag_no_case(words),
        verify(rest, move |tail: &str| {
            let glued = tail.starts_with(|c: char| c.is_alphanumeric() && !(is_connect && c.is_numeric()));
            let sentence = tail.trim_start().starts_with(char::is_alphabetic);
            !glued && (is_connect || !sentence)
        }),
    )
}

/// Lines about the connection: Rockwell's with `W1`, V.250's with `+MR=1 +ER=1 +DR=1` (§6.4.3, §6.5.5, §6.6.2).
fn report(text: &str) -> IResult<&str, Response> {
    let named = |name| preceded((tag_no_case(name), space0, opt(char(':')), space0), rest);
    let number = |name| {
        preceded((tag_no_case(name), space0, opt(char(':')), space0), map_res(digit1, str::parse::<u32>))
    };
    map(
        alt((
            map(number("CARRIER"), Report::Carrier),
            map(number("+MRR"), Report::Carrier),
            map(alt((named("PROTOCOL:"), named("+ER:"))), |name| Report::Protocol(unless_none(name))),
            map(alt((named("COMPRESSION:"), named("+DR:"))), |name| Report::Compression(unless_none(name))),
            value(Report::Other, alt((tag_no_case("+MCR:"), tag_no_case("+ILRR:")))),
        )),
        Response::Report,
    )
    .parse(text)
}

/// `NMBR = 5551212`: the tags of Bellcore's and V.253's caller identification.
fn caller_id(text: &str) -> IResult<&str, &str> {
    let tag = alt(["DATE", "TIME", "NMBR", "NAME", "MESG", "DDN_NMBR"].map(tag_no_case));
    recognize((tag, space0, char('='), rest)).parse(text)
}

/// `hh:mm:ss`
fn clock(text: &str) -> IResult<&str, Duration> {
    let part = || map_res(take_while1(|c: char| c.is_ascii_digit()), str::parse::<u16>);
    map(
        (part(), preceded(char(':'), part()), preceded(char(':'), part()), take_while(|c| c == ' ')),
        |(hours, minutes, seconds, _)| {
            Duration::from_secs(u64::from(hours) * 3_600 + u64::from(minutes) * 60 + u64::from(seconds))
        },
    )
    .parse(text)
}

/// A rate has three digits or more (`75/1200` is a V.23 pair) and may carry its unit (`28800bps`).
fn rate_word(word: &str) -> Option<u32> {
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &word[..word.len() - unit.len()];
    let is_rate = digits.len() >= 3 && unit.chars().all(|c| c.is_ascii_alphabetic());
    is_rate.then(|| digits.parse().ok()).flatten()
}

/// `LAP-M` and `V.42bis` as `LAPM` and `V42BIS`.
fn plain(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// How exactly a word of a CONNECT line names the error control: LAPM says more than ARQ.
fn protocol_rank(word: &str) -> u8 {
    match word {
        "LAPM" => 3,
        "MNP" | "MNP2" | "MNP3" | "MNP4" | "MNP10" | "V42" => 2,
        "ARQ" | "REL" | "ALT" | "EC" => 1,
        _ => 0,
    }
}

fn is_compression(word: &str) -> bool {
    matches!(word, "V42BIS" | "V42B" | "V44" | "MNP5")
}

fn unless_none(name: &str) -> Option<String> {
    let name = plain(name);
    (!name.is_empty() && name != "NONE").then_some(name)
}

/// Characters of a response line that are kept; no modem says more.
pub const RESPONSE_LINE_MAX: usize = 256;
/// Digits of a result code in numbers; more are a telephone number or data.
const NUMERIC_DIGITS_MAX: usize = 3;
/// Carriage return, S3.
pub const CR: u8 = b'\r';
/// Line feed, S4.
pub const LF: u8 = b'\n';

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hear_all(reader: &mut Reader, mut bytes: &[u8]) -> Vec<Heard> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (taken, heard) = reader.hear(bytes);
            assert!(taken > 0);
            bytes = &bytes[taken..];
            all.extend(heard);
        }
        all
    }

    fn responses(bytes: &[u8]) -> Vec<Response> {
        hear_all(&mut Reader::default(), bytes).into_iter().map(|heard| heard.response).collect()
    }

    fn one(line: &str) -> Response {
        let verbose = responses(format!("\r\n{line}\r\n").as_bytes());
        assert_eq!(verbose.len(), 1, "{line}");
        verbose[0].clone()
    }

    fn connect(line: &str) -> ConnectInfo {
        match one(line) {
            Response::Connect(info) => info,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_result_in_words_is_told_apart_in_any_case() {
        let table = [
            ("OK", Response::Ok),
            ("RING", Response::Ring),
            ("+CRING: ASYNC", Response::Ring),
            ("NO CARRIER", Response::NoCarrier),
            ("ERROR", Response::Error),
            ("+CME ERROR: 30", Response::Error),
            ("+CME ERROR: SIM not inserted", Response::Error),
            ("NO DIALTONE", Response::NoDialtone),
            ("NO DIAL TONE", Response::NoDialtone),
            ("BUSY", Response::Busy),
            ("NO ANSWER", Response::NoAnswer),
            ("VOICE", Response::Voice),
            ("FAX", Response::Fax),
            ("BLACKLISTED", Response::Blacklisted),
            ("BLACKLISTED 02:00:00", Response::Blacklisted),
            ("DELAYED", Response::Delayed(None)),
            ("DELAYED 01:01:30", Response::Delayed(Some(Duration::from_secs(3_690)))),
            ("DELAYED soon", Response::Text),
            ("RINGING", Response::Ringing),
            ("RRING", Response::Ringing),
            ("NMBR = 5551212", Response::CallerId),
            ("DATE=0412", Response::CallerId),
            ("CARRIER 31200", Response::Report(Report::Carrier(31_200))),
            ("+MRR: 33600,28800", Response::Report(Report::Carrier(33_600))),
            ("PROTOCOL: LAP-M", Response::Report(Report::Protocol(Some("LAPM".into())))),
            ("PROTOCOL: NONE", Response::Report(Report::Protocol(None))),
            ("+ER: LAPM", Response::Report(Report::Protocol(Some("LAPM".into())))),
            ("COMPRESSION: V.42BIS", Response::Report(Report::Compression(Some("V42BIS".into())))),
            ("+DR: NONE", Response::Report(Report::Compression(None))),
            ("+MCR: V34", Response::Report(Report::Other)),
            ("ATDT5551212", Response::Echo),
            ("login: ", Response::Text),
        ];
        for (line, response) in table {
            assert_eq!(one(line), response, "{line}");
            assert_eq!(one(&line.to_lowercase()), response, "{line}");
        }
    }

    #[test]
    fn words_that_only_begin_like_a_result_are_text() {
        for line in
            ["OKAY", "OK then", "CONNECTING", "CONNECTED", "BUSY as a bee", "NO CARRIERS", "RINGWORLD"]
        {
            assert_eq!(one(line), Response::Text, "{line}");
        }
    }

    #[test]
    fn connect_lines_of_many_makers_tell_rate_protocol_and_compression() {
        let table = [
            ("CONNECT", None, None, None),
            ("CONNECT 2400", Some(2_400), None, None),
            ("CONNECT 57600/ARQ/V34/LAPM/V42BIS", Some(57_600), Some("LAPM"), Some("V42BIS")),
            ("CONNECT 33600 V42bis", Some(33_600), None, Some("V42BIS")),
            ("CONNECT 14400/V.32bis/LAP-M/V.42 bis", Some(14_400), Some("LAPM"), None),
            ("CONNECT 19200/MNP5", Some(19_200), None, Some("MNP5")),
            ("CONNECT 9600/ARQ", Some(9_600), Some("ARQ"), None),
            ("CONNECT 75/1200", Some(1_200), None, None),
            ("CONNECT 28800bps", Some(28_800), None, None),
            ("CONNECT 99999999999999", None, None, None),
            ("CONNECT/V34", None, None, None),
            ("CONNECT2400", Some(2_400), None, None),
        ];
        for (line, rate, protocol, compression) in table {
            let info = connect(line);
            assert_eq!(info.text, line);
            assert_eq!(info.rate, rate, "{line}");
            assert_eq!(info.compression.as_deref(), compression, "{line}");
            assert_eq!(info.protocol.as_deref(), protocol, "{line}");
        }
    }

    #[test]
    fn reports_before_connect_know_better_than_its_line() {
        let reports = vec![
            (Report::Carrier(31_200), "CARRIER 31200".to_owned()),
            (Report::Protocol(Some("LAPM".into())), "PROTOCOL: LAP-M".to_owned()),
            (Report::Compression(None), "COMPRESSION: NONE".to_owned()),
        ];
        let info = connect("CONNECT 115200/V42BIS").with_reports(reports);
        assert_eq!(info.rate, Some(31_200));
        assert_eq!(info.protocol.as_deref(), Some("LAPM"));
        assert_eq!(info.compression, None);
        assert_eq!(info.notes, ["CARRIER 31200", "PROTOCOL: LAP-M", "COMPRESSION: NONE"]);
    }

    #[test]
    fn numbers_are_results_only_alone_on_a_line_that_cr_ends() {
        let numeric =
            |line: &[u8]| hear_all(&mut Reader::default(), line).pop().map(|h| (h.numeric, h.response));
        let results = [Response::Ok, Response::Ring, Response::NoCarrier, Response::Error]
            .into_iter()
            .chain([Response::NoDialtone, Response::Busy, Response::NoAnswer]);
        for (code, response) in [0, 2, 3, 4, 6, 7, 8].into_iter().zip(results) {
            assert_eq!(numeric(format!("{code}\r").as_bytes()), Some((true, response)));
        }
        for (code, rate) in [(1, None), (5, Some(1_200)), (10, Some(2_400)), (12, Some(9_600)), (155, None)] {
            let Some((true, Response::Connect(info))) = numeric(format!("{code}\r").as_bytes()) else {
                panic!("{code} is CONNECT");
            };
            assert_eq!((info.text, info.rate), (code.to_string(), rate));
        }
        assert_eq!(numeric(b"1\n"), Some((false, Response::Text)));
        assert_eq!(numeric(b"5551212\r"), Some((false, Response::Text)));
        assert_eq!(numeric(b"ATDT1\r"), Some((false, Response::Echo)));
        assert_eq!(numeric(b"3 messages\r"), Some((false, Response::Text)));
    }

    #[test]
    fn what_follows_the_end_of_a_line_is_left() {
        let bytes = b"\r\nCONNECT 2400\r\nlogin: ";
        let (taken, heard) = Reader::default().hear(bytes);
        assert_eq!(&bytes[taken..], b"\nlogin: ");
        assert_eq!(heard.map(|h| (h.numeric, h.ended_by)), Some((false, CR)));
        let (taken, heard) = Reader::default().hear(b"1\rlogin: ");
        assert_eq!((taken, heard.map(|h| h.numeric)), (2, Some(true)));
    }

    #[test]
    fn a_transcript_reads_the_same_split_at_every_byte() {
        let transcript = b"ATE1\r\r\nOK\r\nAT\r0\r\0\r\nCARRIER 31200\r\nRING\r\n\r\nNMBR = 1\r\n\x11\r\nCONNECT 9600/ARQ\r\n";
        let whole = hear_all(&mut Reader::default(), transcript);
        assert_eq!(whole.len(), 8);
        for at in 0..=transcript.len() {
            let mut reader = Reader::default();
            let mut halves = hear_all(&mut reader, &transcript[..at]);
            halves.extend(hear_all(&mut reader, &transcript[at..]));
            assert_eq!(halves, whole, "split at {at}");
        }
    }

    #[test]
    fn an_overlong_line_is_text_and_takes_no_more_memory() {
        let mut reader = Reader::default();
        reader.hear(b"CONNECT ");
        for _ in 0..1_000 {
            reader.hear(&[b'x'; 1_000]);
        }
        assert!(reader.line.capacity() <= 2 * RESPONSE_LINE_MAX);
        let (_, heard) = reader.hear(b"\r");
        assert_eq!(heard.map(|h| h.response), Some(Response::Text));
        assert_eq!(reader.hear(b"OK\r").1.map(|h| h.response), Some(Response::Ok));
    }

    proptest! {
        #[test]
        fn any_bytes_split_anywhere_read_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..600), at in 0usize..600) {
            let at = at.min(bytes.len());
            let whole = hear_all(&mut Reader::default(), &bytes);
            let mut reader = Reader::default();
            let mut halves = hear_all(&mut reader, &bytes[..at]);
            halves.extend(hear_all(&mut reader, &bytes[at..]));
            prop_assert_eq!(halves, whole);
        }

        #[test]
        fn any_line_is_read_as_something(line in "[ -~]{1,80}") {
            let heard = hear_all(&mut Reader::default(), format!("{line}\r").as_bytes());
            prop_assert_eq!(heard.len(), usize::from(!line.trim().is_empty()));
        }
    }
}
