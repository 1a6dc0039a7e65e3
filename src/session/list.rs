//! What is in the mailbox on the host, without carrying the mail itself.

use super::call::Session;
use super::{Ending, Failure, Progress, Stage};
use crate::access::index::{self, Entry};
use crate::access::{Location, Survey};
use crate::shell::probe::Tool;
use crate::store::Store;

/// A message on the host, and whether it is here already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As the host lists it.
    pub entry: Entry,
    /// Delivered by an earlier call.
    pub here: bool,
}

/// Lists the mailbox at `location`.
pub async fn list(
    session: &mut Session<'_>,
    store: &Store,
    location: &Location,
) -> Result<Vec<Listed>, Failure> {
    session.tell(Progress::Stage(Stage::Survey, "listing the mailbox".to_owned()));
    if !session.facts.has(Tool::Awk) {
        let message = "the host has no awk to list the mailbox with; fetch works without it";
        return Err(Failure::new(Ending::HostLacks, Stage::Survey, message));
    }
    let tools = super::fetch::tools(&session.facts)?;
    let known = store.known();
    let lengths: Vec<u64> = (known > 0).then_some(known).into_iter().collect();
    let reply = session
        .run(&Survey::command(&location.word(&session.facts), tools, &lengths), Stage::Survey, known)
        .await?;
    let Some((size, proofs)) = super::fetch::there(&reply.bytes, &location.shown(&session.facts))? else {
        return Ok(Vec::new());
    };
    let unchanged = known > 0 && super::fetch::is_proven(&proofs, known, store.known_digest(), tools.digest);
    let reply = session.run(&index::command(&location.word(&session.facts)), Stage::Survey, size).await?;
    if reply.status != 0 {
        let message = format!("awk on the host ended with status {}", reply.status);
        return Err(Failure::new(Ending::PeerMisbehaved, Stage::Survey, message));
    }
    let entries =
        index::parse(&reply.bytes).map_err(|bad| Failure::new(Ending::PeerMisbehaved, Stage::Survey, bad))?;
    Ok(entries.into_iter().map(|entry| Listed { here: unchanged && entry.offset < known, entry }).collect())
}
