//! Locks on ports with real files and real processes: UUCP lock files, flock, TIOCEXCL, and who is
//! named as their holder.
#![allow(clippy::disallowed_methods)] // the real world is what is tested here

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mailcall::line::Line;
use mailcall::line::holder::{HeldBy, Holder};
use mailcall::line::lock::{PortLock, holder_in, holder_of};
use mailcall::line::pty::PtyPair;
use mailcall::line::serial::{Flow, OpenError, SerialLine, SerialSettings};
use nix::libc;
use nix::unistd::Uid;

/// A PTY for a port, and a lock directory of its own.
struct Bench {
    pty: PtyPair,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let pty = PtyPair::open().unwrap();
        pty.make_raw().unwrap();
        Self { pty, dir: tempfile::tempdir().unwrap() }
    }

    fn settings(&self) -> SerialSettings {
        let lock_dir = Some(self.dir.path().into());
        SerialSettings { lock_dir, ..SerialSettings::new(&self.pty.path, 57_600, Flow::None) }
    }

    fn open(&self) -> Result<SerialLine, OpenError> {
        SerialLine::open(self.settings())
    }

    /// Where the port's lock file belongs.
    fn lock_file(&self) -> PathBuf {
        self.dir.path().join(format!("LCK..{}", self.number()))
    }

    /// The `3` of `/dev/pts/3`.
    fn number(&self) -> String {
        self.pty.path.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A process that does nothing, ended when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The number of a process that has ended and was waited for.
fn dead_pid() -> i32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id() as i32
}

/// The holder that a refusal names, and its text.
fn refusal(opened: Result<SerialLine, OpenError>) -> (Option<Holder>, String) {
    let error = opened.expect_err("locked");
    let text = error.to_string();
    match error {
        OpenError::Locked { holder, .. } => (holder, text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lock_holds_our_number_for_all_to_read_and_goes_with_the_line() {
    let bench = Bench::new();
    let line = bench.open().unwrap();
    let written = fs::read_to_string(bench.lock_file()).unwrap();
    assert_eq!(written, format!("{:10}\n", std::process::id()), "the form of HDB UUCP");
    let mode = fs::metadata(bench.lock_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(bench.files().len(), 1, "nothing else is left: {:?}", bench.files());
    assert!(line.warnings().is_empty(), "{:?}", line.warnings());
    drop(line);
    assert!(bench.files().is_empty(), "{:?}", bench.files());
    bench.open().expect("free again");
}

#[tokio::test]
async fn a_dead_processs_lock_is_taken_over_and_told_of_in_every_form() {
    let bench = Bench::new();
    let pid = dead_pid();
    let forms: [Vec<u8>; 5] = [
        format!("{pid:10}\n").into(),
        format!("{pid}").into(),
        format!("{pid:10} minicom mary\n").into(),
        pid.to_ne_bytes().into(),
        format!("{:10}\n", std::process::id()).into(), // our number, by a process before us
    ];
    for form in forms {
        fs::write(bench.lock_file(), &form).unwrap();
        let line = bench.open().unwrap_or_else(|error| panic!("{}: {error}", form.escape_ascii()));
        let [warning] = line.warnings() else { panic!("{:?}", line.warnings()) };
        assert!(warning.contains(bench.lock_file().to_str().unwrap()), "{warning}");
        let own = form.starts_with(format!("{:10}\n", std::process::id()).as_bytes());
        assert!(own || warning.contains(&format!("process {pid}")), "{warning}");
        assert_eq!(warning.contains("(minicom)"), form.ends_with(b"mary\n"), "{warning}");
        let now = fs::read_to_string(bench.lock_file()).unwrap();
        assert_eq!(now.trim(), std::process::id().to_string());
    }
    assert!(bench.files().is_empty());
}

#[tokio::test]
async fn a_living_process_keeps_its_lock_and_is_named() {
    let bench = Bench::new();
    let sleeper = Sleeper::new();
    for form in [format!("{:10}\n", sleeper.pid()).into_bytes(), sleeper.pid().to_ne_bytes().into()] {
        fs::write(bench.lock_file(), &form).unwrap();
        let (holder, text) = refusal(bench.open());
        let expected = Holder {
            pid: Some(sleeper.pid()),
            command: Some("sleep".into()),
            by: HeldBy::LockFile(bench.lock_file()),
        };
        assert_eq!(holder.as_ref(), Some(&expected));
        assert!(text.contains(&format!("sleep (pid {})", sleeper.pid())), "{text}");
        assert!(text.contains(bench.lock_file().to_str().unwrap()), "{text}");
        assert_eq!(fs::read(bench.lock_file()).unwrap(), form, "it is as it was");
        assert_eq!(holder_in(&bench.pty.path, Some(bench.dir.path())), Some(expected));
    }
    drop(sleeper);
    bench.open().expect("free once the process has ended");
}

#[tokio::test]
async fn a_lock_that_names_nobody_stands_and_its_file_is_named() {
    let bench = Bench::new();
    let file = bench.lock_file();
    let garbage: [&[u8]; 5] = [b"", b"\n", b"minicom\n", b"-5\n", &[0; 4]];
    for bytes in garbage {
        fs::write(&file, bytes).unwrap();
        let (holder, text) = refusal(bench.open());
        assert_eq!(holder, Some(Holder::nameless(file.clone())), "{}", bytes.escape_ascii());
        assert!(text.contains("remove that file by hand") && text.contains(file.to_str().unwrap()), "{text}");
        assert_eq!(fs::read(&file).unwrap(), bytes);
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap(); // what cannot be read is no better
    assert_eq!(refusal(bench.open()).0, Some(Holder::nameless(file)));
}

#[tokio::test]
async fn a_lock_directory_that_takes_nothing_is_a_warning() {
    let bench = Bench::new();
    let nowhere = bench.dir.path().join("nowhere");
    let line = SerialLine::open(SerialSettings { lock_dir: Some(nowhere.clone()), ..bench.settings() });
    let line = line.expect("a port all the same");
    let [warning] = line.warnings() else { panic!("{:?}", line.warnings()) };
    assert!(warning.contains(nowhere.to_str().unwrap()), "{warning}");
    let (holder, _) = refusal(bench.open());
    assert_eq!(holder.expect("by flock").pid, Some(std::process::id() as i32));
}

/// Root writes where it likes, so this is tried as somebody else.
#[test]
fn a_lock_directory_of_another_user_is_a_warning_and_a_stale_lock_there_is_left() {
    if !Uid::effective().is_root() {
        return common::skipped("to be another user, a test has to begin as root");
    }
    let bench = Bench::new();
    fs::set_permissions(bench.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let stale = format!("{:10}\n", dead_pid());
    for before in [None, Some(stale)] {
        if let Some(stale) = &before {
            fs::write(bench.lock_file(), stale).unwrap();
        }
        let told = as_nobody(&bench);
        assert!(told.starts_with("1 warning: "), "{told}");
        assert!(told.contains(bench.lock_file().to_str().unwrap()), "{told}");
        assert_eq!(fs::read_to_string(bench.lock_file()).ok(), before);
    }
}

/// Locks the bench's port in a process of the user nobody, and gives what became of it.
fn as_nobody(bench: &Bench) -> String {
    let output = another_user(another_self("another_user_locks", bench), bench).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let told = said.lines().find_map(|line| line.split_once("TOLD ").map(|(_, told)| told.to_owned()));
    told.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}

const NOBODY: u32 = 65_534;

/// This program once more, running one of the parts below.
fn another_self(part: &str, bench: &Bench) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", part]);
    command.env("PART_DEVICE", &bench.pty.path).env("PART_DIR", bench.dir.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same as the user nobody, who may not reach into the folder that the project is built in.
fn another_user(command: Command, bench: &Bench) -> Command {
    let copy = bench.dir.path().join("part");
    // Not by our own hand: a child of another test would inherit the file open for writing (ETXTBSY).
    let copied = Command::new("cp").arg(command.get_program()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let mut moved = Command::new(copy);
    moved.args(command.get_args()).uid(NOBODY).gid(NOBODY);
    moved.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    moved.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    moved
}

/// What a part is told by the test that runs it; `None` when it was run by itself.
fn told_to_part() -> Option<(PathBuf, PathBuf)> {
    Some((std::env::var_os("PART_DEVICE")?.into(), std::env::var_os("PART_DIR")?.into()))
}

#[test]
#[ignore = "a part of another test"]
fn another_user_locks() {
    let Some((device, dir)) = told_to_part() else { return };
    match PortLock::acquire(&device, Some(&dir)) {
        Ok(lock) => println!("\nTOLD {} warning: {}", lock.warnings().len(), lock.warnings().concat()),
        Err(holder) => println!("\nTOLD held by {holder}"),
    }
}

#[tokio::test]
#[ignore = "a part of another test"]
async fn another_process_opens() {
    let Some((device, dir)) = told_to_part() else { return };
    let settings = SerialSettings { lock_dir: Some(dir), ..SerialSettings::new(device, 9_600, Flow::None) };
    println!("\nTOLD ready");
    let mut go = String::new();
    std::io::stdin().read_line(&mut go).unwrap();
    let opened = SerialLine::open(settings);
    match &opened {
        Ok(_) => println!("\nTOLD open"),
        Err(OpenError::Locked { holder, .. }) => {
            println!("\nTOLD locked by {:?}", holder.as_ref().and_then(|holder| holder.pid))
        }
        Err(other) => println!("\nTOLD {other}"),
    }
    std::io::stdin().read_line(&mut go).unwrap(); // holds it until told, or until our end
}

/// Another process that opens the bench's port when told to.
struct Other {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Other {
    fn start(bench: &Bench) -> Self {
        let mut child = another_self("another_process_opens", bench).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut other = Self { child, said };
        assert_eq!(other.told(), "ready");
        other
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    fn told(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it ended without a word");
            if let Some(told) = line.strip_prefix("TOLD ") {
                return told.trim_end().to_owned();
            }
        }
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn of_several_processes_at_once_exactly_one_wins_and_the_others_name_it() {
    for round in 0..5 {
        let bench = Bench::new();
        if round % 2 == 1 {
            fs::write(bench.lock_file(), format!("{:10}\n", dead_pid())).unwrap(); // to be fought over
        }
        let mut others: Vec<Other> = (0..4).map(|_| Other::start(&bench)).collect();
        others.iter_mut().for_each(Other::go);
        let told: Vec<String> = others.iter_mut().map(Other::told).collect();
        let winners: Vec<i32> = others
            .iter()
            .zip(&told)
            .filter(|(_, told)| *told == "open")
            .map(|(other, _)| other.pid())
            .collect();
        let [winner] = winners[..] else { panic!("{told:?}") };
        let named = format!("locked by Some({winner})");
        assert!(told.iter().all(|told| told == "open" || *told == named), "{winner}: {told:?}");
        assert_eq!(fs::read_to_string(bench.lock_file()).unwrap().trim(), winner.to_string());
    }
}

#[tokio::test]
async fn the_lock_of_a_killed_mailcall_is_taken_over() {
    let bench = Bench::new();
    let mut other = Other::start(&bench);
    other.go();
    assert_eq!(other.told(), "open");
    assert_eq!(refusal(bench.open()).0.and_then(|holder| holder.pid), Some(other.pid()));
    let pid = other.pid();
    drop(other); // kill -9
    assert!(bench.lock_file().exists(), "nobody removed it");
    let line = bench.open().unwrap();
    assert!(line.warnings().concat().contains(&format!("process {pid}")), "{:?}", line.warnings());
}

#[tokio::test]
async fn the_target_of_a_link_is_locked_and_a_link_elsewhere_gives_no_name() {
    let bench = Bench::new();
    let link = bench.dir.path().join("modem");
    symlink(&bench.pty.path, &link).unwrap();
    let through_link = || SerialSettings { device: link.clone(), ..bench.settings() };
    let line = SerialLine::open(through_link()).unwrap();
    assert_eq!(bench.files(), [format!("LCK..{}", bench.number()), "modem".into()]);
    drop(line);
    let sleeper = Sleeper::new();
    fs::write(bench.lock_file(), format!("{:10}\n", sleeper.pid())).unwrap();
    let (holder, text) = refusal(SerialLine::open(through_link()));
    assert_eq!(holder.unwrap().pid, Some(sleeper.pid()));
    assert!(text.contains(link.to_str().unwrap()), "the port is named as the user does: {text}");
}

#[tokio::test]
async fn the_forms_that_other_programs_use_are_heeded_and_not_made() {
    let bench = Bench::new();
    let node = {
        let node = fs::metadata(&bench.pty.path).unwrap();
        let (major, minor) = (nix::sys::stat::major, nix::sys::stat::minor);
        format!("LK.{:03}.{:03}.{:03}", major(node.dev()), major(node.rdev()), minor(node.rdev()))
    };
    let sleeper = Sleeper::new();
    for name in [format!("LCK..pts_{}", bench.number()), node] {
        let file = bench.dir.path().join(&name);
        fs::write(&file, format!("{:10}\n", sleeper.pid())).unwrap();
        let (holder, _) = refusal(bench.open());
        assert_eq!(holder.unwrap().by, HeldBy::LockFile(file.clone()));
        assert_eq!(bench.files(), [name], "nothing was made");
        fs::write(&file, format!("{:10}\n", dead_pid())).unwrap();
        drop(bench.open().expect("a dead process holds nothing"));
        fs::remove_file(file).unwrap();
    }
}

#[tokio::test]
async fn a_lock_that_another_program_put_in_the_place_of_ours_is_left_alone() {
    let bench = Bench::new();
    let line = bench.open().unwrap();
    fs::remove_file(bench.lock_file()).unwrap();
    fs::write(bench.lock_file(), "         1\n").unwrap();
    drop(line);
    assert_eq!(fs::read_to_string(bench.lock_file()).unwrap(), "         1\n");
    fs::remove_file(bench.lock_file()).unwrap();
    // The same number in another file is not ours either.
    let line = bench.open().unwrap();
    let copy = bench.dir.path().join("copy");
    fs::copy(bench.lock_file(), &copy).unwrap();
    fs::rename(&copy, bench.lock_file()).unwrap();
    drop(line);
    assert!(bench.lock_file().exists());
}

#[tokio::test]
async fn a_refusal_leaves_the_ports_settings_as_they_were() {
    let bench = Bench::new();
    let sleeper = Sleeper::new();
    fs::write(bench.lock_file(), format!("{:10}\n", sleeper.pid())).unwrap();
    let before = nix::sys::termios::tcgetattr(&bench.pty.slave).unwrap();
    refusal(bench.open());
    assert_eq!(nix::sys::termios::tcgetattr(&bench.pty.slave).unwrap(), before);
}

#[tokio::test]
async fn whoever_has_only_the_flock_is_named_too() {
    if !common::have("flock") {
        return;
    }
    let bench = Bench::new();
    let holds = "exec 9<>\"$0\"; flock -n 9 || exit 1; echo held; read x";
    let mut child = Command::new("sh")
        .args(["-c", holds])
        .arg(&bench.pty.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "held\n");
    let (holder, text) = refusal(bench.open());
    // The program `flock` took it and has ended; the shell inherited it.
    let pid = child.id() as i32;
    assert_eq!(holder, Some(Holder { pid: Some(pid), command: Some("sh".into()), by: HeldBy::Flock }));
    assert!(text.contains(&format!("sh (pid {pid})")), "{text}");
    assert!(bench.files().is_empty(), "and no lock file was made: {:?}", bench.files());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn whoever_merely_has_the_port_open_is_found_by_looking() {
    let bench = Bench::new();
    // Our own descriptors do not count; a process that another test is just starting has copies of them
    // for a moment.
    let free = || holder_in(&bench.pty.path, Some(bench.dir.path())).is_none();
    common::wait_for("nobody to have the port", free);
    let open = fs::File::open(&bench.pty.path).unwrap();
    let child = Sleeper(Command::new("sleep").arg("1000").stdin(open).spawn().unwrap());
    let expected = Holder { pid: Some(child.pid()), command: Some("sleep".into()), by: HeldBy::Descriptor };
    assert_eq!(holder_in(&bench.pty.path, Some(bench.dir.path())), Some(expected));
    assert_eq!(holder_of(Path::new("/dev/ttyNOSUCH7")), None);
    // That is no lock: the port can be had.
    bench.open().expect("not locked");
}

/// Root passes TIOCEXCL, so this is tried as somebody else.
#[test]
fn a_port_that_is_exclusive_is_refused_with_its_holder() {
    if !Uid::effective().is_root() {
        return common::skipped("to be another user, a test has to begin as root");
    }
    let bench = Bench::new();
    fs::set_permissions(bench.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(&bench.pty.path, PermissionsExt::from_mode(0o666)).unwrap();
    // SAFETY: TIOCEXCL takes no argument.
    assert_eq!(unsafe { libc::ioctl(bench.pty.slave.as_raw_fd(), libc::TIOCEXCL) }, 0);
    let opened_by_another = || {
        let mut child = another_user(another_self("another_process_opens", &bench), &bench).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    // Another user's descriptors may not be looked at, so it cannot be told who.
    let said = opened_by_another();
    assert!(said.contains("TOLD locked by None"), "{said}");
    let port = fs::File::open(&bench.pty.path).unwrap();
    let sleeper = Command::new("sleep").arg("1000").stdin(port).uid(NOBODY).gid(NOBODY).spawn();
    let sleeper = Sleeper(sleeper.unwrap());
    let said = opened_by_another();
    assert!(said.contains(&format!("TOLD locked by Some({})", sleeper.pid())), "{said}");
}
