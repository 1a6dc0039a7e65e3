//! What answers behind the simulated modem: a fresh host for every call, ended at hang-up.

use std::ffi::OsString;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::line::exec::{ExecLine, ExecSettings};

/// A host as the modem sees it: bytes both ways, end of file when it hangs up. Dropping it is how
/// the modem hangs up on it.
pub trait HostPipe: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> HostPipe for T {}

/// Starts a host, given the number that was dialled.
pub type SpawnHost = Box<dyn FnMut(&str) -> io::Result<Box<dyn HostPipe>> + Send>;

/// Who answers.
pub enum Host {
    /// This command, by `/bin/sh -c`, on a terminal of its own; told SIGHUP at hang-up.
    Command(String),
    /// Whatever this makes.
    Spawn(SpawnHost),
}

impl Host {
    /// Starts the host for one call. Needs a running tokio reactor.
    pub fn start(&mut self, number: &str) -> io::Result<Box<dyn HostPipe>> {
        match self {
            Self::Command(command) => {
                let line = ExecLine::spawn(&settings(command)).map_err(io::Error::other)?;
                Ok(Box::new(line))
            }
            Self::Spawn(spawn) => spawn(number),
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command(command) => f.debug_tuple("Command").field(command).finish(),
            Self::Spawn(_) => f.write_str("Spawn(..)"),
        }
    }
}

/// A host starts as a getty would start it: who called and from where is not in its environment.
fn settings(command: &str) -> ExecSettings {
    let kept = KEPT.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    ExecSettings { clean_env: true, env: kept.collect(), ..ExecSettings::new(["/bin/sh", "-c", command]) }
}

/// What a host's environment has in common with ours.
const KEPT: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ"];
