//! The memory of one account's host in one call: what is used of it, and what the call adds to it.
//!
//! It makes a call faster and never different. What it says of the host is proven by the host before
//! anything is built upon it, and what does not prove right is asked anew in the same call.

use std::time::{Duration, Instant};

use super::by_shell::{printed, tools};
use super::call::{CallPlan, now};
use super::{Ending, Failure, Progress, Watch, memory};
use crate::access::{Location, Survey};
use crate::config::{LineConfig, LineKind, TransferChoice};
use crate::login::LoggedIn;
use crate::mailbox::digest::PrefixDigest;
use crate::shell::ahead::{THEN_SEQ, Then};
use crate::shell::checksum::Checksum;
use crate::shell::{Foreseen, HostFacts, Known, Nonce, Shell, ShellEvent};
use crate::store::hosts::{HostMemory, Hosts, Remembered};
use crate::transfer::text;

/// What the work of a call will ask of the mailbox first, so that a host that is known can be asked at once.
#[derive(Debug, Clone)]
pub struct First {
    /// Which mailbox.
    pub location: Location,
    /// What it is asked to begin with; the longest last.
    pub digests: Vec<PrefixDigest>,
    /// What stands behind that is wanted, carried so.
    pub wanted: Option<TransferChoice>,
}

/// What became of that.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The survey's reply, until somebody asks for it.
    survey: Option<Vec<u8>>,
    /// The lengths that it has digests for.
    lengths: Vec<u64>,
    /// The text transfer's functions stand in the agent.
    pub(super) loaded: bool,
    /// The survey's function stands in the agent.
    pub(super) surveys: bool,
    /// The host sends by itself what stands behind these bytes, if they are proven.
    run_from: Option<u64>,
}

impl Ahead {
    /// The reply to a survey with these lengths, once.
    pub(super) fn take_survey(&mut self, lengths: &[u64]) -> Option<Vec<u8>> {
        let reply = self.survey.take();
        let all_there = lengths.iter().all(|length| self.lengths.contains(length));
        if !all_there {
            self.interrupted();
        }
        reply.filter(|_| all_there)
    }

    /// Whether the host is sending what stands behind `from`, once.
    pub(super) fn take_run(&mut self, from: u64) -> bool {
        self.run_from.take() == Some(from)
    }

    /// Something else was asked of the host, and what it was sending went by.
    pub(super) fn interrupted(&mut self) {
        self.survey = None;
        self.run_from = None;
    }
}

/// The memory in one call.
#[derive(Debug, Default)]
pub(super) struct Recall {
    /// Where it is kept, if it is.
    hosts: Option<Hosts>,
    dialled: String,
    /// What is remembered, if it is fit for this call.
    known: Option<HostMemory>,
    password_at: Option<Instant>,
    prompt: Option<(String, Duration)>,
    /// The host was asked by what is known.
    used: bool,
    /// The line was typed without looking, and had to be typed again.
    hasty_in_vain: bool,
    typed: u32,
    damaged: u64,
    learnt: Option<HostMemory>,
}

impl Recall {
    /// What is remembered of whom `plan` reaches over `line`.
    pub(super) fn of(plan: &CallPlan, line: &LineConfig, watch: Watch<'_>) -> Self {
        let dialled = dialled(plan, line);
        let remembered = match plan.hosts.as_ref().map(Hosts::read) {
            None | Some(Ok(Remembered::Nothing | Remembered::ByLaterVersion)) => None,
            Some(Ok(Remembered::Host(memory))) => Some(*memory),
            Some(Err(error)) => {
                watch(Progress::Note(format!("what is remembered of the host cannot be read: {error}")));
                None
            }
        };
        let fit = |memory: &HostMemory| {
            let old = memory::now().abs_diff(memory.at) > KNOWN_FOR_MAX.as_secs();
            !plan.ask_anew && !old && is_same(&memory.dialled, &dialled)
        };
        let known = remembered.filter(fit);
        // A run that has fewer numbers left to dial does not make the memory one of fewer numbers.
        let dialled = known.as_ref().map_or(dialled, |memory| memory.dialled.clone());
        Self { hosts: plan.hosts.clone(), dialled, known, ..Self::default() }
    }

    /// The shell's prompt as it was.
    pub(super) fn prompt(&self) -> Option<String> {
        self.known.as_ref().map(|memory| memory.prompt.clone())
    }

    /// The password goes out.
    pub(super) fn password_sent(&mut self) {
        self.password_at = Some(now());
    }

    /// The login is at the shell's prompt. Answers whether it is the one that is known.
    pub(super) fn logged_in(&mut self, logged_in: &LoggedIn) -> bool {
        let after = self.password_at.map_or(Duration::ZERO, |at| now().saturating_duration_since(at));
        self.prompt = Some((logged_in.prompt.clone(), after));
        !logged_in.prompt.is_empty() && self.prompt().is_some_and(|known| known == logged_in.prompt)
    }

    /// What is known of the host, and what it is to be asked at once.
    pub(super) fn known(&mut self, plan: &CallPlan) -> Option<Known> {
        let memory = self.known.as_ref()?;
        let mut facts = HostFacts::parse(&memory.facts);
        facts.hex = memory.hex;
        let mut known = Known {
            sum: CHECKSUMS.into_iter().find(|(_, name)| *name == memory.checksum)?.0,
            round_trip: Duration::from_millis(memory.round_trip),
            clean: is_clean(memory),
            scrolls: memory.scrolls,
            functions: String::new(),
            question: String::new(),
            then: None,
            facts,
        };
        if let Some(first) = &plan.first {
            ask_first(first, Nonce::new(plan.nonce), &mut known);
        }
        self.used = true;
        Some(known)
    }

    /// What was heard while the shell was opened, or of a command in it.
    pub(super) fn heard(&mut self, event: &ShellEvent) {
        match event {
            ShellEvent::Typing => {
                self.typed += 1;
                self.hasty_in_vain = self.used && self.typed > 1 && self.known.as_ref().is_some_and(is_clean);
            }
            ShellEvent::Loading => {}
            ShellEvent::SentAgain => self.damaged += 1,
            ShellEvent::AskedAgain { blocks } => self.damaged += (*blocks).max(1) as u64,
        }
    }

    /// Pieces of a transfer came damaged.
    pub(super) fn damaged(&mut self, pieces: u64) {
        self.damaged += pieces;
    }

    /// The shell is open, or the host was asked anew.
    pub(super) fn opened(&mut self, shell: &Shell) {
        let named = |sum: Checksum| CHECKSUMS.into_iter().find(|(known, _)| *known == sum);
        self.learnt = Some(HostMemory {
            dialled: self.dialled.clone(),
            facts: shell.facts().reply(),
            hex: shell.facts().hex,
            checksum: named(shell.checksum()).map_or("", |(_, name)| name).to_owned(),
            scrolls: shell.scrolls(),
            round_trip: shell.round_trip().as_millis() as u64,
            ..HostMemory::default()
        });
    }

    /// What the host answered while the shell was opened.
    pub(super) fn ahead(&self, plan: &CallPlan, shell: &Shell) -> Ahead {
        let (Some(first), Foreseen::AsKnown { answer, then_is_whole }) = (&plan.first, shell.foreseen())
        else {
            return Ahead::default();
        };
        let run_from = first.digests.last().map_or(0, PrefixDigest::len);
        let loaded = comes_as_text(first, shell.facts());
        Ahead {
            survey: Some(answer.clone()),
            lengths: lengths(&first.digests.iter().collect::<Vec<_>>()),
            loaded,
            surveys: tools(shell.facts()).is_ok_and(|tools| Survey::function(tools).is_some()),
            run_from: Some(run_from).filter(|_| loaded && *then_is_whole),
        }
    }

    /// Whether what is taken for true of the host comes from an earlier call.
    pub(super) fn is_believed(&self, shell: &Shell) -> bool {
        self.used && matches!(shell.foreseen(), Foreseen::AsKnown { .. })
    }

    /// The call is over, and has carried so many bytes: writes down what it has learnt. Memory that led to no
    /// shell, or to a host that did not do as it said, is forgotten.
    pub(super) fn keep<T>(
        mut self,
        went: &Result<T, Failure>,
        eight_bit: bool,
        carried: u64,
        watch: Watch<'_>,
    ) {
        let Some(hosts) = &self.hosts else { return };
        let misled = went.as_ref().is_err_and(|failure| {
            matches!(failure.ending, Ending::PeerMisbehaved | Ending::HostLacks | Ending::TransferFailed)
        });
        let kept = match self.learnt.take() {
            Some(learnt) if !(self.used && misled) => {
                let (prompt, after) = self.prompt.take().unwrap_or_default();
                let wary = match (self.hasty_in_vain, &self.known) {
                    (true, _) => WARY_FOR,
                    (false, Some(known)) => known.wary.saturating_sub(1),
                    (false, None) => 0,
                };
                hosts.write(&HostMemory {
                    at: memory::now(),
                    prompt,
                    prompt_after: after.as_millis() as u64,
                    carried,
                    damaged: self.damaged,
                    wary,
                    eight_bit,
                    ..learnt
                })
            }
            Some(_) => hosts.forget(),
            None if self.used => hosts.forget(),
            None => Ok(()),
        };
        if let Err(error) = kept {
            watch(Progress::Note(format!("what the host has could not be remembered: {error}")));
        }
    }
}

/// What is remembered of a host, in a sentence.
pub fn told(memory: &HostMemory) -> String {
    let facts = HostFacts::parse(&memory.facts);
    let seconds = |millis: u64| millis as f64 / 1_000.0;
    let line = match (memory.damaged, is_clean(memory)) {
        (0, true) => "nothing was damaged".to_owned(),
        (damaged, clean) => {
            let bytes = memory.carried;
            let so = if clean { "" } else { ", so that the next call is careful" };
            format!("{damaged} pieces of {bytes} bytes were damaged{so}")
        }
    };
    format!(
        "the host as it was on {}: {}; its prompt {:?} came {:.1} s after the password, an answer takes {:.1} s; {line}",
        memory::local_time(memory.at),
        facts.told(),
        memory.prompt,
        seconds(memory.prompt_after),
        seconds(memory.round_trip),
    )
}

/// Whether a text transfer is what will bring the mail, as far as that can be said before its length is known.
fn comes_as_text(first: &First, facts: &HostFacts) -> bool {
    match first.wanted {
        Some(TransferChoice::Text) => true,
        Some(TransferChoice::Auto) => facts.gzips || facts.zmodem_sender().is_none(),
        Some(TransferChoice::Zmodem) | None => false,
    }
}

/// The lengths that a survey asks about for these digests.
pub(super) fn lengths(ours: &[&PrefixDigest]) -> Vec<u64> {
    let mut lengths: Vec<u64> = ours.iter().map(|digest| digest.len()).filter(|&length| length > 0).collect();
    lengths.dedup();
    lengths
}

fn ask_first(first: &First, nonce: Nonce, known: &mut Known) {
    let Ok(tools) = tools(&known.facts) else { return };
    let path = first.location.word(&known.facts);
    let text = comes_as_text(first, &known.facts);
    known.functions = if text { text::functions(nonce, &path, &known.facts) } else { format!("f={path}") };
    let lengths = lengths(&first.digests.iter().collect::<Vec<_>>());
    known.question = match Survey::function(tools) {
        Some(function) => {
            known.functions.push(';');
            known.functions.push_str(&function);
            Survey::call(&lengths)
        }
        None => Survey::command("\"$f\"", tools, &lengths),
    };
    let from = first.digests.last();
    known.then = text.then(|| Then {
        pattern: match from.filter(|digest| !digest.is_empty()) {
            Some(digest) => format!("\"s \"*\"k {} {}\"*", digest.len(), printed(digest, tools.digest)),
            None => "\"s \"*".to_owned(),
        },
        command: text::first_run(THEN_SEQ, from.map_or(0, PrefixDigest::len)),
    });
}

/// Few enough pieces were hit that a few thousand bytes likely pass, and typing ahead did not fail lately.
pub(super) fn is_clean(memory: &HostMemory) -> bool {
    memory.wary == 0 && memory.damaged.saturating_mul(CLEAN_BYTES_PER_DAMAGE) <= memory.carried
}

/// What is reached, and as whom: numbers, addresses, a device, a command.
fn dialled(plan: &CallPlan, line: &LineConfig) -> String {
    let place = match (&line.modem, &line.kind) {
        (Some(_), _) => format!("phone {}", plan.account.phones.join("|")),
        (None, LineKind::Serial(port)) => format!("device {}", port.device.display()),
        // A password may stand in it, and does not get into a file by this.
        (None, LineKind::Exec(exec)) => {
            let mut digest = PrefixDigest::new();
            digest.update(format!("{:?}", exec.command).as_bytes());
            format!("command {}", digest.sha256_hex())
        }
        (None, LineKind::Tcp(remote)) => format!("tcp {}", remote.address),
        (None, LineKind::Telnet(host)) => format!("telnet {}", host.remote.address),
        (None, LineKind::Rfc2217(port)) => format!("rfc2217 {}", port.remote.address),
        (None, LineKind::File) => "file".to_owned(),
    };
    format!("{place}\n{}", plan.account.user.as_deref().unwrap_or_default())
}

/// The same place and user; of several numbers some may be left.
fn is_same(remembered: &str, now: &str) -> bool {
    let numbers = |text: &str| {
        let (place, user) = text.split_once('\n')?;
        let numbers: Vec<String> = place.strip_prefix("phone ")?.split('|').map(str::to_owned).collect();
        Some((numbers, user.to_owned()))
    };
    match (numbers(remembered), numbers(now)) {
        (Some((before, user_before)), Some((now, user))) => {
            user_before == user && now.iter().all(|number| before.contains(number))
        }
        (_, _) => remembered == now,
    }
}

/// Names as the memory has them.
const CHECKSUMS: [(Checksum, &str); 3] =
    [(Checksum::Cksum, "cksum"), (Checksum::Md5sum, "md5sum"), (Checksum::Adler, "adler")];

/// What is older is asked anew: programs come to a host as well as they go.
const KNOWN_FOR_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// Bytes for each damaged piece on a line that counts as clean.
const CLEAN_BYTES_PER_DAMAGE: u64 = 20_000;
/// Calls in which the echo is looked at again, once typing without that was in vain.
const WARY_FOR: u32 = 8;

#[cfg(test)]
mod tests;
