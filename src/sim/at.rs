//! The body of an AT command line as a modem reads it (V.250 5.3 and 5.4): text to typed commands.

/// One command of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtCommand {
    /// `E`: echo what the DTE sends in command state.
    Echo(bool),
    /// `V`: results as words (true) or as digits.
    Verbose(bool),
    /// `Q`: no results at all.
    Quiet(bool),
    /// `X`: which results are told apart, 0 to 4.
    ResultLevel(u8),
    /// `Sn?`.
    ReadRegister(u8),
    /// `Sn=v`.
    SetRegister(u8, u8),
    /// `Z`: hang up and go back to the stored settings.
    Reset,
    /// `&F`: factory settings.
    Factory,
    /// `&Dn`: what loss of DTR does.
    DtrAction(u8),
    /// `In`, `+GMI` and their like: a line of text about the modem.
    Identify(&'static str),
    /// `H0` (true) or `H1`: on-hook or off-hook.
    OnHook(bool),
    /// `O`: back to the call from online command state.
    Online,
    /// `A`.
    Answer,
    /// `D`: the rest of the line is the number.
    Dial(DialString),
    /// A setting that a simulated line has no use for, accepted as modems accept it.
    Accepted,
}

/// What follows `D`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialString {
    /// Digits and dial modifiers without the tone or pulse letter and without separators.
    pub number: String,
    /// `L`: the number dialled last.
    pub redial: bool,
    /// A `;` at the end: stay in command state.
    pub stay: bool,
}

/// The line holds something this modem does not know; the commands before it have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCommand;

/// Takes the next command off the front of a body that was cut at its CR; `None` at its end.
pub fn next_command(body: &mut &[u8]) -> Option<Result<AtCommand, BadCommand>> {
    while let [b' ', rest @ ..] = *body {
        *body = rest;
    }
    let (&letter, rest) = body.split_first()?;
    *body = rest;
    Some(command(letter, body).ok_or(BadCommand))
}

fn command(letter: u8, rest: &mut &[u8]) -> Option<AtCommand> {
    let command = match letter.to_ascii_uppercase() {
        b'E' => AtCommand::Echo(flag(rest)?),
        b'V' => AtCommand::Verbose(flag(rest)?),
        b'Q' => AtCommand::Quiet(number(rest, 2)? == 1),
        b'X' => AtCommand::ResultLevel(number(rest, 4)?),
        b'Z' => {
            number(rest, 1)?;
            *rest = &[]; // V.250 6.1.1: whatever follows Z on its line is ignored
            AtCommand::Reset
        }
        b'I' => AtCommand::Identify(IDENTITY.get(usize::from(number(rest, 9)?)).unwrap_or(&MODEL)),
        b'H' => AtCommand::OnHook(!flag(rest)?),
        b'O' => {
            number(rest, 1)?;
            AtCommand::Online
        }
        b'A' => AtCommand::Answer,
        b'D' => AtCommand::Dial(dial_string(std::mem::take(rest))?),
        b'S' => register(rest)?,
        // Speaker, pulse and tone, carrier standards: nothing to hear and nothing to choose here.
        b'B' | b'C' | b'L' | b'M' | b'N' | b'W' | b'Y' => accepted(rest)?,
        b'P' | b'T' => AtCommand::Accepted,
        b'&' => ampersand(rest)?,
        b'\\' => vendor(rest, b"AGJKNQTVX")?,
        b'%' => vendor(rest, b"ACELMN")?,
        b'+' => extended(rest)?,
        _ => return None,
    };
    Some(command)
}

fn register(rest: &mut &[u8]) -> Option<AtCommand> {
    let register = number(rest, REGISTERS - 1)?;
    match rest.split_first()? {
        (b'?', after) => {
            *rest = after;
            Some(AtCommand::ReadRegister(register))
        }
        (b'=', after) => {
            *rest = after;
            Some(AtCommand::SetRegister(register, number(rest, u8::MAX)?))
        }
        _ => None,
    }
}

fn ampersand(rest: &mut &[u8]) -> Option<AtCommand> {
    let (&letter, after) = rest.split_first()?;
    match letter.to_ascii_uppercase() {
        b'F' => {
            *rest = after;
            number(rest, 2)?;
            Some(AtCommand::Factory)
        }
        b'D' => {
            *rest = after;
            Some(AtCommand::DtrAction(number(rest, 3)?))
        }
        _ => vendor(rest, b"ABCGHIJKLMNPQRSTUVWXY"),
    }
}

fn vendor(rest: &mut &[u8], letters: &[u8]) -> Option<AtCommand> {
    let (&letter, after) = rest.split_first()?;
    *rest = after;
    if letters.contains(&letter.to_ascii_uppercase()) { accepted(rest) } else { None }
}

/// `+NAME`, `+NAME=..`, `+NAME?`, up to a `;` (V.250 5.4.1).
fn extended(rest: &mut &[u8]) -> Option<AtCommand> {
    let end = rest.iter().position(|&byte| byte == b';');
    let (text, after) = end.map_or((*rest, &[][..]), |end| (&rest[..end], &rest[end + 1..]));
    *rest = after;
    let named = text.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(text.len());
    let name = text[..named].to_ascii_uppercase();
    let identity = match name.as_slice() {
        b"GMI" => Some("mailcall"),
        b"GMM" => Some(MODEL),
        b"GMR" => Some(env!("CARGO_PKG_VERSION")),
        b"GCAP" => Some("+GCAP: +MS,+ES,+DS"),
        _ => None,
    };
    match (identity, &text[named..]) {
        (Some(identity), b"") => Some(AtCommand::Identify(identity)),
        (None, [b'=', ..]) if SETTABLE.contains(&name.as_slice()) => Some(AtCommand::Accepted),
        (Some(_) | None, _) => None,
    }
}

/// What follows `D`, up to the end of the line (V.250 6.3.1). Separators are for people.
fn dial_string(text: &[u8]) -> Option<DialString> {
    let mut dial = DialString { number: String::new(), redial: false, stay: false };
    for (at, byte) in text.iter().map(u8::to_ascii_uppercase).enumerate() {
        match byte {
            b'0'..=b'9' | b'*' | b'#' | b'+' | b'A'..=b'C' | b',' | b'!' | b'W' | b'@' => {
                dial.number.push(byte.into());
            }
            b'D' => dial.number.push('D'),
            b'L' if dial.number.is_empty() => dial.redial = true,
            b'T' | b'P' | b' ' | b'-' | b'.' | b'(' | b')' | b'/' => {}
            b';' => {
                dial.stay = true;
                return (at + 1 == text.len()).then_some(dial);
            }
            _ => return None,
        }
    }
    Some(dial)
}

fn accepted(rest: &mut &[u8]) -> Option<AtCommand> {
    number(rest, u8::MAX).map(|_| AtCommand::Accepted)
}

fn flag(rest: &mut &[u8]) -> Option<bool> {
    number(rest, 1).map(|number| number == 1)
}

/// A decimal number, 0 if there is none (V.250 5.3.1); `None` above `max`.
fn number(rest: &mut &[u8], max: u8) -> Option<u8> {
    let mut value = 0_u32;
    while let [digit @ b'0'..=b'9', after @ ..] = *rest {
        value = value.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
        *rest = after;
    }
    u8::try_from(value).ok().filter(|&value| value <= max)
}

/// How many S registers there are.
pub const REGISTERS: u8 = 64;

const MODEL: &str = "mailcall simulated modem";
const IDENTITY: [&str; 2] = ["33600", "000"];
const SETTABLE: [&[u8]; 9] = [b"MS", b"ES", b"DS", b"ER", b"DR", b"IFC", b"IPR", b"ICF", b"ILRR"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(mut body: &[u8]) -> Vec<Result<AtCommand, BadCommand>> {
        let body = &mut body;
        std::iter::from_fn(|| next_command(body)).take(100).collect()
    }

    #[test]
    fn commands_follow_each_other_with_and_without_numbers_and_spaces() {
        let expected = [
            AtCommand::Echo(false),
            AtCommand::Quiet(false),
            AtCommand::Verbose(true),
            AtCommand::ResultLevel(4),
            AtCommand::Accepted,
            AtCommand::DtrAction(2),
            AtCommand::SetRegister(7, 60),
            AtCommand::ReadRegister(12),
        ];
        assert_eq!(parse(b"E0 Q V1 X4 &C1 &d2 S7=60 S12?"), expected.map(Ok));
    }

    #[test]
    fn the_rest_of_the_line_after_d_is_the_number() {
        let dial = |number: &str| {
            Ok(AtCommand::Dial(DialString { number: number.into(), redial: false, stay: false }))
        };
        assert_eq!(parse(b"E0DT+1 (555) 1212"), [Ok(AtCommand::Echo(false)), dial("+15551212")]);
        assert_eq!(parse(b"dp9,W0@1!"), [dial("9,W0@1!")]);
        assert_eq!(parse(b"D"), [dial("")]);
        let redial = DialString { number: String::new(), redial: true, stay: false };
        assert_eq!(parse(b"DL"), [Ok(AtCommand::Dial(redial))]);
        let stay = DialString { number: "0".into(), redial: false, stay: true };
        assert_eq!(parse(b"DT0;"), [Ok(AtCommand::Dial(stay))]);
        assert_eq!(parse(b"DT5;5"), [Err(BadCommand)]);
    }

    #[test]
    fn numbers_out_of_range_and_unknown_letters_are_refused() {
        for bad in
            ["E2", "V9", "Q3", "X5", "H2", "S64?", "S7=256", "S7=99999999999999999999", "S7", "J", "&Z1"]
        {
            assert!(parse(bad.as_bytes()).contains(&Err(BadCommand)), "{bad}");
        }
        assert!(parse(b"+FCLASS=1").contains(&Err(BadCommand)));
    }

    #[test]
    fn extended_commands_end_at_a_semicolon() {
        assert_eq!(
            parse(b"+MS=V34,1;+GMI;E1"),
            [Ok(AtCommand::Accepted), Ok(AtCommand::Identify("mailcall")), Ok(AtCommand::Echo(true))]
        );
    }

    #[test]
    fn what_follows_z_is_ignored() {
        assert_eq!(parse(b"Z0 nonsense"), [Ok(AtCommand::Reset)]);
    }
}
