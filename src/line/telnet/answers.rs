//! What a host is told that asks: the terminal's name and rates, and who logs in. Nothing else of ours.

use super::TelnetSettings;
use crate::line::nvt::option::{ENVIRON, NEW_ENVIRON, TERMINAL_SPEED, TERMINAL_TYPE};

/// The parameters that answer these; `None` where no answer is due.
pub(super) fn answer(settings: &TelnetSettings, option: u8, parameters: &[u8]) -> Option<Vec<u8>> {
    let (&SEND, asked) = parameters.split_first()? else { return None };
    match option {
        // RFC 1091: the last name of a list is told twice, and the list begins anew. Ours has one.
        TERMINAL_TYPE => Some([&[IS], settings.term.as_bytes()].concat()),
        TERMINAL_SPEED => Some([&[IS], RATES].concat()),
        NEW_ENVIRON | ENVIRON => Some(environment(settings, asked)),
        _ => None,
    }
}

/// Who logs in, if a host may be told. A name that begins with a minus would be an option to login(1).
pub(super) fn user(settings: &TelnetSettings) -> Option<&str> {
    settings.user.as_deref().filter(|user| !user.starts_with('-'))
}

/// RFC 1572: the variables asked for, or all if none is named. One that we have not is told without a
/// value.
fn environment(settings: &TelnetSettings, asked: &[u8]) -> Vec<u8> {
    let asked = read_asked(asked);
    // RFC 1571, section 2: VALUE says nothing where variables are asked for, so a host that says it has
    // VAR and VALUE the other way round, as BSD's first had.
    let reversed = asked.iter().any(|(code, _)| *code == VALUE);
    let (var, value) = if reversed { (VALUE, VAR) } else { (VAR, VALUE) };
    let mut told = vec![IS];
    let mut tell = |kind, name: &[u8], text: Option<&str>| {
        told.push(kind);
        escape(name, &mut told);
        if let Some(text) = text {
            told.push(value);
            escape(text.as_bytes(), &mut told);
        }
    };
    if asked.is_empty() {
        tell(var, USER, user(settings));
    }
    for (code, name) in &asked {
        match (*code == var, name.as_slice()) {
            (true, b"") => tell(var, USER, user(settings)),
            (true, USER) => tell(var, USER, user(settings)),
            (false, b"") => {} // all of a kind of which there are none
            (true, other) => tell(var, other, None),
            (false, other) => tell(*code, other, None),
        }
    }
    told
}

/// The kinds and names asked for, as they stand.
fn read_asked(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut asked: Vec<(u8, Vec<u8>)> = Vec::new();
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        match (byte, asked.last_mut()) {
            (VAR | VALUE | USERVAR, _) => asked.push((byte, Vec::new())),
            (ESC, Some((_, name))) => {
                name.extend(rest.first());
                bytes = rest.get(1..).unwrap_or_default();
            }
            (_, Some((_, name))) => name.push(byte),
            (_, None) => {} // a name of no kind
        }
    }
    asked
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if matches!(byte, VAR | VALUE | ESC | USERVAR) {
            out.push(ESC);
        }
        out.push(byte);
    }
}

const IS: u8 = 0;
const SEND: u8 = 1;
const VAR: u8 = 0;
const VALUE: u8 = 1;
const ESC: u8 = 2;
const USERVAR: u8 = 3;
const USER: &[u8] = b"USER";
/// Transmit and receive (RFC 1079). There is no such rate; hosts set their terminal to it, and some
/// programs then spare the line.
const RATES: &[u8] = b"38400,38400";

#[cfg(test)]
mod tests {
    use super::*;

    fn told(option: u8, parameters: &[u8]) -> Option<Vec<u8>> {
        let user = Some("mary".to_owned());
        answer(&TelnetSettings { user, ..TelnetSettings::new("host:23".into(), 23) }, option, parameters)
    }

    #[test]
    fn a_terminal_says_its_name_and_rates_as_often_as_it_is_asked() {
        for _ in 0..3 {
            assert_eq!(told(TERMINAL_TYPE, &[SEND]).unwrap(), b"\0vt100");
        }
        assert_eq!(told(TERMINAL_SPEED, &[SEND]).unwrap(), b"\x0038400,38400");
        for parameters in [&[][..], &[IS], b"\0xterm", &[7]] {
            assert_eq!(told(TERMINAL_TYPE, parameters), None);
        }
        assert_eq!(told(31, &[SEND]), None);
    }

    #[test]
    fn the_user_is_told_and_no_other_variable() {
        // RFC 1572, section 6: all, all of a kind, and by name.
        for asked in [&b"\x01"[..], b"\x01\x00", b"\x01\x00\x03", b"\x01\x00USER", b"\x01\x03\x00"] {
            assert_eq!(told(NEW_ENVIRON, asked).unwrap(), b"\0\0USER\x01mary", "{asked:?}");
        }
        assert_eq!(told(NEW_ENVIRON, b"\x01\x03").unwrap(), b"\0");
        // What inetutils asks for.
        assert_eq!(
            told(NEW_ENVIRON, b"\x01\x00DISPLAY\x00USER\x03SYSTEMTYPE").unwrap(),
            b"\0\0DISPLAY\0USER\x01mary\x03SYSTEMTYPE"
        );
        // A name with a code in it stays one name.
        assert_eq!(told(NEW_ENVIRON, b"\x01\x00A\x02\x01B").unwrap(), b"\0\0A\x02\x01B");
        assert_eq!(told(NEW_ENVIRON, b"\x01\x00A\x02").unwrap(), b"\0\0A");
        assert_eq!(told(NEW_ENVIRON, b"\x01junk").unwrap(), b"\0\0USER\x01mary");
    }

    #[test]
    fn a_host_that_has_var_and_value_reversed_is_answered_in_its_way() {
        assert_eq!(told(ENVIRON, b"\x01\x01USER").unwrap(), b"\0\x01USER\0mary");
        assert_eq!(told(ENVIRON, b"\x01\x01").unwrap(), b"\0\x01USER\0mary");
        assert_eq!(
            told(ENVIRON, b"\x01\x01DISPLAY\x01USER\x03X").unwrap(),
            b"\0\x01DISPLAY\x01USER\0mary\x03X"
        );
        assert_eq!(told(ENVIRON, b"\x01\x00USER").unwrap(), b"\0\0USER\x01mary");
    }

    #[test]
    fn a_name_that_login_would_take_for_an_option_is_not_told() {
        let settings = |user: &str| TelnetSettings {
            user: Some(user.to_owned()),
            ..TelnetSettings::new("host:23".into(), 23)
        };
        assert_eq!(user(&settings("-froot")), None);
        assert_eq!(user(&settings("mary")), Some("mary"));
    }
}
