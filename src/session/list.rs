//! What is in the mailbox, without carrying the mail itself.

use std::collections::HashMap;

use super::Failure;
use super::delete::settle;
use crate::access::index::Entry;
use crate::access::{Mailbox, Telling};
use crate::store::{Message, Store};

/// A message of the mailbox, and whether it is here already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What the mailbox says of it.
    pub entry: Entry,
    /// Delivered by an earlier call.
    pub here: bool,
}

/// Lists `mailbox`. What is here has the numbers that it has in the store, also where the list that the
/// host's awk makes takes another line for a From_ line.
pub async fn list<M: Mailbox>(mailbox: &mut M, store: &mut Store) -> Result<Vec<Listed>, Failure>
where
    Failure: From<M::Error>,
{
    settle(mailbox, store).await?;
    mailbox.tell(Telling::Surveying("listing the mailbox".to_owned()));
    let known = store.known();
    let Some(surveyed) = mailbox.survey(&[store.known_digest()]).await? else { return Ok(Vec::new()) };
    let unchanged = known > 0 && surveyed.proven == [true];
    let entries = mailbox.index(surveyed.size).await?;
    if !unchanged {
        return Ok(entries.into_iter().map(|entry| Listed { here: false, entry }).collect());
    }
    let told: HashMap<u64, &Entry> = entries.iter().map(|entry| (entry.offset, entry)).collect();
    let here = store.messages().map(|message| {
        let told = told.get(&message.offset).map(|entry| (*entry).clone());
        let number = message.number as u64;
        let entry = told.map_or_else(|| untold(&message), |entry| Entry { number, ..entry });
        Listed { here: true, entry }
    });
    let mut listed: Vec<Listed> = here.collect();
    for entry in entries.iter().filter(|entry| entry.offset >= known).cloned() {
        let number = listed.len() as u64 + 1;
        listed.push(Listed { here: false, entry: Entry { number, ..entry } });
    }
    Ok(listed)
}

/// A message that is here and that the mailbox's list does not have.
fn untold(message: &Message) -> Entry {
    Entry {
        number: message.number as u64,
        offset: message.offset,
        length: message.len,
        from: Vec::new(),
        date: Vec::new(),
        subject: Vec::new(),
    }
}
