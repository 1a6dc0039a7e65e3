//! `mailcall modem` as a user runs it: against the simulated modem, and where there is none.

mod common;

use common::*;
use mailcall::line::pty::PtyPair;

/// A home without a configuration.
fn bare_home() -> Home {
    Home { dir: tempfile::tempdir().unwrap() }
}

fn device(sim: &Sim) -> String {
    sim.device.display().to_string()
}

#[test]
fn a_probe_finds_the_modem_and_prints_lines_that_work_as_a_configuration() {
    let sim = Sim::start(&["--ring", "0", "--user", "mary", "--password", PASSWORD]);
    let home = bare_home();
    let probe = home.run(&["modem", "probe", &device(&sim)]);
    assert_eq!(probe.code, 0, "{}", probe.err);
    assert!(probe.out.contains("answers at 57600 bit/s") && probe.out.contains("mailcall simulated modem"));
    let pasted = probe.out.split_once("For your configuration:").expect("lines to paste").1;
    home.configure(&format!(
        "{pasted}\nuser = \"mary\"\npassword = {{ env = \"TEST_PASSWORD\" }}\ndeliver = {{ maildir = {:?} }}\n",
        home.maildir().display().to_string()
    ));
    home.fetch().ended(0, "done");
    assert_eq!(home.mail(), messages(&sample()));
}

#[test]
fn a_dial_that_fails_has_its_json_too() {
    let sim = Sim::start(&["--ring", "0", "--answer", "voice"]);
    let home = bare_home();
    for (outcome, dials, code) in [("voice", 1, 75), ("blacklisted", 0, 77)] {
        let ran = home.run(&["--json", "modem", "dial", "5551212", &device(&sim)]);
        assert_eq!((ran.json("outcome"), ran.json("dials"), ran.code), (outcome.into(), dials.into(), code));
        assert!(ran.json("connection").is_null() && ran.json("error").is_string());
    }
}

#[test]
fn what_a_probe_found_is_told_as_json_too() {
    let sim = Sim::start(&[]);
    let ran = bare_home().run(&["--json", "modem", "probe", &device(&sim)]);
    assert_eq!(ran.json("speed"), 57_600);
    assert_eq!(ran.json("said")[0]["command"], "ATI0");
    assert!(ran.json("leads").is_null(), "a PTY has none");
}

#[test]
fn a_dial_shows_what_was_agreed_on_and_what_the_host_says_and_hangs_up() {
    let sim = Sim::start(&["--ring", "0", "--connect-text", "CONNECT 28800/ARQ/V34/LAPM/V42BIS"]);
    let home = bare_home();
    let ran = home.run(&["modem", "dial", "555 1212", &device(&sim), "--listen", "2s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("fieldhost login:"), "{}", ran.out);
    assert!(ran.out.contains("28800 bit/s, V34, LAPM, V42BIS"), "{}", ran.out);
    sim.on_hook_after(1);
    let json = home.run(&["--json", "modem", "dial", "5551212", &device(&sim)]);
    assert_eq!(json.json("outcome"), "done");
    assert_eq!(json.json("connection")["rate_down"], 28_800);
    assert_eq!(json.json("connection")["error_correction"], "LAPM");
    sim.on_hook_after(2);
}

#[test]
fn a_dial_that_fails_ends_as_a_fetch_would() {
    let sim = Sim::start(&["--ring", "0", "--answer", "busy"]);
    let ran = bare_home().run(&["modem", "dial", "5551212", &device(&sim)]);
    assert_eq!(ran.code, 75, "{}", ran.err);
    assert!(ran.err.contains("busy"), "{}", ran.err);
}

#[test]
fn a_dry_run_prints_every_line_and_opens_no_port() {
    let home = bare_home();
    let ran = home.run(&[
        "modem",
        "dial",
        "+1 (555) 12-12",
        "/dev/no-such-port",
        "--dry-run",
        "--profile",
        "iridium",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().filter_map(|line| line.trim().split("  ").next()).collect();
    assert!(lines.contains(&"AT+CBST=71,0,1"), "{}", ran.out);
    assert!(lines.contains(&"ATDT0015551212"), "{}", ran.out);
    let json = home.run(&["--json", "modem", "dial", "5551212", "/dev/no-such-port", "--dry-run"]);
    assert_eq!((json.code, json.out.as_str()), (64, ""), "{}", json.err);
}

#[test]
fn a_modem_left_on_line_is_hung_up() {
    let sim = Sim::start(&["--ring", "0"]);
    let port = std::fs::OpenOptions::new().read(true).write(true).open(&sim.device).unwrap();
    std::io::Write::write_all(&mut &port, b"ATDT5551212\r").unwrap();
    wait_for("the call", || sim.log().contains("connected"));
    drop(port);
    let ran = bare_home().run(&["--json", "modem", "hangup", &device(&sim)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json("outcome"), "done", "{}", ran.out);
    sim.on_hook_after(1);
}

#[test]
fn a_port_without_a_modem_is_69_within_its_time() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let name = nix::unistd::ttyname(&pty.slave).unwrap();
    let ran = bare_home().run(&["modem", "probe", name.to_str().unwrap()]);
    assert_eq!(ran.code, 69, "{}", ran.err);
    assert!(ran.err.contains("does not answer"), "{}", ran.err);
}

/// A port of a test's own, and a modem on it that is the test. No child process inherits it.
fn bare_port() -> (PtyPair, String) {
    let pty = PtyPair::open().unwrap();
    pty.make_raw().unwrap();
    let name = pty.path.display().to_string();
    (pty, name)
}

#[test]
fn where_nothing_was_dialled_nothing_is_hung_up_and_no_alarm_is_given() {
    let (_pty, port) = bare_port();
    let line = format!("kind = \"serial\"\ndevice = {port:?}\nfind_speed = false\n");
    let home = Home::with_line(&line, "phone = \"5551212\"\n");
    let ran = home.run(&["-v", "--json", "modem", "dial", "5551212"]);
    assert_eq!(ran.code, 69, "{}", ran.err);
    assert_eq!((ran.json("outcome"), ran.json("connection")), ("modem-silent".into(), ().into()));
    assert!(ran.json("error").as_str().is_some_and(|error| error.contains("does not answer")), "{}", ran.out);
    assert!(!ran.err.contains("off-hook") && !ran.err.contains("hanging up\n"), "{}", ran.err);
}

#[test]
fn a_number_that_cannot_be_dialled_is_refused_before_the_port_is_touched() {
    for number in ["", "abc", "1;ATH", "=1\r2"] {
        let ran = bare_home().run(&["modem", "dial", number, "/dev/no-such-port"]);
        assert_eq!(ran.code, 64, "{number:?}: {}", ran.err);
        assert!(ran.err.contains("telephone number"), "{}", ran.err);
    }
}

#[test]
fn a_port_that_goes_while_the_modem_is_asked_or_hung_up_is_no_success() {
    for (command, last) in [("probe", "ATI0\r"), ("hangup", "ATH0\r")] {
        let (pty, port) = bare_port();
        let modem = std::thread::spawn(move || {
            drop(pty.slave);
            let mut master = std::fs::File::from(pty.master);
            let mut said = String::new();
            while !said.ends_with(last) {
                let mut byte = [0];
                // Until the program has the port, it reads as hung up.
                if std::io::Read::read(&mut master, &mut byte).is_err() {
                    std::thread::yield_now();
                    continue;
                }
                said.push(char::from(byte[0]));
                if byte[0] == b'\r' && !said.ends_with(last) {
                    std::io::Write::write_all(&mut master, b"\r\nOK\r\n").unwrap();
                }
            }
        });
        let ran = bare_home().run(&["--json", "modem", command, &port]);
        modem.join().unwrap();
        assert_eq!(ran.code, 69, "{command}: {} {}", ran.out, ran.err);
        assert_eq!(ran.json("outcome"), "no-such-port", "{}", ran.out);
        assert!(ran.err.contains("has gone"), "{}", ran.err);
    }
}

#[test]
fn a_profile_of_the_users_that_cannot_be_read_is_not_replaced_by_a_built_in_one() {
    let home = bare_home();
    home.configure("[line.a]\nkind = \"serial\"\ndevice = \"/dev/ttyS9\"\n");
    let folder = home.dir.path().join(".config/mailcall/modems");
    std::fs::create_dir_all(&folder).unwrap();
    let profile = folder.join("generic.toml");
    let refused = |says: &str| {
        let ran = home.run(&["modem", "dial", "5551212", "--dry-run"]);
        assert_eq!(ran.code, 78, "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("generic.toml:") && ran.err.contains(says), "{says}: {}", ran.err);
    };
    std::fs::create_dir(&profile).unwrap();
    refused("not a file");
    std::fs::remove_dir(&profile).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &profile).unwrap();
    refused("not a file");
    std::fs::remove_file(&profile).unwrap();
    std::os::unix::fs::symlink("no such file", &profile).unwrap();
    refused("cannot be read");
    std::fs::remove_file(&profile).unwrap();
    std::fs::write(&profile, b"inherits = \"generic\"\n# caf\xe9\n").unwrap();
    refused("generic.toml:2: is not UTF-8");
    std::fs::write(&profile, vec![b'#'; 100_000]).unwrap();
    refused("bytes");
    std::fs::remove_file(&profile).unwrap();
    assert_eq!(home.run(&["modem", "dial", "5551212", "--dry-run"]).code, 0);
    let ran = home.run(&["modem", "dial", "5551212", "--dry-run", "--profile", "genric"]);
    assert_eq!(ran.code, 64, "{}", ran.err);
    assert!(ran.err.contains("genric") && ran.err.contains("iridium"), "{}", ran.err);
}

#[test]
fn a_signal_ends_the_search_for_a_modem_to_hang_up() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let name = nix::unistd::ttyname(&pty.slave).unwrap();
    let home = bare_home();
    let mut hangup = home.command(&["modem", "hangup", name.to_str().unwrap()]);
    let mut child = hangup.stderr(std::process::Stdio::piped()).spawn().unwrap();
    read_until(child.stderr.as_mut().unwrap(), ": hanging up\n");
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75));
}

#[test]
fn without_a_line_or_a_port_it_is_said_what_to_name() {
    let home = bare_home();
    let ran = home.run(&["modem", "info"]);
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("mailcall modem list"), "{}", ran.err);
    home.configure(
        "[line.a]\nkind = \"serial\"\ndevice = \"/dev/ttyS8\"\n[line.b]\nkind = \"serial\"\ndevice = \"/dev/ttyS9\"\n",
    );
    let ran = home.run(&["modem", "info"]);
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("a, b"), "{}", ran.err);
    let ran = home.run(&["modem", "info", "c"]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.contains("a, b"), "{}", ran.err);
}

#[test]
fn profiles_lists_the_users_own_and_says_what_is_wrong_with_one() {
    let home = bare_home();
    home.configure("");
    let folder = home.dir.path().join(".config/mailcall/modems");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mine.toml"), "inherits = \"generic\"\ndescription = \"the grey one\"\n")
        .unwrap();
    let ran = home.run(&["modem", "profiles"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for name in ["mine", "the grey one", "iridium", "usr-courier"] {
        assert!(ran.out.contains(name), "{name}: {}", ran.out);
    }
    std::fs::write(folder.join("bad.toml"), "inherits = \"generic\"\n\nspekaer = 1\n").unwrap();
    let ran = home.run(&["modem", "profiles"]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.contains("bad.toml:3: `spekaer`"), "{}", ran.err);
}

#[test]
fn a_fetch_uses_the_users_own_profile_and_refuses_a_wrong_one_with_file_and_line() {
    let sim = Sim::start(&["--ring", "0", "--user", "mary", "--password", PASSWORD]);
    let home = bare_home();
    home.configure(&format!(
        "[line.usr]\nkind = \"serial\"\ndevice = {:?}\nmodem = \"mine\"\nspeaker = \"off\"\n\
         [account.home]\nline = \"usr\"\nphone = \"5551212\"\nuser = \"mary\"\n\
         password = {{ env = \"TEST_PASSWORD\" }}\ndeliver = {{ maildir = {:?} }}\n",
        device(&sim),
        home.maildir().display().to_string()
    ));
    let folder = home.dir.path().join(".config/mailcall/modems");
    std::fs::create_dir_all(&folder).unwrap();
    let profile = folder.join("mine.toml");
    std::fs::write(&profile, "inherits = \"rockwell\"\nspeaker.off = \"M0L0\"\n").unwrap();
    let ran = home.run(&["-v", "fetch"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("ATM0L0"), "{}", ran.err);
    std::fs::write(&profile, "inherits = \"rockwell\"\nguard_ms = 1\nguard_ms = 2\n").unwrap();
    let ran = home.fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("mine.toml:3"), "{}", ran.err);
    std::fs::remove_file(&profile).unwrap();
    let ran = home.fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("config.toml:4") && ran.err.contains("iridium"), "{}", ran.err);
}

#[test]
fn a_needed_command_of_the_lines_own_that_is_refused_names_the_setting() {
    let sim = Sim::start(&["--ring", "0"]);
    let home = Home::with_line(
        &format!("kind = \"serial\"\ndevice = {:?}\ninit = [\"J9\"]\n", device(&sim)),
        "phone = \"5551212\"\n",
    );
    let ran = home.fetch();
    ran.ended(76, "peer-misbehaved");
    assert!(ran.err.contains("ATJ9") && ran.err.contains("init of the line"), "{}", ran.err);
}

#[test]
fn list_needs_no_modem_and_no_configuration() {
    let ran = bare_home().run(&["modem", "list"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!ran.out.is_empty());
}

/// A home whose line keeps its lock files in a folder of the test's own.
fn locking_home(sim: &Sim, locks: &std::path::Path, modem: &str) -> Home {
    Home::with_line(
        &format!(
            "kind = \"serial\"\ndevice = {:?}\nmodem = {modem:?}\nlock_dir = {:?}\n",
            device(sim),
            locks.display().to_string()
        ),
        "phone = \"5551212\"\nuser = \"mary\"\npassword = { env = \"TEST_PASSWORD\" }\n",
    )
}

#[test]
fn behind_a_kill_9_the_lock_is_taken_over_the_old_call_hung_up_and_the_mail_fetched() {
    let sim = Sim::start(&["--ring", "0", "--user", "mary", "--password", PASSWORD, "--bps", "38400"]);
    let locks = tempfile::tempdir().unwrap();
    let home = locking_home(&sim, locks.path(), "generic");
    let mut child = home.command(&["fetch"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    read_until(child.stderr.as_mut().unwrap(), " bytes\n");
    let pid = child.id();
    // Somebody else gets no hold of the port meanwhile, and is told who has it.
    let other = home.run(&["modem", "info"]);
    assert_eq!(other.code, 75, "{}", other.err);
    assert!(other.err.contains(&format!("pid {pid}")), "{}", other.err);
    child.kill().unwrap();
    child.wait().unwrap();
    let left: Vec<_> = std::fs::read_dir(locks.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(std::fs::read_to_string(&left[0]).unwrap(), format!("{pid:10}\n"));
    let next = home.run(&["fetch"]);
    assert_eq!(next.code, 0, "{}", next.err);
    assert!(next.err.contains("took over the stale lock"), "{}", next.err);
    assert!(next.err.contains("hanging it up first"), "{}", next.err);
    assert_eq!(home.mail(), messages(&sample()));
    sim.on_hook_after(2);
    assert_eq!(std::fs::read_dir(locks.path()).unwrap().count(), 0, "the lock is gone with the program");
}

#[test]
fn what_was_agreed_on_and_what_the_modem_says_afterwards_stand_in_the_report() {
    let text = "CONNECT 115200/V34/LAPM/V42BIS/28800:TX/33600:RX";
    let sim = Sim::start(&["--ring", "0", "--user", "mary", "--password", PASSWORD, "--connect-text", text]);
    let locks = tempfile::tempdir().unwrap();
    let home = locking_home(&sim, locks.path(), "usr-courier");
    let ran = home.run(&["-v", "fetch", "--json"]);
    ran.ended(0, "done");
    assert_eq!(ran.json("connect"), text);
    let connection = ran.json("connection");
    for (key, value) in [("rate_down", 33_600), ("rate_up", 28_800), ("port_rate", 115_200)] {
        assert_eq!(connection[key], value, "{key}");
    }
    for (key, value) in [("modulation", "V34"), ("error_correction", "LAPM"), ("compression", "V42BIS")] {
        assert_eq!(connection[key], value, "{key}");
    }
    assert_eq!(ran.json("statistics")[0]["command"], "ATI6");
    assert!(ran.err.contains("33600 bit/s down, 28800 up"), "{}", ran.err);
}

#[test]
fn a_number_that_is_held_back_is_listed_and_released() {
    let sim = Sim::start(&["--ring", "0", "--answer", "voice"]);
    let home = bare_home();
    let nothing = home.run(&["modem", "release"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (0, "No number is remembered.\n"), "{}", nothing.err);
    assert_eq!(home.run(&["modem", "dial", "5551212", &device(&sim)]).code, 75);
    assert_eq!(home.run(&["modem", "dial", "5551212", &device(&sim)]).code, 77);
    let listed = home.run(&["modem", "release"]);
    assert!(listed.out.contains("5551212: ") && listed.out.contains("(voice)"), "{}", listed.out);
    let released = home.run(&["modem", "release", "555 1212"]);
    assert_eq!(
        (released.code, released.out.as_str()),
        (0, "555 1212 may be dialled again\n"),
        "{}",
        released.err
    );
    let again = home.run(&["modem", "release", "555 1212"]);
    assert_eq!((again.code, again.out.as_str()), (0, "nothing was remembered of 555 1212\n"));
    let dialled = home.run(&["modem", "dial", "5551212", &device(&sim)]);
    assert_eq!(dialled.code, 75, "it is dialled, and the person answers: {}", dialled.err);
}

#[test]
fn info_shows_what_the_modem_says_at_the_rate_and_by_the_profile_that_are_given() {
    let sim = Sim::start(&["--quirk", "port-speed=9600"]);
    let home = bare_home();
    let ran = home.run(&["modem", "info", &device(&sim), "--speed", "9600", "--profile", "usr-courier"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for says in ["answers at 9600 bit/s", "leads: unknown on this port", "ATI6"] {
        assert!(ran.out.contains(says), "{says}: {}", ran.out);
    }
    assert!(!ran.err.contains("not at the line"), "it was not looked for: {}", ran.err);
    assert_eq!(home.run(&["modem", "info", &device(&sim), "--profile", "blue"]).code, 64);
}

#[test]
fn the_place_of_the_lines_is_not_the_satellites() {
    let home = bare_home();
    home.configure(
        "[location]\ncountry = \"49\"\narea = \"30\"\noutside_line = \"0,\"\n\
         [line.wall]\nkind = \"serial\"\ndevice = \"/dev/ttyS8\"\n\
         [line.sky]\nkind = \"serial\"\ndevice = \"/dev/ttyS9\"\nmodem = \"iridium\"\n",
    );
    for (line, dialled) in [("wall", "ATDT0,12345"), ("sky", "ATDT00493012345")] {
        let ran = home.run(&["modem", "dial", "+49 30 12345", line, "--dry-run"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains(&format!("{dialled} ")), "{line}: {}", ran.out);
    }
}
