//! The store's promise, tried at every single disk operation: no message lost, none delivered twice.
//! And its words when something is in the way, its modes and locks on a real disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mailcall::mailbox::digest::PrefixDigest;
use mailcall::mailbox::identity::MessageId;
use mailcall::mailbox::mbox::Splitter;
use mailcall::mailbox::quoting::unquote;
use mailcall::store::disk::{Disk, HostDisk};
use mailcall::store::{Archive, Delivered, Delivery, Location, PartEnd, Store, StoreError};

#[path = "store/faulty_disk.rs"]
mod faulty_disk;
#[path = "store/memory_disk.rs"]
mod memory_disk;
#[path = "store/removing.rs"]
mod removing;

use faulty_disk::{Fault, FaultyDisk};
use memory_disk::{Dice, Fate, MemoryDisk};

/// Seconds since 1970 when the tests take place.
pub const NOW: u64 = 1_700_000_000;
const MAILBOX: &str = "/var/mail/mary";
const STATE: &str = "/state";
const MAILDIR: &str = "/home/Mail";
const MBOX: &str = "/home/mail/inbox";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn message(number: usize) -> String {
    let body = match number % 4 {
        0 => ">From the start\n>>From here\nplain\n".to_owned(),
        1 => "no newline before this one's end\n\n\n".to_owned(),
        2 => "x".repeat(3000) + "\n",
        _ => String::new(),
    };
    format!(
        "From joe@example.org Thu Jan  1 00:00:{:02} 1970\nSubject: {number}\nStatus: O\n\n{body}\n",
        number % 60
    )
}

/// `count` messages, of which two are the same.
fn mailbox(count: usize) -> Vec<u8> {
    let numbers = (0..count).map(|number| if number == 3 { 1 } else { number });
    numbers.map(message).collect::<String>().into_bytes()
}

/// The messages of an mbox, as a Maildir has them.
fn messages(mbox: &[u8]) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new(0);
    splitter.push(mbox).expect("an mbox");
    splitter.finish().expect("an mbox");
    std::iter::from_fn(|| splitter.next_message())
        .map(|found| unquote(&mbox[found.header as usize..found.end as usize]))
        .collect()
}

fn counted(messages: impl IntoIterator<Item = Vec<u8>>) -> BTreeMap<Vec<u8>, usize> {
    messages.into_iter().fold(BTreeMap::new(), |mut counts, message| {
        *counts.entry(message).or_default() += 1;
        counts
    })
}

/// What a call does: proves what is here, fetches what is not, delivers once on the way and at the end.
fn call(disk: Arc<dyn Disk>, delivery: &Delivery, host: &[u8], now: u64) -> Result<Store, StoreError> {
    let mut store = Store::open_on(disk, Path::new(STATE), "mary", MAILBOX, delivery.clone(), at(now))?;
    let proved = |digest: &PrefixDigest| {
        host.get(..digest.len() as usize).is_some_and(|prefix| {
            let mut theirs = PrefixDigest::new();
            theirs.update(prefix);
            theirs.sha256_hex() == digest.sha256_hex()
        })
    };
    if !proved(store.part_digest()) {
        store.drop_part()?;
    }
    if !proved(store.known_digest()) {
        store.restart()?;
    }
    let half = host.len() / 2;
    while (store.part_end() as usize) < host.len() {
        let from = store.part_end() as usize;
        let to = (from + 1500).min(host.len());
        store.append_part(from as u64, &host[from..to])?;
        if from.is_multiple_of(4500) {
            store.sync_part()?;
        }
        if (from..to).contains(&half) {
            store.deliver(PartEnd::LastMayBeTorn)?;
        }
    }
    store.deliver(PartEnd::AllComplete)?;
    assert_eq!(store.known(), host.len() as u64);
    assert!(proved(store.known_digest()));
    let read: Vec<_> = (1..=store.messages().count()).map(|number| store.read(number)).collect();
    assert_eq!(read.len(), messages(host).len());
    Ok(store)
}

fn maildir() -> Delivery {
    Delivery::Maildir(MAILDIR.into())
}

fn mbox() -> Delivery {
    Delivery::Mbox(MBOX.into())
}

/// All that is in the Maildir, wherever its reader put it.
fn in_maildir(disk: &MemoryDisk) -> BTreeMap<Vec<u8>, usize> {
    let folders = ["new", "cur", "taken"].map(|folder| format!("{MAILDIR}/{folder}"));
    counted(folders.iter().flat_map(|folder| disk.files(folder)).map(|(_, bytes)| bytes))
}

fn in_mbox(disk: &MemoryDisk) -> Vec<u8> {
    let file = disk.files("/home/mail").into_iter().find(|(path, _)| path == Path::new(MBOX));
    file.map(|(_, bytes)| bytes).unwrap_or_default()
}

/// Nothing that a crash left is still lying about.
fn assert_tidy(disk: &MemoryDisk, context: &str) {
    let mut left = disk.files(&format!("{MAILDIR}/tmp"));
    left.extend(disk.files("/home/mail").into_iter().filter(|(path, _)| path != Path::new(MBOX)));
    let ours = disk.files(&format!("{STATE}/mary"));
    left.extend(ours.into_iter().filter(|(path, _)| !path.ends_with("ledger") && !path.ends_with("lock")));
    assert!(left.is_empty(), "{context}: {:?}", left.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

/// Runs `scene` with the fault at the 1st, 2nd, .. operation, until one goes through without it.
fn at_every_operation(mut scene: impl FnMut(u64) -> bool) {
    let struck = (0..OPERATIONS_MAX).take_while(|&k| scene(k)).count();
    assert!(struck > 20, "the fault struck {struck} times only");
    assert!((struck as u64) < OPERATIONS_MAX, "the scene never ended without a fault");
}

const OPERATIONS_MAX: u64 = 5000;

const FATES: [Fate; 8] = [
    Fate::Lost,
    Fate::NamesOnly,
    Fate::Zeros,
    Fate::Kept,
    Fate::Random(1),
    Fate::Random(2),
    Fate::Random(3),
    Fate::Random(4),
];

/// What happened to the machine, and what other programs did before the next call.
fn strike(
    delivery: &Delivery,
    k: u64,
    fate: Option<Fate>,
    before: Option<&[u8]>,
    host: &[u8],
) -> (MemoryDisk, bool) {
    let disk = MemoryDisk::new();
    if let Some(before) = before {
        call(Arc::new(disk.clone()), delivery, before, NOW - 9).expect("no fault yet");
    }
    let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Killed);
    let outcome = call(Arc::new(faulty.clone()), delivery, host, NOW);
    assert_eq!(outcome.is_err(), faulty.struck(), "a fault at {k} is told");
    drop(outcome);
    match fate {
        Some(fate) => disk.cut_power(fate),
        None => disk.kill(),
    }
    (disk, faulty.struck())
}

#[test]
fn killed_or_without_power_at_any_operation_a_maildir_has_each_message_once() {
    let host = mailbox(9);
    let wanted = counted(messages(&host));
    for fate in FATES.map(Some).into_iter().chain([None]) {
        at_every_operation(|k| {
            let (disk, struck) = strike(&maildir(), k, fate, None, &host);
            call(Arc::new(disk.clone()), &maildir(), &host, NOW + 60).expect("no fault now");
            let context = format!("fault at {k}, {fate:?}");
            assert!(in_maildir(&disk) == wanted, "{context}: {:?}", in_maildir(&disk).values());
            assert_tidy(&disk, &context);
            struck
        });
    }
}

#[test]
fn killed_or_without_power_at_any_operation_an_mbox_is_the_hosts_byte_for_byte() {
    let host = mailbox(9);
    for fate in FATES.map(Some).into_iter().chain([None]) {
        at_every_operation(|k| {
            let (disk, struck) = strike(&mbox(), k, fate, None, &host);
            call(Arc::new(disk.clone()), &mbox(), &host, NOW + 60).expect("no fault now");
            assert!(in_mbox(&disk) == host, "fault at {k}, {fate:?}");
            assert_tidy(&disk, &format!("fault at {k}, {fate:?}"));
            struck
        });
    }
}

#[test]
fn what_a_call_has_delivered_survives_a_power_cut_whatever_crash_came_before_it() {
    let host = mailbox(5);
    let wanted = counted(messages(&host));
    for delivery in [maildir(), mbox()] {
        at_every_operation(|k| {
            let (disk, struck) = strike(&delivery, k, None, None, &host);
            drop(call(Arc::new(disk.clone()), &delivery, &host, NOW + 60).expect("no fault now"));
            disk.cut_power(Fate::Lost);
            let whole = || match delivery {
                Delivery::Maildir(_) => in_maildir(&disk) == wanted,
                Delivery::Mbox(_) => in_mbox(&disk) == host,
            };
            assert!(whole(), "fault at {k}, then the power went");
            let store = call(Arc::new(disk.clone()), &delivery, &host, NOW + 99).expect("no fault now");
            assert!(whole() && store.messages().count() == 5, "fault at {k}, and another call");
            struck
        });
    }
}

#[test]
fn a_second_crash_during_the_recovery_changes_nothing() {
    let host = mailbox(7);
    let wanted = counted(messages(&host));
    let mut dice = Dice(7);
    for delivery in [maildir(), mbox()] {
        at_every_operation(|k| {
            let (disk, struck) = strike(&delivery, k, None, None, &host);
            for turn in 0..4 {
                let again = FaultyDisk::new(Arc::new(disk.clone()), dice.roll(30) as u64, Fault::Killed);
                drop(call(Arc::new(again), &delivery, &host, NOW + turn));
                match dice.roll(2) {
                    0 => disk.kill(),
                    _ => disk.cut_power(Fate::Random(dice.roll(1000) as u64)),
                }
            }
            call(Arc::new(disk.clone()), &delivery, &host, NOW + 60).expect("no fault now");
            match delivery {
                Delivery::Maildir(_) => assert!(in_maildir(&disk) == wanted, "fault at {k}"),
                Delivery::Mbox(_) => assert!(in_mbox(&disk) == host, "fault at {k}"),
            }
            struck
        });
    }
}

#[test]
fn a_changed_mailbox_brings_only_what_is_new_at_whatever_operation_it_stops() {
    let before = mailbox(8);
    // The second of the twins deleted, the rest marked as read, and something new.
    let after: String = [0, 1, 2, 4, 5, 6, 7, 8, 9].map(message).concat().replace("Status: O", "Status: RO");
    let mut wanted = counted(messages(&before));
    wanted.extend(counted(
        [8, 9].map(|new| messages(message(new).replace(": O", ": RO").as_bytes()).remove(0)),
    ));
    for fate in [None, Some(Fate::Lost), Some(Fate::Random(5))] {
        at_every_operation(|k| {
            let (disk, struck) = strike(&maildir(), k, fate, Some(&before), after.as_bytes());
            let store =
                call(Arc::new(disk.clone()), &maildir(), after.as_bytes(), NOW + 60).expect("no fault now");
            assert!(in_maildir(&disk) == wanted, "fault at {k}, {fate:?}");
            assert_eq!(store.messages().count(), 9);
            struck
        });
    }
}

#[test]
fn a_reader_that_moves_mail_between_crash_and_recovery_gets_none_twice() {
    let host = mailbox(9);
    let wanted = counted(messages(&host));
    for (folder, flags, later) in [("cur", ":2,FS", 60), ("cur", ":2,", 40 * 3600), ("taken", "", 60)] {
        at_every_operation(|k| {
            let (disk, struck) = strike(&maildir(), k, None, None, &host);
            for (path, bytes) in disk.files(&format!("{MAILDIR}/new")) {
                let name = path.file_name().and_then(|name| name.to_str()).expect("our name");
                disk.put(&format!("{MAILDIR}/{folder}/{name}{flags}"), &bytes);
                disk.remove(&path).expect("it is there");
            }
            call(Arc::new(disk.clone()), &maildir(), &host, NOW + later).expect("no fault now");
            assert!(in_maildir(&disk) == wanted, "fault at {k}, moved to {folder}");
            struck
        });
    }
}

#[test]
fn a_reader_that_clears_tmp_after_two_days_loses_nothing() {
    let host = mailbox(9);
    let wanted = counted(messages(&host));
    at_every_operation(|k| {
        let (disk, struck) = strike(&maildir(), k, None, None, &host);
        for (path, _) in disk.files(&format!("{MAILDIR}/tmp")) {
            disk.remove(&path).expect("it is there");
        }
        call(Arc::new(disk.clone()), &maildir(), &host, NOW + 48 * 3600).expect("no fault now");
        assert!(in_maildir(&disk) == wanted, "fault at {k}");
        struck
    });
}

#[test]
fn mail_that_another_program_appended_after_the_crash_is_kept_and_ours_is_whole_once() {
    let host = mailbox(9);
    let foreign = "From other@example.org Thu Jan  1 00:00:00 1970\nSubject: foreign\n\nbody\n\n";
    at_every_operation(|k| {
        let (disk, struck) = strike(&mbox(), k, None, None, &host);
        let mut appended = in_mbox(&disk);
        if !appended.is_empty() && !appended.ends_with(b"\n") {
            appended.push(b'\n');
        }
        appended.extend_from_slice(foreign.as_bytes());
        disk.put(MBOX, &appended);
        call(Arc::new(disk.clone()), &mbox(), &host, NOW + 60).expect("no fault now");
        let found = counted(messages(&in_mbox(&disk)));
        for (message, count) in
            counted(messages(&host)).into_iter().chain(counted(messages(foreign.as_bytes())))
        {
            let shown = String::from_utf8_lossy(&message).into_owned();
            // Without separator a message may have taken the torn one's blank line.
            assert_eq!(found.get(&message), Some(&count), "fault at {k}: {shown}");
        }
        struck
    });
}

#[test]
fn an_operation_that_fails_once_is_told_and_the_next_try_goes_through() {
    let host = mailbox(9);
    let wanted = counted(messages(&host));
    for delivery in [maildir(), mbox()] {
        at_every_operation(|k| {
            let disk = MemoryDisk::new();
            let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Once(io::ErrorKind::StorageFull));
            // Without an error, what failed was clearing up.
            if let Err(error) = call(Arc::new(faulty.clone()), &delivery, &host, NOW) {
                assert!(error.to_string().contains("; free some space"), "{error}");
            }
            let store = call(Arc::new(disk.clone()), &delivery, &host, NOW + 60).expect("no fault now");
            drop(store);
            match delivery {
                Delivery::Maildir(_) => assert!(in_maildir(&disk) == wanted, "fault at {k}"),
                Delivery::Mbox(_) => assert!(in_mbox(&disk) == host, "fault at {k}"),
            }
            faulty.struck()
        });
    }
}

#[test]
fn a_failed_delivery_can_be_tried_again_with_the_same_store() {
    let host = mailbox(9);
    for delivery in [maildir(), mbox()] {
        at_every_operation(|k| {
            let disk = MemoryDisk::new();
            let whole: Arc<dyn Disk> = Arc::new(disk.clone());
            drop(
                Store::open_on(whole, Path::new(STATE), "mary", MAILBOX, delivery.clone(), at(NOW))
                    .expect("made"),
            );
            let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Once(io::ErrorKind::Other));
            let opened = Store::open_on(
                Arc::new(faulty.clone()),
                Path::new(STATE),
                "mary",
                MAILBOX,
                delivery.clone(),
                at(NOW),
            );
            let Ok(mut store) = opened else { return true };
            if store.append_part(0, &host).is_err() {
                store.append_part(0, &host).expect("no second fault");
            }
            let first = store.deliver(PartEnd::AllComplete);
            let again = store.deliver(PartEnd::AllComplete);
            // After a failed fsync only reading the ledger again tells what is in it.
            if first.is_err() && again.is_err() {
                assert!(matches!(again, Err(StoreError::LedgerUnsure { .. })), "fault at {k}: {again:?}");
                drop(store);
                drop(call(Arc::new(disk.clone()), &delivery, &host, NOW).expect("no fault now"));
            }
            match delivery {
                Delivery::Maildir(_) => {
                    assert!(in_maildir(&disk) == counted(messages(&host)), "fault at {k}")
                }
                Delivery::Mbox(_) => assert!(in_mbox(&disk) == host, "fault at {k}"),
            }
            faulty.struck()
        });
    }
}

// From here on: a real disk.

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, delivery: &str) -> Result<Store, StoreError> {
        let path = self.path(delivery);
        let delivery =
            if delivery.ends_with("mbox") { Delivery::Mbox(path) } else { Delivery::Maildir(path) };
        Store::open(&self.path("state"), "mary", MAILBOX, delivery, at(NOW))
    }

    fn fetch(&self, delivery: &str, host: &[u8]) -> Delivered {
        let mut store = self.open(delivery).expect("opened");
        let from = store.known();
        store.append_part(from, &host[from as usize..]).expect("written");
        store.deliver(PartEnd::AllComplete).expect("delivered")
    }

    fn new_files(&self, maildir: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(maildir).join("new")).expect("a Maildir");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }
}

#[test]
fn killed_at_any_operation_on_a_real_disk() {
    let host = mailbox(5);
    for name in ["Mail", "mbox"] {
        at_every_operation(|k| {
            let home = Home::new();
            let path = home.path(name);
            let delivery = if name == "mbox" { Delivery::Mbox(path) } else { Delivery::Maildir(path) };
            let faulty = FaultyDisk::new(Arc::new(HostDisk), k, Fault::Killed);
            let state = home.path("state");
            let work = |disk: Arc<dyn Disk>| -> Result<(), StoreError> {
                let mut store = Store::open_on(disk, &state, "mary", MAILBOX, delivery.clone(), at(NOW))?;
                let from = store.part_end();
                store.append_part(from, &host[from as usize..])?;
                store.deliver(PartEnd::AllComplete).map(|_| ())
            };
            let _ = work(Arc::new(faulty.clone()));
            work(Arc::new(HostDisk)).expect("no fault now");
            if name == "mbox" {
                assert!(std::fs::read(home.path("mbox")).expect("an mbox") == host, "fault at {k}");
            } else {
                let found =
                    home.new_files(name).into_iter().map(|path| std::fs::read(path).expect("a message"));
                assert!(counted(found) == counted(messages(&host)), "fault at {k}");
            }
            faulty.struck()
        });
    }
}

#[test]
fn only_what_is_new_is_delivered_and_all_can_be_read() {
    let home = Home::new();
    let host = mailbox(6);
    assert_eq!(home.fetch("Mail", &host[..0]), Delivered::default());
    let all = Delivered { messages: 6, bytes: host.len() as u64, skipped_as_known: 0 };
    assert_eq!(home.fetch("Mail", &host), all);
    let more = [host.clone(), message(9).into_bytes()].concat();
    assert_eq!(home.fetch("Mail", &more).messages, 1);
    // Its reader looks at one and deletes another.
    let files = home.new_files("Mail");
    let name = files[0].file_name().and_then(|name| name.to_str()).expect("our name");
    std::fs::rename(&files[0], home.path("Mail/cur").join(format!("{name}:2,RS"))).expect("moved");
    std::fs::remove_file(&files[1]).expect("deleted");
    let archive = Archive::open(&home.path("state"), "mary").expect("readable").expect("fetched");
    assert_eq!((archive.mailbox(), archive.messages().count()), (MAILBOX, 7));
    let wanted = messages(&more);
    let mut gone = 0;
    for found in archive.messages() {
        match archive.read(found.number) {
            Ok(bytes) => assert_eq!(bytes, wanted[found.number - 1]),
            Err(error) => {
                assert!(matches!(error, StoreError::MessageGone { .. }), "{error}");
                gone += 1;
            }
        }
        assert!(more[found.offset as usize..].starts_with(b"From joe"));
        assert!(matches!(found.place, Location::Maildir { .. }));
    }
    assert_eq!(gone, 1);
    assert!(matches!(archive.read(0), Err(StoreError::NoSuchMessage { newest: 7, .. })));
    assert!(matches!(archive.read(8), Err(StoreError::NoSuchMessage { .. })));
    // For a list: of those that were moved too, and nothing of the one that is gone.
    let heads = archive.heads(&[1, 2, 3, 4, 5, 6, 7, 8], 7);
    assert_eq!(heads.iter().filter(|head| *head == b"Subject").count(), 6);
    assert_eq!((heads.iter().filter(|head| head.is_empty()).count(), heads.len()), (2, 8));
}

#[test]
fn an_mbox_that_its_reader_rewrote_is_searched() {
    let home = Home::new();
    let host = mailbox(6);
    home.fetch("mbox", &host);
    assert_eq!(std::fs::read(home.path("mbox")).expect("an mbox"), host);
    let rewritten =
        [2, 5].map(|number| message(number).replace("Status: O", "Status: RO\nX-UID: 1")).concat();
    std::fs::write(home.path("mbox"), rewritten).expect("written");
    let archive = Archive::open(&home.path("state"), "mary").expect("readable").expect("fetched");
    assert!(archive.heads(&[1, 2, 3, 4, 5, 6], 7).iter().all(Vec::is_empty), "others stand there now");
    let store = home.open("mbox").expect("opened");
    let read = store.read(6).expect("found by what it says");
    assert_eq!(MessageId::of(&read), MessageId::of(&messages(&host)[5]));
    assert!(matches!(store.read(1), Err(StoreError::MessageGone { number: 1, .. })));
}

#[test]
fn mail_is_appended_behind_what_an_mbox_holds_already() {
    for (before, between) in [("", ""), ("x", "\n\n"), ("x\n", "\n"), ("x\n\n", "")] {
        let home = Home::new();
        let before = if before.is_empty() {
            String::new()
        } else {
            format!("From a Thu Jan  1 00:00:00 1970\n\n{before}")
        };
        std::fs::write(home.path("mbox"), &before).expect("written");
        home.fetch("mbox", message(0).as_bytes());
        let wanted = format!("{before}{between}{}", message(0));
        assert_eq!(std::fs::read_to_string(home.path("mbox")).expect("an mbox"), wanted);
    }
}

#[test]
fn a_torn_message_waits_in_the_part() {
    let home = Home::new();
    let host = mailbox(3);
    let mut store = home.open("Mail").expect("opened");
    store.append_part(0, &host[..host.len() - 10]).expect("written");
    assert_eq!(store.deliver(PartEnd::LastMayBeTorn).expect("delivered").messages, 2);
    assert!(store.known() < store.part_end());
    assert!(matches!(store.append_part(0, b"x"), Err(StoreError::WrongOffset { offset: 0, .. })));
    store.truncate_part(store.known() + 5).expect("cut");
    assert_eq!(store.part_end(), store.known() + 5);
    assert!(store.truncate_part(store.known() - 1).is_err());
    drop(store);
    let mut store = home.open("Mail").expect("opened");
    assert_eq!(store.part_end(), store.known() + 5);
    let from = store.part_end();
    store.append_part(from, &host[from as usize..]).expect("written");
    assert_eq!(store.deliver(PartEnd::AllComplete).expect("delivered").messages, 1);
    let mut whole = PrefixDigest::new();
    whole.update(&host);
    assert_eq!(store.known_digest().md5_hex(), whole.md5_hex());
}

#[test]
fn another_mailbox_never_inherits_the_prefix_of_the_one_before_at_whatever_operation_it_stops() {
    let (first, second) = (mailbox(3), [message(5), message(1), message(6)].concat());
    let mut wanted = counted(messages(&first));
    wanted.extend(counted([5, 6].map(|new| messages(message(new).as_bytes()).remove(0))));
    at_every_operation(|k| {
        let disk = MemoryDisk::new();
        drop(call(Arc::new(disk.clone()), &maildir(), &first, NOW).expect("no fault yet"));
        let fetch = |disk: Arc<dyn Disk>| -> Result<(), StoreError> {
            let mut store = Store::open_on(disk, Path::new(STATE), "mary", "~/mbox", maildir(), at(NOW))?;
            let from = store.part_end();
            store.append_part(from, &second.as_bytes()[from as usize..])?;
            store.deliver(PartEnd::AllComplete).map(|_| ())
        };
        let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Killed);
        let _ = fetch(Arc::new(faulty.clone()));
        disk.kill();
        fetch(Arc::new(disk.clone())).expect("no fault now");
        assert!(in_maildir(&disk) == wanted, "fault at {k}");
        faulty.struck()
    });
}

#[test]
fn two_that_are_the_same_are_two_and_none_comes_back_after_a_restart() {
    let home = Home::new();
    let twins = [message(1), message(2), message(1)].concat();
    assert_eq!(home.fetch("Mail", twins.as_bytes()).messages, 3);
    home.open("Mail").expect("opened").restart().expect("restarted");
    let changed = [message(1), message(1), message(1)].concat();
    let done = home.fetch("Mail", changed.as_bytes());
    assert_eq!((done.messages, done.skipped_as_known), (1, 2));
    assert_eq!(home.new_files("Mail").len(), 4);
    // Another mailbox of the same account: the same mail is still the same mail.
    let delivery = Delivery::Maildir(home.path("Mail"));
    let mut store = Store::open(&home.path("state"), "mary", "~/mbox", delivery, at(NOW)).expect("opened");
    assert_eq!((store.known(), store.messages().count()), (0, 0));
    store.append_part(0, message(2).as_bytes()).expect("written");
    assert_eq!(store.deliver(PartEnd::AllComplete).expect("delivered").skipped_as_known, 1);
    assert_eq!(store.read(1).expect("readable"), messages(message(2).as_bytes())[0]);
}

#[test]
fn many_restarts_do_not_make_the_ledger_grow_without_bound() {
    let home = Home::new();
    let host = mailbox(200);
    home.fetch("Mail", &host);
    for _ in 0..40 {
        home.open("Mail").expect("opened").restart().expect("restarted");
        assert_eq!(home.fetch("Mail", &host).skipped_as_known, 200);
    }
    let len = std::fs::metadata(home.path("state/mary/ledger")).expect("a ledger").len();
    assert!(len < 400_000, "{len} bytes");
    assert_eq!(home.open("Mail").expect("opened").messages().count(), 200);
    assert_eq!(home.new_files("Mail").len(), 200);
}

#[test]
fn what_is_no_mailbox_is_refused_and_shown_without_its_escapes() {
    let home = Home::new();
    let mut store = home.open("Mail").expect("opened");
    store.append_part(0, b"\x1b[2Jcat: /var/mail/mary: Permission denied\n").expect("written");
    let error = store.deliver(PartEnd::AllComplete).expect_err("no mbox");
    assert!(matches!(error, StoreError::NotAnMbox { .. }));
    assert!(error.to_string().contains("Permission denied") && !error.to_string().contains('\x1b'));
    store.drop_part().expect("dropped");
    store.append_part(0, message(0).as_bytes()).expect("written");
    store.deliver(PartEnd::AllComplete).expect("delivered");
    let known = store.known();
    store.append_part(known, b"\n\nthe middle of something\n").expect("written");
    let error = store.deliver(PartEnd::AllComplete).expect_err("no boundary");
    assert!(matches!(error, StoreError::NoBoundary { at, .. } if at == known + 2), "{error}");
    assert_eq!(store.messages().count(), 1);
}

#[test]
fn a_second_run_is_told_who_works_there() {
    let home = Home::new();
    let first = home.open("Mail").expect("opened");
    let error = home.open("Mail").err().expect("locked");
    assert!(
        matches!(error, StoreError::Busy { .. }) && error.to_string().contains("state/mary/lock"),
        "{error}"
    );
    drop(first);
    home.open("Mail").expect("free again");
}

#[test]
fn a_ledger_damaged_in_its_middle_is_never_guessed_at() {
    let home = Home::new();
    home.fetch("Mail", &mailbox(5));
    let ledger = home.path("state/mary/ledger");
    let mut bytes = std::fs::read(&ledger).expect("a ledger");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&ledger, &bytes).expect("written");
    let error = home.open("Mail").err().expect("damaged");
    assert!(matches!(error, StoreError::LedgerDamaged { .. }), "{error}");
    assert_eq!(std::fs::read(&ledger).expect("a ledger"), bytes);
    assert!(Archive::open(&home.path("state"), "mary").is_err());
}

#[test]
fn places_that_cannot_take_mail_are_named_before_anybody_dials() {
    let home = Home::new();
    std::fs::write(home.path("file"), "notes").expect("written");
    std::fs::create_dir(home.path("folder.mbox")).expect("made");
    std::fs::write(home.path("notes.mbox"), "my notes\n").expect("written");
    for (place, said) in [
        ("file", "no Maildir"),
        ("folder.mbox", "is a folder"),
        ("notes.mbox", "From_ line"),
        ("file/Mail", "part of its path is a file"),
    ] {
        let error = home.open(place).err().expect("refused").to_string();
        assert!(error.contains(said) && error.contains(place.trim_end_matches("/Mail")), "{place}: {error}");
    }
    assert_eq!(std::fs::read(home.path("file")).expect("untouched"), b"notes");
}

#[test]
fn an_mbox_locked_by_another_program_is_waited_for_and_then_named() {
    let disk = MemoryDisk::new();
    let host = mailbox(2);
    disk.put(&format!("{MBOX}.lock"), b"1234\n");
    let error = call(Arc::new(disk.clone()), &mbox(), &host, NOW).err().expect("locked");
    assert!(matches!(error, StoreError::MboxLocked { .. }) && error.to_string().contains(".lock"), "{error}");
    assert!(in_mbox(&disk).is_empty());
    // Untouched for five minutes it is nobody's.
    call(Arc::new(disk.clone()), &mbox(), &host, NOW + 301).expect("stale");
    assert_eq!(in_mbox(&disk), host);
}

#[test]
fn nobody_else_may_read_the_mail_whatever_the_umask_says() {
    use std::os::unix::fs::PermissionsExt;
    if std::env::var_os("STORE_TEST_UMASK").is_none() {
        let me = std::env::current_exe().expect("a path");
        for umask in ["000", "0277"] {
            let name = "nobody_else_may_read_the_mail_whatever_the_umask_says";
            let script = format!("umask {umask}; exec \"$0\" --exact {name}");
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(script).arg(&me).env("STORE_TEST_UMASK", umask);
            let status = shell.spawn().expect("sh").wait();
            assert!(status.expect("waited for").success(), "umask {umask}");
        }
        return;
    }
    let folder = std::env::temp_dir().join(format!("store-umask-{}", std::process::id()));
    HostDisk.make_folder(&folder).expect("made");
    for delivery in [Delivery::Maildir(folder.join("a/Mail")), Delivery::Mbox(folder.join("b/mbox"))] {
        let mut store =
            Store::open(&folder.join("state"), "mary", MAILBOX, delivery, at(NOW)).expect("opened");
        store.restart().expect("restarted");
        store.append_part(0, message(2).as_bytes()).expect("written");
        store.append_part(store.part_end(), format!("{:?}", store.part_end()).as_bytes()).expect("written");
        store.deliver(PartEnd::LastMayBeTorn).expect("delivered");
        store.sync_part().expect("synced");
    }
    let mut folders = vec![folder.clone()];
    let mut files = 0;
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            let found = std::fs::metadata(&path).expect("there");
            let wanted = if found.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(found.permissions().mode() & 0o7777, wanted, "{}", path.display());
            if found.is_dir() { folders.push(path) } else { files += 1 }
        }
    }
    std::fs::remove_dir_all(&folder).expect("removed");
    assert!(files >= 3);
}

/// Real mail, if it lies where the tests look for it.
fn real_mailboxes() -> Vec<(PathBuf, usize)> {
    let folder = std::env::var_os("MAILCALL_TEST_MAIL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/mail"), PathBuf::from);
    let counts = [("asterix.mbox", 53), ("bounce.mbox", 609), ("mime.mbox", 107), ("newer.mbox", 20)];
    let found: Vec<_> = counts
        .map(|(name, count)| (folder.join(name), count))
        .into_iter()
        .filter(|(path, _)| path.is_file())
        .collect();
    if found.is_empty() {
        println!("SKIPPED (optional): no real mail in {}", folder.display());
    }
    found
}

#[test]
fn real_mailboxes_are_split_as_python_splits_them() {
    for (path, count) in real_mailboxes() {
        let mbox = std::fs::read(&path).expect("readable");
        let mut splitter = Splitter::new(0);
        mbox.chunks(4097).for_each(|slice| splitter.push(slice).expect("an mbox"));
        splitter.finish().expect("an mbox");
        let found: Vec<_> = std::iter::from_fn(|| splitter.next_message()).collect();
        assert_eq!(found.len(), count, "{}", path.display());
        let script = "import hashlib, mailbox, sys\nbox = mailbox.mbox(sys.argv[1], create=False)\n\
            for key in box.keys(): print(hashlib.md5(box.get_bytes(key)).hexdigest())";
        let mut python = Command::new("python3");
        python.arg("-c").arg(script).arg(&path).stdout(Stdio::piped());
        let Ok(python) = python.output() else {
            assert!(std::env::var_os("CI").is_none(), "python3 is missing");
            println!("SKIPPED: no python3 to compare with");
            continue;
        };
        let theirs = String::from_utf8(python.stdout).expect("hexadecimal");
        let ours: Vec<String> = found
            .iter()
            .map(|message| {
                let mut digest = PrefixDigest::new();
                digest.update(&mbox[message.header as usize..message.end as usize]);
                digest.md5_hex()
            })
            .collect();
        assert_eq!(theirs.lines().collect::<Vec<_>>(), ours, "{}", path.display());
    }
}

#[test]
fn real_mailboxes_come_home_whole() {
    for (path, count) in real_mailboxes() {
        let host = std::fs::read(&path).expect("readable");
        let home = Home::new();
        assert_eq!(home.fetch("mbox", &host).messages, count);
        assert!(std::fs::read(home.path("mbox")).expect("an mbox") == host);
        let home = Home::new();
        assert_eq!(home.fetch("Mail", &host).messages, count);
        let store = home.open("Mail").expect("opened");
        for (index, wanted) in messages(&host).iter().enumerate() {
            assert!(store.read(index + 1).expect("readable") == *wanted, "message {}", index + 1);
        }
        assert_eq!(home.new_files("Mail").len(), count);
    }
}
