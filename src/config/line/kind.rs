//! The kinds of line: what each of them needs, and which keys belong to which.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::LineToml;
use crate::config::{ConfigError, Place, expand_home, has_control};
use crate::line::telnet::TELNET_PORT;
use crate::line::{Address, DataBits, Framing, Parity, StopBits};
use crate::modem::FlowChoice;

/// The kinds of pipe.
#[derive(Debug, Clone)]
pub enum LineKind {
    /// A serial port, or a PTY that stands for one.
    Serial(SerialPort),
    /// Any command on a terminal of its own: `ssh -tt host`, a shell.
    Exec(ExecCommand),
    /// A TCP connection: to a modem behind a terminal server, or to a login.
    Tcp(Remote),
    /// A host that answers TELNET (RFC 854).
    Telnet(TelnetHost),
    /// A serial port of a terminal server that is worked over TELNET (RFC 2217).
    Rfc2217(RemotePort),
    /// No pipe at all: the mailbox is a path on this machine.
    File,
}

/// A port of this machine.
#[derive(Debug, Clone)]
pub struct SerialPort {
    /// The device, as `/dev/ttyUSB0`.
    pub device: PathBuf,
    /// How it is used.
    pub settings: PortConfig,
}

impl SerialPort {
    /// A port that is used as usual.
    pub fn new(device: impl Into<PathBuf>) -> Self {
        Self { device: device.into(), settings: PortConfig::default() }
    }
}

/// How a port is used, wherever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortConfig {
    /// Bits a second between port and modem.
    pub speed: u32,
    /// Flow control.
    pub flow: FlowChoice,
    /// Data bits, parity, stop bits.
    pub framing: Framing,
    /// Seven bits and parity are made by software, over a port of eight.
    pub strip: bool,
}

impl PortConfig {
    /// The framing that the port itself is set to.
    pub fn port_framing(&self) -> Framing {
        self.framing.in_eight_bits().filter(|_| self.strip).unwrap_or(self.framing)
    }
}

impl Default for PortConfig {
    fn default() -> Self {
        let framing = Framing::default();
        Self { speed: SPEED_DEFAULT, flow: FlowChoice::default(), framing, strip: false }
    }
}

/// A command.
#[derive(Debug, Clone)]
pub struct ExecCommand {
    /// Program and arguments.
    pub command: Vec<String>,
    /// The terminal that it is told it has.
    pub term: String,
    /// The size of its screen.
    pub window: Window,
    /// Variables that it is given.
    pub env: BTreeMap<String, String>,
    /// It gets of our environment only what is usual.
    pub clean_env: bool,
    /// Variables of ours that it never gets: some account's password stands in them.
    pub hidden_env: Vec<String>,
    /// The folder that it begins in, instead of ours.
    pub folder: Option<PathBuf>,
}

impl ExecCommand {
    /// A command on the usual terminal.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            term: TERM.to_owned(),
            window: Window::default(),
            env: BTreeMap::new(),
            clean_env: true,
            hidden_env: Vec::new(),
            folder: None,
        }
    }
}

/// The size of a terminal's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters in each.
    pub columns: u16,
}

impl Default for Window {
    fn default() -> Self {
        Self { rows: 24, columns: 80 } // a VT100's
    }
}

/// The same, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "{ rows = 24, columns = 80 }")]
pub(super) struct WindowToml {
    rows: Option<u16>,
    columns: Option<u16>,
}

/// The other end of a TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where.
    pub address: Address,
    /// How long connecting may take, over all its addresses.
    pub connect_wait: Duration,
}

/// A host that is logged in to by TELNET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelnetHost {
    /// Where.
    pub remote: Remote,
    /// The terminal that it is told, if it asks.
    pub term: String,
    /// The size of that terminal's screen.
    pub window: Window,
    /// Ask for BINARY (RFC 856), and agree to it.
    pub binary: bool,
}

/// A serial port of a terminal server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePort {
    /// Where.
    pub remote: Remote,
    /// How it is used.
    pub settings: PortConfig,
}

pub(super) fn check_kind(raw: &LineToml, place: &Place<'_>) -> Result<LineKind, ConfigError> {
    let kind = raw.kind.get_ref().as_str();
    if !KINDS.contains(&kind) {
        let known = KINDS.map(|kind| format!("{kind:?}")).join(", ");
        let message = format!("no line is of kind {kind:?}; there are {known}");
        return Err(place.wrong(raw.kind.span(), message));
    }
    refuse_others_keys(raw, kind, place)?;
    Ok(match kind {
        "serial" => LineKind::Serial(check_serial(raw, place)?),
        "exec" => LineKind::Exec(check_exec(raw, place)?),
        "tcp" => LineKind::Tcp(check_remote(raw, None, place)?),
        "telnet" => LineKind::Telnet(check_telnet(raw, place)?),
        "rfc2217" => {
            let remote = check_remote(raw, None, place)?;
            LineKind::Rfc2217(RemotePort { remote, settings: check_port(raw, place)? })
        }
        _ => LineKind::File, // the last of KINDS
    })
}

/// A key that says nothing for this kind of line is a mistake.
fn refuse_others_keys(raw: &LineToml, kind: &str, place: &Place<'_>) -> Result<(), ConfigError> {
    for (key, given, kinds) in keys(raw) {
        if let Some(span) = given.filter(|_| !kinds.contains(&kind)) {
            let kinds = kinds.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(" or ");
            let message = format!("a line of kind {kind:?} has no `{key}`: that is for {kinds}");
            return Err(place.wrong(span, message));
        }
    }
    Ok(())
}

/// A key, where it stands if it is given, and the kinds of line that have it.
type Key = (&'static str, Option<Range<usize>>, &'static [&'static str]);

/// Each key that not every line has.
fn keys(raw: &LineToml) -> Vec<Key> {
    fn at<T>(given: &Option<Spanned<T>>) -> Option<Range<usize>> {
        given.as_ref().map(Spanned::span)
    }
    vec![
        ("device", at(&raw.device), &["serial"]),
        ("lock_dir", at(&raw.lock_dir), &["serial"]),
        ("speed", at(&raw.speed), &["serial", "rfc2217"]),
        ("flow", at(&raw.flow), &["serial", "rfc2217"]),
        ("data_bits", at(&raw.data_bits), &["serial", "rfc2217"]),
        ("parity", at(&raw.parity), &["serial", "rfc2217"]),
        ("stop_bits", at(&raw.stop_bits), &["serial", "rfc2217"]),
        ("strip", at(&raw.strip), &["serial", "rfc2217"]),
        ("command", at(&raw.command), &["exec"]),
        ("term", at(&raw.term), &["exec", "telnet"]),
        ("window", at(&raw.window), &["exec", "telnet"]),
        ("env", at(&raw.env), &["exec"]),
        ("clean_env", at(&raw.clean_env), &["exec"]),
        ("folder", at(&raw.folder), &["exec"]),
        ("address", at(&raw.address), &["tcp", "telnet", "rfc2217"]),
        ("connect_wait", at(&raw.connect_wait), &["tcp", "telnet", "rfc2217"]),
        ("binary", at(&raw.binary), &["telnet"]),
    ]
}

fn check_serial(raw: &LineToml, place: &Place<'_>) -> Result<SerialPort, ConfigError> {
    let Some(device) = &raw.device else {
        let message = "a serial line needs its port: add device = \"/dev/ttyUSB0\" (or what yours is called)";
        return Err(place.wrong(raw.kind.span(), message.to_owned()));
    };
    Ok(SerialPort { device: expand_home(device.get_ref()), settings: check_port(raw, place)? })
}

fn check_port(raw: &LineToml, place: &Place<'_>) -> Result<PortConfig, ConfigError> {
    let usual = PortConfig::default();
    let speed = raw.speed.as_ref().map_or(usual.speed, |speed| *speed.get_ref());
    if let Some(given) = raw.speed.as_ref().filter(|_| speed == 0) {
        let message = "speed is in bits a second: 9600, 57600, 115200";
        return Err(place.wrong(given.span(), message.to_owned()));
    }
    let flow = raw.flow.as_ref().map_or(usual.flow, |flow| *flow.get_ref());
    let framing = check_framing(raw, place)?;
    let strip = raw.strip.as_ref().is_some_and(|strip| *strip.get_ref());
    let seven_of_eight = framing == Framing::default() || framing.in_eight_bits().is_some();
    if let Some(given) = raw.strip.as_ref().filter(|_| strip && !seven_of_eight) {
        let message = format!(
            "`strip` makes seven bits and parity of 8N1, and {framing} cannot be made so: leave `strip` out, \
             or say data_bits = 7 with a parity"
        );
        return Err(place.wrong(given.span(), message));
    }
    Ok(PortConfig { speed, flow, framing, strip })
}

fn check_framing(raw: &LineToml, place: &Place<'_>) -> Result<Framing, ConfigError> {
    let refuse = |span, message: &str| Err(place.wrong(span, message.to_owned()));
    let data_bits = match &raw.data_bits {
        None => DataBits::default(),
        Some(given) => match given.get_ref() {
            5 => DataBits::Five,
            6 => DataBits::Six,
            7 => DataBits::Seven,
            8 => DataBits::Eight,
            _other => return refuse(given.span(), "`data_bits` is 5, 6, 7 or 8"),
        },
    };
    let stop_bits = match &raw.stop_bits {
        None => StopBits::default(),
        Some(given) => match given.get_ref() {
            1 => StopBits::One,
            2 => StopBits::Two,
            _other => return refuse(given.span(), "`stop_bits` is 1 or 2"),
        },
    };
    let parity = raw.parity.as_ref().map_or(Parity::default(), |parity| *parity.get_ref());
    Ok(Framing { data_bits, parity, stop_bits })
}

fn check_exec(raw: &LineToml, place: &Place<'_>) -> Result<ExecCommand, ConfigError> {
    let Some(command) = raw.command.as_ref().filter(|command| !command.get_ref().is_empty()) else {
        let message = "an exec line needs what to run: add command = [\"ssh\", \"-tt\", \"host\"]";
        return Err(place.wrong(raw.kind.span(), message.to_owned()));
    };
    let mut exec = ExecCommand::new(command.get_ref().clone());
    (exec.term, exec.window) = (check_term(raw, place)?, check_window(raw, place)?);
    let refuse = |span, message: &str| Err(place.wrong(span, message.to_owned()));
    if let Some(env) = &raw.env {
        let bad_name = |name: &str| name.is_empty() || name.contains('=') || has_control(name);
        let bad = |(name, value): (&String, &String)| bad_name(name) || value.contains('\0');
        if env.get_ref().iter().any(bad) {
            return refuse(
                env.span(),
                "`env` is { NAME = \"value\" }: a name is not empty and has no = in it",
            );
        }
        exec.env.clone_from(env.get_ref());
    }
    exec.clean_env = raw.clean_env.as_ref().is_none_or(|clean| *clean.get_ref());
    if let Some(folder) = &raw.folder {
        if folder.get_ref().is_empty() || folder.get_ref().contains('\0') {
            return refuse(folder.span(), "`folder` is not a path; leave it out for the folder you are in");
        }
        exec.folder = Some(expand_home(folder.get_ref()));
    }
    Ok(exec)
}

fn check_term(raw: &LineToml, place: &Place<'_>) -> Result<String, ConfigError> {
    let Some(term) = &raw.term else { return Ok(TERM.to_owned()) };
    if term.get_ref().is_empty() || has_control(term.get_ref()) {
        let message = "`term` is a kind of terminal: \"vt100\", \"dumb\"";
        return Err(place.wrong(term.span(), message.to_owned()));
    }
    Ok(term.get_ref().clone())
}

fn check_window(raw: &LineToml, place: &Place<'_>) -> Result<Window, ConfigError> {
    let usual = Window::default();
    let Some(given) = &raw.window else { return Ok(usual) };
    let WindowToml { rows, columns } = *given.get_ref();
    let window = Window { rows: rows.unwrap_or(usual.rows), columns: columns.unwrap_or(usual.columns) };
    if !ROWS_BOUNDS.contains(&window.rows) || !COLUMNS_BOUNDS.contains(&window.columns) {
        let (rows, columns) = (ROWS_BOUNDS, COLUMNS_BOUNDS);
        let message = format!(
            "`window` has {} to {} rows and {} to {} columns",
            rows.start(),
            rows.end(),
            columns.start(),
            columns.end()
        );
        return Err(place.wrong(given.span(), message));
    }
    Ok(window)
}

fn check_telnet(raw: &LineToml, place: &Place<'_>) -> Result<TelnetHost, ConfigError> {
    Ok(TelnetHost {
        remote: check_remote(raw, Some(TELNET_PORT), place)?,
        term: check_term(raw, place)?,
        window: check_window(raw, place)?,
        binary: raw.binary.as_ref().is_none_or(|binary| *binary.get_ref()),
    })
}

fn check_remote(raw: &LineToml, usual_port: Option<u16>, place: &Place<'_>) -> Result<Remote, ConfigError> {
    let Some(address) = &raw.address else {
        let kind = raw.kind.get_ref();
        let message = format!("a {kind} line needs where it leads: add address = \"host:port\"");
        return Err(place.wrong(raw.kind.span(), message));
    };
    let parsed = Address::parse(address.get_ref(), usual_port)
        .map_err(|message| place.wrong(address.span(), format!("`address`: {message}")))?;
    let connect_wait = match &raw.connect_wait {
        Some(given) if !CONNECT_WAIT_BOUNDS.contains(given.get_ref()) => {
            let (least, most) = (CONNECT_WAIT_BOUNDS.start(), CONNECT_WAIT_BOUNDS.end());
            let message = format!("`connect_wait` is in seconds, from {least} to {most}");
            return Err(place.wrong(given.span(), message));
        }
        Some(given) => Duration::from_secs(*given.get_ref()),
        None => CONNECT_WAIT,
    };
    Ok(Remote { address: parsed, connect_wait })
}

const KINDS: [&str; 6] = ["serial", "exec", "tcp", "telnet", "rfc2217", "file"];
/// Bits a second when the line does not say: what every modem since V.34 takes.
pub const SPEED_DEFAULT: u32 = 57_600;
/// The terminal that a command is told it has.
const TERM: &str = "vt100";
/// Lines of a screen.
const ROWS_BOUNDS: std::ops::RangeInclusive<u16> = 2..=1_000;
/// Fewer characters in a line, and editors of command lines begin to scroll in odd ways.
const COLUMNS_BOUNDS: std::ops::RangeInclusive<u16> = 20..=1_000;
/// How long connecting may take unless the line says.
const CONNECT_WAIT: Duration = Duration::from_secs(30);
/// What a line may say, in seconds: a satellite link takes a few, and nobody waits longer.
const CONNECT_WAIT_BOUNDS: std::ops::RangeInclusive<u64> = 1..=300;
