//! The mailbox on a path of this machine: nothing is called, and everything else is as in a call.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::by_shell::told;
use super::call::{CallReport, what_panicked};
use super::work::Work;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::access::path::rewrite::RewriteError;
use crate::access::path::{ByPath, Form, PathError, Spool};
use crate::config::{AccountConfig, Way, expand_home};

/// Where an account's mailbox is on this machine; `None` where a line leads to it.
pub fn spool(account: &AccountConfig) -> Option<Spool> {
    let form = match account.way {
        Way::Line => return None,
        Way::Path => Form::Either,
        Way::Maildir => Form::Maildir,
    };
    Some(
        account
            .mailbox
            .as_deref()
            .map_or_else(Spool::default_here, |path| Spool::new(expand_home(path), form)),
    )
}

/// Does `work` with the mailbox at `spool`. `interrupted` answers with a signal's name when the user
/// wants to stop.
pub async fn by_path<W: Work>(
    spool: Spool,
    watch: Watch<'_>,
    mut interrupted: impl AsyncFnMut() -> &'static str,
    work: W,
) -> (Result<W::Done, Failure>, CallReport) {
    let stage = Cell::new(Stage::Survey);
    let traces = work.store().folder().to_owned();
    // In this carrying, and in those before it.
    let (bytes, before) = (Cell::new(0), Cell::new(0));
    let went = {
        let tell = |telling| {
            let progress = told(telling, None);
            match &progress {
                Progress::Stage(begun, _) => {
                    stage.set(*begun);
                    before.set(before.get() + bytes.take());
                }
                Progress::Bytes { done, .. } => bytes.set(*done),
                Progress::Note(_) => {}
            }
            watch(progress);
        };
        let mut mailbox = ByPath::new(spool, traces, tell);
        let working = AssertUnwindSafe(work.run(&mut mailbox)).catch_unwind();
        tokio::select! {
            went = working => went.unwrap_or_else(|panic| Err(Failure::new(Ending::Bug, stage.get(), what_panicked(&*panic)))),
            signal = interrupted() => Err(Failure::new(Ending::Interrupted, stage.get(), format!("ended by {signal}"))),
        }
    };
    // Of an error on the disk only here is known where it happened.
    let went = went.map_err(|failure| match failure.stage {
        Stage::Survey => Failure { stage: stage.get(), ..failure },
        _ => failure,
    });
    (went, CallReport { bytes_down: before.get() + bytes.get(), ..CallReport::default() })
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        let ending = match &error {
            PathError::NoMailbox { .. } | PathError::Missing { .. } | PathError::NotAFile { .. } => {
                Ending::NoMailbox
            }
            PathError::NoPermission { .. } | PathError::NoLock { .. } => Ending::NoPermission,
            PathError::NotAnMbox { .. } => Ending::BadData,
            PathError::Locked { .. } | PathError::LockLost { .. } | PathError::Unsteady { .. } => {
                Ending::MailboxLocked
            }
            // The way to the mailbox is cut off, as a line is; later it may be there again.
            PathError::Silent { .. } | PathError::CutOff { .. } | PathError::Unmounted { .. } => {
                Ending::CarrierLost
            }
            PathError::GivenUp => Ending::Interrupted,
            PathError::Rewrite(RewriteError::ChangedMeanwhile { .. }) => Ending::BadData,
            PathError::Rewrite(RewriteError::Journal { cause, .. })
                if cause.kind() == std::io::ErrorKind::InvalidData =>
            {
                Ending::BadData
            }
            PathError::Rewrite(
                RewriteError::NotBegun { .. } | RewriteError::Journal { .. } | RewriteError::HalfWay { .. },
            ) => Ending::LocalDisk,
            PathError::Io { cause, .. } => match cause.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Ending::LocalDisk,
                _ => Ending::TransferFailed,
            },
        };
        let stage = if matches!(error, PathError::Rewrite(_)) { Stage::Removal } else { Stage::Survey };
        Self::new(ending, stage, error)
    }
}
