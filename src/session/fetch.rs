//! Bringing new mail home: survey, prove, carry, prove again, deliver.
//!
//! What is already here is proven unchanged by a digest before it is built upon; what has come is
//! proven by a digest over the whole before a message is delivered. So a mailbox that changes under
//! the call, or between two calls, never makes a torn or doubled message.

use super::delete::settle;
use super::{Ending, Failure, Stage};
use crate::access::{Mailbox, Telling};
use crate::store::{PartEnd, Store, StoreError};

/// What a fetch did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Messages delivered in this call.
    pub messages: u64,
    /// Their bytes.
    pub bytes_mail: u64,
    /// Messages that were carried again and were here already.
    pub known_before: u64,
    /// Which protocol carried them; `None` when nothing had to be carried.
    pub transfer: Option<&'static str>,
    /// Damaged pieces that were carried again.
    pub retries: u64,
    /// Bytes of a message still being written on the host, left for the next call.
    pub left: u64,
    /// Messages that were removed from the mailbox when they were here.
    pub removed: u64,
    /// Why what is here was not removed, where it should have been.
    pub not_removed: Option<Failure>,
}

impl Fetched {
    /// Adds what another fetch in the same call did.
    pub(super) fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.bytes_mail += more.bytes_mail;
        self.known_before += more.known_before;
        self.transfer = more.transfer.or(self.transfer);
        self.retries += more.retries;
        self.left = more.left;
    }
}

/// Fetches what is new in `mailbox` into `store`.
pub async fn fetch<M: Mailbox>(mailbox: &mut M, store: &mut Store) -> Result<Fetched, Failure>
where
    Failure: From<M::Error>,
{
    settle(mailbox, store).await?;
    let mut fetched = Fetched::default();
    let mut size_at_first = None;
    for round in 1..=ROUNDS_MAX {
        mailbox.tell(Telling::Surveying(String::new()));
        let Some((size, unchanged_part)) = survey(mailbox, store).await? else {
            // No mail at all, so whatever comes is new.
            store.counted().map_err(|error| store_failure(Stage::Survey, &error))?;
            return Ok(fetched);
        };
        let size_before = *size_at_first.get_or_insert(size);
        let carries = size > store.part_end();
        if carries {
            carry(mailbox, store, size, &mut fetched).await?;
        } else if store.part_end() == store.known() {
            return Ok(fetched); // nothing new, and the survey has proven it
        }
        let proof = if !carries && size == store.part_end() && unchanged_part {
            Proved::Whole // by the survey itself: nothing was carried since
        } else {
            prove(mailbox, store, size_before).await?
        };
        let end = match proof {
            Proved::Whole => PartEnd::AllComplete,
            // What came in since is carried in this call: another one costs more than a round.
            Proved::StillGrowing { more: true } if round < ROUNDS_MAX => continue,
            Proved::StillGrowing { .. } => PartEnd::LastMayBeTorn,
            Proved::Changed => {
                mailbox.tell(Telling::Note(
                    "the mailbox changed while it was read; reading it again".to_owned(),
                ));
                store.drop_part().map_err(|error| store_failure(Stage::Transfer, &error))?;
                size_at_first = None;
                continue;
            }
        };
        mailbox.tell(Telling::Delivering);
        match store.deliver(end) {
            Ok(delivered) => {
                fetched.messages += delivered.messages as u64;
                fetched.bytes_mail += delivered.bytes;
                fetched.known_before += delivered.skipped_as_known as u64;
                fetched.left = match end {
                    PartEnd::AllComplete => 0, // blank lines in front of the first message are none
                    PartEnd::LastMayBeTorn => store.part_end() - store.known(),
                };
                return Ok(fetched);
            }
            // The last message delivered had not been complete: the mailbox is read from its start,
            // and what is here already is known by its content.
            Err(StoreError::NoBoundary { .. }) if store.known() > 0 => {
                let note = "the mailbox's messages have shifted; reading it again";
                mailbox.tell(Telling::Note(note.to_owned()));
                store.restart().map_err(|error| store_failure(Stage::Delivery, &error))?;
            }
            Err(error) => return Err(store_failure(Stage::Delivery, &error)),
        }
    }
    Err(Failure::new(
        Ending::MailboxLocked,
        Stage::Transfer,
        format!(
            "the mailbox changed each of the {ROUNDS_MAX} times that it was read: another program is rewriting it"
        ),
    ))
}

/// Looks at the mailbox and drops what it proves to be no longer so. Answers the size and whether
/// the unfinished part is proven; `None` when there is no mail.
async fn survey<M: Mailbox>(mailbox: &mut M, store: &mut Store) -> Result<Option<(u64, bool)>, Failure>
where
    Failure: From<M::Error>,
{
    let (known, part_end) = (store.known(), store.part_end());
    let surveyed = mailbox.survey(&[store.known_digest(), store.part_digest()]).await?;
    let disk = |error: StoreError| store_failure(Stage::Survey, &error);
    let size = surveyed.as_ref().map_or(0, |surveyed| surveyed.size);
    let proven = |at: usize| surveyed.as_ref().is_some_and(|surveyed| surveyed.proven[at]); // as many as asked about
    let whole_part = part_end == 0 || proven(1);
    if !whole_part && part_end > known {
        let note = "the mailbox changed since the last call; its unfinished part is read again";
        mailbox.tell(Telling::Note(note.into()));
        store.drop_part().map_err(disk)?;
    }
    if known > 0 && !proven(0) {
        let note = "the mailbox was rewritten since the last call; reading it from its start";
        mailbox.tell(Telling::Note(note.into()));
        store.restart().map_err(disk)?;
    }
    Ok((size > 0).then_some((size, whole_part)))
}

enum Proved {
    /// What is here is what the host has, to a message's end.
    Whole,
    /// What is here is what the host has, but it goes on: the last message may be half written.
    StillGrowing {
        /// The host has more than is here already.
        more: bool,
    },
    /// What is here is not what the host has.
    Changed,
}

/// Asks for a digest over all that is here.
async fn prove<M: Mailbox>(mailbox: &mut M, store: &Store, size_before: u64) -> Result<Proved, Failure>
where
    Failure: From<M::Error>,
{
    let end = store.part_end();
    let Some(surveyed) = mailbox.survey(&[store.part_digest()]).await? else {
        return Ok(Proved::Changed);
    };
    let size = surveyed.size;
    Ok(if surveyed.proven != [true] {
        Proved::Changed
    } else if size == end && size_before == end && !surveyed.locked {
        // Not growing, so whole. That it ends with a blank line would prove nothing: so does a
        // paragraph.
        Proved::Whole
    } else {
        Proved::StillGrowing { more: size > end }
    })
}

/// Carries what is missing, at least up to the size surveyed.
async fn carry<M: Mailbox>(
    mailbox: &mut M,
    store: &mut Store,
    size: u64,
    fetched: &mut Fetched,
) -> Result<(), Failure>
where
    Failure: From<M::Error>,
{
    let from = store.part_end();
    let every = mailbox.sync_every();
    let mut keep = |offset: u64, bytes: &[u8]| keep(store, every, offset, bytes);
    let carried = mailbox.carry::<Failure>(from, size, &mut keep).await;
    // However it ended, what has come is kept.
    store.sync_part().map_err(|error| store_failure(Stage::Transfer, &error))?;
    let carried = carried?;
    fetched.transfer = Some(carried.how);
    fetched.retries += carried.retries;
    Ok(())
}

/// Puts proven bytes into the part, and makes it last each time `every` bytes have come.
fn keep(store: &mut Store, every: u64, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
    let before = store.part_end();
    store.append_part(offset, bytes).map_err(|error| store_failure(Stage::Transfer, &error))?;
    if before / every != store.part_end() / every {
        store.sync_part().map_err(|error| store_failure(Stage::Transfer, &error))?;
    }
    Ok(())
}

/// What an error of the store means for the call.
pub fn store_failure(stage: Stage, error: &StoreError) -> Failure {
    let ending = match error {
        StoreError::Busy { .. }
        | StoreError::MboxLocked { .. }
        | StoreError::MemoryLocked { .. }
        | StoreError::PartLocked { .. } => Ending::MailboxLocked,
        StoreError::NotAnMbox { .. } | StoreError::NoBoundary { .. } | StoreError::LedgerDamaged { .. } => {
            Ending::BadData
        }
        StoreError::AccountName { .. } => Ending::Config,
        StoreError::NameTaken { .. }
        | StoreError::NoSuchMessage { .. }
        | StoreError::MessageGone { .. }
        | StoreError::MessageTooLarge { .. }
        | StoreError::RemovalTooLong => Ending::Usage,
        StoreError::WrongOffset { .. } | StoreError::RemovalUnsettled => Ending::Bug,
        StoreError::Disk { .. } | StoreError::LedgerUnsure { .. } | StoreError::Delivery { .. } => {
            Ending::LocalDisk
        }
    };
    Failure::new(ending, stage, error)
}

/// How often a mailbox that changes while it is read is read again.
const ROUNDS_MAX: usize = 3;
