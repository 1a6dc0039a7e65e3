//! Removing messages from the mailbox that are here: delivered, fsynced and recorded, nothing else.
//!
//! The ledger notes what is about to go before the mailbox is touched, and what is gone afterwards. In
//! between the mailbox is proven once more, under its locks, to begin with the very bytes that were
//! fetched. [`settle`] finds out what became of a removal that nobody saw the end of.

use std::collections::HashSet;

use super::fetch::{Fetched, fetch, store_failure};
use super::{Ending, Failure, Stage};
use crate::access::{Mailbox, Recovered, Removal, Telling};
use crate::store::{Message, Store, StoreError};

/// Fetches what is new, and, unless mail is to be kept there, removes all that is here: also what an
/// earlier call delivered and could not remove. A removal that fails is told in what was fetched.
pub async fn bring<M: Mailbox>(mailbox: &mut M, store: &mut Store, keep: bool) -> Result<Fetched, Failure>
where
    Failure: From<M::Error>,
{
    let mut fetched = fetch(mailbox, store).await?;
    if keep {
        return Ok(fetched);
    }
    for _ in 0..ROUNDS_MAX {
        let all: Vec<usize> = store.messages().map(|message| message.number).collect();
        match remove(mailbox, store, &all).await {
            Ok(Some(removed)) => {
                fetched.removed = removed;
                return Ok(fetched);
            }
            // Something else was done to the mailbox since: what is new in it is fetched first.
            Ok(None) => match fetch(mailbox, store).await {
                Ok(more) => fetched.add(more),
                Err(failure) => {
                    fetched.not_removed = Some(failure);
                    return Ok(fetched);
                }
            },
            Err(failure) => {
                fetched.not_removed = Some(failure);
                return Ok(fetched);
            }
        }
    }
    let message = format!(
        "the mailbox changed each of the {ROUNDS_MAX} times that mail was to be removed from it; \
         what was fetched is here"
    );
    fetched.not_removed = Some(Failure::new(Ending::MailboxLocked, Stage::Removal, message));
    Ok(fetched)
}

/// Removes the messages of these numbers, which are those of [`Store::messages`], and answers how many.
pub async fn delete<M: Mailbox>(mailbox: &mut M, store: &mut Store, numbers: &[usize]) -> Result<u64, Failure>
where
    Failure: From<M::Error>,
{
    let numbers_meant: HashSet<usize> = numbers.iter().copied().collect();
    let meant = |store: &Store| -> Vec<Message> {
        store.messages().filter(|message| numbers_meant.contains(&message.number)).collect()
    };
    let before = meant(store);
    settle(mailbox, store).await?;
    if meant(store) == before
        && let Some(removed) = remove(mailbox, store, numbers).await?
    {
        return Ok(removed);
    }
    let message = "the mailbox changed, and the numbers may name other messages now: nothing was deleted. \
                   Fetch, list again, and delete by the new numbers";
    Err(Failure::new(Ending::Usage, Stage::Removal, message))
}

/// Says what became of a removal that an earlier run began and did not see the end of. To be called
/// before anything else is done with a mailbox.
pub async fn settle<M: Mailbox>(mailbox: &mut M, store: &mut Store) -> Result<(), Failure>
where
    Failure: From<M::Error>,
{
    let recovered = mailbox.recover().await?;
    if store.removal_pending() {
        mailbox.tell(Telling::Surveying("an earlier removal was cut off".to_owned()));
        let is_ours = |before: &str| store.known_digest().sha256_hex() == before;
        let note = match recovered {
            Recovered::Nothing => {
                store.not_removed().map_err(disk)?;
                "the removal that was cut off had not begun"
            }
            Recovered::Done { before, known } if is_ours(&before.sha256_hex()) => {
                store.removed(Some(&*known)).map_err(disk)?;
                "the removal that was cut off is done"
            }
            Recovered::Done { .. } | Recovered::CannotTell => judge(mailbox, store).await?,
        };
        mailbox.tell(Telling::Note(note.to_owned()));
    }
    Ok(mailbox.settled().await?)
}

/// Judges by what the mailbox shows.
async fn judge<M: Mailbox>(mailbox: &mut M, store: &mut Store) -> Result<&'static str, Failure>
where
    Failure: From<M::Error>,
{
    match mailbox.survey(&[store.known_digest()]).await? {
        None => {
            store.removed(None).map_err(disk)?;
            Ok("the removal that was cut off is done")
        }
        Some(surveyed) if surveyed.proven == [true] => {
            store.not_removed().map_err(disk)?;
            Ok("the removal that was cut off had removed nothing")
        }
        Some(_) => {
            store.restart().map_err(disk)?;
            Ok("a removal was cut off; the mailbox is read from its start to see what is left")
        }
    }
}

/// Removes messages. `None` if the mailbox no longer begins with what is known; then nothing was done.
async fn remove<M: Mailbox>(
    mailbox: &mut M,
    store: &mut Store,
    numbers: &[usize],
) -> Result<Option<u64>, Failure>
where
    Failure: From<M::Error>,
{
    if numbers.is_empty() {
        return Ok(Some(0));
    }
    mailbox.tell(Telling::Removing);
    let ranges = store.removing(numbers).map_err(disk)?;
    // After an error the intent stays open: the next call settles it.
    match mailbox.remove(store.known_digest(), &ranges).await.map_err(while_removing::<M>)? {
        Removal::Done { known } => {
            let removed = store.removed(known.as_deref()).map_err(disk)?;
            mailbox.settled().await?;
            Ok(Some(removed as u64))
        }
        Removal::Changed => {
            store.not_removed().map_err(disk)?;
            Ok(None)
        }
    }
}

/// Of an error on a path only here is known where it happened.
fn while_removing<M: Mailbox>(error: M::Error) -> Failure
where
    Failure: From<M::Error>,
{
    let failure = Failure::from(error);
    match failure.stage {
        Stage::Survey => Failure { stage: Stage::Removal, ..failure },
        _ => failure,
    }
}

fn disk(error: StoreError) -> Failure {
    store_failure(Stage::Removal, &error)
}

/// How often a mailbox is fetched from again that changed before its mail could be removed.
const ROUNDS_MAX: usize = 3;

#[cfg(test)]
mod tests;
