//! One-time codes in whole calls: a person who is asked for one, and a command that gets the host's challenge.

mod common;

use std::process::Command;

use common::at_terminal::AtTerminal;
use common::*;

/// A host that wants the code 314159 behind the password, and shows a challenge.
const HOST: &str = "printf 'host login: '; read -r user; stty -echo; printf 'Password: '; read -r word; \
                    echo; echo 'otp-md5 487 dehoks'; printf 'Response: '; read -r code; stty echo; echo; \
                    [ \"$code\" = 314159 ] || { echo 'Login incorrect'; exit 1; }; PS1='$ ' exec sh";

fn home(more: &str) -> (Home, tempfile::TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let (path, mailbox) = (dir.path().join("mbox"), sample());
    std::fs::write(&path, &mailbox).unwrap();
    let account = format!(
        "user = \"mary\"\npassword = {{ env = \"TEST_PASSWORD\" }}\nmailbox = {:?}\n{more}",
        path.display().to_string()
    );
    let home = Home::with_line(&format!("kind = \"exec\"\ncommand = [\"sh\", \"-c\", {HOST:?}]"), &account);
    (home, dir, mailbox)
}

/// The program at a terminal that it may open by the name of `/dev/tty`.
fn at_terminal(home: &Home) -> AtTerminal {
    let fetch = home.command(&["fetch"]);
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(fetch.get_program()).args(fetch.get_args());
    for (name, value) in fetch.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("TEST_PASSWORD", PASSWORD);
    AtTerminal::start(command)
}

#[test]
fn a_command_gets_the_challenge_and_no_password_and_its_answer_is_typed() {
    let script = "echo \"$1, $MAILCALL_CHALLENGE${TEST_PASSWORD+, a password}\" > \"$0\"; echo 314159";
    let dir = tempfile::tempdir().unwrap();
    let got = dir.path().join("challenge");
    let otp = format!(
        "otp = {{ command = [\"sh\", \"-c\", {script:?}, {:?}, \"{{challenge}}\"] }}\n",
        got.display().to_string()
    );
    let (home, _dir, mailbox) = home(&otp);
    let mut command = home.command(&["-vv", "fetch", "--json"]);
    let ran = Ran::new(command.env("TEST_PASSWORD", PASSWORD).output().unwrap());
    ran.ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
    assert_eq!(std::fs::read_to_string(&got).unwrap(), "otp-md5 487 dehoks, otp-md5 487 dehoks\n");
    assert!(!ran.err.contains("314159"), "{}", ran.err);
}

#[test]
fn a_person_at_the_terminal_is_asked_for_the_code_and_sees_the_challenge() {
    if !have("setsid") {
        return;
    }
    let (home, _dir, mailbox) = home("");
    let mut terminal = at_terminal(&home);
    terminal.sees("otp-md5 487 dehoks");
    terminal.sees("one-time code: ");
    terminal.types(b"314159\n");
    assert_eq!(terminal.ended(), 0);
    assert_eq!(home.mail(), messages(&mailbox));
}

#[test]
fn ctrl_c_at_the_question_for_a_code_gives_the_terminal_back() {
    if !have("setsid") {
        return;
    }
    let (home, _dir, _mailbox) = home("");
    let mut terminal = at_terminal(&home);
    terminal.sees("one-time code: ");
    terminal.types(b"\x03");
    assert_eq!(terminal.ended(), 75); // which looks at the terminal
}

#[test]
fn without_a_person_or_a_command_the_call_says_what_to_add() {
    let (home, _dir, _mailbox) = home("");
    let ran = home.fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("otp = { command"), "{}", ran.err);
}
