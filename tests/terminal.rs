//! A person at a terminal: dialled and logged in by the program, then on their own.

mod common;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use common::at_terminal::AtTerminal;
use common::*;
use mailcall::line::pty::PtyPair;
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

/// A shell here that says where it is and does not echo.
const SHELL: &str = "kind = \"exec\"\ncommand = [\"sh\"]";

fn on_a_line(command: &str) -> Home {
    Home::with_line(&format!("kind = \"exec\"\ncommand = [\"sh\", \"-c\", {command:?}]"), "")
}

#[test]
fn a_mebibyte_of_every_byte_passes_both_ways_exactly() {
    let home = on_a_line("stty raw -echo; echo READY; exec cat");
    let mut person =
        AtTerminal::start(home.command(&["terminal", "--quiet", "--line", "usr", "--escape", "none"]));
    person.sees("READY\n");
    let mut rng = fastrand::Rng::with_seed(7);
    let sent: Vec<u8> = (0..1 << 20).map(|_| rng.u8(..)).collect();
    let mut keyboard = person.screen.try_clone().unwrap();
    let typed = sent.clone();
    let typist = std::thread::spawn(move || keyboard.write_all(&typed).unwrap());
    let mut shown = vec![0; sent.len()];
    person.screen.read_exact(&mut shown).unwrap();
    typist.join().unwrap();
    assert!(shown == sent, "first difference at {:?}", shown.iter().zip(&sent).position(|(a, b)| a != b));
    kill(Pid::from_raw(person.child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(person.ended(), 75);
}

#[test]
fn each_signal_that_ends_it_gives_the_terminal_back() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let home = Home::with_line(SHELL, "");
        let mut person = AtTerminal::start(home.command(&["terminal", "home"]));
        person.sees("Ctrl-] q hangs up");
        kill(Pid::from_raw(person.child.id() as i32), signal).unwrap();
        assert_eq!(person.ended(), 75, "{signal}");
    }
}

#[test]
fn the_menu_is_shown_behind_a_key_that_hesitates_and_the_host_s_bytes_go_on() {
    let home = on_a_line("while read -r line; do echo said-$line; done");
    let mut person = AtTerminal::start(home.command(&["terminal", "--line", "usr"]));
    person.sees("hangs up");
    person.types(b"one\r");
    person.sees("said-one");
    person.types(b"\x1d");
    person.sees("[send recv break echo");
    person.types(b"?");
    person.sees("leaves, and keeps the call up");
    person.types(b"two\r");
    person.sees("said-two");
    person.types(b"\x1d.");
    assert_eq!(person.ended(), 0);
}

#[test]
fn each_view_is_turned_on_and_off_by_its_key() {
    let home = on_a_line("stty raw -echo; echo READY; exec cat");
    let mut person = AtTerminal::start(home.command(&["terminal", "--line", "usr"]));
    person.sees("READY\n");
    person.types(b"\x1dx");
    person.sees("hex view is on");
    person.types(b"AB\r");
    person.sees("41 42 0d");
    person.types(b"\x1dx\x1de");
    person.sees("local echo is on");
    person.types(b"zz");
    person.sees("z");
    person.sees("z");
    person.types(b"\x1de\x1dn");
    person.sees("RETURN sends LF");
    person.types(b"x\r!");
    person.sees("x\n!");
    person.types(b"\x1dm");
    person.sees("a lone LF begins a new line");
    person.types(b"x\r!");
    person.sees("x\r\n!");
    person.types(b"\x1db");
    person.sees("there is no BREAK on this line");
    person.types(b"\x1dp");
    person.sees("leads unknown");
    person.types(b"d");
    person.sees("this line has no leads");
    person.types(b"s9600\r");
    person.sees("this line has no rate");
    person.types(b"\x1dh");
    person.sees("no modem and no DTR");
    person.types(b"\x1dd");
    person.sees("no modem that mailcall could dial with");
    person.types(b"\x1dk");
    person.sees("cannot be left up");
    person.types(b"\x1d\x1d");
    person.sees("\x1d");
    person.types(b"\x1dq");
    assert_eq!(person.ended(), 0);
}

#[test]
fn a_sign_at_the_start_of_a_line_can_be_the_escape_key() {
    let home = on_a_line("stty raw -echo; echo READY; exec cat");
    home.configure(
        &std::fs::read_to_string(home.dir.path().join(".config/mailcall/config.toml"))
            .map(|text| format!("[terminal]\nescape = \"~\"\n{text}"))
            .unwrap(),
    );
    let mut person = AtTerminal::start(home.command(&["terminal", "--line", "usr"]));
    person.sees("~. hangs up");
    person.sees("READY\n");
    person.types(b"a~.\r~~b\r");
    person.sees("a~.\r~b\r");
    person.types(b"~?");
    person.sees("at the start of a line");
    person.types(b"~.");
    person.sees("you have hung up");
    assert_eq!(person.ended(), 0);
}

#[test]
fn a_log_has_lines_with_times_and_is_read_by_nobody_else() {
    let home = Home::with_line(SHELL, "password = { env = \"TEST_PASSWORD\" }\n");
    let log = home.dir.path().join("a log");
    let mut person =
        AtTerminal::start(home.command(&["terminal", "home", "--log", &log.display().to_string()]));
    person.sees("hangs up");
    person.types(format!("echo {PASSWORD} $((6*7))-is-it\r").as_bytes());
    person.sees("42-is-it");
    person.types(b"\x1dl");
    person.sees("the log is over");
    person.types(b"echo $((6*8))-is-not\r");
    person.sees("48-is-not");
    person.types(b"\x1dl");
    person.sees("log to");
    person.types(format!("\x15{}\r", log.display().to_string().replace(' ', "\\ ")).as_bytes());
    person.sees("log in");
    person.types(b"echo $((6*9))-is-again\r");
    person.sees("54-is-again");
    person.types(b"\x1dq");
    assert_eq!(person.ended(), 0);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("******** 42-is-it\n") && text.contains("54-is-again\n"), "{text}");
    assert!(!text.contains(PASSWORD) && !text.contains("48-is-not"), "{text}");
    let is_stamped =
        |line: &str| line.len() > 24 && line.as_bytes()[4] == b'-' && line.as_bytes()[19] == b'.';
    assert!(text.lines().all(is_stamped), "{text}");
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_log_on_a_full_disk_ends_no_session() {
    let home = Home::with_line(SHELL, "");
    let mut person = AtTerminal::start(home.command(&["terminal", "home", "--log", "/dev/full"]));
    person.sees("the log cannot be written, the session goes on");
    person.types(b"echo $((6*7))-is-it\r");
    person.sees("42-is-it");
    person.types(b"\x1dq");
    assert_eq!(person.ended(), 0);
}

/// The program with these bytes for its standard input.
fn piped(home: &Home, args: &[&str], input: &[u8]) -> Ran {
    let mut command = home.command(&[&["terminal"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let ran = Ran::new(child.wait_with_output().unwrap());
    writer.join().unwrap();
    ran
}

#[test]
fn a_pipe_is_sent_and_its_end_ends_the_session_once_the_host_is_quiet() {
    let home = on_a_line("stty raw -echo; echo READY; exec cat");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let out = home.dir.path().join("out");
    let mut command = home.command(&["terminal", "--line", "usr", "--linger", "1", "--expect", "READY"]);
    std::fs::write(home.dir.path().join("in"), &bytes).unwrap();
    command.stdin(std::fs::File::open(home.dir.path().join("in")).unwrap());
    command.stdout(std::fs::File::create(&out).unwrap());
    let ran = Ran::new(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("the input has ended"), "{}", ran.err);
    let said = std::fs::read(&out).unwrap();
    assert!(said == [b"READY\n", &bytes[..]].concat(), "{} bytes", said.len());
}

#[test]
fn a_host_that_hangs_up_ends_a_piped_session_at_once() {
    let home = Home::with_line(SHELL, "");
    let ran = piped(&home, &["home", "--linger", "600"], b"echo $((6*7))-is-it\nstty size\nexit\n");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("42-is-it"), "{}", ran.out);
    assert!(ran.out.contains("24 80"), "the line's own window: {}", ran.out);
}

#[test]
fn a_piped_session_reports_in_json_on_a_line_of_its_own() {
    let home = on_a_line("printf 'no line end'");
    let ran = piped(&home, &["--line", "usr", "--json"], b"");
    let (said, json) = ran.out.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(said, "no line end");
    let told: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((told["account"].as_str(), told["outcome"].as_str()), (Some("usr"), Some("done")), "{json}");
    assert_eq!(told["bytes_down"], 11, "{json}");
}

#[test]
fn what_is_expected_is_waited_for_and_answered_in_order() {
    let home =
        on_a_line("printf 'name? '; read -r n; printf 'word? '; read -r w; echo $n has $w; exec sleep 100");
    let args = ["--line", "usr", "--linger", "0", "--expect", "name? ", "--send", "mary\\r"];
    let more = ["--expect", "word? ", "--send", "\\x78\\r", "--expect", "mary has x"];
    let ran = piped(&home, &[&args[..], &more].concat(), b"");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("mary has x"), "{}", ran.out);
}

#[test]
fn what_does_not_come_in_time_or_before_the_end_of_the_line_is_a_failure_that_says_what_came() {
    let home = on_a_line("echo something else; exec sleep 100");
    let ran = piped(&home, &["--line", "usr", "--expect", "ogin:", "--timeout", "1"], b"");
    assert_eq!(ran.code, 75, "{}", ran.err);
    assert!(
        ran.err.contains("\"ogin:\" was not said within 1 s") && ran.err.contains("something else"),
        "{}",
        ran.err
    );
    let home = on_a_line("echo something else");
    let ran = piped(&home, &["--line", "usr", "--expect", "ogin:"], b"");
    assert_eq!(ran.code, 75, "{}", ran.err);
    assert!(ran.err.contains("before \"ogin:\" was said"), "{}", ran.err);
}

#[test]
fn the_prompt_that_the_login_found_can_be_expected_and_what_is_sent_on_connect_comes_first() {
    let (_dir, path) = mailbox();
    let sim = Sim::start(&["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &path]);
    let home = Home::new(&sim.device, "mary", path.as_ref(), "");
    let steps =
        ["--send-on-connect", "echo a$((1+1))\\r", "--expect", "a2", "--expect", "$ ", "--send", "exit\\r"];
    let ran = piped(&home, &[&["home", "--linger", "600"], &steps[..]].concat(), b"");
    assert_eq!(ran.code, 0, "{}", ran.err);
    sim.on_hook_after(1);
}

#[test]
fn a_reader_that_leaves_ends_the_session_and_the_modem_is_on_hook() {
    let (_dir, path) = mailbox();
    let sim = Sim::start(&["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &path]);
    let home = Home::new(&sim.device, "mary", path.as_ref(), "");
    let mut command = home.command(&["terminal", "home", "--linger", "600"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"while :; do echo flood; done\n").unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 20]).unwrap();
    drop(out);
    let ran = Ran::new(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("nobody reads any more") && !ran.err.contains("panicked"), "{}", ran.err);
    sim.on_hook_after(1);
}

#[test]
fn a_full_disk_behind_standard_output_is_told() {
    let home = on_a_line("echo something; exec sleep 100");
    let mut command = home.command(&["terminal", "--line", "usr"]);
    command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let ran = Ran::new(command.output().unwrap());
    assert_eq!(ran.code, 74, "{}", ran.err);
    assert!(ran.err.contains("No space left on device"), "{}", ran.err);
}

#[test]
fn a_person_hangs_up_stays_dials_again_and_leaves_the_call_up() {
    let (_dir, path) = mailbox();
    let sim = Sim::start(&["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &path]);
    let home = Home::new(&sim.device, "mary", path.as_ref(), "");
    let mut person = AtTerminal::start(home.command(&["terminal", "home"]));
    person.sees("mary@fieldhost$");
    person.types(b"\x1dd");
    person.sees("a call is up");
    person.types(b"\x1dh");
    person.sees("hung up; the modem listens");
    sim.on_hook_after(1);
    person.types(b"ATI\r");
    person.sees("OK");
    person.types(b"\x1dd");
    person.sees("dialling 555 1212");
    person.sees("mary@fieldhost$");
    person.types(b"echo $((6*7))-is-it\r");
    person.sees("42-is-it");
    person.types(b"\x1dk");
    person.sees("the call is still up");
    assert_eq!(person.ended(), 0);
    assert_eq!(
        (sim.log().matches("connected").count(), sim.log().matches("on-hook").count()),
        (2, 1),
        "{}",
        sim.log()
    );
    // Taken up again on the bare port, and hung up by the next call.
    let mut person = AtTerminal::start(home.command(&["terminal", "--line", "usr"]));
    person.types(b"echo $((6*8))-is-it\r");
    person.sees("48-is-it");
    person.types(b"\x1dq");
    assert_eq!(person.ended(), 0);
    let ran = home.fetch();
    ran.ended(0, "done");
    assert!(sim.log().matches("connected").count() == 3, "{}", sim.log());
    sim.on_hook_after(3);
}

#[test]
fn a_session_that_was_lost_is_begun_again_until_its_command_ends_well() {
    let home = on_a_line("echo x >> ../count; n=$(wc -l < ../count); echo time $n; test $n -ge 3");
    let folder = home.dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let mut command = home.command(&["terminal", "--line", "usr", "--reconnect=0"]);
    let ran = Ran::new(command.current_dir(&folder).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for said in ["time 1", "time 2", "time 3"] {
        assert!(ran.out.contains(said), "{}", ran.out);
    }
    assert!(ran.err.contains("again in 2 s, Ctrl-C stops that"), "{}", ran.err);
}

#[test]
fn a_server_that_comes_back_is_connected_to_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let home = Home::with_line(&format!("kind = \"tcp\"\naddress = \"{address}\""), "");
    let mut command = home.command(&["terminal", "--line", "usr", "--reconnect"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut first, _) = listener.accept().unwrap();
    first.write_all(b"first").unwrap();
    drop(first);
    let (mut second, _) = listener.accept().unwrap();
    second.write_all(b"second").unwrap();
    let mut said = [0; 11];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"firstsecond");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75));
}

#[test]
fn a_device_that_is_pulled_out_is_waited_for_and_used_again_and_ctrl_c_ends_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let device = dir.path().join("ttyUSB9");
    let plug = || {
        let pty = PtyPair::open().unwrap();
        pty.make_raw().unwrap();
        let _ = std::fs::remove_file(&device);
        std::os::unix::fs::symlink(&pty.path, &device).unwrap();
        pty
    };
    let mut far = plug();
    let line = format!("kind = \"serial\"\ndevice = {:?}\nmodem = \"none\"", device.display().to_string());
    let home = Home::with_line(&line, "");
    let mut person = AtTerminal::start(home.command(&["terminal", "home", "--no-login", "--reconnect=0"]));
    for word in ["first", "second"] {
        person.sees("Ctrl-] q hangs up");
        std::fs::File::from(far.master.try_clone().unwrap()).write_all(word.as_bytes()).unwrap();
        person.sees(word);
        std::fs::remove_file(&device).unwrap();
        drop(far);
        person.sees("Ctrl-C stops");
        far = plug();
    }
    person.sees("Ctrl-] q hangs up");
    std::fs::remove_file(&device).unwrap();
    drop(far);
    person.sees("Ctrl-C stops");
    kill(Pid::from_raw(person.child.id() as i32), Signal::SIGINT).unwrap(); // as the terminal makes of it
    assert_eq!(person.ended(), 75);
}

#[test]
fn a_port_needs_neither_account_nor_configuration() {
    let pty = PtyPair::open().unwrap();
    pty.make_raw().unwrap();
    let home = Home::with_line(SHELL, "");
    std::fs::remove_file(home.dir.path().join(".config/mailcall/config.toml")).unwrap();
    let port = pty.path.display().to_string();
    let mut person = AtTerminal::start(
        home.command(&["terminal", "--line", &port, "--speed", "9600", "--return", "crlf"]),
    );
    person.sees("hangs up");
    person.types(b"at\r");
    let mut said = [0; 4];
    let mut far = std::fs::File::from(pty.master.try_clone().unwrap());
    far.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"at\r\n");
    person.types(b"\x1dp");
    person.sees("9600 bit/s 8N1, RTS/CTS");
    person.types(b"s19200\r");
    person.sees("19200 bit/s");
    person.types(b"\x1dq");
    assert_eq!(person.ended(), 0);
}

#[test]
fn a_transfer_is_stopped_by_the_person_or_by_the_host_and_the_session_goes_on() {
    let begins = "printf 'rz\\r**\\030B00000000000000\\r\\212\\021'";
    let until_go = "while read -r x; do case $x in *go*) break;; esac; done";
    let home = on_a_line(&format!(
        "stty -echo; {begins}; {until_go}; echo by you; {begins}; sleep 1; printf '\\030\\030\\030\\030\\030'; \
         {until_go}; echo goes on; exec cat"
    ));
    let downloads = home.dir.path().join("in").display().to_string();
    let file = home.dir.path().join(".config/mailcall/config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("[terminal]\ndownloads = {downloads:?}\n{text}")).unwrap();
    let mut person = AtTerminal::start(home.command(&["terminal", "--line", "usr"]));
    person.sees("rz\r");
    person.types(b"\x03");
    person.sees("the transfer was stopped");
    person.types(b"\rgo\r");
    person.sees("by you");
    person.sees("the host's sender cancelled the transfer");
    person.types(b"\rgo\r");
    person.sees("goes on");
    person.types(b"\x1dq");
    assert_eq!(person.ended(), 0);
    assert!(std::fs::read_dir(&downloads).map_or(0, Iterator::count) == 0);
}

#[test]
fn a_transfer_leaves_a_pipe_s_session_whole() {
    if !have("sz") {
        return;
    }
    let home = Home::with_line(SHELL, "");
    let every_byte: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    std::fs::write(home.dir.path().join("every byte"), &every_byte).unwrap();
    let input = format!("cd '{}'; sz 'every byte'; exit\n", home.dir.path().display());
    let ran = piped(&home, &["home", "--linger", "600"], input.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(std::fs::read(home.dir.path().join("Downloads/every byte")).unwrap(), every_byte);
    assert!(ran.err.contains("50000 bytes") && !ran.out.contains("\x18B0"), "{:?}\n{}", ran.out, ran.err);
}
