//! The command run by real shells over real files: what is left in the mailbox, whoever else is at it
//! and wherever it is cut off.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::mailbox::digest::PrefixDigest;
use crate::shell::COMMAND_BYTES_MAX;
use crate::shell::quote::quote_path;

/// A host: a folder with a home, a mailbox, and the only programs that can be found.
struct Host {
    dir: tempfile::TempDir,
    name: &'static str,
    digest: DigestTool,
    fcntl: Option<Fcntl>,
    env: Vec<(&'static str, String)>,
    /// Instead of a command's 120 tries.
    tries: u32,
}

impl Host {
    /// A host with these programs beside the plainest.
    fn with(sh: &str, programs: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["bin", "home"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let sh = find(sh)?;
        let busybox = sh.ends_with("busybox");
        let all = PLAIN.iter().chain(programs);
        for program in all {
            // BusyBox has all that is plain in one file, and this is a host that has nothing else.
            let found = if busybox && PLAIN.contains(program) { Some(sh.clone()) } else { find(program) };
            symlink(found?, dir.path().join("bin").join(program)).unwrap();
        }
        // A shell behaves as sh when that is its name.
        symlink(&sh, dir.path().join("bin/sh")).unwrap();
        Some(Self { dir, name: "box", digest: DigestTool::Sha256sum, fcntl: None, env: Vec::new(), tries: 2 })
    }

    fn plain() -> Self {
        Self::with("sh", &[]).expect("what every system has")
    }

    fn mailbox(&self) -> PathBuf {
        self.dir.path().join(self.name)
    }

    fn holds(&self, bytes: &[u8]) {
        std::fs::write(self.mailbox(), bytes).unwrap();
    }

    fn held(&self) -> Vec<u8> {
        std::fs::read(self.mailbox()).unwrap()
    }

    fn commands(&self, known: &[u8], ranges: &[Range<u64>]) -> Vec<String> {
        let mut digest = PrefixDigest::new();
        digest.update(known);
        let digest = match self.digest {
            DigestTool::Sha256sum => digest.sha256_hex(),
            DigestTool::Md5sum => digest.md5_hex(),
            DigestTool::Cksum => digest.cksum().to_string(),
        };
        let path = quote_path(self.mailbox().to_str().unwrap().as_bytes());
        let order = Order {
            path: &path,
            digest_tool: self.digest,
            fcntl: self.fcntl,
            known: known.len() as u64,
            digest: &digest,
            ranges,
        };
        order.commands(COMMAND_BYTES_MAX)
    }

    /// As the agent runs it: the definitions one after the other, then the command.
    fn command(&self, known: &[u8], ranges: &[Range<u64>]) -> Command {
        let script = self.commands(known, ranges).join("\n");
        let script = script.replace("[ $i -lt 120 ]", &format!("[ $i -lt {} ]", self.tries));
        let mut command = Command::new(self.dir.path().join("bin/sh"));
        command.arg("-c").arg(script).stdin(Stdio::null());
        command
            .env_clear()
            .env("PATH", self.dir.path().join("bin"))
            .env("HOME", self.home())
            .env("LC_ALL", "C");
        command.envs(self.env.iter().map(|(name, value)| (*name, value.as_str())));
        command.process_group(0);
        command
    }

    fn remove(&self, known: &[u8], ranges: &[Range<u64>]) -> Answer {
        answer(&self.command(known, ranges).output().unwrap())
    }

    /// A removal that is made to stop, if it comes so far; whether it did.
    fn removes_up_to(&self, step: usize, action: &str, known: &[u8], ranges: &[Range<u64>]) -> bool {
        std::fs::write(self.dir.path().join("steps"), "0").unwrap();
        let mut command = self.command(known, ranges);
        command.env("AT", step.to_string()).env("ACTION", action);
        let _ = command.output().unwrap();
        let steps: usize =
            std::fs::read_to_string(self.dir.path().join("steps")).unwrap().trim().parse().unwrap();
        steps >= step
    }

    /// Each run of one of these counts; at the one asked for something happens first.
    fn count_steps(&self, programs: &[&str]) {
        for program in programs {
            let path = self.dir.path().join("bin").join(program);
            let real = std::fs::read_link(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            let steps = self.dir.path().join("steps").display().to_string();
            let script = format!(
                "#!/bin/sh\nn=$(($(/bin/cat {steps})+1));echo $n >{steps}\n\
                 [ \"$n\" = \"$AT\" ]&&eval \"$ACTION\"\nexec {} \"$@\"\n",
                real.display()
            );
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn is_tidy(&self) {
        let left = |folder: &Path| -> Vec<String> {
            let names = std::fs::read_dir(folder).unwrap();
            names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(left(&self.home()), Vec::<String>::new());
        let beside = left(self.dir.path());
        assert!(!beside.iter().any(|name| name.contains(".lock")), "{beside:?}");
    }
}

fn answer(output: &Output) -> Answer {
    Answer::parse(&output.stdout).unwrap_or_else(|| panic!("{output:?}"))
}

/// What the work uses, where it is there.
const PLAIN: &[&str] = &[
    "printf",
    "wc",
    "dd",
    "sha256sum",
    "md5sum",
    "cksum",
    "ls",
    "ln",
    "rm",
    "mv",
    "find",
    "uname",
    "sync",
    "sleep",
    "readlink",
    "touch",
];

/// The program itself; a shim of pyenv needs more of a PATH than our hosts have.
fn find(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(program));
    let found = folders.into_iter().find(|path| path.exists());
    if found.is_none() {
        println!("SKIPPED: {program} is not installed");
        assert!(std::env::var_os("CI").is_none(), "CI has {program}");
    }
    found
}

/// Messages of these sizes, at least, and where each stands.
fn mail(sizes: &[usize]) -> (Vec<u8>, Vec<Range<u64>>) {
    let mut mail = Vec::new();
    let mut places = Vec::new();
    for (number, &size) in sizes.iter().enumerate() {
        let start = mail.len();
        mail.extend_from_slice(
            format!("From a@example.org Sun Nov  1 10:00:{number:02} 2026\nSubject: {number}\n\n").as_bytes(),
        );
        while mail.len() < start + size {
            mail.extend_from_slice(format!("{} line of {number}, \\n %s \u{e9}\n", mail.len()).as_bytes());
        }
        mail.push(b'\n');
        places.push(start as u64..mail.len() as u64);
    }
    (mail, places)
}

fn without(mail: &[u8], ranges: &[Range<u64>]) -> Vec<u8> {
    let gone = |at: usize| ranges.iter().any(|range| range.contains(&(at as u64)));
    mail.iter().enumerate().filter(|(at, _)| !gone(*at)).map(|(_, &byte)| byte).collect()
}

fn chosen(places: &[Range<u64>], numbers: &[usize]) -> Vec<Range<u64>> {
    numbers.iter().map(|&number| places[number].clone()).collect()
}

const SIZES: &[usize] = &[10, 5_000, 300, 12_288, 100, 100, 9_000];
const LATE: &[u8] = b"From late@example.org Sun Nov  1 12:00:00 2026\n\nlate\n\n";

#[test]
fn every_shell_removes_the_right_bytes_under_every_lock_there_is() {
    let fcntls = [(Some(Fcntl::Perl), "perl"), (Some(Fcntl::Python3), "python3"), (None, "ls")];
    let dotlocks = ["dotlockfile", "lockfile", "mutt_dotlock", "ls"];
    let (mail, places) = mail(SIZES);
    for sh in ["dash", "bash", "busybox", "mksh", "ksh", "zsh"] {
        for (fcntl, interpreter) in fcntls {
            for dotlock in dotlocks {
                let few: Vec<&str> =
                    [interpreter, dotlock].into_iter().filter(|program| !PLAIN.contains(program)).collect();
                let Some(mut host) = Host::with(sh, &few) else { continue };
                host.fcntl = fcntl;
                host.holds(&[&mail[..], LATE].concat());
                let ranges = chosen(&places, &[1, 2, 4]);
                let answer = host.remove(&mail, &ranges);
                assert_eq!(answer.outcome, Outcome::Removed, "{sh}, {few:?}: {answer:?}");
                assert_eq!(host.held(), [&without(&mail, &ranges)[..], LATE].concat(), "{sh}, {few:?}");
                let mut locks = vec![if dotlock == "ls" { "ln" } else { dotlock }.to_owned()];
                locks.extend(fcntl.map(|_| "fcntl".to_owned()));
                assert_eq!(answer.locks, locks, "{sh}");
                host.is_tidy();
            }
        }
    }
}

#[test]
fn names_that_try_to_be_commands_stay_names() {
    let (mail, places) = mail(SIZES);
    for name in ["two words", "it's", "$(reboot)", "new\nline", "-n", "caf\u{e9}", "\"; rm -rf x"] {
        let mut host = Host::with("sh", &["perl"]).unwrap();
        (host.name, host.fcntl) = (name, Some(Fcntl::Perl));
        host.holds(&mail);
        assert_eq!(host.remove(&mail, &places[3..5]).outcome, Outcome::Removed, "{name:?}");
        assert_eq!(host.held(), without(&mail, &places[3..5]), "{name:?}");
        host.is_tidy();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_choice_of_messages_of_any_size_goes_and_the_rest_stays(
        sizes in prop::collection::vec(prop_oneof![60usize..300, 4_000usize..4_200, 8_000usize..20_000], 1..8),
        choice in any::<u8>(),
        known in 1usize..8,
    ) {
        let host = Host::plain();
        let (mail, places) = mail(&sizes);
        let known = known.min(places.len());
        let ranges: Vec<_> =
            places[..known].iter().enumerate().filter(|(at, _)| choice >> at & 1 == 1).map(|(_, range)| range.clone()).collect();
        host.holds(&mail);
        let answer = host.remove(&mail[..places[known - 1].end as usize], &ranges);
        prop_assert_eq!(answer.outcome, if ranges.is_empty() { Outcome::Finished } else { Outcome::Removed });
        prop_assert!(host.held() == without(&mail, &ranges));
        host.is_tidy();
    }
}

#[test]
fn a_mailbox_that_changed_is_left_alone() {
    let host = Host::plain();
    let (mail, places) = mail(SIZES);
    let is_left = |held: &[u8], ranges: &[Range<u64>]| {
        host.holds(held);
        assert_eq!(host.remove(&mail, ranges).outcome, Outcome::Changed);
        assert!(host.held() == held);
        host.is_tidy();
    };
    let mut other = mail.clone();
    other[20] ^= 1;
    is_left(&other, &places[1..2]);
    is_left(&mail[..mail.len() - 1], &places[1..2]);
    is_left(b"", &places[1..2]);
    // An edge that is none, at either end.
    is_left(&mail, std::slice::from_ref(&(places[1].start + 1..places[1].end)));
    is_left(&mail, std::slice::from_ref(&(places[1].start..places[1].end - 1)));
    // The last message known was not complete.
    is_left(&[&mail[..], b"it goes on\n"].concat(), &places[6..]);
    std::fs::remove_file(host.mailbox()).unwrap();
    assert_eq!(host.remove(&mail, &places[1..2]).outcome, Outcome::Changed);
    assert!(!host.mailbox().exists());
}

#[test]
fn nothing_is_removed_while_another_has_the_dotlock_and_a_stale_one_goes() {
    let (mail, places) = mail(SIZES);
    for programs in [&["dotlockfile"][..], &["lockfile"], &["mutt_dotlock"], &[]] {
        let Some(host) = Host::with("sh", programs) else { continue };
        host.holds(&mail);
        let lock = host.dir.path().join("box.lock");
        std::fs::write(&lock, "0").unwrap();
        assert_eq!(
            host.remove(&mail, &places[..1]).outcome,
            Outcome::Failed(Obstacle::Locked),
            "{programs:?}"
        );
        assert!(host.held() == mail && lock.exists());
        let aged = Command::new("touch").args(["-d", "10 minutes ago"]).arg(&lock).status().unwrap();
        assert!(aged.success());
        assert_eq!(host.remove(&mail, &places[..1]).outcome, Outcome::Removed, "{programs:?}");
        host.is_tidy();
    }
}

#[test]
fn nothing_is_removed_while_another_has_the_fcntl_lock_and_the_dotlock_is_not_held_meanwhile() {
    let (mail, places) = mail(SIZES);
    for (fcntl, program) in [(Fcntl::Perl, "perl"), (Fcntl::Python3, "python3")] {
        let Some(mut host) = Host::with("sh", &[program]) else { continue };
        let Some(python) = find("python3") else { return };
        host.fcntl = Some(fcntl);
        host.holds(&mail);
        let script = "import fcntl,sys\nf=open(sys.argv[1],'r+b')\nfcntl.lockf(f,2)\nprint('held',flush=True)\nsys.stdin.read()";
        let mut holder = Command::new(python)
            .args(["-c", script])
            .arg(host.mailbox())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 5];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut said).unwrap();
        let answer = host.remove(&mail, &places[..1]);
        assert_eq!(answer.outcome, Outcome::Failed(Obstacle::Locked), "{program}");
        assert!(host.held() == mail);
        host.is_tidy();
        drop(holder.stdin.take());
        holder.wait().unwrap();
        assert_eq!(host.remove(&mail, &places[..1]).outcome, Outcome::Removed, "{program}");
    }
}

/// What tries to take the fcntl lock in the middle, as a delivery would.
const TRY_LOCK: &str = "python3 -c 'import fcntl,sys\ntry:fcntl.lockf(open(sys.argv[1],\"r+b\"),6)\nexcept OSError:pass\n\
else:open(sys.argv[2],\"a\").write(sys.argv[3])' \"$BOX\" \"$GOT\" \"$AT \"";

#[test]
fn the_fcntl_lock_is_held_at_every_step_up_to_the_last() {
    let (mail, places) = mail(SIZES);
    for (sh, interpreter, fcntl) in [
        ("dash", "perl", Fcntl::Perl),
        ("dash", "python3", Fcntl::Python3),
        ("bash", "perl", Fcntl::Perl),
        ("mksh", "perl", Fcntl::Perl),
        ("ksh", "perl", Fcntl::Perl),
        ("zsh", "perl", Fcntl::Perl),
    ] {
        let Some(mut host) = Host::with(sh, &[interpreter]) else { continue };
        let Some(python) = find("python3") else { return };
        let got = host.dir.path().join("got");
        host.fcntl = Some(fcntl);
        host.env = vec![("BOX", host.mailbox().display().to_string()), ("GOT", got.display().to_string())];
        host.count_steps(&["dd", "mv", "sync"]);
        let action = TRY_LOCK.replace("python3", python.to_str().unwrap());
        let mut step = 0;
        loop {
            step += 1;
            host.holds(&mail);
            if !host.removes_up_to(step, &action, &mail, &chosen(&places, &[0, 3])) {
                break;
            }
            assert!(host.held() == without(&mail, &chosen(&places, &[0, 3])));
        }
        assert!(step > 10, "{step} steps");
        assert!(!got.exists(), "{sh}: the lock was to be had at {:?}", std::fs::read_to_string(&got));
    }
}

#[test]
fn killed_before_any_step_it_leaves_the_old_mailbox_or_what_the_next_call_makes_the_new_one() {
    let (mail, places) = mail(SIZES);
    for numbers in [&[1, 4][..], &[0, 1, 2, 3, 4, 5, 6], &[5, 6]] {
        let ranges = chosen(&places, numbers);
        let host = Host::plain();
        host.count_steps(&["dd", "mv", "sync", "rm", "ln"]);
        let (old, new) = (&mail[..], &without(&mail, &ranges)[..]);
        let (mut step, mut mended) = (0, 0);
        loop {
            step += 1;
            host.holds(&mail);
            // Half of what was to be written may be there.
            let action = "case \"$*\" in *conv=notrunc*)/bin/dd \"$@\" count=1;;esac;kill -9 0";
            if !host.removes_up_to(step, action, &mail, &ranges) {
                break;
            }
            let _ = std::fs::remove_file(host.dir.path().join("box.lock")); // as if 5 minutes had passed
            let cut_off = host.held();
            let late: &[u8] = if step % 2 == 0 { LATE } else { b"" };
            std::fs::write(host.mailbox(), [&cut_off[..], late].concat()).unwrap();
            let answer = host.remove(&[], &[]);
            assert_eq!(answer.outcome, Outcome::Finished, "step {step}: {answer:?}");
            assert_eq!(answer.kept, None, "step {step}");
            let held = host.held();
            let held =
                held.strip_suffix(late).unwrap_or_else(|| panic!("step {step}: what came late is lost"));
            assert!(held == old || held == new, "step {step}: half a mailbox");
            if cut_off != old && cut_off != new {
                assert!(answer.mended && held == new, "step {step}");
            }
            mended += usize::from(answer.mended);
            host.is_tidy_but_for_unique_names();
        }
        println!("{numbers:?}: {step} steps, {mended} mended");
        assert!(numbers != [1, 4] || mended >= 3, "{mended} of {step}");
        assert!(host.held() == new);
    }
}

impl Host {
    /// A kill between making a file to link and removing it leaves that file.
    fn is_tidy_but_for_unique_names(&self) {
        for file in std::fs::read_dir(self.dir.path()).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("box.lock.") {
                std::fs::remove_file(path).unwrap();
            }
        }
        self.is_tidy();
    }
}

#[test]
fn a_hangup_at_any_step_ends_nothing() {
    let (mail, places) = mail(SIZES);
    let ranges = chosen(&places, &[1, 4]);
    for (fcntl, more) in
        [(None, &[][..]), (Some(Fcntl::Perl), &["perl"]), (Some(Fcntl::Python3), &["python3"])]
    {
        let Some(mut host) = Host::with("sh", more) else { continue };
        host.fcntl = fcntl;
        host.count_steps(&["dd", "mv", "sync", "rm"]);
        let mut step = 0;
        loop {
            step += 1;
            host.holds(&mail);
            if !host.removes_up_to(step, "kill -1 0;kill -15 0;kill -2 0", &mail, &ranges) {
                break;
            }
            assert!(host.held() == without(&mail, &ranges), "step {step}");
            host.is_tidy();
        }
        assert!(step > 10);
    }
}

#[test]
fn mail_of_a_program_that_does_not_lock_is_kept_at_whatever_step_it_comes() {
    let (mail, places) = mail(SIZES);
    let ranges = chosen(&places, &[1, 4]);
    let mut host = Host::plain();
    host.env = vec![
        ("BOX", host.mailbox().display().to_string()),
        ("LATE", String::from_utf8_lossy(LATE).into_owned()),
    ];
    host.count_steps(&["dd", "mv", "sync"]);
    let mut step = 0;
    let mut lost = Vec::new();
    loop {
        step += 1;
        host.holds(&mail);
        if !host.removes_up_to(step, "printf %s \"$LATE\" >>\"$BOX\"", &mail, &ranges) {
            break;
        }
        let new = without(&mail, &ranges);
        if host.held() == new {
            lost.push(step);
        } else {
            assert!(host.held() == [&new[..], LATE].concat(), "step {step}");
        }
        host.is_tidy();
    }
    // Between the last look at the size and the cut there is no help without a lock.
    println!("without a lock, lost at {lost:?} of {step}");
    assert!(lost.len() <= 1, "{lost:?} of {step}");
}

#[test]
fn a_copy_that_no_longer_fits_is_kept_and_its_place_told() {
    let (mail, places) = mail(SIZES);
    let ranges = chosen(&places, &[1, 4]);
    let host = Host::plain();
    host.count_steps(&["dd", "mv", "sync", "rm"]);
    let plan_is_there = |step| {
        host.holds(&mail);
        let _ = std::fs::remove_file(host.dir.path().join("box.lock"));
        host.removes_up_to(step, "kill -9 0", &mail, &ranges);
        let names = std::fs::read_dir(host.home()).unwrap();
        names.into_iter().any(|file| file.unwrap().path().extension().is_some_and(|name| name == "m"))
    };
    let step = (1..100).find(|&step| plan_is_there(step)).expect("a step with a plan");
    println!("the plan is there at step {step}");
    let _ = std::fs::remove_file(host.dir.path().join("box.lock"));
    // Meanwhile another program removed a message.
    let other = without(&mail, &places[..1]);
    host.holds(&other);
    let answer = host.remove(&other, &[]);
    let kept = answer.kept.expect("a place");
    let mut rest = without(&mail, &ranges);
    assert!(rest.ends_with(&std::fs::read(&kept).unwrap()), "the end of what would have been");
    rest.clear();
    assert!(host.held() == other);
    std::fs::remove_file(kept).unwrap();
    assert_eq!(host.remove(&other, &[]), Answer { kept: None, ..host.remove(&other, &[]) });
    host.is_tidy_but_for_unique_names();
}

#[test]
fn without_a_lock_room_or_permission_nothing_is_touched() {
    let (mail, places) = mail(SIZES);
    let fails = |host: &Host, obstacle| {
        host.holds(&mail);
        assert_eq!(host.remove(&mail, &places[1..2]).outcome, Outcome::Failed(obstacle));
        assert!(host.held() == mail);
    };
    let host = Host::plain();
    std::fs::remove_file(host.dir.path().join("bin/ln")).unwrap();
    fails(&host, Obstacle::NoLock);
    let mut host = Host::plain();
    host.env = vec![("HOME", "/dev/null/home".to_owned())];
    fails(&host, Obstacle::NoRoom);
    assert!(!host.dir.path().join("box.lock").exists());
    let host = Host::plain();
    // Whatever of the copy could not be written is seen in its length, too.
    let broken = host.dir.path().join("bin/dd");
    std::fs::remove_file(&broken).unwrap();
    std::fs::write(
        &broken,
        "#!/bin/sh\ncase \"$*\" in *bs=4096\\ skip=[1-9]*)exit 1;;esac;exec /bin/dd \"$@\"\n",
    )
    .unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    fails(&host, Obstacle::NoRoom);
    host.is_tidy();
}

#[test]
fn a_write_that_fails_keeps_the_copy_and_the_next_call_ends_it() {
    let (mail, places) = mail(SIZES);
    let host = Host::plain();
    host.holds(&mail);
    let dd = host.dir.path().join("bin/dd");
    std::fs::remove_file(&dd).unwrap();
    let script =
        "#!/bin/sh\ncase \"$*\" in *notrunc*)/bin/dd \"$@\" count=1;exit 1;;esac;exec /bin/dd \"$@\"\n";
    std::fs::write(&dd, script).unwrap();
    std::fs::set_permissions(&dd, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(host.remove(&mail, &places[1..2]).outcome, Outcome::Failed(Obstacle::Unwritten));
    std::fs::remove_file(&dd).unwrap();
    symlink(find("dd").unwrap(), &dd).unwrap();
    let answer = host.remove(&mail, &places[1..2]);
    // It is done by now: so the mailbox is not what was known.
    assert_eq!((answer.outcome, answer.mended), (Outcome::Changed, true));
    assert!(host.held() == without(&mail, &places[1..2]));
    host.is_tidy();
}

#[test]
fn what_is_done_for_a_large_mailbox_is_sh_too() {
    let digest_tool = DigestTool::Cksum;
    let ranges = [0..10, 20..30];
    let known = QUICK_BYTES + 1;
    let order = Order { path: "x", digest_tool, fcntl: None, known, digest: "1", ranges: &ranges };
    for text in [order.work(20), order.run()] {
        let checked = Command::new("sh").args(["-n", "-c", &text]).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
    assert!(order.work(20).contains(FRESH) && !Order { known: 30, ..order }.work(20).contains(FRESH));
}

#[test]
fn a_few_ranges_are_one_command_and_six_hundred_are_several() {
    let host = Host { fcntl: Some(Fcntl::Perl), ..Host::with("sh", &["perl"]).unwrap() };
    let (mail, places) = mail(&[2_000; 609]);
    host.holds(&mail);
    let one = host.commands(&mail, &places[..1]);
    println!("one range: {} bytes", one.iter().map(String::len).sum::<usize>());
    assert_eq!(one.len(), 1);
    let odd: Vec<_> = places.iter().step_by(2).cloned().collect();
    let many = host.commands(&mail, &odd);
    assert!(many.len() > 1 && many.iter().all(|command| command.len() <= COMMAND_BYTES_MAX));
    assert_eq!(host.remove(&mail, &odd).outcome, Outcome::Removed);
    assert!(host.held() == without(&mail, &odd));
    // All of them touch: one range again.
    host.holds(&mail);
    assert_eq!(host.commands(&mail, &places).len(), 1);
    assert_eq!(host.remove(&mail, &places).outcome, Outcome::Removed);
    assert_eq!(host.held(), b"");
}

#[test]
fn real_deliveries_meanwhile_arrive_whole_and_once() {
    let Some(procmail) = find("procmail") else { return };
    let Some(mut host) = Host::with("sh", &["perl"]) else { return };
    (host.fcntl, host.tries) = (Some(Fcntl::Perl), 120);
    host.holds(b"");
    let rc = host.dir.path().join("rc");
    std::fs::write(&rc, format!("LOCKSLEEP=1\nDEFAULT={}\n", host.mailbox().display())).unwrap();
    let deliver = |number: usize| {
        let mut mda = Command::new(&procmail);
        let mut mda =
            mda.args(["-f", "eve@example.org", "-m"]).arg(&rc).stdin(Stdio::piped()).spawn().unwrap();
        let text = format!(
            "Subject: {number}\n\n{}end of {number}\n",
            format!("line of {number}\n").repeat(number % 50)
        );
        std::io::Write::write_all(&mut mda.stdin.take().unwrap(), text.as_bytes()).unwrap();
        assert!(mda.wait().unwrap().success());
    };
    let mut home = Vec::new();
    let removals = AtomicUsize::new(0);
    let delivered = std::thread::scope(|scope| {
        let deliveries = scope.spawn(|| {
            let more = |&number: &usize| {
                number < DELIVERIES || removals.load(Ordering::Relaxed) < REMOVALS && number < DELIVERIES_MAX
            };
            (0..).take_while(more).inspect(|&number| deliver(number)).count()
        });
        loop {
            let over = deliveries.is_finished();
            let held = host.held();
            // Up to the last blank line in front of a From_ line: what is whole for sure.
            let whole = match memchr::memmem::rfind(&held, b"\n\nFrom ") {
                _ if over => held.len(),
                at => at.map_or(0, |at| at + 2),
            };
            let range = 0..whole as u64;
            let remove = || host.remove(&held[..whole], std::slice::from_ref(&range)).outcome;
            if whole > 0 && remove() == Outcome::Removed {
                home.extend_from_slice(&held[..whole]);
                removals.fetch_add(1, Ordering::Relaxed);
            }
            if over && host.held().is_empty() {
                return deliveries.join().unwrap();
            }
        }
    });
    println!("{} removals during {delivered} deliveries", removals.load(Ordering::Relaxed));
    for number in 0..delivered {
        let text = format!(
            "Subject: {number}\n\n{}end of {number}\n",
            format!("line of {number}\n").repeat(number % 50)
        );
        let times = memchr::memmem::find_iter(&home, text.as_bytes()).count();
        assert_eq!(times, 1, "message {number}");
    }
    assert_eq!(memchr::memmem::find_iter(&home, b"Subject: ").count(), delivered);
    assert!(removals.into_inner() >= REMOVALS);
}

/// At least so many, and more until there were so many removals meanwhile.
const DELIVERIES: usize = 100;
const REMOVALS: usize = 6;
const DELIVERIES_MAX: usize = 5_000;

#[test]
fn a_reply_that_is_none_is_refused() {
    for reply in ["", "o", "e", "e x", "q\ne 0", "o now\ne 0", "\u{fffd}\ne 0"] {
        assert_eq!(Answer::parse(reply.as_bytes()), None, "{reply:?}");
    }
    let broken = |status| Some(Outcome::Failed(Obstacle::Broken(status)));
    let outcome = |reply: &str| Answer::parse(reply.as_bytes()).map(|answer| answer.outcome);
    assert_eq!(outcome("e 2\n"), broken(2));
    assert_eq!(outcome("e 0\n"), broken(0));
    assert_eq!(outcome("y fcntl\nk\ne 0\n"), Some(Outcome::Finished));
    assert_eq!(outcome("e 9\n"), Some(Outcome::Failed(Obstacle::Locked)));
}
