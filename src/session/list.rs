//! What is in the mailbox, without carrying the mail itself.

use super::Failure;
use crate::access::index::Entry;
use crate::access::{Mailbox, Telling};
use crate::store::Store;

/// A message of the mailbox, and whether it is here already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What the mailbox says of it.
    pub entry: Entry,
    /// Delivered by an earlier call.
    pub here: bool,
}

/// Lists `mailbox`.
pub async fn list<M: Mailbox>(mailbox: &mut M, store: &Store) -> Result<Vec<Listed>, Failure>
where
    Failure: From<M::Error>,
{
    mailbox.tell(Telling::Surveying("listing the mailbox".to_owned()));
    let known = store.known();
    let Some(surveyed) = mailbox.survey(&[store.known_digest()]).await? else { return Ok(Vec::new()) };
    let unchanged = known > 0 && surveyed.proven == [true];
    let entries = mailbox.index(surveyed.size).await?;
    Ok(entries.into_iter().map(|entry| Listed { here: unchanged && entry.offset < known, entry }).collect())
}
