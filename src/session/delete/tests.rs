//! Removals over a mailbox in memory, that changes, fails and forgets as asked.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::SystemTime;

use super::*;
use crate::access::index::Entry;
use crate::access::{Carried, Keep, Surveyed};
use crate::mailbox::digest::PrefixDigest;
use crate::store::Delivery;

/// What happens at a removal, instead of or beside it.
#[derive(Debug, Clone)]
enum Happens {
    /// The mailbox is this one now, before anything is removed.
    Replaced(String),
    /// It is done, and the line is lost before that is said.
    DoneAndLost,
    /// The line is lost before it is done.
    Lost,
}

#[derive(Default)]
struct Fake {
    bytes: Vec<u8>,
    happens: VecDeque<Happens>,
    /// Whether it keeps a trace of removals, and which.
    traces: bool,
    trace: Option<(PrefixDigest, PrefixDigest)>,
    carried: usize,
    notes: Vec<String>,
}

fn digest(bytes: &[u8]) -> PrefixDigest {
    let mut digest = PrefixDigest::new();
    digest.update(bytes);
    digest
}

impl Fake {
    fn new(mailbox: &str) -> Self {
        Self { bytes: mailbox.as_bytes().to_vec(), ..Self::default() }
    }

    fn begins_with(&self, ours: &PrefixDigest) -> bool {
        let prefix = self.bytes.get(..ours.len() as usize);
        prefix.is_some_and(|prefix| digest(prefix).sha256_hex() == ours.sha256_hex())
    }

    fn take_out(&mut self, known: &PrefixDigest, ranges: &[Range<u64>]) -> PrefixDigest {
        let mut left = known.len() as usize;
        for range in ranges.iter().rev() {
            let range = range.start as usize..range.end as usize;
            left -= range.len();
            self.bytes.drain(range);
        }
        let left = digest(&self.bytes[..left]);
        self.trace = Some((known.clone(), left.clone()));
        left
    }
}

impl Mailbox for Fake {
    type Error = Failure;

    fn tell(&mut self, telling: Telling) {
        if let Telling::Note(note) = telling {
            self.notes.push(note);
        }
    }

    async fn survey(&mut self, ours: &[&PrefixDigest]) -> Result<Option<Surveyed>, Failure> {
        let proven = ours.iter().map(|ours| self.begins_with(ours)).collect();
        let size = self.bytes.len() as u64;
        Ok((size > 0).then_some(Surveyed { size, proven, locked: false }))
    }

    async fn carry<E: From<Failure>>(
        &mut self,
        from: u64,
        _: u64,
        keep: &mut Keep<'_, E>,
    ) -> Result<Carried, E> {
        self.carried += self.bytes.len() - from as usize;
        keep(from, &self.bytes[from as usize..])?;
        Ok(Carried { how: "fake", retries: 0 })
    }

    async fn index(&mut self, _: u64) -> Result<Vec<Entry>, Failure> {
        Ok(Vec::new())
    }

    async fn remove(&mut self, known: &PrefixDigest, ranges: &[Range<u64>]) -> Result<Removal, Failure> {
        let lost = || Err(Failure::new(Ending::CarrierLost, Stage::Removal, "the line is gone"));
        let happens = self.happens.pop_front();
        match &happens {
            Some(Happens::Lost) => return lost(),
            Some(Happens::Replaced(mailbox)) => self.bytes = mailbox.as_bytes().to_vec(),
            Some(Happens::DoneAndLost) | None => {}
        }
        if !self.begins_with(known) {
            return Ok(Removal::Changed);
        }
        let left = self.take_out(known, ranges);
        match happens {
            Some(Happens::DoneAndLost) => lost(),
            _ => Ok(Removal::Done { known: self.traces.then(|| Box::new(left)) }),
        }
    }

    async fn recover(&mut self) -> Result<Recovered, Failure> {
        Ok(match &self.trace {
            _ if !self.traces => Recovered::CannotTell,
            None => Recovered::Nothing,
            Some((before, known)) => {
                Recovered::Done { before: before.clone().into(), known: known.clone().into() }
            }
        })
    }

    async fn settled(&mut self) -> Result<(), Failure> {
        self.trace = None;
        Ok(())
    }
}

fn message(number: usize) -> String {
    format!("From joe@x Thu Jan  1 00:00:{number:02} 1970\nSubject: {number}\n\nbody\n\n")
}

/// The same words, a minute later.
fn again(number: usize) -> String {
    message(number).replacen("00:00:", "00:01:", 1)
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn store(&self) -> Store {
        let delivery = Delivery::Maildir(self.0.path().join("Mail"));
        let now = SystemTime::UNIX_EPOCH;
        Store::open(&self.0.path().join("state"), "mary", "m", delivery, now).expect("opened")
    }

    /// The subjects of what was delivered, as often as it was.
    fn delivered(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.0.path().join("Mail/new")).expect("a Maildir");
        let text = |entry: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(entry.expect("an entry").path()).expect("a message")
        };
        let mut subjects: Vec<String> = folder
            .map(|entry| text(entry).lines().next().unwrap_or_default().replace("Subject: ", ""))
            .collect();
        subjects.sort();
        subjects
    }
}

fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(work)
}

#[test]
fn what_is_fetched_is_removed_and_what_says_the_same_later_is_fetched_again() {
    for traces in [false, true] {
        let home = Home::new();
        let mut mailbox = Fake::new(&[message(1), message(2)].concat());
        mailbox.traces = traces;
        let fetched = now(bring(&mut mailbox, &mut home.store(), false)).expect("fetched");
        assert_eq!((fetched.messages, fetched.removed, fetched.not_removed), (2, 2, None));
        assert!(mailbox.bytes.is_empty() && mailbox.trace.is_none());
        let fetched = now(bring(&mut mailbox, &mut home.store(), false)).expect("nothing there");
        assert_eq!((fetched.messages, fetched.removed), (0, 0));
        mailbox.bytes = [again(1), message(2)].concat().into_bytes();
        let fetched = now(bring(&mut mailbox, &mut home.store(), false)).expect("fetched");
        assert_eq!((fetched.messages, fetched.removed), (2, 2));
        assert_eq!(home.delivered(), ["1", "1", "2", "2"]);
    }
}

#[test]
fn what_earlier_calls_delivered_is_removed_too() {
    let home = Home::new();
    let mut mailbox = Fake::new(&message(1));
    now(bring(&mut mailbox, &mut home.store(), true)).expect("fetched");
    mailbox.bytes.extend_from_slice(message(2).as_bytes());
    let fetched = now(bring(&mut mailbox, &mut home.store(), false)).expect("fetched");
    assert_eq!((fetched.messages, fetched.removed), (1, 2));
    assert!(mailbox.bytes.is_empty());
}

#[test]
fn a_mailbox_that_changes_before_the_removal_is_fetched_from_once_more() {
    let home = Home::new();
    let mut mailbox = Fake::new(&[message(1), message(2)].concat());
    mailbox.happens = [Happens::Replaced([message(2), message(3)].concat())].into();
    let fetched = now(bring(&mut mailbox, &mut home.store(), false)).expect("fetched");
    assert_eq!((fetched.messages, fetched.known_before, fetched.removed), (3, 1, 2));
    assert!(mailbox.bytes.is_empty());
    assert_eq!(home.delivered(), ["1", "2", "3"]);
    // One that changes for ever ends, with the mail here and the reason told.
    let other = |number: usize| Happens::Replaced([message(number), message(9)].concat());
    mailbox.happens = (4..9).map(other).collect();
    mailbox.bytes = message(3).into_bytes();
    let fetched = now(bring(&mut mailbox, &mut home.store(), false)).expect("fetched");
    let failure = fetched.not_removed.expect("not removed");
    assert_eq!((failure.ending, failure.stage), (Ending::MailboxLocked, Stage::Removal));
    assert_eq!(home.delivered(), ["1", "2", "3", "3", "4", "5", "6", "9"]);
}

#[test]
fn a_removal_cut_off_is_settled_by_the_next_call_and_no_mail_comes_twice_or_never() {
    for (happens, traces) in [
        (Happens::Lost, false),
        (Happens::Lost, true),
        (Happens::DoneAndLost, false),
        (Happens::DoneAndLost, true),
    ] {
        let home = Home::new();
        let mut mailbox = Fake::new(&[message(1), message(2)].concat());
        mailbox.traces = traces;
        mailbox.happens = [happens.clone()].into();
        let fetched = now(bring(&mut mailbox, &mut home.store(), false)).expect("fetched");
        assert_eq!(fetched.messages, 2);
        assert_eq!(fetched.not_removed.expect("cut off").ending, Ending::CarrierLost);
        assert!(home.store().removal_pending());
        mailbox.bytes.extend_from_slice([again(1), message(3)].concat().as_bytes());
        let fetched = now(bring(&mut mailbox, &mut home.store(), false)).expect("fetched");
        assert_eq!(fetched.messages, 2, "{happens:?}");
        assert!(mailbox.bytes.is_empty(), "{happens:?}");
        assert_eq!(home.delivered(), ["1", "1", "2", "3"], "{happens:?}, traces {traces}");
        assert!(mailbox.notes.iter().any(|note| note.contains("cut off")), "{:?}", mailbox.notes);
    }
}

#[test]
fn chosen_messages_go_and_the_others_are_not_carried_again() {
    let home = Home::new();
    let mut mailbox = Fake::new(&[message(1), message(2), message(3)].concat());
    mailbox.traces = true;
    now(bring(&mut mailbox, &mut home.store(), true)).expect("fetched");
    let carried = mailbox.carried;
    assert_eq!(now(delete(&mut mailbox, &mut home.store(), &[2])).expect("deleted"), 1);
    assert_eq!(mailbox.bytes, [message(1), message(3)].concat().into_bytes());
    assert_eq!(now(bring(&mut mailbox, &mut home.store(), true)).expect("nothing new").messages, 0);
    assert_eq!(mailbox.carried, carried);
    // The numbers are those of the mailbox now.
    assert_eq!(now(delete(&mut mailbox, &mut home.store(), &[2])).expect("deleted"), 1);
    assert_eq!(mailbox.bytes, message(1).into_bytes());
}

#[test]
fn numbers_of_a_mailbox_that_changed_delete_nothing() {
    let home = Home::new();
    let mut mailbox = Fake::new(&[message(1), message(2), message(3)].concat());
    now(bring(&mut mailbox, &mut home.store(), true)).expect("fetched");
    mailbox.bytes = [message(2), message(3)].concat().into_bytes();
    let failure = now(delete(&mut mailbox, &mut home.store(), &[1])).expect_err("refused");
    assert_eq!(failure.ending, Ending::Usage);
    assert!(failure.message.contains("list again"), "{failure}");
    assert_eq!(mailbox.bytes, [message(2), message(3)].concat().into_bytes());
    // Nor those of before a removal that was cut off.
    now(bring(&mut mailbox, &mut home.store(), true)).expect("fetched");
    mailbox.traces = true;
    mailbox.happens = [Happens::DoneAndLost].into();
    assert!(now(delete(&mut mailbox, &mut home.store(), &[1])).is_err());
    let failure = now(delete(&mut mailbox, &mut home.store(), &[1])).expect_err("refused");
    assert!(failure.message.contains("list again"), "{failure}");
    assert_eq!(mailbox.bytes, message(3).into_bytes());
    assert!(!home.store().removal_pending());
}
