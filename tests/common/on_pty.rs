//! A program on a PTY, for which the tests drive the machines themselves: a getty, a login, a shell.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mailcall::line::pty::PtyPair;
use mailcall::login::{Credentials, LoggedIn, Login, LoginError, LoginLimits};
use mailcall::machine::{Control, Machine, Output};
use mailcall::secret::Secret;
use mailcall::shell::{Left, Open, OpenOptions, Reply, Shell, ShellError};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::PASSWORD;

/// The program, and what has come from it.
pub struct OnPty {
    line: File,
    /// The terminal, for those who write to it from aside.
    pub path: PathBuf,
    pub child: Child,
    arrived: Vec<u8>,
    /// Everything that was heard and typed.
    pub heard: Vec<u8>,
    pub typed: Vec<u8>,
    hung_up: bool,
    /// Written to the terminal by somebody else as soon as this has been heard.
    pub walls: Vec<(&'static str, String)>,
}

impl OnPty {
    /// Starts it in a session of its own, with a screen of this size (0 is unknown, as on a serial line).
    pub fn start(mut command: Command, rows: u16, columns: u16) -> Self {
        let PtyPair { master, slave, path } = PtyPair::open().unwrap();
        PtyPair {
            master: master.try_clone().unwrap(),
            slave: slave.try_clone().unwrap(),
            path: path.clone(),
        }
        .set_window(rows, columns)
        .unwrap();
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        command.stdin(end(&slave)).stdout(end(&slave)).stderr(end(&slave));
        // SAFETY: between fork and exec only system calls are made, which are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                Errno::result(nix::libc::ioctl(0, nix::libc::TIOCSCTTY as _, 0))?;
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (arrived, heard, typed) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            line: File::from(master),
            path,
            child,
            arrived,
            heard,
            typed,
            hung_up: false,
            walls: Vec::new(),
        }
    }

    /// Pumps a machine in real time.
    #[allow(clippy::disallowed_methods)] // real programs run by the real clock
    pub fn drive<M: Machine>(&mut self, machine: &mut M) -> M::Outcome {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "{PATIENCE:?} were not enough: {}", self.last_heard());
            let deadline = loop {
                match machine.poll_output(Instant::now()) {
                    Output::Transmit(transmit) => self.type_keys(&transmit.bytes),
                    Output::Control(Control::Break(_)) => self.type_keys(b"\0"),
                    Output::Control(_) | Output::Event(_) => {}
                    Output::Wait(until) => break until,
                    Output::Done(outcome) => return outcome,
                }
            };
            let wait = deadline.map_or(PAUSE, |at| at.saturating_duration_since(Instant::now()));
            if !self.arrived.is_empty() || self.hears_within(wait.min(PAUSE)) {
                let taken = machine.handle_input(Instant::now(), &self.arrived);
                self.arrived.drain(..taken);
            } else if self.hung_up {
                machine.handle_hangup(Instant::now());
            } else if deadline.is_some_and(|at| at <= Instant::now()) {
                machine.handle_timeout(Instant::now());
            }
        }
    }

    /// Whether anything comes in this time.
    #[allow(clippy::disallowed_methods)] // a real program takes real time
    fn hears_within(&mut self, wait: Duration) -> bool {
        let millis = u16::try_from(wait.as_millis()).unwrap_or(u16::MAX).max(1);
        let mut line = [PollFd::new(self.line.as_fd(), PollFlags::POLLIN)];
        if poll(&mut line, PollTimeout::from(millis)).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 4_096];
        match self.line.read(&mut buffer) {
            Ok(length @ 1..) => {
                let new = self.heard.len();
                self.heard.extend_from_slice(&buffer[..length]);
                self.arrived.extend_from_slice(&buffer[..length]);
                self.write_walls(new);
                true
            }
            // login(1) hangs the terminal up and opens it again: nobody holding it in between is no end.
            Ok(_) | Err(_) => {
                self.hung_up = matches!(self.child.try_wait(), Ok(Some(_)));
                if !self.hung_up {
                    std::thread::sleep(Duration::from_millis(10));
                }
                false
            }
        }
    }

    fn write_walls(&mut self, new: usize) {
        let from = new.saturating_sub(40);
        let said = String::from_utf8_lossy(&self.heard[from..]).into_owned();
        let (now, later) = std::mem::take(&mut self.walls).into_iter().partition(|(at, _)| said.contains(at));
        self.walls = later;
        let _: &Vec<(&str, String)> = &now;
        for (_, text) in now {
            let mut terminal = File::options().write(true).open(&self.path).unwrap();
            terminal.write_all(text.as_bytes()).unwrap();
        }
    }

    /// What a person types.
    pub fn type_keys(&mut self, keys: &[u8]) {
        self.typed.extend_from_slice(keys);
        // A line that is gone takes nothing; that is noticed by reading.
        let _ = self.line.write_all(keys);
    }

    pub fn log_in(&mut self, user: &str) -> Result<LoggedIn, LoginError> {
        let credentials = Credentials {
            user: Some(user.to_owned()),
            password: Some(Secret::new(PASSWORD.to_owned())),
            has_codes: false,
        };
        self.drive(&mut Login::new(credentials, LoginLimits::default()))
    }

    pub fn open(&mut self, logged_in: &LoggedIn) -> Result<Shell, ShellError> {
        let options = OpenOptions { careful: !logged_in.is_surely_a_shell(), ..OpenOptions::default() };
        self.drive(&mut Open::new(NONCE, options))
    }

    /// Logs in and opens a shell.
    pub fn reach(&mut self, user: &str) -> Shell {
        let logged_in = self.log_in(user).unwrap_or_else(|error| panic!("{error}; {}", self.last_heard()));
        self.open(&logged_in).unwrap_or_else(|error| panic!("{error}; {}", self.last_heard()))
    }

    pub fn run(&mut self, shell: &mut Shell, command: &str) -> Reply {
        let reply = self.drive(&mut shell.run_limited(command, RUN_WAIT, REPLY_MAX));
        reply.unwrap_or_else(|error| panic!("{command}: {error}; {}", self.last_heard()))
    }

    pub fn leave(&mut self, shell: &mut Shell) -> Left {
        self.drive(&mut shell.leave())
    }

    /// Closes the line, as when the carrier is lost, and waits until the program has gone.
    pub fn hang_up(self) {
        let Self { line, mut child, .. } = self;
        drop(line);
        super::wait_for("the program behind a closed line", || matches!(child.try_wait(), Ok(Some(_))));
    }

    pub fn last_heard(&self) -> String {
        self.heard[self.heard.len().saturating_sub(600)..].escape_ascii().to_string()
    }
}

/// What marks the frames of these tests.
pub const NONCE: u32 = 12_345;

/// No conversation takes longer.
const PATIENCE: Duration = Duration::from_secs(150);
const PAUSE: Duration = Duration::from_millis(500);
const RUN_WAIT: Duration = Duration::from_secs(45);
const REPLY_MAX: usize = 1024 * 1024;
