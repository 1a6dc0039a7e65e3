//! Opening a line of any kind, and what it means for the call when that fails.

use tokio::net::TcpStream;

use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::{LineConfig, LineKind, PortConfig, Remote};
use crate::line::Line;
use crate::line::exec::{ExecLine, ExecSettings};
use crate::line::rfc2217::{self, RemoteSettings, Rfc2217Line};
use crate::line::serial::{self, OpenError, SerialLine, SerialSettings};
use crate::line::tcp::{self, ConnectError, TcpLine};
use crate::modem::FlowChoice;

/// Opens the line that is described, and tells what went not quite as it should. Ends at once when the
/// user wants to stop: a host may take long to answer.
pub(super) async fn open_unless(
    config: &LineConfig,
    interrupted: &mut impl AsyncFnMut() -> &'static str,
    watch: Watch<'_>,
) -> Result<Box<dyn Line>, Failure> {
    let line = tokio::select! {
        opened = open(config) => opened?,
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
async fn open(config: &LineConfig) -> Result<Box<dyn Line>, Failure> {
    match &config.kind {
        LineKind::Serial(port) => {
            let flow = flow(port.settings.flow);
            let lock_dir = config.lock_dir.clone();
            let settings =
                SerialSettings { lock_dir, ..SerialSettings::new(&port.device, port.settings.speed, flow) };
            Ok(Box::new(SerialLine::open(settings).map_err(|error| serial_failure(&error))?))
        }
        LineKind::Exec(exec) => {
            let spawned = ExecLine::spawn(&ExecSettings::new(&exec.command));
            Ok(Box::new(spawned.map_err(|error| Failure::new(Ending::NoSuchPort, Stage::Opening, error))?))
        }
        LineKind::Tcp(remote) => {
            let stream = connected(remote).await?;
            Ok(Box::new(TcpLine::new(stream, remote.address.to_string())))
        }
        LineKind::Rfc2217(port) => {
            let PortConfig { speed, flow: choice, framing } = port.settings;
            let settings = RemoteSettings { speed, flow: flow(choice), framing };
            let stream = connected(&port.remote).await?;
            let name = port.remote.address.to_string();
            let opened = Rfc2217Line::open(stream, name, settings).await;
            Ok(Box::new(opened.map_err(|error| remote_failure(&error))?))
        }
        LineKind::Telnet(_) => {
            Err(Failure::new(Ending::Config, Stage::Opening, "lines over a network come next"))
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

/// A connection for a line over a network. A host that is not reached now may be later; a name that does
/// not exist is written wrong.
async fn connected(remote: &Remote) -> Result<TcpStream, Failure> {
    tcp::connect(&remote.address, remote.connect_wait).await.map_err(|error| {
        let ending = match &error {
            ConnectError::NoSuchName { .. } => Ending::NoSuchPort,
            ConnectError::NotLookedUp { .. } | ConnectError::NotReached { .. } => Ending::NoCarrier,
        };
        Failure::new(ending, Stage::Opening, error)
    })
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
        Remote::Io { .. } => Ending::NoCarrier, // as a server that is not reached
    };
    Failure::new(ending, Stage::Opening, error)
}
