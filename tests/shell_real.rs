//! The shell against real login shells on a PTY, in real time: every shell that is installed, rc
//! files as users have them, awkward output, a `wall` in between, and bit errors both ways.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mailcall::machine::{Machine, Output};
use mailcall::shell::probe::Tool;
use mailcall::shell::quote::quote_path;
use mailcall::shell::{Left, Open, OpenOptions, Reply, Shell, ShellError};
use mailcall::sim::wire::{LineQuality, Wire};
use mailcall::transfer::text::{TextError, TextEvent, TextReceive, TextSummary};
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
    /// Folders that live as long as the host.
    keeps: Vec<tempfile::TempDir>,
}

struct Setup<'a> {
    argv: &'a [&'a str],
    rc: &'a [(&'a str, &'a str)],
    env: &'a [(&'a str, &'a str)],
    bit_error_rate: f64,
    /// The terminal's width; 0 is unknown, as on a serial line.
    columns: u16,
}

impl<'a> Setup<'a> {
    fn of(argv: &'a [&'a str]) -> Self {
        Self { argv, rc: &[], env: &[], bit_error_rate: 0.0, columns: 0 }
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
        let size = nix::pty::Winsize { ws_row: 24, ws_col: setup.columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(&size, None).expect("a PTY");
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
            keeps: Vec::new(),
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
            let text =
                "\r\n\x07Broadcast message from root@host (pts/1):\r\n\r\nThe system goes down at 5!\r\n";
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
    (
        "tcsh",
        shell(
            &["tcsh", "-l"],
            &[(".cshrc", "set history=100 savehist=(100 merge)\nset prompt='%n:%~%# '\n")],
        ),
    ),
    ("zsh", shell(&["zsh", "-l"], &[(".zshrc", ZSH_RC)])),
    ("fish", shell(&["fish", "-l"], &[])),
    ("mksh", shell(&["mksh", "-l"], &[(".mkshrc", "HISTFILE=~/.mksh_history\nPS1='$PWD $ '\n")])),
    ("ksh", shell(&["ksh", "-l"], &[(".profile", "set -o vi\n")])),
];

const fn shell(argv: &'static [&'static str], rc: &'static [(&'static str, &'static str)]) -> Setup<'static> {
    Setup { argv, rc, env: &[("XDG_DATA_HOME", "/nonexistent")], bit_error_rate: 0.0, columns: 0 }
}

const BASH_RC: &str = "HISTCONTROL=\nPROMPT_COMMAND='history -a'\n\
    PS1='\\[\\e]0;\\u@\\h\\a\\e[01;32m\\]\\u@\\h\\[\\e[00m\\]:\\[\\e[01;34m\\]\\w\\[\\e[00m\\]\\n~kQ -> '\nls\n";
const ZSH_RC: &str = "HISTFILE=~/.zhistory\nHISTSIZE=100\nSAVEHIST=100\nsetopt hist_ignore_space inc_append_history\n\
    PROMPT='%F{green}%n%f %1~ %# '\nRPROMPT='%T'\n";

/// ksh93, and mksh where HISTFILE is set, write a line as they read it; no line typed there can avoid that.
const WRITES_EACH_LINE: &[&str] = &["ksh", "mksh"];

#[test]
fn every_shell_opens_runs_a_command_and_leaves_no_trace() {
    for ((name, setup), columns) in SHELLS.iter().flat_map(|shell| [(shell, 0), (shell, 80)]) {
        let setup = Setup { columns, ..*setup };
        let Some(mut host) = setup.start() else { continue };
        let mut shell = host.open();
        let opened = host.bytes_down;
        let reply = host.run(&mut shell, "printf 'a\\nb\\000\\377'; exit 3");
        assert_eq!((reply.status, &reply.bytes[..]), (3, &b"a\nb\0\xff"[..]), "{name}");
        assert_eq!(shell.facts().mail.as_deref(), Some(&b"/var/mail/mary"[..]), "{name}");
        assert_eq!(
            shell.facts().home.as_deref(),
            Some(host.home.path().as_os_str().as_encoded_bytes()),
            "{name}"
        );
        host.leave(&mut shell);
        println!(
            "{name}, {columns} columns: {opened} bytes down until open, {} for a command",
            host.bytes_down - opened
        );
        if !WRITES_EACH_LINE.contains(name) {
            assert_eq!(host.traces(), BTreeMap::new(), "{name} remembers what was typed");
        }
    }
}

/// Every bit pattern a frame, a terminal or a decoder could stumble over.
const AWKWARD: &[(&str, i32)] = &[
    ("true", 0),
    ("false", 1),
    ("no-such-command-at-all", 127),
    ("exit 255", 255),
    ("printf x", 0),
    ("printf '\\n\\n\\n'", 0),
    ("printf '~Dgm-0\\n~Dgm+2\\n~Dgm1 1/1 IDAK 0 0\\n'; exit 9", 9),
    ("printf '\\033[2J\\033]0;x\\007\\033[6n'", 0),
    ("echo ' 7'; exit 7", 7),
    ("printf %s \"$(printf %s 'a  b\\c')\"", 0),
    ("cd /; pwd; exit 4", 4),
    ("if", 2),
    ("cat", 0),
    ("for i in 1 2\ndo echo $i # a comment\ndone\n", 0),
    ("echo trailing\\ ", 0),
    ("sh -c 'kill -TERM $$'", 143),
];

fn sh_says(command: &str) -> Vec<u8> {
    let output = Command::new("sh").arg("-c").arg(command).stdin(Stdio::null()).output().expect("sh runs");
    output.stdout
}

#[test]
fn awkward_output_and_every_status_come_back_exactly() {
    for sh in ["dash", "bash", "busybox", "mksh", "ksh", "zsh"] {
        let Some(mut host) = on_a_host_where_sh_is(sh) else { continue };
        let mut shell = host.open();
        for (command, status) in AWKWARD {
            let reply = host.run(&mut shell, command);
            assert_eq!(reply.bytes, sh_says(command), "{sh}: {command}");
            // A syntax error is any failure; ksh93 counts signals from 256.
            let same = match *status {
                2 => reply.status != 0,
                143 => matches!(reply.status, 143 | 271),
                status => reply.status == status,
            };
            assert!(same, "{sh}: {command}: {}", reply.status);
        }
        host.leave(&mut shell);
    }
}

/// A host whose only `sh` is this one.
fn on_a_host_where_sh_is(sh: &str) -> Option<Host> {
    let program = find(sh)?;
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(program, folder.path().join("sh")).expect("a link");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("a PATH"));
    let mut host = Setup { env: &[("PATH", &path)], ..Setup::of(&["dash"]) }.start()?;
    host.keeps.push(folder);
    Some(host)
}

#[test]
fn every_byte_value_and_a_long_reply_come_back_exactly() {
    let Some(mut host) = Setup::of(&["bash", "-l"]).start() else { return };
    let mut shell = host.open();
    let every: Vec<u8> = (0..=255).cycle().take(256 * 40).collect();
    fs::write(host.home.path().join("every byte"), &every).expect("a file");
    assert_eq!(host.run(&mut shell, "cat 'every byte'").bytes, every);
    let lines = host.run(&mut shell, "i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done");
    assert_eq!(lines.bytes, (0..100_000).map(|i| format!("{i}\n")).collect::<String>().into_bytes());
    let too_large = host.drive(shell.run_limited("cat /dev/zero", DEADLINE, 10_000), |_| ());
    assert_eq!(too_large, Err(ShellError::ReplyTooLarge { limit: 10_000 }));
    assert_eq!(host.run(&mut shell, "echo still here").bytes, b"still here\n");
    host.leave(&mut shell);
}

#[test]
fn a_wall_in_the_middle_costs_nothing_but_a_repetition() {
    let Some(mut host) = Setup::of(&["bash", "-l"]).start() else { return };
    let mut shell = host.open();
    for at in [10, 400, 3_000] {
        host.wall_at = Some(host.bytes_down + at);
        let reply = host.run(&mut shell, "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done");
        assert_eq!(reply.bytes, (0..2_000).map(|i| format!("{i}\n")).collect::<String>().into_bytes());
    }
    host.leave(&mut shell);
}

#[test]
fn over_a_noisy_line_each_command_runs_exactly_once() {
    for (bit_error_rate, shells) in [(1e-5, &["bash", "dash", "tcsh"][..]), (1e-4, &["bash", "busybox"])] {
        for name in shells {
            let argv: &[&str] = if *name == "busybox" { &["busybox", "sh", "-l"] } else { &[name, "-l"] };
            let Some(mut host) = (Setup { bit_error_rate, ..Setup::of(argv) }).start() else { continue };
            let mut shell = host.open();
            for count in 1..=25 {
                let reply =
                    host.run(&mut shell, "echo run >> counted; wc -l < counted; head -c 600 /dev/zero");
                let text =
                    String::from_utf8_lossy(&reply.bytes[..reply.bytes.len() - 600]).trim().to_string();
                assert_eq!(text, count.to_string(), "{name} at {bit_error_rate}");
            }
            host.leave(&mut shell);
            println!("{name} at {bit_error_rate}: {} bytes hit", host.up.damaged + host.down.damaged);
        }
    }
}

/// A host whose PATH leads to these commands only; its sh is dash, its base64 and uuencode BusyBox's.
fn with_only(tools: &[&str]) -> Option<Host> {
    let folder = tempfile::tempdir().expect("a folder");
    for tool in tools {
        let program = find(match *tool {
            "sh" => "dash",
            "base64" | "uuencode" => "busybox",
            tool => tool,
        })?;
        std::os::unix::fs::symlink(program, folder.path().join(tool)).expect("a link");
    }
    let path = folder.path().display().to_string();
    std::os::unix::fs::symlink(find("dash")?, folder.path().join("dash")).expect("a link");
    let mut host = Setup { env: &[("PATH", &path)], ..Setup::of(&["dash"]) }.start()?;
    host.keeps.push(folder);
    Some(host)
}

#[test]
fn a_host_with_almost_nothing_still_works() {
    // What is there, what proves a line, and whether replies come in hexadecimal.
    for (tools, hex) in [
        (&["sh", "stty", "cksum", "base64"][..], false),
        (&["sh", "stty", "md5sum", "od"], true),
        (&["sh", "stty", "od", "dd"], true),
        (&["sh", "cksum", "od"], true),
        (&["sh", "od", "dd", "printf"], true),
    ] {
        let Some(mut host) = with_only(tools) else { continue };
        let mut shell = host.open();
        assert_eq!(shell.facts().hex, hex, "{tools:?}");
        assert_eq!(shell.facts().has(Tool::Od), tools.contains(&"od"), "{tools:?}");
        let reply = host.run(
            &mut shell,
            "printf 'a\\nb\\000\\377'; i=0; while [ $i -lt 99 ]; do echo $i; i=$((i+1)); done; exit 5",
        );
        let expected =
            [b"a\nb\0\xff".to_vec(), (0..99).flat_map(|i| format!("{i}\n").into_bytes()).collect()].concat();
        assert_eq!((reply.status, reply.bytes), (5, expected), "{tools:?}");
        assert_eq!(host.drive(shell.start("exit 6", DEADLINE), |_| ()), Ok(()), "{tools:?}");
        assert_eq!(host.drive(shell.finish(DEADLINE), |_| ()), Ok(6), "{tools:?}");
        host.leave(&mut shell);
    }
}

#[test]
fn the_line_belongs_to_a_command_and_comes_back() {
    let Some(mut host) = Setup::of(&["bash", "-l"]).start() else { return };
    let mut shell = host.open();
    let started =
        host.drive(shell.start("printf 'my bytes'; read x; printf \"<$x>OO\"; exit 6", DEADLINE), |_| ());
    assert_eq!(started, Ok(()));
    let deadline = now() + Duration::from_secs(5);
    while !host.arrived.ends_with(b"my bytes") && now() < deadline {
        host.wait_readable(Duration::from_millis(100));
        host.read_what_is_there();
    }
    assert!(host.arrived.ends_with(b"my bytes"), "{}", host.arrived.escape_ascii());
    host.arrived.clear();
    host.send(b"hello\n");
    assert_eq!(host.drive(shell.finish(DEADLINE), |_| ()), Ok(6));
    // A mistake in the command ends the command, not the agent.
    assert_eq!(host.drive(shell.start("if", DEADLINE), |_| ()), Ok(()));
    assert_ne!(host.drive(shell.finish(DEADLINE), |_| ()), Ok(0));
    assert_eq!(host.run(&mut shell, "echo back").bytes, b"back\n");
    host.leave(&mut shell);
}

#[test]
fn a_real_sz_has_the_line_until_it_is_cancelled() {
    if find("sz").is_none() {
        return;
    }
    let Some(mut host) = Setup::of(&["bash", "-l"]).start() else { return };
    let mut shell = host.open();
    assert_eq!(shell.facts().zmodem_sender(), Some("sz"));
    fs::write(host.home.path().join("box"), noise(5_000)).expect("a file");
    assert_eq!(host.drive(shell.start("sz -q box", DEADLINE), |_| ()), Ok(()));
    let zrqinit = b"**\x18B00000000000000";
    let deadline = now() + Duration::from_secs(5);
    while !host.arrived.windows(zrqinit.len()).any(|seen| seen == zrqinit) {
        assert!(now() < deadline, "{}", host.arrived.escape_ascii());
        host.wait_readable(Duration::from_millis(100));
        host.read_what_is_there();
    }
    // ZMODEM's cancel sequence; what sz leaves on the line is the shell's to get over.
    host.send(&[[0x18; 8], [0x08; 8]].concat());
    let status = host.drive(shell.finish(DEADLINE), |_| ()).expect("a status");
    assert_ne!(status, 0);
    assert_eq!(host.run(&mut shell, "echo back").bytes, b"back\n");
    host.leave(&mut shell);
}

#[test]
fn terminals_and_prompts_that_hide_the_echo_are_coped_with() {
    let long = "a prompt so long that nothing fits behind it in one row of a terminal, really not> ";
    for (name, setup) in [
        ("a dumb terminal", Setup { env: &[("TERM", "dumb")], ..Setup::of(&["bash", "-l"]) }),
        ("vi mode", Setup { rc: &[(".bash_profile", "set -o vi")], ..Setup::of(&["bash", "-l"]) }),
        ("a long prompt", Setup { env: &[("PS1", long)], ..Setup::of(&["dash", "-l"]) }),
        ("a long prompt in mksh", Setup { env: &[("PS1", long)], ..Setup::of(&["mksh", "-l"]) }),
        ("no echo", Setup { rc: &[(".profile", "stty -echo")], ..Setup::of(&["dash", "-l"]) }),
        (
            "a slow login",
            Setup {
                rc: &[(".profile", "sleep 1; echo one; sleep 1; echo two")],
                ..Setup::of(&["dash", "-l"])
            },
        ),
        (
            "a login that asks",
            Setup {
                rc: &[(".profile", "printf 'TERM = (vt100) '; read TERM")],
                ..Setup::of(&["dash", "-l"])
            },
        ),
    ] {
        let Some(mut host) = setup.start() else { continue };
        let mut shell = host.open();
        println!("{name}: {} bytes down until open", host.bytes_down);
        assert_eq!(host.run(&mut shell, "echo here").bytes, b"here\n", "{name}");
        host.leave(&mut shell);
    }
}

#[test]
fn a_file_name_that_tries_to_be_a_command_is_read_as_a_file() {
    let Some(mut host) = Setup::of(&["bash", "-l"]).start() else { return };
    let mut shell = host.open();
    for name in [&b"-n"[..], b"$(touch gotcha)", b"it's \"x\"", b"caf\xc3\xa9 \xff", b"new\nline", b"`id`\\"]
    {
        let path =
            host.home.path().join(std::ffi::OsStr::new(<std::ffi::OsStr as OsStrExt>::from_bytes(name)));
        fs::write(&path, name).expect("a file");
        let reply = host.run(&mut shell, &format!("cat {}", quote_path(name)));
        assert_eq!(reply.bytes, name, "{}", name.escape_ascii());
    }
    assert!(!Path::new(&host.home.path().join("gotcha")).exists());
    host.leave(&mut shell);
}

/// Bytes that no packer makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(5);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

impl Host {
    fn receive(
        &mut self,
        shell: &mut Shell,
        path: &str,
        from: u64,
        to: u64,
    ) -> (Vec<u8>, Result<TextSummary, TextError>) {
        let mut file = Vec::new();
        let outcome = self.drive(TextReceive::new(shell, path, from, to), |event| match event {
            TextEvent::Data { offset, bytes } => {
                assert_eq!(offset, from + file.len() as u64, "in order and without gaps");
                file.extend(bytes);
            }
            TextEvent::AskedAgain { .. } => {}
        });
        (file, outcome)
    }
}

#[test]
fn a_binary_file_arrives_whole_clean_noisy_and_through_a_wall() {
    for (what, bit_error_rate, wall) in
        [("clean", 0.0, false), ("a wall", 0.0, true), ("1e-5", 1e-5, false), ("1e-4", 1e-4, false)]
    {
        let Some(mut host) = (Setup { bit_error_rate, ..Setup::of(&["bash", "-l"]) }).start() else {
            continue;
        };
        let mut shell = host.open();
        let file = noise(100_000);
        fs::write(host.home.path().join("box"), &file).expect("a file");
        let before = host.bytes_down;
        host.wall_at = wall.then_some(before + 20_000);
        let started = now();
        let (received, outcome) = host.receive(&mut shell, "./box", 0, 100_000);
        println!("{what}: {} bytes down, {:?}, {outcome:?}", host.bytes_down - before, started.elapsed());
        assert!(outcome.is_ok(), "{what}: {outcome:?}");
        assert!(received == file, "{what}: not what was sent");
        let (part, outcome) = host.receive(&mut shell, "./box", 77_777, 91_234);
        assert!(outcome.is_ok_and(|summary| summary.bytes == 13_457), "{what}");
        assert!(part == file[77_777..91_234], "{what}: not the part");
        assert_eq!(host.run(&mut shell, "echo after").bytes, b"after\n", "{what}");
        host.leave(&mut shell);
    }
}

#[test]
fn text_is_packed_on_the_way_and_a_file_that_is_not_there_is_said_so() {
    let Some(mut host) = Setup::of(&["bash", "-l"]).start() else { return };
    let mut shell = host.open();
    let mail: Vec<u8> =
        (0..2_000).flat_map(|i| format!("From mary {i}\nHello, this is mail.\n").into_bytes()).collect();
    fs::write(host.home.path().join("box"), &mail).expect("a file");
    let before = host.bytes_down;
    let (received, outcome) = host.receive(&mut shell, "./box", 0, mail.len() as u64);
    assert!(received == mail && outcome.is_ok(), "{outcome:?}");
    assert!(
        host.bytes_down - before < mail.len() / 3,
        "{} bytes for {}",
        host.bytes_down - before,
        mail.len()
    );
    assert_eq!(host.receive(&mut shell, "./no-such", 0, 5).1, Err(TextError::Unreadable));
    let end = mail.len() as u64;
    assert_eq!(
        host.receive(&mut shell, "./box", end - 5, end + 5).1,
        Err(TextError::Changed { offset: end - 5 })
    );
    assert_eq!(host.receive(&mut shell, "./box", 5, 5), (Vec::new(), Ok(TextSummary::default())));
    host.leave(&mut shell);
}

#[test]
fn a_host_with_almost_nothing_still_sends_a_file() {
    for tools in [
        &["sh", "stty", "md5sum", "od", "dd"][..],
        &["sh", "od", "dd"],
        &["sh", "stty", "cksum", "openssl", "dd"],
    ] {
        let Some(mut host) = with_only(tools) else { continue };
        let mut shell = host.open();
        let file = noise(20_000);
        fs::write(host.home.path().join("box"), &file).expect("a file");
        let (received, outcome) = host.receive(&mut shell, "./box", 3, 20_000);
        assert!(outcome.is_ok(), "{tools:?}: {outcome:?}");
        assert!(received == file[3..], "{tools:?}: not what was sent");
        host.leave(&mut shell);
    }
}
