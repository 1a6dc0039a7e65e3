//! The From_ line: `From sender date`, which begins each message of an mbox.
//!
//! RFC 4155 fixes it (an addr-spec and an asctime date in UTC), but forty years of mailboxes did not
//! wait for it: seconds are missing, a zone stands before or behind the year, UUCP added `remote
//! from host`, senders hold blanks or are missing. How far a line is believed depends on where it
//! stands, so [`FromLine::parse`] says which form it has and [`super::mbox`] decides.

/// How much a From_ line looks like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// It starts with `From ` and there is nothing more to say for it.
    Bare,
    /// It has a time of day, a year and a month or a weekday, in whatever order.
    Dated,
    /// A sender, then a date as asctime() writes it, give or take seconds and zones.
    Asctime,
}

/// A line that starts with `From `, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromLine<'a> {
    /// What stands between `From ` and the date: the envelope sender. May be empty.
    pub sender: &'a [u8],
    /// How much it looks like a From_ line.
    pub form: Form,
}

impl<'a> FromLine<'a> {
    /// Takes a line apart, with or without its line end. `None` unless it starts with `From `.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = trim(line.strip_prefix(PREFIX)?);
        let tokens: Vec<&[u8]> =
            rest.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty()).collect();
        // The last date wins: a sender may be called "Mon Jan", the date stands behind it.
        let date = (0..tokens.len()).rev().find(|&i| is_asctime(&tokens[i..]));
        if let Some(date) = date {
            let sender = before(rest, tokens[date]);
            // Without a sender it is a sentence's luck, not a delivery agent's work.
            let form = if sender.is_empty() { Form::Dated } else { Form::Asctime };
            return Some(Self { sender, form });
        }
        let form = if is_dated(&tokens) { Form::Dated } else { Form::Bare };
        Some(Self { sender: tokens.first().copied().unwrap_or_default(), form })
    }
}

/// What every From_ line starts with, and no other line of an mbox may.
pub const PREFIX: &[u8] = b"From ";

/// `Www Mmm dd hh:mm[:ss] [zone [zone]] yyyy [zone [zone]] [remote from host]`, and nothing else.
fn is_asctime(tokens: &[&[u8]]) -> bool {
    let [weekday, month, day, time, rest @ ..] = tokens else { return false };
    if !is_weekday(weekday) || !is_month(month) || !is_day(day) || !is_time(time) {
        return false;
    }
    let Some(year) = rest.iter().take(ZONES_MAX + 1).position(|token| is_year(token)) else { return false };
    let (zones, behind) = (&rest[..year], &rest[year + 1..]);
    let later = behind.iter().take(ZONES_MAX).take_while(|t| is_zone(t) && **t != b"remote").count();
    let remote = match &behind[later..] {
        [] => true,
        [remote, from, _host] => *remote == b"remote" && *from == b"from",
        _ => false,
    };
    zones.iter().all(|zone| is_zone(zone)) && remote
}

fn is_dated(tokens: &[&[u8]]) -> bool {
    let named = |token: &&[u8]| {
        let bare = token.strip_suffix(b",").unwrap_or(token);
        is_weekday(bare) || is_month(bare)
    };
    let usual = tokens.iter().any(named)
        && tokens.iter().any(|token| is_time(token))
        && tokens.iter().any(|token| is_year(token));
    usual || tokens.iter().any(|token| is_iso_8601(token))
}

fn is_weekday(token: &[u8]) -> bool {
    WEEKDAYS.iter().any(|day| token.eq_ignore_ascii_case(day.as_bytes()))
}

fn is_month(token: &[u8]) -> bool {
    MONTHS.iter().any(|month| token.eq_ignore_ascii_case(month.as_bytes()))
}

fn is_day(token: &[u8]) -> bool {
    number(token, 1, 2).is_some_and(|day| (1..=31).contains(&day))
}

fn is_year(token: &[u8]) -> bool {
    number(token, 4, 4).is_some()
}

/// `hh:mm` or `hh:mm:ss`; 60 is a leap second's.
fn is_time(token: &[u8]) -> bool {
    let mut parts = token.split(|&byte| byte == b':');
    let hour = parts.next().and_then(|part| number(part, 1, 2)).is_some_and(|hour| hour < 24);
    let minute = parts.next().and_then(|part| number(part, 2, 2)).is_some_and(|minute| minute < 60);
    let second = parts.next().is_none_or(|part| number(part, 2, 2).is_some_and(|second| second <= 60));
    hour && minute && second && parts.next().is_none()
}

/// `GMT`, `MET-DST`, `+0100`, `(CET)`.
fn is_zone(token: &[u8]) -> bool {
    token.len() <= ZONE_LEN_MAX
        && token.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-()".contains(byte))
        && !token.iter().all(u8::is_ascii_digit)
}

/// `2015-01-03T22:57:09`, whatever follows.
fn is_iso_8601(token: &[u8]) -> bool {
    let shape = b"dddd-dd-ddTdd:dd";
    token.len() >= shape.len()
        && token.iter().zip(shape).all(|(byte, want)| match want {
            b'd' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

fn number(digits: &[u8], shortest: usize, longest: usize) -> Option<u32> {
    if !(shortest..=longest).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

/// The part of `whole` before `token`, which is a slice of it.
fn before<'a>(whole: &'a [u8], token: &[u8]) -> &'a [u8] {
    let at = (token.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    trim(&whole[..at.min(whole.len())])
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Zones that may stand before the year, and again behind it (`EST DST`).
const ZONES_MAX: usize = 2;
/// Bytes of the longest zone believed (`(MEST-1)`).
const ZONE_LEN_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn form(line: &str) -> Option<Form> {
        FromLine::parse(line.as_bytes()).map(|line| line.form)
    }

    #[test]
    fn dates_seen_in_the_wild_are_asctime() {
        for line in [
            "From mary@example.org Thu Jan  1 00:00:00 1970",
            "From mary@example.org  Sun Sep  3 17:38:56 2017\r\n",
            "From mary Sun Sep 03 17:38 2017",
            "From mary Sun Sep  3 17:38:56 MET 2017",
            "From mary Sun Sep  3 17:38:56 MET DST 2017",
            "From mary Sun Sep  3 17:38:56 2017 +0200",
            "From mary Sun Sep  3 17:38:56 2017 PDT",
            "From uucp Sun Sep  3 17:38:56 1989 remote from seismo",
            "From uucp Sun Sep  3 17:38:56 1989 GMT remote from seismo",
            "From - Sun Sep 03 17:38:56 2017",
            "From MAILER-DAEMON sun sep  3 7:38:56 2017",
            "From \"Mary Q. Public\"@example.org Sun Sep  3 17:38:60 2017",
            "From Mon Jan Sun Sep  3 17:38:56 2017",
            "From mary\tSun Sep  3 17:38:56 2017\t\n",
        ] {
            assert_eq!(form(line), Some(Form::Asctime), "{line}");
        }
    }

    #[test]
    fn other_dates_are_dated_and_sentences_are_bare() {
        for line in [
            "From mary@example.org Sat, 03 Jan 2015 22:57:09 +0000",
            "From 1574@xxx 2015-01-03T22:57:09Z",
            "From Sun Sep  3 17:38:56 2017",
            "From mary Sun Sep  3 17:38:56 2017 and so on",
        ] {
            assert_eq!(form(line), Some(Form::Dated), "{line}");
        }
        for line in [
            "From here to eternity",
            "From ",
            "From mary",
            "From Monday at 9:30 on",
            "From mary Sun Sep 32 25:00 2017",
        ] {
            assert_eq!(form(line), Some(Form::Bare), "{line}");
        }
        for line in ["", "From", "from mary", ">From mary", "From: mary@example.org", " From x"] {
            assert_eq!(form(line), None, "{line}");
        }
    }

    #[test]
    fn the_sender_is_what_stands_before_the_date() {
        let sender = |line: &'static str| FromLine::parse(line.as_bytes()).map(|line| line.sender);
        assert_eq!(sender("From a b  Sun Sep  3 17:38:56 2017"), Some(&b"a b"[..]));
        assert_eq!(sender("From mary, Sat, 3 Jan 2015 22:57"), Some(&b"mary,"[..]));
        assert_eq!(sender("From "), Some(&b""[..]));
    }
}
