//! The kinds of line: what each of them needs, and which keys belong to which.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;

use super::LineToml;
use crate::config::{ConfigError, Place, expand_home};
use crate::line::telnet::TELNET_PORT;
use crate::line::{Address, Framing};
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
}

impl Default for PortConfig {
    fn default() -> Self {
        Self { speed: SPEED_DEFAULT, flow: FlowChoice::default(), framing: Framing::default() }
    }
}

/// A command.
#[derive(Debug, Clone)]
pub struct ExecCommand {
    /// Program and arguments.
    pub command: Vec<String>,
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
        "telnet" => {
            let remote = check_remote(raw, Some(TELNET_PORT), place)?;
            let binary = raw.binary.as_ref().is_none_or(|binary| *binary.get_ref());
            LineKind::Telnet(TelnetHost { remote, binary })
        }
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
        ("command", at(&raw.command), &["exec"]),
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
    Ok(PortConfig { speed, flow, ..usual })
}

fn check_exec(raw: &LineToml, place: &Place<'_>) -> Result<ExecCommand, ConfigError> {
    let Some(command) = raw.command.as_ref().filter(|command| !command.get_ref().is_empty()) else {
        let message = "an exec line needs what to run: add command = [\"ssh\", \"-tt\", \"host\"]";
        return Err(place.wrong(raw.kind.span(), message.to_owned()));
    };
    Ok(ExecCommand { command: command.get_ref().clone() })
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
/// How long connecting may take unless the line says.
const CONNECT_WAIT: Duration = Duration::from_secs(30);
/// What a line may say, in seconds: a satellite link takes a few, and nobody waits longer.
const CONNECT_WAIT_BOUNDS: std::ops::RangeInclusive<u64> = 1..=300;
