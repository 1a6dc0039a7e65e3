//! Where a password comes from: a command, an environment variable, a file, the keyring, or the person.

use std::process::Stdio;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{ConfigError, expand_home};
use crate::secret::{Secret, keep_out_of_dumps};

mod command;
mod file;
mod keyring;
pub use command::{RunningCommand, SecretCommand};
use keyring::KeyringEntry;

/// A source of a password, never the password itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The first line that a command prints.
    Command(SecretCommand),
    /// An environment variable.
    Env(String),
    /// The first line of a file that nobody else can read.
    File(String),
    /// The desktop's keyring.
    Keyring(KeyringEntry),
}

/// Written by hand: a derived error quotes what stands there, and that may be the password itself.
impl<'de> Deserialize<'de> for PasswordSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let refused = || D::Error::custom(EXPECTED);
        let toml::Value::Table(table) = toml::Value::deserialize(deserializer)? else {
            return Err(refused());
        };
        let mut entries = table.into_iter();
        let (Some((key, value)), None) = (entries.next(), entries.next()) else { return Err(refused()) };
        match (key.as_str(), value) {
            ("command", toml::Value::Array(words)) => {
                let word = |word: toml::Value| word.as_str().map(str::to_owned);
                let words = words.into_iter().map(word).collect::<Option<_>>().ok_or_else(refused)?;
                Ok(Self::Command(SecretCommand::new(words)))
            }
            ("env", toml::Value::String(name)) => Ok(Self::Env(name)),
            ("file", toml::Value::String(path)) => Ok(Self::File(path)),
            ("keyring", toml::Value::String(entry)) => Ok(Self::Keyring(KeyringEntry::new(&entry))),
            (_, _) => Err(refused()),
        }
    }
}

impl PasswordSource {
    /// What is wrong with the source as written.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::Command(command) if command.words.is_empty() => {
                Err("the password's command is empty".to_owned())
            }
            Self::Keyring(entry) => entry.check(),
            Self::Command(_) | Self::Env(_) | Self::File(_) => Ok(()),
        }
    }

    /// Fetches the password for `account`.
    pub fn read(&self, account: &str) -> Result<Secret, ConfigError> {
        self.read_with(account, Stdio::inherit())
    }

    /// The same; what a command says on its standard error is shown to nobody.
    pub fn read_quietly(&self, account: &str) -> Result<Secret, ConfigError> {
        self.read_with(account, Stdio::null())
    }

    /// What it is, for people. A command's arguments may hold what is nobody's business.
    pub fn told(&self) -> String {
        match self {
            Self::Command(command) => {
                format!("the command {}", command.words.first().map_or("", String::as_str))
            }
            Self::Env(name) => format!("the environment variable {name}"),
            Self::File(path) => format!("the file {}", expand_home(path).display()),
            Self::Keyring(entry) => format!("the keyring's {entry}"),
        }
    }

    fn read_with(&self, account: &str, complaints: Stdio) -> Result<Secret, ConfigError> {
        keep_out_of_dumps();
        let read = match self {
            // `var` gives a copy, which becomes the secret; that of the system stays in our environment.
            Self::Env(name) => match std::env::var(name) {
                Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
                _ => Err(format!("the environment variable {name} is not set")),
            },
            Self::File(path) => file::read(&expand_home(path)),
            Self::Command(command) => command.run(complaints),
            Self::Keyring(entry) => entry.read(),
        };
        read.map_err(|why| ConfigError::NoPassword { account: account.to_owned(), why })
    }
}

/// The first line of what was read, if it is text and not empty.
fn first_line(read: &[u8]) -> Option<Result<Secret, NoText>> {
    let line = read.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // The error of the standard library holds what it could not read.
    let text = std::str::from_utf8(line).map_err(|_| NoText);
    (!line.is_empty()).then(|| text.map(|text| Secret::new(text.to_owned())))
}

/// What was read is no UTF-8.
struct NoText;

/// A buffer for a password's line, which never grows and so leaves no copy behind.
fn line_buffer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(vec![0; LINE_MAX])
}

/// What may stand behind `password =`.
const EXPECTED: &str = "`password` is one of { command = [\"pass\", \"show\", \"home\"] }, { env = \"NAME\" }, \
                        { file = \"path\" } and { keyring = \"service/user\" }; the password itself does not \
                        belong in this file";

/// Bytes of a password's line.
const LINE_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn whoever_holds_a_password_dumps_no_core() {
        let source = PasswordSource::Env("PATH".to_owned());
        assert!(source.read("home").is_ok_and(|secret| !secret.expose().is_empty()));
        assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));
    }

    #[test]
    fn a_line_ends_at_its_line_end_whatever_that_is() {
        let read =
            |bytes: &[u8]| first_line(bytes).and_then(Result::ok).map(|secret| secret.expose().to_owned());
        for text in ["a b", "a b\n", "a b\r\n", "a b\nmore\n"] {
            assert_eq!(read(text.as_bytes()).as_deref(), Some("a b"), "{text:?}");
        }
        assert_eq!(read(b"a\rb\n").as_deref(), Some("a\rb"));
        assert!(first_line(b"\nsecond").is_none() && first_line(b"").is_none());
        assert!(first_line(b"\xff\n").is_some_and(|line| line.is_err()));
    }
}
