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
use mailcall::machine::{Machine, Output};
use mailcall::secret::Secret;
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
    let (mut line, mut child) = spawn_on_pty(command);
    let credentials =
        Credentials { user: Some(user.to_owned()), password: Some(Secret::new(password.to_owned())) };
    let mut login = Login::new(credentials, LoginLimits::default());
    let mut events = Vec::new();
    let mut input = Vec::new();
    let outcome = loop {
        let now = Instant::now();
        let taken = if input.is_empty() { 0 } else { login.handle_input(now, &input) };
        input.drain(..taken);
        let deadline = loop {
            match login.poll_output(now) {
                Output::Transmit(transmit) => line.write_all(&transmit.bytes).expect("the PTY takes keys"),
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
                Arrived::Bytes(bytes) => input.extend(bytes),
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
