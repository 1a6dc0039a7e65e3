//! What a kind of modem needs: `hardware/modems/*.toml`, read, checked and built in.

use std::time::Duration;

use serde::Deserialize;

/// How to talk to one kind of modem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name, as `modem = "generic"` gives it.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Restores the modem's stored settings: `Z`. Its answer is not needed.
    pub reset: Option<String>,
    /// Commands that the modem must accept.
    pub init: Vec<String>,
    /// Commands whose ERROR is passed over. `{wait}` stands for the dial wait in seconds.
    pub options: Vec<String>,
    /// `DT{number}`; `None` where there is no modem and nothing to dial.
    pub dial: Option<String>,
    /// Puts the modem on-hook: `H0`.
    pub hangup: String,
    /// What a `+` in a number becomes.
    pub international: String,
    /// Characters that a command line may have behind `AT`.
    pub line_max: usize,
    /// The escape character, S2.
    pub escape: u8,
    /// Our silence before and after three escape characters; longer than S12.
    pub guard: Duration,
    /// The longest wait for the answer to a command.
    pub command_wait: Duration,
    /// The longest wait for the answer to `reset`.
    pub reset_wait: Duration,
    /// How long the modem may be deaf behind the answer to `reset`.
    pub settle: Duration,
}

/// What is wrong with a profile, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("modem profile `{profile}`, line {line}: {}{message}", key_shown(.key))]
pub struct ProfileError {
    /// The profile's name.
    pub profile: String,
    /// The line in its file, from 1.
    pub line: usize,
    /// The key there, or nothing where there is none.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl Profile {
    /// A profile that is built in.
    pub fn builtin(name: &str) -> Option<Self> {
        let (name, text) = BUILTIN.iter().find(|(builtin, _)| *builtin == name)?;
        Self::parse(name, text).ok() // never an error: a test parses each of them
    }

    /// The names of the profiles that are built in.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// Reads and checks a profile.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let written: Written =
            toml::from_str(text).map_err(|error| ProfileError::from_toml(name, text, &error))?;
        written.check().map_err(|(key, message)| ProfileError {
            profile: name.to_owned(),
            line: line_of_key(text, key),
            key: key.to_owned(),
            message,
        })?;
        Ok(Self {
            name: name.to_owned(),
            description: written.description,
            reset: written.reset,
            init: written.init,
            options: written.options,
            dial: written.dial,
            hangup: written.hangup,
            international: written.international,
            line_max: written.line_max,
            escape: u8::try_from(written.escape).unwrap_or(b'+'), // ASCII, by the check above
            guard: Duration::from_millis(written.guard_ms),
            command_wait: Duration::from_millis(written.command_ms),
            reset_wait: Duration::from_millis(written.reset_ms),
            settle: Duration::from_millis(written.settle_ms),
        })
    }

    /// Whether there is a modem that dials; `false` for a line that is already connected.
    pub fn dials(&self) -> bool {
        self.dial.is_some()
    }
}

impl ProfileError {
    fn from_toml(profile: &str, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
        let key = text.lines().nth(line).and_then(key_of).unwrap_or_default().to_owned();
        Self { profile: profile.to_owned(), line: line + 1, key, message: error.message().to_owned() }
    }
}

/// A profile as its file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    description: String,
    reset: Option<String>,
    #[serde(default)]
    init: Vec<String>,
    #[serde(default)]
    options: Vec<String>,
    dial: Option<String>,
    #[serde(default = "default_hangup")]
    hangup: String,
    #[serde(default = "default_international")]
    international: String,
    #[serde(default = "default_line_max")]
    line_max: usize,
    #[serde(default = "default_escape")]
    escape: char,
    #[serde(default = "default_guard_ms")]
    guard_ms: u64,
    #[serde(default = "default_command_ms")]
    command_ms: u64,
    #[serde(default = "default_reset_ms")]
    reset_ms: u64,
    #[serde(default = "default_settle_ms")]
    settle_ms: u64,
}

type Wrong = (&'static str, String);

impl Written {
    fn check(&self) -> Result<(), Wrong> {
        let within = |key: &'static str, value: u64, min: u64, max: u64| match value {
            value if (min..=max).contains(&value) => Ok(()),
            value => Err((key, format!("{value} is not between {min} and {max}"))),
        };
        within("line_max", self.line_max as u64, LINE_MAX_LEAST, LINE_MAX_MOST)?;
        within("guard_ms", self.guard_ms, 0, GUARD_MS_MAX)?;
        within("command_ms", self.command_ms, WAIT_MS_MIN, WAIT_MS_MAX)?;
        within("reset_ms", self.reset_ms, WAIT_MS_MIN, WAIT_MS_MAX)?;
        within("settle_ms", self.settle_ms, 0, SETTLE_MS_MAX)?;
        within("init", self.init.len() as u64, 0, COMMANDS_MAX)?;
        within("options", self.options.len() as u64, 0, COMMANDS_MAX)?;
        if !self.escape.is_ascii_graphic() {
            return Err(("escape", format!("{:?} is not a printable ASCII character", self.escape)));
        }
        if self.international.bytes().any(|byte| !byte.is_ascii_digit() && byte != b'+') {
            return Err(("international", format!("{:?} is not made of digits or a +", self.international)));
        }
        self.check_command("hangup", &self.hangup)?;
        if let Some(command) = &self.reset {
            self.check_command("reset", command)?;
        }
        for command in &self.init {
            self.check_command("init", command)?;
        }
        for command in &self.options {
            self.check_command("options", &command.replacen(WAIT_PLACE, "255", 1))?;
        }
        match &self.dial {
            Some(dial) if dial.matches(NUMBER_PLACE).count() != 1 => {
                Err(("dial", format!("{dial:?} does not hold {NUMBER_PLACE} once")))
            }
            Some(dial) => self.check_command("dial", &dial.replacen(NUMBER_PLACE, "", 1)),
            None => Ok(()),
        }
    }

    fn check_command(&self, key: &'static str, command: &str) -> Result<(), Wrong> {
        let wrong = |what: String| Err((key, format!("the command {command:?} {what}")));
        if command.is_empty() {
            wrong("is empty".to_owned())
        } else if command.bytes().any(|byte| !byte.is_ascii_graphic() && byte != b' ') {
            wrong("holds more than printable ASCII".to_owned())
        } else if command.contains(['{', '}']) {
            wrong(format!("holds a place that is not known here; only options may hold {WAIT_PLACE}"))
        } else if command.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("AT")) {
            wrong("begins with AT, which is put there by itself".to_owned())
        } else if command.len() > self.line_max {
            wrong(format!("is longer than line_max = {}", self.line_max))
        } else {
            Ok(())
        }
    }
}

fn default_hangup() -> String {
    "H0".to_owned()
}

fn default_international() -> String {
    "+".to_owned()
}

fn default_line_max() -> usize {
    40
}

fn default_escape() -> char {
    '+'
}

fn default_guard_ms() -> u64 {
    1_100
}

fn default_command_ms() -> u64 {
    3_000
}

fn default_reset_ms() -> u64 {
    5_000
}

fn default_settle_ms() -> u64 {
    500
}

fn key_shown(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("`{key}`: ") }
}

/// The key that a line of TOML sets.
fn key_of(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    (!key.is_empty() && !key.starts_with(['#', '"', ' '])).then_some(key)
}

/// The line that sets a key, from 1; 1 where none does.
fn line_of_key(text: &str, key: &str) -> usize {
    text.lines().position(|line| key_of(line) == Some(key)).map_or(1, |line| line + 1)
}

/// The profiles in `hardware/modems`, by name.
const BUILTIN: [(&str, &str); 2] = [
    ("generic", include_str!("../../hardware/modems/generic.toml")),
    ("none", include_str!("../../hardware/modems/none.toml")),
];

/// Where `dial` takes the number.
pub(super) const NUMBER_PLACE: &str = "{number}";
/// Where an option takes the dial wait in seconds.
pub(super) const WAIT_PLACE: &str = "{wait}";

/// Characters of the shortest command line worth having: a long number must fit.
const LINE_MAX_LEAST: u64 = 20;
/// Characters of the longest command line.
const LINE_MAX_MOST: u64 = 255;
/// Milliseconds; [`super::hangup::HANG_UP_MAX`] holds six of them.
const GUARD_MS_MAX: u64 = 2_000;
/// Milliseconds for an answer: less than this no modem can keep.
const WAIT_MS_MIN: u64 = 100;
/// Milliseconds for an answer: more than this no user waits for.
pub(super) const WAIT_MS_MAX: u64 = 10_000;
/// Milliseconds behind a reset.
const SETTLE_MS_MAX: u64 = 3_000;
/// Commands in `init`, and in `options`.
const COMMANDS_MAX: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> ProfileError {
        Profile::parse("test", text).expect_err(text)
    }

    #[test]
    fn every_file_in_hardware_is_a_sound_profile_and_built_in() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hardware/modems");
        let mut files = 0;
        for entry in std::fs::read_dir(&folder).expect("hardware/modems is part of the source") {
            let path = entry.expect("a readable folder").path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name");
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let profile = Profile::parse(name, &text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(Profile::builtin(name), Some(profile), "{name} is listed in BUILTIN");
            files += 1;
        }
        assert_eq!(Profile::names().count(), files, "every name built in has its file");
    }

    #[test]
    fn none_dials_nothing_and_generic_does() {
        assert_eq!(Profile::builtin("none").map(|profile| profile.dials()), Some(false));
        assert_eq!(Profile::builtin("generic").map(|profile| profile.dials()), Some(true));
        assert_eq!(Profile::builtin("../generic"), None);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = error("description = \"x\"\n\nspeeed = 3\n");
        assert_eq!((error.line, error.key.as_str()), (3, "speeed"));
        assert!(
            error.to_string().starts_with("modem profile `test`, line 3: `speeed`: unknown field"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_type_and_a_missing_key_are_named() {
        let wrong = error("description = \"x\"\nguard_ms = \"long\"\n");
        assert_eq!((wrong.line, wrong.key.as_str()), (2, "guard_ms"));
        assert!(error("reset = \"Z\"\n").message.contains("description"));
    }

    #[test]
    fn values_that_cannot_be_are_refused_with_key_and_line() {
        for (line, key, says) in [
            ("guard_ms = 90000", "guard_ms", "not between"),
            ("command_ms = 0", "command_ms", "not between"),
            ("line_max = 3", "line_max", "not between"),
            ("dial = \"DT\"", "dial", "{number}"),
            ("dial = \"DT{number}{number}\"", "dial", "{number}"),
            ("init = [\"ATE0\"]", "init", "begins with AT"),
            ("init = [\"E0\\r\"]", "init", "printable"),
            ("init = [\"\"]", "init", "empty"),
            ("options = [\"S7={time}\"]", "options", "place"),
            ("reset = \"Z0000000000000000000000000000000000000000000\"", "reset", "longer"),
            ("escape = \"\\u0007\"", "escape", "printable"),
            ("international = \"x\"", "international", "digits"),
        ] {
            let error = error(&format!("description = \"x\"\n# a comment\n{line}\n"));
            assert_eq!((error.line, error.key.as_str()), (3, key), "{line}");
            assert!(error.message.contains(says), "{line}: {error}");
        }
    }
}
