//! Messages taken out of an mbox in place, killed or without power at every disk operation: afterwards
//! it is the old mailbox or the new one, with all the mail that came in since.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailcall::access::path::rewrite::{Resumed, Rewrite, RewriteError};
use mailcall::mailbox::digest::PrefixDigest;
use mailcall::store::disk::{Access, Disk};

#[path = "store/faulty_disk.rs"]
mod faulty_disk;
#[path = "store/memory_disk.rs"]
mod memory_disk;

use faulty_disk::{Fault, FaultyDisk};
use memory_disk::{Dice, Fate, MemoryDisk};

/// Seconds since 1970 when the tests take place.
pub const NOW: u64 = 1_700_000_000;
const SPOOL: &str = "/var/mail/mary";
const STATE: &str = "/state/mary";

fn message(number: usize, len: usize) -> String {
    let line = format!("line of {number}\n");
    let body = line.repeat(len / line.len() + 1);
    format!("From joe@example.org Thu Jan  1 00:00:{:02} 1970\nSubject: {number}\n\n{body}\n", number % 60)
}

fn digest(bytes: &[u8]) -> PrefixDigest {
    let mut digest = PrefixDigest::new();
    digest.update(bytes);
    digest
}

/// A mailbox of messages of these lengths, all known, of which some are to be removed.
struct Scene {
    before: Vec<u8>,
    known: usize,
    ranges: Vec<Range<u64>>,
    after: Vec<u8>,
}

impl Scene {
    fn new(lengths: &[usize], remove: &[usize], unknown: &str) -> Self {
        let (mut before, mut after, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
        for (number, len) in lengths.iter().enumerate() {
            let message = message(number, *len);
            let start = before.len() as u64;
            before.extend_from_slice(message.as_bytes());
            match remove.contains(&number) {
                true => ranges.push(start..before.len() as u64),
                false => after.extend_from_slice(message.as_bytes()),
            }
        }
        let known = before.len();
        before.extend_from_slice(unknown.as_bytes());
        after.extend_from_slice(unknown.as_bytes());
        Self { before, known, ranges, after }
    }

    fn disk(&self) -> MemoryDisk {
        let disk = MemoryDisk::new();
        disk.put(SPOOL, &self.before);
        for folder in ["/state", STATE] {
            disk.make_folder(Path::new(folder)).expect("made");
            disk.sync_folder(Path::new(folder).parent().expect("above")).expect("synced");
        }
        disk
    }

    fn known(&self) -> PrefixDigest {
        digest(&self.before[..self.known])
    }

    fn remove(&self, disk: &dyn Disk) -> Result<Option<PrefixDigest>, RewriteError> {
        let spool = disk.open(Path::new(SPOOL), Access::Edit).expect("there");
        let mut hold = |_| Ok(());
        let mut rewrite = Rewrite::new(disk, Path::new(STATE), Path::new(SPOOL), &*spool, &mut hold);
        rewrite.remove(&self.known(), &self.ranges)
    }
}

fn resume(disk: &dyn Disk) -> Result<Option<Resumed>, RewriteError> {
    let spool = disk.open(Path::new(SPOOL), Access::Edit).expect("there");
    let mut hold = |_| Ok(());
    Rewrite::new(disk, Path::new(STATE), Path::new(SPOOL), &*spool, &mut hold).resume()
}

fn spool(disk: &MemoryDisk) -> Vec<u8> {
    let files: BTreeMap<PathBuf, Vec<u8>> = disk.files("/var/mail").into_iter().collect();
    files[Path::new(SPOOL)].clone()
}

/// What a delivery does.
fn append(disk: &MemoryDisk, mail: &str) {
    let file = disk.open(Path::new(SPOOL), Access::Edit).expect("there");
    file.write_all_at(mail.as_bytes(), file.size().expect("a file")).expect("written");
    file.sync().expect("synced");
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let subjects: Vec<&str> = text.lines().filter(|line| line.starts_with("Subject")).collect();
    format!("{} bytes: {}", bytes.len(), subjects.join(", "))
}

/// Mailboxes, and what is taken out: the first, the last, all, some; with mail behind it that is not
/// known; messages larger than a piece, and such as move by less than their own length.
fn scenes() -> Vec<Scene> {
    let unknown = message(50, 400);
    vec![
        Scene::new(&[300, 5, 700, 60, 2000, 9], &[0], ""),
        Scene::new(&[300, 5, 700, 60, 2000, 9], &[1, 2, 4], &unknown),
        Scene::new(&[300, 5, 700], &[2], ""),
        Scene::new(&[300, 5, 700], &[0, 1, 2], ""),
        Scene::new(&[300, 5, 700], &[0, 1, 2], &unknown),
        Scene::new(&[10, 150_000, 70_000, 10], &[0, 2], &unknown),
        // The same message again and again: what stands at the old end looks like what was taken out.
        Scene { ..twins() },
    ]
}

fn twins() -> Scene {
    let one = message(7, 40);
    let len = one.len() as u64;
    Scene {
        before: one.repeat(4).into_bytes(),
        known: one.len() * 4,
        ranges: vec![0..len, len..2 * len],
        after: one.repeat(2).into_bytes(),
    }
}

const FATES: [Option<Fate>; 8] = [
    None,
    Some(Fate::Lost),
    Some(Fate::NamesOnly),
    Some(Fate::Zeros),
    Some(Fate::Kept),
    Some(Fate::Random(1)),
    Some(Fate::Random(2)),
    Some(Fate::Random(3)),
];

fn crash(disk: &MemoryDisk, fate: Option<Fate>) {
    fate.map_or_else(|| disk.kill(), |fate| disk.cut_power(fate));
}

/// The mailbox is the old one or the new one, and `later` stands behind it; and what is said of it is so.
fn check(scene: &Scene, disk: &MemoryDisk, later: &str, said: Option<Resumed>, context: &str) {
    let now = spool(disk);
    let with = |mailbox: &[u8]| [mailbox, later.as_bytes()].concat();
    match said {
        None => assert!(now == with(&scene.before), "{context}: not begun, but {}", shown(&now)),
        Some(Resumed::Done { before, known }) => {
            assert!(now == with(&scene.after), "{context}: done, but {}", shown(&now));
            assert_eq!(before.sha256_hex(), scene.known().sha256_hex());
            assert_eq!(known.sha256_hex(), digest(&now[..known.len() as usize]).sha256_hex());
        }
        Some(Resumed::GivenUp) => panic!("{context}: nobody else changed it"),
    }
}

#[test]
fn without_a_crash_just_the_messages_meant_are_gone() {
    for scene in scenes() {
        let disk = scene.disk();
        let left = scene.remove(&disk).expect("no fault").expect("unchanged");
        assert!(spool(&disk) == scene.after, "{}", shown(&spool(&disk)));
        let known = scene.known - scene.ranges.iter().map(|r| (r.end - r.start) as usize).sum::<usize>();
        assert_eq!(left.sha256_hex(), digest(&scene.after[..known]).sha256_hex());
        // The trace stays until it is dropped; the copy does not.
        assert_eq!(disk.files(STATE).len(), 1);
        assert!(matches!(resume(&disk), Ok(Some(Resumed::Done { .. }))));
    }
}

#[test]
fn killed_or_without_power_at_any_operation_no_mail_is_lost_and_none_comes_back() {
    for (number, scene) in scenes().iter().enumerate() {
        let large = scene.before.len() > 100_000;
        for later in ["", &message(7, 40), &message(7, 40).repeat(3), &message(8, 3000)] {
            // A large one costs time: a kill, and one power cut.
            for fate in FATES.into_iter().take(if large { 2 } else { FATES.len() }) {
                let struck = (0..).take_while(|&k| {
                    let disk = scene.disk();
                    let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Killed);
                    let went = scene.remove(&faulty);
                    assert_eq!(went.is_err(), faulty.struck());
                    crash(&disk, fate);
                    append(&disk, later);
                    let context = format!("scene {number}, fault at {k}, {fate:?}, {} later", later.len());
                    let said = resume(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
                    check(scene, &disk, later, said, &context);
                    faulty.struck()
                });
                assert!(struck.count() > 12);
            }
        }
    }
}

#[test]
fn crashes_of_the_recovery_with_mail_coming_in_between_change_nothing() {
    let mut dice = Dice(5);
    for scene in scenes() {
        let struck = (0..).take_while(|&k| {
            let disk = scene.disk();
            let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Killed);
            let _ = scene.remove(&faulty);
            let mut later = String::new();
            for turn in 0..5 {
                crash(&disk, FATES[dice.roll(FATES.len())]);
                if dice.roll(2) == 0 {
                    let mail = message([7, turn][dice.roll(2)], 40);
                    append(&disk, &mail);
                    later.push_str(&mail);
                }
                let again = FaultyDisk::new(Arc::new(disk.clone()), dice.roll(25) as u64, Fault::Killed);
                let _ = resume(&again);
            }
            crash(&disk, None);
            let said = resume(&disk).unwrap_or_else(|error| panic!("fault at {k}: {error}"));
            check(&scene, &disk, &later, said, &format!("fault at {k}, and in the recovery"));
            faulty.struck()
        });
        assert!(struck.count() > 12);
    }
}

#[test]
fn an_operation_that_fails_is_told_and_the_next_run_finishes_it() {
    let scene = Scene::new(&[300, 5, 700, 60], &[1], "");
    let mut half_way = 0;
    let struck = (0..).take_while(|&k| {
        let disk = scene.disk();
        let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Once(io::ErrorKind::StorageFull));
        match scene.remove(&faulty) {
            Ok(_) => {}
            Err(RewriteError::NotBegun { .. }) => {
                assert!(spool(&disk) == scene.before, "fault at {k}");
                assert!(matches!(resume(&disk), Ok(None)), "fault at {k}");
            }
            Err(error @ RewriteError::HalfWay { .. }) => {
                let text = error.to_string();
                assert!(text.contains(SPOOL) && text.contains("/state/mary/removal.copy"), "{text}");
                half_way += 1;
                let said = resume(&disk).expect("no fault now");
                check(&scene, &disk, "", said, &format!("fault at {k}"));
            }
            Err(error) => panic!("fault at {k}: {error}"),
        }
        faulty.struck()
    });
    assert!(struck.count() > 12 && half_way > 4);
}

#[test]
fn mail_that_a_program_without_locks_appends_meanwhile_is_kept() {
    let scene = Scene::new(&[300, 5, 700, 60], &[1, 2], "");
    for when in 0..14 {
        let disk = scene.disk();
        let spooled = disk.open(Path::new(SPOOL), Access::Edit).expect("there");
        let mut turn = 0;
        let mut hold = |_| {
            if turn == when {
                append(&disk, &message(9, 100));
            }
            turn += 1;
            Ok(())
        };
        let state = Path::new(STATE);
        let went = Rewrite::new(&disk, state, Path::new(SPOOL), &*spooled, &mut hold)
            .remove(&scene.known(), &scene.ranges);
        went.expect("no fault").expect("unchanged");
        let late = if turn > when { message(9, 100) } else { String::new() };
        let wanted = [scene.after.as_slice(), late.as_bytes()].concat();
        assert!(spool(&disk) == wanted, "at {when}: {}", shown(&spool(&disk)));
    }
}

/// Nobody is told that the disk is dead, and no dotlock becomes stale, while much is copied.
#[test]
fn between_two_pieces_of_a_large_mailbox_the_locks_are_kept_fresh() {
    let scene = Scene::new(&[300, 1_000_000, 700_000], &[0], "");
    let disk = scene.disk();
    let spooled = disk.open(Path::new(SPOOL), Access::Edit).expect("there");
    let (mut copied, mut turns) = (0, 0);
    let mut hold = |_| {
        turns += 1;
        let files: BTreeMap<PathBuf, Vec<u8>> = disk.files(STATE).into_iter().collect();
        let now = files.get(&Path::new(STATE).join("removal.copy")).map_or(0, Vec::len);
        assert!(now <= copied + 64 * 1024, "{copied} bytes had been copied, then {now}");
        copied = now;
        Ok(())
    };
    let state = Path::new(STATE);
    let went = Rewrite::new(&disk, state, Path::new(SPOOL), &*spooled, &mut hold)
        .remove(&scene.known(), &scene.ranges);
    went.expect("no fault").expect("unchanged");
    assert!(spool(&disk) == scene.after && turns > 60, "{turns}");
}

#[test]
fn locks_that_are_lost_stop_it_before_the_next_write() {
    let scene = Scene::new(&[300, 5, 700, 60], &[1, 2], "");
    for when in 0..10 {
        let disk = scene.disk();
        let spooled = disk.open(Path::new(SPOOL), Access::Edit).expect("there");
        let mut turn = 0;
        let mut hold = |_| {
            turn += 1;
            if turn > when { Err(io::Error::other("the lock was taken away")) } else { Ok(()) }
        };
        let state = Path::new(STATE);
        let went = Rewrite::new(&disk, state, Path::new(SPOOL), &*spooled, &mut hold)
            .remove(&scene.known(), &scene.ranges);
        match went {
            Ok(_) => assert!(turn <= when, "it went on without its locks"),
            Err(error) => assert!(error.to_string().contains("the lock was taken away"), "{error}"),
        }
        let said = resume(&disk).expect("no fault now");
        check(&scene, &disk, "", said, &format!("lost at {when}"));
    }
}

#[test]
fn a_mailbox_that_another_program_changed_is_left_alone_and_the_copy_kept() {
    let scene = Scene::new(&[300, 5, 700, 60], &[1, 2], "");
    let mut kept = 0;
    let struck = (0..).take_while(|&k| {
        let disk = scene.disk();
        let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Killed);
        let _ = scene.remove(&faulty);
        disk.kill();
        // A mail program deletes the first message and notes that the others were seen.
        let now = spool(&disk);
        let second = now.windows(10).skip(1).position(|at| at == b"From joe@e").expect("more") + 1;
        let text = String::from_utf8(now[second..].to_vec()).expect("ASCII");
        let theirs = text.replace("\nSubject", "\nStatus: RO\nSubject");
        disk.put(SPOOL, theirs.as_bytes());
        match resume(&disk) {
            Ok(None | Some(Resumed::Done { .. })) => {} // not begun, or done before they came
            Ok(Some(Resumed::GivenUp)) => panic!("the first time it is told"),
            Err(error) => {
                assert!(matches!(error, RewriteError::ChangedMeanwhile { .. }), "{error}");
                let first = scene.ranges[0].start as usize;
                let copies: Vec<_> = disk
                    .files(STATE)
                    .into_iter()
                    .filter(|(path, _)| path.to_string_lossy().contains("removal.kept."))
                    .collect();
                assert_eq!(copies.len(), 1);
                assert!(error.to_string().contains(&copies[0].0.display().to_string()), "{error}");
                assert!(copies[0].1 == scene.before[first..]);
                assert!(matches!(resume(&disk), Ok(Some(Resumed::GivenUp))));
                kept += 1;
            }
        }
        assert!(spool(&disk) == theirs.as_bytes(), "fault at {k}");
        faulty.struck()
    });
    assert!(struck.count() > 12 && kept > 3);
}

#[test]
fn nothing_is_removed_from_a_mailbox_that_is_not_the_one_that_was_known() {
    let scene = Scene::new(&[300, 5, 700], &[1, 2], "");
    let torn = [&scene.before[..], b"and the rest of the last message\n\n"].concat();
    let second_line = [&scene.before[..], b"\nFrom here on it is text\n"].concat();
    let mut changed = scene.before.clone();
    changed[60] ^= 1;
    let shorter = scene.before[..scene.before.len() - 1].to_vec();
    for now in [torn, second_line, changed, shorter, Vec::new()] {
        let disk = scene.disk();
        disk.put(SPOOL, &now);
        assert!(scene.remove(&disk).expect("no fault").is_none(), "{}", shown(&now));
        assert!(spool(&disk) == now);
        assert!(disk.files(STATE).is_empty());
    }
    // Ranges that are none of messages.
    for (start, end) in [(1, 60), (0, 40), (0, scene.before.len() as u64 + 1)] {
        let disk = scene.disk();
        let wrong = [(start, end)].map(|(start, end)| start..end).to_vec();
        let scene = Scene { ranges: wrong, before: scene.before.clone(), after: vec![], known: scene.known };
        assert!(scene.remove(&disk).expect("no fault").is_none());
        assert!(spool(&disk) == scene.before);
    }
}
