//! `mailcall terminal`: dial, log in, and leave the line to the person.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::Signal::SIGSTOP;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::fetch::{ask_password, runtime};
use super::interrupt::Signals;
use super::progress::Display;
use super::report::off_hook;
use super::{Global, accounts_of, config_failure};
use crate::config::{AccountConfig, Config, LineKind};
use crate::line::pty::PtyMaster;
use crate::session::call::CallPlan;
use crate::session::terminal::{Left, Person, Ready, terminal};
use crate::session::{Ending, Failure, Stage};
use crate::store::dials::Dials;
use crate::store::troubles::Troubles;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every key goes to the host, Ctrl-C too. Only Ctrl-] is kept back:
  Ctrl-] q        hang up and leave; Ctrl-] . does the same
  Ctrl-] b        send BREAK
  Ctrl-] Ctrl-]   send Ctrl-] itself")]
pub(super) struct Args {
    /// Account to call [default: the only one there is]
    #[arg(value_name = "ACCOUNT")]
    account: Option<String>,
    /// Dial, and leave the login to me
    #[arg(long)]
    no_login: bool,
    /// Open this line, and neither dial nor log in
    ///
    /// With a modem on it you speak to the modem yourself.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["account", "no_login"])]
    line: Option<String>,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(usage("terminal needs a terminal to type and to show on"));
    }
    let (name, plan) = plan(&global.read_config()?, args)?;
    let state = global.state_dir()?;
    let plan = CallPlan { dials: Some(Dials::new(&state)), troubles: Some(Troubles::new(&state)), ..plan };
    let login = args.line.is_none() && !args.no_login;
    runtime()?.block_on(call(global, &name, plan, login))
}

fn usage(message: &str) -> Failure {
    Failure::new(Ending::Usage, Stage::Preparing, message)
}

/// What is to be called, and under which name it is told.
fn plan(config: &Config, args: &Args) -> Result<(String, CallPlan), Failure> {
    let (name, plan) = match &args.line {
        Some(name) => {
            // As a line without a modem, whatever is on it: nothing is dialled, and closing it hangs up.
            let mut line = config.line(name).map_err(config_failure)?.clone();
            line.modem = None;
            let lines = vec![(name.clone(), line)];
            let plan = CallPlan::new(config, &AccountConfig::at_shell(name), None, 0);
            (name.clone(), CallPlan { lines, ..plan })
        }
        None => {
            let names = accounts_of(config, args.account.as_slice())?;
            let [name] = names.as_slice() else { return Err(usage("terminal takes one account")) };
            let account = config.account(name).map_err(config_failure)?;
            let plan = CallPlan::new(config, account, None, 0);
            refuse_files(&plan)?; // before a password is asked for
            let password = if args.no_login { None } else { ask_password(account, name)? };
            (name.clone(), CallPlan { password, ..plan })
        }
    };
    refuse_files(&plan)?;
    Ok((name, plan))
}

fn refuse_files(plan: &CallPlan) -> Result<(), Failure> {
    match plan.lines.iter().any(|(_, line)| matches!(line.kind, LineKind::File)) {
        true => Err(usage("a line of kind \"file\" is a path on this machine: there is nobody to type to")),
        false => Ok(()),
    }
}

async fn call(global: &Global, name: &str, plan: CallPlan, login: bool) -> Result<Ending, Failure> {
    let bug = |error: io::Error| Failure::new(Ending::Bug, Stage::Preparing, error);
    let mut signals = Signals::install().map_err(bug)?;
    let display = Display::new(global, name);
    let plan = &CallPlan { ask: display.person(), ..plan };
    let mut watch = |progress| display.show(progress);
    let transcript = display.transcript(global);
    let seat = async |ready: Ready<'_>| {
        display.finish();
        sit_down(ready, name, global.quiet).await.map_err(|error| {
            Failure::new(Ending::LocalDisk, Stage::Terminal, format!("this terminal: {error}"))
        })
    };
    let (went, report) =
        terminal(plan, login, transcript, &mut watch, async || signals.next().await, seat).await;
    display.finish();
    if let Some(why) = &report.off_hook {
        eprintln!("mailcall: {}", off_hook(why));
    }
    let left = went?;
    if !global.quiet {
        let how = match &left {
            Left::ByKey => "you have hung up".to_owned(),
            Left::KeyboardGone => "this terminal is gone".to_owned(),
            Left::LineEnded(why) => crate::mailbox::display::safe_line(why),
        };
        eprintln!("{name}: {how}; {} s", report.call_time.as_secs());
    }
    Ok(Ending::Done)
}

/// Hands the line to whoever sits at our terminal, which is as before when this is over.
async fn sit_down(ready: Ready<'_>, name: &str, quiet: bool) -> io::Result<Left> {
    let mut signals = TerminalSignals::install()?; // before there is anything to give back
    let own = OwnTerminal::take()?;
    let mut keyboard = own.open()?;
    let mut screen = own.open()?;
    let greeting = greeting(&ready, name, quiet);
    let (tell, mut window) = watch::channel(window_size());
    let person = Person { keyboard: &mut keyboard, screen: &mut screen, window: &mut window, greeting };
    let left = tokio::select! {
        left = ready.hand_over(person) => left?,
        never = signals.heed(&own, &tell) => never,
    };
    // A screen that stands still must not keep the modem off-hook.
    let _ = tokio::time::timeout(SCREEN_WAIT, screen.write_all(b"\r\n")).await;
    Ok(left)
}

/// What a person sees first: how to leave, and what the host has said so far.
fn greeting(ready: &Ready<'_>, name: &str, quiet: bool) -> Vec<u8> {
    let mut greeting = String::new();
    if !quiet {
        greeting += &format!("[{name}: connected. Ctrl-] q hangs up]\r\n");
    }
    for line in &ready.said {
        greeting += &format!("{line}\r\n");
    }
    if !ready.prompt.is_empty() {
        greeting += &format!("{} ", ready.prompt); // its blank was cut off
    }
    greeting.into_bytes()
}

/// What our terminal, and the shell that lent it to us, tell us by signals.
struct TerminalSignals {
    resized: Signal,
    stopped: Signal,
    continued: Signal,
}

impl TerminalSignals {
    /// From now on a stop does not come unawares.
    fn install() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            stopped: signal(SignalKind::from_raw(libc::SIGTSTP))?,
            continued: signal(SignalKind::from_raw(libc::SIGCONT))?,
        })
    }

    /// Tells of each new size, and gives the terminal back while we are stopped.
    async fn heed(&mut self, own: &OwnTerminal, tell: &watch::Sender<(u16, u16)>) -> ! {
        loop {
            tokio::select! {
                _ = self.resized.recv() => {}
                _ = self.stopped.recv() => {
                    own.give_back();
                    let _ = nix::sys::signal::raise(SIGSTOP); // which nobody can refuse
                    own.make_raw();
                }
                // SIGSTOP came without a word, and our shell has its own settings there now.
                _ = self.continued.recv() => own.make_raw(),
            }
            let _ = tell.send(window_size()); // nobody listens any more: over
        }
    }
}

/// Our own terminal, raw until this is dropped.
struct OwnTerminal {
    tty: File,
    path: std::path::PathBuf,
    found: Termios,
    raw: Termios,
}

impl OwnTerminal {
    fn take() -> io::Result<Self> {
        let path = nix::unistd::ttyname(io::stdin())?;
        let tty = open_tty(&path)?;
        let found = tcgetattr(&tty)?;
        let mut raw = found.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&tty, SetArg::TCSANOW, &raw)?;
        Ok(Self { tty, path, found, raw })
    }

    /// A terminal that is gone has no settings any more.
    fn make_raw(&self) {
        let _ = tcsetattr(&self.tty, SetArg::TCSANOW, &self.raw);
    }

    /// As it was found. Without waiting for its output, which may stand still for ever (Ctrl-S).
    fn give_back(&self) {
        let _ = tcsetattr(&self.tty, SetArg::TCSANOW, &self.found);
    }

    /// Another descriptor of it, which may be non-blocking without that being so for our shell.
    fn open(&self) -> io::Result<PtyMaster> {
        PtyMaster::new(OwnedFd::from(open_tty(&self.path)?))
    }
}

fn open_tty(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path)
}

impl Drop for OwnTerminal {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Rows and columns of our terminal.
fn window_size() -> (u16, u16) {
    terminal_size::terminal_size().map_or((24, 80), |(columns, rows)| (rows.0, columns.0))
}

/// How long the screen may take to show our last line end.
const SCREEN_WAIT: Duration = Duration::from_millis(500);
