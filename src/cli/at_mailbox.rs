//! The mailbox of an account, behind a line or on a path of this machine: the same is done with either.

use super::fetch::{Asking, Call, in_call_heeding, runtime};
use super::interrupt::Signals;
use super::progress::Display;
use crate::access::Location;
use crate::session::by_path::{by_path, spool};
use crate::session::by_shell::ByShell;
use crate::session::call::CallReport;
use crate::session::work::Work;
use crate::session::{Ending, Failure, First, Stage};

/// Does `work` with the account's mailbox, with progress shown and signals heeded.
pub(super) fn at_mailbox<W: Work>(call: Call<'_>, work: W) -> (Result<W::Done, Failure>, CallReport) {
    let bug = |error: std::io::Error| Failure::new(Ending::Bug, Stage::Preparing, error);
    let went = runtime().and_then(|runtime| {
        runtime.block_on(async {
            let mut signals = Signals::install().map_err(bug)?;
            Ok(at_mailbox_heeding(&mut signals, call, work).await)
        })
    });
    went.unwrap_or_else(|failure| (Err(failure), CallReport::default()))
}

/// The same for who heeds signals already.
pub(super) async fn at_mailbox_heeding<W: Work>(
    signals: &mut Signals,
    call: Call<'_>,
    work: W,
) -> (Result<W::Done, Failure>, CallReport) {
    if let Some(spool) = spool(call.account) {
        let display = Display::new(call.global, call.name);
        let mut watch = |progress| display.show(progress);
        let went = by_path(spool, &mut watch, async || signals.next().await, work).await;
        display.finish();
        return went;
    }
    let location = Location::new(call.account.mailbox.as_deref());
    let choice = call.account.transfer;
    let first = work.first().map(|(digests, wanted)| First {
        location: location.clone(),
        digests,
        wanted: wanted.then_some(choice),
    });
    in_call_heeding(signals, call, Asking::By(first), async |session| {
        work.run(&mut ByShell::new(session, &location, choice)).await
    })
    .await
}
