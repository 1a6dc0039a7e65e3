//! `mailcall check` as a user runs it: what is fit, and each single defect with its remedy; nothing is
//! dialled and nothing written without --dial.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::*;
use mailcall::line::pty::PtyPair;

const ACCOUNT: &str = "phone = \"555 1212\"\nuser = \"mary\"\npassword = { env = \"TEST_PASSWORD\" }\n";

fn sim() -> Sim {
    Sim::start(&["--ring", "0", "--user", "mary", "--password", PASSWORD])
}

fn serial(sim: &Sim) -> String {
    format!("kind = \"serial\"\ndevice = {:?}\n", sim.device.display().to_string())
}

/// A line that is fit and opens nothing.
const EXEC: &str = "kind = \"exec\"\ncommand = [\"sh\"]\n";

fn shown(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// The findings of one state.
fn findings<'a>(ran: &'a Ran, state: &str) -> Vec<&'a str> {
    let begins = format!("  {state} ");
    ran.out.lines().filter(|line| line.starts_with(&begins)).collect()
}

/// One wrong finding, which says this, and a remedy that says that.
fn one_is_wrong(ran: &Ran, code: i32, what: &str, says: &str, remedy: &str) {
    let wrong = findings(ran, "wrong");
    let [only] = wrong[..] else { panic!("{what}: {wrong:#?}\n{}\n{}", ran.out, ran.err) };
    let (found, told) = only.split_once(" -> ").unwrap_or_else(|| panic!("no remedy: {only}"));
    assert!(found.starts_with(&format!("  wrong    {what} ")), "{only}");
    assert!(found.contains(says), "{says:?}: {only}");
    assert!(told.contains(remedy), "{remedy:?}: {only}");
    assert_eq!(ran.code, code, "{only}");
    assert!(ran.out.contains("1 thing is wrong"), "{}", ran.out);
}

#[test]
fn what_is_fit_is_said_line_by_line_and_nothing_is_dialled_or_made() {
    let sim = sim();
    let home = Home::with_line(&serial(&sim), ACCOUNT);
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert_eq!((findings(&ran, "wrong"), findings(&ran, "warning")), (vec![], vec![]), "{}", ran.out);
    for says in [
        "config      ",
        "state       ",
        "free on /",
        "device      ",
        "pseudo-terminal",
        "permission  ",
        "lock        ",
        "modem       answers at 57600 bit/s: mailcall simulated modem",
        "leads       unknown on this port",
        "phone       555 1212 is dialled ATDT5551212",
        "user        mary",
        "password    the environment variable TEST_PASSWORD gives one",
        "deliver     ",
        "ledger      nothing was fetched yet",
        "Nothing is wrong.",
    ] {
        assert!(ran.out.contains(says), "{says:?}: {}", ran.out);
    }
    assert!(!sim.log().contains("dial"), "{}", sim.log().rsplit_once("fetch").unwrap_or_default().1);
    assert!(!home.maildir().exists() && !home.dir.path().join(".local").exists());
    assert_eq!(fs::read_dir(home.dir.path().join("locks")).unwrap().count(), 0);
    // As a script sees it, and as one who wants to see nothing if nothing is wrong.
    assert_eq!(home.run(&["-q", "check", "home"]).out, "");
    home.fetch().ended(0, "done");
    let ran = home.run(&["check"]);
    assert!(ran.out.contains("messages of the mailbox are here"), "{}", ran.out);
    assert!(ran.out.contains("; last connected "), "{}", ran.out);
}

#[test]
fn each_defect_of_the_configuration_is_one_line_with_its_place() {
    let home = Home::with_line(EXEC, "");
    let good = fs::read_to_string(home.dir.path().join(".config/mailcall/config.toml")).unwrap();
    let check = |text: &str| {
        home.configure(text);
        home.run(&["check"])
    };
    let ran = check(&good.replace("command", "comand"));
    one_is_wrong(&ran, 78, "config", "config.toml:3: ", "mend that line");
    let ran = check(&format!("{good}\nmailbox = \n"));
    one_is_wrong(&ran, 78, "config", "config.toml:", "mend that line");
    let ran = check("[line.usr]\nkind = \"exec\"\ncommand = [\"sh\"]\n");
    one_is_wrong(&ran, 78, "config", "0 accounts, 1 line", "[account.NAME]");
    assert_eq!(
        findings(&ran, "ok").len(),
        2,
        "the state folder, and the line that no account uses: {}",
        ran.out
    );
    home.configure(&good);
    let ran = home.run(&["check", "away"]);
    one_is_wrong(&ran, 78, "config", "no account \"away\"", "name one of these");
    let ran = home.run(&["--config", "/nowhere/config.toml", "check"]);
    one_is_wrong(&ran, 78, "config", "no configuration at /nowhere", "docs/configuration.md");
    let folder = home.dir.path().display().to_string();
    for (path, says) in [(folder.as_str(), "Is a directory"), ("/dev/zero", "too long")] {
        one_is_wrong(&home.run(&["--config", path, "check"]), 78, "config", says, "name a file of text");
    }
    let ran = Ran::new(home.command(&["check"]).env_remove("HOME").output().unwrap());
    one_is_wrong(&ran, 78, "config", "HOME is not set", "--config");
}

/// What is wrong with a line: its text, the exit code, and words of the finding and the remedy.
type LineCase<'a> = (String, i32, &'a str, &'a str, &'a str);

#[test]
fn each_defect_of_a_line_is_one_line_with_its_remedy() {
    let sim = sim();
    let dir = tempfile::tempdir().unwrap();
    let (file, dangling) = (dir.path().join("file"), dir.path().join("link"));
    fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink("/dev/serial/by-id/usb-gone", &dangling).unwrap();
    let locks = dir.path().join("locks");
    fs::create_dir(&locks).unwrap();
    let port = fs::canonicalize(&sim.device).unwrap();
    let lock = locks.join(format!("LCK..{}", port.file_name().unwrap().to_str().unwrap()));
    let unused = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let device = |path: &Path| format!("kind = \"serial\"\ndevice = {}\n", shown(path));
    let cases: [LineCase; 8] = [
        (format!("{EXEC}folder = \"/no/such/folder\"\n"), 69, "program", "/no/such/folder", "mend `folder`"),
        (device(Path::new("/dev/ttyUSB99")), 69, "device", "there is no /dev/ttyUSB99", "plug"),
        (device(&dangling), 69, "device", "it leads to /dev/serial/by-id/usb-gone", "plug"),
        (device(&file), 69, "device", "is not a serial port", "modem list"),
        (
            format!("{}init = [\"J9\"]\n", serial(&sim)),
            76,
            "settings",
            "ATJ9",
            "take it out of the line's `init`",
        ),
        (
            "kind = \"exec\"\ncommand = [\"no-such-program\"]\n".to_owned(),
            69,
            "program",
            "no-such-program in PATH",
            "install it",
        ),
        (
            format!("kind = \"tcp\"\naddress = \"127.0.0.1:{unused}\"\n"),
            75,
            "connect",
            "refuses the connection",
            "is its server running",
        ),
        (
            "kind = \"telnet\"\naddress = \"no-such-host.invalid\"\n".to_owned(),
            // Where there is no network, nobody can say that there is no such name.
            0,
            "address",
            "no-such-host.invalid",
            "",
        ),
    ];
    for (line, code, what, says, remedy) in cases {
        let account = if line.contains("serial") {
            ACCOUNT
        } else {
            "user = \"mary\"\npassword = { env = \"TEST_PASSWORD\" }\n"
        };
        let ran = Home::with_line(&line, account).run(&["check"]);
        let code = if code == 0 { ran.code } else { code };
        assert_ne!(code, 0, "{line}: {}", ran.out);
        one_is_wrong(&ran, code, what, says, remedy);
    }
    // A lock file of a living process: init's number.
    fs::write(&lock, "         1\n").unwrap();
    let line = format!("{}lock_dir = {}\n", serial(&sim), shown(&locks));
    let home = Home::with_line(&line, ACCOUNT);
    one_is_wrong(&home.run(&["check"]), 75, "in use", lock.to_str().unwrap(), "end it first");
    fs::write(&lock, "what is this\n").unwrap();
    one_is_wrong(&home.run(&["check"]), 75, "in use", "names no process", "remove that file by hand");
    // One of a dead process is no defect, and is taken over.
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    fs::write(&lock, format!("{:10}\n", dead.id())).unwrap();
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let says = format!("was left by process {}, which has ended", dead.id());
    assert!(ran.out.contains(&says), "{}", ran.out);
    // A folder in which no lock can be made is no reason not to call.
    let line = format!("{}lock_dir = {}\n", serial(&sim), shown(&file));
    let ran = Home::with_line(&line, ACCOUNT).run(&["check"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let warned = findings(&ran, "warning");
    assert!(matches!(warned[..], [one] if one.contains("no lock file can be made")), "{warned:#?}");
    assert!(!sim.log().contains("dial "), "{}", sim.log());
}

#[test]
fn a_host_on_the_network_is_connected_to_and_let_go_without_a_word() {
    for kind in ["tcp", "telnet"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = std::thread::spawn(move || {
            let mut heard = Vec::new();
            std::io::Read::read_to_end(&mut listener.accept().unwrap().0, &mut heard).unwrap();
            heard
        });
        let line = format!("kind = {kind:?}\naddress = \"{address}\"\n");
        let ran = Home::with_line(&line, &ACCOUNT.replace("phone = \"555 1212\"\n", "")).run(&["check"]);
        assert_eq!(ran.code, 0, "{}", ran.out);
        assert!(ran.out.contains(&format!("{address} takes connections")), "{}", ran.out);
        assert_eq!(heard.join().unwrap(), b"", "{kind}");
    }
}

#[test]
fn of_several_lines_the_one_that_failed_is_told_of_with_how_long_it_stands_last() {
    let home = Home::with_line(EXEC, "mailbox = \"/nowhere/mail\"\n");
    let text = fs::read_to_string(home.dir.path().join(".config/mailcall/config.toml")).unwrap();
    let gone = "[line.gone]\nkind = \"exec\"\ncommand = [\"/no/such/program\"]\n";
    home.configure(
        &text
            .replace("line = \"usr\"", "line = [\"gone\", \"usr\"]")
            .replace("[line.usr]", &format!("{gone}[line.usr]")),
    );
    home.run(&["fetch"]);
    let ran = home.run(&["check"]);
    one_is_wrong(&ran, 69, "program", "/no/such/program", "install it");
    let warned = findings(&ran, "warning");
    assert!(matches!(warned[..], [one] if one.contains("gone: it failed at")), "{}", ran.out);
}

#[test]
fn a_port_without_a_modem_is_said_with_what_to_try() {
    let pty = PtyPair::open().unwrap();
    pty.make_raw().unwrap();
    let line = format!("kind = \"serial\"\ndevice = {}\nfind_speed = false\n", shown(&pty.path));
    let ran = Home::with_line(&line, ACCOUNT).run(&["check"]);
    one_is_wrong(&ran, 69, "modem", "does not answer", "null-modem cable");
    let line = format!("kind = \"serial\"\ndevice = {}\nmodem = \"none\"\n", shown(&pty.path));
    let ran = Home::with_line(&line, "").run(&["check"]);
    assert_eq!(ran.code, 0, "a null modem is not asked: {}", ran.out);
    assert!(ran.out.contains("modem       none: the line is connected already"), "{}", ran.out);
}

#[test]
fn a_signal_ends_the_check_and_leaves_the_port_free() {
    let pty = PtyPair::open().unwrap();
    pty.make_raw().unwrap();
    let line = format!("kind = \"serial\"\ndevice = {}\n", shown(&pty.path));
    let home = Home::with_line(&line, ACCOUNT);
    let mut command = home.command(&["-v", "check"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    read_until(child.stderr.as_mut().unwrap(), "> AT");
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert_eq!(fs::read_dir(home.dir.path().join("locks")).unwrap().count(), 0);
}

#[test]
fn a_modem_that_answers_at_another_rate_is_a_warning_with_the_rate() {
    let sim = Sim::start(&["--quirk", "port-speed=9600"]);
    let ran = Home::with_line(&serial(&sim), ACCOUNT).run(&["check"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let warned = findings(&ran, "warning").join("\n");
    assert!(warned.contains("speed = 9600") && warned.contains("-> set `speed`"), "{warned}");
}

/// What is wrong with an account: its text, the exit code, and words of the finding and the remedy.
type AccountCase<'a> = (String, i32, &'a str, &'a str, &'a str);

#[test]
fn each_defect_of_an_account_is_one_line_with_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let (file, open) = (dir.path().join("file"), dir.path().join("open"));
    fs::write(&file, "no mbox\n").unwrap();
    fs::write(&open, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let user = |password: &str| format!("user = \"mary\"\npassword = {password}\n");
    let cases: [AccountCase; 8] = [
        (user("{ env = \"NOT_SET_ANYWHERE\" }"), 78, "password", "NOT_SET_ANYWHERE", "set NOT_SET_ANYWHERE"),
        (user(&format!("{{ file = {} }}", shown(&open))), 78, "password", "read by others", "chmod 600"),
        (user("{ file = \"/nowhere\" }"), 78, "password", "/nowhere", "must be there"),
        (user("{ command = [\"false\"] }"), 78, "password", "false ended with", "by hand"),
        (
            user("{ command = [\"no-such-program\"] }"),
            78,
            "password",
            "cannot run no-such-program",
            "by hand",
        ),
        (
            format!("deliver = {{ maildir = {} }}\n", shown(&file)),
            74,
            "deliver",
            "it is a file and no Maildir",
            "name a folder",
        ),
        (
            format!("deliver = {{ mbox = {} }}\n", shown(&file)),
            74,
            "deliver",
            "does not begin with a From_ line",
            "name another file",
        ),
        (
            format!("deliver = {{ mbox = {} }}\n", shown(&file.join("below/mail"))),
            74,
            "deliver",
            "file",
            "choose another place",
        ),
    ];
    for (account, code, what, says, remedy) in cases {
        let ran = Home::with_line(EXEC, &account).run(&["check"]);
        one_is_wrong(&ran, code, what, says, remedy);
        assert!(!format!("{}{}", ran.out, ran.err).contains(PASSWORD), "{}{}", ran.out, ran.err);
    }
    let home = Home::with_line(EXEC, "");
    home.configure("[line.usr]\nkind = \"exec\"\ncommand = [\"sh\"]\n[account.home]\nline = \"usr\"\n");
    one_is_wrong(&home.run(&["check"]), 78, "deliver", "does not say where", "deliver = {");
    let state = file.display().to_string();
    let ran = Home::with_line(EXEC, "").run(&["--state", &state, "check"]);
    one_is_wrong(&ran, 74, "state", &state, "choose another place");
}

#[test]
fn a_record_that_is_damaged_or_in_use_is_said() {
    let home = Home::with_line(EXEC, "mailbox = \"/nowhere/mail\"\n");
    home.run(&["fetch"]); // makes the ledger, whatever becomes of it
    let folder = home.dir.path().join(".local/state/mailcall/home");
    let lock = fs::File::open(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let me = format!("pid {}", std::process::id());
    one_is_wrong(&home.run(&["check"]), 75, "ledger", "another run", "wait for it to end");
    assert!(home.run(&["check"]).out.contains(&me), "who has it is named");
    drop(lock);
    assert_eq!(home.run(&["check"]).code, 0);
    let ledger = fs::read_to_string(folder.join("ledger")).unwrap();
    fs::write(folder.join("ledger"), ledger.replacen("mailbox", "nailbox", 1)).unwrap();
    one_is_wrong(&home.run(&["check"]), 65, "ledger", "is damaged", "Restore it from a backup");
}

#[test]
fn a_number_that_is_held_back_is_said_with_what_releases_it() {
    let sim = Sim::start(&["--ring", "0", "--answer", "voice"]);
    let home = Home::with_line(&serial(&sim), ACCOUNT);
    home.fetch().ended(75, "voice");
    one_is_wrong(&home.run(&["check"]), 77, "phone", "not dialled any more", "modem release \"555 1212\"");
    let text = fs::read_to_string(home.dir.path().join(".config/mailcall/config.toml")).unwrap();
    home.configure(&text.replace("phone = \"555 1212\"", "phone = [\"555 1212\", \"555 1313\"]"));
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, 0, "the other number may do: {}", ran.out);
    assert!(findings(&ran, "warning")[0].contains("not dialled any more"), "{}", ran.out);
}

#[test]
fn a_mailbox_on_this_machine_is_looked_at_as_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let mbox = dir.path().join("mbox");
    fs::write(&mbox, "From a\n\nhello\n").unwrap();
    let check = |path: &Path| {
        Home::with_line("kind = \"file\"\n", &format!("mailbox = {}\n", shown(path))).run(&["check"])
    };
    let ran = check(&mbox);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("14 bytes, may be read"), "{}", ran.out);
    let account = format!("mailbox = {}\n", shown(&mbox));
    let ran = Home::with_line("kind = \"file\"\n", &account).run(&["check", "--dial"]);
    assert_eq!((ran.code, findings(&ran, "warning").len()), (0, 0), "there is nothing to call: {}", ran.out);
    fs::write(dir.path().join("mbox.lock"), "").unwrap();
    assert!(findings(&check(&mbox), "warning")[0].contains("has the mailbox locked"));
    one_is_wrong(&check(dir.path()), 78, "mailbox", "no Maildir", "set `mailbox`");
    one_is_wrong(&check(Path::new("/nowhere/at/all")), 78, "mailbox", "nor its folder", "mount it");
    assert_eq!(check(&dir.path().join("none")).code, 0, "no mail yet");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(dir.path().join("maildir").join(part)).unwrap();
    }
    assert!(check(&dir.path().join("maildir")).out.contains("a Maildir, may be read"));
}

#[test]
fn a_mailbox_that_is_delivered_to_itself_is_wrong_as_it_is_for_a_fetch() {
    let dir = tempfile::tempdir().unwrap();
    let mbox = dir.path().join("mbox");
    fs::write(&mbox, "From a\n\nhello\n").unwrap();
    let account = format!("mailbox = {0}\ndeliver = {{ mbox = {0} }}\n", shown(&mbox));
    let home = Home::with_line("kind = \"file\"\n", &account);
    home.fetch().ended(78, "config");
    one_is_wrong(&home.run(&["check"]), 78, "deliver", "the very mailbox that is read", "name another");
}

#[test]
fn an_object_a_finding_is_printed_and_a_line_of_two_accounts_is_looked_at_once() {
    let home = Home::with_line(EXEC, "");
    let deliver = format!("deliver = {{ maildir = {} }}\n", shown(&home.maildir()));
    home.configure(&format!(
        "[line.usr]\n{EXEC}[line.spare]\n{EXEC}[account.home]\nline = \"usr\"\n{deliver}\
         [account.work]\nline = \"usr\"\n{deliver}"
    ));
    let ran = home.run(&["--json", "check"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let objects: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let programs: Vec<_> =
        objects.iter().filter(|object| object["what"] == "program").map(|object| &object["line"]).collect();
    assert_eq!(programs, ["usr", "spare"]);
    let mixed: Vec<_> = objects.iter().filter(|object| object["state"] == "warning").collect();
    assert_eq!(mixed.len(), 1, "two accounts share a place: {mixed:#?}");
    assert_eq!(mixed[0]["account"], "work");
    assert!(mixed[0]["found"].as_str().unwrap().contains("account home too"), "{mixed:#?}");
    assert!(mixed[0]["remedy"].is_string());
    assert!(objects.iter().filter(|object| object["state"] == "ok").all(|object| object["remedy"].is_null()));
    let one = home.run(&["--json", "check", "work"]);
    assert!(!one.out.contains("spare") && !one.out.contains("\"home\""), "{}", one.out);
    assert!(home.run(&["check", "home"]).out.contains("account work too"));
}

#[test]
fn the_password_is_printed_nowhere() {
    let sim = sim();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let told = format!("{{ command = [\"sh\", \"-c\", \"echo {PASSWORD} >&2; echo {PASSWORD}\"] }}");
    let failed =
        format!("{{ command = [\"sh\", \"-c\", \"echo {PASSWORD} >&2; echo {PASSWORD}; exit 3\"] }}");
    let from_file = format!("{{ file = {} }}", shown(&file));
    at_once([(told, true), (failed, false), (from_file, true)], |(source, is_fit)| {
        let account = format!("phone = \"5551212\"\nuser = \"mary\"\npassword = {source}\n");
        let home = Home::with_line(&serial(&sim), &account);
        for arguments in [&["-v", "check"][..], &["--json", "check"]] {
            let ran = home.run(arguments);
            let password: Vec<&str> = ran.out.lines().filter(|line| line.contains("password")).collect();
            assert_eq!(password.len(), 1, "{}", ran.out);
            assert_eq!(password[0].contains("gives one"), is_fit, "{}", ran.out);
            assert!(!format!("{}{}", ran.out, ran.err).contains(PASSWORD), "{}{}", ran.out, ran.err);
        }
    });
}

#[test]
fn a_trial_call_goes_to_the_shell_and_tells_what_the_host_has() {
    let sim = sim();
    let home = Home::with_line(&serial(&sim), ACCOUNT);
    let ran = home.run(&["-v", "check", "home", "--dial"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    for says in [
        "call        CONNECT",
        "times       ",
        "logging in ",
        "host        Linux",
        "login shell",
        "programs    ",
        " awk ",
        "transfer    mail comes ",
        "bytes, may be read",
        "lock file   could be made beside the mailbox",
    ] {
        assert!(ran.out.contains(says), "{says:?}: {}", ran.out);
    }
    assert!(!format!("{}{}", ran.out, ran.err).contains(PASSWORD), "{}{}", ran.out, ran.err);
    sim.on_hook_after(1);
    assert!(!home.maildir().exists(), "nothing was fetched");
}

#[test]
fn a_trial_call_that_fails_ends_as_a_fetch_would() {
    let sim = Sim::start(&["--ring", "0", "--answer", "busy"]);
    let ran = Home::with_line(&serial(&sim), ACCOUNT).run(&["check", "--dial"]);
    one_is_wrong(&ran, 75, "call", "busy", "try again later");
    let refuses = Sim::start(&["--ring", "0", "--user", "mary", "--password", "another"]);
    let ran = Home::with_line(&serial(&refuses), ACCOUNT).run(&["check", "--dial"]);
    one_is_wrong(&ran, 77, "call", "refuse", "never tried again");
    refuses.on_hook_after(1);
}

#[test]
fn what_is_not_fit_is_not_dialled_with() {
    let sim = sim();
    let account = ACCOUNT.replace("TEST_PASSWORD", "NOT_SET_ANYWHERE");
    let ran = Home::with_line(&serial(&sim), &account).run(&["check", "--dial"]);
    one_is_wrong(&ran, 78, "password", "NOT_SET_ANYWHERE", "set NOT_SET_ANYWHERE");
    assert!(findings(&ran, "warning")[0].contains("not made"), "{}", ran.out);
    assert!(!sim.log().contains("connected"), "{}", sim.log());
}

/// The user nobody of most systems, who is in no group that matters.
const NOBODY: u32 = 65_534;

/// The check by another user: the program is copied, for he may not reach where it was built.
fn as_user(home: &Home, user: u32, group: u32, more: &[&str]) -> Ran {
    let copy = home.dir.path().join("mailcall");
    fs::copy(program(), &copy).unwrap();
    let mut run = std::process::Command::new(&copy);
    run.args(["check"]).args(more).env("HOME", home.dir.path()).env("TEST_PASSWORD", PASSWORD);
    run.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME").stdin(Stdio::null());
    Ran::new(run.uid(user).gid(group).output().unwrap())
}

/// A home that everybody may use, whose line is on this device.
fn open_home(device: &Path, account: &str) -> Home {
    let home = Home::with_line(&format!("kind = \"serial\"\ndevice = {}\n", shown(device)), account);
    for folder in ["", "locks", ".config", ".config/mailcall"] {
        fs::set_permissions(home.dir.path().join(folder), fs::Permissions::from_mode(0o777)).unwrap();
    }
    home
}

/// A port that only root and a group may use.
fn grouped_port(group: u32) -> PtyPair {
    let pty = PtyPair::open().unwrap();
    nix::unistd::chown(&pty.path, Some(0.into()), Some(group.into())).unwrap();
    fs::set_permissions(&pty.path, fs::Permissions::from_mode(0o660)).unwrap();
    pty
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        missing("what another user may do can only be tried as root");
    }
    root
}

#[test]
fn a_user_outside_the_port_s_group_is_told_how_to_join_it() {
    if !is_root() {
        return;
    }
    let Some(dialout) = nix::unistd::Group::from_name("dialout").unwrap() else {
        return missing("this system has no group dialout");
    };
    let pty = grouped_port(dialout.gid.as_raw());
    let home = open_home(&pty.path, ACCOUNT);
    let ran = as_user(&home, NOBODY, NOBODY, &[]);
    one_is_wrong(&ran, 77, "permission", "for the group dialout", "usermod -aG dialout");
    // Nobody should be told to join root.
    let pty = grouped_port(0);
    let ran = as_user(&open_home(&pty.path, ACCOUNT), NOBODY, NOBODY, &[]);
    one_is_wrong(&ran, 77, "permission", "belongs to root and has the mode 660", "chgrp");
}

#[test]
fn a_session_that_began_before_the_group_was_joined_is_told_to_begin_anew() {
    if !is_root() || !have("usermod") {
        return;
    }
    let Some(user) = User::new("chk", "/bin/sh", b"") else { return };
    let added = std::process::Command::new("usermod").args(["-aG", "dialout", &user.name]).status().unwrap();
    assert!(added.success());
    let ids = nix::unistd::User::from_name(&user.name).unwrap().unwrap();
    let dialout = nix::unistd::Group::from_name("dialout").unwrap().expect("usermod knew it");
    let pty = grouped_port(dialout.gid.as_raw());
    let home = open_home(&pty.path, ACCOUNT);
    // Without the groups that a login would give.
    let ran = as_user(&home, ids.uid.as_raw(), ids.gid.as_raw(), &[]);
    one_is_wrong(&ran, 77, "permission", "this session began before", "log out and in again");
}

#[test]
fn folders_that_may_not_be_written_to_are_named() {
    if !is_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let place = |name: &str| -> PathBuf { closed.path().join(name) };
    let line = "kind = \"exec\"\ncommand = [\"sh\"]\n";
    for (deliver, says) in [("maildir", "Permission denied"), ("mbox", "Permission denied")] {
        let home = Home::with_line(line, &format!("deliver = {{ {deliver} = {} }}\n", shown(&place("mail"))));
        fs::set_permissions(home.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let ran = as_user(&home, NOBODY, NOBODY, &[]);
        one_is_wrong(&ran, 74, "deliver", says, "give yourself the right to write there");
    }
    let home = Home::with_line(line, "");
    fs::set_permissions(home.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let state = place("state").display().to_string();
    let ran = as_user(&home, NOBODY, NOBODY, &["--state", &state]);
    one_is_wrong(&ran, 74, "state", "Permission denied", "give yourself the right to write there");
    // A lock of somebody else's in a sticky folder stays, and that is no reason not to call.
    let sim = sim();
    let locks = place("locks");
    fs::create_dir(&locks).unwrap();
    fs::set_permissions(&locks, fs::Permissions::from_mode(0o1777)).unwrap();
    let port = fs::canonicalize(&sim.device).unwrap();
    fs::set_permissions(&port, fs::Permissions::from_mode(0o666)).unwrap();
    let left = locks.join(format!("LCK..{}", port.file_name().unwrap().to_str().unwrap()));
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    fs::write(&left, format!("{:10}\n", dead.id())).unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
    let line = format!("kind = \"serial\"\ndevice = {}\nlock_dir = {}\n", shown(&port), shown(&locks));
    let home = Home::with_line(&line, ACCOUNT);
    fs::set_permissions(home.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let ran = as_user(&home, NOBODY, NOBODY, &[]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    let warned = findings(&ran, "warning");
    assert!(matches!(warned[..], [one] if one.contains("sudo rm")), "{warned:#?}");
}
