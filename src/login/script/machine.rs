//! The script itself: which step is under way, what it waits for, and how it ends.
//!
//! ```text
//!          ┌──────────────── met ◀───────────────┐
//!          ▼                                     │
//!  Next ─▶ Typing ⇄ Pausing, Echoing ─▶ Next ─▶ Listening ── in vain ─▶ Typing (the next try), or an error
//!    └──── no step is left ─▶ Settling ─▶ Over
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::super::error::LastLines;
use super::super::lines::{RecentLines, Said, shortened};
use super::super::prompts::{Prompt, prompt_look};
use super::super::statements::{Statement, statement_look};
use super::super::text::Line;
use super::super::{Credentials, LoggedIn, LoginEvent, PromptLook};
use super::hearing::{Hearing, Sound};
use super::pattern::Wanted;
use super::{Action, Keys, Script, ScriptEnd, ScriptError, ScriptEvent, ScriptOutcome, Stroke};
use crate::machine::{Control, Machine, Output, Transmit};
use crate::secret::{Masks, Secret};

/// The conversation from CONNECT to a prompt, by a script.
///
/// Without `Debug`: it holds what the host may have echoed.
pub struct ScriptLogin {
    script: Script,
    user: Option<String>,
    password: Option<Secret>,
    /// Masked wherever the host shows them.
    hidden: Vec<Secret>,
    state: State,
    /// Index of the step under way.
    at: usize,
    /// What becomes of the step once its keys are typed.
    then: Then,
    /// When the step began to wait, all its tries together.
    waits_since: Option<Instant>,
    keys: VecDeque<Key>,
    /// End the script, in this step and those behind it.
    aborts: Vec<Wanted>,
    hearing: Hearing,
    lines: RecentLines,
    /// What was typed last in plain sight: its echo says nothing.
    typed: String,
    query_answers: u32,
    started: Option<Instant>,
    /// When something was heard or typed last.
    stirred: Option<Instant>,
    output: VecDeque<Output<ScriptEvent, ScriptOutcome>>,
}

enum State {
    /// The step has not begun.
    Next,
    /// Keys are on their way.
    Typing,
    /// Between two keys.
    Pausing { until: Instant },
    /// The next key waits for the echo of this byte.
    Echoing { byte: u8, until: Instant },
    /// The host is to say something.
    Listening(Box<Listening>),
    /// All steps are done; the host is to come to a prompt.
    Settling { since: Instant },
    /// The outcome is known.
    Over,
}

struct Listening {
    tried: usize,
    wanted: Wanted,
    /// End the script, in this step only.
    aborts: Vec<Wanted>,
    until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    NextStep,
    Listen { tried: usize },
}

/// Keys as they are pressed.
enum Key {
    Send { bytes: Zeroizing<Vec<u8>>, secret: bool },
    Echoed { byte: u8, secret: bool },
    Pause(Duration),
    Break(Duration),
    Told(LoginEvent),
}

impl Machine for ScriptLogin {
    type Event = ScriptEvent;
    type Outcome = ScriptOutcome;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.start(now);
        self.go_on(now);
        let mut taken = 0;
        for &byte in bytes.iter().take(INPUT_TAKEN_MAX) {
            match &self.state {
                // What comes meanwhile is for the next step.
                State::Next | State::Typing | State::Pausing { .. } | State::Over => break,
                State::Echoing { .. } | State::Listening(_) | State::Settling { .. } => {}
            }
            taken += 1;
            self.handle_byte(now, byte);
            self.go_on(now);
        }
        self.give_up_if_overdue(now); // whatever a host babbles
        taken
    }

    fn handle_hangup(&mut self, now: Instant) {
        self.start(now);
        if matches!(self.state, State::Over) {
            return;
        }
        if let Some(line) = self.hearing.hear(b'\n').line {
            self.note_line(&line); // what stood unfinished is the last line now
        }
        let statement =
            self.lines.statement(usize::MAX).map(|(statement, said)| (statement, shortened(said)));
        let (step, last) = (self.number(), self.last_lines());
        let error = match (&self.state, statement) {
            (State::Settling { .. }, Some((statement, said))) if is_refusal(statement) => {
                ScriptError::Refused { said, last }
            }
            (State::Settling { .. }, Some((Statement::Expired, said))) => ScriptError::Expired { said, last },
            (State::Listening(listening), _) => {
                let wanted = Some(listening.wanted.pattern().shown().to_owned());
                ScriptError::CarrierLost { step, wanted, last }
            }
            (_, _) => ScriptError::CarrierLost { step, wanted: None, last },
        };
        self.end(Err(error));
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.start(now);
        self.give_up_if_overdue(now);
        match &self.state {
            State::Pausing { until } if now >= *until => self.state = State::Typing,
            State::Listening(listening) => {
                let parity = self.hearing.is_seven_bit();
                if self.is_quiet(now, PATTERN_QUIET) && listening.wanted.ends_here(parity) {
                    self.met();
                }
            }
            State::Settling { .. } => {
                let (quiet, act) = self.plan();
                if self.is_quiet(now, quiet) {
                    self.settle(act);
                }
            }
            State::Pausing { .. } | State::Echoing { .. } | State::Next | State::Typing | State::Over => {}
        }
        // What came during a pause is offered next, and must be taken then.
        self.go_on(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<ScriptEvent, ScriptOutcome> {
        self.start(now);
        self.go_on(now);
        match self.output.pop_front() {
            Some(output) => output,
            None => Output::Wait(self.wakes_at(now)),
        }
    }
}

impl ScriptLogin {
    /// A script that has not begun; its time runs from the first call of any kind.
    pub fn new(script: Script, credentials: Credentials) -> Self {
        let mut hidden: Vec<Secret> = script.secrets().collect();
        hidden.extend(credentials.password.clone());
        Self {
            script,
            user: credentials.user,
            password: credentials.password,
            hidden,
            state: State::Next,
            at: 0,
            then: Then::NextStep,
            waits_since: None,
            keys: VecDeque::new(),
            aborts: Vec::new(),
            hearing: Hearing::default(),
            lines: RecentLines::default(),
            typed: String::new(),
            query_answers: 0,
            started: None,
            stirred: None,
            output: VecDeque::new(),
        }
    }

    fn start(&mut self, now: Instant) {
        self.started.get_or_insert(now);
        self.stirred.get_or_insert(now);
    }

    /// Does what can be done at once: to the next wait, or to the end.
    fn go_on(&mut self, now: Instant) {
        loop {
            match self.state {
                State::Next => self.begin_step(now),
                State::Typing => self.press_key(now),
                State::Pausing { .. }
                | State::Echoing { .. }
                | State::Listening(_)
                | State::Settling { .. }
                | State::Over => return,
            }
        }
    }

    /// Which step is under way, as its writer counts.
    fn number(&self) -> usize {
        self.script.steps.get(self.at).or(self.script.steps.last()).map_or(0, |step| step.number)
    }

    fn begin_step(&mut self, now: Instant) {
        self.waits_since = None;
        let Some(step) = self.script.steps.get(self.at) else { return self.steps_are_done(now) };
        match &step.action {
            Action::Expect(_) => self.begin_try(now, 0),
            Action::Send(keys) => {
                let keys = keys.clone();
                self.type_keys(&keys, Then::NextStep);
            }
            Action::Abort(patterns) => {
                self.aborts.extend(patterns.iter().cloned().map(Wanted::new));
                self.at += 1;
            }
            Action::ClearAbort(shown) => {
                self.aborts.retain(|abort| abort.pattern().shown() != shown);
                self.at += 1;
            }
            Action::Say(text) => {
                self.output.push_back(Output::Event(ScriptEvent::Say(text.clone())));
                self.at += 1;
            }
            Action::Automatic => self.end(Ok(ScriptEnd::Automatic)),
        }
    }

    /// Types what stands before a try, and then listens.
    fn begin_try(&mut self, now: Instant, tried: usize) {
        let Some(Action::Expect(expect)) = self.script.steps.get(self.at).map(|step| &step.action) else {
            return self.step_is_done();
        };
        match expect.tries.get(tried) {
            Some(wait) if !wait.first.is_empty() => {
                let keys = wait.first.clone();
                self.type_keys(&keys, Then::Listen { tried });
            }
            Some(_) => self.listen(now, tried),
            None => self.in_vain(now),
        }
    }

    fn listen(&mut self, now: Instant, tried: usize) {
        let Some(Action::Expect(expect)) = self.script.steps.get(self.at).map(|step| &step.action) else {
            return self.step_is_done();
        };
        let Some((wait, pattern)) = expect.tries.get(tried).and_then(|t| Some((t.wait, t.pattern.clone()?)))
        else {
            return self.step_is_done(); // nothing is waited for
        };
        let aborts = expect.aborts.iter().cloned().map(Wanted::new).collect();
        let listening = Listening { tried, wanted: Wanted::new(pattern), aborts, until: now + wait };
        self.waits_since.get_or_insert(now);
        self.stirred = Some(now);
        self.state = State::Listening(Box::new(listening));
    }

    /// The host has said what was waited for.
    fn met(&mut self) {
        self.step_is_done();
    }

    fn step_is_done(&mut self) {
        self.at += 1;
        self.state = State::Next;
    }

    /// A try is over, and what it waited for has not come.
    fn in_vain(&mut self, now: Instant) {
        let State::Listening(listening) = &self.state else { return self.step_is_done() };
        let (tried, wanted) = (listening.tried + 1, listening.wanted.pattern().shown().to_owned());
        let Some(Action::Expect(expect)) = self.script.steps.get(self.at).map(|step| &step.action) else {
            return self.step_is_done();
        };
        if tried < expect.tries.len() {
            self.begin_try(now, tried);
        } else if expect.optional {
            let number = self.number();
            let later = self.script.steps.iter().skip(self.at);
            self.at += later.take_while(|step| step.number == number).count();
            self.state = State::Next;
        } else {
            let waited = now.saturating_duration_since(self.waits_since.unwrap_or(now));
            let last = self.last_lines();
            self.end(Err(ScriptError::TimedOut { step: self.number(), wanted, waited, last }));
        }
    }

    fn steps_are_done(&mut self, now: Instant) {
        let ends_in_a_wait = matches!(
            self.script.steps.last().map(|step| &step.action),
            Some(Action::Expect(expect)) if !expect.optional
        );
        if ends_in_a_wait {
            // The script's writer says that this is the prompt.
            let is_shell = prompt_look(self.hearing.open_line().said()) == Some(Prompt::Shell);
            let look = if is_shell { PromptLook::Shell } else { PromptLook::Unknown };
            self.finish(look);
        } else {
            self.state = State::Settling { since: now };
            self.stirred = Some(now);
        }
    }

    fn handle_byte(&mut self, now: Instant, byte: u8) {
        let sound = self.hearing.hear(byte);
        self.stirred = Some(now);
        if let Some(line) = &sound.line {
            self.note_line(line);
        }
        if let Some(query) = sound.query
            && self.query_answers < QUERY_ANSWERS_MAX
        {
            self.query_answers += 1;
            self.output.push_back(Output::Transmit(Transmit::plain(query.answer())));
            let event = ScriptEvent::Login(LoginEvent::AnsweredTerminalQuery);
            self.output.push_back(Output::Event(event));
        }
        let parity = self.hearing.is_seven_bit();
        let aborted = heard(&mut self.aborts, &sound, parity);
        match &mut self.state {
            State::Listening(listening) => {
                let aborted = heard(&mut listening.aborts, &sound, parity).or(aborted);
                if listening.wanted.hear(&sound, parity) {
                    self.met();
                } else if let Some(said) = aborted {
                    self.abort(said);
                }
            }
            State::Echoing { byte: typed, .. } => {
                if let Some(said) = aborted {
                    self.abort(said);
                } else if byte & 0x7f == *typed & 0x7f {
                    self.state = State::Typing;
                }
            }
            State::Settling { .. } => {
                if let Some(said) = aborted {
                    self.abort(said);
                }
            }
            State::Next | State::Typing | State::Pausing { .. } | State::Over => {}
        }
    }

    fn abort(&mut self, said: String) {
        let (step, last) = (self.number(), self.last_lines());
        self.end(Err(ScriptError::Aborted { step, said, last }));
    }

    fn note_line(&mut self, line: &Line) {
        let shown = self.masked(&line.shown());
        if shown.is_empty() {
            return;
        }
        let said = line.said();
        let statement = statement_look(said);
        // Behind a password stands its echo, whole or damaged, or a statement.
        let is_text = if line.is_secret() { statement.is_some() } else { !self.is_echo(said) };
        self.output.push_back(Output::Event(ScriptEvent::Login(LoginEvent::Text(shown.clone()))));
        self.lines.push(Said { shown, statement, is_text });
    }

    fn is_echo(&self, said: &str) -> bool {
        said.is_empty() || said == self.typed.trim()
    }

    /// Queues keys; they are pressed when the owner polls.
    fn type_keys(&mut self, keys: &Keys, then: Then) {
        match self.keys_of(keys) {
            Ok(pressed) => {
                self.typed.clear();
                self.keys = pressed;
                self.then = then;
                self.state = State::Typing;
            }
            Err(error) => self.end(Err(error)),
        }
    }

    fn keys_of(&self, keys: &Keys) -> Result<VecDeque<Key>, ScriptError> {
        let (step, mut pressed, mut echoed) = (self.number(), VecDeque::new(), false);
        for stroke in &keys.strokes {
            let (bytes, secret, event): (&[u8], bool, _) = match stroke {
                Stroke::Text(text) => (text.expose().as_bytes(), keys.hidden, None),
                // RETURN goes with what stands in front of it.
                Stroke::Byte(byte) => {
                    let secret = keys.hidden || ends_secret(&pressed);
                    add(&mut pressed, std::slice::from_ref(byte), secret, echoed);
                    continue;
                }
                Stroke::User => {
                    let user = self.user.as_deref().ok_or(ScriptError::NoUser { step })?;
                    (first_line(user).as_bytes(), keys.hidden, Some(LoginEvent::SentUser))
                }
                Stroke::Password => {
                    let password = self.password.as_ref().ok_or(ScriptError::NoPassword { step })?;
                    (first_line(password.expose()).as_bytes(), true, Some(LoginEvent::SentPassword))
                }
                Stroke::Pause(length) => {
                    pressed.push_back(Key::Pause(*length));
                    continue;
                }
                Stroke::Break(length) => {
                    // Bytes that are sent during a BREAK are lost.
                    pressed.extend([Key::Break(*length), Key::Pause(*length + BEHIND_BREAK)]);
                    pressed.push_back(Key::Told(LoginEvent::SentBreak));
                    continue;
                }
                Stroke::Echo(on) => {
                    echoed = *on;
                    continue;
                }
            };
            add(&mut pressed, bytes, secret, echoed);
            pressed.extend(event.map(Key::Told));
        }
        Ok(pressed)
    }

    fn press_key(&mut self, now: Instant) {
        let Some(key) = self.keys.pop_front() else {
            return match self.then {
                Then::NextStep => self.step_is_done(),
                Then::Listen { tried } => self.listen(now, tried),
            };
        };
        match key {
            Key::Send { bytes, secret } => self.send(now, &bytes, secret),
            Key::Echoed { byte, secret } => {
                self.send(now, &[byte], secret);
                self.state = State::Echoing { byte, until: now + ECHO_WAIT };
            }
            Key::Pause(length) => self.state = State::Pausing { until: now + length },
            Key::Break(length) => self.output.push_back(Output::Control(Control::Break(length))),
            Key::Told(event) => self.output.push_back(Output::Event(ScriptEvent::Login(event))),
        }
    }

    fn send(&mut self, now: Instant, bytes: &[u8], secret: bool) {
        let transmit = if secret { Transmit::secret(bytes) } else { Transmit::plain(bytes) };
        self.output.push_back(Output::Transmit(transmit));
        self.hearing.answer_here(secret);
        self.lines.start_attempt();
        self.stirred = Some(now);
        if !secret && self.typed.len() < TYPED_MAX {
            self.typed.push_str(&String::from_utf8_lossy(bytes));
        }
    }

    /// What is done at the end if the host stays quiet for so long: it asks again, or stands at a prompt.
    fn plan(&self) -> (Duration, Settled) {
        let open = self.hearing.open_line();
        let said = if open.is_secret() || self.is_echo(open.said()) { "" } else { open.said() };
        let statement = self.lines.statement(usize::MAX);
        match prompt_look(said) {
            Some(Prompt::Shell) => (SHELL_QUIET, Settled::At(PromptLook::Shell)),
            Some(Prompt::User | Prompt::Password | Prompt::Code | Prompt::Passcode) => {
                (ASKED_AGAIN_QUIET, Settled::Refused)
            }
            Some(Prompt::ChangePassword) => (ASKED_AGAIN_QUIET, Settled::Expired),
            Some(
                Prompt::PressReturn
                | Prompt::More
                | Prompt::PagerEnd
                | Prompt::TerminalType
                | Prompt::HostKey
                | Prompt::KeyPassphrase,
            )
            | None => match statement {
                Some((statement, _)) if is_refusal(statement) => (ASKED_AGAIN_QUIET, Settled::Refused),
                Some((Statement::Expired, _)) => (ASKED_AGAIN_QUIET, Settled::Expired),
                Some(_) | None => match said {
                    "" => (BLANK_QUIET, Settled::At(PromptLook::Blank)),
                    _ => (UNKNOWN_QUIET, Settled::At(PromptLook::Unknown)),
                },
            },
        }
    }

    fn settle(&mut self, act: Settled) {
        let said = || match self.lines.statement(usize::MAX) {
            Some((_, said)) => shortened(said),
            None => shortened(&self.masked(&self.hearing.open_line().shown())),
        };
        match act {
            Settled::At(look) => self.finish(look),
            Settled::Refused => self.end(Err(ScriptError::Refused { said: said(), last: self.last_lines() })),
            Settled::Expired => self.end(Err(ScriptError::Expired { said: said(), last: self.last_lines() })),
        }
    }

    fn finish(&mut self, look: PromptLook) {
        let prompt = self.masked(&self.hearing.open_line().shown());
        let seven_bit = self.hearing.is_seven_bit();
        self.end(Ok(ScriptEnd::LoggedIn(LoggedIn { prompt, look, login_needed: true, seven_bit })));
    }

    fn is_quiet(&self, now: Instant, quiet: Duration) -> bool {
        self.stirred.is_none_or(|at| now >= at + quiet)
    }

    /// When something is to be done, whatever the host does.
    fn overdue(&self, now: Instant) -> Instant {
        let whole = self.started.unwrap_or(now) + SCRIPT_WAIT_MAX;
        match &self.state {
            State::Echoing { until, .. } | State::Pausing { until } => whole.min(*until),
            State::Listening(listening) => whole.min(listening.until),
            State::Settling { since } => whole.min(*since + SETTLE_WAIT_MAX),
            State::Next | State::Typing | State::Over => whole,
        }
    }

    fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let stirred = self.stirred.unwrap_or(now);
        let quiet = match &self.state {
            State::Over => return None,
            State::Listening(listening) => {
                listening.wanted.ends_here(self.hearing.is_seven_bit()).then_some(stirred + PATTERN_QUIET)
            }
            State::Settling { .. } => Some(stirred + self.plan().0),
            State::Next | State::Typing | State::Pausing { .. } | State::Echoing { .. } => None,
        };
        Some(quiet.map_or(self.overdue(now), |at| at.min(self.overdue(now))))
    }

    fn give_up_if_overdue(&mut self, now: Instant) {
        if now < self.overdue(now) {
            return;
        }
        let waited = now.saturating_duration_since(self.started.unwrap_or(now));
        let step = self.number();
        if waited >= SCRIPT_WAIT_MAX && !matches!(self.state, State::Over) {
            let last = self.last_lines();
            return self.end(Err(ScriptError::TookTooLong { step, waited, last }));
        }
        match &self.state {
            State::Listening(listening) if listening.wanted.ends_here(self.hearing.is_seven_bit()) => {
                self.met(); // a host that is never quiet
            }
            State::Listening(_) => self.in_vain(now),
            State::Echoing { .. } => {
                let last = self.last_lines();
                self.end(Err(ScriptError::NotEchoed { step, waited: ECHO_WAIT, last }));
            }
            State::Settling { since } => {
                let (waited, last) = (now.saturating_duration_since(*since), self.last_lines());
                self.end(Err(ScriptError::NoPrompt { waited, last }));
            }
            State::Pausing { .. } | State::Next | State::Typing | State::Over => {}
        }
    }

    fn end(&mut self, outcome: ScriptOutcome) {
        self.state = State::Over;
        self.keys.clear();
        self.output.push_back(Output::Done(outcome));
    }

    fn last_lines(&self) -> LastLines {
        self.lines.last(&self.masked(&self.hearing.open_line().shown()))
    }

    fn masked(&self, text: &str) -> String {
        let masks = Masks::default();
        for secret in &self.hidden {
            masks.hide(first_line(secret.expose()).trim());
        }
        masks.text(text)
    }
}

/// The host lets this user not in, now or ever.
fn is_refusal(statement: Statement) -> bool {
    match statement {
        Statement::Refused | Statement::Locked | Statement::TooManySessions | Statement::Closed => true,
        Statement::Expired | Statement::Wait | Statement::HostKey => false,
    }
}

/// Where the host stands at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settled {
    At(PromptLook),
    Refused,
    Expired,
}

/// Which of these is met by the sound.
fn heard(aborts: &mut [Wanted], sound: &Sound, parity: bool) -> Option<String> {
    let mut met = None;
    for abort in aborts {
        if abort.hear(sound, parity) {
            met.get_or_insert_with(|| abort.pattern().shown().to_owned());
        }
    }
    met
}

fn ends_secret(keys: &VecDeque<Key>) -> bool {
    keys.iter().rev().find_map(|key| match key {
        Key::Send { secret, .. } | Key::Echoed { secret, .. } => Some(*secret),
        Key::Pause(_) | Key::Break(_) | Key::Told(_) => None,
    }) == Some(true)
}

/// Adds bytes to the keys, to those before them where they may go together.
fn add(keys: &mut VecDeque<Key>, more: &[u8], more_secret: bool, echoed: bool) {
    if echoed {
        keys.extend(more.iter().map(|&byte| Key::Echoed { byte, secret: more_secret }));
        return;
    }
    if let Some(Key::Send { bytes, secret }) = keys.back_mut()
        && *secret == more_secret
    {
        // Into a vector of its own, wiped as well: one that grows leaves its old bytes behind.
        let mut longer = Zeroizing::new(Vec::with_capacity(bytes.len() + more.len()));
        longer.extend_from_slice(bytes);
        longer.extend_from_slice(more);
        *bytes = longer;
    } else if !more.is_empty() {
        keys.push_back(Key::Send { bytes: Zeroizing::new(more.to_vec()), secret: more_secret });
    }
}

fn first_line(text: &str) -> &str {
    text.split(['\r', '\n']).next().unwrap_or_default()
}

/// From the first step to the end, whatever the steps' own waits are.
pub(super) const SCRIPT_WAIT_MAX: Duration = Duration::from_secs(900);
/// From the last step to a prompt: news to read at 300 bit/s, quotas to check.
const SETTLE_WAIT_MAX: Duration = Duration::from_secs(90);
/// Quiet behind a regular expression that looks at what follows.
const PATTERN_QUIET: Duration = Duration::from_millis(500);
/// Quiet behind `$`, `#`, `%` or `>`, with which lines of text can begin as well.
const SHELL_QUIET: Duration = Duration::from_secs(1);
/// Quiet behind a prompt for name or password, or `Login incorrect`.
const ASKED_AGAIN_QUIET: Duration = Duration::from_secs(3);
/// Quiet behind text of no known look before it counts as a prompt.
const UNKNOWN_QUIET: Duration = Duration::from_secs(4);
/// Quiet without any prompt: a shell that has none, or a slow profile.
const BLANK_QUIET: Duration = Duration::from_secs(12);
/// How long an echo may take, as Taylor UUCP has it.
const ECHO_WAIT: Duration = Duration::from_secs(5);
/// Rest behind a BREAK.
const BEHIND_BREAK: Duration = Duration::from_millis(50);
/// Answers to terminal queries.
const QUERY_ANSWERS_MAX: u32 = 64;
/// Bytes of what was typed that are compared with its echo.
const TYPED_MAX: usize = 256;
/// Bytes taken in one call, so that what they cause stays bounded.
const INPUT_TAKEN_MAX: usize = 1024;

#[cfg(test)]
mod tests;
