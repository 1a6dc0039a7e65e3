//! What a modem says: bytes cut into lines, lines read as typed responses (ITU-T V.250 §5.7, §6.3).
//!
//! In words (`V1`) a response is `<CR><LF>text<CR><LF>`, as a number (`V0`) it is `digits<CR>`. A
//! line is read as soon as its first terminator has come, because behind `CONNECT` every byte
//! belongs to someone else; an `<LF>` that follows is a blank line here and means nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use memchr::memchr2;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while, take_while1};
use nom::character::complete::{char, digit1, space0, space1};
use nom::combinator::{all_consuming, map, map_res, opt, recognize, rest, value, verify};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use super::connect::{BACKWARD_MAX, ConnectInfo, Report, plain, protocol_named, unless_none};

/// Cuts a modem's bytes into lines and reads each.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    overlong: bool,
    codes: ResultCodes,
    /// The command line that was sent last, which a modem may echo right in front of its answer.
    asked: String,
}

/// What a maker's result codes in numbers mean, in words, where they differ from the common ones.
///
/// Keys are numbers (`13`) or whole lines in capitals (`CONNECT FAST`).
pub type ResultCodes = BTreeMap<String, String>;

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
    /// The call came to nothing, or is over.
    Failed(CallFailure),
    /// `ERROR`, `+CME ERROR: 30`
    Error,
    /// `RINGING`, `RRING`: it rings at the other end.
    Ringing,
    /// `CARRIER 31200` and other lines that tell about the connection before `CONNECT` does.
    Report(Report),
    /// Our own command, echoed.
    Echo,
    /// Anything else.
    Text,
}

/// The ways in which a call fails, each a result code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFailure {
    /// `NO CARRIER`
    NoCarrier,
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
    /// `REJECTED`, `CALL BARRED`: the network or the other end does not want the call.
    Rejected,
    /// `NO SERVICE`, `+CME ERROR: 30`: there is no network to call through.
    NoService,
}

impl Reader {
    /// A reader for a modem with result codes of its own.
    pub fn new(codes: ResultCodes) -> Self {
        Self { codes, ..Self::default() }
    }

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

    /// This command line has been sent, without its CR.
    pub fn asked(&mut self, command: &str) {
        command.clone_into(&mut self.asked);
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

    /// A line in words, by the maker's list first.
    fn read_words(&self, text: &str) -> Response {
        let own = if self.codes.is_empty() { None } else { self.codes.get(&text.to_ascii_uppercase()) };
        match own.map(|words| parse_verbose(words)) {
            Some(Response::Connect(info)) => Response::Connect(ConnectInfo { text: text.to_owned(), ..info }),
            Some(response) => response,
            None => parse_verbose(text),
        }
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
        // `ATE00`: the echo of `ATE0`, whose CR is not echoed, and OK in numbers.
        let behind = text.strip_prefix(&self.asked).unwrap_or(&text);
        let number = if ended_by == CR { parse_numeric(behind, &self.codes) } else { None };
        let numeric = number.is_some();
        let response = number.unwrap_or_else(|| self.read_words(&text));
        Some(Heard { response, text, numeric, ended_by })
    }
}

impl Heard {
    /// The result at the end of a line that begins with something else: an echo or a RING that no
    /// line end followed (`ATDT5551212BUSY`, `RINGNO CARRIER`), or noise in front of the words. Or an
    /// ERROR at its beginning, with the reason behind it.
    ///
    /// Only for a moment at which nobody but the modem can speak: a mail may say such things.
    pub fn glued(&self) -> Option<Response> {
        match self.response {
            // `+CRING: VOICE` names the kind of call.
            Response::Ring if self.text.starts_with('+') => return None,
            Response::Text | Response::Echo | Response::Ring | Response::Ringing => {}
            // `NAME = FAX` is a name.
            Response::CallerId
            | Response::Ok
            | Response::Connect(_)
            | Response::Failed(_)
            | Response::Error
            | Response::Report(_) => return None,
        }
        // `ERROR unknown command`: where nobody else speaks, that is no sentence of a mail.
        if self.text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("ERROR ")) {
            return Some(Response::Error);
        }
        if let Some((at, _)) = self.text.match_indices("CONNECT").last()
            && at > 0
            && let connected @ Response::Connect(_) = parse_verbose(&self.text[at..])
        {
            return Some(connected);
        }
        GLUED.iter().find_map(|words| {
            let before = self.text.strip_suffix(words).filter(|before| !before.is_empty())?;
            // A word that only ends so (`BOOK`) is no result; an echo or a RING in front is known.
            let known = ["AT", "at", "RING"].iter().any(|start| before.starts_with(start));
            let apart = !before.ends_with(|c: char| c.is_ascii_alphabetic());
            (known || apart || words.contains(' ')).then(|| parse_verbose(words))
        })
    }
}

/// The result codes in numbers that V.250 Table 1 and Hayes' manuals agree on. Above 10 every maker
/// has a list of his own, in which nearly all say CONNECT: 13 is 7200, 9600 or 14400 bit/s.
///
/// A maker's own list (`codes`) goes first. With one, a CONNECT may carry letters: MultiTech's `9L` is
/// 2400 bit/s with LAP-M, `R` is MNP, `C` compressed.
fn parse_numeric(text: &str, codes: &ResultCodes) -> Option<Response> {
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - letters.len()];
    if digits.is_empty() || digits.len() > NUMERIC_DIGITS_MAX {
        return None;
    }
    if !letters.is_empty() && (codes.is_empty() || !matches!(letters, "R" | "L" | "C" | "RC" | "LC")) {
        return None;
    }
    let connect =
        |rate| Response::Connect(ConnectInfo { text: text.to_owned(), rate, ..ConnectInfo::default() });
    let code = digits.parse::<u16>().ok()?;
    if let Some(words) = codes.get(&code.to_string()) {
        return Some(match parse_verbose(words) {
            Response::Connect(info) => Response::Connect(ConnectInfo {
                text: format!("{text} ({words})"),
                protocol: match letters.chars().next() {
                    Some('L') => Some("LAPM".to_owned()),
                    Some('R') => Some("MNP".to_owned()),
                    Some(_) | None => info.protocol,
                },
                compression: if letters.ends_with('C') {
                    Some("COMPRESSED".to_owned())
                } else {
                    info.compression
                },
                ..info
            }),
            other => other,
        });
    }
    // Where the maker's numbers are known, one that is not among them is none of his results.
    let has_numbers = codes.keys().any(|key| key.starts_with(|c: char| c.is_ascii_digit()));
    if !letters.is_empty() || has_numbers && code > COMMON_CODE_MAX {
        return None;
    }
    Some(match code {
        0 => Response::Ok,
        1 => connect(None),
        2 => Response::Ring,
        3 => Response::Failed(CallFailure::NoCarrier),
        4 => Response::Error,
        5 => connect(Some(1_200)),
        6 => Response::Failed(CallFailure::NoDialtone),
        7 => Response::Failed(CallFailure::Busy),
        8 => Response::Failed(CallFailure::NoAnswer),
        9 => connect(Some(600)),
        10 => connect(Some(2_400)),
        11 => connect(Some(4_800)),
        12 => connect(Some(9_600)),
        18 => connect(Some(57_600)),
        24 => Response::Failed(CallFailure::Delayed(None)), // Rockwell and its many descendants
        32 => Response::Failed(CallFailure::Blacklisted),   // likewise
        _ => connect(None),
    })
}

fn parse_verbose(text: &str) -> Response {
    let parsed: IResult<&str, Response> = alt((
        map(recognize(result("CONNECT")), |line: &str| Response::Connect(ConnectInfo::read(line))),
        report,
        map(failure, Response::Failed),
        alt((
            value(Response::Ok, all_consuming(tag_no_case("OK"))),
            value(Response::Error, all_consuming(tag_no_case("ERROR"))),
            value(Response::Error, result("NO MSN/EAZ")), // isdn4linux: no number of our own is set
            cme_error,
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

/// Whether these words are a result that a modem ends or begins a call with.
pub fn is_result(words: &str) -> bool {
    !matches!(parse_verbose(words), Response::Text | Response::Echo | Response::CallerId)
}

/// The ways a call fails.
fn failure(text: &str) -> IResult<&str, CallFailure> {
    alt((
        value(CallFailure::NoCarrier, result("NO CARRIER")),
        value(CallFailure::NoDialtone, result("NO DIALTONE")),
        value(CallFailure::NoDialtone, result("NO DIAL TONE")),
        value(CallFailure::NoDialtone, result("LINE IN USE")),
        value(CallFailure::NoDialtone, result("NO PROMPTTONE")), // Telebit
        value(CallFailure::NoAnswer, result("NO ANSWER")),
        value(CallFailure::Busy, result("BUSY")),
        value(CallFailure::Voice, result("VOICE")),
        value(CallFailure::Fax, result("FAX")),
        value(CallFailure::Blacklisted, result("BLACKLISTED")),
        alt(REJECTIONS.map(|words| value(CallFailure::Rejected, result(words)))),
        alt(NO_SERVICE.map(|words| value(CallFailure::NoService, result(words)))),
        map(preceded((tag_no_case("DELAYED"), space1), all_consuming(clock)), |time| {
            CallFailure::Delayed(Some(time))
        }),
        value(CallFailure::Delayed(None), result("DELAYED")),
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

/// Lines about the connection: Rockwell's with `W1`, V.250's with `+MR=1 +ER=1 +DR=1` (§6.4.3,
/// §6.5.5, §6.6.2), GSM's with `+CR=1` (3GPP TS 27.007 §6.9).
fn report(text: &str) -> IResult<&str, Response> {
    let named = |name| preceded((tag_no_case(name), space0, opt(char(':')), space0), rest);
    let rates = |name| {
        let number = || map_res(digit1, str::parse::<u32>);
        preceded(
            (tag_no_case(name), space0, opt(char(':')), space0),
            (number(), opt(preceded((space0, alt((char(','), char('/'))), space0), number()))),
        )
    };
    map(
        alt((
            map(rates("CARRIER"), |(down, other)| carrier(down, other)),
            // V.250 has the rate of transmission first where there are two.
            map(rates("+MRR"), |(first, second)| match second {
                Some(down) => Report::Carrier { up: Some(first), down },
                None => Report::Carrier { up: None, down: first },
            }),
            map(named("+MCR:"), |name| Report::Modulation(plain(name))),
            map(alt((named("PROTOCOL:"), named("+ER:"))), |name| Report::Protocol(protocol_named(name))),
            map(named("+CR:"), |name| Report::Protocol(bearer_protocol(name))),
            map(alt((named("COMPRESSION:"), named("+DR:"))), |name| Report::Compression(unless_none(name))),
            map(rates("+ILRR"), |(rate, _)| Report::Port(rate)),
        )),
        Response::Report,
    )
    .parse(text)
}

/// `CARRIER 31200`, and `CARRIER 1200/75` or `75/1200` of V.23, whose slower way is towards the host.
fn carrier(first: u32, second: Option<u32>) -> Report {
    match second {
        Some(second) if first.min(second) < BACKWARD_MAX => {
            Report::Carrier { up: Some(first.min(second)), down: first.max(second) }
        }
        Some(down) => Report::Carrier { up: Some(first), down },
        None => Report::Carrier { up: None, down: first },
    }
}

/// `+CR: REL ASYNC`: the radio link protocol corrects errors; `ASYNC` alone is transparent.
fn bearer_protocol(service: &str) -> Option<String> {
    service.to_ascii_uppercase().starts_with("REL").then(|| "RLP".to_owned())
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

/// The words of GSM's numbered errors (3GPP TS 27.007 §9.2.1) that a data call meets.
pub fn error_words(text: &str) -> Option<&'static str> {
    let code = text.rsplit_once(':')?.1.trim().parse::<u16>().ok()?;
    CME_ERRORS.iter().find(|(number, _)| *number == code).map(|(_, words)| *words)
}

/// What `+CME ERROR` says: that there is no network is an end of its own.
fn cme_error(text: &str) -> IResult<&str, Response> {
    map(
        preceded((alt((tag_no_case("+CME ERROR"), tag_no_case("+CMS ERROR"))), space0, opt(char(':'))), rest),
        |_| {
            let lower = text.to_ascii_lowercase();
            let none = matches!(error_words(text), Some("no network service" | "network timeout"));
            if none || lower.contains("no network service") || lower.contains("network timeout") {
                Response::Failed(CallFailure::NoService)
            } else {
                Response::Error
            }
        },
    )
    .parse(text)
}

const CME_ERRORS: [(u16, &str); 17] = [
    (0, "phone failure"),
    (1, "no connection to phone"),
    (3, "operation not allowed"),
    (4, "operation not supported"),
    (5, "PH-SIM PIN required"),
    (10, "SIM not inserted"),
    (11, "SIM PIN required"),
    (12, "SIM PUK required"),
    (13, "SIM failure"),
    (14, "SIM busy"),
    (15, "SIM wrong"),
    (16, "incorrect password"),
    (30, "no network service"),
    (31, "network timeout"),
    (32, "network not allowed, emergency calls only"),
    (100, "unknown"),
    (107, "GPRS services not allowed"),
];

/// What the network or the other end says that does not want the call.
const REJECTIONS: [&str; 5] = ["CALL REJECTED", "REJECTED", "CALL BARRED", "CALL FORBIDDEN", "FORBIDDEN"];
/// What says that there is no network.
const NO_SERVICE: [&str; 2] = ["NO SERVICE", "NO NETWORK"];
/// Results that are looked for at the end of a line, the longer before what they end in.
const GLUED: [&str; 14] = [
    "NO CARRIER",
    "NO DIALTONE",
    "NO DIAL TONE",
    "NO ANSWER",
    "LINE IN USE",
    "BLACKLISTED",
    "CALL REJECTED",
    "DELAYED",
    "REJECTED",
    "VOICE",
    "BUSY",
    "ERROR",
    "FAX",
    "OK",
];
/// Characters of a response line that are kept; no modem says more.
pub const RESPONSE_LINE_MAX: usize = 256;
/// Up to here all makers agree (V.250 Table 1).
const COMMON_CODE_MAX: u16 = 8;
/// Digits of a result code in numbers; more are a telephone number or data.
const NUMERIC_DIGITS_MAX: usize = 3;
/// Carriage return, S3.
pub const CR: u8 = b'\r';
/// Line feed, S4.
pub const LF: u8 = b'\n';

#[cfg(test)]
mod tests;
