//! Hunt groups: an account with several lines takes the first that is free, remembers the one that
//! failed, and never dials twice what was dialled once.

mod common;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use common::*;
use mailcall::line::pty::PtyPair;
use mailcall::store::troubles::{How, Trouble, Troubles};

/// A host's modem that connects at once, or answers as `more` says.
fn modem(mailbox: &Path, more: &[&str]) -> Sim {
    let mailbox = mailbox.display().to_string();
    Sim::start(&[&["--ring", "0", "--password", PASSWORD, "--mailbox", &mailbox], more].concat())
}

/// A home with these lines, and accounts that hunt through them in this order.
struct Group {
    home: Home,
    mailbox: PathBuf,
}

impl Group {
    fn new() -> Self {
        let home = Home { dir: tempfile::tempdir().unwrap() };
        let mailbox = home.dir.path().join("mary");
        std::fs::write(&mailbox, sample()).unwrap();
        std::fs::create_dir(home.dir.path().join("locks")).unwrap();
        Self { home, mailbox }
    }

    fn modem(&self, more: &[&str]) -> Sim {
        modem(&self.mailbox, more)
    }

    /// The text of a line that is a serial port.
    fn port(&self, device: &Path) -> String {
        format!("kind = \"serial\"\ndevice = {device:?}\nfind_speed = false\nlock_dir = {:?}\n", self.locks())
    }

    fn configure(&self, lines: &[(&str, String)]) {
        let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
        let lines: String = lines.iter().map(|(name, text)| format!("[line.{name}]\n{text}\n")).collect();
        let accounts: String = ["home", "work"]
            .map(|account| {
                let maildir = self.home.dir.path().join("Mail").join(account);
                format!(
                    "[account.{account}]\nline = {names:?}\nphone = \"555 1212\"\nuser = \"mary\"\n\
                     password = {{ env = \"TEST_PASSWORD\" }}\nmailbox = {:?}\n\
                     deliver = {{ maildir = {maildir:?} }}\n",
                    self.mailbox
                )
            })
            .concat();
        self.home.configure(&format!("{lines}{accounts}"));
    }

    fn locks(&self) -> PathBuf {
        self.home.dir.path().join("locks")
    }

    /// Takes a device as a program does that knows lock files only: ours lives as long as the test.
    fn lock(&self, device: &Path) {
        let port = std::fs::canonicalize(device).unwrap();
        let name = format!("LCK..{}", port.file_name().unwrap().to_str().unwrap());
        std::fs::write(self.locks().join(name), format!("{:10}\n", std::process::id())).unwrap();
    }

    fn troubles(&self) -> Troubles {
        Troubles::new(&self.home.dir.path().join(".local/state/mailcall"))
    }

    fn trouble(&self, line: &str) -> Option<Trouble> {
        self.troubles().all().unwrap().remove(line)
    }

    /// As if the last failure of a line had been so many seconds earlier.
    fn age(&self, line: &str, seconds: u64) {
        self.troubles().change(line, |trouble| trouble.at -= seconds).unwrap();
    }
}

fn dialled(sim: &Sim) -> usize {
    sim.log().matches("dialled").count()
}

#[test]
fn a_line_that_another_program_has_is_passed_over_and_is_no_failure() {
    let group = Group::new();
    let (usr, bank) = (group.modem(&[]), group.modem(&[]));
    group.lock(&usr.device);
    group.configure(&[("usr", group.port(&usr.device)), ("bank1", group.port(&bank.device))]);
    let ran = group.home.fetch();
    ran.ended(0, "done");
    assert_eq!(ran.json("line"), "bank1");
    assert_eq!(group.home.mail(), messages(&sample()));
    assert_eq!((group.trouble("usr"), dialled(&usr), dialled(&bank)), (None, 0, 1));
    bank.on_hook_after(1);
    // What was passed over, and why, is told to whoever watches.
    let told = group.home.run(&["fetch", "home"]);
    assert!(told.err.contains("line usr cannot be used, so bank1 is tried"), "{}", told.err);
}

#[test]
fn a_port_that_is_not_there_goes_to_the_end_and_has_its_place_back_once_it_works() {
    let group = Group::new();
    let (usr, bank) = (group.modem(&[]), group.modem(&[]));
    let gone = group.home.dir.path().join("ttyGone");
    group.configure(&[("usr", group.port(&gone)), ("bank1", group.port(&bank.device))]);
    let first = group.home.fetch();
    first.ended(0, "done");
    assert_eq!(first.json("line"), "bank1");
    let trouble = group.trouble("usr").expect("it failed");
    assert_eq!((trouble.failures, trouble.how), (1, How::NoPort));

    // The next run, and another account, do not begin with it.
    let second = group.home.run(&["fetch", "work"]);
    assert_eq!(second.code, 0, "{}", second.err);
    assert!(!second.err.contains("line usr"), "{}", second.err);
    let plan = group.home.run(&["fetch", "--dry-run", "home"]);
    let place = |text: &str| plan.out.find(text).unwrap_or_else(|| panic!("{text}: {}", plan.out));
    assert!(place("line bank1: ") < place("line usr, if those before it"), "{}", plan.out);
    assert!(plan.out.contains("(no-port), so it goes to the end until"), "{}", plan.out);

    // Ten minutes later it has its place again, and fails again: that is remembered for longer.
    group.age("usr", 601);
    let third = group.home.fetch();
    assert_eq!(third.ended(0, "done").json("line"), "bank1");
    assert_eq!(group.trouble("usr").map(|trouble| trouble.failures), Some(2));
    group.age("usr", 601);
    assert!(!group.home.run(&["fetch", "home"]).err.contains("line usr"));

    // It is plugged in again.
    group.configure(&[("usr", group.port(&usr.device)), ("bank1", group.port(&bank.device))]);
    group.age("usr", 1_201);
    let fourth = group.home.fetch();
    assert_eq!(fourth.ended(0, "done").json("line"), "usr");
    assert_eq!(group.trouble("usr"), None, "forgotten");
}

#[test]
fn a_modem_that_is_silent_costs_its_wait_once() {
    let group = Group::new();
    let (dead, bank) = (PtyPair::open().unwrap(), group.modem(&[]));
    dead.make_raw().unwrap();
    group.configure(&[("usr", group.port(&dead.path)), ("bank1", group.port(&bank.device))]);
    let first = group.home.fetch();
    assert_eq!(first.ended(0, "done").json("line"), "bank1");
    assert_eq!(first.number("dials"), 1);
    assert_eq!(group.trouble("usr").map(|trouble| trouble.how), Some(How::Silent));
    let second = group.home.run(&["fetch", "home"]);
    assert!(second.code == 0 && !second.err.contains("line usr"), "{}", second.err);
    bank.on_hook_after(2);
}

#[test]
fn without_a_dial_tone_the_number_was_not_dialled_so_the_next_line_may() {
    let group = Group::new();
    let (usr, bank) = (group.modem(&["--answer", "no-dialtone"]), group.modem(&[]));
    group.configure(&[("usr", group.port(&usr.device)), ("bank1", group.port(&bank.device))]);
    let ran = group.home.fetch();
    assert_eq!(ran.ended(0, "done").json("line"), "bank1");
    assert_eq!(group.trouble("usr").map(|trouble| trouble.how), Some(How::NoDialtone));
    bank.on_hook_after(1);
}

#[test]
fn a_number_that_is_engaged_is_not_dialled_again_on_the_next_line() {
    let group = Group::new();
    let (usr, bank) = (group.modem(&["--answer", "busy"]), group.modem(&[]));
    group.configure(&[("usr", group.port(&usr.device)), ("bank1", group.port(&bank.device))]);
    let ran = group.home.fetch();
    assert_eq!(ran.ended(75, "busy").json("line"), "usr");
    assert_eq!((ran.number("dials"), dialled(&bank)), (1, 0), "{}", bank.log());
    assert_eq!(group.trouble("usr"), None, "the modem did what it should");
}

#[test]
fn when_every_line_fails_each_is_named_and_the_end_is_the_one_that_says_most() {
    let group = Group::new();
    let (usr, bank) = (group.modem(&[]), group.modem(&[]));
    for sim in [&usr, &bank] {
        group.lock(&sim.device);
    }
    group.configure(&[("usr", group.port(&usr.device)), ("bank1", group.port(&bank.device))]);
    let ran = group.home.fetch();
    assert_eq!(ran.ended(75, "port-locked").json("line"), serde_json::Value::Null);
    let error = ran.json("error").to_string();
    assert!(error.contains("usr: ") && error.contains("bank1: "), "{error}");

    // What is in use will be free again; what is not there is told beside it.
    let gone = group.home.dir.path().join("ttyGone");
    group.configure(&[("usr", group.port(&usr.device)), ("gone", group.port(&gone))]);
    let ran = group.home.fetch();
    ran.ended(75, "port-locked");
    assert!(ran.json("error").to_string().contains("ttyGone"), "{}", ran.out);

    group.configure(&[("gone", group.port(&gone)), ("nor", group.port(&gone))]);
    group.home.fetch().ended(69, "no-such-port");
}

#[test]
fn two_calls_at_once_use_two_modems() {
    let group = Group::new();
    let slow = &["--bps", "33600"]; // so that one call is still up when the other begins
    let (usr, bank) = (group.modem(slow), group.modem(slow));
    group.configure(&[("usr", group.port(&usr.device)), ("bank1", group.port(&bank.device))]);
    let both = ["home", "work"].map(|account| {
        let mut command = group.home.command(&["fetch", "--json", account]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    });
    let both = both.map(|child| Ran::new(child.wait_with_output().unwrap()));
    let mut lines = both.each_ref().map(|ran| ran.ended(0, "done").json("line").to_string());
    lines.sort();
    assert_eq!(lines, ["\"bank1\"", "\"usr\""]);
    usr.on_hook_after(1);
    bank.on_hook_after(1);
    assert!(group.troubles().all().unwrap().is_empty());
}

#[test]
fn lines_of_several_kinds_stand_in_for_each_other() {
    let group = Group::new();
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // closed again at once
    let bank = group.modem(&[]);
    let no_host = "kind = \"exec\"\ncommand = [\"sh\", \"-c\", \"echo No route to host; exit 255\"]\n";
    group.configure(&[
        ("direct", format!("kind = \"tcp\"\naddress = \"{refusing}\"\n")),
        ("ssh", no_host.to_owned()),
        ("bank1", group.port(&bank.device)),
    ]);
    let ran = group.home.fetch();
    assert_eq!(ran.ended(0, "done").json("line"), "bank1");
    assert_eq!(group.trouble("direct").map(|trouble| trouble.how), Some(How::NotReached));
    assert_eq!(group.trouble("ssh").map(|trouble| trouble.how), Some(How::Ended));
    assert_eq!(group.home.mail(), messages(&sample()));
}

#[test]
fn a_password_that_one_line_s_host_refuses_is_not_tried_on_the_next() {
    let group = Group::new();
    let (usr, bank) = (group.modem(&[]), group.modem(&[]));
    group.configure(&[("usr", group.port(&usr.device)), ("bank1", group.port(&bank.device))]);
    let mut command = group.home.command(&["fetch", "--json", "home"]);
    let ran = Ran::new(command.env("TEST_PASSWORD", "wr0ng").output().unwrap());
    assert_eq!(ran.ended(77, "login-refused").json("line"), "usr");
    assert_eq!(dialled(&bank), 0, "{}", bank.log());
}

#[test]
fn a_memory_of_lines_that_cannot_be_written_or_read_keeps_no_mail_away() {
    let group = Group::new();
    let bank = group.modem(&[]);
    let gone = group.home.dir.path().join("ttyGone");
    group.configure(&[("usr", group.port(&gone)), ("bank1", group.port(&bank.device))]);
    let state = group.home.dir.path().join(".local/state/mailcall");
    std::fs::create_dir_all(state.join(".lines")).unwrap(); // a folder where the file should be
    let ran = group.home.run(&["fetch", "home"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("not known") && ran.err.contains("could not be remembered"), "{}", ran.err);
    assert_eq!(group.home.mail(), messages(&sample()));
    std::fs::remove_dir(state.join(".lines")).unwrap();
    std::fs::write(state.join(".lines"), b"\xff\0garbage").unwrap();
    assert_eq!(group.home.fetch().ended(0, "done").json("line"), "bank1");
    assert_eq!(group.trouble("usr").map(|trouble| trouble.failures), Some(1));
    assert!(state.join(".lines.damaged").exists());
}
