//! The mailbox as a path: for someone on the server itself, or with the server's file system mounted.
//!
//! [`ByPath`] is the [`Mailbox`] over it. Everything that touches the disk runs on a thread
//! ([`asking`]), so that a server that is down hangs nobody. [`lock`] keeps other programs out,
//! [`reading`] reads an mbox, [`maildir`] a Maildir as the mbox that it would be, and [`remove`] takes
//! messages out of either.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::index::Entry;
use super::mailbox::{Carried, Keep, Mailbox, Recovered, Removal, Surveyed, Telling};
use crate::mailbox::digest::PrefixDigest;

mod asking;
mod dotlock;
mod error;
mod journal;
pub mod lock;
mod maildir;
mod mount;
mod reading;
mod remove;
pub mod rewrite;
mod spool;

pub use error::PathError;
pub use lock::{FileId, Patience, Purpose, SpoolLock};
pub use spool::{Form, Spool};

use asking::{Said, Teller, ask};
use maildir::Lengths;
use mount::Place;

/// A mailbox on a path.
pub struct ByPath<'t> {
    spool: Spool,
    tell: Box<dyn FnMut(Telling) + 't>,
    lengths: Arc<Mutex<Lengths>>,
    place: Arc<Place>,
    /// The account's folder, where traces of removals are kept.
    traces: PathBuf,
}

impl<'t> ByPath<'t> {
    /// The mailbox at `spool`; `tell` is told what happens. What is removed from it leaves a trace in the
    /// folder `traces`, which is the account's.
    pub fn new(spool: Spool, traces: PathBuf, tell: impl FnMut(Telling) + 't) -> Self {
        Self { spool, tell: Box::new(tell), lengths: Arc::default(), place: Arc::default(), traces }
    }

    /// Does `mbox` or `maildir` on a thread, whichever the mailbox is, and tells whom it waits for.
    async fn on_disk<T: Send + 'static, E: From<PathError>>(
        &mut self,
        mbox: impl FnOnce(&Path, &Teller<T>) -> Result<T, PathError> + Send + 'static,
        maildir: impl FnOnce(&Path, &mut Lengths, &Teller<T>) -> Result<T, PathError> + Send + 'static,
        mut bytes: impl FnMut(&mut dyn FnMut(Telling), u64, &[u8]) -> Result<(), E>,
    ) -> Result<T, E> {
        let (spool, lengths) = (self.spool.clone(), Arc::clone(&self.lengths));
        let place = Arc::clone(&self.place);
        let work = move |teller: &Teller<T>| {
            place.holds(&spool.path)?;
            let done = if spool.is_maildir() {
                let mut lengths = lengths.lock().unwrap_or_else(PoisonError::into_inner);
                maildir(&spool.path, &mut lengths, teller)
            } else {
                mbox(&spool.path, teller)
            };
            place.holds(&spool.path)?;
            done
        };
        let tell = &mut self.tell;
        ask(&self.spool.path, AT_THE_END, work, |said| match said {
            Said::Alive | Said::Done(_) => Ok(()),
            Said::Waiting(by) => {
                tell(Telling::Note(format!("the mailbox is locked: {by}; waiting")));
                Ok(())
            }
            Said::Bytes(offset, piece) => bytes(tell, offset, &piece),
        })
        .await
    }
}

impl Mailbox for ByPath<'_> {
    type Error = PathError;

    fn tell(&mut self, telling: Telling) {
        (self.tell)(telling);
    }

    async fn survey(&mut self, ours: &[&PrefixDigest]) -> Result<Option<Surveyed>, PathError> {
        let lengths: Vec<u64> = ours.iter().map(|digest| digest.len()).collect();
        let also = lengths.clone();
        let found = self.on_disk(
            move |path, teller| reading::survey(path, &lengths, teller),
            move |path, known, teller| match maildir::survey(path, &also, known, teller) {
                Err(PathError::Missing { .. }) => Ok(None),
                other => other,
            },
            no_bytes,
        );
        let found = found.await?;
        if found.is_none() && self.on_disk(is_bare, |path, _, teller| is_bare(path, teller), no_bytes).await?
        {
            let path = self.spool.path.display();
            let note = format!("there is no {path}, and its folder is empty: is its file system mounted?");
            self.tell(Telling::Note(note));
        }
        Ok(found.map(|found| {
            let proofs = ours.iter().zip(&found.digests);
            let proven = proofs.map(|(ours, theirs)| theirs.as_ref() == Some(&ours.sha256_hex())).collect();
            Surveyed { size: found.size, proven, locked: found.restless }
        }))
    }

    async fn carry<E: From<PathError>>(
        &mut self,
        from: u64,
        size: u64,
        keep: &mut Keep<'_, E>,
    ) -> Result<Carried, E> {
        let total = size - from;
        self.tell(Telling::Carrying(HOW));
        self.tell(Telling::Bytes { done: 0, total });
        self.on_disk::<(), E>(
            move |path, teller| reading::carry(path, from, size, teller),
            move |path, known, teller| maildir::carry(path, from, size, known, teller),
            |tell, offset, piece| -> Result<(), E> {
                keep(offset, piece)?;
                tell(Telling::Bytes { done: offset + piece.len() as u64 - from, total });
                Ok(())
            },
        )
        .await?;
        Ok(Carried { how: HOW, retries: 0 })
    }

    fn sync_every(&self) -> u64 {
        SYNC_EVERY
    }

    async fn index(&mut self, size: u64) -> Result<Vec<Entry>, PathError> {
        self.on_disk(
            move |path, teller| reading::index(path, size, teller),
            move |path, known, teller| maildir::index(path, size, known, teller),
            no_bytes,
        )
        .await
    }

    async fn remove(&mut self, known: &PrefixDigest, ranges: &[Range<u64>]) -> Result<Removal, PathError> {
        let what =
            remove::Wanted { traces: self.traces.clone(), known: known.clone(), ranges: ranges.to_vec() };
        let also = what.clone();
        self.on_disk(
            move |path, teller| remove::from_mbox(path, &what, teller),
            move |path, lengths, teller| remove::from_maildir(path, &also, lengths, teller),
            no_bytes,
        )
        .await
    }

    async fn recover(&mut self) -> Result<Recovered, PathError> {
        let (traces, also) = (self.traces.clone(), self.traces.clone());
        self.on_disk(
            move |path, teller| remove::recover(&traces, path, teller),
            move |path, _, teller| remove::recover(&also, path, teller),
            no_bytes,
        )
        .await
    }

    async fn settled(&mut self) -> Result<(), PathError> {
        remove::settled(&self.traces)
    }
}

fn is_bare(path: &Path, _: &Teller<bool>) -> Result<bool, PathError> {
    Ok(mount::is_bare(path))
}

fn no_bytes(_: &mut dyn FnMut(Telling), _: u64, _: &[u8]) -> Result<(), PathError> {
    Ok(())
}

/// In reports.
const HOW: &str = "path";
/// Bytes of a mailbox on a path that a power cut may cost: they are read again in no time, where each
/// sync takes some.
const SYNC_EVERY: u64 = 16 << 20;
/// A thread that reads needs no longer to notice that it is not wanted any more, and to unlock.
const AT_THE_END: Duration = Duration::from_secs(2);
