//! What the user wrote: lines and accounts, parsed and checked before anything is dialled.
//!
//! A key that is not known, a line that is not there, a password that others can read: each is an
//! error here that names file, line and remedy, because finding out after the call costs line time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::modem::{self, DialRules, Location, Profile, ProfileError, SpeakerChoice};

mod calling;
mod dialling;
mod modems;
mod password;
pub use calling::Calling;
use calling::{AnswerToml, DialBackToml, check_calling};
pub use dialling::Redial;
pub use modems::{ModemFolders, ModemUse};
pub use password::PasswordSource;

/// The whole configuration file.
#[derive(Debug, Default)]
pub struct Config {
    /// Where the lines are.
    pub location: Option<Location>,
    /// Ways to a host, by name.
    pub lines: BTreeMap<String, LineConfig>,
    /// Mailboxes, by name.
    pub accounts: BTreeMap<String, AccountConfig>,
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

/// The kinds of pipe.
#[derive(Debug, Clone)]
pub enum LineKind {
    /// A serial port, or a PTY that stands for one.
    Serial {
        /// The device, as `/dev/ttyUSB0`.
        device: PathBuf,
        /// Bits a second between computer and modem.
        speed: u32,
        /// Flow control.
        flow: Flow,
    },
    /// Any command on a terminal of its own: `ssh -tt host`, a shell.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// Flow control between computer and modem.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// RTS and CTS, in hardware.
    #[default]
    RtsCts,
    /// XON and XOFF, in the data.
    XonXoff,
    /// None.
    None,
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
    /// The mailbox's path on the host; `None` is what the host calls `$MAIL`.
    pub mailbox: Option<String>,
    /// Where mail goes; `None` until the account is given one.
    pub deliver: Option<Deliver>,
    /// How the bytes are carried.
    pub transfer: TransferChoice,
    /// Whether a call that fails is made again within the same run, and how patiently.
    pub redial: Option<Redial>,
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
    /// ZMODEM where the host has `sz`, else text.
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
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
            _ => ConfigError::Unreadable { path: path.to_owned(), error },
        })?;
        Self::parse(&text, path)
    }

    /// Parses and checks a text; `path` is for error messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let place = Place { text, path };
        let modems = ModemFolders::beside(path);
        let file: FileToml = toml::from_str(text)
            .map_err(|error| place.wrong(error.span().unwrap_or(0..0), tidy(error.message())))?;
        let location = file.location.map(|raw| dialling::check_location(&raw, &place)).transpose()?;
        let mut config = Self { location, ..Self::default() };
        for (name, line) in file.line {
            let checked = check_line(&line, &modems, config.location.as_ref(), &place)?;
            config.lines.insert(name, checked);
        }
        for (name, account) in file.account {
            let checked = check_account(&name, &account, &config.lines, &place)?;
            config.accounts.insert(name, checked);
        }
        Ok(config)
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
    #[serde(default)]
    line: BTreeMap<String, Spanned<LineToml>>,
    #[serde(default)]
    account: BTreeMap<String, Spanned<AccountToml>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineToml {
    kind: Spanned<String>,
    device: Option<String>,
    speed: Option<Spanned<u32>>,
    flow: Option<Flow>,
    modem: Option<Spanned<String>>,
    speaker: Option<Spanned<SpeakerChoice>>,
    error_correction: Option<Spanned<bool>>,
    compression: Option<Spanned<bool>>,
    init: Option<Spanned<Vec<String>>>,
    find_speed: Option<Spanned<bool>>,
    dial_wait: Option<Spanned<u64>>,
    lock_dir: Option<Spanned<String>>,
    command: Option<Spanned<Vec<String>>>,
    address: Option<Spanned<String>>,
    prefix: Option<Spanned<String>>,
    pulse: Option<Spanned<bool>>,
    location: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountToml {
    line: Spanned<OneOrMore>,
    phone: Option<Spanned<OneOrMore>>,
    dial_back: Option<Spanned<DialBackToml>>,
    answer: Option<Spanned<AnswerToml>>,
    user: Option<Spanned<String>>,
    password: Option<Spanned<PasswordSource>>,
    mailbox: Option<Spanned<String>>,
    deliver: Option<Spanned<DeliverToml>>,
    keep: Option<Spanned<bool>>,
    #[serde(default)]
    transfer: TransferChoice,
    redial: Option<Spanned<dialling::RedialToml>>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn list(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::More(more) => more.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ maildir = \"~/Mail/home\" } or { mbox = \"~/mail/home\" }")]
struct DeliverToml {
    maildir: Option<String>,
    mbox: Option<String>,
}

/// Where an error stands: turns a byte range of the file into its line number.
struct Place<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Place<'_> {
    fn wrong(&self, span: Range<usize>, message: String) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
        ConfigError::Wrong { path: self.path.to_owned(), line, message }
    }
}

fn check_line(
    line: &Spanned<LineToml>,
    modems: &ModemFolders,
    location: Option<&Location>,
    place: &Place<'_>,
) -> Result<LineConfig, ConfigError> {
    let raw = line.get_ref();
    let refuse = |span: Range<usize>, message: &str| Err(place.wrong(span, message.to_owned()));
    let kind = match raw.kind.get_ref().as_str() {
        "serial" => {
            if let Some(command) = &raw.command {
                return refuse(command.span(), "a serial line has no `command`; it has a `device`");
            }
            let Some(device) = &raw.device else {
                return refuse(
                    raw.kind.span(),
                    "a serial line needs its port: add device = \"/dev/ttyUSB0\" (or what yours is called)",
                );
            };
            let speed = raw.speed.as_ref().map_or(SPEED_DEFAULT, |speed| *speed.get_ref());
            if let Some(given) = raw.speed.as_ref().filter(|_| speed == 0) {
                return refuse(given.span(), "speed is in bits a second: 9600, 57600, 115200");
            }
            LineKind::Serial { device: expand_home(device), speed, flow: raw.flow.unwrap_or_default() }
        }
        "exec" => {
            let Some(command) = raw.command.as_ref().filter(|command| !command.get_ref().is_empty()) else {
                return refuse(
                    raw.kind.span(),
                    "an exec line needs what to run: add command = [\"ssh\", \"-tt\", \"host\"]",
                );
            };
            if raw.device.is_some() || raw.speed.is_some() || raw.flow.is_some() {
                return refuse(
                    raw.kind.span(),
                    "an exec line has no `device`, `speed` or `flow`; it has a `command`",
                );
            }
            LineKind::Exec { command: command.get_ref().clone() }
        }
        "tcp" | "telnet" | "rfc2217" | "file" => {
            let message = format!(
                "this version has no lines of kind {:?}; it has \"serial\" and \"exec\" \
                 (an exec line can run telnet, ssh or socat)",
                raw.kind.get_ref()
            );
            return Err(place.wrong(raw.kind.span(), message));
        }
        other => {
            let message = format!("no line is of kind {other:?}; use \"serial\" or \"exec\"");
            return Err(place.wrong(raw.kind.span(), message));
        }
    };
    if let Some(address) = &raw.address {
        return refuse(
            address.span(),
            "`address` belongs to lines over a network, and this version has none",
        );
    }
    let modem = check_modem(raw, &kind, modems, place)?;
    let modem_use = check_modem_use(raw, modem.as_ref(), place)?;
    if let Some(given) = raw.lock_dir.as_ref().filter(|_| !matches!(kind, LineKind::Serial { .. })) {
        return refuse(given.span(), "`lock_dir` is for a serial port");
    }
    let lock_dir = raw.lock_dir.as_ref().map(|dir| expand_home(dir.get_ref()));
    let own = dialling::LineRules {
        prefix: raw.prefix.as_ref(),
        pulse: raw.pulse.as_ref(),
        location: raw.location.as_ref(),
    };
    let rules = dialling::check_rules(&own, modem.as_ref(), location, place)?;
    Ok(LineConfig { kind, modem, modem_use, rules, lock_dir })
}

fn check_modem(
    raw: &LineToml,
    kind: &LineKind,
    modems: &ModemFolders,
    place: &Place<'_>,
) -> Result<Option<Profile>, ConfigError> {
    let name = match (&raw.modem, kind) {
        (Some(name), _) => name.get_ref().as_str(),
        (None, LineKind::Serial { .. }) => "generic",
        (None, LineKind::Exec { .. }) => "none",
    };
    if name == "none" {
        return Ok(None);
    }
    let known = modems.names();
    if !known.contains(name) {
        let span = raw.modem.as_ref().map_or(0..0, Spanned::span);
        let own = modems.first().map(|folder| format!(", and yours may be in {}", folder.display()));
        let message = format!(
            "no modem profile is called {name:?}; there are {}{}",
            known.into_iter().collect::<Vec<_>>().join(", "),
            own.unwrap_or_default()
        );
        return Err(place.wrong(span, message));
    }
    let profile = modems.load(name)?;
    Ok(profile.dials().then_some(profile))
}

/// The keys that say how the modem is used. On a line without one they mean nothing.
fn check_modem_use(
    raw: &LineToml,
    profile: Option<&Profile>,
    place: &Place<'_>,
) -> Result<ModemUse, ConfigError> {
    let spans = [
        ("speaker", raw.speaker.as_ref().map(Spanned::span)),
        ("error_correction", raw.error_correction.as_ref().map(Spanned::span)),
        ("compression", raw.compression.as_ref().map(Spanned::span)),
        ("init", raw.init.as_ref().map(Spanned::span)),
        ("find_speed", raw.find_speed.as_ref().map(Spanned::span)),
        ("dial_wait", raw.dial_wait.as_ref().map(Spanned::span)),
    ];
    let Some(profile) = profile else {
        return match spans.into_iter().find_map(|(key, span)| Some((key, span?))) {
            None => Ok(ModemUse::default()),
            Some((key, span)) => {
                Err(place.wrong(span, format!("`{key}` is for a modem, and this line has modem = \"none\"")))
            }
        };
    };
    let keys = modems::Raw {
        flow: raw.flow.unwrap_or_default(),
        speaker: raw.speaker.as_ref().map(|speaker| *speaker.get_ref()),
        error_correction: raw.error_correction.as_ref().map(|on| *on.get_ref()),
        compression: raw.compression.as_ref().map(|on| *on.get_ref()),
        init: raw.init.as_ref().map_or(&[], |init| init.get_ref()),
        find_speed: raw.find_speed.as_ref().map(|on| *on.get_ref()),
        dial_wait: raw.dial_wait.as_ref().map(|seconds| *seconds.get_ref()),
    };
    keys.check(profile).map_err(|(key, message)| {
        let span = spans.into_iter().find_map(|(name, span)| span.filter(|_| name == key));
        place.wrong(span.unwrap_or(0..0), format!("`{key}`: {message}"))
    })
}

fn check_account(
    name: &str,
    account: &Spanned<AccountToml>,
    lines: &BTreeMap<String, LineConfig>,
    place: &Place<'_>,
) -> Result<AccountConfig, ConfigError> {
    let raw = account.get_ref();
    let names = raw.line.get_ref().list();
    if names.is_empty() {
        return Err(place.wrong(raw.line.span(), "`line` is an empty list; name a line".to_owned()));
    }
    let phones = raw.phone.as_ref().map(|phone| phone.get_ref().list()).unwrap_or_default();
    let calling = check_calling(raw, &names, lines, place)?;
    let dials = !matches!(calling, Calling::HostCalls { .. });
    if let Some(redial) = raw.redial.as_ref().filter(|_| !dials) {
        let message = "`answer` waits for the host's call, so there is nothing to redial: remove `redial`";
        return Err(place.wrong(redial.span(), message.to_owned()));
    }
    for line in &names {
        let Some(known) = lines.get(line) else {
            let message = format!("account {name:?} uses line {line:?}, but there is no [line.{line}]");
            return Err(place.wrong(raw.line.span(), message));
        };
        if known.modem.is_some() && dials && phones.is_empty() {
            let message = format!(
                "account {name:?} dials through line {line:?} but has no number: add phone = \"...\", \
                 or answer = true if the host calls, or modem = \"none\" to the line if it is connected already"
            );
            return Err(place.wrong(raw.line.span(), message));
        }
    }
    if let Some(keep) = raw.keep.as_ref().filter(|keep| !keep.get_ref()) {
        return Err(place.wrong(
            keep.span(),
            "this version always leaves mail on the host: say keep = true, or leave `keep` out".to_owned(),
        ));
    }
    if let Some(user) =
        raw.user.as_ref().filter(|user| user.get_ref().is_empty() || has_control(user.get_ref()))
    {
        return Err(place.wrong(user.span(), "`user` is empty or has control characters in it".to_owned()));
    }
    if let Some(mailbox) =
        raw.mailbox.as_ref().filter(|path| path.get_ref().is_empty() || path.get_ref().contains('\0'))
    {
        return Err(place
            .wrong(mailbox.span(), "`mailbox` is not a path; leave it out for the host's $MAIL".to_owned()));
    }
    for line in names.iter().filter_map(|name| lines.get(name)) {
        let Some(profile) = &line.modem else { continue };
        for number in &phones {
            let span = raw.phone.as_ref().map_or(0..0, Spanned::span);
            modem::check_number(profile, &line.rules, number)
                .map_err(|bad| place.wrong(span, bad.to_string()))?;
        }
    }
    if let Some(source) = &raw.password {
        source.get_ref().check().map_err(|message| place.wrong(source.span(), message))?;
    }
    Ok(AccountConfig {
        lines: names,
        phones,
        calling,
        user: raw.user.as_ref().map(|user| user.get_ref().clone()),
        password: raw.password.as_ref().map(|source| source.get_ref().clone()),
        mailbox: raw.mailbox.as_ref().map(|path| path.get_ref().clone()),
        deliver: raw.deliver.as_ref().map(|deliver| check_deliver(deliver, place)).transpose()?,
        transfer: raw.transfer,
        redial: match &raw.redial {
            Some(redial) => dialling::check_redial(redial, place)?,
            None => None,
        },
    })
}

fn check_deliver(deliver: &Spanned<DeliverToml>, place: &Place<'_>) -> Result<Deliver, ConfigError> {
    match deliver.get_ref() {
        DeliverToml { maildir: Some(path), mbox: None } if !path.is_empty() => {
            Ok(Deliver::Maildir(expand_home(path)))
        }
        DeliverToml { maildir: None, mbox: Some(path) } if !path.is_empty() => {
            Ok(Deliver::Mbox(expand_home(path)))
        }
        _ => Err(place.wrong(
            deliver.span(),
            "`deliver` is one of { maildir = \"~/Mail/home\" } and { mbox = \"~/mail/home\" }".to_owned(),
        )),
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

/// Bits a second when the line does not say: what every modem since V.34 takes.
pub const SPEED_DEFAULT: u32 = 57_600;

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
        let cases: [(&str, &str, usize, &str); 8] = [
            ("kind = \"serial\"", "kind = \"cereal\"", 3, "cereal"),
            ("device = \"/dev/ttyUSB0\"\n", "\n", 3, "device"),
            ("modem = \"generic\"", "modem = \"bogus\"", 7, "generic"),
            ("line = [\"usr\"]", "line = \"gone\"", 14, "[line.gone]"),
            ("phone = \"+1 555 1212\"\n", "\n", 14, "phone"),
            ("keep = true", "keep = false", 20, "leaves mail"),
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

    #[test]
    fn an_unknown_account_is_answered_with_those_there_are() {
        let config = Config::parse(GOOD, Path::new("config.toml")).unwrap();
        assert!(config.account("hoem").unwrap_err().to_string().contains("home, work"));
    }
}
