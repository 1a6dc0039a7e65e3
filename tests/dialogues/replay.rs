//! Plays a dialogue's modem to the machine that it was recorded with, in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mailcall::machine::{Control, Machine};
use mailcall::modem::answer::ANSWER_OVERHEAD_MAX;
use mailcall::modem::dial::DIAL_OVERHEAD_MAX;
use mailcall::modem::hangup::HANG_UP_MAX;
use mailcall::modem::ready::{READY_MAX, ReadyEvent, setup_commands};
use mailcall::modem::{
    Answer, AnswerError, AnswerEvent, Ask, ConnectInfo, Dial, DialError, DialEvent, DialRules, HangUp,
    HangUpEvent, HungUp, ReadyError, Said,
};
use mailcall::sim::converse::{Conversation, Peer, PeerStep, converse};
use mailcall::sim::wire::LineQuality;

use super::format::{Dialogue, Step, Task, What};

/// How the modem's bytes arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As the file has them.
    Whole,
    /// Each byte by itself, a millisecond behind the one before.
    ByteByByte,
    /// Cut at random places, with pauses of up to 3 ms, by this seed.
    Cut(u64),
}

/// Replays the dialogue, and says all that was otherwise than the file has it.
pub fn replay(dialogue: &Dialogue, pace: Pace) -> Result<(), String> {
    let mut wrong = Vec::new();
    let ended = match &dialogue.task {
        Task::Dial(number, wait) => {
            let mut dial =
                Dial::new(dialogue.profile.clone(), &dialogue.set_up, &DialRules::default(), number, *wait)
                    .map_err(|bad| format!("{}: {bad}", dialogue.name))?;
            // The first wakes the modem, the last one dials.
            let mut setup: Vec<String> =
                dial.plan().into_iter().skip(1).map(|planned| planned.command).collect();
            setup.pop();
            let player = Player::new(dialogue, setup, pace);
            let ended = play(&mut dial, player, *wait + DIAL_OVERHEAD_MAX);
            ended.map(dialled, dial_event)
        }
        Task::Answer(answering) => {
            let mut answer = Answer::new(dialogue.profile.clone(), &dialogue.set_up, *answering);
            let choices = &dialogue.set_up.choices;
            let setup = setup_commands(&dialogue.profile, choices, Duration::from_secs(85));
            let setup = setup.into_iter().map(|command| format!("AT{}", command.text)).collect();
            let player = Player::new(dialogue, setup, pace);
            let ended = play(&mut answer, player, answering.wait + ANSWER_OVERHEAD_MAX);
            ended.map(answered, answer_event)
        }
        Task::HangUp => {
            let mut hang_up = HangUp::new(&dialogue.profile, dialogue.set_up.has_dtr);
            let player = Player::new(dialogue, Vec::new(), pace);
            let ended = play(&mut hang_up, player, HANG_UP_MAX);
            ended.map(
                |outcome| match outcome {
                    Ok(end) => hung_up(*end).to_owned(),
                    Err(_) => "failed still-up".to_owned(),
                },
                hang_up_event,
            )
        }
        Task::Ask(questions) => {
            let mut ask = Ask::new(&dialogue.profile, &dialogue.set_up, questions);
            let choices = &dialogue.set_up.choices;
            let mut setup = setup_commands(&dialogue.profile, choices, Duration::from_secs(1));
            setup.retain(|command| command.setting == "init");
            let setup = setup.into_iter().map(|command| format!("AT{}", command.text)).collect();
            let player = Player::new(dialogue, setup, pace);
            let answer = dialogue.profile.command_wait + Duration::from_secs(4);
            let limit = READY_MAX + answer * u32::try_from(questions.len()).expect("a few");
            let ended = play(&mut ask, player, limit);
            if let Some(Ok(said)) = &ended.log.outcome {
                wrong.extend(compare_said(dialogue, said));
            }
            ended.map(
                |outcome| outcome.as_ref().map_or_else(not_ready, |_| "answered".to_owned()),
                ready_event,
            )
        }
    };
    wrong.extend(ended.compare(dialogue));
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{} ({pace:?}):\n  {}", dialogue.name, wrong.join("\n  ")))
    }
}

/// A machine's conversation with the dialogue's modem.
struct Played<E, O> {
    log: Conversation<E, O>,
    player: Player,
}

fn play<M: Machine>(machine: &mut M, mut player: Player, limit: Duration) -> Played<M::Event, M::Outcome> {
    let log = converse(machine, &mut player, LineQuality::PERFECT, 1, limit);
    Played { log, player }
}

impl<E, O> Played<E, O> {
    /// The same in the words of the file.
    fn map(self, outcome: impl Fn(&O) -> String, event: impl Fn(&E) -> Told) -> Ended {
        let told = self.log.events.iter().map(event);
        let (mut notes, mut events) = (Vec::new(), Vec::new());
        for told in told {
            match told {
                Told::Note(note) => notes.push(note),
                Told::Event(event) => events.push(event),
            }
        }
        let mut left = self.log.left;
        left.extend(self.player.unsaid());
        Ended {
            outcome: self.log.outcome.as_ref().map(outcome),
            elapsed: self.log.elapsed,
            notes,
            events,
            left,
            sent: self.log.sent,
            player: self.player,
        }
    }
}

/// An event in the words of the file.
enum Told {
    Note(String),
    Event(String),
}

/// How it ended, in the words of the file.
struct Ended {
    outcome: Option<String>,
    elapsed: Duration,
    notes: Vec<String>,
    events: Vec<String>,
    left: Vec<u8>,
    sent: Vec<u8>,
    player: Player,
}

impl Ended {
    fn compare(&self, dialogue: &Dialogue) -> Vec<String> {
        let expected = &dialogue.expected;
        let mut wrong: Vec<String> = self.player.trouble.iter().cloned().collect();
        match &self.outcome {
            None => wrong.push(format!("still going after {:?}", self.elapsed)),
            Some(outcome) if *outcome != expected.outcome => {
                wrong.push(format!("it ended:   {outcome}\n  instead of: {}", expected.outcome));
            }
            Some(_) => wrong.extend(self.player.unreached(&dialogue.name)),
        }
        let fits = |(note, part): (&String, &String)| note.contains(part.as_str());
        if self.notes.len() != expected.notes.len() || !self.notes.iter().zip(&expected.notes).all(fits) {
            wrong.push(format!("notes:      {:?}\n  instead of: {:?}", self.notes, expected.notes));
        }
        let mut events = self.events.iter();
        if let Some(missing) = expected.events.iter().find(|&event| !events.any(|told| told == event)) {
            wrong.push(format!("no event `{missing}` in its place: {:?}", self.events));
        }
        let connected = self.outcome.as_ref().is_some_and(|outcome| outcome.starts_with("connected"));
        if connected && self.left != expected.left {
            let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
            wrong.push(format!("left:       {}\n  instead of: {}", shown(&self.left), shown(&expected.left)));
        }
        // However a dial fails once there is a modem, that modem is on-hook behind it.
        let no_modem = ["silent", "garbled", "port-gone", "refused-setting"];
        let reached = expected.outcome.strip_prefix("failed ");
        let reached = reached.and_then(|rest| rest.split(' ').next()).filter(|end| !no_modem.contains(end));
        let hang_up = format!("AT{}\r", dialogue.profile.hangup);
        if matches!(dialogue.task, Task::Dial(..))
            && reached.is_some()
            // A modem that does not answer it is asked with AT whether it is there.
            && !self.sent.strip_suffix(b"AT\r").unwrap_or(&self.sent).ends_with(hang_up.as_bytes())
        {
            wrong.push("the last command was not the one to hang up".to_owned());
        }
        wrong
    }
}

fn compare_said(dialogue: &Dialogue, said: &[Said]) -> Vec<String> {
    let expected = &dialogue.expected;
    let mut wrong = Vec::new();
    let lines: Vec<&String> = said.iter().flat_map(|said| &said.lines).collect();
    for line in &expected.said {
        if !lines.contains(&line) {
            wrong.push(format!("no answer has the line {line:?}: {lines:?}"));
        }
    }
    if expected.lines.is_some_and(|count| count != lines.len()) {
        wrong.push(format!("{} lines were said: {lines:?}", lines.len()));
    }
    let refused: Vec<&str> = said.iter().filter(|said| !said.ok).map(|said| &said.command[2..]).collect();
    if refused != expected.refused {
        wrong.push(format!("not answered with OK: {refused:?}"));
    }
    wrong
}

fn dialled(outcome: &Result<ConnectInfo, DialError>) -> String {
    match outcome {
        Ok(info) => connected(info),
        Err(DialError::NotReady(error)) => not_ready(error),
        Err(DialError::Refused { .. }) => "failed refused".to_owned(),
        Err(DialError::Busy) => "failed busy".to_owned(),
        Err(DialError::NoAnswer) => "failed no-answer".to_owned(),
        Err(DialError::NoCarrier) => "failed no-carrier".to_owned(),
        Err(DialError::Rejected { .. }) => "failed rejected".to_owned(),
        Err(DialError::NoService { .. }) => "failed no-service".to_owned(),
        Err(DialError::NoDialtone) => "failed no-dialtone".to_owned(),
        Err(DialError::Voice) => "failed voice".to_owned(),
        Err(DialError::Fax) => "failed fax".to_owned(),
        Err(DialError::Delayed { remaining: None }) => "failed delayed".to_owned(),
        Err(DialError::Delayed { remaining: Some(time) }) => format!("failed delayed {}s", time.as_secs()),
        Err(DialError::Blacklisted) => "failed blacklisted".to_owned(),
        Err(DialError::TimedOut { .. }) => "failed timed-out".to_owned(),
        Err(DialError::PortGone) => "failed port-gone".to_owned(),
        Err(DialError::CallComingIn) => "failed call-coming-in".to_owned(),
    }
}

fn connected(info: &ConnectInfo) -> String {
    let rate = |rate: Option<u32>| rate.map(|rate| rate.to_string());
    let told = [
        ("rate_down", rate(info.rate)),
        ("rate_up", rate(info.rate_up)),
        ("port", rate(info.port_rate)),
        ("modulation", info.modulation.clone()),
        ("error_correction", info.protocol.clone()),
        ("compression", info.compression.clone()),
    ];
    let told = told.into_iter().filter_map(|(key, value)| Some(format!(" {key}={}", value?)));
    format!("connected{}", told.collect::<String>())
}

fn not_ready(error: &ReadyError) -> String {
    match error {
        ReadyError::Silent => "failed silent".to_owned(),
        ReadyError::Garbled { .. } => "failed garbled".to_owned(),
        ReadyError::Refused { setting, .. } => format!("failed refused-setting {setting}"),
        ReadyError::PortGone => "failed port-gone".to_owned(),
    }
}

fn hung_up(end: HungUp) -> &'static str {
    match end {
        HungUp::OnHook => "on-hook",
        HungUp::CarrierLost => "carrier-lost",
        HungUp::LineGone => "line-gone",
        HungUp::NoModem => "no-modem",
    }
}

fn dial_event(event: &DialEvent) -> Told {
    match event {
        DialEvent::Ready(event) => ready_event(event),
        DialEvent::Dialling(number) => Told::Event(format!("dialling {number}")),
        DialEvent::Ringing => Told::Event("ringing".to_owned()),
        DialEvent::Note(note) => Told::Note(note.clone()),
    }
}

fn answered(outcome: &Result<ConnectInfo, AnswerError>) -> String {
    match outcome {
        Ok(info) => connected(info),
        Err(AnswerError::NotReady(error)) => not_ready(error),
        Err(AnswerError::NobodyCalled { .. }) => "failed nobody-called".to_owned(),
        Err(AnswerError::StoppedRinging) => "failed stopped-ringing".to_owned(),
        Err(AnswerError::NoCarrier) => "failed no-carrier".to_owned(),
        Err(AnswerError::Refused { .. }) => "failed refused".to_owned(),
        Err(AnswerError::PortGone) => "failed port-gone".to_owned(),
    }
}

fn answer_event(event: &AnswerEvent) -> Told {
    match event {
        AnswerEvent::Ready(event) => ready_event(event),
        AnswerEvent::Waiting => Told::Event("waiting".to_owned()),
        AnswerEvent::Rings(count) => Told::Event(format!("rings {count}")),
        AnswerEvent::Answers(caller) => Told::Event(format!("answers {caller}")),
        AnswerEvent::Note(note) => Told::Note(note.clone()),
    }
}

fn ready_event(event: &ReadyEvent) -> Told {
    match event {
        ReadyEvent::Awake => Told::Event("awake".to_owned()),
        ReadyEvent::HangingUpOldCall => Told::Event("hanging-up-old-call".to_owned()),
        ReadyEvent::FoundAtSpeed(speed) => Told::Event(format!("found-at-speed {speed}")),
        ReadyEvent::Note(note) => Told::Note(note.clone()),
    }
}

fn hang_up_event(event: &HangUpEvent) -> Told {
    Told::Event(match event {
        HangUpEvent::DroppingDtr => "dropping-dtr".to_owned(),
        HangUpEvent::Escaping(time) => format!("escaping {time}"),
        HangUpEvent::NoCarrier => "no-carrier".to_owned(),
    })
}

/// The modem of a dialogue.
struct Player {
    name: String,
    steps: VecDeque<Step>,
    /// Commands of the setup that have not been sent.
    setup: VecDeque<String>,
    pace: Pace,
    dice: fastrand::Rng,
    /// What was sent and fits no step yet.
    heard: Vec<u8>,
    /// What is being said, and when.
    saying: VecDeque<(Instant, Vec<u8>)>,
    /// When the last step was over.
    last: Option<Instant>,
    flood: Option<(Instant, Vec<u8>)>,
    /// The first thing that was otherwise.
    trouble: Option<String>,
}

impl Player {
    fn new(dialogue: &Dialogue, setup: Vec<String>, pace: Pace) -> Self {
        Self {
            name: dialogue.name.clone(),
            steps: dialogue.steps.clone().into(),
            setup: setup.into(),
            dice: fastrand::Rng::with_seed(if let Pace::Cut(seed) = pace { seed } else { 0 }),
            pace,
            heard: Vec::new(),
            saying: VecDeque::new(),
            last: None,
            flood: None,
            trouble: None,
        }
    }

    /// What the modem had still to say when the machine ended.
    fn unsaid(&self) -> Vec<u8> {
        let mut unsaid: Vec<u8> = self.saying.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        for step in &self.steps {
            if let What::Said(bytes) = &step.what {
                unsaid.extend(bytes);
            }
        }
        unsaid
    }

    /// The first step that should have happened and did not.
    fn unreached(&self, name: &str) -> Option<String> {
        let step = self.steps.iter().find(|step| !matches!(step.what, What::Said(_) | What::FloodEnds))?;
        Some(format!("{name}:{}: it ended before this", step.line))
    }

    fn wrong(&mut self, line: Option<usize>, what: &str) {
        let place = line.map_or("behind the last line".to_owned(), |line| format!("line {line}"));
        self.trouble.get_or_insert(format!("{}, {place}: {what}", self.name));
        self.steps.clear();
    }

    /// Cuts what the modem says into what arrives at once.
    fn say(&mut self, from: Instant, bytes: &[u8]) {
        let mut at = from;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (length, pause) = match self.pace {
                Pace::Whole => (rest.len(), 0),
                Pace::ByteByByte => (1, 1),
                Pace::Cut(_) => (self.dice.usize(1..=rest.len()), self.dice.u64(0..=3)),
            };
            let (now, later) = rest.split_at(length);
            rest = later;
            self.saying.push_back((at, now.to_vec()));
            self.last = Some(at);
            at += Duration::from_millis(pause);
        }
    }

    /// Fits what was sent to the steps.
    fn fit(&mut self, now: Instant) {
        while !self.heard.is_empty() {
            let shown = self.heard.escape_ascii().to_string();
            let Some(step) = self.steps.front().cloned() else {
                if self.trouble.is_none() {
                    self.wrong(None, &format!("sent {shown}"));
                }
                return;
            };
            if !self.saying.is_empty() {
                return self.wrong(Some(step.line), &format!("sent {shown} before the modem had spoken out"));
            }
            match step.what {
                What::Sent(bytes) if bytes.starts_with(&self.heard) && bytes != self.heard => return,
                What::Sent(bytes) if self.heard.starts_with(&bytes) => {
                    let waited = self.last.map_or(Duration::MAX, |last| now - last);
                    if waited + step.after / EARLY_PART < step.after {
                        return self
                            .wrong(Some(step.line), &format!("sent {shown} after {waited:?} already"));
                    }
                    self.heard.drain(..bytes.len());
                    self.sent(now, &bytes);
                    self.steps.pop_front();
                }
                What::Setup(answer) if self.heard.ends_with(b"\r") => {
                    let line = std::mem::take(&mut self.heard);
                    if self.setup.front().is_none_or(|command| line != format!("{command}\r").into_bytes()) {
                        let expected = self.setup.front().map_or("nothing", String::as_str).to_owned();
                        let what = format!("sent       {shown}\n  instead of {expected}");
                        return self.wrong(Some(step.line), &what);
                    }
                    self.sent(now, &line);
                    self.say(now + REACTION, &answer);
                    if self.setup.is_empty() {
                        self.steps.pop_front();
                    }
                }
                What::Setup(_) => return,
                What::Sent(bytes) => {
                    let what = format!("sent       {shown}\n  instead of {}", bytes.escape_ascii());
                    return self.wrong(Some(step.line), &what);
                }
                What::Said(_) | What::Port(_) | What::Floods(_) | What::FloodEnds | What::PortGone => {
                    return self.wrong(Some(step.line), &format!("sent {shown} before this"));
                }
            }
        }
    }

    fn sent(&mut self, now: Instant, line: &[u8]) {
        self.last = Some(now);
        if self.setup.front().is_some_and(|command| line == format!("{command}\r").into_bytes()) {
            self.setup.pop_front();
        }
    }
}

impl Peer for Player {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        self.fit(now);
    }

    fn handle_control(&mut self, now: Instant, control: Control) {
        match (control, self.steps.front().cloned()) {
            (Control::DiscardOutput, _) => {}
            (control, Some(Step { what: What::Port(expected), .. })) if control == expected => {
                self.last = Some(now);
                self.steps.pop_front();
            }
            (control, step) => {
                if self.trouble.is_none() {
                    self.wrong(step.map(|step| step.line), &format!("did {control:?} to the port"));
                }
            }
        }
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        let last = *self.last.get_or_insert(now);
        if let Some((at, _)) = self.saying.front() {
            if *at > now {
                return PeerStep::Wait(Some(*at));
            }
            let (_, bytes) = self.saying.pop_front().expect("it was just seen");
            return PeerStep::Transmit(bytes);
        }
        let mut due = None;
        match self.steps.front().cloned() {
            Some(Step { after, what: What::Said(bytes), .. }) => {
                self.steps.pop_front();
                self.say(last + after.max(REACTION), &bytes);
                return PeerStep::Wait(self.saying.front().map(|&(at, _)| at));
            }
            Some(Step { after, what: What::Floods(bytes), .. }) => {
                self.steps.pop_front();
                self.flood = Some((last + after, bytes));
            }
            Some(Step { after, what: What::FloodEnds, .. }) if last + after <= now => {
                self.steps.pop_front();
                self.flood = None;
                self.last = Some(now);
                return self.poll(now);
            }
            Some(Step { after, what: What::PortGone, .. }) if last + after <= now => {
                self.steps.pop_front();
                return PeerStep::HangUp;
            }
            Some(Step { after, what: What::FloodEnds | What::PortGone, .. }) => due = Some(last + after),
            Some(Step { what: What::Sent(_) | What::Setup(_) | What::Port(_), .. }) | None => {}
        }
        match &mut self.flood {
            Some((at, bytes)) if *at <= now => {
                *at = now + FLOOD_PERIOD;
                PeerStep::Transmit(bytes.clone())
            }
            flood => PeerStep::Wait(flood.as_ref().map(|&(at, _)| at).into_iter().chain(due).min()),
        }
    }
}

/// How soon a modem answers where the file says nothing.
const REACTION: Duration = Duration::from_millis(5);
/// How often a flood comes.
const FLOOD_PERIOD: Duration = Duration::from_millis(50);
/// What we send may come this part of the file's silence too early: a stamp is not exact.
const EARLY_PART: u32 = 10;
