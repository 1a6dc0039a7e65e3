//! Mail removed from a mailbox behind a shell: whole runs over a command and through the simulator, with
//! the carrier lost before, in and behind the removal.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A host's folder: its home, a mailbox, and a `sync` that takes its time.
struct Host {
    dir: tempfile::TempDir,
    mailbox: PathBuf,
}

impl Host {
    fn with(mailbox: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mary");
        std::fs::write(&path, mailbox).unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir, mailbox: path }
    }

    /// Removals have their plan on the disk for a while.
    fn is_slow(&self) {
        let sync = self.dir.path().join("bin/sync");
        std::fs::write(&sync, "#!/bin/sh\nsleep 0.4\n").unwrap();
        std::fs::set_permissions(&sync, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What starts a shell there.
    fn shell(&self) -> Vec<String> {
        let path = format!("PATH={}/bin:/usr/bin:/bin", self.dir.path().display());
        let home = format!("HOME={}/home", self.dir.path().display());
        ["env", "-i", &path, &home, "PS1=$ ", "sh", "-i"].map(str::to_owned).to_vec()
    }

    /// An account that runs the shell itself.
    fn by_exec(&self, more: &str) -> Home {
        Home::with_line(
            &format!("kind = \"exec\"\ncommand = {:?}\n", self.shell()),
            &format!("mailbox = {:?}\n{more}", self.mailbox.display().to_string()),
        )
    }

    /// An account that dials a simulator with this host behind it.
    fn by_dialling(&self, args: &[&str], more: &str) -> (Sim, Home) {
        let host = self.shell().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let sim = Sim::start(&[&["--host", &host, "--ring", "0"], args].concat());
        let line =
            format!("kind = \"serial\"\ndevice = {:?}\nspeed = 57600\n", sim.device.display().to_string());
        let account =
            format!("phone = \"555 1212\"\nmailbox = {:?}\n{more}", self.mailbox.display().to_string());
        let home = Home::with_line(&line, &account);
        (sim, home)
    }

    fn held(&self) -> Vec<u8> {
        std::fs::read(&self.mailbox).unwrap()
    }

    /// The files of a removal that is under way or was cut off.
    fn left(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.dir.path().join("home")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }
}

/// One message of mbox, as it stands there.
fn message(number: usize) -> Vec<u8> {
    let line = format!("line of {number}\n").repeat(number * 40);
    format!("From eve@example.org Mon Nov 23 10:00:00 2026\nSubject: number {number}\n\n{line}\n")
        .into_bytes()
}

fn messages_of(numbers: impl IntoIterator<Item = usize>) -> Vec<u8> {
    numbers.into_iter().flat_map(message).collect()
}

/// That all of `count` messages are at home, each once.
fn came_once(home: &Home, count: usize) {
    assert_eq!(home.mail(), messages(&messages_of(1..=count)));
}

fn deletes(home: &Home, numbers: &str) -> Ran {
    home.run(&["delete", "--json", "home", numbers])
}

#[test]
fn chosen_messages_are_removed_and_what_stays_is_not_brought_home_again() {
    let host = Host::with(&messages_of(1..=9));
    let home = host.by_exec("");
    assert_eq!(home.fetch().ended(0, "done").number("messages_new"), 9);
    deletes(&home, "2,5-6").ended(0, "done");
    assert_eq!(host.held(), messages_of([1, 3, 4, 7, 8, 9]));
    assert_eq!(host.left(), Vec::<PathBuf>::new());
    assert_eq!(home.fetch().ended(0, "done").number("messages_new"), 0);
    deletes(&home, "1").ended(0, "done");
    assert_eq!(host.held(), messages_of([3, 4, 7, 8, 9]));
    came_once(&home, 9);
}

#[test]
fn with_keep_false_the_mailbox_is_empty_behind_each_fetch_over_a_modem_too() {
    let host = Host::with(&messages_of(1..=5));
    let (sim, home) = host.by_dialling(&[], "keep = false\n");
    let ran = home.fetch();
    ran.ended(0, "done");
    assert_eq!((ran.number("messages_new"), ran.number("messages_deleted")), (5, 5));
    println!("{} bytes down, {} up", ran.number("bytes_down"), ran.number("bytes_up"));
    assert_eq!(host.held(), b"");
    std::fs::write(&host.mailbox, message(6)).unwrap();
    assert_eq!(home.fetch().ended(0, "done").number("messages_new"), 1);
    assert_eq!(host.held(), b"");
    came_once(&home, 6);
    sim.on_hook_after(2);
}

#[test]
fn a_mailbox_that_another_program_has_locked_is_75_and_the_mail_is_here_all_the_same() {
    let host = Host::with(&messages_of(1..=3));
    let home = host.by_exec("keep = false\n");
    std::fs::write(host.dir.path().join("mary.lock"), "").unwrap();
    let ran = home.fetch();
    // The last message waits: it may be half written.
    ran.ended(75, "mailbox-locked");
    assert!(ran.err.contains("locked"), "{}", ran.err);
    assert_eq!(host.held(), messages_of(1..=3));
    assert_eq!(home.mail().len(), 2);
    std::fs::remove_file(host.dir.path().join("mary.lock")).unwrap();
    home.fetch().ended(0, "done");
    assert_eq!(host.held(), b"");
    came_once(&home, 3);
}

/// Breaks a deletion off when its plan is on the host's disk.
fn broken_off(host: &Host, home: &Home, with: Signal) {
    let mut command = home.command(&["delete", "home", "2,4"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("a plan on the host", || {
        host.left().iter().any(|file| file.extension().is_some_and(|it| it == "m"))
    });
    kill(Pid::from_raw(child.id() as i32), with).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_call_that_ends_in_mid_removal_leaves_the_host_to_end_it() {
    for (dials, with) in [(true, Signal::SIGTERM), (true, Signal::SIGKILL), (false, Signal::SIGTERM)] {
        let host = Host::with(&messages_of(1..=5));
        host.is_slow();
        let (_sim, home) = match dials {
            true => {
                let (sim, home) = host.by_dialling(&[], "");
                (Some(sim), home)
            }
            false => (None, host.by_exec("")),
        };
        home.fetch().ended(0, "done");
        broken_off(&host, &home, with);
        wait_for("the host to end it alone", || host.left().is_empty());
        assert_eq!(host.held(), messages_of([1, 3, 5]), "{dials}, {with}");
        // A lock that a killed shell left there is gone, or would be stale.
        let _ = std::fs::remove_file(host.dir.path().join("mary.lock"));
        assert_eq!(home.fetch().ended(0, "done").number("messages_new"), 0, "{dials}, {with}");
        deletes(&home, "1").ended(0, "done");
        assert_eq!(host.held(), messages_of([3, 5]), "{dials}, {with}");
        came_once(&home, 5);
    }
}

#[test]
fn what_a_crash_of_the_host_left_half_done_is_ended_before_the_mailbox_is_read() {
    let host = Host::with(&messages_of(1..=5));
    host.is_slow();
    let home = host.by_exec("");
    home.fetch().ended(0, "done");
    let mut command = home.command(&["delete", "home", "2,4"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("a plan on the host", || {
        host.left().iter().any(|file| file.extension().is_some_and(|it| it == "m"))
    });
    end_all_of(&host);
    let _ = child.kill();
    child.wait().unwrap();
    assert!(!host.left().is_empty());
    let _ = std::fs::remove_file(host.dir.path().join("mary.lock"));
    // Half of the copy was written when the power went.
    let mut half = host.held();
    let new = messages_of([1, 3, 5]);
    let at = new.len() / 2;
    half[..at].copy_from_slice(&new[..at]);
    std::fs::write(&host.mailbox, [&half[..], &message(6)].concat()).unwrap();
    let ran = home.fetch();
    assert_eq!(ran.ended(0, "done").number("messages_new"), 1);
    assert_eq!(host.held(), messages_of([1, 3, 5, 6]));
    assert_eq!(host.left(), Vec::<PathBuf>::new());
    came_once(&home, 6);
}

/// Kills every process of the host, as its crash would: those that have its home.
fn end_all_of(host: &Host) {
    let home = format!("HOME={}/home", host.dir.path().display());
    // First none may go on, or one would see another's end.
    for signal in [Signal::SIGSTOP, Signal::SIGSTOP, Signal::SIGKILL, Signal::SIGKILL] {
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
            let environ = std::fs::read(process.path().join("environ")).unwrap_or_default();
            if environ.split(|&byte| byte == 0).any(|value| value == home.as_bytes()) {
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
    }
}

#[test]
fn a_carrier_lost_at_any_byte_around_the_removal_loses_and_doubles_nothing() {
    let measured = Host::with(&messages_of(1..=4));
    let (_sim, home) = measured.by_dialling(&[], "keep = false\n");
    let whole = home.fetch().ended(0, "done").number("bytes_down");
    drop(home);
    let cuts: Vec<u64> = (0..CUTS).map(|cut| whole.saturating_sub(60 + 35 * cut)).collect();
    at_once(cuts, |cut| {
        let host = Host::with(&messages_of(1..=4));
        let (_sim, home) = host.by_dialling(&["--drop-after", &format!("{cut},{cut}")], "keep = false\n");
        let outcomes: Vec<_> = (0..5)
            .map(|_| home.fetch().json("outcome").as_str().unwrap_or_default().to_owned())
            .take_while(|outcome| outcome != "done")
            .collect();
        assert!(outcomes.iter().all(|outcome| outcome == "carrier-lost"), "cut at {cut}: {outcomes:?}");
        assert!(outcomes.len() < 5, "cut at {cut}: {outcomes:?}");
        assert_eq!(host.held(), b"", "cut at {cut}: {outcomes:?}");
        came_once(&home, 4);
        println!("cut at {cut} of {whole}: {outcomes:?}");
    });
}

const CUTS: u64 = 12;

#[test]
fn hundreds_of_messages_that_alternate_go_in_one_deletion() {
    let count = 609;
    let small = |number: usize| {
        format!("From eve@example.org Mon Nov 23 10:00:00 2026\nSubject: number {number}\n\n{number}\n\n")
            .into_bytes()
    };
    let all = |step| (0..count).step_by(step).flat_map(small).collect::<Vec<u8>>();
    let host = Host::with(&all(1));
    let home = host.by_exec("");
    home.fetch().ended(0, "done");
    let numbers: Vec<String> = (1..=count).step_by(2).map(|number| number.to_string()).collect();
    deletes(&home, &numbers.join(",")).ended(0, "done");
    let even: Vec<u8> = (1..count).step_by(2).flat_map(small).collect();
    assert_eq!(host.held(), even);
}

#[test]
fn a_user_who_may_not_write_the_spool_deletes_by_a_setgid_helper() {
    let Some(user) = User::new("rm", "/bin/sh", &messages_of(1..=3)) else { return };
    if !have("dotlockfile") && !have("mutt_dotlock") {
        return;
    }
    let sim = Sim::start(&["--host", "exec /bin/login", "--ring", "0"]);
    let home = user.home(&sim, "keep = false\n");
    let ran = home.fetch();
    ran.ended(0, "done");
    assert_eq!(ran.number("messages_deleted"), 3, "{}", ran.err);
    assert_eq!(std::fs::read(Path::new("/var/mail").join(&user.name)).unwrap(), b"");
    came_once(&home, 3);
}
