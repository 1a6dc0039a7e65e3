//! A mailbox, however it is reached: by a shell on the host, or by a path on this machine.
//!
//! A fetch, a list and a deletion are written once, over this trait.

use std::ops::Range;

use super::index::Entry;
use crate::mailbox::digest::PrefixDigest;

/// What can be done with a mailbox. Offsets and lengths are in bytes of the mailbox as an mbox.
#[allow(async_fn_in_trait)] // only ever used where the concrete type is known
pub trait Mailbox {
    /// Why something could not be done.
    type Error;

    /// Tells whoever watches.
    fn tell(&mut self, telling: Telling);

    /// How long the mailbox is, and whether it begins with the bytes that each of `ours` has digested.
    /// `None` when there is no mail: a mailbox that is empty, or not there while its folder is.
    async fn survey(&mut self, ours: &[&PrefixDigest]) -> Result<Option<Surveyed>, Self::Error>;

    /// Brings the bytes from `from` on, at least up to `size`, and gives them in order to `keep` with
    /// their offset. What has been kept when this fails stays kept.
    async fn carry<E: From<Self::Error>>(
        &mut self,
        from: u64,
        size: u64,
        keep: &mut Keep<'_, E>,
    ) -> Result<Carried, E>;

    /// After how many bytes what was brought is made to last: as much as a power cut may cost. Over a
    /// line a few seconds of it, paid for; where it is had again for nothing, more, since a disk takes
    /// its time each time.
    fn sync_every(&self) -> u64 {
        LINE_SYNC_EVERY
    }

    /// What messages are there, in a mailbox that was surveyed to be of this size.
    async fn index(&mut self, size: u64) -> Result<Vec<Entry>, Self::Error>;

    /// Removes what stands in `ranges`, each a whole message with its From_ line, if the mailbox still
    /// begins with the bytes that `known` has digested and all ranges lie within them. Under the locks
    /// that other mail programs respect; what comes in meanwhile stays.
    ///
    /// The ranges ascend and may touch. After an error nobody knows whether they are gone: the next
    /// call asks with [`Self::recover`], and decides by what the mailbox shows where that cannot tell.
    async fn remove(&mut self, known: &PrefixDigest, ranges: &[Range<u64>]) -> Result<Removal, Self::Error>;

    /// Brings a removal to its end that an earlier run began and did not see the end of. Called before
    /// anything else that a run does with the mailbox.
    async fn recover(&mut self) -> Result<Recovered, Self::Error> {
        Ok(Recovered::CannotTell)
    }

    /// What was said of a removal is written down: what was kept to be able to say it may go.
    async fn settled(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Takes the mailbox's bytes: an offset and what stands there.
pub type Keep<'a, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 'a;

/// What a survey found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// The mailbox's length.
    pub size: u64,
    /// For each digest asked about: whether the mailbox begins with its bytes.
    pub proven: Vec<bool>,
    /// Another program has it locked: mail may be coming in.
    pub locked: bool,
}

/// How bytes were brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// The protocol, or "path".
    pub how: &'static str,
    /// Damaged pieces that were carried again.
    pub retries: u64,
}

/// What became of a removal.
#[derive(Debug, Clone)]
pub enum Removal {
    /// The messages are gone for good. `known` is the digest of what is left of the bytes that were
    /// known, where it could be computed.
    Done {
        /// What is left, digested.
        known: Option<Box<PrefixDigest>>,
    },
    /// The mailbox no longer begins with what was known; it was left alone.
    Changed,
}

/// What became of a removal that an earlier run began and did not see the end of.
#[derive(Debug, Clone)]
pub enum Recovered {
    /// Nothing was removed: it had not begun.
    Nothing,
    /// It is done, by the run before or just now.
    Done {
        /// The digest of what was known before.
        before: Box<PrefixDigest>,
        /// The digest of what is left of it.
        known: Box<PrefixDigest>,
    },
    /// No trace is kept of removals, or it says nothing any more.
    CannotTell,
}

/// What is told on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// The mailbox is looked at; the text says what for, if it is not a survey.
    Surveying(String),
    /// Its bytes are brought, by this means.
    Carrying(&'static str),
    /// So many of so many bytes have been brought.
    Bytes {
        /// Brought and proven by the protocol.
        done: u64,
        /// As many as there will be, as far as known.
        total: u64,
    },
    /// Messages go into the folder.
    Delivering,
    /// Messages are removed from the mailbox.
    Removing,
    /// Something worth a line.
    Note(String),
}

/// Bytes brought over a line between two syncs.
const LINE_SYNC_EVERY: u64 = 32 * 1024;
