//! `mailcall sim`: a Hayes modem on a PTY, a line as bad as asked, and a host behind it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::interrupt::Signals;
use super::{Global, duration};
use crate::secret::Secret;
use crate::session::{Ending, Failure, Stage};
use crate::sim::dce::{Answer, DceEvent, DceOptions, Incoming, Quirk, RingsWhen};
use crate::sim::front::{self, FrontOptions};
use crate::sim::host::Host;
use crate::sim::serve::{Sim, SimEvent, SimOptions};
use crate::sim::wire::LineQuality;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the device, and the lines to put into a configuration. Ctrl-C ends it.
  mailcall sim --bps 2400 --latency 600ms --ber 1e-5 --drop-after 20000
  mailcall sim --host /bin/login        (as root: your own system's login)
  mailcall sim --dial-back 5s           (an account with dial_back = true)
  mailcall sim --call-in 10s            (an account with answer = true)")]
pub(super) struct Args {
    /// Bits a second on the line [default: no limit]
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(1..))]
    bps: Option<u32>,
    /// How long a byte takes to arrive: 600ms, 0.6s
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = duration)]
    latency: Duration,
    /// Bit error rate: the chance that a bit is inverted, such as 1e-5
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = rate)]
    ber: f64,
    /// What decides which bits are hit: the same seed, the same errors
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Lose the carrier after so many bytes to the caller, one value a call
    #[arg(long, value_name = "BYTES", value_delimiter = ',')]
    drop_after: Vec<u64>,
    /// Go deaf without losing the carrier, one value a call
    #[arg(long, value_name = "BYTES", value_delimiter = ',')]
    silent_after: Vec<u64>,
    /// How calls are answered, one word a call, the last one staying
    ///
    /// connect, busy, no-answer, no-carrier, no-dialtone, voice, delayed or blacklisted.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    answer: Vec<Answer>,
    /// How long it rings
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    ring: Duration,
    /// What the modem says at carrier
    #[arg(long, value_name = "TEXT")]
    connect_text: Option<String>,
    /// Hang up on whoever has logged in, and call back after this time
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "host")]
    dial_back: Option<Duration>,
    /// The host calls by itself, this long after the start
    ///
    /// It rings for a minute, every 6 s; a line that is in use is rung as soon as it is free.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    call_in: Option<Duration>,
    /// In what the modem is unlike others; several with commas between
    ///
    /// stuck-echo: echoes whatever ATE0 says. numeric: results are numbers. glued: results stand right
    /// behind the echo. no-dtr: DTR is not looked at. port-speed=9600: understands no other rate.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    quirk: Vec<Quirk>,
    /// The host: a command on a terminal, such as /bin/login
    ///
    /// Without it the host has a login prompt of its own in front of /bin/sh, and a sample mailbox.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["user", "password", "mailbox"])]
    host: Option<String>,
    /// Who can log in
    #[arg(long, value_name = "NAME", default_value = "mary")]
    user: String,
    /// With which password
    #[arg(long, value_name = "TEXT", default_value = "demo")]
    password: String,
    /// The mailbox on the host [default: a sample, thrown away afterwards]
    #[arg(long, value_name = "FILE")]
    mailbox: Option<PathBuf>,
    /// Make this symbolic link to the device
    #[arg(long, value_name = "PATH")]
    link: Option<PathBuf>,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    runtime.block_on(serve(global, args))
}

async fn serve(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let mut signals = Signals::install().map_err(cannot)?;
    let home = Scratch::new().map_err(cannot)?;
    let options = SimOptions { modem: modem(args), host: host(args, home.path())?, link: args.link.clone() };
    let mut sim = Sim::start(options).map_err(cannot)?;
    if !global.quiet {
        println!("{}", told(args, args.link.as_deref().unwrap_or(sim.device())));
    }
    loop {
        tokio::select! {
            event = sim.next_event() => match event {
                Some(event) if global.quiet => drop(event),
                Some(event) => println!("{}", line(&event)),
                None => break,
            },
            _ = signals.next() => break,
        }
    }
    sim.stop().await;
    Ok(Ending::Done)
}

fn modem(args: &Args) -> DceOptions {
    let quality = LineQuality { bps: args.bps, latency: args.latency, bit_error_rate: args.ber };
    let incoming = args.dial_back.map(RingsWhen::Back).into_iter().chain(args.call_in.map(RingsWhen::At));
    let connect_text = args
        .connect_text
        .clone()
        .unwrap_or_else(|| format!("CONNECT {}", args.bps.unwrap_or(CONNECT_RATE_DEFAULT)));
    DceOptions {
        quality,
        seed: args.seed,
        connect_text,
        answers: args.answer.clone(),
        ring_delay: args.ring,
        drop_after: args.drop_after.clone(),
        silent_after: args.silent_after.clone(),
        incoming: incoming.map(Incoming::new).collect(),
        quirks: args.quirk.clone(),
        ..DceOptions::default()
    }
}

fn host(args: &Args, home: &Path) -> Result<Host, Failure> {
    if let Some(command) = &args.host {
        return Ok(Host::Command(command.clone()));
    }
    let mailbox = match &args.mailbox {
        Some(path) => std::path::absolute(path).map_err(cannot)?,
        None => home.join("mailbox"),
    };
    if args.mailbox.is_none() {
        std::fs::write(&mailbox, SAMPLE).map_err(cannot)?;
    }
    Ok(front::host(FrontOptions {
        hostname: "fieldhost".to_owned(),
        user: args.user.clone(),
        password: Secret::new(args.password.clone()),
        home: home.to_owned(),
        mailbox,
        calls_back: args.dial_back.is_some(),
        path: std::env::var("PATH").unwrap_or_else(|_| PATH_DEFAULT.to_owned()),
    }))
}

/// What to do with it, in lines that can be pasted.
fn told(args: &Args, device: &Path) -> String {
    let who = if args.host.is_some() {
        "user     = \"...\"   # a user of this system; the password is asked for".to_owned()
    } else {
        format!("user     = {:?}\npassword = {{ command = [\"echo\", {:?}] }}", args.user, args.password)
    };
    let phone = match (args.call_in, args.dial_back) {
        (Some(_), _) => "answer   = true",
        (None, Some(_)) => "phone    = \"555 1212\"\ndial_back = true",
        (None, None) => "phone    = \"555 1212\"",
    };
    format!(
        "A modem is on {device}. To call it, put this into a file sim.toml:\n\n\
         [line.sim]\nkind   = \"serial\"\ndevice = \"{device}\"\n\n\
         [account.sim]\nline     = \"sim\"\n{phone}\n{who}\n\
         deliver  = {{ maildir = \"/tmp/sim-mail\" }}\n\n\
         and in another window:  mailcall --config sim.toml fetch\n",
        device = device.display()
    )
}

/// One line for one event; tests and scripts read `on-hook`.
fn line(event: &SimEvent) -> String {
    match event {
        SimEvent::Modem(DceEvent::HungUp { .. }) => format!("{event}; on-hook"),
        SimEvent::Modem(
            DceEvent::Dialled { .. }
            | DceEvent::Refused { .. }
            | DceEvent::Rings
            | DceEvent::CallerGaveUp
            | DceEvent::Connected { .. },
        )
        | SimEvent::HostFailed { .. } => event.to_string(),
    }
}

/// A folder that goes away again.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let base = std::env::temp_dir();
        #[allow(clippy::disallowed_methods)] // a name that nobody else has: drawn from the system
        let mut rng = fastrand::Rng::new();
        let path = base.join(format!("mailcall-{}-{:08x}", std::process::id(), rng.u32(..)));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // what is left lies in the system's temporary folder
    }
}

pub(super) fn cannot(error: impl std::fmt::Display) -> Failure {
    Failure::new(Ending::LocalDisk, Stage::Preparing, format!("the simulator cannot start: {error}"))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..1.0).contains(&rate) => Ok(rate),
        _ => Err("a bit error rate is a number from 0 up to 1, such as 1e-5".to_owned()),
    }
}

/// The mailbox of the simulated host, written for this project.
pub(super) const SAMPLE: &[u8] = include_bytes!("../../tests/data/sample.mbox");
/// What a line without a limit says of itself.
const CONNECT_RATE_DEFAULT: u32 = 115_200;
/// Where programs are when the environment does not say.
pub(super) const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        assert_eq!(duration("600ms"), Ok(Duration::from_millis(600)));
        assert_eq!(duration("0.6s"), Ok(Duration::from_millis(600)));
        assert_eq!(duration("50"), Ok(Duration::from_millis(50)));
        assert!(duration("5 weeks").is_err() && duration("-1s").is_err() && duration("x").is_err());
    }

    #[test]
    fn an_error_rate_is_a_probability() {
        assert_eq!(rate("1e-5"), Ok(1e-5));
        assert!(rate("1").is_err() && rate("-0.1").is_err() && rate("often").is_err());
    }
}
