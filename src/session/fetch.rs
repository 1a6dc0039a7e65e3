//! Bringing new mail home over a shell: survey, prove, carry, prove again, deliver.
//!
//! What is already here is proven unchanged by a digest before it is built upon; what has come is
//! proven by a digest over the whole before a message is delivered. So a mailbox that changes under
//! the call, or between two calls, never makes a torn or doubled message.

use std::time::Duration;

use super::call::Session;
use super::{Ending, Failure, Progress, Stage};
use crate::access::{DigestTool, HeadTool, Location, Proof, Survey, Tools};
use crate::config::TransferChoice;
use crate::mailbox::digest::PrefixDigest;
use crate::shell::probe::Tool;
use crate::shell::{HostFacts, ShellError};
use crate::store::{PartEnd, Store, StoreError};
use crate::transfer::text::{TextError, TextEvent, TextReceive};
use crate::transfer::zmodem::{Receive, ReceiveOptions, ZmodemError, ZmodemEvent};

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
}

/// Fetches what is new in the mailbox at `location` into `store`.
pub async fn fetch(
    session: &mut Session<'_>,
    store: &mut Store,
    location: &Location,
    choice: TransferChoice,
) -> Result<Fetched, Failure> {
    let mut fetched = Fetched::default();
    let tools = tools(&session.facts)?;
    let mut size_at_first = None;
    for round in 1..=ROUNDS_MAX {
        session.tell(Progress::Stage(Stage::Survey, String::new()));
        let Some((size, unchanged_part)) = survey(session, store, location, tools).await? else {
            return Ok(fetched); // no mail at all
        };
        let size_before = *size_at_first.get_or_insert(size);
        let carries = size > store.part_end();
        if carries {
            let carrying =
                Carrying { first: store.part_end(), size, rate: None, location, fetched: &mut fetched };
            carry(session, store, choice, carrying).await?;
        } else if store.part_end() == store.known() {
            return Ok(fetched); // nothing new, and the survey has proven it
        }
        let proof = if !carries && size == store.part_end() && unchanged_part {
            Proved::Whole // by the survey itself: nothing was carried since
        } else {
            prove(session, store, location, tools, size_before).await?
        };
        let end = match proof {
            Proved::Whole => PartEnd::AllComplete,
            // What came in since is carried in this call: another one costs more than a round.
            Proved::StillGrowing { more: true } if round < ROUNDS_MAX => continue,
            Proved::StillGrowing { .. } => PartEnd::LastMayBeTorn,
            Proved::Changed => {
                session.tell(Progress::Note(
                    "the mailbox changed while it was read; reading it again".to_owned(),
                ));
                store.drop_part().map_err(|error| store_failure(Stage::Transfer, &error))?;
                size_at_first = None;
                continue;
            }
        };
        session.tell(Progress::Stage(Stage::Delivery, String::new()));
        match store.deliver(end) {
            Ok(delivered) => {
                fetched.messages += delivered.messages as u64;
                fetched.bytes_mail += delivered.bytes;
                fetched.known_before += delivered.skipped_as_known as u64;
                fetched.left = store.part_end() - store.known();
                return Ok(fetched);
            }
            // The last message delivered had not been complete: the mailbox is read from its start,
            // and what is here already is known by its content.
            Err(StoreError::NoBoundary { .. }) if store.known() > 0 => {
                session
                    .tell(Progress::Note("the mailbox's messages have shifted; reading it again".to_owned()));
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
async fn survey(
    session: &mut Session<'_>,
    store: &mut Store,
    location: &Location,
    tools: Tools,
) -> Result<Option<(u64, bool)>, Failure> {
    let (known, part_end) = (store.known(), store.part_end());
    let mut lengths: Vec<u64> = [known, part_end].into_iter().filter(|&length| length > 0).collect();
    lengths.dedup();
    let reply = session
        .run(&Survey::command(&location.word(&session.facts), tools, &lengths), Stage::Survey, part_end)
        .await?;
    let disk = |error: StoreError| store_failure(Stage::Survey, &error);
    let (size, proofs) = there(&reply.bytes, &location.shown(&session.facts))?.unwrap_or_default();
    let proven = |length, ours: &PrefixDigest| length == 0 || is_proven(&proofs, length, ours, tools.digest);
    let whole_part = proven(part_end, store.part_digest());
    if !whole_part && part_end > known {
        session.tell(Progress::Note(
            "the mailbox changed since the last call; its unfinished part is read again".into(),
        ));
        store.drop_part().map_err(disk)?;
    }
    if !proven(known, store.known_digest()) {
        session.tell(Progress::Note(
            "the mailbox was rewritten since the last call; reading it from its start".into(),
        ));
        store.restart().map_err(disk)?;
    }
    Ok((size > 0).then_some((size, whole_part)))
}

/// The mailbox's size and proofs from a survey's reply; `None` when there is no mail yet.
pub(super) fn there(reply: &[u8], mailbox: &str) -> Result<Option<(u64, Vec<Proof>)>, Failure> {
    let (ending, message) = match Survey::parse(reply) {
        Some(Survey::There { size, proofs, .. }) => return Ok(Some((size, proofs))),
        Some(Survey::Empty) => return Ok(None),
        Some(Survey::NoFolder) => {
            (Ending::NoMailbox, format!("the host has no mailbox {mailbox}, nor its folder"))
        }
        Some(Survey::NotAFile) => (Ending::NoMailbox, format!("{mailbox} on the host is not a file")),
        Some(Survey::NoPermission) => {
            (Ending::NoPermission, format!("the host does not let us read {mailbox}"))
        }
        None => {
            let shown = reply[..reply.len().min(SHOWN_MAX)].escape_ascii().to_string();
            (Ending::PeerMisbehaved, format!("the survey of the mailbox was answered with \"{shown}\""))
        }
    };
    Err(Failure::new(ending, Stage::Survey, message))
}

/// Whether the host's digest of the first `length` bytes is ours.
pub(super) fn is_proven(proofs: &[Proof], length: u64, ours: &PrefixDigest, tool: DigestTool) -> bool {
    proofs.iter().any(|proof| proof.length == length && proof.digest == printed(ours, tool))
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
async fn prove(
    session: &mut Session<'_>,
    store: &Store,
    location: &Location,
    tools: Tools,
    size_before: u64,
) -> Result<Proved, Failure> {
    let end = store.part_end();
    let reply = session
        .run(&Survey::command(&location.word(&session.facts), tools, &[end]), Stage::Transfer, end)
        .await?;
    let Some(Survey::There { size, proofs, locked }) = Survey::parse(&reply.bytes) else {
        return Ok(Proved::Changed);
    };
    let same = is_proven(&proofs, end, store.part_digest(), tools.digest);
    Ok(if !same {
        Proved::Changed
    } else if size == end && size_before == end && !locked {
        // Not growing, so whole. That it ends with a blank line would prove nothing: so does a
        // paragraph.
        Proved::Whole
    } else {
        Proved::StillGrowing { more: size > end }
    })
}

/// One round of carrying: from where, and how far.
struct Carrying<'a> {
    /// Where it begins.
    first: u64,
    /// The mailbox's length when it was surveyed.
    size: u64,
    /// Bits a second of the line, as far as known.
    rate: Option<u32>,
    location: &'a Location,
    fetched: &'a mut Fetched,
}

/// Carries what is missing, at least up to the size surveyed.
async fn carry(
    session: &mut Session<'_>,
    store: &mut Store,
    choice: TransferChoice,
    mut carrying: Carrying<'_>,
) -> Result<(), Failure> {
    let has_sz = session.facts.zmodem_sender().is_some();
    let zmodem = match choice {
        TransferChoice::Zmodem if !has_sz => {
            let message = "the account says transfer = \"zmodem\", but the host has no sz";
            return Err(Failure::new(Ending::HostLacks, Stage::Transfer, message));
        }
        TransferChoice::Zmodem if !session.eight_bit() => {
            let message = "the account says transfer = \"zmodem\", but only seven bits of a byte pass here";
            return Err(Failure::new(Ending::Config, Stage::Transfer, message));
        }
        TransferChoice::Zmodem => true,
        // ZMODEM escapes control characters, but needs the eighth bit.
        TransferChoice::Auto => has_sz && session.eight_bit() && carrying.size <= ZMODEM_SIZE_MAX,
        TransferChoice::Text => false,
    };
    session.tell(Progress::Stage(Stage::Transfer, if zmodem { "ZMODEM" } else { "text" }.to_owned()));
    carrying.rate = session.rate();
    let total = carrying.size - carrying.first;
    session.tell(Progress::Bytes { done: 0, total, rate: carrying.rate });
    let mut carried = if zmodem { by_zmodem(session, store, &mut carrying).await } else { Ok(()) };
    let gave_up = matches!(&carried, Err(failure) if failure.ending == Ending::TransferFailed);
    if let (TransferChoice::Auto, true, Err(failure)) = (choice, gave_up, &carried) {
        session.tell(Progress::Note(format!("ZMODEM gave up ({}); going on as text", failure.message)));
    }
    if !zmodem || choice == TransferChoice::Auto && gave_up {
        carried = by_text(session, store, &mut carrying).await;
    }
    // However it ended, what has come is kept.
    store.sync_part().map_err(|error| store_failure(Stage::Transfer, &error))?;
    carried
}

async fn by_zmodem(
    session: &mut Session<'_>,
    store: &mut Store,
    carrying: &mut Carrying<'_>,
) -> Result<(), Failure> {
    carrying.fetched.transfer = Some("zmodem");
    let sz = session.facts.zmodem_sender().unwrap_or("sz");
    // The round trip bounds what is under way, which is what each damaged block costs.
    let rtt = session.shell.round_trip() + BEYOND_ROUND_TRIP;
    let mut options = ReceiveOptions { resume_at: store.part_end(), rtt, ..ReceiveOptions::default() };
    let flags = options.sz_flags(session.rate());
    let command = format!("{sz} {flags} -- {}", carrying.location.word(&session.facts));
    let mut start = session.shell.start(&command, START_WAIT);
    if let Err(error) = session.drive(&mut start).await {
        return Err(session.failure(Stage::Transfer, &error));
    }
    options.end_marker = Some(session.shell.end_mark());
    let mut receive = Receive::new(options);
    let outcome = session
        .carry(&mut receive, |watch, event| match event {
            ZmodemEvent::Data { offset, bytes } => keep(store, watch, carrying, offset, &bytes),
            ZmodemEvent::Started { .. } => Ok(()),
        })
        .await?;
    carrying.fetched.retries += receive.received().stats.zrpos_sent; // the one that begins is not among them
    if let Err(ZmodemError::CarrierLost { .. }) = &outcome {
        return Err(session.carrier_lost(Stage::Transfer));
    }
    let mut finish = session.shell.finish(START_WAIT);
    let finished = session.drive(&mut finish).await;
    match (outcome, finished) {
        // Neither sz nor the shell behind it says a word: the line is dead, whatever the modem thinks.
        (Err(_), Err(error @ ShellError::Silent { .. })) => Err(session.failure(Stage::Transfer, &error)),
        (Err(error), _) => Err(Failure::new(Ending::TransferFailed, Stage::Transfer, error)),
        // Whether the bytes are right is not for sz's exit status to say: the proof comes next.
        (Ok(_), Ok(_)) => Ok(()),
        (Ok(_), Err(error)) => Err(session.failure(Stage::Transfer, &error)),
    }
}

async fn by_text(
    session: &mut Session<'_>,
    store: &mut Store,
    carrying: &mut Carrying<'_>,
) -> Result<(), Failure> {
    carrying.fetched.transfer = Some("text");
    let path = carrying.location.word(&session.facts);
    let mut receive = TextReceive::new(&mut session.shell, &path, store.part_end(), carrying.size);
    let outcome = session
        .carry(&mut receive, |watch, event| match event {
            TextEvent::Data { offset, bytes } => keep(store, watch, carrying, offset, &bytes),
            TextEvent::AskedAgain { frames } => {
                carrying.fetched.retries += frames.max(1) as u64;
                Ok(())
            }
        })
        .await?;
    match outcome {
        // What it had shown to be there is not: the proof that comes next says so too.
        Ok(_) | Err(TextError::Changed { .. }) => Ok(()),
        Err(TextError::Shell(error)) => Err(session.failure(Stage::Transfer, &error)),
        Err(error @ TextError::Unreadable) => Err(Failure::new(Ending::NoPermission, Stage::Transfer, error)),
        Err(error @ TextError::Cancelled) => Err(Failure::new(Ending::Interrupted, Stage::Transfer, error)),
    }
}

/// Puts proven bytes into the part, on disk every now and then.
fn keep(
    store: &mut Store,
    watch: &mut dyn FnMut(Progress),
    carrying: &mut Carrying<'_>,
    offset: u64,
    bytes: &[u8],
) -> Result<(), Failure> {
    let before = store.part_end();
    store.append_part(offset, bytes).map_err(|error| store_failure(Stage::Transfer, &error))?;
    if before / SYNC_EVERY != store.part_end() / SYNC_EVERY {
        store.sync_part().map_err(|error| store_failure(Stage::Transfer, &error))?;
    }
    let total = carrying.size.max(store.part_end()) - carrying.first;
    watch(Progress::Bytes { done: store.part_end() - carrying.first, total, rate: carrying.rate });
    Ok(())
}

/// The strongest digest that the host has.
pub(super) fn tools(facts: &HostFacts) -> Result<Tools, Failure> {
    let digest = if facts.has(Tool::Sha256sum) {
        DigestTool::Sha256sum
    } else if facts.has(Tool::Md5sum) {
        DigestTool::Md5sum
    } else if facts.has(Tool::Cksum) {
        DigestTool::Cksum
    } else {
        let message =
            "the host has none of sha256sum, md5sum and cksum, and without one nothing can be proven";
        return Err(Failure::new(Ending::HostLacks, Stage::Survey, message));
    };
    Ok(Tools { digest, head: if facts.cuts_bytes { HeadTool::HeadC } else { HeadTool::Dd } })
}

/// Our digest as the tool prints it.
fn printed(digest: &PrefixDigest, tool: DigestTool) -> String {
    match tool {
        DigestTool::Sha256sum => digest.sha256_hex(),
        DigestTool::Md5sum => digest.md5_hex(),
        DigestTool::Cksum => digest.cksum().to_string(),
    }
}

/// What an error of the store means for the call.
pub fn store_failure(stage: Stage, error: &StoreError) -> Failure {
    let ending = match error {
        StoreError::Busy { .. } | StoreError::MboxLocked { .. } | StoreError::DialsLocked { .. } => {
            Ending::MailboxLocked
        }
        StoreError::NotAnMbox { .. } | StoreError::NoBoundary { .. } | StoreError::LedgerDamaged { .. } => {
            Ending::BadData
        }
        StoreError::AccountName { .. } => Ending::Config,
        StoreError::NoSuchMessage { .. }
        | StoreError::MessageGone { .. }
        | StoreError::MessageTooLarge { .. } => Ending::Usage,
        StoreError::WrongOffset { .. } => Ending::Bug,
        StoreError::Disk { .. } | StoreError::LedgerUnsure { .. } | StoreError::Delivery { .. } => {
            Ending::LocalDisk
        }
    };
    Failure::new(ending, stage, error)
}

/// What queues in modems and a loaded host add to the round trip that the shell measured.
const BEYOND_ROUND_TRIP: Duration = Duration::from_millis(100);
/// The longest that sz may take to be gone, and a loaded host to begin.
const START_WAIT: Duration = Duration::from_secs(45);
/// How often a mailbox that changes while it is read is read again.
const ROUNDS_MAX: usize = 3;
/// The part is synced each time this many bytes have come: what a power cut may cost.
const SYNC_EVERY: u64 = 32 * 1024;
/// ZMODEM's positions have 32 bits (Forsberg, section 11).
const ZMODEM_SIZE_MAX: u64 = u32::MAX as u64;
/// Bytes of a strange answer that are shown.
const SHOWN_MAX: usize = 80;
