//! Mail removed from the mailbox once it is here: whole runs over a path, with delivery agents and a
//! mail client at work on the same mailbox, and with the program killed in the middle of it.

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use mailcall::access::path::rewrite::{Check, Rewrite, RewriteError};
use mailcall::mailbox::digest::PrefixDigest;
use mailcall::store::disk::{Access, Disk, HostDisk};

use common::*;

/// A home whose account takes the mailbox at `path`.
fn at(path: &Path, more: &str) -> Home {
    Home::with_line("kind = \"file\"\n", &format!("mailbox = {:?}\n{more}", path.display().to_string()))
}

/// A folder with a mailbox in it.
fn spool(mailbox: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    std::fs::write(&path, mailbox).unwrap();
    aged(&path);
    (dir, path)
}

/// As if nobody had touched it for an hour: what was just written is looked at twice.
#[allow(clippy::disallowed_methods)]
fn aged(path: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let then = SystemTime::now() - Duration::from_secs(3600);
    file.set_times(std::fs::FileTimes::new().set_modified(then).set_accessed(then)).unwrap();
}

#[allow(clippy::disallowed_methods)] // real programs take real time
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn message(subject: &str) -> String {
    format!(
        "From eve@example.org Mon Nov 23 10:00:00 2026\nFrom: Eve <eve@example.org>\nSubject: {subject}\n\nhello {subject}\n\n"
    )
}

fn sized(subject: &str, bytes: usize) -> String {
    message(&format!("{subject}\n\n{}", "0123456789abcde\n".repeat(bytes / 16)))
}

/// The subjects of what was delivered, with how often.
fn subjects(home: &Home) -> BTreeMap<String, usize> {
    home.mail().iter().fold(BTreeMap::new(), |mut subjects, mail| {
        let text = String::from_utf8_lossy(mail);
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or("none");
        *subjects.entry(subject.to_owned()).or_default() += 1;
        subjects
    })
}

/// What was delivered to the mailbox by `deliver`: mail 0 to `count`, of which the first `twins` are the
/// same to the last byte.
fn wanted(count: usize, twins: usize) -> BTreeMap<String, usize> {
    let name = |number: usize| subject(number, twins);
    (0..count).fold(BTreeMap::new(), |mut all, number| {
        *all.entry(name(number)).or_default() += 1;
        all
    })
}

fn subject(number: usize, twins: usize) -> String {
    if number < twins { "twin".to_owned() } else { format!("n{number}") }
}

struct Procmail {
    rc: PathBuf,
}

impl Procmail {
    /// Delivers to the spool `mary` in a folder: fcntl and a dotlock, as on Debian.
    fn to(folder: &Path) -> Self {
        let rc = folder.join("rc");
        let shown = folder.display();
        let text = format!("MAILDIR={shown}\nDEFAULT={shown}/mary\nSHELL=/bin/sh\nLOCKSLEEP=1\n");
        std::fs::write(&rc, text).unwrap();
        Self { rc }
    }

    fn deliver(&self, mail: &str) {
        let mut command = Command::new("procmail");
        command.arg(&self.rc).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut procmail = command.spawn().unwrap();
        procmail.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
        let output = procmail.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// Delivers so many messages, `at_once` at a time, while `meanwhile` is done again and again.
fn while_delivered(
    count: usize,
    at_once: usize,
    deliver: impl Fn(usize) + Sync,
    mut meanwhile: impl FnMut(),
) {
    let (next, running) = (AtomicUsize::new(0), AtomicUsize::new(at_once));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, SeqCst)).filter(|number| *number < count) {
                    deliver(number);
                }
                running.fetch_sub(1, SeqCst);
            });
        }
        while running.load(SeqCst) > 0 && !std::thread::panicking() {
            meanwhile();
        }
    });
}

/// The last runs, after which nothing is left on the host.
fn drained(home: &Home, path: &Path) {
    for _ in 0..20 {
        home.fetch().ended(0, "done");
        if std::fs::metadata(path).unwrap().len() == 0 {
            return;
        }
        pause(Duration::from_millis(300));
    }
    panic!("still there: {}", std::fs::read_to_string(path).unwrap());
}

#[test]
fn fifty_deliveries_while_it_is_fetched_and_deleted_in_a_loop_come_once_each() {
    if !have("procmail") {
        return;
    }
    for (twins, deliverers) in [(0, 1), (10, 1), (10, 5)] {
        let (dir, path) = spool("");
        let before = std::fs::metadata(&path).unwrap();
        let home = at(&path, "keep = false\n");
        let procmail = Procmail::to(dir.path());
        let mut removed = 0;
        let mail = |number| message(&subject(number, twins));
        while_delivered(
            50,
            deliverers,
            |number| procmail.deliver(&mail(number)),
            || {
                removed += home.fetch().ended(0, "done").number("messages_deleted");
            },
        );
        drained(&home, &path);
        assert_eq!(subjects(&home), wanted(50, twins), "{twins} twins, {deliverers} at once");
        assert!(removed > 0, "all was removed at the end only");
        let after = std::fs::metadata(&path).unwrap();
        assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()), "it is the same file");
    }
}

/// A small generator (splitmix64), so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// Starts a fetch and kills it: after a while, or so long after it has begun to remove. True if it had
/// begun that and not come to its end.
fn killed(home: &Home, state: &Path, mailbox: &Path, at: Moment) -> bool {
    let mut command = home.command(&["fetch", "--json", "home"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let journal = state.join("removal");
    match at {
        Moment::After(time) => pause(time),
        Moment::Removing(time) => {
            while !journal.exists() && child.try_wait().unwrap().is_none() {
                aged(mailbox); // at rest, it is thought, so that the run comes to the removal
            }
            // A removal takes a millisecond: too short for sleeping.
            let begun = now();
            while begun.elapsed() < time {
                std::hint::spin_loop();
            }
        }
    }
    let _ = child.kill();
    child.wait().unwrap();
    journal.exists()
}

#[allow(clippy::disallowed_methods)] // real programs take real time
fn now() -> Instant {
    Instant::now()
}

#[derive(Debug, Clone, Copy)]
enum Moment {
    After(Duration),
    Removing(Duration),
}

#[test]
fn killed_at_any_moment_of_such_a_loop_each_message_still_comes_once() {
    if !have("procmail") {
        return;
    }
    for (seed, bytes) in [(1, 100), (2, 60_000)] {
        let (dir, path) = spool("");
        let home = at(&path, "keep = false\n");
        let procmail = Procmail::to(dir.path());
        let state = home.dir.path().join(".local/state/mailcall/home");
        let mut dice = Dice(seed);
        let (kills, mut amid) = (AtomicUsize::new(0), 0);
        let mut kill = |dice: &mut Dice| {
            // Now and then a run is left to its end: mail that waits for the lock would else wait for as
            // long as we kill, on a disk that takes longer than we do.
            if dice.roll(4) == 0 {
                home.fetch();
                kills.fetch_add(1, SeqCst);
                return;
            }
            let at = match dice.roll(3) {
                0 => Moment::After(Duration::from_micros(dice.roll(200_000))),
                _ => Moment::Removing(Duration::from_micros(dice.roll(1_000))),
            };
            amid += u32::from(killed(&home, &state, &path, at));
            kills.fetch_add(1, SeqCst);
        };
        // A delivery may meet the dotlock of a run that was killed, and waits until the next one has
        // taken it away.
        let deliver = |number| {
            while kills.load(SeqCst) < number {
                pause(Duration::from_millis(1));
            }
            procmail.deliver(&sized(&subject(number, 10), bytes));
        };
        while_delivered(30, 3, deliver, || kill(&mut dice));
        let kills = kills.into_inner();
        println!("{bytes} bytes each: killed {kills} times, {amid} of them with a removal under way");
        drained(&home, &path);
        assert_eq!(subjects(&home), wanted(30, 10), "seed {seed}");
        assert!(!state.join("removal").exists() && !state.join("removal.copy").exists());
        assert!(amid > 3, "hardly any removal was hit: {amid}");
    }
}

/// A mail client in Python, with the locks that its mailbox module takes: it deletes what is its own
/// and marks the rest as read, which makes a new file of the mailbox.
const CLIENT: &str = r#"
import mailbox, sys, time
box = mailbox.mbox(sys.argv[1], create=False)
for turn in range(int(sys.argv[2])):
    time.sleep(0.03)
    try:
        box.lock()
    except mailbox.ExternalClashError:
        continue
    try:
        box._toc = None
        box._pending = False
        box._file.close()
        box._file = open(box._path, 'rb+')
        for key in list(box.keys()):
            mail = box[key]
            if mail['Subject'].startswith('theirs'):
                box.remove(key)
            elif turn % 3 == 0:
                mail.set_flags('RO')
                box[key] = mail
        box.flush()
    finally:
        box.unlock()
"#;

#[test]
fn a_mail_client_that_flags_and_deletes_meanwhile_costs_no_message_and_doubles_none() {
    if !have("procmail") || !have("python3") {
        return;
    }
    let (dir, path) = spool("");
    let home = at(&path, "keep = false\n");
    let procmail = Procmail::to(dir.path());
    let client: Child = Command::new("python3")
        .args(["-c", CLIENT])
        .arg(&path)
        .arg("60")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mail = |number: usize| match number % 4 {
        0 => message(&format!("theirs{number}")),
        _ => message(&format!("n{number}")),
    };
    let mut changed = 0;
    while_delivered(
        60,
        2,
        |number| procmail.deliver(&mail(number)),
        || {
            let ran = home.fetch();
            // A mailbox that is rewritten each time that it is looked at is fetched from later.
            match ran.json("outcome").as_str() {
                Some("mailbox-locked") => changed += 1,
                _ => drop(ran.ended(0, "done")),
            }
        },
    );
    let said = client.wait_with_output().unwrap();
    assert!(said.status.success(), "{said:?}");
    println!("{changed} runs were told to try again later");
    drained(&home, &path);
    let found = subjects(&home);
    for number in (0..60).filter(|number| number % 4 != 0) {
        assert_eq!(found.get(&format!("n{number}")), Some(&1), "n{number}: {found:?}");
    }
    assert!(found.values().all(|count| *count == 1), "{found:?}");
}

fn three() -> String {
    ["one", "two", "three"].map(message).concat()
}

#[test]
fn chosen_messages_are_deleted_and_the_numbers_are_those_of_the_mailbox_afterwards() {
    let (_dir, path) = spool(&(three() + &message("four") + &message("five")));
    let home = at(&path, "");
    home.fetch().ended(0, "done");
    let ran = home.run(&["delete", "--dry-run", "home", "2,4-5"]);
    assert_eq!((ran.code, ran.out.matches("would go").count()), (0, 3), "{}{}", ran.out, ran.err);
    let ran = home.run(&["delete", "home", "4-5", "2"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("3 messages deleted") && ran.out.contains("two"), "{}", ran.out);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), ["one", "three"].map(message).concat());
    // What was fetched stays; what is shown are the messages of the mailbox.
    assert_eq!(home.mail().len(), 5);
    let shown = home.run(&["show", "home", "2"]);
    assert!(shown.out.contains("hello three"), "{}{}", shown.out, shown.err);
    let listed = home.run(&["list", "home"]).out;
    assert!(listed.contains("three") && !listed.contains("two"), "{listed}");
    let again = home.fetch();
    assert_eq!(again.ended(0, "done").number("messages_new"), 0);
    assert_eq!(again.number("bytes_down"), 0, "nothing is read again");
    let ran = home.run(&["delete", "--all-here", "--json"]);
    assert_eq!(ran.ended(0, "done").number("messages_deleted"), 2);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    let ran = home.run(&["delete", "--all-here"]);
    assert!(ran.code == 0 && ran.out.contains("nothing is here"), "{}{}", ran.out, ran.err);
}

#[test]
fn what_is_not_here_or_not_certain_is_not_deleted() {
    let (_dir, path) = spool(&three());
    let home = at(&path, "");
    let refused = |args: &[&str], says: &str| {
        let ran = home.run(&[&["delete"], args].concat());
        assert_eq!(ran.code, 64, "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    };
    refused(&["home", "1"], "mailcall fetch home");
    home.fetch().ended(0, "done");
    std::fs::write(&path, three() + &message("four")).unwrap();
    refused(&["home", "1-4"], "message 4 is not here");
    refused(&["home", "0"], "message 0 is not here");
    refused(&["home"], "say which");
    refused(&["home", "one"], "no message number");
    refused(&["home", "1", "--all-here"], "not both");
    // Another program deletes the first: the numbers mean other messages now.
    std::fs::write(&path, ["two", "three"].map(message).concat()).unwrap();
    refused(&["home", "1"], "list again");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), ["two", "three"].map(message).concat());
    let ran = home.run(&["delete", "--json", "home", "1"]);
    ran.ended(64, "usage");
}

#[test]
fn what_earlier_calls_fetched_is_deleted_once_mail_is_not_kept() {
    let (_dir, path) = spool(&three());
    let home = at(&path, "");
    home.fetch().ended(0, "done");
    let config = home.dir.path().join(".config/mailcall/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "keep = false\n").unwrap();
    let ran = home.run(&["fetch"]);
    assert!(ran.code == 0 && ran.out.contains("3 deleted there"), "{}{}", ran.out, ran.err);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    // The same mail again is new mail.
    std::fs::write(&path, message("two")).unwrap();
    aged(&path);
    let ran = home.fetch();
    assert_eq!((ran.number("messages_new"), ran.number("messages_deleted")), (1, 1));
    assert_eq!(home.mail().len(), 4);
}

#[test]
fn a_mailbox_is_left_as_it_was_found_but_for_the_mail() {
    let (_dir, path) = spool(&three());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let home = at(&path, "");
    home.fetch().ended(0, "done");
    let before = std::fs::metadata(&path).unwrap();
    for (number, new_mail) in [("1", false), ("2", true)] {
        let touched = std::fs::File::options().write(true).open(&path).unwrap();
        let (read, written) = (Duration::from_secs(2_000_000), Duration::from_secs(1_000_000));
        let (read, written) = if new_mail { (written, read) } else { (read, written) };
        let times = std::fs::FileTimes::new();
        let times = times.set_accessed(SystemTime::UNIX_EPOCH + read);
        touched.set_times(times.set_modified(SystemTime::UNIX_EPOCH + written)).unwrap();
        assert_eq!(home.run(&["delete", "home", number]).code, 0);
        let after = std::fs::metadata(&path).unwrap();
        assert_eq!((after.ino(), after.mode(), after.uid()), (before.ino(), before.mode(), before.uid()));
        let says_new = after.accessed().unwrap() < after.modified().unwrap();
        assert_eq!(says_new, new_mail, "shells and biff say \"you have new mail\" by this");
    }
    let names: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "no lock is left: {names:?}");
}

#[test]
fn a_maildir_loses_the_files_of_what_is_deleted_wherever_a_reader_moved_them() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = dir.path().join("Maildir");
    for folder in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    for (at, subject) in ["one", "two", "three"].iter().enumerate() {
        let name = maildir.join(format!("new/170000000{at}.M1P2.host"));
        std::fs::write(name, format!("Subject: {subject}\n\nFrom here on\n")).unwrap();
    }
    let home = Home::with_line(
        "kind = \"file\"\n",
        &format!("mailbox = {{ maildir = {:?} }}\n", maildir.display().to_string()),
    );
    home.fetch().ended(0, "done");
    std::fs::rename(maildir.join("new/1700000001.M1P2.host"), maildir.join("cur/1700000001.M1P2.host:2,FS"))
        .unwrap();
    std::fs::write(maildir.join("new/1700000009.M1P2.host"), "Subject: four\n\n").unwrap();
    let ran = home.run(&["delete", "home", "1-2"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let left = |folder: &str| std::fs::read_dir(maildir.join(folder)).unwrap().count();
    assert_eq!((left("new"), left("cur")), (2, 0));
    let ran = home.fetch();
    assert_eq!(ran.ended(0, "done").number("messages_new"), 1);
    let ran = home.run(&["delete", "--all-here", "--json"]);
    assert_eq!(ran.ended(0, "done").number("messages_deleted"), 2);
    assert_eq!((left("new"), left("cur")), (0, 0));
    assert_eq!(home.mail().len(), 4);
}

/// Runs as an ordinary user, in a home that it may write to.
fn as_user(home: &Home, args: &[&str]) -> Ran {
    const NOBODY: u32 = 65534;
    let mut folders = vec![home.dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        folders.extend(entries.filter(|path| path.is_dir()));
    }
    let output: Output = home.command(args).uid(NOBODY).gid(NOBODY).output().unwrap();
    Ran::new(output)
}

#[test]
fn where_no_lock_can_be_made_the_mail_comes_and_stays_and_that_is_said() {
    if !nix::unistd::geteuid().is_root() {
        return missing("only root can run the program as another user");
    }
    let (dir, path) = spool(&three());
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    let home = at(&path, "keep = false\n");
    let ran = as_user(&home, &["fetch", "--json"]);
    ran.ended(77, "no-permission");
    assert_eq!((ran.number("messages_new"), ran.number("messages_deleted")), (3, 0));
    assert!(ran.err.contains("dotlock") && ran.err.contains("keep = true"), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), three());
    // As soon as it may, it goes.
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let ran = as_user(&home, &["fetch", "--json"]);
    ran.ended(0, "done");
    assert_eq!((ran.number("messages_new"), ran.number("messages_deleted")), (0, 3));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn a_removal_that_was_cut_off_half_way_is_finished_by_whatever_is_run_next() {
    for next in ["fetch", "list", "delete"] {
        let (_dir, path) = spool(&three());
        let home = at(&path, "");
        home.fetch().ended(0, "done");
        let state = home.dir.path().join(".local/state/mailcall/home");
        // A folder where the journal's second stage is to be written stops it in the middle.
        let stopper = state.join("removal.new");
        let block = |on: bool| {
            if on { std::fs::create_dir(&stopper).unwrap() } else { std::fs::remove_dir(&stopper).unwrap() }
        };
        block(true);
        let ran = home.run(&["delete", "--json", "home", "1"]);
        ran.ended(74, "local-disk");
        assert!(ran.err.contains("nothing was removed"), "{}", ran.err);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), three());
        block(false);
        let args: &[&str] = if next == "delete" { &["delete", "home", "1"] } else { &[next, "home"] };
        let ran = home.run(args);
        assert_eq!(ran.code, 0, "{next}: {}{}", ran.out, ran.err);
        let left = std::fs::read_to_string(&path).unwrap();
        let wanted = if next == "delete" { ["two", "three"].map(message).concat() } else { three() };
        assert_eq!(left, wanted, "{next}");
        assert!(!state.join("removal").exists(), "{next}");
    }
}

/// Leaves what a run leaves that is killed while it removes the first message.
fn killed_half_way(home: &Home, path: &Path) -> PathBuf {
    let state = home.dir.path().join(".local/state/mailcall/home");
    let mut known = PrefixDigest::new();
    known.update(&std::fs::read(path).unwrap());
    let spool = HostDisk.open(path, Access::Edit).unwrap();
    let mut looks = 0;
    let mut hold = |check| {
        looks += u32::from(check == Check::Fully);
        if looks > 2 { Err(std::io::Error::other("killed")) } else { Ok(()) }
    };
    let first = 0..message("one").len() as u64;
    let went = Rewrite::new(&HostDisk, &state, path, &*spool, &mut hold).remove(&known, &[first]);
    assert!(matches!(went, Err(RewriteError::HalfWay { .. })), "{went:?}");
    state
}

#[test]
fn an_unfinished_removal_from_a_mailbox_that_is_no_more_keeps_nobody_from_the_mail_for_ever() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("its folder is gone", |path| std::fs::remove_dir_all(path.parent().unwrap()).unwrap()),
        ("it is gone", |path| std::fs::remove_file(path).unwrap()),
        ("a folder stands there", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        }),
    ];
    for (what, change) in changes {
        let (_dir, path) = spool(&three());
        let home = at(&path, "");
        home.fetch().ended(0, "done");
        let state = killed_half_way(&home, &path);
        change(&path);
        // The mail has moved elsewhere, and the account says so.
        let (_elsewhere, other) = spool(&message("other"));
        let file = home.dir.path().join(".config/mailcall/config.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        let (old, new) = (path.display().to_string(), other.display().to_string());
        assert!(config.contains(&old));
        std::fs::write(&file, config.replace(&old, &new)).unwrap();
        let ran = home.fetch();
        ran.ended(65, "bad-data");
        assert!(ran.err.contains(&old) && ran.err.contains("removal.kept.1"), "{what}: {}", ran.err);
        let ran = home.fetch();
        assert_eq!(ran.ended(0, "done").number("messages_new"), 1, "{what}");
        assert!(std::fs::read_to_string(state.join("removal.kept.1")).unwrap().contains("Subject: two"));
        assert!(!state.join("removal").exists(), "{what}");
    }
}

#[test]
fn a_mailbox_that_is_not_mounted_is_waited_for_with_its_unfinished_removal() {
    let (dir, path) = spool(&three());
    let folder = dir.path().join("mnt");
    std::fs::create_dir(&folder).unwrap();
    let there = folder.join("mary");
    std::fs::rename(&path, &there).unwrap();
    let home = at(&there, "");
    home.fetch().ended(0, "done");
    let state = killed_half_way(&home, &there);
    std::fs::rename(&folder, dir.path().join("away")).unwrap();
    home.fetch().ended(78, "no-mailbox");
    std::fs::rename(dir.path().join("away"), &folder).unwrap();
    home.fetch().ended(0, "done");
    assert_eq!(std::fs::read_to_string(&there).unwrap(), ["two", "three"].map(message).concat());
    assert!(!state.join("removal").exists());
}

#[test]
fn a_damaged_journal_is_told_with_what_to_do() {
    let (_dir, path) = spool(&three());
    let home = at(&path, "");
    home.fetch().ended(0, "done");
    let journal = killed_half_way(&home, &path).join("removal");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replace("range 0", "range 1")).unwrap();
    let ran = home.fetch();
    ran.ended(65, "bad-data");
    assert!(ran.err.contains("is damaged") && ran.err.contains("Move it away"), "{}", ran.err);
}

#[test]
fn a_maildir_that_may_only_be_read_is_still_fetched_from_after_a_removal_was_refused() {
    if !nix::unistd::geteuid().is_root() {
        return missing("only root can run the program as another user");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let maildir = dir.path().join("Maildir");
    for folder in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    for number in 1..=2 {
        let name = format!("new/170000000{number}.M1P1.host");
        std::fs::write(maildir.join(name), format!("Subject: {number}\n\n")).unwrap();
    }
    let home = at(&maildir, "");
    assert_eq!(as_user(&home, &["fetch", "--json"]).ended(0, "done").number("messages_new"), 2);
    as_user(&home, &["delete", "--json", "home", "1"]).ended(77, "no-permission");
    std::fs::write(maildir.join("new/1700000009.M1P1.host"), "Subject: 3\n\n").unwrap();
    assert_eq!(as_user(&home, &["fetch", "--json"]).ended(0, "done").number("messages_new"), 1);
    std::os::unix::fs::chown(maildir.join("new"), Some(65534), Some(65534)).unwrap();
    let ran = as_user(&home, &["delete", "--json", "home", "1"]);
    assert_eq!(ran.ended(0, "done").number("messages_deleted"), 1);
    assert_eq!(std::fs::read_dir(maildir.join("new")).unwrap().count(), 2);
    assert_eq!(home.mail().len(), 3);
}
