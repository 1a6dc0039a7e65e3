//! `mailcall modem`: the ports of this machine, and a modem on its own: what it is, whether it can be
//! dialled with, and on-hook again.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Global, config_failure};
use crate::config::{Config, ConfigError, LineConfig, LineKind, ModemFolders, RemotePort, SerialPort};
use crate::modem::Profile;
use crate::session::{Ending, Failure, Stage};

mod list;
mod release;
mod talk;

pub(super) use list::what as what_hangs_on;
pub(super) use talk::{all_profiles, leads_shown};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List this machine's serial ports, what hangs on them, and who uses them
    List(list::Args),
    /// List the modem profiles, the built-in ones and yours
    Profiles(list::ProfilesArgs),
    /// Find out on which port and at which speed a modem answers, and which it is
    Probe(talk::ProbeArgs),
    /// Show what a modem says of itself, its last call, and its leads
    Info(talk::InfoArgs),
    /// Dial a number, show what the modems agreed on, and hang up
    Dial(talk::DialArgs),
    /// Put a modem on-hook, whatever it is doing
    Hangup(talk::HangupArgs),
    /// Let a number be dialled again that is held back, or list what is remembered
    Release(release::Args),
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let ran = match &args.what {
        What::List(args) => list::run(global, args),
        What::Profiles(args) => list::profiles(global, args),
        What::Probe(args) => talk::probe(global, args),
        What::Info(args) => talk::info(global, args),
        // It has an object of its own, however it ends.
        What::Dial(args) => return talk::dial(global, args),
        What::Hangup(args) => talk::hangup(global, args),
        What::Release(args) => release::run(global, args),
    };
    if let (true, Err(failure)) = (global.json, &ran) {
        println!("{}", failed_json(None, failure));
    }
    ran
}

/// How it ended, for `--json`: the keys that a fetch's report has too.
fn failed_json(port: Option<&str>, failure: &Failure) -> serde_json::Value {
    serde_json::json!({ "port": port, "outcome": failure.ending, "error": failure.to_string() })
}

/// Which modem: a line of the configuration, or a port.
#[derive(Debug, Clone, clap::Args)]
struct Which {
    /// A line of the configuration, or a port [default: the only line with a modem]
    ///
    /// A port has a `/` in it: /dev/ttyUSB0. If a line of the configuration has that port, it is
    /// used as that line says.
    #[arg(value_name = "LINE|PORT")]
    line: Option<String>,
    #[command(flatten)]
    how: How,
}

/// How a port is used that no line of the configuration describes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct How {
    /// Bits a second between computer and modem [default: the line's, or 57600]
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(50..))]
    pub(super) speed: Option<u32>,
    /// The modem's profile [default: the line's, or generic]
    ///
    /// `mailcall modem profiles` lists them.
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,
}

/// A modem to speak to.
pub(super) struct Chosen {
    name: String,
    pub(super) line: LineConfig,
}

impl Which {
    fn choose(&self, global: &Global) -> Result<Chosen, Failure> {
        choose(global, self.line.as_deref(), &self.how)
    }
}

/// The line that is meant, with what the command line says of it put in.
pub(super) fn choose(global: &Global, wanted: Option<&str>, how: &How) -> Result<Chosen, Failure> {
    let config = config_if_any(global)?;
    let mut chosen = match wanted {
        Some(port) if port.contains('/') => by_port(&config, Path::new(port)),
        Some(name) => {
            let line = config.line(name).map_err(config_failure)?;
            Chosen { name: name.to_owned(), line: line.clone() }
        }
        None => only_one(&config)?,
    };
    match (how.speed, &mut chosen.line.kind) {
        (Some(given), LineKind::Serial(SerialPort { settings, .. }))
        | (Some(given), LineKind::Rfc2217(RemotePort { settings, .. })) => settings.speed = given,
        (_, _) => {}
    }
    if let Some(name) = &how.profile {
        if let Some(message) = folders(global).unknown(name) {
            return Err(Failure::new(Ending::Usage, Stage::Preparing, message));
        }
        let profile =
            folders(global).load(name).map_err(|error| config_failure(ConfigError::Profile(error)))?;
        chosen.line.modem = profile.dials().then_some(profile);
    }
    Ok(chosen)
}

/// A port: as a line of the configuration has it, or as usual.
fn by_port(config: &Config, port: &Path) -> Chosen {
    let same = |device: &Path| {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        real(device) == real(port)
    };
    let described = config.lines.iter().find(|(_, line)| match &line.kind {
        LineKind::Serial(port) => line.modem.is_some() && same(&port.device),
        LineKind::Exec(_)
        | LineKind::Tcp(_)
        | LineKind::Telnet(_)
        | LineKind::Rfc2217(_)
        | LineKind::File => false,
    });
    let line = described.map_or_else(|| plain_port(port), |(_, line)| line.clone());
    Chosen { name: port.display().to_string(), line }
}

fn plain_port(port: &Path) -> LineConfig {
    LineConfig::new(LineKind::Serial(SerialPort::new(port)), Profile::builtin("generic"))
}

fn only_one(config: &Config) -> Result<Chosen, Failure> {
    let mut lines = config.lines.iter().filter(|(_, line)| line.modem.is_some());
    match (lines.next(), lines.next()) {
        (Some((name, line)), None) => Ok(Chosen { name: name.clone(), line: line.clone() }),
        (None, _) => {
            let message =
                "say which port the modem is on, such as /dev/ttyUSB0; `mailcall modem list` shows them";
            Err(Failure::new(Ending::Usage, Stage::Preparing, message))
        }
        (Some(_), Some(_)) => {
            let names: Vec<&str> = config
                .lines
                .iter()
                .filter(|(_, line)| line.modem.is_some())
                .map(|(name, _)| name.as_str())
                .collect();
            let message = format!("name a line or a port: there are {}", names.join(", "));
            Err(Failure::new(Ending::Usage, Stage::Preparing, message))
        }
    }
}

/// The configuration; these commands need none.
pub(super) fn config_if_any(global: &Global) -> Result<Config, Failure> {
    let path = config_path(global);
    match path.as_deref().map(Config::read) {
        None => Ok(Config::default()),
        Some(Err(ConfigError::Missing(_))) if global.config.is_none() => Ok(Config::default()),
        Some(read) => read.map_err(config_failure),
    }
}

fn config_path(global: &Global) -> Option<PathBuf> {
    global.config.clone().or_else(crate::config::default_path)
}

fn folders(global: &Global) -> ModemFolders {
    config_path(global).map_or_else(ModemFolders::default, |path| ModemFolders::beside(&path))
}
