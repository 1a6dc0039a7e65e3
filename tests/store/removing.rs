//! What is removed from the host's mailbox: never before it is recorded here, never counted as seen
//! again, at whatever disk operation it stops.

use std::ops::Range;

use super::*;

/// A mailbox on a host, and what a removal by path keeps in mind of itself.
struct Host {
    bytes: Vec<u8>,
    trace: Option<PrefixDigest>,
}

/// How a run is told what became of a removal whose end the run before did not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// By a journal that says it exactly.
    Journal,
    /// By what the mailbox shows, and nothing else.
    Evidence,
}

fn digest(bytes: &[u8]) -> PrefixDigest {
    let mut digest = PrefixDigest::new();
    digest.update(bytes);
    digest
}

impl Host {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, trace: None }
    }

    fn begins_with(&self, ours: &PrefixDigest) -> bool {
        let prefix = self.bytes.get(..ours.len() as usize);
        prefix.is_some_and(|prefix| digest(prefix).sha256_hex() == ours.sha256_hex())
    }

    /// Takes the ranges out and answers the digest of what is left of `known` bytes.
    fn remove(&mut self, known: u64, ranges: &[Range<u64>]) -> PrefixDigest {
        let mut left = known as usize;
        for range in ranges.iter().rev() {
            let range = range.start as usize..range.end as usize;
            assert!(self.bytes[range.clone()].starts_with(b"From "), "a message begins at {range:?}");
            let behind = &self.bytes[range.end..];
            assert!(behind.is_empty() || behind.starts_with(b"From "), "and ends with it: {range:?}");
            left -= range.len();
            self.bytes.drain(range);
        }
        let left = digest(&self.bytes[..left]);
        self.trace = Some(left.clone());
        left
    }
}

/// One run: settles what the run before left, fetches, and removes what `which` chooses.
fn run(
    disk: Arc<dyn Disk>,
    delivery: &Delivery,
    host: &mut Host,
    memory: Memory,
    which: &dyn Fn(usize) -> Vec<usize>,
    reaches: bool,
) -> Result<(), StoreError> {
    let mut store = Store::open_on(disk, Path::new(STATE), "mary", MAILBOX, delivery.clone(), at(NOW))?;
    if store.removal_pending() {
        match (memory, &host.trace) {
            (Memory::Journal, Some(left)) => drop(store.removed(Some(left))?),
            (Memory::Journal, None) => store.not_removed()?,
            (Memory::Evidence, _) if host.begins_with(store.known_digest()) => store.not_removed()?,
            (Memory::Evidence, _) => store.restart()?,
        }
    }
    host.trace = None;
    if !host.begins_with(store.part_digest()) {
        store.drop_part()?;
    }
    if !host.begins_with(store.known_digest()) {
        store.restart()?;
    }
    let from = store.part_end();
    store.append_part(from, &host.bytes[from as usize..])?;
    store.deliver(PartEnd::AllComplete)?;
    let numbers = which(store.messages().count());
    let known = store.known();
    let ranges = store.removing(&numbers)?;
    if ranges.is_empty() {
        return Ok(());
    }
    // Whatever is removed: it was recorded, so the ledger alone must be able to say that it is here.
    assert!(store.removal_pending());
    if !reaches {
        return Ok(()); // the call is lost right here
    }
    let left = host.remove(known, &ranges);
    let known = if memory == Memory::Journal { Some(&left) } else { None };
    assert_eq!(store.removed(known)?, numbers.len());
    host.trace = None;
    assert_eq!(store.known(), if memory == Memory::Journal { left.len() } else { 0 });
    Ok(())
}

/// The same words as `message(number)`, delivered a minute later.
fn again(number: usize) -> String {
    message(number).replacen("00:00:", "00:01:", 1)
}

/// Which messages, by their subjects, stand there how often. A blank line at an mbox's message's end
/// may be the mbox's own.
fn found(disk: &MemoryDisk, delivery: &Delivery) -> BTreeMap<String, usize> {
    match delivery {
        Delivery::Maildir(_) => subjects(in_maildir(disk)),
        Delivery::Mbox(_) => subjects(counted(messages(&in_mbox(disk)))),
    }
}

fn wanted(all: &str) -> BTreeMap<String, usize> {
    subjects(counted(messages(all.as_bytes())))
}

fn subjects(messages: BTreeMap<Vec<u8>, usize>) -> BTreeMap<String, usize> {
    messages.into_iter().fold(BTreeMap::new(), |mut subjects, (message, count)| {
        let text = String::from_utf8(message).expect("ASCII");
        let first = text.lines().next().unwrap_or_default();
        *subjects.entry(format!("{first}, {} bytes", text.trim_end().len())).or_default() += count;
        subjects
    })
}

const ALL: &dyn Fn(usize) -> Vec<usize> = &|count| (1..=count).collect();
const SOME: &dyn Fn(usize) -> Vec<usize> =
    &|count| [2, 3, 5].into_iter().filter(|number| *number <= count).collect();
const NONE: &dyn Fn(usize) -> Vec<usize> = &|_| vec![];

#[test]
fn stopped_at_any_operation_around_a_removal_each_message_is_here_once() {
    let before = String::from_utf8(mailbox(6)).expect("ASCII");
    // One of the removed says the same as one that is there again afterwards, to the letter.
    let later = [again(1), message(7), again(4)].concat();
    for (memory, which, delivery, reaches, fate) in [
        (Memory::Journal, ALL, maildir(), true, None),
        (Memory::Journal, SOME, maildir(), true, Some(Fate::Random(1))),
        (Memory::Journal, SOME, mbox(), true, None),
        (Memory::Evidence, ALL, maildir(), true, Some(Fate::Lost)),
        (Memory::Evidence, SOME, maildir(), true, None),
        (Memory::Evidence, ALL, mbox(), true, None),
        (Memory::Evidence, SOME, maildir(), false, Some(Fate::Kept)),
        (Memory::Evidence, ALL, mbox(), false, None),
    ] {
        at_every_operation(|k| {
            let disk = MemoryDisk::new();
            let mut host = Host::new(before.clone().into_bytes());
            let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Killed);
            let _ = run(Arc::new(faulty.clone()), &delivery, &mut host, memory, which, reaches);
            fate.map_or_else(|| disk.kill(), |fate| disk.cut_power(fate));
            host.bytes.extend_from_slice(later.as_bytes());
            for turn in 0..2 {
                let went = run(Arc::new(disk.clone()), &delivery, &mut host, memory, which, true);
                went.unwrap_or_else(|error| panic!("fault at {k}, run {turn}: {error}"));
                disk.kill();
            }
            let context = format!("fault at {k}, {memory:?}, {delivery:?}, {fate:?}");
            let all = format!("{before}{later}");
            assert_eq!(found(&disk, &delivery), wanted(&all), "{context}");
            faulty.struck()
        });
    }
}

#[test]
fn a_second_crash_while_a_removal_is_settled_changes_nothing() {
    let before = String::from_utf8(mailbox(6)).expect("ASCII");
    let later = [again(1), message(7)].concat();
    let mut dice = Dice(11);
    for memory in [Memory::Journal, Memory::Evidence] {
        at_every_operation(|k| {
            let disk = MemoryDisk::new();
            let mut host = Host::new(before.clone().into_bytes());
            let faulty = FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Killed);
            let _ = run(Arc::new(faulty.clone()), &maildir(), &mut host, memory, SOME, true);
            disk.kill();
            host.bytes.extend_from_slice(later.as_bytes());
            for _ in 0..4 {
                let again = FaultyDisk::new(Arc::new(disk.clone()), dice.roll(40) as u64, Fault::Killed);
                let trace = host.trace.clone();
                let _ = run(Arc::new(again), &maildir(), &mut host, memory, SOME, true);
                // A journal is dropped only when the ledger has said what became of the removal.
                host.trace = host.trace.or(trace.filter(|_| still_pending(&disk)));
                disk.kill();
            }
            run(Arc::new(disk.clone()), &maildir(), &mut host, memory, NONE, true).expect("no fault now");
            let all = format!("{before}{later}");
            assert_eq!(found(&disk, &maildir()), wanted(&all), "fault at {k}, {memory:?}");
            faulty.struck()
        });
    }
}

fn still_pending(disk: &MemoryDisk) -> bool {
    disk.kill();
    let opened =
        Store::open_on(Arc::new(disk.clone()), Path::new(STATE), "mary", MAILBOX, maildir(), at(NOW));
    opened.is_ok_and(|store| store.removal_pending())
}

#[test]
fn a_removed_message_that_comes_again_is_fetched_and_one_that_stayed_is_not() {
    let home = Home::new();
    let host = [message(1), message(2), message(1), message(3)].concat();
    assert_eq!(home.fetch("Mail", host.as_bytes()).messages, 4);
    let mut store = home.open("Mail").expect("opened");
    let ranges = store.removing(&[3, 1, 3]).expect("recorded");
    let len = |number| message(number).len() as u64;
    assert_eq!(ranges, [0..len(1), len(1) + len(2)..2 * len(1) + len(2)]);
    assert_eq!(store.removed(None).expect("recorded"), 2);
    drop(store);
    // Three of the twins now: all of them came after the removal.
    let now = [message(2), message(3), message(1), message(1), message(1)].concat();
    let done = home.fetch("Mail", now.as_bytes());
    assert_eq!((done.messages, done.skipped_as_known), (3, 2));
    // And what is known again goes on as before, whatever is counted anew.
    home.open("Mail").expect("opened").restart().expect("restarted");
    let done = home.fetch("Mail", now.as_bytes());
    assert_eq!((done.messages, done.skipped_as_known), (0, 5));
}

#[test]
fn with_the_digest_of_what_is_left_nothing_is_read_again() {
    let home = Home::new();
    let host = mailbox(6);
    home.fetch("Mail", &host);
    let mut store = home.open("Mail").expect("opened");
    // A torn message waits in the part, behind what is known.
    store.append_part(store.known(), &message(9).as_bytes()[..30]).expect("written");
    store.deliver(PartEnd::LastMayBeTorn).expect("nothing to deliver");
    let mut theirs = Host::new(host);
    let known = store.known();
    let ranges = store.removing(&[1, 4]).expect("recorded");
    let left = theirs.remove(known, &ranges);
    store.removed(Some(&left)).expect("recorded");
    assert_eq!((store.known(), store.part_end()), (left.len(), left.len() + 30));
    drop(store);
    let mut store = home.open("Mail").expect("opened");
    assert_eq!(store.part_end(), left.len() + 30, "the part went with it");
    assert_eq!(store.known_digest().sha256_hex(), left.sha256_hex());
    store.append_part(left.len() + 30, &message(9).as_bytes()[30..]).expect("written");
    assert_eq!(store.deliver(PartEnd::AllComplete).expect("delivered").messages, 1);
    theirs.bytes.extend_from_slice(message(9).as_bytes());
    assert!(theirs.begins_with(store.known_digest()));
    let found: Vec<_> = store.messages().map(|message| (message.number, message.offset)).collect();
    let starts: Vec<_> = store.removable(&[1, 2, 3, 4, 5]).expect("there").iter().map(|r| r.start).collect();
    assert_eq!(found, starts.into_iter().enumerate().map(|(at, start)| (at + 1, start)).collect::<Vec<_>>());
    let shown = String::from_utf8(store.read(5).expect("here")).expect("ASCII");
    assert!(shown.contains("Subject: 9"), "{shown}");
}

#[test]
fn a_removal_that_nobody_saw_the_end_of_is_judged_by_the_from_lines() {
    let host = [message(1), message(2), message(4)].concat();
    let flagged = host.replace("Status: O", "Status: RO");
    // (what the mailbox holds at the next call, how many of it are new)
    for (now, new) in [
        (flagged.clone(), 0),                 // not removed, and another program has read it
        (message(4), 0),                      // removed
        ([message(4), again(1)].concat(), 1), // removed, and one that says the same came
        ([again(2), again(1)].concat(), 2),   // the one that stayed was deleted by somebody
        ([flagged, again(1)].concat(), 1),    // not removed, and one that says the same came
    ] {
        let home = Home::new();
        home.fetch("Mail", host.as_bytes());
        let mut store = home.open("Mail").expect("opened");
        store.removing(&[1, 2]).expect("recorded");
        assert!(matches!(store.removing(&[3]), Err(StoreError::RemovalUnsettled)));
        assert!(matches!(store.deliver(PartEnd::AllComplete), Err(StoreError::RemovalUnsettled)));
        drop(store);
        let mut store = home.open("Mail").expect("opened");
        assert!(store.removal_pending());
        store.restart().expect("recorded");
        assert!(!store.removal_pending());
        drop(store);
        assert_eq!(home.fetch("Mail", now.as_bytes()).messages, new, "{now}");
    }
}

#[test]
fn a_ledger_that_is_rewritten_forgets_no_removal() {
    let home = Home::new();
    let host = mailbox(200);
    home.fetch("mbox", &host);
    let mut store = home.open("mbox").expect("opened");
    store.removing(&[1, 2, 3]).expect("recorded");
    store.removed(None).expect("recorded");
    drop(store);
    // Many a restart makes it long enough; the removal that is open is the last thing in it.
    let left = host[(message(0).len() + message(1).len() + message(2).len())..].to_vec();
    for _ in 0..30 {
        home.open("mbox").expect("opened").restart().expect("restarted");
        assert_eq!(home.fetch("mbox", &left).skipped_as_known, 197);
    }
    let mut store = home.open("mbox").expect("opened");
    store.removing(&(10..=150).step_by(2).collect::<Vec<_>>()).expect("recorded");
    store.restart().expect("in doubt");
    drop(store);
    assert_eq!(home.fetch("mbox", &left).skipped_as_known, 197, "all with their own From_ lines");
    home.open("mbox").expect("opened").removing(&[7]).expect("recorded");
    let ledger = home.path("state/mary/ledger");
    let long = std::fs::metadata(&ledger).expect("a ledger").len();
    assert!(long < 500_000, "{long} bytes");
    let store = home.open("mbox").expect("opened");
    assert!(store.removal_pending() && store.messages().count() == 197);
}

#[test]
fn numbers_that_no_message_has_are_refused_and_nothing_is_recorded() {
    let home = Home::new();
    home.fetch("Mail", &mailbox(3));
    let mut store = home.open("Mail").expect("opened");
    for numbers in [&[0][..], &[1, 4]] {
        let error = store.removing(numbers).expect_err("refused");
        assert!(matches!(error, StoreError::NoSuchMessage { newest: 3, .. }), "{error}");
    }
    assert!(store.removing(&[]).expect("nothing to do").is_empty());
    assert!(!store.removal_pending());
    assert_eq!(store.removed(None).expect("nothing to say"), 0);
    assert_eq!(store.messages().count(), 3);
}

#[test]
fn what_somebody_else_deleted_and_what_comes_back_as_it_was_are_told_apart() {
    let home = Home::new();
    let host = [message(1), message(2)].concat();
    home.fetch("Mail", host.as_bytes());
    // Another program deletes the first; the mailbox is read from its start, to its end.
    home.open("Mail").expect("opened").restart().expect("restarted");
    assert_eq!(home.fetch("Mail", message(2).as_bytes()).skipped_as_known, 1);
    // The same words again are a new message...
    let more = [message(2), again(1)].concat();
    assert_eq!(home.fetch("Mail", more.as_bytes()).messages, 1);
    // ...and a mailbox that comes back from a backup is no news.
    home.open("Mail").expect("opened").restart().expect("restarted");
    let done = home.fetch("Mail", [host, again(1)].concat().as_bytes());
    assert_eq!((done.messages, done.skipped_as_known), (0, 3));
    // Nor is one that was away, or empty, for a while.
    let mut store = home.open("Mail").expect("opened");
    store.restart().expect("restarted");
    store.counted().expect("recorded");
    drop(store);
    let done = home.fetch("Mail", [message(1), again(2)].concat().as_bytes());
    assert_eq!((done.messages, done.skipped_as_known), (1, 1));
}
