//! Telephone numbers as people write them, and as a modem is given them.

use super::profile::{NUMBER_PLACE, Profile};

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
}

/// Whether the number can be dialled with this profile.
pub fn check_number(profile: &Profile, number: &str) -> Result<(), BadNumber> {
    dial_string(profile, number).map(|_| ())
}

/// The number as the modem is given it: decoration stripped, dial modifiers kept (V.250 §6.3.1).
pub(super) fn dial_string(profile: &Profile, number: &str) -> Result<String, BadNumber> {
    let Some(template) = &profile.dial else {
        return Err(BadNumber::NoDialling(profile.name.clone()));
    };
    let mut dialled = String::new();
    for character in number.chars() {
        match character {
            '0'..='9' | '*' | '#' | ',' | '@' | '!' => dialled.push(character),
            'A'..='Z' | 'a'..='z' => dialled.push(character.to_ascii_uppercase()),
            '+' => dialled.push_str(&profile.international),
            '-' | '(' | ')' | '.' | ' ' => {}
            // A semicolon would leave the modem in command mode, with the call going on.
            _ => return Err(BadNumber::Character { number: number.to_owned(), character }),
        }
    }
    if !dialled.contains(|c: char| c.is_ascii_digit()) {
        return Err(BadNumber::Empty(number.to_owned()));
    }
    let room = (profile.line_max + NUMBER_PLACE.len()).saturating_sub(template.len());
    if dialled.len() > room {
        return Err(BadNumber::TooLong { number: number.to_owned(), max: room });
    }
    Ok(dialled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic() -> Profile {
        Profile::builtin("generic").expect("generic is built in")
    }

    fn dialled(number: &str) -> Result<String, BadNumber> {
        dial_string(&generic(), number)
    }

    #[test]
    fn decoration_is_stripped_and_modifiers_are_kept() {
        assert_eq!(dialled("+1 (555) 12.1-2"), Ok("+15551212".into()));
        assert_eq!(dialled("0,W@!5551212#*"), Ok("0,W@!5551212#*".into()));
        assert_eq!(dialled("p 5551212"), Ok("P5551212".into()));
    }

    #[test]
    fn what_would_be_another_command_is_refused() {
        for (number, character) in [
            ("555;H0", ';'),
            ("555\rATH0", '\r'),
            ("555\n", '\n'),
            ("555\0", '\0'),
            ("5=5", '='),
            ("55\u{a0}5", '\u{a0}'),
        ] {
            let refused = BadNumber::Character { number: number.into(), character };
            assert_eq!(dialled(number), Err(refused));
        }
    }

    #[test]
    fn a_number_without_digits_or_beyond_the_command_line_is_refused() {
        assert_eq!(dialled(" ()"), Err(BadNumber::Empty(" ()".into())));
        assert_eq!(dialled("L"), Err(BadNumber::Empty("L".into())));
        assert!(dialled(&"5".repeat(38)).is_ok());
        assert_eq!(dialled(&"5".repeat(39)), Err(BadNumber::TooLong { number: "5".repeat(39), max: 38 }));
    }

    #[test]
    fn a_profile_says_what_plus_means_and_whether_it_dials() {
        let profile = Profile { international: "00".into(), ..generic() };
        assert_eq!(dial_string(&profile, "+49 1"), Ok("00491".into()));
        let none = Profile::builtin("none").expect("none is built in");
        assert_eq!(dial_string(&none, "1"), Err(BadNumber::NoDialling("none".into())));
    }
}
