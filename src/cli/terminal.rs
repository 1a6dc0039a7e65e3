//! `mailcall terminal`: dial, log in, and leave the line to the person, or to what comes from a pipe.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use self::own::{Heed, OwnTerminal, window_size};
use self::reconnect::{Next, Reconnect};
use self::steps::Steps;
use self::streams::{StreamIn, StreamOut};
use super::fetch::{ask_password, runtime};
use super::modem::{How, choose, config_if_any};
use super::progress::Display;
use super::report::off_hook;
use super::{Global, accounts_of, config_failure, duration};
use crate::config::{
    AccountConfig, Calling, Config, EscapeKey, LineConfig, LineKind, Return, TerminalConfig, expand_home,
};
use crate::session::call::{CallPlan, CallReport};
use crate::session::terminal::dialogue::{Step, Text};
use crate::session::terminal::{Desk, Input, Left, Person, Ready, terminal};
use crate::session::{Ending, Failure, Progress, Stage};
use crate::store::dials::Dials;
use crate::store::troubles::Troubles;

mod own;
mod reconnect;
mod steps;
mod streams;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every key goes to the host, Ctrl-C too. Only Ctrl-] is kept back:
  Ctrl-] q        hang up and leave; Ctrl-] . does the same
  Ctrl-] ?        show all other keys
  Ctrl-] Ctrl-]   send Ctrl-] itself

  printf 'uptime\\nexit\\n' | mailcall terminal home > said.txt
  mailcall terminal --line /dev/ttyUSB0 --speed 9600

docs/terminal.md has all of it.")]
pub(super) struct Args {
    /// Account to call [default: the only one there is]
    #[arg(value_name = "ACCOUNT")]
    account: Option<String>,
    /// Dial, and leave the login to me
    #[arg(long)]
    no_login: bool,
    /// Open this line or port, and neither dial nor log in
    ///
    /// A port has a `/` in it: /dev/ttyUSB0. With a modem on it you speak to the modem yourself.
    #[arg(long, value_name = "LINE|PORT", conflicts_with_all = ["account", "no_login"])]
    line: Option<String>,
    /// Bits a second on that port [default: the line's, or 57600]
    #[arg(long, value_name = "BITS", requires = "line", value_parser = clap::value_parser!(u32).range(50..))]
    speed: Option<u32>,
    /// Set DTR so when the line is open; it is on unless it is said
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    dtr: Option<bool>,
    /// The key that is kept back: ^A, or ~ at the start of a line, or none
    #[arg(long, value_name = "KEY", value_parser = |text: &str| text.parse::<EscapeKey>())]
    escape: Option<EscapeKey>,
    /// What RETURN sends, and each line end of a pipe: cr, lf or crlf
    ///
    /// Left out, RETURN sends cr, and a pipe's bytes are sent as they are.
    #[arg(long = "return", value_name = "WORD", value_parser = line_end)]
    sends: Option<Return>,
    /// Show what is typed, for a host that does not
    #[arg(long)]
    local_echo: bool,
    /// Send this as soon as the line is there; escapes as in --send
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = Text::parse)]
    send_on_connect: Option<Text>,
    #[command(flatten)]
    steps: Steps,
    /// How long each --expect waits: 10s
    #[arg(long, value_name = "TIME", default_value = "45s", value_parser = seconds)]
    timeout: Duration,
    /// How long the host may be quiet behind the end of a pipe
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = seconds)]
    linger: Duration,
    /// Write what the host says behind what is in this file, with the time
    ///
    /// Passwords that mailcall knows are masked. Only you can read a file that is new.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Logs have the host's bytes as they are, without the time
    #[arg(long)]
    log_raw: bool,
    /// Begin again when the line is lost; Ctrl-C stops the wait
    ///
    /// A device is waited for until it is back. A number is dialled again by the rules of
    /// `redial`, and with the memory of dials; other lines after 1 s, 2 s, 4 s, up to a
    /// minute. TIME is the least wait. A command that ends with status 0 is not lost.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1s",
          value_parser = seconds)]
    reconnect: Option<Duration>,
    /// Leave the call up at the end, with DTR on, where the line can
    #[arg(long)]
    stay_up: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let prepared = prepare(global, args);
    let name = match &prepared {
        Ok(prepared) => prepared.name.clone(),
        Err(_) => args.account.clone().or_else(|| args.line.clone()).unwrap_or_default(),
    };
    let (went, report, ends_line) = match prepared {
        Ok(prepared) => match runtime() {
            Ok(runtime) => runtime.block_on(sessions(global, args, prepared)),
            Err(failure) => (Err(failure), CallReport::default(), true),
        },
        Err(failure) => (Err(failure), CallReport::default(), true),
    };
    if global.json {
        // Behind whatever the host has said, and yet a line of its own.
        println!("{}{}", if ends_line { "" } else { "\n" }, Told::new(&name, &went, &report).json());
    }
    let left = went?;
    if !global.quiet {
        eprintln!("{name}: {}; {} s", in_words(&left, &report), report.call_time.as_secs());
    }
    Ok(Ending::Done)
}

/// All that a session needs.
struct Prepared {
    name: String,
    plan: CallPlan,
    login: bool,
    terminal: TerminalConfig,
}

fn prepare(global: &Global, args: &Args) -> Result<Prepared, Failure> {
    let config = match &args.line {
        Some(port) if port.contains('/') => config_if_any(global)?,
        Some(_) | None => global.read_config()?,
    };
    let (name, plan) = plan(global, &config, args)?;
    let state = global.state_dir()?;
    let plan = CallPlan { dials: Some(Dials::new(&state)), troubles: Some(Troubles::new(&state)), ..plan };
    let login = args.line.is_none() && !args.no_login;
    Ok(Prepared { name, plan, login, terminal: config.terminal })
}

fn usage(message: &str) -> Failure {
    Failure::new(Ending::Usage, Stage::Preparing, message)
}

/// What is to be called, and under which name it is told.
fn plan(global: &Global, config: &Config, args: &Args) -> Result<(String, CallPlan), Failure> {
    let (name, plan) = match &args.line {
        Some(name) => {
            let chosen = choose(global, Some(name), &How { speed: args.speed, profile: None })?;
            // As a line without a modem, whatever is on it: nothing is dialled, and closing it hangs up.
            let line = LineConfig { modem: None, ..chosen.line };
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

/// How it went, what all calls cost, and whether what was printed ends with a line end.
type Went = (Result<Left, Failure>, CallReport, bool);

/// One session, or as many as are begun again.
async fn sessions(global: &Global, args: &Args, prepared: Prepared) -> Went {
    let Prepared { name, mut plan, login, terminal } = prepared;
    let mut total = CallReport::default();
    let desk = desk(args, &name, &terminal);
    let taken = desk.and_then(|desk| Seat::take(desk).map_err(|error| local("this terminal", &error)));
    let mut seat = match taken {
        Ok(seat) => seat,
        Err(failure) => return (Err(failure), total, true),
    };
    let dials = plan.lines.iter().any(|(_, line)| line.modem.is_some())
        && !matches!(plan.account.calling, Calling::HostCalls { .. });
    let numbers = if dials { plan.account.phones.clone() } else { Vec::new() };
    let mut reconnect = Reconnect::new(args.reconnect, numbers, plan.account.redial);
    let went = loop {
        let (went, report) = one_session(global, &name, &mut plan, login, &mut seat).await;
        total.add(&report);
        match reconnect.next(&went, &report) {
            Next::Over(why) => {
                break went.map_err(|failure| Failure {
                    message: failure.message + &why.unwrap_or_default(),
                    ..failure
                });
            }
            Next::After(wait, why) => {
                if let Err(interrupted) = wait_out(global, &name, &plan, &mut seat, wait, &why).await {
                    break Err(interrupted);
                }
                plan.account.phones = reconnect.numbers();
            }
        }
    };
    let finished = seat.finish().await;
    let went = went.and_then(|left| finished.map(|()| left));
    (went, total, seat.ends_line())
}

async fn one_session(
    global: &Global,
    name: &str,
    plan: &mut CallPlan,
    login: bool,
    seat: &mut Seat,
) -> (Result<Left, Failure>, CallReport) {
    let display = Display::new(global, name);
    plan.ask = display.person();
    let mut watch = |progress| display.show(progress);
    let transcript = display.transcript(global);
    let Seat { heed, table } = seat;
    let sit_down = async |ready: Ready<'_>| {
        display.finish();
        table.sit_down(ready, name, global.quiet).await
    };
    let (went, report) =
        terminal(plan, login, transcript, &mut watch, async || heed.next().await, sit_down).await;
    display.finish();
    if let Some(why) = &report.off_hook {
        eprintln!("mailcall: {}", off_hook(why));
    }
    (went, report)
}

fn desk(args: &Args, name: &str, config: &TerminalConfig) -> Result<Desk, Failure> {
    let is_keyboard = io::stdin().is_terminal();
    let config = TerminalConfig {
        escape: args.escape.unwrap_or(config.escape),
        sends: args.sends.unwrap_or(config.sends),
        local_echo: args.local_echo || config.local_echo,
        ..config.clone()
    };
    let input = if is_keyboard {
        Input::Keyboard
    } else {
        Input::Stream { linger: args.linger, line_end: args.sends }
    };
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let apart = !is_keyboard || !io::stdout().is_terminal();
    let mut desk = Desk::new(&config, input, apart, is_dumb);
    let first = args.send_on_connect.iter().cloned().map(Step::Send);
    desk.steps = first.chain(args.steps.0.iter().cloned()).collect();
    desk.patience = args.timeout;
    desk.dtr = args.dtr;
    desk.stays_up = args.stay_up;
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    desk.log_name = format!("mailcall-{}.log", name.chars().map(safe).collect::<String>()).into();
    desk.log_is_raw = args.log_raw;
    if let Some(path) = &args.log {
        let path = path.to_str().map_or_else(|| path.clone(), expand_home);
        desk.open_log(&path).map_err(|error| local(&path.display().to_string(), &error))?;
    }
    Ok(desk)
}

/// What a person sees first: how to leave.
fn greeting(name: &str, desk: &Desk) -> String {
    match (desk.input(), desk.escape()) {
        (Input::Stream { .. }, _) => String::new(),
        (Input::Keyboard, EscapeKey::Never) => format!("[{name}: connected]\n"),
        (Input::Keyboard, key @ EscapeKey::LineStart(_)) => format!("[{name}: connected. {key}. hangs up]\n"),
        (Input::Keyboard, key @ EscapeKey::Anywhere(_)) => format!("[{name}: connected. {key} q hangs up]\n"),
    }
}

/// Where a session sits.
struct Seat {
    heed: Heed,
    table: Table,
}

/// Whatever is at our ends.
struct Table {
    own: Option<Rc<OwnTerminal>>,
    desk: Desk,
    keyboard: Box<dyn AsyncRead + Unpin>,
    screen: Screen,
    aside: Option<Screen>,
    window: watch::Receiver<(u16, u16)>,
}

impl Table {
    /// Hands the line over, with our terminal raw meanwhile.
    async fn sit_down(&mut self, ready: Ready<'_>, name: &str, quiet: bool) -> Result<Left, Failure> {
        let taken = self.own.as_ref().map(|own| own.take()).transpose();
        let _taken = taken.map_err(|error| local("this terminal", &error))?;
        let greeting = if quiet { String::new() } else { greeting(name, &self.desk) };
        let mut person = Person {
            keyboard: &mut *self.keyboard,
            screen: self.screen.as_mut(),
            aside: self.aside.as_mut().map(Screen::as_mut),
            window: &mut self.window,
        };
        let left = ready.hand_over(&mut person, &mut self.desk, &greeting).await;
        if let Screen::Terminal(screen) = &mut self.screen {
            // A screen that stands still must not keep the modem off-hook.
            let _ = tokio::time::timeout(SCREEN_WAIT, screen.write_all(b"\r\n")).await;
        }
        left
    }
}

/// What shows bytes.
enum Screen {
    Terminal(Box<dyn AsyncWrite + Unpin>),
    Stream(StreamOut),
}

impl Screen {
    fn as_mut(&mut self) -> &mut (dyn AsyncWrite + Unpin) {
        match self {
            Self::Terminal(screen) => &mut **screen,
            Self::Stream(stream) => stream,
        }
    }
}

impl Seat {
    fn take(desk: Desk) -> io::Result<Self> {
        let own = match desk.input() {
            Input::Keyboard => Some(Rc::new(OwnTerminal::find()?)),
            Input::Stream { .. } => None,
        };
        let (tell, window) = watch::channel(window_size());
        let heed = Heed::install(own.as_ref(), tell)?;
        let terminal = |own: &Rc<OwnTerminal>| own.open().map(|tty| Screen::Terminal(Box::new(tty)));
        let stdout = || StreamOut::over(io::stdout().as_fd()).map(Screen::Stream);
        let keyboard: Box<dyn AsyncRead + Unpin> = match &own {
            Some(own) => Box::new(own.open()?),
            None => Box::new(StreamIn::over(io::stdin().as_fd())?),
        };
        let (screen, aside) = match &own {
            Some(own) if io::stdout().is_terminal() => (terminal(own)?, None),
            Some(own) => (stdout()?, Some(terminal(own)?)),
            None => (stdout()?, Some(Screen::Stream(StreamOut::over(io::stderr().as_fd())?))),
        };
        Ok(Self { heed, table: Table { own, desk, keyboard, screen, aside, window } })
    }

    /// Waits until all that was said is where it was to go, or a signal comes.
    async fn finish(&mut self) -> Result<(), Failure> {
        let Screen::Stream(stream) = &mut self.table.screen else { return Ok(()) };
        let finished = tokio::select! {
            finished = stream.finish() => finished,
            signal = self.heed.next() => {
                let message = format!("ended by {signal}, before all of it was written");
                return Err(Failure::new(Ending::Interrupted, Stage::Terminal, message));
            }
        };
        match finished {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(local("standard output", &error)),
            Ok(()) | Err(_) => Ok(()), // a reader that leaves has seen what it wanted
        }
    }

    fn ends_line(&self) -> bool {
        match &self.table.screen {
            Screen::Terminal(_) => true,
            Screen::Stream(stream) => stream.ends_line(),
        }
    }
}

/// Waits for the next session, and for the device if it has gone.
async fn wait_out(
    global: &Global,
    name: &str,
    plan: &CallPlan,
    seat: &mut Seat,
    wait: Duration,
    why: &str,
) -> Result<(), Failure> {
    let display = Display::new(global, name);
    let in_seconds = wait.as_secs();
    display.show(Progress::Note(format!("{why}; again in {in_seconds} s, Ctrl-C stops that")));
    let is_there = || {
        plan.lines.iter().any(|(_, line)| match &line.kind {
            LineKind::Serial(port) => port.device.exists(),
            LineKind::Exec(_)
            | LineKind::Tcp(_)
            | LineKind::Telnet(_)
            | LineKind::Rfc2217(_)
            | LineKind::File => true,
        })
    };
    let mut left = wait;
    let waited = loop {
        if left.is_zero() && is_there() {
            break Ok(());
        }
        display.countdown(&match left.as_secs() {
            0 => "waiting for the device; Ctrl-C stops".to_owned(),
            seconds => format!("again in {seconds} s; Ctrl-C stops"),
        });
        let step = if left.is_zero() { LOOK_EVERY } else { left.min(LOOK_EVERY) };
        #[allow(clippy::disallowed_methods)] // the time between two sessions passes in the world
        let slept = tokio::time::sleep(step);
        tokio::select! {
            () = slept => left = left.saturating_sub(step),
            signal = seat.heed.next() => {
                let message = format!("ended by {signal} while waiting to begin again (before that: {why})");
                break Err(Failure::new(Ending::Interrupted, Stage::Terminal, message));
            }
        }
    };
    display.finish();
    waited
}

fn local(what: &str, error: &io::Error) -> Failure {
    Failure::new(Ending::LocalDisk, Stage::Terminal, format!("{what}: {error}"))
}

fn in_words(left: &Left, report: &CallReport) -> String {
    match left {
        Left::ByKey => "you have hung up".to_owned(),
        Left::StaysUp => {
            let line = report.line.as_deref().unwrap_or_default();
            format!("the call is still up; mailcall terminal --line {line} takes it up again")
        }
        Left::KeyboardGone => "this terminal is gone".to_owned(),
        Left::ScreenGone => "nobody reads any more".to_owned(),
        Left::InputEnded => "the input has ended".to_owned(),
        Left::LineEnded { why, .. } => crate::mailbox::display::safe_line(why),
    }
}

/// What became of a session, as other commands tell of a call.
#[derive(Serialize)]
struct Told<'a> {
    account: &'a str,
    line: Option<&'a str>,
    outcome: Ending,
    error: Option<String>,
    /// How it ended that did not fail.
    left: Option<String>,
    bytes_down: u64,
    bytes_up: u64,
    call_seconds: f64,
    dials: u32,
    connect: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn new(name: &'a str, went: &Result<Left, Failure>, report: &'a CallReport) -> Self {
        Self {
            account: name,
            line: report.line.as_deref(),
            outcome: went.as_ref().map_or_else(|failure| failure.ending, |_| Ending::Done),
            error: went.as_ref().err().map(ToString::to_string),
            left: went.as_ref().ok().map(|left| in_words(left, report)),
            bytes_down: report.bytes_down,
            bytes_up: report.bytes_up,
            call_seconds: (report.call_time.as_secs_f64() * 1_000.0).round() / 1_000.0,
            dials: report.dials,
            connect: report.connect.as_ref().map(|connect| connect.text.as_str()),
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // texts and numbers only: cannot fail
    }
}

fn on_off(word: &str) -> Result<bool, String> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("say on or off".to_owned()),
    }
}

fn line_end(word: &str) -> Result<Return, String> {
    match word {
        "cr" => Ok(Return::Cr),
        "lf" => Ok(Return::Lf),
        "crlf" => Ok(Return::CrLf),
        _ => Err("say cr, lf or crlf".to_owned()),
    }
}

/// A time in seconds, or with its unit.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => duration(text),
    }
}

/// How long the screen may take to show our last line end.
const SCREEN_WAIT: Duration = Duration::from_millis(500);
/// How often a device that is away is looked for, and the countdown moves.
const LOOK_EVERY: Duration = Duration::from_millis(500);
