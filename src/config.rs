//! What the user wrote: lines and accounts, parsed and checked before anything is dialled.
//!
//! A key that is not known, a line that is not there, a password that others can read: each is an
//! error here that names file, line and remedy, because finding out after the call costs line time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::login::script::Script;
use crate::modem::{DialRules, Location, Profile, ProfileError};

mod account;
mod calling;
mod dialling;
mod line;
mod login;
mod modems;
mod otp;
mod password;
mod terminal;
use account::{AccountToml, check_account};
pub use calling::Calling;
pub use dialling::Redial;
pub use line::{
    ExecCommand, LineKind, PortConfig, Remote, RemotePort, SPEED_DEFAULT, SerialPort, TelnetHost, Window,
};
use line::{LineToml, check_line};
pub use modems::{ModemFolders, ModemUse};
pub use otp::CodeSource;
pub use password::{PasswordSource, RunningCommand, SecretCommand};
pub use terminal::{EscapeKey, Return, Shows, TerminalConfig};
use terminal::{TerminalToml, check_terminal};

/// The whole configuration file.
#[derive(Debug, Default)]
pub struct Config {
    /// Where the lines are.
    pub location: Option<Location>,
    /// Ways to a host, by name.
    pub lines: BTreeMap<String, LineConfig>,
    /// Mailboxes, by name.
    pub accounts: BTreeMap<String, AccountConfig>,
    /// How a person's session is.
    pub terminal: TerminalConfig,
}

/// One `[line.NAME]`: how bytes reach the host.
#[derive(Debug, Clone)]
pub struct LineConfig {
    /// The pipe itself.
    pub kind: LineKind,
    /// The modem on it; `None` when the line is already connected.
    pub modem: Option<Profile>,
    /// How the modem is to be used.
    pub modem_use: ModemUse,
    /// How it dials.
    pub rules: DialRules,
    /// Where UUCP lock files are; `None` is the system's usual folder.
    pub lock_dir: Option<PathBuf>,
}

impl LineConfig {
    /// A line of this kind with a modem that is used as usual, or without one.
    pub fn new(kind: LineKind, modem: Option<Profile>) -> Self {
        Self { kind, modem, modem_use: ModemUse::default(), rules: DialRules::default(), lock_dir: None }
    }
}

/// One `[account.NAME]`: a mailbox and how to get at it.
#[derive(Debug, Clone)]
pub struct AccountConfig {
    /// Names of lines, tried in order until one is free.
    pub lines: Vec<String>,
    /// Numbers, tried in order. Empty on a line without a modem, and where only the host calls.
    pub phones: Vec<String>,
    /// Who calls whom.
    pub calling: Calling,
    /// Login name; `None` for a line that is at a shell already.
    pub user: Option<String>,
    /// Where the password comes from; asked for when absent.
    pub password: Option<PasswordSource>,
    /// Where one-time codes come from; asked for when absent and wanted.
    pub otp: Option<CodeSource>,
    /// How one logs in there; `None` is automatically.
    pub login: Option<Script>,
    /// Whether a line leads to the mailbox, or a path does.
    pub way: Way,
    /// The mailbox's path, on the host or here; `None` is what is called `$MAIL` there.
    pub mailbox: Option<String>,
    /// Where mail goes; `None` until the account is given one.
    pub deliver: Option<Deliver>,
    /// Mail stays on the host; if not, what is here is removed there.
    pub keep: bool,
    /// How the bytes are carried.
    pub transfer: TransferChoice,
    /// Whether a call that fails is made again within the same run, and how patiently.
    pub redial: Option<Redial>,
}

impl AccountConfig {
    /// No mailbox, only a line that is at a shell, or at whatever it leads to.
    pub fn at_shell(line: &str) -> Self {
        Self {
            lines: vec![line.to_owned()],
            phones: Vec::new(),
            calling: Calling::WeCall,
            user: None,
            password: None,
            otp: None,
            login: None,
            mailbox: None,
            deliver: None,
            transfer: TransferChoice::Auto,
            redial: None,
            keep: true,
            way: Way::Line,
        }
    }
}

/// How a mailbox is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Way {
    /// By a line and the shell at its other end.
    #[default]
    Line,
    /// By a path on this machine.
    Path,
    /// By a path on this machine, to a Maildir.
    Maildir,
}

/// Where mail is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deliver {
    /// A Maildir folder.
    Maildir(PathBuf),
    /// An mbox file, appended to.
    Mbox(PathBuf),
}

/// The in-band protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransferChoice {
    /// Text where the host has gzip, or little is to come; else ZMODEM if it has `sz`, else text.
    #[default]
    Auto,
    /// ZMODEM; the host must have `sz`.
    Zmodem,
    /// Checked text, which needs nothing but a shell.
    Text,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("there is no configuration at {0}; `mailcall demo` shows a call without one")]
    Missing(PathBuf),
    /// The file is there and cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}:{line}: {message}", path = path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A modem profile that a line uses is wrong.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The line asked for is not in the file.
    #[error("there is no line {name:?} in the configuration; it has {known}")]
    NoSuchLine {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The account asked for is not in the file.
    #[error("there is no account {name:?} in the configuration; it has {known}")]
    NoSuchAccount {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No password could be had.
    #[error("no password for account {account:?}: {why}")]
    NoPassword {
        /// The account.
        account: String,
        /// What went wrong with its source.
        why: String,
    },
}

impl Config {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let (text, read_by_others) = read_text(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
            _ => ConfigError::Unreadable { path: path.to_owned(), error },
        })?;
        Self::parse_from(&text, &Place { text: &text, path, read_by_others })
    }

    /// Parses and checks a text; `path` is for error messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse_from(text, &Place { text, path, read_by_others: false })
    }

    fn parse_from(text: &str, place: &Place<'_>) -> Result<Self, ConfigError> {
        let modems = ModemFolders::beside(place.path);
        let file: FileToml = toml::from_str(text)
            .map_err(|error| place.wrong(error.span().unwrap_or(0..0), tidy(error.message())))?;
        let location = file.location.map(|raw| dialling::check_location(&raw, place)).transpose()?;
        let terminal = file.terminal.map(|raw| check_terminal(&raw, place)).transpose()?.unwrap_or_default();
        let mut config = Self { location, terminal, ..Self::default() };
        for (name, line) in file.line {
            let checked = check_line(&line, &modems, config.location.as_ref(), place)?;
            config.lines.insert(name, checked);
        }
        for (name, account) in file.account {
            let checked = check_account(&name, &account, &config.lines, place)?;
            config.accounts.insert(name, checked);
        }
        config.hide_passwords();
        Ok(config)
    }

    /// No command that we start is to find a password in its environment, whosever it is.
    fn hide_passwords(&mut self) {
        let sources = self.accounts.values().filter_map(|account| account.password.as_ref());
        let hidden: Vec<String> = sources
            .filter_map(|source| match source {
                PasswordSource::Env(name) => Some(name.clone()),
                PasswordSource::Command(_) | PasswordSource::File(_) | PasswordSource::Keyring(_) => None,
            })
            .collect();
        for line in self.lines.values_mut() {
            if let LineKind::Exec(exec) = &mut line.kind {
                exec.hidden_env.clone_from(&hidden);
            }
        }
        for account in self.accounts.values_mut() {
            if let Some(PasswordSource::Command(command)) = &mut account.password {
                command.hidden_env.clone_from(&hidden);
            }
            if let Some(source) = &mut account.otp {
                source.hidden_env.clone_from(&hidden);
            }
        }
    }

    /// The account of this name.
    pub fn account(&self, name: &str) -> Result<&AccountConfig, ConfigError> {
        self.accounts.get(name).ok_or_else(|| ConfigError::NoSuchAccount {
            name: name.to_owned(),
            known: listed(self.accounts.keys()),
        })
    }

    /// The line of this name.
    pub fn line(&self, name: &str) -> Result<&LineConfig, ConfigError> {
        self.lines.get(name).ok_or_else(|| ConfigError::NoSuchLine {
            name: name.to_owned(),
            known: listed(self.lines.keys()),
        })
    }
}

/// The file, and whether others can read it; unless it is far too long for what it should be: a device that
/// never ends, a mailbox.
fn read_text(path: &Path) -> std::io::Result<(Zeroizing<String>, bool)> {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path)?;
    let read_by_others = file.metadata()?.permissions().mode() & 0o077 != 0;
    file.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            "it is too long for a configuration",
        ));
    }
    Ok((text, read_by_others))
}

/// Bytes of a configuration: more than anybody writes.
const FILE_MAX: u64 = 1 << 20;

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names = names.map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.is_empty() { "none".to_owned() } else { names }
}

/// `$XDG_CONFIG_HOME/mailcall/config.toml`, or under `~/.config`.
pub fn default_path() -> Option<PathBuf> {
    xdg("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("config.toml"))
}

/// `$XDG_STATE_HOME/mailcall`, or under `~/.local/state`.
pub fn default_state() -> Option<PathBuf> {
    xdg("XDG_STATE_HOME", ".local/state")
}

/// The XDG base directory specification: a relative path in the variable is to be ignored.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(below_home)))?;
    Some(base.join("mailcall"))
}

/// Replaces a leading `~/` by the home directory.
pub fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileToml {
    location: Option<Spanned<dialling::LocationToml>>,
    terminal: Option<TerminalToml>,
    #[serde(default)]
    line: BTreeMap<String, Spanned<LineToml>>,
    #[serde(default)]
    account: BTreeMap<String, Spanned<AccountToml>>,
}

/// Where an error stands: turns a byte range of the file into its line number.
struct Place<'a> {
    text: &'a str,
    path: &'a Path,
    /// Others than the file's owner can read it, or write to it.
    read_by_others: bool,
}

impl Place<'_> {
    fn wrong(&self, span: Range<usize>, message: String) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
        ConfigError::Wrong { path: self.path.to_owned(), line, message }
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// The parser's message on one line, in the words of a file and not of a program.
fn tidy(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    PARSER_WORDS.iter().fold(line, |line, (theirs, ours)| line.replace(theirs, ours))
}

const PARSER_WORDS: [(&str, &str); 6] = [
    ("unknown field", "unknown key"),
    ("missing field", "there is no"),
    ("unknown variant", "unknown value"),
    ("expected u32", "expected a whole number, not in quotes"),
    ("expected a sequence", "expected a list: [\"program\", \"argument\"]"),
    ("expected a boolean", "expected true or false"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[line.usr]
kind = "serial"
device = "/dev/ttyUSB0"
speed = 57600
flow = "rtscts"
modem = "generic"

[line.ssh]
kind = "exec"
command = ["ssh", "-tt", "host"]

[account.home]
line = ["usr"]
phone = "+1 555 1212"
user = "mary"
password = { command = ["pass", "show", "home"] }
mailbox = "/var/mail/mary"
deliver = { maildir = "/tmp/Mail" }
keep = true

[account.work]
line = "ssh"
transfer = "text"
"#;

    fn refused(text: &str) -> String {
        Config::parse(text, Path::new("config.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_design_s_example_is_understood() {
        let config = Config::parse(GOOD, Path::new("config.toml")).unwrap();
        let home = config.account("home").unwrap();
        assert_eq!(home.phones, ["+1 555 1212"]);
        assert_eq!(home.deliver, Some(Deliver::Maildir("/tmp/Mail".into())));
        assert!(config.lines["usr"].modem.is_some(), "a serial line has a modem unless it says none");
        assert!(config.lines["ssh"].modem.is_none(), "a command is connected already");
        assert_eq!(config.account("work").unwrap().transfer, TransferChoice::Text);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let message = refused(&GOOD.replace("speed = 57600", "sped = 57600"));
        assert!(message.starts_with("config.toml:5: "), "{message}");
        assert!(message.contains("sped"), "{message}");
        let message = refused(&GOOD.replace("keep = true", "kepe = true"));
        assert!(message.starts_with("config.toml:20: ") && message.contains("kepe"), "{message}");
    }

    #[test]
    fn wrong_values_are_refused_with_their_line_and_what_would_be_right() {
        let cases: [(&str, &str, usize, &str); 7] = [
            ("kind = \"serial\"", "kind = \"cereal\"", 3, "cereal"),
            ("device = \"/dev/ttyUSB0\"\n", "\n", 3, "device"),
            ("modem = \"generic\"", "modem = \"bogus\"", 7, "generic"),
            ("line = [\"usr\"]", "line = \"gone\"", 14, "[line.gone]"),
            ("phone = \"+1 555 1212\"\n", "\n", 14, "phone"),
            ("deliver = { maildir = \"/tmp/Mail\" }", "deliver = { }", 19, "maildir"),
            ("transfer = \"text\"", "transfer = \"smoke\"", 24, "zmodem"),
        ];
        for (good, bad, line, says) in cases {
            let text = GOOD.replace(good, bad);
            assert_ne!(text, GOOD);
            let message = refused(&text);
            assert!(message.starts_with(&format!("config.toml:{line}: ")), "{message}");
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn lines_of_several_kinds_stand_in_one_list_but_a_path_stands_alone() {
        let more = "[line.far]\nkind = \"tcp\"\naddress = \"host:23\"\n[line.here]\nkind = \"file\"\n";
        let with = |list: &str| format!("{}{more}", GOOD.replace("line = [\"usr\"]", list));
        let config = Config::parse(&with("line = [\"ssh\", \"usr\", \"far\"]"), Path::new("config.toml"));
        assert_eq!(config.unwrap().account("home").unwrap().lines, ["ssh", "usr", "far"]);
        for (list, says) in
            [("line = [\"usr\", \"here\"]", "stands alone"), ("line = [\"usr\", \"ssh\", \"usr\"]", "twice")]
        {
            let message = refused(&with(list));
            assert!(message.starts_with("config.toml:14: ") && message.contains(says), "{message}");
        }
        // A number is needed as soon as one of them dials.
        let message = refused(&with("line = [\"far\", \"usr\"]").replace("phone = \"+1 555 1212\"\n", ""));
        assert!(message.contains("dials through line \"usr\""), "{message}");
    }

    #[test]
    fn a_password_that_stands_in_the_file_is_refused_and_not_shown() {
        let source = "{ command = [\"pass\", \"show\", \"home\"] }";
        for bad in [
            "\"hunter2\"",
            "{ plain = \"hunter2\" }",
            "{ hunter2 = 1 }",
            "{ env = \"A\", file = \"hunter2\" }",
            "{ command = \"hunter2\" }",
            "{ command = [\"hunter2\", 1] }",
            "[\"hunter2\"]",
            "{ }",
        ] {
            let message = refused(&GOOD.replace(source, bad));
            assert!(message.starts_with("config.toml:17: "), "{message}");
            assert!(message.contains("env =") && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_line_s_own_commands_dial_nothing() {
        let message = refused(&GOOD.replace("speed = 57600", "init = [\"E0DT5551212\"]"));
        assert!(message.starts_with("config.toml:") && message.contains("an account's `phone`"), "{message}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_told_in_the_file_s_words() {
        let cases = [
            ("speed = 57600", "speed = \"fast\"", "a whole number"),
            ("command = [\"ssh\", \"-tt\", \"host\"]", "command = \"ssh host\"", "a list"),
            ("deliver = { maildir = \"/tmp/Mail\" }", "deliver = \"/tmp/Mail\"", "{ maildir ="),
            ("phone = \"+1 555 1212\"", "phone = 5551212", "a text or a list of texts"),
            ("keep = true", "keep = \"yes\"", "true or false"),
        ];
        for (good, bad, says) in cases {
            let message = refused(&GOOD.replace(good, bad));
            assert!(message.contains(says) && !message.contains("struct"), "{message}");
        }
    }

    /// The parser names the keys that it knows when it meets one that it does not.
    #[test]
    fn every_key_stands_in_a_table_of_the_documentation() {
        let page = include_str!("../docs/configuration.md");
        let first_cells: Vec<&str> = page.lines().filter_map(|line| line.split('|').nth(1)).collect();
        for section in ["line.a", "account.a", "location", "terminal"] {
            let message = refused(&format!("[{section}]\nno-key = 1\n"));
            let (_, known) = message.split_once("expected one of").expect(&message);
            let keys: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            assert!(keys.len() > 3, "{message}");
            // `address` is refused in this version, with its reason.
            for key in keys.into_iter().filter(|&key| key != "address") {
                let told = first_cells.iter().any(|cell| cell.contains(&format!("`{key}`")));
                assert!(told, "[{section}] {key}");
            }
        }
    }

    #[test]
    fn an_unknown_account_is_answered_with_those_there_are() {
        let config = Config::parse(GOOD, Path::new("config.toml")).unwrap();
        assert!(config.account("hoem").unwrap_err().to_string().contains("home, work"));
    }
}
