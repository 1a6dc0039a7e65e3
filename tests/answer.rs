//! Calls that the host makes: it calls back after a first login, or calls by itself. And modems that
//! are unlike others.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::*;

/// A mailbox on the host, with a simulator in front of it.
fn host(args: &[&str]) -> (Sim, PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    std::fs::write(&path, sample()).unwrap();
    let shown = path.display().to_string();
    let mut all = vec!["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &shown];
    all.extend(args);
    (Sim::start(&all), path, dir)
}

/// A home whose account is called and calls nobody.
fn called(device: &Path, mailbox: &Path, answer: &str) -> Home {
    Home::with_line(
        &format!("kind = \"serial\"\ndevice = {:?}\n", device.display().to_string()),
        &format!(
            "answer = {answer}\nuser = \"mary\"\npassword = {{ env = \"TEST_PASSWORD\" }}\nmailbox = {:?}\n",
            mailbox.display().to_string()
        ),
    )
}

/// What the modem on a port says to one command.
fn asked(device: &Path, command: &str) -> String {
    let mut port = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NOCTTY)
        .open(device)
        .unwrap();
    port.write_all(format!("{command}\r").as_bytes()).unwrap();
    let mut said = String::new();
    while !said.ends_with("OK\r\n") && !said.ends_with("NO CARRIER\r\n") {
        let mut byte = [0];
        port.read_exact(&mut byte).unwrap();
        said.push(byte[0].into());
    }
    said
}

#[test]
fn a_host_that_calls_back_is_answered_and_everything_comes_home() {
    // After a second it rings while the first call is still being hung up, and rings again.
    at_once(["1s", "8s"], |delay| {
        let (sim, path, _dir) = host(&["--dial-back", delay, "--bps", "57600"]);
        let home = Home::new(&sim.device, "mary", &path, "dial_back = true\n");
        let ran = home.fetch();
        ran.ended(0, "done");
        assert_eq!(home.mail(), messages(&sample()));
        sim.on_hook_after(2);
        let log = sim.log();
        assert!(log.contains("call 1: hung up by the host"), "{log}");
        assert!(log.contains("call 2 from the host: connected"), "{log}");
        assert_eq!(ran.number("dials"), 1, "the second call was the host's: {}", ran.out);
        let seconds = ran.json("call_seconds").as_f64().unwrap();
        assert!(seconds > 3.0 && seconds < 60.0, "both calls, and not the wait between: {}", ran.out);
    });
}

#[test]
fn a_wrong_password_ends_it_and_no_call_is_waited_for() {
    let (sim, path, _dir) = host(&["--dial-back", "1s"]);
    let home = Home::new(&sim.device, "mary", &path, "dial_back = true\n");
    let ran =
        Ran::new(home.command(&["fetch", "--json"]).env("TEST_PASSWORD", "wr0ng-secret").output().unwrap());
    ran.ended(77, "login-refused");
    sim.on_hook_after(1);
    assert!(!sim.log().contains("a call comes in"), "{}", sim.log());
}

#[test]
fn a_host_that_does_not_call_back_is_75_and_saw_the_name_that_it_was_to_see() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let script = format!(
        "stty -echo; printf 'login: '; read who; printf 'Password: '; read secret; echo $who >{}; \
         echo; echo 'Calling you back.'",
        seen.display()
    );
    let sim = Sim::start(&["--ring", "0", "--host", &script]);
    let keys = "dial_back = { wait = 10, user = \"cbmary\" }\n";
    let home = Home::new(&sim.device, "mary", Path::new("/var/mail/mary"), keys);
    let ran = home.fetch();
    ran.ended(75, "no-answer");
    assert!(ran.err.contains("the host did not call back within 10 s"), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "cbmary\n");
    sim.on_hook_after(1);
}

#[test]
fn a_host_that_hangs_up_without_a_word_may_call_back_too() {
    let sim = Sim::start(&["--ring", "0", "--host", "sleep 0.5"]);
    let home = Home::new(&sim.device, "mary", Path::new("/var/mail/mary"), "dial_back = { wait = 10 }\n");
    let ran = home.fetch();
    ran.ended(75, "no-answer");
    assert!(ran.err.contains("did not call back"), "{}", ran.err);
}

#[test]
fn a_host_that_gives_a_shell_instead_of_calling_back_is_fetched_from_at_once() {
    let (sim, path, _dir) = host(&[]);
    let home = Home::new(&sim.device, "mary", &path, "dial_back = true\n");
    let ran = home.run(&["fetch", "home"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("has not hung up to call back"), "{}", ran.err);
    assert_eq!(home.mail(), messages(&sample()));
    sim.on_hook_after(1);
}

#[test]
fn a_host_that_calls_by_itself_is_answered_by_us_or_by_the_modem() {
    at_once(["true", "{ wait = 60, rings = 2, by_modem = true }"], |answer| {
        let (sim, path, _dir) = host(&["--call-in", "3s"]);
        let home = called(&sim.device, &path, answer);
        let ran = home.fetch();
        ran.ended(0, "done");
        assert_eq!(home.mail(), messages(&sample()));
        assert_eq!(ran.number("dials"), 0);
        assert_eq!(ran.json("connect"), "CONNECT 115200");
        sim.on_hook_after(1);
        let said = asked(&sim.device, "ATS0?");
        assert!(said.contains("000"), "it answers no more calls: {said:?}");
    });
}

#[test]
fn nobody_calls_and_the_modem_is_left_answering_nobody() {
    let (sim, path, _dir) = host(&[]);
    let home = called(&sim.device, &path, "{ wait = 10, by_modem = true }");
    let ran = home.fetch();
    ran.ended(75, "no-answer");
    assert!(ran.err.contains("nobody called within 10 s"), "{}", ran.err);
    assert!(asked(&sim.device, "ATS0?").contains("000"));
}

#[test]
fn a_signal_while_waiting_leaves_the_modem_on_hook_and_answering_nobody() {
    use nix::sys::signal::{Signal, kill};
    at_once([Signal::SIGTERM, Signal::SIGINT], |signal| {
        let (sim, path, _dir) = host(&[]);
        let home = called(&sim.device, &path, "{ wait = 600, by_modem = true }");
        let mut child = home.command(&["fetch", "home"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("ready to be called") {
            assert_ne!(err.read_line(&mut said).unwrap(), 0, "{said}");
        }
        kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).unwrap();
        err.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(75), "{said}");
        assert!(said.contains("waiting for a call: ended by"), "{said}");
        assert!(!said.contains("off-hook"), "{said}");
        assert!(asked(&sim.device, "ATS0?").contains("000"), "after {signal}");
        assert!(asked(&sim.device, "ATO").contains("NO CARRIER"));
    });
}

#[test]
fn a_modem_with_any_quirk_brings_the_mail_home() {
    let quirks = ["stuck-echo", "numeric", "glued", "no-dtr", "port-speed=57600", "numeric,glued,stuck-echo"];
    at_once(quirks, |quirk| {
        let (sim, path, _dir) = host(&["--quirk", quirk]);
        let home = Home::new(&sim.device, "mary", &path, "");
        home.fetch().ended(0, "done");
        assert_eq!(home.mail(), messages(&sample()), "{quirk}");
        sim.on_hook_after(1);
    });
}

#[test]
fn a_quirk_that_is_none_is_named_with_those_there_are() {
    let home = Home::with_line("kind = \"exec\"\ncommand = [\"sh\"]\n", "");
    let ran = home.run(&["sim", "--quirk", "blue"]);
    assert_eq!(ran.code, 64, "{}", ran.err);
    assert!(ran.err.contains("stuck-echo"), "{}", ran.err);
}

#[test]
fn a_modem_at_another_rate_than_the_port_s_is_found() {
    let (sim, path, _dir) = host(&["--quirk", "port-speed=9600"]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let ran = home.run(&["fetch", "home"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("the modem answers at 9600 bit/s"), "{}", ran.err);
    assert_eq!(home.mail(), messages(&sample()));
}
