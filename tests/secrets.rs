//! No secret is left anywhere: calls that succeed and calls that fail, with the password from each source,
//! at a host that shows it in every way; then everything is searched that they left behind.

mod common;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::at_terminal::AtTerminal;
use common::*;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

/// Where the password is had from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Env,
    File,
    Command,
    Person,
    #[cfg(feature = "keyring")]
    Keyring,
}

/// A user whose host is `host.sh`.
struct Caller {
    home: Home,
    /// What others found out: the host, and the password's command.
    found: tempfile::TempDir,
    /// The password itself, for the sources that read one.
    kept: tempfile::TempDir,
}

impl Caller {
    fn new(login: &str, source: Source) -> Self {
        let (found, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = kept.path().join("secret");
        fs::write(&file, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let mailbox = kept.path().join("mary");
        fs::write(&mailbox, sample()).unwrap();
        let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/secrets/host.sh");
        let line = format!(
            "kind = \"exec\"\nclean_env = false\ncommand = [\"sh\", {host:?}, {login:?}, {:?}]\n",
            found.path()
        );
        let script = format!("cat /proc/$$/environ >{:?}/command; cat {file:?}", found.path());
        let password = match source {
            Source::Env => "password = { env = \"TEST_PASSWORD\" }".to_owned(),
            Source::File => format!("password = {{ file = {file:?} }}"),
            Source::Command => format!("password = {{ command = [\"sh\", \"-c\", '{script}'] }}"),
            Source::Person => String::new(),
            #[cfg(feature = "keyring")]
            Source::Keyring => "password = { keyring = \"dial/up/mary\" }".to_owned(),
        };
        let home = Home::with_line(&line, &format!("user = \"mary\"\nmailbox = {mailbox:?}\n{password}\n"));
        // Its password is in our environment, and nobody's business in calls of the other.
        home.account_also(
            "[account.other]\nline = \"usr\"\nuser = \"eve\"\npassword = { env = \"TEST_PASSWORD\" }\n",
        );
        #[cfg(feature = "keyring")]
        {
            home.account_also(
                "[account.nobody]\nline = \"usr\"\nuser = \"eve\"\npassword = { keyring = \"eve\" }\n",
            );
            home.account_also(&format!("deliver = {{ maildir = {:?} }}\n", home.dir.path().join("eve")));
            fs::write(kept.path().join("secret-alone"), SECRET).unwrap();
        }
        fs::create_dir(home.dir.path().join("tmp")).unwrap();
        Self { home, found, kept }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.env("TEST_PASSWORD", SECRET).env("TMPDIR", self.home.dir.path().join("tmp"));
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        let ran = Ran::new(self.command(args).output().unwrap());
        let what = format!("{args:?}");
        assert_clean(&what, ran.out.as_bytes());
        assert_clean(&what, ran.err.as_bytes());
        self.left_nothing();
        ran
    }

    /// Looks at everything below the home, and at what others have found.
    fn left_nothing(&self) {
        let mut files = files_below(self.home.dir.path());
        assert!(!files.is_empty());
        files.extend(files_below(self.found.path()));
        for file in files {
            assert_clean(&file.display().to_string(), file.display().to_string().as_bytes());
            assert_clean(&file.display().to_string(), &fs::read(&file).unwrap());
        }
        // The search finds what is there.
        assert_eq!(secrets_in(&fs::read(self.kept.path().join("secret")).unwrap()), ["itself"]);
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| files_below(folder))).collect()
}

fn assert_clean(what: &str, bytes: &[u8]) {
    let found = secrets_in(bytes);
    assert!(found.is_empty(), "{what} has the password, {found:?}:\n{}", String::from_utf8_lossy(bytes));
}

/// In which forms the password is in these bytes, whatever stands between its characters.
fn secrets_in(bytes: &[u8]) -> Vec<&'static str> {
    let bare = |bytes: &[u8]| -> String {
        let letters = bytes.iter().filter(|byte| byte.is_ascii_alphanumeric());
        letters.map(|&byte| char::from(byte.to_ascii_lowercase())).collect()
    };
    let text = bare(&without_sequences(&unescaped(bytes)));
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let reversed: Vec<u8> = SECRET.bytes().rev().collect();
    let mut forms = vec![
        ("itself", bare(SECRET.as_bytes())),
        ("its beginning", bare(&SECRET.as_bytes()[..9])),
        ("its end", bare(&SECRET.as_bytes()[5..])),
        ("hex", hex),
        ("reversed", bare(&reversed)),
    ];
    // Wherever it begins among three bytes; the ends depend on what stands beside.
    for before in ["", "x", "xy"] {
        let encoded = base64(format!("{before}{SECRET}").as_bytes());
        forms.push(("base64", bare(&encoded.as_bytes()[4..encoded.len() - 4])));
    }
    let found: Vec<_> =
        forms.into_iter().filter(|(_, form)| text.contains(form)).map(|(name, _)| name).collect();
    if found.first() == Some(&"itself") { vec!["itself"] } else { found }
}

/// `\r`, `\x08`, `\u0008` as transcripts and JSON write them, undone.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = bytes;
    let hex = |digits: Option<&[u8]>| u8::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok();
    while let [first, behind @ ..] = rest {
        let (byte, taken) = match (first, behind.first()) {
            (b'\\', Some(b'r' | b'n' | b't')) => (b' ', 2),
            (b'\\', Some(b'x')) => (hex(behind.get(1..3)).unwrap_or(b' '), 4),
            (b'\\', Some(b'u')) => (hex(behind.get(3..5)).unwrap_or(b' '), 6),
            (b'\\', Some(_)) => (b' ', 1),
            (&byte, _) => (byte, 1),
        };
        plain.push(byte);
        rest = &rest[taken.min(rest.len())..];
    }
    plain
}

/// Without `ESC [ 7 m` and the like.
fn without_sequences(bytes: &[u8]) -> Vec<u8> {
    let mut pieces = bytes.split(|&byte| byte == 0x1b);
    let first = pieces.next().unwrap_or_default().to_vec();
    pieces.fold(first, |text, piece| {
        let end = piece.iter().position(u8::is_ascii_alphabetic).map_or(piece.len(), |at| at + 1);
        [text, piece[end..].to_vec()].concat()
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let digit = |six: &[u8]| {
        let six = format!("{:0<6}", std::str::from_utf8(six).unwrap());
        char::from(DIGITS[usize::from_str_radix(&six, 2).unwrap()])
    };
    bits.as_bytes().chunks(6).map(digit).collect()
}

#[test]
fn a_call_that_succeeds_leaves_no_secret_whatever_its_source() {
    at_once([Source::Env, Source::File, Source::Command], |source| {
        let caller = Caller::new("shell", source);
        let ran = caller.run(&["fetch", "--json", "-vv", "home"]);
        ran.ended(0, "done");
        assert!(ran.err.contains("login: SentPassword") && ran.err.contains("********"), "{}", ran.err);
        assert_eq!(caller.home.mail(), messages(&sample()));
        caller.run(&["list", "-vv", "home"]);
        let looked = ["host", "command"].map(|who| caller.found.path().join(who).exists());
        assert_eq!(looked, [true, matches!(source, Source::Command)], "who looked around");
    });
}

#[test]
fn a_call_that_fails_leaves_no_secret_wherever_it_does() {
    let cases = [
        ("refused", Source::Env, 77, "login-refused"),
        ("expired", Source::File, 77, "login-expired"),
        ("echo-cut-off", Source::Command, 75, "carrier-lost"),
        ("echo-damaged", Source::Env, 75, "carrier-lost"),
        ("half-a-line", Source::File, 75, "carrier-lost"),
        ("menu", Source::Env, 75, "login-timeout"),
    ];
    at_once(cases, |(login, source, code, outcome)| {
        let caller = Caller::new(login, source);
        let ran = caller.run(&["fetch", "--json", "-vv", "home"]);
        ran.ended(code, outcome);
        assert!(ran.err.contains("********"), "{login}: {}", ran.err);
    });
}

#[test]
fn what_a_check_says_of_a_call_has_no_secret_in_it() {
    at_once(["shell", "refused"], |login| {
        let caller = Caller::new(login, Source::Command);
        let ran = caller.run(&["check", "--dial", "-vv", "home"]);
        assert_eq!(ran.code, if login == "shell" { 0 } else { 77 }, "{}\n{}", ran.out, ran.err);
        let ran = caller.run(&["check", "--dial", "--json", "home"]);
        assert!(ran.out.contains("\"call\""), "{}", ran.out);
    });
}

#[test]
fn what_a_person_types_without_echo_is_shown_nowhere() {
    let caller = Caller::new("shell", Source::Person);
    let mut command = caller.command(&["terminal", "-vv", "home"]);
    command.env_remove("TEST_PASSWORD");
    let mut person = at_own_terminal(command);
    let mut seen = person.sees("Password for mary (home): ");
    person.types(format!("{SECRET}\n").as_bytes());
    seen.extend(person.sees("q hangs up"));
    seen.extend(person.sees("$ "));
    person.types(b"\x1dq");
    assert_eq!(person.ended(), 0);
    assert_clean("the screen", &seen);
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("you have typed \"********\"") && seen.contains("(********)$"), "{seen}");
    caller.left_nothing();
}

/// Needs a build with the feature; see docs/testing.md.
#[test]
#[cfg(feature = "keyring")]
fn a_password_in_the_keyring_is_found_there_and_left_nowhere_else() {
    if !["dbus-run-session", "gnome-keyring-daemon", "secret-tool"].iter().all(|peer| have(peer)) {
        return;
    }
    let caller = Caller::new("shell", Source::Keyring);
    // A desktop of its own, which ends with its session; the password comes on standard input.
    let script = "mkdir -m 700 \"$XDG_RUNTIME_DIR\"
        printf 'unlocked\\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null
        secret-tool store --label=test service dial/up username mary
        \"$0\" fetch --json -vv home; status=$?
        \"$0\" --json fetch nobody; exit $status";
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", script, program()]);
    let desktop = tempfile::tempdir().unwrap();
    command.env("HOME", caller.home.dir.path()).env("XDG_RUNTIME_DIR", desktop.path().join("run"));
    command.env("XDG_DATA_HOME", desktop.path());
    command.stdin(std::fs::File::open(caller.kept.path().join("secret-alone")).unwrap());
    let ran = Ran::new(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("has no entry \\\"eve\\\" of \\\"mailcall\\\""), "{}", ran.out);
    assert_eq!(caller.home.mail(), messages(&sample()));
    assert_clean("what is said", format!("{}{}", ran.out, ran.err).as_bytes());
    caller.left_nothing();
}

#[test]
fn whoever_is_asked_and_leaves_has_the_terminal_back() {
    for (keys, signal) in [(Some(b"\x03"), None), (None, Some(Signal::SIGTERM)), (None, Some(Signal::SIGHUP))]
    {
        let caller = Caller::new("shell", Source::Person);
        let mut person = at_own_terminal(caller.command(&["fetch", "home"]));
        person.sees("Password for mary (home): ");
        if let Some(keys) = keys {
            person.types(keys);
        }
        if let Some(signal) = signal {
            kill(Pid::from_raw(person.child.id() as i32), signal).unwrap();
        }
        let status = person.child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal.unwrap_or(Signal::SIGINT) as i32));
        let flags = tcgetattr(person.pty.slave.as_fd()).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO), "{flags:?}");
    }
}

#[test]
fn a_password_that_cannot_be_had_is_told_without_what_was_there() {
    let caller = Caller::new("shell", Source::File);
    let file = caller.kept.path().join("secret");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let ran = caller.run(&["fetch", "--json", "home"]);
    assert!(ran.ended(78, "config").out.contains("chmod 600"), "{}", ran.out);
    fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&file, [SECRET.as_bytes(), b"\xff\n"].concat()).unwrap();
    let ran = Ran::new(caller.command(&["fetch", "--json", "home"]).output().unwrap());
    assert!(ran.ended(78, "config").out.contains("no text"), "{}", ran.out);
    assert_clean("what is said", format!("{}{}", ran.out, ran.err).as_bytes());
}

/// The program on a terminal that rules its session: a password is asked for there.
fn at_own_terminal(mut command: Command) -> AtTerminal {
    // SAFETY: both are system calls that may stand between fork and exec.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            Errno::result(nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0))?;
            Ok(())
        });
    }
    AtTerminal::start(command)
}

/// With capitals, digits and what is neither; eight characters and more.
const SECRET: &str = "Tr0ub4dor-and-3";
