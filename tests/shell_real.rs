//! The shell against real login shells on a PTY, in real time: every shell that is installed, rc
//! files as users have them, awkward output, a `wall` in between, and bit errors both ways.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mailcall::machine::{Machine, Output};
use mailcall::shell::probe::Tool;
use mailcall::shell::quote::quote_path;
use mailcall::shell::{Left, Open, OpenOptions, Reply, Shell, ShellError};
use mailcall::sim::wire::{LineQuality, Wire};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A login shell on a PTY with a home of its own.
struct Host {
    master: File,
    slave_path: PathBuf,
    child: Child,
    home: tempfile::TempDir,
    rc_files: Vec<PathBuf>,
    up: Wire,
    down: Wire,
    arrived: Vec<u8>,
    bytes_down: usize,
    hung_up: bool,
    /// Written to the terminal, as `wall` does, once so many bytes have come down.
    wall_at: Option<usize>,
}

struct Setup<'a> {
    argv: &'a [&'a str],
    rc: &'a [(&'a str, &'a str)],
    env: &'a [(&'a str, &'a str)],
    bit_error_rate: f64,
}

impl<'a> Setup<'a> {
    fn of(argv: &'a [&'a str]) -> Self {
        Self { argv, rc: &[], env: &[], bit_error_rate: 0.0 }
    }

    fn start(&self) -> Option<Host> {
        Host::start(self)
    }
}

impl Host {
    fn start(setup: &Setup) -> Option<Self> {
        let program = find(setup.argv[0])?;
        let home = tempfile::tempdir().expect("a home");
        let rc_files: Vec<PathBuf> = setup.rc.iter().map(|(name, _)| home.path().join(name)).collect();
        for (path, (_, text)) in rc_files.iter().zip(setup.rc) {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("an rc file");
        }
        let pty = nix::pty::openpty(None, None).expect("a PTY");
        let slave_path = nix::unistd::ttyname(&pty.slave).expect("a name");
        let slave = File::from(pty.slave);
        let stdio = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = Command::new(program);
        command.args(&setup.argv[1..]).env_clear().current_dir(home.path());
        command.env("HOME", home.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TERM", "vt100").env("LOGNAME", "mary").env("MAIL", "/var/mail/mary");
        command.envs(setup.env.iter().copied());
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        // SAFETY: both calls are async-signal-safe and touch no memory of the parent.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                if nix::libc::ioctl(0, nix::libc::TIOCSCTTY as _, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("the shell starts");
        drop(slave);
        drop(command);
        let quality = LineQuality { bit_error_rate: setup.bit_error_rate, ..LineQuality::PERFECT };
        let master = File::from(pty.master);
        let flags = nix::fcntl::OFlag::from_bits_retain(
            nix::fcntl::fcntl(&master, nix::fcntl::FcntlArg::F_GETFL).expect("flags"),
        );
        nix::fcntl::fcntl(&master, nix::fcntl::FcntlArg::F_SETFL(flags | nix::fcntl::OFlag::O_NONBLOCK))
            .expect("non-blocking");
        Some(Self {
            master,
            slave_path,
            child,
            home,
            rc_files,
            up: Wire::new(quality, 11),
            down: Wire::new(quality, 12),
            arrived: Vec::new(),
            bytes_down: 0,
            hung_up: false,
            wall_at: None,
        })
    }

    /// Pumps a machine in real time.
    fn drive<M: Machine>(&mut self, mut machine: M, mut on_event: impl FnMut(M::Event)) -> M::Outcome {
        let started = now();
        loop {
            assert!(started.elapsed() < Duration::from_secs(120), "a conversation took two minutes");
            self.read_what_is_there();
            let offered = self.arrived.len();
            if offered > 0 {
                let taken = machine.handle_input(now(), &self.arrived);
                self.arrived.drain(..taken);
            } else if self.hung_up {
                machine.handle_hangup(now());
            }
            let deadline = loop {
                match machine.poll_output(now()) {
                    Output::Transmit(transmit) => self.send(&transmit.bytes),
                    Output::Control(_) => {}
                    Output::Event(event) => on_event(event),
                    Output::Wait(until) => break until,
                    Output::Done(outcome) => return outcome,
                }
            };
            let wait = deadline.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now()));
            if wait.is_zero() {
                machine.handle_timeout(now());
            } else if self.arrived.is_empty() && !self.hung_up {
                self.wait_readable(wait.min(Duration::from_secs(1)));
            }
        }
    }

    fn wait_readable(&self, wait: Duration) {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let millis = u16::try_from(wait.as_millis()).unwrap_or(u16::MAX).max(1);
        let _ = poll(&mut fds, PollTimeout::from(millis));
    }

    fn read_what_is_there(&mut self) {
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(0) => self.hung_up = true,
            Ok(length) => {
                self.bytes_down += length;
                self.down.push(now(), &buffer[..length]);
                self.arrived.extend(self.down.poll(now()));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => self.hung_up = true, // EIO: nobody holds the slave
        }
        if self.wall_at.is_some_and(|at| self.bytes_down >= at) {
            self.wall_at = None;
            let mut terminal = File::options().write(true).open(&self.slave_path).expect("the terminal");
            let text = "\r\n\x07Broadcast message from root@host (pts/1):\r\n\r\nThe system goes down at 5!\r\n";
            terminal.write_all(text.as_bytes()).expect("a wall");
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.up.push(now(), bytes);
        let mut rest = &self.up.poll(now())[..];
        while !rest.is_empty() {
            match self.master.write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => self.read_what_is_there(),
                Err(_) => return self.hung_up = true,
            }
        }
    }

    fn open(&mut self) -> Shell {
        match self.drive(Open::new(12_345, OpenOptions::default()), |_| ()) {
            Ok(shell) => shell,
            Err(error) => panic!("{error}"),
        }
    }

    fn run(&mut self, shell: &mut Shell, command: &str) -> Reply {
        self.try_run(shell, command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn try_run(&mut self, shell: &mut Shell, command: &str) -> Result<Reply, ShellError> {
        self.drive(shell.run_limited(command, DEADLINE, 1024 * 1024), |_| ())
    }

    fn leave(&mut self, shell: &mut Shell) {
        let left = self.drive(shell.leave(), |_| ());
        assert_eq!(left, Left::HungUp, "one exit ends the session");
    }

    /// Every file below the home that the test did not put there and that holds what was typed.
    fn traces(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.home.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !self.rc_files.contains(&path) {
                    let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
                    if text.contains("stty") || text.contains("HISTFILE") || text.contains("read") {
                        found.insert(path, text);
                    }
                }
            }
        }
        found
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::disallowed_methods)] // these tests run in real time
fn now() -> Instant {
    Instant::now()
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file());
    if found.is_none() {
        println!("SKIPPED: {program} is not installed");
        assert!(std::env::var_os("CI").is_none(), "CI has {program}");
    }
    found
}

const DEADLINE: Duration = Duration::from_secs(20);

/// The shells, each with an rc file as somebody has it.
const SHELLS: &[(&str, Setup<'static>)] = &[
    ("bash", shell(&["bash", "-l"], &[(".bash_profile", BASH_RC)])),
    ("bash as it comes", shell(&["bash", "-l"], &[])),
    ("dash", shell(&["dash", "-l"], &[(".profile", "PS1='\n>> '\necho Welcome; echo You have mail.\n")])),
    ("BusyBox", shell(&["busybox", "sh", "-l"], &[])),
    ("tcsh", shell(&["tcsh", "-l"], &[(".cshrc", "set history=100 savehist=(100 merge)\nset prompt='%n:%~%# '\n")])),
    ("zsh", shell(&["zsh", "-l"], &[(".zshrc", ZSH_RC)])),
    ("fish", shell(&["fish", "-l"], &[])),
    ("mksh", shell(&["mksh", "-l"], &[(".mkshrc", "HISTFILE=~/.mksh_history\nPS1='$PWD $ '\n")])),
    ("ksh", shell(&["ksh", "-l"], &[(".profile", "set -o vi\n")])),
];

const fn shell(argv: &'static [&'static str], rc: &'static [(&'static str, &'static str)]) -> Setup<'static> {
    Setup { argv, rc, env: &[("XDG_DATA_HOME", "/nonexistent")], bit_error_rate: 0.0 }
}

const BASH_RC: &str = "HISTCONTROL=\nPROMPT_COMMAND='history -a'\n\
    PS1='\\[\\e]0;\\u@\\h\\a\\e[01;32m\\]\\u@\\h\\[\\e[00m\\]:\\[\\e[01;34m\\]\\w\\[\\e[00m\\]\\n~kQ -> '\nls\n";
const ZSH_RC: &str = "HISTFILE=~/.zhistory\nHISTSIZE=100\nSAVEHIST=100\nsetopt hist_ignore_space inc_append_history\n\
    PROMPT='%F{green}%n%f %1~ %# '\nRPROMPT='%T'\n";

/// zsh and ksh93 write a line as they read it; what is typed at their prompts cannot avoid that.
const WRITES_EACH_LINE: &[&str] = &["ksh"];

#[test]
fn every_shell_opens_runs_a_command_and_leaves_no_trace() {
    for (name, setup) in SHELLS {
        let Some(mut host) = setup.start() else { continue };
        let mut shell = host.open();
        let opened = host.bytes_down;
        let reply = host.run(&mut shell, "printf 'a\\nb\\000\\377'; exit 3");
        assert_eq!((reply.status, &reply.bytes[..]), (3, &b"a\nb\0\xff"[..]), "{name}");
        assert_eq!(shell.facts().mail.as_deref(), Some(&b"/var/mail/mary"[..]), "{name}");
        assert_eq!(shell.facts().home.as_deref(), Some(host.home.path().as_os_str().as_encoded_bytes()), "{name}");
        host.leave(&mut shell);
        println!("{name}: {opened} bytes down until open, {} for a command", host.bytes_down - opened);
        if !WRITES_EACH_LINE.contains(name) {
            assert_eq!(host.traces(), BTreeMap::new(), "{name} remembers what was typed");
        }
    }
}
