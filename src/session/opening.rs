//! Opening a line of any kind, and what it means for the call when that fails.

use std::ffi::OsString;
use std::path::PathBuf;

use tokio::net::TcpStream;

use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::{ExecCommand, LineConfig, LineKind, PortConfig, Remote, SerialPort, TelnetHost};
use crate::line::exec::{ExecLine, ExecSettings};
use crate::line::rfc2217::{self, RemoteSettings, Rfc2217Line};
use crate::line::serial::{self, OpenError, SerialLine, SerialSettings};
use crate::line::tcp::{self, ConnectError, TcpLine};
use crate::line::telnet::{TelnetLine, TelnetSettings};
use crate::line::{DataBits, Framing, Line, Parity, SevenBit};
use crate::modem::FlowChoice;

/// Opens the line that is described, and tells what went not quite as it should. Ends at once when the
/// user wants to stop: a host may take long to answer. Hosts that ask beforehand who logs in are told
/// `user`.
pub(super) async fn open_unless(
    config: &LineConfig,
    user: Option<&str>,
    interrupted: &mut impl AsyncFnMut() -> &'static str,
    watch: Watch<'_>,
) -> Result<Box<dyn Line>, Failure> {
    let line = tokio::select! {
        opened = open(config, user) => opened?,
        signal = interrupted() => {
            return Err(Failure::new(Ending::Interrupted, Stage::Opening, format!("ended by {signal}")));
        }
    };
    for warning in line.warnings() {
        watch(Progress::Note(warning.clone()));
    }
    Ok(line)
}

/// Opens the line that is described.
async fn open(config: &LineConfig, user: Option<&str>) -> Result<Box<dyn Line>, Failure> {
    match &config.kind {
        LineKind::Serial(port) => open_serial(port, config.lock_dir.clone()),
        LineKind::Exec(exec) => {
            let spawned = ExecLine::spawn(&exec_settings(exec));
            Ok(Box::new(spawned.map_err(|error| Failure::new(Ending::NoSuchPort, Stage::Opening, error))?))
        }
        LineKind::Tcp(remote) => {
            let stream = connected(remote).await?;
            Ok(Box::new(TcpLine::new(stream, remote.address.to_string())))
        }
        LineKind::Telnet(host) => {
            let stream = connected(&host.remote).await?;
            let line = TelnetLine::over_tcp(stream, telnet_settings(host, user));
            Ok(Box::new(line.map_err(|error| Failure::new(Ending::NoCarrier, Stage::Opening, error))?))
        }
        LineKind::Rfc2217(port) => {
            let framing = port.settings.port_framing();
            let settings =
                RemoteSettings { speed: port.settings.speed, flow: flow(port.settings.flow), framing };
            let stream = connected(&port.remote).await?;
            let name = port.remote.address.to_string();
            let opened = Rfc2217Line::open(stream, name, settings).await;
            let line = opened.map_err(|error| remote_failure(&error))?;
            Ok(with_seven_bits(Box::new(line), &port.settings, framing))
        }
        LineKind::File => {
            let message = "a line of kind \"file\" is a path to the mailbox: there is nothing to call";
            Err(Failure::new(Ending::Config, Stage::Opening, message))
        }
    }
}

fn flow(choice: FlowChoice) -> serial::Flow {
    match choice {
        FlowChoice::RtsCts => serial::Flow::RtsCts,
        FlowChoice::XonXoff => serial::Flow::XonXoff,
        FlowChoice::None => serial::Flow::None,
    }
}

/// A connection for a line over a network.
pub(super) async fn connected(remote: &Remote) -> Result<TcpStream, Failure> {
    tcp::connect(&remote.address, remote.connect_wait).await.map_err(|error| connect_failure(&error))
}

/// A host that is not reached now may be later; a name that does not exist is written wrong.
pub(super) fn connect_failure(error: &ConnectError) -> Failure {
    let ending = match error {
        ConnectError::NoSuchName { .. } => Ending::NoSuchPort,
        ConnectError::NotLookedUp { .. } | ConnectError::NotReached { .. } => Ending::NoCarrier,
    };
    Failure::new(ending, Stage::Opening, error)
}

fn open_serial(port: &SerialPort, lock_dir: Option<PathBuf>) -> Result<Box<dyn Line>, Failure> {
    let settings = SerialSettings {
        lock_dir,
        framing: port.settings.port_framing(),
        ..SerialSettings::new(&port.device, port.settings.speed, flow(port.settings.flow))
    };
    let line = SerialLine::open(settings).map_err(|error| serial_failure(&error))?;
    let port_has = line.settings().framing;
    Ok(with_seven_bits(Box::new(line), &port.settings, port_has))
}

/// The line as it is, or with seven bits made over it where the port is used so.
///
/// Some adapters hand the parity up as the eighth bit, so seven bits are cut out here in any case. A port
/// that cannot do them has said so and has eight: then the parity is made here too.
fn with_seven_bits(line: Box<dyn Line>, asked: &PortConfig, port_has: Framing) -> Box<dyn Line> {
    if !asked.strip && asked.framing.data_bits != DataBits::Seven {
        return line;
    }
    let parity = if port_has.is_eight_bit() { asked.framing.parity } else { Parity::None };
    Box::new(SevenBit::new(line, parity))
}

fn telnet_settings(host: &TelnetHost, user: Option<&str>) -> TelnetSettings {
    let address = &host.remote.address;
    TelnetSettings {
        term: host.term.clone(),
        user: user.map(str::to_owned),
        binary: host.binary,
        rows: host.window.rows,
        cols: host.window.columns,
        ..TelnetSettings::new(address.to_string(), address.port)
    }
}

fn exec_settings(exec: &ExecCommand) -> ExecSettings {
    let mut settings = ExecSettings {
        term: exec.term.clone(),
        clean_env: exec.clean_env,
        hidden_env: exec.hidden_env.iter().map(OsString::from).collect(),
        folder: exec.folder.clone(),
        rows: exec.window.rows,
        cols: exec.window.columns,
        ..ExecSettings::new(&exec.command)
    };
    let usual = if exec.clean_env { settings.usual_env() } else { Vec::new() };
    let given = exec.env.iter().map(|(name, value)| (name.into(), value.into()));
    settings.env = usual.into_iter().chain(given).collect();
    settings
}

fn serial_failure(error: &OpenError) -> Failure {
    let ending = match error {
        OpenError::Locked { .. } => Ending::PortLocked,
        OpenError::NoPermission { .. } => Ending::NoPermission,
        OpenError::Settings { .. } => Ending::Config,
        OpenError::NoSuchDevice { .. }
        | OpenError::NotSerial { .. }
        | OpenError::NoHardware { .. }
        | OpenError::Io { .. } => Ending::NoSuchPort,
    };
    Failure::new(ending, Stage::Opening, error)
}

fn remote_failure(error: &rfc2217::OpenError) -> Failure {
    use rfc2217::OpenError as Remote;
    let ending = match error {
        Remote::Busy { .. } => Ending::PortLocked,
        Remote::NotTelnet { .. } | Remote::NoComPort { .. } => Ending::Config,
        Remote::Speed { .. } | Remote::Framing { .. } => Ending::Config,
        Remote::NoAnswer { .. } | Remote::Closed { .. } => Ending::NoSuchPort,
        // As a server that is not reached: later it may be.
        Remote::Io { .. } | Remote::Silent { .. } => Ending::NoCarrier,
    };
    Failure::new(ending, Stage::Opening, error)
}
