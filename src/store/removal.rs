//! Removal from the host's mailbox, as the ledger sees it: what may go, what is going, what is gone.
//!
//! Only what the ledger counts among the messages may be removed: that was delivered and fsynced, and
//! its record too. The intent is written down before the host is touched. A call that dies in between
//! leaves it open, and the next one says what became of it, by what the mailbox shows:
//!
//! - [`Store::not_removed`]: all is as it was.
//! - [`Store::removed`]: what is removed does not count any more as seen. A message that says the same
//!   and comes later is another one, and is fetched.
//! - [`Store::restart`], when neither is certain: what would have been removed counts as seen again
//!   only where its very From_ line is seen too; else it is rather fetched twice than lost.

use std::ops::Range;

use crate::mailbox::digest::PrefixDigest;

use super::error::StoreError;
use super::record::{Known, Record, runs};
use super::{Settling, Store};

impl Store {
    /// Where delivered messages stand in the mailbox, in its order: each from its From_ line to the
    /// next one, all within what is known. Numbers are those of [`Store::messages`].
    pub fn removable(&self, numbers: &[usize]) -> Result<Vec<Range<u64>>, StoreError> {
        let ranges = self.positions(numbers)?.into_iter().filter_map(|position| self.book.range(position));
        Ok(ranges.collect())
    }

    /// Writes down that these messages are about to be removed from the mailbox, and says where they
    /// stand there. When this returns, it is on the disk.
    pub fn removing(&mut self, numbers: &[usize]) -> Result<Vec<Range<u64>>, StoreError> {
        self.settle(Settling::AfterCrash)?;
        if self.removal_pending() {
            return Err(StoreError::RemovalUnsettled);
        }
        let positions = self.positions(numbers)?;
        if runs(&positions).count() > RUNS_MAX {
            return Err(StoreError::RemovalTooLong);
        }
        let ranges = self.removable(numbers)?;
        if !positions.is_empty() {
            self.record(Record::Removing(positions))?;
        }
        Ok(ranges)
    }

    /// True while nobody has said what became of a removal.
    pub fn removal_pending(&self) -> bool {
        self.book.removing.is_some()
    }

    /// Says that the removal is done, and answers how many messages are gone. `known` digests what is
    /// left of the bytes that were known; without it the mailbox is counted from its beginning again.
    pub fn removed(&mut self, known: Option<&PrefixDigest>) -> Result<usize, StoreError> {
        let Some(positions) = self.book.removing.clone() else { return Ok(0) };
        let (before, count) = (self.known(), positions.len());
        let out = positions.into_iter().filter_map(|position| self.book.range(position));
        let left = before - out.map(|range| range.end - range.start).sum::<u64>();
        let known = known.filter(|known| known.len() == left).cloned();
        let shifts = known.is_some();
        self.record(Record::Removed(known.map(Known)))?;
        let epoch = self.book.epoch;
        match shifts {
            true => self.part.shift(before, left, epoch)?,
            false => self.part.restart(epoch)?,
        }
        self.weigh_part()?;
        Ok(count)
    }

    /// Says that the removal was not done: the mailbox is as it was.
    pub fn not_removed(&mut self) -> Result<(), StoreError> {
        match self.removal_pending() {
            true => self.record(Record::Stays),
            false => Ok(()),
        }
    }

    /// Positions of messages, each once and ascending.
    fn positions(&self, numbers: &[usize]) -> Result<Vec<usize>, StoreError> {
        let newest = self.book.messages.len();
        let position = |&number: &usize| match number.checked_sub(1).filter(|&position| position < newest) {
            Some(position) => Ok(position),
            None => Err(StoreError::NoSuchMessage { number, newest }),
        };
        let mut positions = numbers.iter().map(position).collect::<Result<Vec<_>, _>>()?;
        positions.sort_unstable();
        positions.dedup();
        Ok(positions)
    }
}

/// Runs of neighbouring messages in one removal: what a line of the ledger holds.
const RUNS_MAX: usize = 150_000;
