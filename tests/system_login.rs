//! Whole calls through the system's own `/bin/login`, with a user made for the test: needs root.

mod common;

use common::*;

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
        for transfer in ["zmodem", "text"] {
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
