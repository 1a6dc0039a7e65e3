//! What the tests of whole calls share: a simulated modem and host as a process, a home of its own,
//! and the comparison of what came home with what the host holds.

#![allow(dead_code)] // each test binary uses its part

pub mod at_terminal;
pub mod on_pty;
pub mod servers;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The program under test.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_mailcall")
}

/// `mailcall sim` running in the background, ended when dropped.
pub struct Sim {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub device: PathBuf,
    _dir: tempfile::TempDir,
}

impl Sim {
    /// Starts a simulator and waits until its device is there.
    pub fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("modem");
        let mut child = Command::new(program())
            .arg("sim")
            .arg("--link")
            .arg(&device)
            .args(args)
            .env("HOME", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        let sim = Self { child, log, device, _dir: dir };
        wait_for("the simulator's device", || sim.device.exists());
        sim
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits until the modem is on-hook after `calls` calls.
    pub fn on_hook_after(&self, calls: usize) {
        wait_for("the modem to be on-hook", || {
            let log = self.log();
            log.matches("connected").count() == calls && log.matches("on-hook").count() == calls
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.child.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the simulator said:\n{}\n---", self.log());
        }
    }
}

/// A user's home: configuration, state and mail below one folder.
pub struct Home {
    pub dir: tempfile::TempDir,
}

impl Home {
    /// A home whose account `home` dials `555 1212` on `device`.
    pub fn new(device: &Path, user: &str, mailbox: &Path, more: &str) -> Self {
        Self::with_line(
            &format!(
                "kind = \"serial\"\ndevice = {:?}\nspeed = 57600\nmodem = \"generic\"\n",
                device.display().to_string()
            ),
            &format!(
                "phone = \"555 1212\"\nuser = {user:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\nmailbox = {:?}\n{more}",
                mailbox.display().to_string()
            ),
        )
    }

    /// A home with these texts for its line and its account.
    pub fn with_line(line: &str, account: &str) -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        let deliver = if account.contains("deliver") {
            String::new()
        } else {
            format!("deliver = {{ maildir = {:?} }}\n", home.maildir().display().to_string())
        };
        // A program that a test kills leaves its lock file behind: not in the system's folder.
        let locks = if line.contains("kind = \"serial\"") && !line.contains("lock_dir") {
            let folder = home.dir.path().join("locks");
            std::fs::create_dir(&folder).unwrap();
            format!("lock_dir = {:?}\n", folder.display().to_string())
        } else {
            String::new()
        };
        home.configure(&format!(
            "[line.usr]\n{line}\n{locks}[account.home]\nline = \"usr\"\n{account}\n{deliver}"
        ));
        home
    }

    pub fn configure(&self, text: &str) {
        let dir = self.dir.path().join(".config/mailcall");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config.toml"), text).unwrap();
    }

    /// Puts more keys into the account, which stands last.
    pub fn account_also(&self, keys: &str) {
        let file = self.dir.path().join(".config/mailcall/config.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text + keys).unwrap();
    }

    pub fn maildir(&self) -> PathBuf {
        self.dir.path().join("Mail/home")
    }

    /// A command in this home, with nothing of the developer's own environment that matters.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(args)
            .env("HOME", self.dir.path())
            .env("TEST_PASSWORD", PASSWORD)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_STATE_HOME")
            .env_remove("MAILCALL_CONFIG")
            .env_remove("MAILCALL_STATE")
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::new(self.command(args).output().unwrap())
    }

    /// `fetch --json`.
    pub fn fetch(&self) -> Ran {
        self.run(&["fetch", "--json", "home"])
    }

    /// Bytes that are here and not yet delivered.
    pub fn part_len(&self) -> usize {
        let state = self.dir.path().join(".local/state/mailcall/home");
        let files = std::fs::read_dir(state).into_iter().flatten().map(Result::unwrap);
        let parts = files.filter(|file| file.file_name().to_string_lossy().starts_with("part."));
        parts.map(|file| file.metadata().unwrap().len() as usize).sum()
    }

    /// Everything delivered to the Maildir, sorted.
    pub fn mail(&self) -> Vec<Vec<u8>> {
        let mut mail = Vec::new();
        for folder in ["new", "cur"] {
            for file in std::fs::read_dir(self.maildir().join(folder)).into_iter().flatten() {
                mail.push(std::fs::read(file.unwrap().path()).unwrap());
            }
        }
        mail.sort();
        mail
    }
}

/// A user of this system, removed when dropped.
pub struct User {
    pub name: String,
    pub mailbox: PathBuf,
}

impl User {
    /// Makes a user with this login shell and mailbox; `None`, said loudly, where that cannot be.
    pub fn new(suffix: &str, shell: &str, mailbox: &[u8]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            missing("/bin/login can only be tried as root");
            return None;
        }
        if !["useradd", "chpasswd", "userdel"].iter().all(|tool| have(tool)) || !have("login") {
            return None;
        }
        let name = format!("mc{}{suffix}", std::process::id() % 100_000);
        let made = Command::new("useradd").args(["-m", "-s", shell, &name]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let user = Self { mailbox: PathBuf::from("/var/mail").join(&name), name };
        let mut chpasswd = Command::new("chpasswd").stdin(Stdio::piped()).spawn().unwrap();
        writeln!(chpasswd.stdin.take().unwrap(), "{}:{PASSWORD}", user.name).unwrap();
        assert!(chpasswd.wait().unwrap().success());
        std::fs::write(&user.mailbox, mailbox).unwrap();
        let ids = nix::unistd::User::from_name(&user.name).unwrap().unwrap();
        nix::unistd::chown(&user.mailbox, Some(ids.uid), Some(ids.gid)).unwrap();
        Some(user)
    }

    /// Makes a file, or a folder with all that is in it, this user's.
    pub fn gets(&self, path: &Path) {
        assert!(Command::new("chown").arg("-R").arg(&self.name).arg(path).status().unwrap().success());
    }

    pub fn append(&self, bytes: &[u8]) {
        std::fs::OpenOptions::new().append(true).open(&self.mailbox).unwrap().write_all(bytes).unwrap();
    }

    /// A home that dials `sim` as this user and takes the mailbox from the host's `$MAIL`.
    pub fn home(&self, sim: &Sim, more: &str) -> Home {
        Home::with_line(
            &format!("kind = \"serial\"\ndevice = {:?}\nspeed = 57600\n", sim.device.display().to_string()),
            &format!(
                "phone = \"555 1212\"\nuser = {:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\n{more}",
                self.name
            ),
        )
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = Command::new("userdel").args(["-r", "-f", &self.name]).output();
        let _ = std::fs::remove_file(&self.mailbox);
    }
}

/// How a run ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn new(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// One value of the JSON report.
    pub fn json(&self, key: &str) -> serde_json::Value {
        let object: serde_json::Value = serde_json::from_str(self.out.trim())
            .unwrap_or_else(|error| panic!("no JSON ({error}): {:?}\n{}", self.out, self.err));
        object[key].clone()
    }

    pub fn number(&self, key: &str) -> u64 {
        self.json(key).as_u64().unwrap_or_else(|| panic!("{key}: {}", self.out))
    }

    /// Asserts exit code and outcome.
    pub fn ended(&self, code: i32, outcome: &str) -> &Self {
        assert_eq!(
            (self.code, self.json("outcome").as_str().unwrap()),
            (code, outcome),
            "{}\n{}",
            self.out,
            self.err
        );
        self
    }
}

/// The messages of an mbox as a Maildir should hold them: split as Python does, `>From ` undone.
/// A second opinion: it shares no code with the program.
pub fn messages(mbox: &[u8]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut blank = true;
    for line in mbox.split_inclusive(|&byte| byte == b'\n') {
        if blank && line.starts_with(b"From ") {
            messages.push(Vec::new());
        } else if let Some(message) = messages.last_mut() {
            let quoted = line.iter().take_while(|&&byte| byte == b'>').count();
            let line = if quoted > 0 && line[quoted..].starts_with(b"From ") { &line[1..] } else { line };
            message.extend_from_slice(line);
        }
        blank = line == b"\n";
    }
    for message in &mut messages {
        if message.ends_with(b"\n\n") {
            message.pop();
        }
    }
    messages.sort();
    messages
}

/// The shared folder of real mail, or `None`, said loudly.
pub fn real_mail(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("MAILCALL_TEST_MAIL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/mail"), PathBuf::from);
    let mail = std::fs::read(folder.join(name)).ok();
    if mail.is_none() {
        // Not a peer: public test data that a clone elsewhere has not.
        println!("SKIPPED (optional): {name} is not in {}", folder.display());
    }
    mail
}

/// The project's own sample mailbox.
pub fn sample() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sample.mbox")).unwrap()
}

/// True when a program can be found; a missing peer fails in CI.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file());
    if !found {
        missing(&format!("{program} is not installed"));
    }
    found
}

/// Where `tests/run` has put a package from PyPI; a missing one fails in CI.
pub fn have_python(package: &str) -> Option<PathBuf> {
    let folders = Path::new(program()).ancestors().map(|folder| folder.join("peers/python"));
    let found = folders
        .into_iter()
        .find(|folder| folder.join(package).is_dir() || folder.join(format!("{package}.py")).is_file());
    if found.is_none() {
        missing(&format!("{package} from PyPI is not in target/peers/python; tests/run puts it there"));
    }
    found.filter(|_| have("python3"))
}

/// A peer that cannot be had: fails in CI, is said elsewhere.
pub fn missing(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "in CI this peer must be there: {why}");
    skipped(why);
}

/// Says that a test did not run.
pub fn skipped(why: &str) {
    println!("SKIPPED: {why}");
    if let Some(file) = std::env::var_os("MAILCALL_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(file)
    {
        let _ = writeln!(file, "SKIPPED: {why}");
    }
}

/// Runs each case in a thread of its own: calls take line time, not processor time.
pub fn at_once<C: Send>(cases: impl IntoIterator<Item = C>, run: impl Fn(C) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| run(case));
        }
    });
}

/// Reads what a running program says until `text` has come.
pub fn read_until(said: &mut impl Read, text: &str) {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(text) {
        let mut byte = [0];
        assert_eq!(said.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&heard));
        heard.push(byte[0]);
    }
}

/// Waits for another process, which has no virtual time.
#[allow(clippy::disallowed_methods)]
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < patience, "waited 20 s for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The password of the simulated host's user, and of users made for a test.
pub const PASSWORD: &str = "correct-horse-7";
