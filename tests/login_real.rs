//! Logging in at the system's own login(1) and agetty(8) on a PTY, in real time.
//!
//! Needs root: each test makes a user of its own and removes it. Without root or without the program
//! a test says so and passes, unless CI=true.
#![allow(clippy::disallowed_methods)] // real programs run by the real clock

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mailcall::login::{Credentials, Login, LoginError, LoginEvent, LoginLimits, LoginOutcome, PromptLook};
use mailcall::machine::{Control, Machine, Output};
use mailcall::secret::Secret;
use mailcall::sim::misclocked::misclocked;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Not a word that a system would print by itself.
const PASSWORD: &str = "Zw1eb-ack_47";

#[test]
fn the_right_password_reaches_bash() {
    reaches_a_shell("/bin/bash", PromptLook::Shell);
}

#[test]
fn the_right_password_reaches_dash() {
    reaches_a_shell("/bin/dash", PromptLook::Shell);
}

#[test]
fn the_right_password_reaches_tcsh() {
    reaches_a_shell("/bin/tcsh", PromptLook::Shell);
}

#[test]
fn the_right_password_reaches_fish() {
    reaches_a_shell("/usr/bin/fish", PromptLook::Shell);
}

#[test]
fn the_right_password_reaches_mksh() {
    reaches_a_shell("/bin/mksh", PromptLook::Shell);
}

#[test]
fn the_right_password_reaches_busybox_sh() {
    let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists())
    else {
        return skip("no busybox here");
    };
    // BusyBox runs the applet it is called by.
    let folder = std::env::temp_dir().join(format!("mailcall-login-{}", std::process::id()));
    let shell = folder.join("sh");
    fs::create_dir_all(&folder).expect("a folder for the shell");
    std::os::unix::fs::symlink(busybox, &shell).expect("a link to busybox");
    reaches_a_shell(shell.to_str().expect("a plain path"), PromptLook::Shell);
    fs::remove_dir_all(folder).expect("the folder is ours");
}

#[test]
fn a_wrong_password_is_refused_and_told_to_nobody() {
    let Some(user) = User::create("/bin/sh") else { return };
    let call = call(login_program(), &user.name, "wrong-Pw_99");
    let Err(LoginError::Refused { said, .. }) = &call.outcome else {
        panic!("not refused: {:?}, {:?}", call.outcome, call.events);
    };
    assert_eq!(said, "Login incorrect");
    assert_eq!(call.events.iter().filter(|event| **event == LoginEvent::SentPassword).count(), 1);
    let told = format!("{:?} {:?} {}", call.outcome, call.events, call.outcome.as_ref().unwrap_err());
    assert!(!told.contains("wrong-Pw_99"), "{told}");
}

#[test]
fn a_password_that_must_be_changed_is_reported_as_expired() {
    let Some(user) = User::create("/bin/sh") else { return };
    run_quietly("chage", &["-d", "0", &user.name]);
    let call = call(login_program(), &user.name, PASSWORD);
    assert!(matches!(call.outcome, Err(LoginError::Expired { .. })), "{:?} {:?}", call.outcome, call.events);
}

#[test]
fn an_account_without_a_shell_is_refused() {
    let Some(user) = User::create("/usr/sbin/nologin") else { return };
    let call = call(login_program(), &user.name, PASSWORD);
    assert!(matches!(call.outcome, Err(LoginError::Refused { .. })), "{:?} {:?}", call.outcome, call.events);
}

#[test]
fn agetty_in_front_of_login_lets_in() {
    let Some(agetty) = ["/sbin/agetty", "/usr/sbin/agetty"].into_iter().find(|p| Path::new(p).exists())
    else {
        return skip("no agetty here");
    };
    let Some(user) = User::create("/bin/sh") else { return };
    let mut command = Command::new(agetty);
    command.args(["-", "vt100"]);
    let call = call(command, &user.name, PASSWORD);
    let logged_in = call.outcome.unwrap_or_else(|error| panic!("{error}; {:?}", call.events));
    assert!(logged_in.login_needed);
    assert_eq!(logged_in.look, PromptLook::Shell);
}

/// A BREAK reaches a program as a NUL (termios(3), neither IGNBRK nor BRKINT), which is how agetty knows
/// it. What differs from a wire is only the wire: its speeds are those that agetty sets on its terminal.
#[test]
fn agetty_with_several_speeds_is_brought_to_ours_by_breaks() {
    let Some(agetty) = ["/sbin/agetty", "/usr/sbin/agetty"].into_iter().find(|p| Path::new(p).exists())
    else {
        return skip("no agetty here");
    };
    // A RETURN at the wrong speed can reach agetty as a NUL too, and saves one BREAK.
    for (ours, breaks) in [(9_600, 0..=0), (1_200, 1..=2)] {
        let Some(user) = User::create("/bin/sh") else { return };
        let mut command = Command::new(agetty);
        command.args(["-", "9600,2400,1200", "vt100"]);
        let call = call_heard_at(Some(ours), command, &user.name, PASSWORD);
        let logged_in = call.outcome.unwrap_or_else(|error| panic!("{error}; {:?}", call.events));
        assert_eq!(logged_in.look, PromptLook::Shell);
        let sent = call.events.iter().filter(|event| **event == LoginEvent::SentBreak).count();
        assert!(breaks.contains(&sent), "{sent} at {ours}: {:?}", call.events);
    }
}

fn reaches_a_shell(shell: &str, look: PromptLook) {
    if !Path::new(shell).exists() {
        return skip(&format!("no {shell} here"));
    }
    let Some(user) = User::create(shell) else { return };
    let call = call(login_program(), &user.name, PASSWORD);
    let logged_in = call.outcome.unwrap_or_else(|error| panic!("{error}; {:?}", call.events));
    assert!(logged_in.login_needed);
    assert_eq!(logged_in.look, look, "{:?}; {:?}", logged_in.prompt, call.events);
    let told = format!("{logged_in:?} {:?}", call.events);
    assert!(!told.contains(PASSWORD), "{told}");
}

fn login_program() -> Command {
    Command::new("/bin/login")
}

/// How a call went.
struct Call {
    outcome: LoginOutcome,
    events: Vec<LoginEvent>,
}

/// Runs a program on a PTY and logs in at it.
fn call(command: Command, user: &str, password: &str) -> Call {
    call_heard_at(None, command, user, password)
}

/// The speed that the program has set on its terminal.
fn speed_of(line: &File) -> u32 {
    // SAFETY: all zeroes is a `termios2`, and TCGETS2 writes one to a pointer valid for the call.
    let mut termios: nix::libc::termios2 = unsafe { std::mem::zeroed() };
    let asked = unsafe { nix::libc::ioctl(line.as_raw_fd(), nix::libc::TCGETS2, &mut termios) };
    assert_eq!(asked, 0);
    termios.c_ospeed
}

/// The same over a wire on which we have this speed: at another, both sides hear garbage.
fn call_heard_at(ours: Option<u32>, command: Command, user: &str, password: &str) -> Call {
    let (mut line, mut child) = spawn_on_pty(command);
    let credentials = Credentials {
        user: Some(user.to_owned()),
        password: Some(Secret::new(password.to_owned())),
        ..Credentials::default()
    };
    let mut login = Login::new(credentials, LoginLimits::default());
    let mut events = Vec::new();
    let mut input = Vec::new();
    let outcome = loop {
        let now = Instant::now();
        let taken = if input.is_empty() { 0 } else { login.handle_input(now, &input) };
        input.drain(..taken);
        let deadline = loop {
            match login.poll_output(now) {
                Output::Transmit(transmit) => {
                    let heard = ours.map(|ours| misclocked(&transmit.bytes, ours, speed_of(&line)));
                    line.write_all(heard.as_ref().unwrap_or(&transmit.bytes)).expect("the PTY takes keys");
                }
                Output::Control(Control::Break(_)) => line.write_all(b"\0").expect("the PTY takes it"),
                Output::Control(_) => {}
                Output::Event(event) => events.push(event),
                Output::Wait(deadline) => break Ok(deadline.expect("a login always waits for something")),
                Output::Done(outcome) => break Err(outcome),
            }
        };
        match deadline {
            Err(outcome) => break outcome,
            Ok(_) if !input.is_empty() => {}
            Ok(deadline) => match read_until(&mut line, &mut child, deadline) {
                Arrived::Bytes(bytes) => {
                    let heard = ours.map(|ours| misclocked(&bytes, speed_of(&line), ours));
                    input.extend(heard.unwrap_or(bytes));
                }
                Arrived::Nothing => login.handle_timeout(Instant::now()),
                Arrived::HangUp => login.handle_hangup(Instant::now()),
            },
        }
    };
    drop(line); // hangs up: SIGHUP to whatever runs there
    let gone = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        matches!(child.try_wait(), Ok(Some(_)))
    });
    if !gone {
        child.kill().expect("the child is ours");
        child.wait().expect("it ends");
    }
    Call { outcome, events }
}

enum Arrived {
    Bytes(Vec<u8>),
    Nothing,
    HangUp,
}

fn read_until(line: &mut File, child: &mut Child, deadline: Instant) -> Arrived {
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
        let mut fds = [PollFd::new(line.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut fds, timeout).expect("poll") == 0 {
            return Arrived::Nothing;
        }
        let mut buffer = [0; 4096];
        match line.read(&mut buffer) {
            Ok(length) if length > 0 => return Arrived::Bytes(buffer[..length].to_vec()),
            // login(1) hangs the terminal up and opens it again: EIO in between is no end.
            Ok(_) | Err(_) if matches!(child.try_wait(), Ok(Some(_))) => return Arrived::HangUp,
            Ok(_) | Err(_) if Instant::now() >= deadline => return Arrived::Nothing,
            Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A program with a new PTY as its controlling terminal.
fn spawn_on_pty(mut command: Command) -> (File, Child) {
    let pty = nix::pty::openpty(None, None).expect("a PTY");
    let stdio = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("another descriptor"));
    command.stdin(stdio(&pty.slave)).stdout(stdio(&pty.slave)).stderr(stdio(&pty.slave));
    command.env("TERM", "vt100").env("LC_ALL", "C.UTF-8").current_dir("/");
    let master = pty.master.as_raw_fd();
    // SAFETY: between fork and exec only system calls are made, which are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::setsid()?;
            nix::libc::close(master);
            Errno::result(nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0))?;
            Ok(())
        });
    }
    let child = command.spawn().expect("the program starts");
    (File::from(pty.master), child)
}

/// A user made for one test.
struct User {
    name: String,
    _one_at_a_time: MutexGuard<'static, ()>,
}

/// useradd(8) locks the whole password file, and gives up soon.
static PASSWORD_FILE: Mutex<()> = Mutex::new(());

impl User {
    fn create(shell: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip("only root can make a user and run login(1)");
            return None;
        }
        if !Path::new("/bin/login").exists() {
            skip("no /bin/login here");
            return None;
        }
        let one_at_a_time = PASSWORD_FILE.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("mailcall{}", std::process::id() % 100_000);
        let home = home_of(&name);
        let home = home.to_str().expect("a plain path");
        run_quietly("useradd", &["-m", "-d", home, "-s", shell, &name]);
        let user = Self { name, _one_at_a_time: one_at_a_time };
        let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().expect("chpasswd");
        let mut stdin = chpasswd.stdin.take().expect("a pipe");
        writeln!(stdin, "{}:{PASSWORD}", user.name).expect("chpasswd reads");
        drop(stdin);
        assert!(chpasswd.wait().expect("chpasswd").success());
        Some(user)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let deleted = Command::new("userdel").args(["-r", "-f", &self.name]).output();
        if !deleted.is_ok_and(|output| output.status.success()) {
            eprintln!("the user {} could not be removed: userdel -r {}", self.name, self.name);
        }
    }
}

fn home_of(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("home-{name}"))
}

fn run_quietly(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "cannot be skipped in CI: {why}");
    println!("SKIPPED: {why}");
}
