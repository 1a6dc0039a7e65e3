//! A person at a terminal: dialled and logged in by the program, then on their own.

mod common;

use common::at_terminal::AtTerminal;
use common::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn mailbox() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary").display().to_string();
    std::fs::write(&path, sample()).unwrap();
    (dir, path)
}

#[test]
fn a_person_gets_the_line_behind_the_login_and_hangs_up_by_key() {
    let (_dir, path) = mailbox();
    let sim = Sim::start(&["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &path]);
    let home = Home::new(&sim.device, "mary", path.as_ref(), "");
    let mut person = AtTerminal::start(home.command(&["terminal", "home"]));
    person.sees("Ctrl-] q hangs up");
    person.types(b"echo $((6*7))-is-it\r");
    person.sees("42-is-it");
    person.types(b"\x1d?");
    person.sees("sends BREAK");
    person.types(b"\x1dq");
    person.sees("you have hung up");
    assert_eq!(person.ended(), 0);
    sim.on_hook_after(1);
}

#[test]
fn a_signal_hangs_up_and_gives_the_terminal_back() {
    let (_dir, path) = mailbox();
    let sim = Sim::start(&["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &path]);
    let home = Home::new(&sim.device, "mary", path.as_ref(), "");
    let mut person = AtTerminal::start(home.command(&["terminal", "home"]));
    person.sees("Ctrl-] q hangs up");
    kill(Pid::from_raw(person.child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(person.ended(), 75);
    sim.on_hook_after(1);
}

#[test]
fn a_host_that_hangs_up_ends_the_session() {
    let home = Home::with_line("kind = \"exec\"\ncommand = [\"sh\"]", "");
    let mut person = AtTerminal::start(home.command(&["terminal", "home"]));
    person.sees("Ctrl-] q hangs up");
    person.types(b"stty size\r");
    person.sees("30 100");
    person.types(b"exit 3\r");
    person.sees("exit status 3");
    assert_eq!(person.ended(), 0);
}

#[test]
fn on_a_bare_line_a_person_speaks_to_the_modem() {
    let (_dir, path) = mailbox();
    let sim = Sim::start(&["--mailbox", &path]);
    let home = Home::new(&sim.device, "mary", path.as_ref(), "");
    let mut person = AtTerminal::start(home.command(&["terminal", "--line", "usr"]));
    person.sees("Ctrl-] q hangs up");
    person.types(b"ATV1\r");
    person.sees("OK");
    person.types(b"\x1d.");
    assert_eq!(person.ended(), 0);
}

#[test]
fn without_a_terminal_it_is_a_mistake() {
    let home = Home::with_line("kind = \"exec\"\ncommand = [\"sh\"]", "");
    let ran = home.run(&["terminal", "home"]);
    assert_eq!(ran.code, 64, "{}", ran.err);
    assert!(ran.err.contains("a terminal"), "{}", ran.err);
}
