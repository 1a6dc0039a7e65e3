//! What is done with a mailbox, however it is reached.

use super::Failure;
use super::delete::{bring, delete};
use super::fetch::Fetched;
use super::list::{Listed, list};
use crate::access::Mailbox;
use crate::mailbox::digest::PrefixDigest;
use crate::store::Store;

/// Something to do with a mailbox once it can be reached. A closure could not be: it would have to take
/// mailboxes of every type.
#[allow(async_fn_in_trait)] // only ever used where the concrete type is known
pub trait Work {
    /// What comes of it.
    type Done;

    /// The store of whose mailbox it is.
    fn store(&self) -> &Store;

    /// What it will ask of the mailbox first: digests of what is here, the longest last, and whether it
    /// wants what stands behind them. `None` if it asks of the mailbox nothing that could be foreseen.
    fn first(&self) -> Option<(Vec<PrefixDigest>, bool)>;

    /// Does it.
    async fn run<M: Mailbox>(self, mailbox: &mut M) -> Result<Self::Done, Failure>
    where
        Failure: From<M::Error>;
}

/// Brings new mail home.
pub struct Fetch<'s> {
    /// Where it goes.
    pub store: &'s mut Store,
    /// Whether it stays in the mailbox, too.
    pub keep: bool,
}

impl Work for Fetch<'_> {
    type Done = Fetched;

    fn store(&self) -> &Store {
        self.store
    }

    fn first(&self) -> Option<(Vec<PrefixDigest>, bool)> {
        Some((vec![self.store.known_digest().clone(), self.store.part_digest().clone()], true))
    }

    async fn run<M: Mailbox>(self, mailbox: &mut M) -> Result<Fetched, Failure>
    where
        Failure: From<M::Error>,
    {
        bring(mailbox, self.store, self.keep).await
    }
}

/// Tells what is there.
pub struct List<'s>(pub &'s mut Store);

impl Work for List<'_> {
    type Done = Vec<Listed>;

    fn store(&self) -> &Store {
        self.0
    }

    fn first(&self) -> Option<(Vec<PrefixDigest>, bool)> {
        Some((vec![self.0.known_digest().clone()], false))
    }

    async fn run<M: Mailbox>(self, mailbox: &mut M) -> Result<Vec<Listed>, Failure>
    where
        Failure: From<M::Error>,
    {
        list(mailbox, self.0).await
    }
}

/// Removes messages that are here from the mailbox.
pub struct Delete<'s> {
    /// Where they are.
    pub store: &'s mut Store,
    /// Their numbers.
    pub numbers: &'s [usize],
}

impl Work for Delete<'_> {
    type Done = u64;

    fn store(&self) -> &Store {
        self.store
    }

    fn first(&self) -> Option<(Vec<PrefixDigest>, bool)> {
        None // it proves and removes in one
    }

    async fn run<M: Mailbox>(self, mailbox: &mut M) -> Result<u64, Failure>
    where
        Failure: From<M::Error>,
    {
        delete(mailbox, self.store, self.numbers).await
    }
}
