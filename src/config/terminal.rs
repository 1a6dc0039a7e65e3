//! `[terminal]`: which key is kept back in a person's session, and what line ends become there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, Place, expand_home};

/// How a person's session is, unless the command line says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalConfig {
    /// The key that is kept back.
    pub escape: EscapeKey,
    /// What RETURN sends.
    pub sends: Return,
    /// What a received line end shows.
    pub shows: Shows,
    /// What is typed is shown by us, for a host that does not echo.
    pub local_echo: bool,
    /// A transfer begins when the host's `sz` or `rz` says so.
    pub zmodem: bool,
    /// Where files go that the host sends.
    pub downloads: PathBuf,
}

impl Default for TerminalConfig {
    fn default() -> Self {
        Self {
            escape: EscapeKey::default(),
            sends: Return::default(),
            shows: Shows::default(),
            local_echo: false,
            zmodem: true,
            downloads: expand_home("~/Downloads"),
        }
    }
}

/// The key behind which ours are, and not the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EscapeKey {
    /// Wherever it is typed: a control character, as telnet has it.
    Anywhere(u8),
    /// At the start of a line only: a sign, as ssh and cu have it.
    LineStart(u8),
    /// There is none: every byte goes to the host.
    Never,
}

impl Default for EscapeKey {
    /// Ctrl-], as telnet has it.
    fn default() -> Self {
        Self::Anywhere(0x1d)
    }
}

impl FromStr for EscapeKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.as_bytes() {
            b"none" => Ok(Self::Never),
            // The column of ASCII that Ctrl makes of these; ^[ begins every function key, so it cannot be.
            [b'^', letter @ (b'@'..=b'Z' | b'a'..=b'z' | b'\\'..=b'_')] => {
                Ok(Self::Anywhere(letter.to_ascii_uppercase() & CONTROL_COLUMN))
            }
            [sign] if sign.is_ascii_punctuation() => Ok(Self::LineStart(*sign)),
            _ => Err(format!(
                "{text:?} is no escape key: a control character is written \"^]\" or \"^A\", a key at the start \
                 of a line is a sign such as \"~\", and \"none\" is none"
            )),
        }
    }
}

impl fmt::Display for EscapeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Anywhere(byte) => write!(f, "Ctrl-{}", char::from(byte | !CONTROL_COLUMN & 0x40)),
            Self::LineStart(byte) => write!(f, "{}", char::from(byte)),
            Self::Never => f.write_str("no key"),
        }
    }
}

/// What RETURN sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Return {
    /// As terminals do.
    #[default]
    Cr,
    /// As files have it.
    Lf,
    /// Both.
    CrLf,
}

impl Return {
    /// The bytes.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Cr => b"\r",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }
}

/// What a received line end shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shows {
    /// What it is: CR goes to the start of the line, LF down.
    #[default]
    #[serde(rename = "as-is")]
    AsIs,
    /// A lone LF begins a new line.
    Lf,
    /// A lone CR begins a new line.
    Cr,
}

/// `[terminal]`, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TerminalToml {
    escape: Option<Spanned<String>>,
    #[serde(rename = "return")]
    sends: Option<Return>,
    received: Option<Shows>,
    local_echo: Option<bool>,
    zmodem: Option<bool>,
    downloads: Option<Spanned<String>>,
}

pub(super) fn check_terminal(raw: &TerminalToml, place: &Place<'_>) -> Result<TerminalConfig, ConfigError> {
    let escape = match &raw.escape {
        None => EscapeKey::default(),
        Some(key) => key.get_ref().parse().map_err(|message| place.wrong(key.span(), message))?,
    };
    let usual = TerminalConfig::default();
    let downloads = match &raw.downloads {
        None => usual.downloads,
        Some(folder) if folder.get_ref().is_empty() => {
            return Err(place.wrong(folder.span(), "`downloads` is not a path".to_owned()));
        }
        Some(folder) => expand_home(folder.get_ref()),
    };
    Ok(TerminalConfig {
        escape,
        sends: raw.sends.unwrap_or(usual.sends),
        shows: raw.received.unwrap_or(usual.shows),
        local_echo: raw.local_echo.unwrap_or(usual.local_echo),
        zmodem: raw.zmodem.unwrap_or(usual.zmodem),
        downloads,
    })
}

/// The bits that Ctrl leaves of a letter.
const CONTROL_COLUMN: u8 = 0x1f;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    fn terminal(keys: &str) -> Result<TerminalConfig, String> {
        let text = format!("[terminal]\n{keys}\n");
        let parsed = Config::parse(&text, Path::new("config.toml"));
        parsed.map(|config| config.terminal).map_err(|error| error.to_string())
    }

    #[test]
    fn an_escape_key_is_a_control_character_or_a_sign_at_the_start_of_a_line() {
        for (text, key, shown) in [
            ("^]", EscapeKey::Anywhere(0x1d), "Ctrl-]"),
            ("^A", EscapeKey::Anywhere(1), "Ctrl-A"),
            ("^a", EscapeKey::Anywhere(1), "Ctrl-A"),
            ("^\\", EscapeKey::Anywhere(0x1c), "Ctrl-\\"),
            ("^_", EscapeKey::Anywhere(0x1f), "Ctrl-_"),
            ("~", EscapeKey::LineStart(b'~'), "~"),
            ("none", EscapeKey::Never, "no key"),
        ] {
            assert_eq!(text.parse(), Ok(key));
            assert_eq!(key.to_string(), shown);
        }
        for bad in ["", "^", "^[", "^1", "a", "~~", "\u{e4}", "^AA"] {
            assert_eq!(bad.parse::<EscapeKey>().is_ok(), bad == "^", "{bad}");
        }
    }

    #[test]
    fn the_terminal_s_keys_are_read_and_what_is_wrong_is_told_with_its_line() {
        assert_eq!(terminal(""), Ok(TerminalConfig::default()));
        let keys =
            "escape = \"~\"\nreturn = \"crlf\"\nreceived = \"lf\"\nlocal_echo = true\nzmodem = false\n";
        let own = terminal(&format!("{keys}downloads = \"/tmp/in\"")).unwrap();
        let expected = TerminalConfig {
            escape: EscapeKey::LineStart(b'~'),
            sends: Return::CrLf,
            shows: Shows::Lf,
            local_echo: true,
            zmodem: false,
            downloads: "/tmp/in".into(),
        };
        assert_eq!(own, expected);
        for (keys, says) in [
            ("escape = \"esc\"", "^]"),
            ("return = \"x\"", "crlf"),
            ("downloads = \"\"", "not a path"),
            ("escap = \"~\"", "escap"),
        ] {
            let message = terminal(keys).unwrap_err();
            assert!(message.starts_with("config.toml:2: ") && message.contains(says), "{message}");
        }
    }
}
