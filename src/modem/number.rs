//! Telephone numbers as people write them, and as a modem is given them.
//!
//! ```text
//! "+49 (0)30 123-45"   international: what the place of the line must dial for it
//! "0301 2345,,17"      as written, decoration stripped, dial modifiers kept, behind the outside line
//! "=*99#"              exactly so: no outside line, no prefix
//! ```

use std::net::{IpAddr, SocketAddr};

use super::location::{Location, country_code, keeps_zero};
use super::profile::{NUMBER_PLACE, Profile};

/// How a line dials: where it is, and what belongs to it alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DialRules {
    /// Where it is; without it `+` is what the modem's profile says.
    pub location: Option<Location>,
    /// Dialled in front of every number, behind the place's own prefixes.
    pub prefix: String,
    /// By pulses, for an exchange that knows no tones.
    pub pulse: bool,
}

/// Why a number cannot be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNumber {
    /// Nothing to dial in it.
    #[error("the telephone number {0:?} has no digits")]
    Empty(String),
    /// A character that means something else to the modem, or nothing.
    #[error("the telephone number {number:?} holds {character:?}, which cannot be dialled")]
    Character {
        /// The number.
        number: String,
        /// The character.
        character: char,
    },
    /// A letter that would make the modem do something else.
    #[error("the telephone number {number:?} holds the letter {letter:?}: {why}")]
    Letter {
        /// The number.
        number: String,
        /// The letter.
        letter: char,
        /// What it would do.
        why: &'static str,
    },
    /// A word, as on a telephone's keys. Some of its letters would be dialled, as something else.
    #[error("the telephone number {number:?} holds the word {word:?}: write its digits, {digits}")]
    Word {
        /// The number.
        number: String,
        /// The word.
        word: String,
        /// What a telephone has on the keys with these letters.
        digits: String,
    },
    /// What follows a `+` is no international number.
    #[error("the telephone number {number:?} is no international one: {why}")]
    International {
        /// The number.
        number: String,
        /// What is wrong, and what would be right.
        why: &'static str,
    },
    /// Something that only tones can say, while pulses are dialled.
    #[error("the telephone number {number:?} holds {character:?}, which has no pulses: put a T before it")]
    NoPulses {
        /// The number.
        number: String,
        /// The character.
        character: char,
    },
    /// The modem's command line could not hold it.
    #[error("the telephone number {number:?} is too long: this modem takes {max} characters")]
    TooLong {
        /// The number.
        number: String,
        /// What there is room for.
        max: usize,
    },
    /// The profile has no dial command.
    #[error("the modem profile `{0}` dials no numbers: choose another, or leave the number away")]
    NoDialling(String),
    /// The profile's dial command has neither tones nor pulses.
    #[error("the modem profile `{0}` dials neither by tones nor by pulses: leave `pulse` away")]
    NoPulseDialling(String),
}

/// Whether the number can be dialled with this profile, by these rules.
pub fn check_number(profile: &Profile, rules: &DialRules, number: &str) -> Result<(), BadNumber> {
    dial_strings(profile, rules, number).map(|_| ())
}

/// Whether a prefix is made of digits and dial modifiers only.
pub fn check_prefix(prefix: &str) -> Result<(), BadNumber> {
    checked_letters(prefix)?;
    prefix.chars().try_for_each(|character| match dialled_as(character) {
        Some(_) => Ok(()),
        None => Err(BadNumber::Character { number: prefix.to_owned(), character }),
    })
}

/// All that is dialled for a number: digits and dial modifiers (V.250 §6.3.1), in one string.
pub fn dial_string(profile: &Profile, rules: &DialRules, number: &str) -> Result<String, BadNumber> {
    if profile.dial.is_none() {
        return Err(BadNumber::NoDialling(profile.name.clone()));
    }
    let (body, exact) = match Written::read(number)? {
        Written::Exact(exact) => (exact, true),
        Written::Plain(digits) => (digits, false),
        Written::International { digits, behind } => {
            let here = match &rules.location {
                Some(place) if place.has_stray_trunk_prefix(&digits) => {
                    let why = "behind the country code there is no 0: leave it out, or write (0)";
                    return Err(BadNumber::International { number: number.to_owned(), why });
                }
                Some(place) => place.dialled(&digits),
                None => format!("{}{digits}", profile.international),
            };
            (here + &behind, false)
        }
    };
    let place = rules.location.as_ref().filter(|_| !exact);
    let in_front = place.map_or(String::new(), |place| place.outside_line.clone() + &place.call_waiting);
    let prefix = if exact { "" } else { &rules.prefix };
    let whole: String =
        in_front.chars().chain(prefix.chars()).flat_map(dialled_as).flatten().chain(body.chars()).collect();
    if rules.pulse {
        check_pulses(number, &whole)?;
    }
    Ok(whole)
}

/// The dial commands for a number, without their AT: one, if the modem's command line holds it.
///
/// A longer one (a calling card with its pauses) is given in pieces. A `;` at a piece's end leaves the
/// modem off-hook in command state once that piece is dialled (V.250 §6.3.1), and the next D command
/// goes on dialling. Only where there are tones or pulses: to a GSM modem a `;` means a voice call
/// (3GPP 27.007, 6.2).
pub fn dial_strings(profile: &Profile, rules: &DialRules, number: &str) -> Result<Vec<String>, BadNumber> {
    let dialled = dial_string(profile, rules, number)?;
    let template = template(profile, rules)?;
    let room = (profile.line_max + NUMBER_PLACE.len()).saturating_sub(template.len());
    if dialled.len() <= room {
        return Ok(vec![template.replacen(NUMBER_PLACE, &dialled, 1)]);
    }
    let (tone, pulse) = (format!("T{NUMBER_PLACE}"), format!("P{NUMBER_PLACE}"));
    // A host's name is one word.
    let is_host = dialled.contains(['.', ':']);
    let goes_on = (template.ends_with(&tone) || template.ends_with(&pulse)) && !is_host;
    let max = if goes_on { NUMBER_MAX } else { room };
    if dialled.len() > max || room < 2 || !dialled.is_ascii() {
        return Err(BadNumber::TooLong { number: number.to_owned(), max });
    }
    let mut by = if rules.pulse { pulse } else { tone };
    let mut commands = Vec::new();
    let mut rest = dialled.as_str();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(if rest.len() <= room { rest.len() } else { room - 1 });
        let stay = if after.is_empty() { "" } else { ";" };
        let command = &template[..template.len() - by.len()];
        commands.push(format!("{command}{}", by.replacen(NUMBER_PLACE, piece, 1)) + stay);
        // The next command must not fall back to tones where the number had gone over to pulses.
        if let Some(last) = piece.chars().rev().find(|character| matches!(character, 'T' | 'P')) {
            by = format!("{last}{NUMBER_PLACE}");
        }
        rest = after;
    }
    Ok(commands)
}

/// One name for a number, however it is written: what is remembered about it stands under this.
/// International where that is known (`+493012345`), else what is dialled for it.
pub fn number_key(location: Option<&Location>, number: &str) -> String {
    match Written::read(number) {
        Ok(Written::International { digits, behind }) => {
            format!("+{}", Rung::by(&format!("{digits}{behind}")).digits)
        }
        Ok(Written::Plain(dialled)) => plain_key(location, &Rung::by(&dialled)),
        Ok(Written::Exact(text)) if is_host(&text) => format!("={}", text.to_ascii_lowercase()),
        Ok(Written::Exact(text)) => {
            let rung = Rung::by(&text);
            if text.trim_start().starts_with('+') {
                return format!("+{}", rung.digits);
            }
            let out = location.map_or(String::new(), |place| Rung::by(&place.outside_line).digits);
            // Without the digits that lead outside, it stays within the private exchange.
            match rung.digits.strip_prefix(&out) {
                Some(outside) if out.is_empty() => {
                    plain_key(location, &Rung { digits: outside.to_owned(), ..rung })
                }
                Some(outside) => plain_key(location, &Rung { digits: outside.to_owned(), is_plain: true }),
                None => format!("={}", rung.digits),
            }
        }
        Err(_) => number.split_whitespace().collect(),
    }
}

/// Whether the number is a host's name or address, for modems that call over the Internet. One of
/// digits and dots alone is none: to any other modem it is a telephone number.
pub fn is_host(number: &str) -> bool {
    let text = number.trim_matches(' ');
    let text = text.strip_prefix('=').unwrap_or(text);
    let is_address = || text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok();
    text.contains(['.', ':']) && (text.contains(|c: char| c.is_ascii_alphabetic()) || is_address())
}

fn plain_key(location: Option<&Location>, rung: &Rung) -> String {
    let is_plain = rung.is_plain && rung.digits.bytes().all(|byte| byte.is_ascii_digit());
    let meant = location.filter(|_| is_plain).and_then(|place| place.meant(&rung.digits));
    meant.map_or_else(|| rung.digits.clone(), |meant| format!("+{meant}"))
}

/// The digits that decide whose telephone rings. What a modem waits for before them, or sends once
/// that is answered, makes no other telephone of it: `W5551212`, `555,1212`, `*67 5551212` and
/// `5551212,,17` ring the same one.
struct Rung {
    digits: String,
    /// They stand together: no pause parts them, behind which it would be anybody's guess what they mean.
    is_plain: bool,
}

impl Rung {
    fn by(dialled: &str) -> Self {
        let mut rung = Self { digits: String::new(), is_plain: true };
        let mut paused = false;
        for character in dialled.chars() {
            match character {
                '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d' => {
                    let number = behind_service_code(&rung.digits).len();
                    if paused && number == 0 {
                        rung.digits.clear(); // nothing but a service's code: `*70,`
                    } else if paused && number >= WHOLE_NUMBER_MIN {
                        break;
                    } else if paused {
                        rung.is_plain = false;
                    }
                    paused = false;
                    rung.digits.push(character.to_ascii_uppercase());
                }
                ',' | '@' | '!' | '$' | 'W' | 'w' => paused = true,
                _ => {} // tones or pulses, and what is there for the eye
            }
        }
        let number = behind_service_code(&rung.digits);
        if number.len() >= WHOLE_NUMBER_MIN {
            rung.digits = number.to_owned();
        }
        // `5551212#` says only that no more digits come.
        let closed = rung.digits.trim_end_matches('#').len();
        rung.digits.truncate(closed.max(WHOLE_NUMBER_MIN));
        rung
    }
}

/// What stands behind a service's code, if one is there: `*67`, `#31#`, `*31*`.
fn behind_service_code(digits: &str) -> &str {
    let rest = digits.trim_start_matches(['*', '#']);
    if rest.len() == digits.len() {
        return digits;
    }
    let closed = rest.find(['*', '#']).filter(|&at| at <= SERVICE_CODE_MAX);
    let number = closed.map_or_else(|| rest.get(SERVICE_CODE..), |at| rest.get(at + 1..));
    number.unwrap_or_default()
}

/// A number as it was written.
enum Written {
    /// Behind `=`.
    Exact(String),
    /// Behind `+`: the digits of E.164, and from the first modifier on what comes then.
    International { digits: String, behind: String },
    /// Anything else: digits and modifiers.
    Plain(String),
}

impl Written {
    fn read(number: &str) -> Result<Self, BadNumber> {
        let text = number.trim_matches(' ');
        if let Some(exact) = text.strip_prefix('=') {
            return exactly(number, exact).map(Self::Exact);
        }
        checked_letters(number)?;
        if let Some(text) = text.strip_prefix('+') {
            return international(number, text);
        }
        if text.split_once("(0)").is_some_and(|(before, _)| before.contains(|c: char| c.is_ascii_digit())) {
            let why = "(0) is for callers at home: write + and the country code in front, or leave it out";
            return Err(BadNumber::International { number: number.to_owned(), why });
        }
        let dialled = plain(number, text)?;
        if !dialled.contains(|c: char| c.is_ascii_digit()) {
            return Err(BadNumber::Empty(number.to_owned()));
        }
        Ok(Self::Plain(dialled))
    }
}

fn international(number: &str, text: &str) -> Result<Written, BadNumber> {
    let bad = |why| Err(BadNumber::International { number: number.to_owned(), why });
    let mut dialled = plain(number, text)?;
    // `+49 (0)30`: the zero is for callers at home, but in Italy it is for all.
    if let Some((before, behind)) = text.split_once("(0)") {
        let before = plain(number, before)?;
        if !keeps_zero(&before) {
            dialled = before + &plain(number, behind)?;
        }
    }
    let end = dialled.find(|c: char| !c.is_ascii_digit()).unwrap_or(dialled.len());
    let behind = dialled.split_off(end);
    match country_code(&dialled) {
        None if dialled.is_empty() => Err(BadNumber::Empty(number.to_owned())),
        None => bad("behind + comes a country code, and none begins with 0"),
        Some(code) if code.len() == dialled.len() => bad("there is only a country code"),
        Some(_) => Ok(Written::International { digits: dialled, behind }),
    }
}

/// Behind `=` stands what the modem is to get: digits and modifiers, or a host's name, which modems
/// that call over the Internet take.
fn exactly(number: &str, text: &str) -> Result<String, BadNumber> {
    let is_host = text.contains(['.', ':'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte));
    if is_host {
        return Ok(text.to_owned());
    }
    checked_letters(text).map_err(|bad| bad.of(number))?;
    let character = text.chars().find(|&character| character != '+' && dialled_as(character).is_none());
    if let Some(character) = character {
        return Err(BadNumber::Character { number: number.to_owned(), character });
    }
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return Err(BadNumber::Empty(number.to_owned()));
    }
    Ok(text.to_owned())
}

fn plain(number: &str, text: &str) -> Result<String, BadNumber> {
    let mut dialled = String::new();
    for character in text.chars() {
        match (character, dialled_as(character)) {
            (_, Some(as_given)) => dialled.extend(as_given),
            ('+', None) => {
                let why = "the + stands in front of everything else";
                return Err(BadNumber::International { number: number.to_owned(), why });
            }
            (_, None) => return Err(BadNumber::Character { number: number.to_owned(), character }),
        }
    }
    Ok(dialled)
}

/// What a character is given to the modem as: itself, or nothing if it is there for the eye. `None`
/// for one that cannot be dialled: a semicolon would leave the modem in command mode, with the call on.
fn dialled_as(character: char) -> Option<Option<char>> {
    match character {
        '0'..='9' | '*' | '#' | ',' | '@' | '!' | '$' => Some(Some(character)),
        'A'..='D' | 'P' | 'T' | 'W' => Some(Some(character)),
        'a'..='d' | 'p' | 't' | 'w' => Some(Some(character.to_ascii_uppercase())),
        '-' | '(' | ')' | '.' | '/' | ' ' => Some(None),
        _ => None,
    }
}

/// Letters that stand for what V.250 makes of them, and no words.
fn checked_letters(number: &str) -> Result<(), BadNumber> {
    for word in number.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        let is_modifier = |c: char| matches!(c.to_ascii_uppercase(), 'P' | 'T' | 'W');
        if word.len() > 1 && !word.chars().all(is_modifier) {
            let digits = word.chars().filter_map(on_key).collect();
            return Err(BadNumber::Word { number: number.to_owned(), word: word.to_owned(), digits });
        }
        if let Some(letter) = word.chars().find(|&letter| dialled_as(letter).is_none()) {
            let why = match letter.to_ascii_uppercase() {
                'L' => "a modem would dial the last number again",
                'R' => "a modem would answer instead of calling",
                'S' => "a modem would dial a number that is stored in it",
                'X' => "for an extension, write a comma for each pause and then its digits",
                'V' | 'G' | 'I' => "a modem would make another kind of call",
                _ => "only A to D, P, T and W are dialled",
            };
            return Err(BadNumber::Letter { number: number.to_owned(), letter, why });
        }
    }
    Ok(())
}

/// The digit on whose key a letter stands (ITU-T E.161).
fn on_key(letter: char) -> Option<char> {
    Some(match letter.to_ascii_uppercase() {
        'A'..='C' => '2',
        'D'..='F' => '3',
        'G'..='I' => '4',
        'J'..='L' => '5',
        'M'..='O' => '6',
        'P'..='S' => '7',
        'T'..='V' => '8',
        'W'..='Z' => '9',
        _ => return None,
    })
}

fn check_pulses(number: &str, dialled: &str) -> Result<(), BadNumber> {
    let mut pulses = true;
    for character in dialled.chars().map(|character| character.to_ascii_uppercase()) {
        pulses = character == 'P' || pulses && character != 'T';
        if pulses && matches!(character, '*' | '#' | 'A'..='D') {
            return Err(BadNumber::NoPulses { number: number.to_owned(), character });
        }
    }
    Ok(())
}

/// The profile's dial command, turned to pulses if the line wants them.
fn template(profile: &Profile, rules: &DialRules) -> Result<String, BadNumber> {
    let Some(template) = &profile.dial else {
        return Err(BadNumber::NoDialling(profile.name.clone()));
    };
    if !rules.pulse {
        return Ok(template.clone());
    }
    match template.strip_suffix(&format!("T{NUMBER_PLACE}")) {
        Some(before) => Ok(format!("{before}P{NUMBER_PLACE}")),
        None if template.ends_with(&format!("P{NUMBER_PLACE}")) => Ok(template.clone()),
        None => Err(BadNumber::NoPulseDialling(profile.name.clone())),
    }
}

impl BadNumber {
    /// The same about the number as it was written.
    fn of(mut self, whole: &str) -> Self {
        match &mut self {
            Self::Empty(number)
            | Self::Character { number, .. }
            | Self::Letter { number, .. }
            | Self::Word { number, .. }
            | Self::International { number, .. }
            | Self::NoPulses { number, .. }
            | Self::TooLong { number, .. } => whole.clone_into(number),
            Self::NoDialling(_) | Self::NoPulseDialling(_) => {}
        }
        self
    }
}

/// Characters of the longest number that is dialled in pieces: a calling card, its pauses, a number.
const NUMBER_MAX: usize = 120;
/// Digits that may be a whole number: behind a pause come an extension's. Fewer lead to an outside line.
const WHOLE_NUMBER_MIN: usize = 6;
/// Digits of a service's code that nothing closes (`*67`), and at most of one that is closed (`#31#`).
const SERVICE_CODE: usize = 2;
const SERVICE_CODE_MAX: usize = 4;

#[cfg(test)]
mod tests;
