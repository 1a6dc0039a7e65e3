//! Removing messages from a mailbox behind a shell: runs the command, and says what its end means.

use std::ops::Range;
use std::time::Duration;

use super::{ByShell, SHOWN_MAX, START_WAIT, printed, tools};
use crate::access::removal::{Answer, Fcntl, LOCK_SECONDS, Obstacle, Order, Outcome};
use crate::access::{Mailbox, Removal, Telling};
use crate::mailbox::digest::PrefixDigest;
use crate::session::{Ending, Failure, Stage};
use crate::shell::probe::Tool;
use crate::shell::{COMMAND_BYTES_MAX, HostFacts};

impl ByShell<'_, '_> {
    /// Removes what stands in `ranges`.
    pub(super) async fn removed(
        &mut self,
        known: &PrefixDigest,
        ranges: &[Range<u64>],
    ) -> Result<Removal, Failure> {
        let digest_tool = tools(&self.session.facts)?.digest;
        let (path, digest) = (self.word(), printed(known, digest_tool));
        let order = Order {
            path: &path,
            digest_tool,
            fcntl: fcntl(&self.session.facts),
            known: known.len(),
            digest: &digest,
            ranges,
        };
        let outcome = self.carry_out(&order, Stage::Removal).await?;
        // What stays has not been read here: its digest is known only if nothing stays.
        let all: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let nothing_stays = || (all == known.len()).then(|| Box::new(PrefixDigest::new()));
        match outcome {
            Outcome::Removed => Ok(Removal::Done { known: nothing_stays() }),
            // Without ranges there was nothing to do.
            Outcome::Finished => Ok(Removal::Done { known: Some(Box::new(known.clone())) }),
            Outcome::Changed => Ok(Removal::Changed),
            Outcome::Failed(why) => Err(self.not_removed(why, Stage::Removal)),
        }
    }

    /// Ends what a removal began that was cut off.
    pub(super) async fn finish_removal(&mut self) -> Result<(), Failure> {
        let path = self.word();
        let order = Order::finish(&path, tools(&self.session.facts)?.digest, fcntl(&self.session.facts));
        match self.carry_out(&order, self.stage).await? {
            // Changed: the mailbox is gone, or shrank in this moment, and the survey will see it.
            Outcome::Finished | Outcome::Changed | Outcome::Removed => Ok(()),
            Outcome::Failed(why) => Err(self.not_removed(why, self.stage)),
        }
    }

    async fn carry_out(&mut self, order: &Order<'_>, stage: Stage) -> Result<Outcome, Failure> {
        let mut commands = order.commands(COMMAND_BYTES_MAX);
        let last = commands.pop().unwrap_or_default(); // there is always one
        for definition in commands {
            let mut load = self.session.shell.load(&definition, START_WAIT);
            if let Err(error) = self.session.drive(&mut load).await {
                return Err(self.session.failure(stage, &error));
            }
        }
        let reply = self.session.run_beyond(LOCK_WAIT, &last, stage, order.known * TIMES_READ).await;
        let reply = reply.map_err(|failure| Failure {
            message: format!(
                "{}. Whether the messages are removed is not known now; the next call finds out",
                failure.message.trim_end_matches('.')
            ),
            ..failure
        })?;
        let Some(answer) = Answer::parse(&reply.bytes) else {
            let shown = reply.bytes[..reply.bytes.len().min(SHOWN_MAX)].escape_ascii();
            let message = format!("the removal was answered with \"{shown}\"");
            return Err(Failure::new(Ending::PeerMisbehaved, stage, message));
        };
        if answer.mended {
            let note = "a removal that had been cut off was brought to its end";
            self.tell(Telling::Note(note.to_owned()));
        }
        if let Some(place) = &answer.kept {
            let place = place.escape_default();
            let note = format!(
                "the mailbox changed after a removal had been cut off; the end of the mailbox as that would have left it is on the host in {place}"
            );
            self.tell(Telling::Note(note));
        }
        if answer.outcome == Outcome::Removed && !answer.locks.is_empty() {
            let locks = answer.locks.join(" and ");
            self.tell(Telling::Note(format!("removed under the mailbox's lock ({locks})")));
        }
        Ok(answer.outcome)
    }

    fn not_removed(&self, why: Obstacle, stage: Stage) -> Failure {
        let mailbox = self.location.shown(&self.session.facts);
        let (ending, message) = match why {
            Obstacle::Locked => (
                Ending::MailboxLocked,
                format!(
                    "another program on the host has had {mailbox} locked for {LOCK_SECONDS} s; nothing was removed. \
                     Try again later; if no program uses it, a file of that name with .lock behind it was left over"
                ),
            ),
            Obstacle::NoLock => (
                Ending::HostLacks,
                format!(
                    "the host gives no way to lock {mailbox}, and without a lock nothing is removed: its folder \
                     may not be written, and perl, python3, dotlockfile, lockfile and mutt_dotlock are not there or refuse"
                ),
            ),
            Obstacle::NoPermission => {
                (Ending::NoPermission, format!("the host does not let us write {mailbox}"))
            }
            Obstacle::NoRoom => (
                Ending::HostLacks,
                format!(
                    "the home directory on the host has no room for a copy of what stays in {mailbox}; nothing was removed"
                ),
            ),
            Obstacle::Unwritten => (
                Ending::TransferFailed,
                format!(
                    "the host could not write {mailbox} (a full disk?); a copy of what stays is in ~/.mailcall-removal-*.t \
                     there, and the next call goes on with it"
                ),
            ),
            Obstacle::Broken(status) => {
                (Ending::PeerMisbehaved, format!("the removal broke off on the host with status {status}"))
            }
        };
        Failure::new(ending, stage, message)
    }
}

/// What can take an fcntl lock there.
fn fcntl(facts: &HostFacts) -> Option<Fcntl> {
    match (facts.has(Tool::Perl), facts.has(Tool::Python3)) {
        (true, _) => Some(Fcntl::Perl),
        (false, true) => Some(Fcntl::Python3),
        (false, false) => None,
    }
}

/// The host waits for the lock, and each try takes its time; beside that a whole `sync` of a busy disk takes its time.
const LOCK_WAIT: Duration = Duration::from_secs(2 * LOCK_SECONDS as u64 + 60);
/// How often the host reads or writes as many bytes as are known: proof, copy, digests, writing.
const TIMES_READ: u64 = 6;
