//! A person at a terminal: dialled and logged in by the program, then on their own.

mod common;

use std::time::Duration;

use common::at_terminal::AtTerminal;
use common::*;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
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

/// The kernel sends SIGHUP when a terminal goes, and the shell one more; meanwhile the modem is being
/// hung up already, because nothing can be read or shown any more.
#[test]
#[allow(clippy::disallowed_methods)] // hanging up takes real time
fn a_terminal_that_goes_away_leaves_no_modem_off_hook() {
    let (_dir, path) = mailbox();
    let sim = Sim::start(&["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &path]);
    let home = Home::new(&sim.device, "mary", path.as_ref(), "");
    let mut person = AtTerminal::start(home.command(&["terminal", "home"]));
    person.sees("mary@fieldhost$");
    let AtTerminal { pty, screen, mut child } = person;
    drop((pty, screen));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(150));
        kill(Pid::from_raw(child.id() as i32), Signal::SIGHUP).unwrap();
    }
    sim.on_hook_after(1);
    assert!(child.wait().unwrap().code().is_some(), "it ended by itself");
}

/// The program with this on its line, and a screen that nobody reads from now on.
#[allow(clippy::disallowed_methods)] // a program that floods does so in real time
fn before_a_screen_that_stands_still(command: &str) -> (Home, AtTerminal) {
    let home = Home::with_line(&format!("kind = \"exec\"\ncommand = [\"sh\", \"-c\", {command:?}]"), "");
    let mut person = AtTerminal::start(home.command(&["terminal", "--line", "usr"]));
    person.sees("Ctrl-] q hangs up");
    std::thread::sleep(Duration::from_secs(1)); // what a flood takes to fill all that is between
    (home, person)
}

fn ends(mut person: AtTerminal) -> i32 {
    let mut ended = None;
    wait_for("the program to end", || {
        ended = person.child.try_wait().unwrap();
        ended.is_some()
    });
    ended.unwrap().code().unwrap()
}

#[test]
fn the_escape_key_is_heard_while_the_screen_stands_still() {
    let (_home, mut person) = before_a_screen_that_stands_still("yes a flood");
    person.types(b"\x1dq");
    assert_eq!(ends(person), 0);
}

#[test]
fn a_signal_ends_it_while_the_screen_stands_still() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let (_home, person) = before_a_screen_that_stands_still("yes a flood");
        kill(Pid::from_raw(person.child.id() as i32), signal).unwrap();
        assert_eq!(ends(person), 75);
    }
}

#[test]
fn the_escape_key_is_heard_behind_a_paste_that_the_host_does_not_take() {
    let (_home, mut person) = before_a_screen_that_stands_still("stty raw -echo; exec sleep 100");
    person.types(&[b'p'; 100_000]);
    person.types(b"\x1dq");
    person.sees("you have hung up");
    assert_eq!(person.ended(), 0);
}

#[test]
fn the_terminal_is_given_back_while_it_is_stopped_and_taken_again_then() {
    let home = Home::with_line("kind = \"exec\"\ncommand = [\"sh\"]", "");
    let mut person = AtTerminal::start(home.command(&["terminal", "home"]));
    person.sees("Ctrl-] q hangs up");
    let pid = Pid::from_raw(person.child.id() as i32);
    let slave = person.pty.slave.try_clone().unwrap();
    let is_cooked = || tcgetattr(&slave).unwrap().local_flags.contains(LocalFlags::ICANON);
    wait_for("the terminal to be taken", || !is_cooked());
    kill(pid, Signal::SIGTSTP).unwrap();
    wait_for("the terminal to be given back", is_cooked);
    wait_for("it to be stopped", || {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ")
    });
    kill(pid, Signal::SIGCONT).unwrap();
    wait_for("the terminal to be taken again", || !is_cooked());
    drop(slave);
    person.types(b"echo $((6*7))-is-it\r");
    person.sees("42-is-it");
    person.types(b"\x1dq");
    assert_eq!(person.ended(), 0);
}

#[test]
fn without_a_terminal_it_is_a_mistake() {
    let home = Home::with_line("kind = \"exec\"\ncommand = [\"sh\"]", "");
    let ran = home.run(&["terminal", "home"]);
    assert_eq!(ran.code, 64, "{}", ran.err);
    assert!(ran.err.contains("a terminal"), "{}", ran.err);
}
