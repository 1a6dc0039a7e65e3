//! Hosts that are known from an earlier call: a real shell behind the program, and what may happen to it, or
//! to the memory of it, between two calls.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::*;

fn append(path: &Path, number: usize) {
    let mut mail = std::fs::read(path).unwrap();
    let message =
        format!("From eve@example.org Mon Nov 23 10:00:{number:02} 2026\nSubject: {number}\n\nhello\n\n");
    mail.extend_from_slice(message.as_bytes());
    std::fs::write(path, mail).unwrap();
}

fn memory(home: &Home) -> PathBuf {
    home.dir.path().join(".local/state/mailcall/home/host")
}

/// What `-vv` shows of a call: how often we spoke after having heard, from the password to the first mail.
fn round_trips(transcript: &str) -> usize {
    let lines = transcript.lines().map(str::trim_start);
    let dialogue = lines.skip_while(|line| !line.ends_with("> ********"));
    let dialogue = dialogue.take_while(|line| !line.contains("-- transfer:") && !line.contains(":3.1 "));
    let spoke = dialogue.filter_map(|line| match line.split_whitespace().nth(1) {
        Some(">") => Some(true),
        Some("<") => Some(false),
        Some(_) | None => None,
    });
    let (mut trips, mut speaking) = (0, false);
    for ours in spoke {
        trips += usize::from(ours && !speaking);
        speaking = ours;
    }
    trips
}

/// A host that is a shell of this machine with few tools, in a folder that a test can take them from.
struct Host {
    dir: tempfile::TempDir,
    home: Home,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for tool in [
            "sh",
            "stty",
            "cksum",
            "sha256sum",
            "md5sum",
            "base64",
            "head",
            "tail",
            "wc",
            "gzip",
            "od",
            "dd",
            "uname",
        ] {
            let path = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(tool));
            let path = path.into_iter().find(|path| path.exists()).unwrap();
            std::os::unix::fs::symlink(path, bin.join(tool)).unwrap();
        }
        let mailbox = dir.path().join("box");
        std::fs::write(&mailbox, sample()).unwrap();
        let home =
            Home::with_line(&line(&bin, "$ "), &format!("mailbox = {:?}\n", mailbox.display().to_string()));
        home.fetch().ended(0, "done");
        Self { dir, home }
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    fn mailbox(&self) -> PathBuf {
        self.dir.path().join("box")
    }

    /// The next call brings one message and all is here; answers what it said.
    fn brings_one_more(&self, what: &str) -> Ran {
        append(&self.mailbox(), self.home.mail().len() % 60);
        let ran = self.home.run(&["-vv", "fetch", "--json", "home"]);
        ran.ended(0, "done");
        assert_eq!(ran.number("messages_new"), 1, "{what}: {}", ran.err);
        assert!(self.home.mail() == messages(&std::fs::read(self.mailbox()).unwrap()), "{what}");
        ran
    }
}

fn line(bin: &Path, prompt: &str) -> String {
    format!(
        "kind = \"exec\"\ncommand = [\"env\", \"-i\", \"PATH={}\", \"PS1={prompt}\", \"LOGNAME=mary\", \"sh\"]\n",
        bin.display()
    )
}

/// Whether the host was asked what it has.
fn asked_anew(ran: &Ran) -> bool {
    ran.err.contains("printf 1||printf 0")
}

#[test]
fn mail_comes_with_the_third_round_trip_after_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    std::fs::write(&path, sample()).unwrap();
    let shown = path.display().to_string();
    let args =
        ["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &shown, "--latency", "300ms"];
    let sim = Sim::start(&args);
    let home = Home::new(&sim.device, "mary", &path, "");
    let fetch = || home.run(&["-vv", "fetch", "--json", "home"]);
    let first = fetch();
    first.ended(0, "done");
    append(&path, 1);
    let second = fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 1);
    assert_eq!(home.mail(), messages(&std::fs::read(&path).unwrap()));
    let (before, after) = (round_trips(&first.err), round_trips(&second.err));
    println!("{before} round trips to an unknown host, {after} to a known one");
    // Two more are within the transfer, of which a transcript shows nothing.
    assert!(before >= 5, "{}", first.err);
    assert_eq!(after, 3, "{}", second.err);
    sim.on_hook_after(2);
}

#[test]
fn a_host_that_is_as_it_was_is_not_asked_what_it_has() {
    let host = Host::new();
    let mode = std::fs::metadata(memory(&host.home)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!asked_anew(&host.brings_one_more("nothing changed")));
    // Neither is it by who only lists.
    let listed = host.home.run(&["-vv", "list", "home"]);
    assert!(!asked_anew(&listed), "{}", listed.err);
}

#[test]
fn a_host_that_changed_between_two_calls_is_asked_anew_and_known_then() {
    at_once(["gzip", "sha256sum", "base64", "prompt"], |gone| {
        let host = Host::new();
        let change = || match gone {
            "prompt" => {
                let mailbox = format!("mailbox = {:?}\n", host.mailbox().display().to_string());
                let maildir = host.home.maildir().display().to_string();
                host.home.configure(&format!(
                    "[line.usr]\n{}[account.home]\nline = \"usr\"\n{mailbox}deliver = {{ maildir = {maildir:?} }}\n",
                    line(&host.bin(), "elsewhere> ")
                ));
            }
            tool => std::fs::remove_file(host.bin().join(tool)).unwrap(),
        };
        change();
        let ran = host.brings_one_more(gone);
        assert!(asked_anew(&ran), "without {gone}: {}", ran.err);
        assert!(!asked_anew(&host.brings_one_more(gone)), "the second time without {gone}");
    });
}

#[test]
fn a_mailbox_that_another_program_rewrote_comes_home_once() {
    let host = Host::new();
    host.brings_one_more("first");
    let mailbox = std::fs::read(host.mailbox()).unwrap();
    let second = mailbox.windows(7).position(|w| w == b"\n\nFrom ").unwrap() + 2;
    std::fs::write(host.mailbox(), &mailbox[second..]).unwrap();
    append(&host.mailbox(), 59);
    let ran = host.home.fetch();
    ran.ended(0, "done");
    assert_eq!(ran.number("messages_new"), 1, "{}", ran.err);
    assert_eq!(host.home.mail().len(), messages(&mailbox).len() + 1);
}

#[test]
fn a_memory_that_is_damaged_gone_newer_or_unreadable_stops_no_mail() {
    let host = Host::new();
    let file = memory(&host.home);
    let whole = std::fs::read_to_string(&file).unwrap();
    for (what, text) in [
        ("damaged", whole.replacen("hex no", "hex yes", 1)),
        ("cut off", whole[..whole.len() / 2].to_owned()),
        ("of no kind", "\u{0}\u{7f}\n\n".repeat(50_000)),
        ("empty", String::new()),
    ] {
        std::fs::write(&file, text).unwrap();
        assert!(asked_anew(&host.brings_one_more(what)), "{what}");
        assert!(!asked_anew(&host.brings_one_more(what)), "it is remembered again: {what}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(asked_anew(&host.brings_one_more("gone")));
    std::fs::write(&file, "mailcall-host 99\nof a later version\n").unwrap();
    assert!(asked_anew(&host.brings_one_more("newer")));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mailcall-host 99\nof a later version\n");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let ran = host.brings_one_more("a folder");
    assert!(ran.err.contains("what the host has could not be remembered"), "{}", ran.err);
}

#[test]
fn check_tells_what_is_remembered_and_a_trial_call_asks_anew() {
    let host = Host::new();
    let told = host.home.run(&["check", "home"]);
    assert!(told.out.contains("memory      the host as it was on "), "{}", told.out);
    assert!(told.out.contains("gzip") && told.out.contains("nothing was damaged"), "{}", told.out);
    // What has come to the host since is found by a trial call.
    let awk = ["/usr/bin/awk", "/bin/awk"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    std::os::unix::fs::symlink(std::fs::canonicalize(awk).unwrap(), host.bin().join("awk")).unwrap();
    let tried = host.home.run(&["-vv", "check", "home", "--dial"]);
    assert!(asked_anew(&tried), "{}", tried.err);
    let told = host.home.run(&["check", "home"]);
    assert!(told.out.contains(" awk"), "{}", told.out);
    assert!(!asked_anew(&host.brings_one_more("after the trial")));
}
