//! The mailbox on a host, reached through its shell: commands are run, bytes carried in-band.

mod removing;

use std::ops::Range;
use std::time::Duration;

use super::call::Session;
use super::recall::{Ahead, lengths};
use super::{Ending, Failure, Progress, Stage};
use crate::access::index::{self, Entry};
use crate::access::{
    Carried, DigestTool, HeadTool, Keep, Location, Mailbox, Proof, Removal, Survey, Surveyed, Telling, Tools,
};
use crate::config::TransferChoice;
use crate::mailbox::digest::PrefixDigest;
use crate::shell::ahead::THEN_SEQ;
use crate::shell::probe::Tool;
use crate::shell::{HostFacts, ShellError};
use crate::transfer::text::{TextError, TextEvent, TextReceive};
use crate::transfer::zmodem::{Receive, ReceiveOptions, ZmodemError, ZmodemEvent};

/// A mailbox behind a shell.
pub struct ByShell<'s, 'c> {
    session: &'s mut Session<'c>,
    location: &'s Location,
    choice: TransferChoice,
    /// Where in the call we are, for failures.
    stage: Stage,
    /// It is any file, and no mailbox.
    of_file: bool,
}

impl<'s, 'c> ByShell<'s, 'c> {
    /// The mailbox at `location`, carried as `choice` says.
    pub fn new(session: &'s mut Session<'c>, location: &'s Location, choice: TransferChoice) -> Self {
        Self { session, location, choice, stage: Stage::Survey, of_file: false }
    }

    /// Any file at `location`, to be carried only.
    pub(super) fn of_file(
        session: &'s mut Session<'c>,
        location: &'s Location,
        choice: TransferChoice,
    ) -> Self {
        session.ahead = Ahead::default(); // what stands in the agent by now is for another file
        Self { of_file: true, ..Self::new(session, location, choice) }
    }

    fn word(&self) -> String {
        self.location.word(&self.session.facts)
    }

    /// One survey.
    async fn look(&mut self, command: &str, longest: u64) -> Result<Option<Found>, Failure> {
        let reply = self.session.run(command, self.stage, longest).await?;
        there(&reply.bytes, &self.location.shown(&self.session.facts))
    }

    /// Which protocol carries a mailbox of this size, from there on.
    async fn zmodem_carries(&mut self, from: u64, size: u64) -> Result<bool, Failure> {
        let has_sz = self.session.facts.zmodem_sender().is_some();
        match self.choice {
            TransferChoice::Zmodem if !has_sz => {
                let message = "the account says transfer = \"zmodem\", but the host has no sz";
                Err(Failure::new(Ending::HostLacks, Stage::Transfer, message))
            }
            TransferChoice::Zmodem if self.session.cuts_eighth_bit() => {
                let message =
                    "the account says transfer = \"zmodem\", but only seven bits of a byte pass here";
                Err(Failure::new(Ending::Config, Stage::Transfer, message))
            }
            TransferChoice::Zmodem => {
                if !self.session.passes_eight_bits(Stage::Transfer).await? {
                    let note = "the host does not agree to eight bits, which ZMODEM needs; transfer = \"zmodem\" \
                                says to try";
                    self.tell(Telling::Note(note.to_owned()));
                }
                Ok(true)
            }
            // Mail that the host packs comes sooner as text, and so does a little of anything: ZMODEM begins
            // with three round trips. Other files may be packed already.
            TransferChoice::Auto
                if has_sz
                    && (self.of_file || !self.session.facts.gzips)
                    && size <= ZMODEM_SIZE_MAX
                    && size.saturating_sub(from) > LITTLE =>
            {
                self.session.passes_eight_bits(Stage::Transfer).await
            }
            TransferChoice::Auto | TransferChoice::Text => Ok(false),
        }
    }

    async fn by_zmodem<E: From<Failure>>(
        &mut self,
        carrying: &mut Carrying<'_, '_, E>,
    ) -> Result<(), NotCarried<E>> {
        let sz = self.session.facts.zmodem_sender().unwrap_or("sz");
        // The round trip bounds what is under way, which is what each damaged block costs.
        let rtt = self.session.shell.round_trip() + BEYOND_ROUND_TRIP;
        let mut options = ReceiveOptions { resume_at: carrying.at, rtt, ..ReceiveOptions::default() };
        let flags = options.sz_flags(self.session.rate());
        let command = format!("{sz} {flags} -- {}", self.word());
        let mut start = self.session.shell.start(&command, START_WAIT);
        if let Err(error) = self.session.drive(&mut start).await {
            return Err(self.session.failure(Stage::Transfer, &error).into());
        }
        options.end_marker = Some(self.session.shell.end_mark());
        let mut receive = Receive::new(options);
        let outcome = self
            .session
            .carry(&mut receive, |watch, event| match event {
                ZmodemEvent::Data { offset, bytes } => carrying.keep(watch, offset, &bytes),
                ZmodemEvent::Started { .. } => Ok(()),
            })
            .await
            .map_err(NotCarried::NotKept)?;
        let asked_again = receive.received().stats.zrpos_sent; // the one that begins is not among them
        carrying.retries += asked_again;
        self.session.damaged(asked_again);
        if let Err(ZmodemError::CarrierLost { .. }) = &outcome {
            return Err(self.session.carrier_lost(Stage::Transfer).into());
        }
        let mut finish = self.session.shell.finish(START_WAIT);
        let finished = self.session.drive(&mut finish).await;
        match (outcome, finished) {
            // Neither sz nor the shell behind it says a word: the line is dead, whatever the modem thinks.
            (Err(_), Err(error @ ShellError::Silent { .. })) => {
                Err(self.session.failure(Stage::Transfer, &error).into())
            }
            (Err(error), _) => Err(Failure::new(Ending::TransferFailed, Stage::Transfer, error).into()),
            // Whether the bytes are right is not for sz's exit status to say: the proof comes next.
            (Ok(_), Ok(_)) => Ok(()),
            (Ok(_), Err(error)) => Err(self.session.failure(Stage::Transfer, &error).into()),
        }
    }

    async fn by_text<E: From<Failure>>(
        &mut self,
        carrying: &mut Carrying<'_, '_, E>,
    ) -> Result<(), NotCarried<E>> {
        let path = self.word();
        let (shell, from, to) = (&mut self.session.shell, carrying.at, carrying.size);
        let mut receive = if self.session.ahead.take_run(from) {
            TextReceive::begun(shell, THEN_SEQ, from, to)
        } else if self.session.ahead.loaded {
            TextReceive::loaded(shell, from, to)
        } else {
            TextReceive::new(shell, &path, from, to)
        };
        self.session.ahead.loaded = true;
        let before = carrying.retries;
        let outcome = self
            .session
            .carry(&mut receive, |watch, event| match event {
                TextEvent::Data { offset, bytes } => carrying.keep(watch, offset, &bytes),
                TextEvent::AskedAgain { frames } => {
                    carrying.retries += frames.max(1) as u64;
                    Ok(())
                }
            })
            .await
            .map_err(NotCarried::NotKept)?;
        self.session.damaged(carrying.retries - before);
        if outcome.is_err() {
            self.session.ahead.loaded = false;
        }
        let failed = |ending, error: &TextError| Err(Failure::new(ending, Stage::Transfer, error).into());
        match outcome {
            // What it had shown to be there is not: the proof that comes next says so too.
            Ok(_) => Ok(()),
            Err(TextError::Changed { .. }) => {
                // Or what packs it is not what it was.
                Ok(self.session.ask_anew(Stage::Transfer).await?)
            }
            Err(TextError::Shell(error)) => Err(self.session.failure(Stage::Transfer, &error).into()),
            Err(error @ TextError::Unreadable) => failed(Ending::NoPermission, &error),
            Err(error @ TextError::Cancelled) => failed(Ending::Interrupted, &error),
        }
    }
}

impl Mailbox for ByShell<'_, '_> {
    type Error = Failure;

    fn tell(&mut self, telling: Telling) {
        let rate = self.session.rate();
        let progress = told(telling, rate);
        if let Progress::Stage(stage, _) = &progress {
            self.stage = *stage;
            if self.of_file {
                return; // who wants the file has said so
            }
        }
        self.session.tell(progress);
    }

    async fn survey(&mut self, ours: &[&PrefixDigest]) -> Result<Option<Surveyed>, Failure> {
        let tools = tools(&self.session.facts)?;
        let lengths = lengths(ours);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let command = match self.session.ahead.surveys {
            true => Survey::call(&lengths),
            false => Survey::command(&self.word(), tools, &lengths),
        };
        let mut found = match self.session.ahead.take_survey(&lengths) {
            Some(reply) => there(&reply, &self.location.shown(&self.session.facts))?,
            None => self.look(&command, longest).await?,
        };
        if found.as_ref().is_some_and(|found| found.unfinished) {
            self.finish_removal().await?;
            found = self.look(&command, longest).await?;
        }
        let Some(found) = found else { return Ok(None) };
        let proven = ours
            .iter()
            .map(|digest| digest.is_empty() || is_proven(&found.proofs, digest, tools.digest))
            .collect();
        Ok(Some(Surveyed { size: found.size, proven, locked: found.locked }))
    }

    async fn carry<E: From<Failure>>(
        &mut self,
        from: u64,
        size: u64,
        keep: &mut Keep<'_, E>,
    ) -> Result<Carried, E> {
        let zmodem = self.zmodem_carries(from, size).await?;
        let how = if zmodem { "zmodem" } else { "text" };
        self.tell(Telling::Carrying(how));
        self.tell(Telling::Bytes { done: 0, total: size - from });
        let rate = self.session.rate();
        let mut carrying = Carrying { first: from, at: from, size, rate, retries: 0, keep };
        if !zmodem {
            self.by_text(&mut carrying).await.map_err(NotCarried::into_error)?;
            return Ok(Carried { how, retries: carrying.retries });
        }
        match self.by_zmodem(&mut carrying).await {
            Err(NotCarried::Failed(failure))
                if failure.ending == Ending::TransferFailed && self.choice == TransferChoice::Auto =>
            {
                let note = format!("ZMODEM gave up ({}); going on as text", failure.message);
                self.tell(Telling::Note(note));
                self.by_text(&mut carrying).await.map_err(NotCarried::into_error)?;
                Ok(Carried { how: "text", retries: carrying.retries })
            }
            Err(error) => Err(error.into_error()),
            Ok(()) => Ok(Carried { how, retries: carrying.retries }),
        }
    }

    async fn index(&mut self, size: u64) -> Result<Vec<Entry>, Failure> {
        if !self.session.facts.has(Tool::Awk) {
            let message = "the host has no awk to list the mailbox with; fetch works without it";
            return Err(Failure::new(Ending::HostLacks, Stage::Survey, message));
        }
        let reply = self.session.run(&index::command(&self.word()), Stage::Survey, size).await?;
        if reply.status != 0 {
            let message = format!("awk on the host ended with status {}", reply.status);
            return Err(Failure::new(Ending::PeerMisbehaved, Stage::Survey, message));
        }
        index::parse(&reply.bytes).map_err(|bad| Failure::new(Ending::PeerMisbehaved, Stage::Survey, bad))
    }

    async fn remove(&mut self, known: &PrefixDigest, ranges: &[Range<u64>]) -> Result<Removal, Failure> {
        self.removed(known, ranges).await
    }
}

/// What is told about a mailbox, as progress of the call.
pub(super) fn told(telling: Telling, rate: Option<u32>) -> Progress {
    match telling {
        Telling::Surveying(what) => Progress::Stage(Stage::Survey, what),
        Telling::Carrying(how) => {
            let shown = if how == "zmodem" { "ZMODEM" } else { how };
            Progress::Stage(Stage::Transfer, shown.to_owned())
        }
        Telling::Bytes { done, total } => Progress::Bytes { done, total, rate },
        Telling::Delivering => Progress::Stage(Stage::Delivery, String::new()),
        Telling::Removing => Progress::Stage(Stage::Removal, String::new()),
        Telling::Note(note) => Progress::Note(note),
    }
}

/// One carrying: how far it has come, and who keeps the bytes.
struct Carrying<'k, 'f, E> {
    first: u64,
    at: u64,
    /// The mailbox's length when it was surveyed.
    size: u64,
    rate: Option<u32>,
    retries: u64,
    keep: &'k mut Keep<'f, E>,
}

impl<E> Carrying<'_, '_, E> {
    fn keep(&mut self, watch: &mut dyn FnMut(Progress), offset: u64, bytes: &[u8]) -> Result<(), E> {
        (self.keep)(offset, bytes)?;
        self.at = offset + bytes.len() as u64;
        let total = self.size.max(self.at) - self.first;
        watch(Progress::Bytes { done: self.at - self.first, total, rate: self.rate });
        Ok(())
    }
}

/// Why bytes were not carried: the call failed, or whoever keeps them did.
enum NotCarried<E> {
    Failed(Failure),
    NotKept(E),
}

impl<E: From<Failure>> NotCarried<E> {
    fn into_error(self) -> E {
        match self {
            Self::Failed(failure) => failure.into(),
            Self::NotKept(error) => error,
        }
    }
}

impl<E> From<Failure> for NotCarried<E> {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a survey's reply says of a mailbox that has mail.
struct Found {
    size: u64,
    proofs: Vec<Proof>,
    locked: bool,
    unfinished: bool,
}

/// Reads a survey's reply; `None` when there is no mail yet.
fn there(reply: &[u8], mailbox: &str) -> Result<Option<Found>, Failure> {
    let (ending, message) = match Survey::parse(reply) {
        Some(Survey::There { size, proofs, locked, unfinished }) => {
            return Ok(Some(Found { size, proofs, locked, unfinished }));
        }
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

/// Whether the host's digest of as many first bytes is ours.
pub(super) fn is_proven(proofs: &[Proof], ours: &PrefixDigest, tool: DigestTool) -> bool {
    proofs.iter().any(|proof| proof.length == ours.len() && proof.digest == printed(ours, tool))
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
pub(super) fn printed(digest: &PrefixDigest, tool: DigestTool) -> String {
    match tool {
        DigestTool::Sha256sum => digest.sha256_hex(),
        DigestTool::Md5sum => digest.md5_hex(),
        DigestTool::Cksum => digest.cksum().to_string(),
    }
}

/// What queues in modems and a loaded host add to the round trip that the shell measured.
const BEYOND_ROUND_TRIP: Duration = Duration::from_millis(100);
/// The longest that sz may take to be gone, and a loaded host to begin.
const START_WAIT: Duration = Duration::from_secs(45);
/// A text transfer's first run.
const LITTLE: u64 = 4 * 1024;
/// ZMODEM's positions have 32 bits (Forsberg, section 11).
const ZMODEM_SIZE_MAX: u64 = u32::MAX as u64;
/// Bytes of a strange answer that are shown.
const SHOWN_MAX: usize = 80;
