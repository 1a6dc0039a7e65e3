//! What mailcall prints, where nobody reads it: a pipe whose reader has gone, a disk that is full.

mod common;

use std::fs::{self, File, OpenOptions};
use std::process::Stdio;

use common::*;

/// A shell on this machine as the host.
const SHELL: &str = "kind = \"exec\"\ncommand = [\"sh\"]\n";

fn home_with_mail() -> Home {
    let home = Home::with_line(SHELL, "");
    let mailbox = home.dir.path().join("mailbox");
    fs::write(&mailbox, sample()).unwrap();
    let deliver = home.maildir();
    home.configure(&format!(
        "[line.sh]\n{SHELL}\n[account.home]\nline = \"sh\"\nmailbox = {:?}\ndeliver = {{ maildir = {:?} }}\n",
        mailbox.display().to_string(),
        deliver.display().to_string()
    ));
    home
}

/// The writing end of a pipe that nobody reads any more.
fn nobody() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[test]
fn a_reader_that_leaves_is_no_error_and_no_panic() {
    let home = home_with_mail();
    home.fetch().ended(0, "done");
    let commands: [&[&str]; 9] = [
        &["check"],
        &["--json", "check"],
        &["check", "--dial"],
        &["list"],
        &["show", "1"],
        &["fetch"],
        &["fetch", "--dry-run"],
        &["modem", "list", "--json"],
        &["completions", "bash"],
    ];
    // One after the other: an account is worked on by one at a time.
    for args in commands {
        let ran = home.command(args).stdout(nobody()).output().unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(0), "{args:?}: {err}");
        assert!(!err.contains("panicked"), "{args:?}: {err}");
    }
}

#[test]
fn what_cannot_be_printed_because_the_disk_is_full_is_an_error() {
    let home = home_with_mail();
    home.fetch().ended(0, "done");
    for args in [&["check"][..], &["list"], &["show", "1"], &["completions", "bash"]] {
        let ran = home.command(args).stdout(full()).output().unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(74), "{args:?}: {err}");
        assert!(err.contains("standard output: No space left on device"), "{args:?}: {err}");
    }
}

#[test]
fn a_call_goes_on_and_hangs_up_when_nobody_reads_what_is_said_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    fs::write(&path, sample()).unwrap();
    let shown = path.display().to_string();
    let sim = Sim::start(&["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &shown]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let status = home.command(&["-v", "fetch"]).stdout(nobody()).stderr(nobody()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(home.mail(), messages(&sample()));
    sim.on_hook_after(1);
}
