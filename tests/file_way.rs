//! The mailbox as a path: whole fetches, each as a user makes them, with other mail programs at work on
//! the same mailbox.

mod common;
#[path = "store/faulty_disk.rs"]
#[allow(dead_code)]
mod faulty_disk;

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mailcall::access::path::{ByPath, Form, Spool};
use mailcall::session::fetch::fetch;
use mailcall::store::disk::HostDisk;
use mailcall::store::{Delivery, Store};

use common::*;
use faulty_disk::{Fault, FaultyDisk};

/// A home whose account reads `mailbox`, as written in the configuration.
fn home(mailbox: &str, more: &str) -> Home {
    Home::with_line("kind = \"file\"\n", &format!("mailbox = {mailbox}\n{more}"))
}

fn at(path: &Path, more: &str) -> Home {
    home(&format!("{:?}", path.display().to_string()), more)
}

fn maildir_at(path: &Path, more: &str) -> Home {
    home(&format!("{{ maildir = {:?} }}", path.display().to_string()), more)
}

/// A folder with a mailbox in it.
fn spool(mailbox: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    std::fs::write(&path, mailbox).unwrap();
    (dir, path)
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// As if nobody had touched it for an hour: what was just written is looked at twice.
fn at_rest(path: &Path) {
    aged(path, Duration::from_secs(3600));
}

#[allow(clippy::disallowed_methods)]
fn aged(path: &Path, by: Duration) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

fn message(subject: &str) -> String {
    format!("From eve@example.org Mon Nov 23 10:00:00 2026\nSubject: {subject}\n\nhello {subject}\n\n")
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What must hold wherever the folder is: on this disk, or on a mount.
fn a_mailbox_in(folder: &Path) {
    let mailbox = sample();
    let path = folder.join("mary");
    std::fs::write(&path, &mailbox).unwrap();
    at_rest(&path);
    let home = at(&path, "");
    let listed = home.run(&["list", "home", "--json"]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    assert_eq!(listed.out.lines().count(), messages(&mailbox).len());
    assert!(listed.out.lines().all(|line| line.contains("\"state\":\"new\"")), "{}", listed.out);
    let first = home.fetch();
    first.ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
    assert_eq!(first.number("messages_new") as usize, messages(&mailbox).len());
    assert_eq!(first.json("transfer"), "path");
    assert_eq!((first.number("dials"), first.number("bytes_down")), (0, mailbox.len() as u64));
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!((second.number("messages_new"), second.number("bytes_down")), (0, 0));
    append(&path, message("more").as_bytes());
    let third = home.fetch();
    third.ended(0, "done");
    assert_eq!(third.number("messages_new"), 1);
    assert!(third.number("bytes_down") < 200, "{}", third.out);
    assert_eq!(home.mail(), messages(&std::fs::read(&path).unwrap()));
    let listed = home.run(&["list", "home"]);
    assert!(listed.out.lines().skip(1).all(|row| row.contains("here")), "{}", listed.out);
    let shown = home.run(&["show", "home", "1"]);
    assert!(shown.code == 0 && shown.out.contains("Subject:"), "{} {}", shown.out, shown.err);
    // The first message is deleted by another program, a new one comes in.
    let whole = std::fs::read(&path).unwrap();
    let second = whole.windows(7).position(|w| w == b"\n\nFrom ").unwrap() + 2;
    std::fs::write(&path, [&whole[second..], message("last").as_bytes()].concat()).unwrap();
    let ran = home.fetch();
    ran.ended(0, "done");
    assert_eq!(ran.number("messages_new"), 1, "{}", ran.err);
    // And nothing but the mailbox is left where it stands.
    assert_eq!(names_in(folder), ["mary"]);
    // Locked by a program that knows dotlocks only, and let go a little later.
    append(&path, message("locked").as_bytes());
    std::fs::write(folder.join("mary.lock"), "4711").unwrap();
    let mut fetching = home.command(&["fetch", "home"]).stderr(Stdio::piped()).spawn().unwrap();
    read_until(fetching.stderr.as_mut().unwrap(), "is locked");
    std::fs::remove_file(folder.join("mary.lock")).unwrap();
    assert!(fetching.wait().unwrap().success());
    assert!(home.mail().iter().any(|mail| mail.ends_with(b"hello locked\n")));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_mailbox_on_a_path_is_fetched_and_listed_as_over_a_line() {
    a_mailbox_in(tempfile::tempdir().unwrap().path());
}

#[test]
fn an_mbox_takes_the_mailbox_byte_for_byte() {
    let (dir, path) = spool(&sample());
    at_rest(&path);
    let mbox = dir.path().join("home.mbox");
    let home = at(&path, &format!("deliver = {{ mbox = {:?} }}\n", mbox.display().to_string()));
    home.fetch().ended(0, "done");
    assert_eq!(std::fs::read(&mbox).unwrap(), sample());
}

/// A mount that is taken away again.
struct Mount {
    at: PathBuf,
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("fusermount").args(["-u", "-z"]).arg(&self.at).status();
    }
}

/// Mounts by this command; `None`, said loudly, where the machine does not allow it.
fn mount(program: &str, args: &[&str], at: &Path) -> Option<Mount> {
    if !have(program) || !have("fusermount") {
        return None;
    }
    let output = Command::new(program).args(args).arg(at).stdin(Stdio::null()).output().unwrap();
    let mounted = || std::fs::read_to_string("/proc/mounts").unwrap().contains(at.to_str().unwrap());
    if !output.status.success() || !mounted() {
        missing(&format!(
            "{program} cannot mount here: {} (is there a /dev/fuse, and may it be used?)",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
        return None;
    }
    Some(Mount { at: at.to_owned() })
}

#[test]
fn a_mailbox_on_a_fuse_mount_passes_the_same() {
    let (below, at) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(_mount) = mount("bindfs", &[below.path().to_str().unwrap()], at.path()) else { return };
    a_mailbox_in(at.path());
    maildir_in(at.path());
}

#[test]
fn a_mailbox_on_sshfs_passes_the_same() {
    let server = "/usr/lib/openssh/sftp-server";
    if !Path::new(server).exists() {
        return missing("openssh-sftp-server is not installed");
    }
    let (below, at) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The real sshfs and the real server of it; only the encrypted way between them is left out.
    let ssh = tempfile::tempdir().unwrap();
    let script = ssh.path().join("ssh");
    std::fs::write(&script, format!("#!/bin/sh\nexec {server}\n")).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let from = format!("localhost:{}", below.path().display());
    let command = format!("ssh_command={}", script.display());
    let Some(_mount) = mount("sshfs", &[&from, "-o", &command], at.path()) else { return };
    a_mailbox_in(at.path());
    maildir_in(at.path());
}

/// A file system that fails as it is told to, over a folder with a mailbox; the mount first.
fn faulty(mailbox: &[u8]) -> Option<(FaultyMount, tempfile::TempDir)> {
    let package = have_python("mfusepy").filter(|_| have("fusermount"))?;
    let dir = tempfile::tempdir().unwrap();
    let (below, at) = (dir.path().join("below"), dir.path().join("at"));
    for folder in [&below, &at] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(below.join("mary"), mailbox).unwrap();
    at_rest(&below.join("mary"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/file_way/faulty_fs.py");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", package).arg(script).args([&below, &at]).stdin(Stdio::null());
    let mut server = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut ended = None;
    wait_for("the faulty file system", || {
        ended = server.try_wait().unwrap();
        ended.is_some() || at.join("mary").exists()
    });
    if ended.is_some() {
        let mut said = String::new();
        server.stderr.unwrap().read_to_string(&mut said).unwrap();
        missing(&format!("mfusepy cannot mount here (is there a /dev/fuse, and may it be used?): {said}"));
        return None;
    }
    Some((FaultyMount { _mount: Mount { at }, server, below }, dir))
}

struct FaultyMount {
    _mount: Mount,
    server: Child,
    below: PathBuf,
}

impl FaultyMount {
    fn tell(&self, suffix: &str, text: &str) {
        std::fs::write(self.below.with_extension(suffix), text).unwrap();
    }
}

impl Drop for FaultyMount {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.below.with_extension("hangs"));
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_file_that_becomes_stale_is_opened_again_but_not_for_ever() {
    let Some((mount, dir)) = faulty(&sample()) else { return };
    let home = at(&dir.path().join("at/mary"), "");
    mount.tell("stale", "1000000");
    let ran = home.fetch();
    ran.ended(75, "mailbox-locked");
    assert!(ran.err.contains("became stale") && ran.err.contains("carrying the mail"), "{}", ran.err);
    mount.tell("stale", "3");
    home.fetch().ended(0, "done");
    assert_eq!(home.mail(), messages(&sample()));
    mount.tell("stale", "3");
    assert_eq!(home.run(&["list", "home", "--json"]).out.lines().count(), messages(&sample()).len());
    assert_eq!(names_in(&mount.below), ["mary"]);
}

#[test]
fn a_file_system_that_hangs_is_told_after_a_minute_and_ctrl_c_is_heeded_at_once() {
    at_once([true, false], |signal| {
        let Some((mount, dir)) = faulty(&sample()) else { return };
        let home = at(&dir.path().join("at/mary"), "");
        mount.tell("hangs", "");
        let mut command = home.command(&["fetch", "home", "--json", "-v"]);
        let mut fetching = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = fetching.stderr.take().unwrap();
        read_until(&mut err, "carrying mail");
        let begun = now();
        if signal {
            let pid = nix::unistd::Pid::from_raw(fetching.id() as i32);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        }
        let (outcome, says, seconds) = match signal {
            true => ("interrupted", "ended by Ctrl-C", 0..10),
            false => ("carrier-lost", "does not answer: nothing for 60 s", 55..75),
        };
        read_until(&mut err, says);
        assert!(seconds.contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        // FUSE lets go of a process only when the request that its server has taken is answered.
        std::fs::remove_file(mount.below.with_extension("hangs")).unwrap();
        std::io::copy(&mut err, &mut std::io::sink()).unwrap();
        Ran::new(fetching.wait_with_output().unwrap()).ended(75, outcome);
    });
}

#[test]
fn what_is_no_mailbox_has_its_own_outcome() {
    let (dir, path) = spool(b"");
    let dir = dir.path();
    std::fs::create_dir(dir.join("folder")).unwrap();
    std::fs::write(dir.join("text"), "Dear diary,\n").unwrap();
    nix::unistd::mkfifo(&dir.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, code, outcome, says) in [
        ("mary", 0, "done", ""),
        ("none-yet", 0, "done", ""),
        ("no/folder", 78, "no-mailbox", "nor its folder"),
        ("folder", 78, "no-mailbox", "MH"),
        ("pipe", 78, "no-mailbox", "a pipe"),
        ("text", 65, "bad-data", "Dear diary"),
    ] {
        let home = at(&dir.join(name), "");
        let ran = home.fetch();
        ran.ended(code, outcome);
        assert!(ran.err.contains(says), "{name}: {}", ran.err);
        assert_eq!(home.run(&["list", "home"]).code, code, "{name}");
    }
    assert!(path.exists());
}

#[test]
fn an_ordinary_user_reads_a_mailbox_where_no_lock_can_be_made_and_not_another_s() {
    let Some(user) = User::new("p", "/bin/sh", &sample()) else { return };
    let mailbox = PathBuf::from("/var/mail").join(&user.name);
    at_rest(&mailbox);
    let home = Home::with_line("kind = \"file\"\n", "");
    let tools = tempfile::tempdir().unwrap();
    let copy = for_everybody(Path::new(program()), tools.path());
    let run_as = |args: &[&str]| {
        let chown = Command::new("chown").arg("-R").arg(&user.name).arg(home.dir.path()).status().unwrap();
        assert!(chown.success());
        let mut command = Command::new(&copy);
        command
            .args(args)
            .env("HOME", home.dir.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_STATE_HOME");
        let (uid, gid) = ids(&user.name);
        std::os::unix::process::CommandExt::uid(&mut command, uid);
        std::os::unix::process::CommandExt::gid(&mut command, gid);
        Ran::new(command.env_remove("MAIL").output().unwrap())
    };
    // /var/mail may be written by root and the group mail only.
    let before = std::fs::metadata("/var/mail").unwrap();
    assert_ne!(before.mode() & 0o2, 0o2, "/var/mail is for everybody here: the test shows nothing");
    run_as(&["fetch", "--json", "home"]).ended(0, "done");
    assert_eq!(home.mail(), messages(&sample()));
    // `$MAIL` is believed before the usual place.
    let other = Home::with_line("kind = \"file\"\n", "");
    let (dir, path) = spool(message("elsewhere").as_bytes());
    at_rest(&path);
    Ran::new(other.command(&["fetch", "--json", "home"]).env("MAIL", &path).output().unwrap())
        .ended(0, "done");
    assert_eq!(other.mail().len(), 1);
    drop(dir);
    std::fs::set_permissions(&mailbox, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    nix::unistd::chown(&mailbox, Some(nix::unistd::Uid::from_raw(0)), None).unwrap();
    let ran = run_as(&["fetch", "--json", "home"]);
    ran.ended(77, "no-permission");
    assert!(ran.err.contains("it belongs to root, mode 600"), "{}", ran.err);
}

/// Run as another user by the test below.
#[test]
#[ignore = "run by a test as an ordinary user"]
fn child_that_locks_to_rewrite() {
    use mailcall::access::path::{Patience, Purpose, SpoolLock};
    let path = PathBuf::from(std::env::var_os("CHILD_LOCKS").unwrap());
    let patience = Patience { wait: Duration::ZERO, ..Patience::usual() };
    match SpoolLock::acquire(&path, Purpose::Rewrite, &patience) {
        Ok(lock) => {
            lock.verify().unwrap();
            println!("locked, {}", path.with_extension("lock").exists());
        }
        Err(error) => println!("refused: {error}"),
    }
}

#[test]
fn an_ordinary_user_rewrites_a_mailbox_in_var_mail_only_under_a_dotlock_that_a_helper_makes() {
    let Some(user) = User::new("w", "/bin/sh", &sample()) else { return };
    let mailbox = PathBuf::from("/var/mail").join(&user.name);
    let lock = mailbox.with_extension("lock");
    let tools = tempfile::tempdir().unwrap();
    let child = for_everybody(&std::env::current_exe().unwrap(), tools.path());
    let as_user = |path: &Path| {
        let (uid, gid) = ids(&user.name);
        let mut command = Command::new(&child);
        command.args(["--exact", "child_that_locks_to_rewrite", "--ignored", "--nocapture"]);
        command.env("CHILD_LOCKS", &mailbox).env("PATH", path).env("HOME", "/");
        std::os::unix::process::CommandExt::uid(&mut command, uid);
        std::os::unix::process::CommandExt::gid(&mut command, gid);
        Ran::new(command.output().unwrap()).out
    };
    let none = as_user(tools.path());
    assert!(none.contains("refused:") && none.contains("Install liblockfile-bin"), "{none}");
    for helper in ["dotlockfile", "mutt_dotlock"] {
        if !have(helper) {
            continue;
        }
        let only = tools.path().join(helper);
        std::fs::create_dir(&only).unwrap();
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(helper), only.join(helper)).unwrap();
        let locked = as_user(&only);
        assert!(locked.contains("locked, true"), "{helper}: {locked}");
        assert!(!lock.exists(), "{helper} left its lock");
        std::fs::write(&lock, "0").unwrap();
        let held = as_user(&only);
        std::fs::remove_file(&lock).unwrap();
        assert!(held.contains("is locked: the dotlock"), "{helper}: {held}");
    }
}

/// A copy that any user may run, wherever the original is.
fn for_everybody(program: &Path, folder: &Path) -> PathBuf {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let copy = folder.join("copy");
    std::fs::copy(program, &copy).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    copy
}

fn ids(name: &str) -> (u32, u32) {
    let user = nix::unistd::User::from_name(name).unwrap().unwrap();
    (user.uid.as_raw(), user.gid.as_raw())
}

#[test]
fn a_stale_dotlock_is_taken_away_and_a_living_one_is_waited_for_in_bounded_time() {
    let (dir, path) = spool(&sample());
    at_rest(&path);
    let lock = dir.path().join("mary.lock");
    std::fs::write(&lock, "4711").unwrap();
    aged(&lock, Duration::from_secs(6 * 60));
    at(&path, "").fetch().ended(0, "done");
    assert_eq!(names_in(dir.path()), ["mary"]);
    std::fs::write(&lock, "4711").unwrap();
    let begun = now();
    let ran = at(&path, "").fetch();
    ran.ended(75, "mailbox-locked");
    assert!((25..45).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(ran.err.contains("mary.lock is there") && ran.err.contains("waited for 30 s"), "{}", ran.err);
    assert_eq!(names_in(dir.path()), ["mary", "mary.lock"]);
}

#[test]
fn a_signal_ends_the_wait_for_a_lock_and_leaves_nothing_behind() {
    let (dir, path) = spool(&sample());
    at_rest(&path);
    let Some(mut other) =
        python(&format!("f=open({:?},'r+'); fcntl.lockf(f,fcntl.LOCK_EX)", path.display().to_string()))
    else {
        return;
    };
    let home = at(&path, "");
    let mut fetching = home.command(&["fetch", "home"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = fetching.stderr.take().unwrap();
    read_until(&mut err, &format!("process {} (python", other.id()));
    let begun = now();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(fetching.id() as i32),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    let mut last = String::new();
    err.read_to_string(&mut last).unwrap();
    assert_eq!(fetching.wait().unwrap().code(), Some(75), "{last}");
    assert!(last.contains("ended by Ctrl-C") && begun.elapsed() < Duration::from_secs(5), "{last}");
    assert_eq!(names_in(dir.path()), ["mary"]);
    drop(other.stdin.take());
    other.wait().unwrap();
}

#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

/// Python that has done this, and stays until its input is closed.
fn python(script: &str) -> Option<Child> {
    if !have("python3") {
        return None;
    }
    let script =
        format!("import fcntl,mailbox,os,sys,time\n{script}\nprint('ready',flush=True)\nsys.stdin.read()");
    let mut command = Command::new("python3");
    let mut child =
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    read_until(child.stdout.as_mut().unwrap(), "ready");
    Some(child)
}

#[test]
fn that_we_have_read_the_mail_is_not_seen_by_the_shell() {
    let (_dir, path) = spool(&sample());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    at_rest(&path);
    let read_before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_times(std::fs::FileTimes::new().set_accessed(read_before)).unwrap();
    let home = at(&path, "");
    home.fetch().ended(0, "done");
    home.run(&["list", "home"]);
    assert_eq!(std::fs::metadata(&path).unwrap().accessed().unwrap(), read_before);
}

#[test]
fn a_mailbox_replaced_or_cut_off_while_it_is_read_loses_and_tears_nothing() {
    at_once(["replaced", "cut off"], |how| {
        let one = sample();
        let big = one.repeat(1 + (24 << 20) / one.len());
        let (dir, path) = spool(&big);
        at_rest(&path);
        let home = at(&path, "");
        let mut command = home.command(&["-v", "fetch", "home", "--json"]);
        let mut fetching = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = fetching.stderr.take().unwrap();
        read_until(&mut err, &format!("of {} bytes\n", big.len()));
        let mut fewer = message("first").into_bytes();
        if how == "replaced" {
            fewer.extend_from_slice(&one);
            std::fs::write(dir.path().join("new"), &fewer).unwrap();
            std::fs::rename(dir.path().join("new"), &path).unwrap();
        } else {
            fewer = one.clone();
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(one.len() as u64).unwrap();
        }
        std::io::copy(&mut err, &mut std::io::sink()).unwrap();
        Ran::new(fetching.wait_with_output().unwrap()).ended(0, "done");
        assert_eq!(home.mail(), messages(&fewer), "{how}");
    });
}

#[test]
fn a_message_written_slowly_without_any_lock_comes_whole_and_once() {
    let (_dir, path) = spool(&sample());
    at_rest(&path);
    let home = at(&path, "");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for piece in [
                "From eve@example.org Mon Nov 23 10:00:00 2026\n",
                "Subject: slow\n\none\n\n",
                "two\n\n",
                "three\n",
            ] {
                append(&path, piece.as_bytes());
                pause(Duration::from_millis(900));
            }
        });
        for _ in 0..3 {
            home.fetch().ended(0, "done");
            for mail in home.mail() {
                assert!(!mail.starts_with(b"Subject: slow") || mail.ends_with(b"three\n"), "torn");
            }
        }
    });
    home.fetch().ended(0, "done");
    assert_eq!(home.mail(), messages(&std::fs::read(&path).unwrap()));
}

#[allow(clippy::disallowed_methods)] // other programs take their time
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[test]
fn fifty_deliveries_by_procmail_while_it_is_fetched_in_a_loop_come_once_each() {
    if !have("procmail") {
        return;
    }
    let (dir, path) = spool(b"");
    let rc = dir.path().join("rc");
    std::fs::write(
        &rc,
        format!("MAILDIR={0}\nDEFAULT={0}/mary\nSHELL=/bin/sh\nLOCKSLEEP=1\n", dir.path().display()),
    )
    .unwrap();
    while_fetched(&path, 50, |number| {
        let mut procmail =
            Command::new("procmail").arg(&rc).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        procmail.stdin.take().unwrap().write_all(message(&format!("n{number}.")).as_bytes()).unwrap();
        let output = procmail.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    });
}

#[test]
fn programs_that_lock_in_either_order_and_we_never_wait_for_each_other_for_ever() {
    if !have("python3") || !have("dotlockfile") {
        return;
    }
    let head = "import fcntl,mailbox,subprocess,sys,time\nbox=sys.argv[1]; mail=sys.argv[2].encode()\n\
                def dot(): subprocess.run(['dotlockfile','-l','-r','60',box+'.lock'],check=True)\n\
                def undot(): subprocess.run(['dotlockfile','-u',box+'.lock'],check=True)\n\
                def lock(m):\n for _ in range(600):\n  try: return m.lock()\n  \
                except mailbox.ExternalClashError: time.sleep(.05)\n sys.exit('never')\n";
    let debian = "f=open(box,'ab'); fcntl.lockf(f,fcntl.LOCK_EX); dot(); f.write(mail); f.flush(); undot()";
    let dovecot = "dot(); f=open(box,'ab'); fcntl.lockf(f,fcntl.LOCK_EX); f.write(mail); f.flush(); undot()";
    let python =
        "m=mailbox.mbox(box,create=False); lock(m); m.add(mailbox.mboxMessage(mail)); m.flush(); m.unlock()";
    let dotlock = "dot(); f=open(box,'ab'); f.write(mail); f.close(); undot()";
    // The first two, let loose on one mailbox, would wait for each other.
    at_once([[debian, python, dotlock], [dovecot, python, dotlock]], |scripts| {
        let (dir, path) = spool(b"");
        while_fetched(&path, 12, |number| {
            let script = format!("{head}{}", scripts[number % scripts.len()]);
            let mail = message(&format!("n{number}."));
            let mut command = Command::new("timeout");
            let output =
                command.args(["90", "python3", "-c", &script]).arg(&path).arg(mail).output().unwrap();
            assert!(output.status.success(), "{number}: {output:?}");
        });
        assert_eq!(names_in(dir.path()), ["mary"]);
    });
}

#[test]
fn dovecot_saves_and_rewrites_while_it_is_fetched_in_a_loop_and_procmail_delivers() {
    if !have("doveadm") || !have("procmail") {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return missing("doveadm can only be run for a user of its own as root");
    }
    let (dir, path) = spool(b"");
    // Dovecot works for no root. It takes the dotlock first, and waits for fcntl while it holds it.
    let (uid, gid) = ids("nobody");
    let folder = dir.path().display();
    let conf = format!(
        "base_dir={folder}/run\nmail_location=mbox:{folder}/mail:INBOX={folder}/mary\nmbox_write_locks=dotlock fcntl\n\
         mail_uid={uid}\nmail_gid={gid}\nmail_privileged_group=\nssl=no\nlog_path=/dev/stderr\n"
    );
    std::fs::write(dir.path().join("conf"), conf).unwrap();
    std::fs::write(dir.path().join("rc"), format!("DEFAULT={folder}/mary\nSHELL=/bin/sh\nLOCKSLEEP=1\n"))
        .unwrap();
    std::fs::create_dir(dir.path().join("mail")).unwrap();
    for path in [dir.path(), &dir.path().join("mail"), &path] {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    }
    while_fetched(&path, 20, |number| {
        let mut command = if number % 2 == 0 {
            let mut doveadm = Command::new("timeout");
            doveadm.args(["90", "doveadm", "-c"]).arg(dir.path().join("conf")).args(["save", "-m", "INBOX"]);
            doveadm.env("HOME", dir.path()).env("USER", "nobody");
            std::os::unix::process::CommandExt::uid(&mut doveadm, uid);
            std::os::unix::process::CommandExt::gid(&mut doveadm, gid);
            doveadm
        } else {
            let mut procmail = Command::new("procmail");
            procmail.arg(dir.path().join("rc"));
            procmail
        };
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Dovecot makes the From_ line itself.
        let mail = message(&format!("n{number}."));
        let mail = if number % 2 == 0 { mail.split_once('\n').unwrap().1 } else { &mail };
        child.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{number}: {output:?}");
    });
}

/// Delivers so many messages, three at a time, while the mailbox is fetched again and again.
fn while_fetched(path: &Path, count: usize, deliver: impl Fn(usize) + Sync) {
    let home = at(path, "");
    let next = std::sync::atomic::AtomicUsize::new(0);
    let running = std::sync::atomic::AtomicUsize::new(3);
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, order)).filter(|number| *number < count) {
                    deliver(number);
                }
                running.fetch_sub(1, order);
            });
        }
        while running.load(order) > 0 && !std::thread::panicking() {
            home.fetch().ended(0, "done");
        }
    });
    home.fetch().ended(0, "done");
    let mail = home.mail();
    for number in 0..count {
        let subject = format!("Subject: n{number}.\n");
        let found = mail.iter().filter(|mail| String::from_utf8_lossy(mail).contains(&subject)).count();
        assert_eq!(found, 1, "{subject}");
    }
    assert_eq!(mail.len(), count);
}

/// Messages that make it hard: what a Maildir holds need not look like a message.
fn hard_messages() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 9] = [
        b"From nobody\nSubject: x\n\nFrom here\n>From there\n>>From >From\n\n",
        b"Subject: crlf\r\n\r\nFrom a\r\n\r\n",
        b"Subject: nul\n\n\0\0\xff\n\n\n\n",
        b"\n",
        b"",
        b"From x Sun Nov  1 10:00:00 2026\n",
        b"Subject: mbox\n\nFrom a Sun Nov  1 10:00:00 2026\nSubject: inner\n\nx\n",
        b"\nFrom a Sun Nov  1 10:00:00 2026\n\n",
        b">\n>From\n>From \n",
    ];
    let long = [b"Subject: long\n\n".to_vec(), b"x".repeat(700_000), b"\nFrom y\n".to_vec()].concat();
    texts.iter().map(|text| text.to_vec()).chain([long]).collect()
}

fn maildir_in(folder: &Path) {
    let path = folder.join("Maildir");
    for part in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(path.join(part)).unwrap();
    }
    std::fs::write(path.join("tmp/170000.half"), "Subject: half").unwrap();
    std::fs::write(path.join("new/.hidden"), "x").unwrap();
    let mut sent = hard_messages();
    for (index, text) in sent.iter().enumerate() {
        let name = format!("{}.R{index}.host", 1_700_000_000 + index);
        let part = if index % 2 == 0 { format!("new/{name}") } else { format!("cur/{name}:2,S") };
        std::fs::write(path.join(part), text).unwrap();
    }
    sent.sort();
    let home = maildir_at(&path, "");
    home.fetch().ended(0, "done");
    assert_eq!(home.mail(), sent);
    // Read, moved and flagged: it is the same mail.
    std::fs::rename(path.join("new/1700000000.R0.host"), path.join("cur/1700000000.R0.host:2,FS")).unwrap();
    std::fs::rename(path.join("cur/1700000001.R1.host:2,S"), path.join("cur/1700000001.R1.host:2,")).unwrap();
    let again = home.fetch();
    again.ended(0, "done");
    assert_eq!((again.number("messages_new"), again.number("bytes_down")), (0, 0));
    let listed = home.run(&["list", "home", "--json"]);
    assert_eq!(listed.out.matches("\"state\":\"here\"").count(), sent.len(), "{}", listed.out);
    assert!(listed.out.contains("\"subject\":\"long\""), "{}", listed.out);
    // One comes in, one is deleted.
    std::fs::write(path.join("new/1700000100.R.host"), "Subject: late\n\nx\n").unwrap();
    let late = home.fetch();
    assert!(late.number("messages_new") == 1 && late.number("bytes_down") < 100, "{}", late.out);
    std::fs::remove_file(path.join("cur/1700000000.R0.host:2,FS")).unwrap();
    let fewer = home.fetch();
    fewer.ended(0, "done");
    assert_eq!(fewer.number("messages_new"), 0);
    // Found by its looks, without being told that it is one.
    let home = at(&path, "");
    home.fetch().ended(0, "done");
    assert_eq!(home.mail().len(), sent.len());
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_maildir_comes_home_byte_for_byte_whatever_is_in_it() {
    maildir_in(tempfile::tempdir().unwrap().path());
}

#[test]
fn a_message_of_a_maildir_that_ends_in_mid_line_gets_its_newline() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["new", "cur", "tmp"] {
        std::fs::create_dir(dir.path().join(part)).unwrap();
    }
    for (index, text) in
        ["Subject: a\n\nFrom x", "Subject: b\r\n\r\nx\r", "Subject: c\n\nFrom"].iter().enumerate()
    {
        std::fs::write(dir.path().join(format!("new/{index}.R.host")), text).unwrap();
    }
    let home = maildir_at(dir.path(), "");
    home.fetch().ended(0, "done");
    let texts = home.mail().into_iter().map(|mail| String::from_utf8(mail).unwrap()).collect::<Vec<_>>();
    assert_eq!(texts, ["Subject: a\n\nFrom x\n", "Subject: b\r\n\r\nx\r\n", "Subject: c\n\nFrom\n"]);
}

#[test]
fn a_maildir_whose_messages_are_moved_while_it_is_read_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Maildir");
    for part in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(path.join(part)).unwrap();
    }
    let name = |index: usize| format!("{}.R{index}.host", 1_700_000_000 + index);
    for index in 0..300 {
        std::fs::write(path.join("new").join(name(index)), format!("Subject: n{index}.\n\nx\n")).unwrap();
    }
    let home = maildir_at(&path, "");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for index in 0..300 {
                let to = path.join("cur").join(name(index) + ":2,S");
                std::fs::rename(path.join("new").join(name(index)), to).unwrap();
                pause(Duration::from_millis(3));
            }
        });
        for _ in 0..3 {
            home.fetch().ended(0, "done");
        }
    });
    home.fetch().ended(0, "done");
    assert_eq!(home.mail().len(), 300);
}

#[test]
fn mail_is_not_delivered_to_the_mailbox_that_it_is_read_from() {
    let (dir, path) = spool(&sample());
    std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
    let deliver = |kind: &str, name: &str| {
        format!("deliver = {{ {kind} = {:?} }}\n", dir.path().join(name).display().to_string())
    };
    for home in [
        at(&path, &deliver("mbox", "mary")),
        at(&path, &deliver("mbox", "link")),
        maildir_at(&dir.path().join("Maildir"), &deliver("maildir", "Maildir")),
    ] {
        let ran = home.fetch();
        ran.ended(78, "config");
        assert!(ran.err.contains("again and again"), "{}", ran.err);
    }
    assert_eq!(std::fs::read(&path).unwrap(), sample());
}

#[test]
fn keys_that_mean_nothing_for_a_path_are_refused_with_the_reason() {
    for (more, says) in [
        ("mailbox = \"/x\"\nphone = \"1\"\n", "nothing is dialled"),
        ("mailbox = \"/x\"\nredial = true\n", "nothing is dialled"),
        ("mailbox = \"/x\"\nuser = \"mary\"\n", "nobody logs in"),
        ("mailbox = \"/x\"\npassword = { env = \"X\" }\n", "nobody logs in"),
        ("mailbox = \"/x\"\ntransfer = \"text\"\n", "nothing is transferred"),
        ("mailbox = \"/x\"\nanswer = true\n", "needs a modem"),
        ("mailbox = \"x\"\n", "whole from / or ~/ on"),
        ("mailbox = { mbox = \"/x\" }\n", "maildir ="),
    ] {
        let home = Home::with_line("kind = \"file\"\n", more);
        let ran = home.fetch();
        ran.ended(78, "config");
        assert!(ran.err.contains(says) && ran.err.contains("config.toml:"), "{more}: {}", ran.err);
    }
    let home =
        Home::with_line("kind = \"exec\"\ncommand = [\"sh\"]\n", "mailbox = { maildir = \"~/Maildir\" }\n");
    let ran = home.fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("over a line only an mbox is carried"), "{}", ran.err);
    let both = "[line.a]\nkind = \"file\"\n[line.b]\nkind = \"exec\"\ncommand = [\"sh\"]\n[account.home]\nline = [\"a\", \"b\"]\n";
    home.configure(both);
    assert!(home.fetch().err.contains("stands alone"));
}

#[test]
fn a_dry_run_tells_where_the_mailbox_is() {
    let (_dir, path) = spool(&sample());
    let ran = at(&path, "").run(&["fetch", "--dry-run", "home"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains(&format!("the mailbox is {}\n", path.display())), "{}", ran.out);
    assert!(ran.out.contains("nothing is called"), "{}", ran.out);
}

#[test]
fn a_mailbox_dated_in_the_future_comes_whole_at_once() {
    let (_dir, path) = spool([message("one"), message("two")].concat().as_bytes());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    #[allow(clippy::disallowed_methods)]
    file.set_modified(SystemTime::now() + Duration::from_secs(24 * 3600)).unwrap();
    let ran = at(&path, "").fetch();
    ran.ended(0, "done");
    assert_eq!((ran.number("messages_new"), ran.number("messages_left")), (2, 0));
}

#[test]
fn blank_lines_alone_are_no_message_that_is_still_being_written() {
    let (_dir, path) = spool(b"\n\n");
    at_rest(&path);
    let ran = at(&path, "").fetch();
    ran.ended(0, "done");
    assert_eq!((ran.number("messages_new"), ran.number("messages_left")), (0, 0));
}

/// Each write counts as an operation, and so does each sync: were there one for every 32 KiB, as over a
/// line, this disk would be full of them.
#[tokio::test]
async fn a_large_mailbox_on_a_path_is_not_held_up_by_a_sync_for_every_piece() {
    let (dir, path) = spool(format!("{}{}\n", message("large"), "x".repeat(8 << 20)).as_bytes());
    at_rest(&path);
    let disk = FaultyDisk::new(Arc::new(HostDisk), 200, Fault::Killed);
    let (state, delivery) = (dir.path().join("state"), Delivery::Maildir(dir.path().join("Mail")));
    #[allow(clippy::disallowed_methods)]
    let now = SystemTime::now();
    let store = Store::open_on(Arc::new(disk.clone()), &state, "home", "mary", delivery, now);
    let mut store = store.expect("the disk is new");
    let mut mailbox = ByPath::new(Spool::new(&path, Form::Either), store.folder().to_owned(), |_| {});
    let _ = fetch(&mut mailbox, &mut store).await; // delivering takes more operations than there are
    assert_eq!(store.part_end(), std::fs::metadata(&path).unwrap().len());
}

#[test]
fn two_messages_of_a_maildir_that_share_a_name_both_come_and_neither_is_deleted_for_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let maildir = dir.path().join("Maildir");
    for folder in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(maildir.join(folder)).unwrap();
    }
    let files = [("new/1.M1.h", "one"), ("cur/1.M1.h:2,S", "another"), ("cur/2.M1.h:2,", "two")];
    for (name, subject) in files {
        std::fs::write(maildir.join(name), format!("Subject: {subject}\n\n")).unwrap();
    }
    let home = maildir_at(&maildir, "");
    assert_eq!(home.fetch().ended(0, "done").number("messages_new"), 3);
    let ran = home.run(&["delete", "home", "1"]);
    assert!(ran.code != 0 && ran.err.contains("two messages have this name"), "{}{}", ran.out, ran.err);
    assert!(files.iter().all(|(name, _)| maildir.join(name).exists()));
    assert_eq!(home.run(&["delete", "home", "3"]).code, 0);
    assert!(!maildir.join("cur/2.M1.h:2,").exists() && maildir.join("new/1.M1.h").exists());
}
