//! Calls that are made again, and numbers that are not: the program and a simulated modem, with the
//! shortest waits that the configuration allows.

mod common;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::*;
use mailcall::store::dials::Dials;

/// A mailbox on the host, with a simulator in front of it that answers so.
fn host(answers: &str, more: &[&str]) -> (Sim, PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    std::fs::write(&path, sample()).unwrap();
    let shown = path.display().to_string();
    let mut all = vec!["--user", "mary", "--password", PASSWORD, "--mailbox", &shown, "--answer", answers];
    all.extend(more);
    if !more.contains(&"--ring") {
        all.extend(["--ring", "0"]);
    }
    (Sim::start(&all), path, dir)
}

fn dials(home: &Home) -> Dials {
    Dials::new(&home.dir.path().join(".local/state/mailcall"))
}

const SHORT: &str = "redial = { busy_wait = 5, wait = 5 }\n";

#[test]
fn a_busy_number_is_dialled_again_after_the_wait_and_one_report_has_the_sum() {
    let (sim, path, _dir) = host("busy,no-answer,connect", &[]);
    let home = Home::new(&sim.device, "mary", &path, SHORT);
    #[allow(clippy::disallowed_methods)] // how long a real run takes
    let began = Instant::now();
    let ran = home.fetch();
    ran.ended(0, "done");
    assert!(began.elapsed() >= Duration::from_secs(10), "two waits of 5 s");
    assert_eq!(ran.out.lines().count(), 1);
    assert_eq!(ran.number("dials"), 3);
    assert_eq!(home.mail(), messages(&sample()));
    let history = dials(&home).look("5551212").unwrap();
    assert_eq!((history.unconnected, history.connected.is_some()), (0, true));
}

#[test]
fn a_call_that_is_lost_is_made_again_and_goes_on_where_it_stopped() {
    let mailbox = sample();
    let half = (mailbox.len() / 2 + 1_500).to_string();
    let (sim, path, _dir) = host("connect", &["--drop-after", &half, "--bps", "115200"]);
    let home = Home::new(&sim.device, "mary", &path, "transfer = \"zmodem\"\n");
    let ran = home.run(&["fetch", "--json", "--redial"]);
    ran.ended(0, "done");
    assert_eq!(ran.number("dials"), 2);
    let carried = ran.number("bytes_down") as usize;
    assert!(carried > mailbox.len() && carried < mailbox.len() * 3 / 2, "both calls count: {carried}");
    assert_eq!(home.mail(), messages(&mailbox));
}

#[test]
fn without_redial_a_run_dials_once() {
    let (sim, path, _dir) = host("busy,connect", &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let ran = home.fetch();
    ran.ended(75, "busy");
    assert_eq!(ran.number("dials"), 1);
    home.fetch().ended(0, "done");
}

#[test]
fn no_carrier_at_a_number_that_never_connected_is_dialled_twice_and_then_rests() {
    let (sim, path, _dir) = host("no-carrier", &[]);
    let home = Home::new(&sim.device, "mary", &path, SHORT);
    let first = home.fetch();
    first.ended(75, "no-carrier");
    assert_eq!(first.number("dials"), 2);
    let second = home.fetch();
    second.ended(75, "delayed");
    assert_eq!(second.number("dials"), 0);
    for says in ["not dialled before 20", "2 dials met no carrier", "modem release \"555 1212\""] {
        assert!(second.err.contains(says), "{}", second.err);
    }
    assert_eq!(sim.log().matches("dialled").count(), 2, "{}", sim.log());
    // Another account that writes the same number in another way is held back as well.
    let text = std::fs::read_to_string(home.dir.path().join(".config/mailcall/config.toml")).unwrap();
    let other = text.replace("account.home", "account.other").replace("555 1212", "555-12.12");
    home.configure(&other);
    home.run(&["fetch", "--json", "other"]).ended(75, "delayed");
}

#[test]
fn a_number_at_which_a_person_answered_is_barred_until_a_person_releases_it() {
    let (sim, path, _dir) = host("voice,connect", &[]);
    let home = Home::new(&sim.device, "mary", &path, SHORT);
    let first = home.fetch();
    first.ended(75, "voice");
    assert_eq!(first.number("dials"), 1, "not even with redial");
    for _ in 0..2 {
        let barred = home.fetch();
        barred.ended(77, "blacklisted");
        assert_eq!(barred.number("dials"), 0);
        assert!(barred.err.contains("a person answered"), "{}", barred.err);
    }
    assert_eq!(sim.log().matches("dialled").count(), 1, "{}", sim.log());
    assert!(mailcall::session::memory::release(&dials(&home), None, "555-1212").unwrap());
    home.fetch().ended(0, "done");
}

#[test]
fn of_several_numbers_one_that_is_barred_is_passed_over() {
    let (sim, path, _dir) = host("voice,busy,connect", &[]);
    let home = Home::new(&sim.device, "mary", &path, SHORT);
    home.fetch().ended(75, "voice");
    let text = std::fs::read_to_string(home.dir.path().join(".config/mailcall/config.toml")).unwrap();
    home.configure(&text.replace("\"555 1212\"", "[\"555 1212\", \"555 3434\"]"));
    let ran = home.fetch();
    ran.ended(0, "done");
    assert_eq!(ran.number("dials"), 2, "the other one, busy and then not");
    assert_eq!(sim.log().matches("5551212").count(), 1, "{}", sim.log());
}

#[test]
fn a_number_that_is_passed_over_is_told_with_its_reason() {
    let (sim, _path, _dir) = host("voice,busy", &[]);
    let home = Home::with_line(
        &format!("kind = \"serial\"\ndevice = {:?}\n", sim.device.display().to_string()),
        "phone = [\"555 1212\", \"555 3434\"]\nuser = \"mary\"\npassword = { env = \"TEST_PASSWORD\" }\n",
    );
    assert_eq!(home.run(&["fetch"]).code, 75);
    let ran = home.run(&["fetch"]);
    assert_eq!(ran.code, 75);
    let passed_over = ran.err.find("555 1212 is not dialled any more").expect("the first number is told");
    assert!(passed_over < ran.err.find("dialling 555 3434").expect("the second is dialled"), "{}", ran.err);
}

#[test]
fn a_number_that_a_list_has_in_many_ways_is_dialled_once_in_a_pass() {
    let (sim, path, _dir) = host("no-answer", &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let text = std::fs::read_to_string(home.dir.path().join(".config/mailcall/config.toml")).unwrap();
    let list = r#"["555 1212", "555-1212", "=5551212", "W5551212", "555,1212", "*67 5551212", "5551212,,9"]"#;
    home.configure(&text.replace("\"555 1212\"", list));
    for dials in [1, 1, 1, 0] {
        let ran = home.fetch();
        ran.ended(75, if dials == 1 { "no-answer" } else { "delayed" });
        assert_eq!(ran.number("dials"), dials, "{}", ran.err);
    }
    assert!(home.fetch().err.contains("a person's telephone may be ringing"));
}

#[test]
fn a_signal_ends_a_wait_at_once_and_the_port_is_free_meanwhile() {
    use nix::sys::signal::{Signal, kill};
    let (sim, path, _dir) = host("busy,connect", &[]);
    let home = Home::new(&sim.device, "mary", &path, "redial = { busy_wait = 600 }\n");
    let mut child = home.command(&["fetch", "home"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.find(|line| line.contains("dialling again at")).expect("the wait is told");
    assert!(told.contains("the number is busy") && told.contains("in 600 s"), "{told}");
    // Someone else may use the modem during the wait.
    let device = sim.device.display().to_string();
    let text = std::fs::read_to_string(home.dir.path().join(".config/mailcall/config.toml")).unwrap();
    let other = Home::new(&sim.device, "mary", &path, "");
    assert!(text.contains(&device));
    other.fetch().ended(0, "done");
    #[allow(clippy::disallowed_methods)] // how long a real program takes to end
    let sent = Instant::now();
    kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let last: Vec<_> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!(sent.elapsed() < Duration::from_secs(3));
    assert!(last.join("\n").contains("ended by SIGTERM while waiting to dial again"), "{last:?}");
}

#[test]
fn a_dial_that_is_killed_stays_counted() {
    let (sim, path, _dir) = host("no-carrier", &["--ring", "30s"]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let mut child = home.command(&["fetch", "home"]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the number to be dialled", || sim.log().contains("dialled"));
    child.kill().unwrap();
    child.wait().unwrap();
    let history = dials(&home).look("5551212").unwrap();
    assert_eq!((history.unconnected, history.connected), (1, None));
}

#[test]
fn a_damaged_memory_is_set_aside_and_the_fetch_goes_on() {
    let (sim, path, _dir) = host("connect", &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let state = home.dir.path().join(".local/state/mailcall");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join(".dials"), b"what is this?\n").unwrap();
    let ran = home.run(&["fetch", "home"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("the memory of earlier dials was damaged"), "{}", ran.err);
    assert_eq!(std::fs::read(state.join(".dials.damaged")).unwrap(), b"what is this?\n");
}

#[test]
fn a_number_is_dialled_as_the_place_demands() {
    let (sim, path, _dir) = host("connect", &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let file = home.dir.path().join(".config/mailcall/config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let place = "[location]\ncountry = \"49\"\narea = \"30\"\noutside_line = \"0,\"\n";
    home.configure(&format!("{place}{}", text.replace("555 1212", "+49 (0)89 12345")));
    home.fetch().ended(0, "done");
    assert!(sim.log().contains("0,08912345"), "{}", sim.log());
}

#[test]
fn a_dry_run_tells_all_that_would_be_sent_and_touches_nothing() {
    let home = Home::with_line(
        "kind = \"serial\"\ndevice = \"/dev/no-such-port\"\nprefix = \"*70,\"\n",
        "phone = [\"+49 (0)30 555-12\", \"=99\"]\nuser = \"mary\"\n\
         password = { command = [\"sh\", \"-c\", \"echo no-secret; touch read\"] }\nredial = true\n",
    );
    let file = home.dir.path().join(".config/mailcall/config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    home.configure(&format!(
        "[location]\ncountry = \"49\"\narea = \"30\"\noutside_line = \"0,\"\n\
         [line.ssh]\nkind = \"exec\"\ncommand = [\"ssh\", \"hush\"]\n{}",
        text.replace("line = \"usr\"", "line = [\"usr\", \"ssh\"]")
    ));
    let setup = "    AT                       answered within 1.25 s
    ATZ                      answered within 5 s, not needed
    ATQ0V1                   answered within 3 s
    ATE0                     answered within 3 s, not needed
    AT&C1                    answered within 3 s, not needed
    AT&D2                    answered within 3 s, not needed
    ATS0=0                   answered within 3 s, not needed
    ATS7=85                  answered within 3 s, not needed
    ATX4W2                   answered within 3 s, not needed
    AT+IFC=2,2               answered within 3 s, not needed
    AT+ES=3,0,2              answered within 3 s, not needed
";
    let expected = format!(
        "home: at most 12 dials and 3 connections; 180 s after busy, 300 s after other failures
line usr: port /dev/no-such-port at 57600 bit/s, modem generic
  number +49 (0)30 555-12
{setup}    ATDT0,*70,55512          answered within 90 s
    never connected
  number =99
{setup}    ATDT99                   answered within 90 s
    never connected
line ssh, if those before it are in use or fail: the command ssh, no modem, nothing is dialled
Nothing was sent, and no port was opened.
"
    );
    let mut command = home.command(&["fetch", "--dry-run"]);
    let ran = Ran::new(command.current_dir(home.dir.path()).output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (0, expected.as_str()), "{}", ran.err);
    assert!(!home.dir.path().join("read").exists(), "no password was read");
    assert!(!home.dir.path().join(".local").exists() && !home.maildir().exists(), "nothing was written");
    assert_eq!(home.run(&["fetch", "--dry-run", "--json"]).code, 64);
}

#[test]
fn a_dry_run_of_an_account_that_is_called_says_so() {
    for (calling, says, takes) in [
        (
            "answer = { wait = 60, rings = 3 }",
            "nothing is dialled; the host's call is waited for, for 60 s",
            "ATA ",
        ),
        ("answer = { by_modem = true, rings = 2 }", "which the modem answers by itself", "ATS0=2 "),
        (
            "phone = \"1\"\ndial_back = { wait = 30 }",
            "then the host's call back is waited for, for 30 s",
            "ATA ",
        ),
    ] {
        let home = Home::with_line("kind = \"serial\"\ndevice = \"/dev/no-such-port\"\n", calling);
        let ran = home.run(&["fetch", "--dry-run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains(says) && ran.out.contains(takes), "{}", ran.out);
        assert_eq!(ran.out.contains("ATDT1 "), calling.contains("phone"), "{}", ran.out);
    }
}

#[test]
fn a_dry_run_says_what_is_remembered() {
    let (sim, path, _dir) = host("voice", &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    home.fetch().ended(75, "voice");
    let ran = home.run(&["fetch", "--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for says in ["never connected; 1 dial since", "(voice)", "is not dialled any more"] {
        assert!(ran.out.contains(says), "{}", ran.out);
    }
}

#[test]
fn a_rest_that_a_wrong_clock_put_into_the_future_begins_when_it_is_seen() {
    use mailcall::session::{memory::now, retry};
    use mailcall::store::dials::{History, HowEnded};
    let (sim, path, _dir) = host("connect", &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let dials = dials(&home);
    let future = now() + 10 * 365 * 86_400;
    let twice = (0..2).fold(History::default(), |history, _| {
        retry::failed(retry::begun(history, future), future, HowEnded::NoCarrier)
    });
    dials.change("5551212", |history| *history = twice).unwrap();
    home.fetch().ended(75, "delayed");
    let seen = dials.look("5551212").unwrap();
    assert!(seen.recent.iter().all(|dialled| dialled.at <= now()), "{seen:?}");
    assert_eq!(retry::may_dial(&seen, retry::Reach::Telephones, now() + 3_600), retry::Verdict::Dial);
}
