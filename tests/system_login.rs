//! Whole calls through the system's own `/bin/login`, with a user made for the test: needs root.

mod common;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::*;

/// A user of this system, removed when dropped.
struct User {
    name: String,
    mailbox: PathBuf,
}

impl User {
    /// Makes a user with this login shell and mailbox; `None`, said loudly, where that cannot be.
    fn new(suffix: &str, shell: &str, mailbox: &[u8]) -> Option<Self> {
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

    fn append(&self, bytes: &[u8]) {
        std::fs::OpenOptions::new().append(true).open(&self.mailbox).unwrap().write_all(bytes).unwrap();
    }

    /// A home that dials `sim` as this user and takes the mailbox from the host's `$MAIL`.
    fn home(&self, sim: &Sim, more: &str) -> Home {
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

/// BusyBox is a shell when it is called one.
const ASH: &str = "/usr/local/bin/ash";
const LOGIN: &[&str] = &["--host", "/bin/login", "--ring", "0"];

#[test]
fn asterix_comes_home_at_57600_once_and_then_only_what_is_new() {
    let (old, new) = match (real_mail("asterix.mbox"), real_mail("newer.mbox")) {
        (Some(old), Some(new)) => (old, new),
        _ => return,
    };
    let Some(user) = User::new("a", "/bin/bash", &old) else { return };
    let sim = Sim::start(&[LOGIN, &["--bps", "57600", "--latency", "50ms"]].concat());
    let home = user.home(&sim, "");
    let first = home.fetch();
    first.ended(0, "done");
    assert_eq!(first.number("messages_new"), 53);
    assert_eq!(home.mail(), messages(&old));
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 0);
    assert!(second.number("bytes_down") < 2_000, "{}", second.out);
    user.append(&new);
    let third = home.fetch();
    third.ended(0, "done");
    assert_eq!(third.number("messages_new"), 20);
    assert!(third.number("bytes_down") < new.len() as u64 * 11 / 10 + 2_000, "{}", third.out);
    assert_eq!(home.mail(), messages(&[old, new].concat()));
}

#[test]
fn every_login_shell_is_good_enough() {
    let shells = [
        "/bin/dash",
        "/bin/bash",
        "/bin/tcsh",
        "/bin/busybox-sh",
        "/usr/bin/zsh",
        "/usr/bin/fish",
        "/usr/bin/mksh",
    ];
    let mut made = false;
    for (n, shell) in shells.iter().enumerate() {
        let shell = if *shell == "/bin/busybox-sh" {
            if !have("busybox") {
                continue;
            }
            made = std::os::unix::fs::symlink("/bin/busybox", ASH).is_ok();
            ASH
        } else if std::path::Path::new(shell).exists() {
            shell
        } else {
            missing(&format!("{shell} is not installed"));
            continue;
        };
        let mailbox = sample();
        let Some(user) = User::new(&format!("s{n}"), shell, &mailbox) else { return };
        for transfer in ["auto", "text"] {
            let sim = Sim::start(LOGIN);
            let home = user.home(&sim, &format!("transfer = \"{transfer}\"\n"));
            let ran = home.fetch();
            ran.ended(0, "done");
            assert_eq!(home.mail(), messages(&mailbox), "{shell} by {transfer}");
            sim.on_hook_after(1);
        }
    }
    if made {
        let _ = std::fs::remove_file(ASH); // as it was before
    }
}

#[test]
fn a_wrong_password_at_the_system_s_login_is_77() {
    let Some(user) = User::new("w", "/bin/sh", b"") else { return };
    let sim = Sim::start(LOGIN);
    let home = user.home(&sim, "");
    let ran = Ran::new(
        home.command(&["-vv", "fetch", "--json"]).env("TEST_PASSWORD", "wr0ng-secret").output().unwrap(),
    );
    ran.ended(77, "login-refused");
    assert!(!ran.err.contains("wr0ng-secret"), "{}", ran.err);
    sim.on_hook_after(1);
}
