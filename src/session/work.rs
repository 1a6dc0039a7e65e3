//! What is done with a mailbox, however it is reached.

use super::Failure;
use super::fetch::{Fetched, fetch};
use super::list::{Listed, list};
use crate::access::Mailbox;
use crate::store::Store;

/// Something to do with a mailbox once it can be reached. A closure could not be: it would have to take
/// mailboxes of every type.
#[allow(async_fn_in_trait)] // only ever used where the concrete type is known
pub trait Work {
    /// What comes of it.
    type Done;

    /// Does it.
    async fn run<M: Mailbox>(self, mailbox: &mut M) -> Result<Self::Done, Failure>
    where
        Failure: From<M::Error>;
}

/// Brings new mail home.
pub struct Fetch<'s>(pub &'s mut Store);

impl Work for Fetch<'_> {
    type Done = Fetched;

    async fn run<M: Mailbox>(self, mailbox: &mut M) -> Result<Fetched, Failure>
    where
        Failure: From<M::Error>,
    {
        fetch(mailbox, self.0).await
    }
}

/// Tells what is there.
pub struct List<'s>(pub &'s Store);

impl Work for List<'_> {
    type Done = Vec<Listed>;

    async fn run<M: Mailbox>(self, mailbox: &mut M) -> Result<Vec<Listed>, Failure>
    where
        Failure: From<M::Error>,
    {
        list(mailbox, self.0).await
    }
}
