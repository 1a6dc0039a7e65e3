//! The login itself: which prompt is answered with what, and when the host is given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::error::{LastLines, LoginError};
use super::legible::Legibility;
use super::lines::{RecentLines, Said, shortened};
use super::prompts::{
    Prompt, Statement, is_asked_by_ssh, looks_damaged, looks_like_question, prompt_look, ssh_statement_look,
    statement_look,
};
use super::text::{HostText, Line, MASK};
use super::{Credentials, LoggedIn, LoginEvent, LoginLimits, LoginOutcome, PromptLook};
use crate::machine::{Control, Machine, Output, Transmit};
use crate::secret::Secret;

/// The conversation from CONNECT to a shell prompt.
///
/// Without `Debug`: it holds what the host may have echoed.
pub struct Login {
    user: Option<String>,
    password: Option<Secret>,
    limits: LoginLimits,
    state: State,
    text: HostText,
    lines: RecentLines,
    legibility: Legibility,
    breaks: u32,
    /// A BREAK was sent, and nothing typed since.
    break_is_fresh: bool,
    started: Option<Instant>,
    state_since: Option<Instant>,
    /// When either side last did something. Every wait but the overall ones runs from here.
    stirred: Option<Instant>,
    /// How long the line must stay quiet until it is worth looking at.
    quiet_needed: Duration,
    nudges: usize,
    keys_pressed: u32,
    query_answers: u32,
    terminal_types: u32,
    users_typed: u32,
    passwords_typed: u32,
    blank_password_typed: bool,
    name_damaged: bool,
    name_retried: bool,
    /// The last finished line, until something is typed: it may ask for a key.
    last_said: String,
    /// What stood on the line at the last nudge: a prompt, if it comes again.
    nudged_at: String,
    /// The shell's prompt, where it is known from an earlier login.
    known_prompt: Option<String>,
    output: VecDeque<Output<LoginEvent, LoginOutcome>>,
}

/// Where we are in the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Neither name nor password was typed.
    FirstPrompt,
    /// The user name was typed last.
    UserSent,
    /// The password was typed last.
    PasswordSent,
    /// The outcome is known.
    Over,
}

/// What there is to see when the line is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// An unfinished line that is a known prompt.
    Prompt(Prompt),
    /// A finished line that asks for a key.
    KeyWanted,
    /// An unfinished line of no known look.
    Unknown,
    /// The line on which the user name was typed is still unfinished: with its echo, or without.
    UnfinishedEcho { seen: bool },
    /// Finished lines only, since the last thing that was typed.
    Lines,
    /// Nothing since then.
    Nothing,
}

/// What will be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    TypeUser,
    RetypeUser,
    TypePassword,
    TypeBlankPassword,
    Answer(Prompt),
    Nudge,
    Break,
    Finish(PromptLook),
    /// The host said no: refused, or expired.
    Refused,
    Expired,
    /// `ssh` on this machine wants what only a person can give.
    HostKey,
    KeyLocked,
    GiveUp,
}

impl Machine for Login {
    type Event = LoginEvent;
    type Outcome = LoginOutcome;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.start(now);
        if self.state == State::Over {
            return 0;
        }
        let taken = bytes.len().min(INPUT_TAKEN_MAX);
        for &byte in &bytes[..taken] {
            let heard = self.text.feed(byte);
            self.legibility.watch(byte);
            if heard.visible {
                self.stir(now);
            }
            if let Some(line) = heard.line {
                self.note_line(&line);
            }
            if let Some(query) = heard.query
                && self.query_answers < QUERY_ANSWERS_MAX
            {
                self.query_answers += 1;
                self.send(now, Transmit::plain(query.answer()), LoginEvent::AnsweredTerminalQuery);
            }
        }
        self.give_up_if_overdue(now); // whatever a host babbles
        taken
    }

    fn handle_hangup(&mut self, now: Instant) {
        self.start(now);
        if self.state == State::Over {
            return;
        }
        if let Some(line) = self.text.feed(b'\n').line {
            self.note_line(&line); // what stood unfinished is the last line now
        }
        match self.lines.statement(usize::MAX) {
            Some((Statement::Expired, _)) => self.act(now, Act::Expired),
            Some((Statement::Refused, _)) => self.act(now, Act::Refused),
            Some((Statement::HostKey, said)) => {
                let (said, last) = (shortened(said), self.last_lines());
                self.end(Err(LoginError::HostKeyRefused { said, last }));
            }
            Some((Statement::Wait, _)) | None => {
                let last = self.last_lines();
                self.end(Err(LoginError::CarrierLost { last }));
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.start(now);
        self.give_up_if_overdue(now);
        if self.state == State::Over {
            return;
        }
        let (quiet, act) = self.plan();
        if self.stirred.is_none_or(|at| now >= at + quiet) {
            self.act(now, act);
        } else {
            self.quiet_needed = quiet;
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<LoginEvent, LoginOutcome> {
        self.start(now);
        if let Some(output) = self.output.pop_front() {
            return output;
        }
        if self.state == State::Over {
            return Output::Wait(None);
        }
        let quiet_at = self.stirred.unwrap_or(now) + self.quiet_needed;
        Output::Wait(Some(quiet_at.min(self.overdue(now))))
    }
}

impl Login {
    /// A login that has not begun; its time runs from the first call of any kind.
    pub fn new(credentials: Credentials, limits: LoginLimits) -> Self {
        Self {
            user: credentials.user,
            password: credentials.password,
            limits,
            state: State::FirstPrompt,
            text: HostText::default(),
            lines: RecentLines::default(),
            legibility: Legibility::default(),
            breaks: 0,
            break_is_fresh: false,
            started: None,
            state_since: None,
            stirred: None,
            quiet_needed: PROMPT_QUIET,
            nudges: 0,
            keys_pressed: 0,
            query_answers: 0,
            terminal_types: 0,
            users_typed: 0,
            passwords_typed: 0,
            blank_password_typed: false,
            name_damaged: false,
            name_retried: false,
            last_said: String::new(),
            nudged_at: String::new(),
            known_prompt: None,
            output: VecDeque::new(),
        }
    }

    /// The same on a host whose shell has had this prompt ([`LoggedIn::prompt`]): it is believed sooner.
    pub fn knowing_prompt(self, prompt: Option<String>) -> Self {
        Self { known_prompt: prompt.filter(|prompt| !prompt.trim().is_empty()), ..self }
    }

    fn start(&mut self, now: Instant) {
        for moment in [&mut self.started, &mut self.state_since, &mut self.stirred] {
            moment.get_or_insert(now);
        }
    }

    /// When the host is given up, whatever it says.
    fn overdue(&self, now: Instant) -> Instant {
        let step_max = match self.state {
            State::FirstPrompt => FIRST_PROMPT_WAIT_MAX,
            State::UserSent => PASSWORD_PROMPT_WAIT_MAX,
            State::PasswordSent | State::Over => SHELL_WAIT_MAX,
        };
        let step = self.state_since.unwrap_or(now) + step_max;
        step.min(self.started.unwrap_or(now) + self.limits.wait_max)
    }

    fn give_up_if_overdue(&mut self, now: Instant) {
        if self.state != State::Over && now >= self.overdue(now) {
            self.act(now, Act::GiveUp);
        }
    }

    /// Takes note of a finished line, and tells the owner.
    fn note_line(&mut self, line: &Line) {
        let said = self.without_echo(line);
        if self.state == State::UserSent && line.was_answered() && !line.is_secret() {
            // login echoes the name; getty may have echoed keys typed too early before it.
            let echo = line.said();
            let name = self.user.as_deref().unwrap_or_default();
            self.name_damaged |= !echo.is_empty() && !ends_with_ignoring_case(echo, name);
        }
        let shown = self.masked(&line.shown());
        if shown.is_empty() {
            return;
        }
        let is_first = self.state == State::FirstPrompt;
        let statement = if is_first { ssh_statement_look(said) } else { statement_look(said) };
        // Behind a password prompt stands the echo of a password, whole or damaged, or a statement.
        let is_text = if line.is_secret() { statement.is_some() } else { !said.is_empty() };
        self.last_said = if is_text { said.to_owned() } else { String::new() };
        self.output.push_back(Output::Event(LoginEvent::Text(shown.clone())));
        self.lines.push(Said { shown, statement, is_text });
    }

    /// What the host itself has said on a line that may begin with the echo of what we typed.
    fn without_echo<'a>(&self, line: &'a Line) -> &'a str {
        let said = line.said();
        let typed = match self.state {
            _ if !line.was_answered() => None,
            State::UserSent => self.user.as_deref(),
            State::PasswordSent => self.password.as_ref().map(Secret::expose),
            State::FirstPrompt | State::Over => None,
        };
        let rest = typed.map(first_line).and_then(|typed| said.strip_prefix(typed)).unwrap_or(said);
        if line.is_secret() { rest.trim_start_matches('*').trim() } else { rest.trim() }
    }

    fn masked(&self, text: &str) -> String {
        let password = self.password.as_ref().map_or("", |password| first_line(password.expose()));
        // Masking a short one all over a text would rather show it than hide it.
        if password.chars().count() >= MASKED_CHARS_MIN {
            text.replace(password, MASK)
        } else {
            text.to_owned()
        }
    }

    fn sight(&self) -> Sight {
        let open = self.text.open_line();
        let said = self.without_echo(&open);
        let echo_is_due = self.state == State::UserSent && open.was_answered();
        if !said.is_empty() {
            let unclear = if open.is_secret() { Sight::Nothing } else { Sight::Unknown };
            match prompt_look(said) {
                // Garbage of a modem at the wrong speed can end in `$`: such a prompt has to come twice.
                Some(Prompt::Shell) if self.state == State::FirstPrompt && looks_damaged(said) => unclear,
                // ssh asks before anything else. Later it is the host, whatever its words are.
                Some(Prompt::HostKey | Prompt::KeyPassphrase) if self.state != State::FirstPrompt => unclear,
                Some(prompt) => Sight::Prompt(prompt),
                None => unclear,
            }
        } else if echo_is_due {
            Sight::UnfinishedEcho { seen: !open.said().is_empty() }
        } else if prompt_look(&self.last_said) == Some(Prompt::PressReturn) {
            Sight::KeyWanted
        } else if self.lines.any_text() {
            Sight::Lines
        } else {
            Sight::Nothing
        }
    }

    /// The one thing that will be done if the line stays quiet for so long.
    fn plan(&self) -> (Duration, Act) {
        match self.plan_for_text() {
            (_, Act::Nudge | Act::GiveUp | Act::Finish(_)) if self.is_illegible() => {
                if self.breaks < BREAKS_MAX {
                    (BREAK_AFTER, Act::Break)
                } else {
                    (LAST_NUDGE_QUIET, Act::GiveUp)
                }
            }
            // Linux takes the first key behind a BREAK on its console for a command to the kernel, for
            // 5 s (Documentation/admin-guide/sysrq.rst): `b` would boot the host. RETURN is none.
            (quiet, Act::TypeUser | Act::TypePassword) if self.break_is_fresh => (quiet, Act::Nudge),
            (_, Act::Finish(look)) if self.is_known_prompt() => (PROMPT_QUIET, Act::Finish(look)),
            plan => plan,
        }
    }

    /// True if what stands on the line is, letter for letter, the prompt of the last time.
    fn is_known_prompt(&self) -> bool {
        let open = self.text.open_line();
        // Behind a password prompt nothing is shown as it is, so nothing there can be compared.
        let stands = |prompt: &String| !open.is_secret() && self.masked(&open.shown()) == *prompt;
        self.known_prompt.as_ref().is_some_and(stands)
    }

    /// True if the host has said something, and it is no text in any framing known here.
    fn is_illegible(&self) -> bool {
        // Of a few bytes with parity in them a RETURN brings more.
        let is_settled = self.nudges > 0 || self.legibility.is_plenty();
        let is_first = self.state == State::FirstPrompt;
        is_first && is_settled && !self.text.is_seven_bit() && self.legibility.is_garbage()
    }

    /// The same for what can be read.
    fn plan_for_text(&self) -> (Duration, Act) {
        let sight = match self.sight() {
            Sight::Prompt(Prompt::PressReturn | Prompt::More | Prompt::PagerEnd | Prompt::TerminalType)
            | Sight::KeyWanted
                if self.keys_pressed >= KEYS_PRESSED_MAX =>
            {
                Sight::Unknown
            }
            sight => sight,
        };
        match (sight, self.state) {
            (Sight::Prompt(Prompt::User), _) => self.unless_hasty(self.at_user_prompt()),
            (Sight::Prompt(Prompt::Password), _) => self.unless_hasty(self.at_password_prompt()),
            (Sight::Prompt(Prompt::ChangePassword), _) => (PROMPT_QUIET, Act::Expired),
            (Sight::Prompt(Prompt::HostKey), _) => (PROMPT_QUIET, Act::HostKey),
            (Sight::Prompt(Prompt::KeyPassphrase), _) => (PROMPT_QUIET, Act::KeyLocked),
            (Sight::Prompt(Prompt::Shell), _) => (SHELL_QUIET, Act::Finish(PromptLook::Shell)),
            (Sight::Prompt(prompt), _) => (KEY_QUIET, Act::Answer(prompt)),
            (Sight::KeyWanted, _) => (KEY_LINE_QUIET, Act::Answer(Prompt::PressReturn)),
            (Sight::Unknown, State::PasswordSent) => self.after_password(UNKNOWN_QUIET, PromptLook::Unknown),
            (Sight::Lines, State::PasswordSent) => self.after_password(BLANK_QUIET, PromptLook::Blank),
            (Sight::Unknown, _) if self.is_repeated_prompt() => {
                (UNKNOWN_QUIET, Act::Finish(PromptLook::Unknown))
            }
            (Sight::Unknown, _) => self.nudge_after(UNKNOWN_NUDGE_AFTER),
            (Sight::Nothing, State::PasswordSent) => self.nudge_after(PASSWORD_NUDGE_AFTER),
            (Sight::UnfinishedEcho { seen: true }, _) => self.nudge_after(ECHO_NUDGE_AFTER),
            (Sight::UnfinishedEcho { seen: false }, _) => self.nudge_after(NO_ECHO_NUDGE_AFTER),
            (Sight::Lines | Sight::Nothing, State::FirstPrompt) => {
                let growing = SILENCE_NUDGES_AFTER.get(self.nudges).copied();
                self.nudge_after(growing.unwrap_or(LAST_NUDGE_QUIET))
            }
            (Sight::Lines | Sight::Nothing, State::UserSent | State::Over) => {
                match self.lines.statement(usize::MAX) {
                    Some((Statement::Refused, _)) => (REPROMPT_QUIET, Act::Refused),
                    Some((Statement::Expired | Statement::Wait | Statement::HostKey, _)) | None => {
                        self.nudge_after(PASSWORD_PROMPT_NUDGE_AFTER)
                    }
                }
            }
        }
    }

    fn at_user_prompt(&self) -> Act {
        let refused = matches!(self.lines.statement(usize::MAX), Some((Statement::Refused, _)));
        match self.state {
            State::FirstPrompt => Act::TypeUser,
            // Asked again before any password: the name arrived damaged, or a RETURN of ours was
            // taken for a password. Without such an excuse a refusal is one.
            State::UserSent if self.users_typed >= USERS_TYPED_MAX => {
                if refused {
                    Act::Refused
                } else {
                    Act::GiveUp
                }
            }
            State::UserSent if refused && self.nudges == 0 && !self.name_damaged => Act::Refused,
            State::UserSent => Act::TypeUser,
            // The first password was for a terminal server or for another's unfinished login.
            State::PasswordSent if self.users_typed == 0 => Act::TypeUser,
            State::PasswordSent if self.name_damaged && !self.name_retried => Act::RetypeUser,
            State::PasswordSent | State::Over => Act::Refused,
        }
    }

    fn at_password_prompt(&self) -> Act {
        match self.state {
            // A nudge of ours was taken for a user name: then this password prompt is nobody's.
            State::FirstPrompt
                if self.nudges > 0
                    && self.user.is_some()
                    && !self.blank_password_typed
                    && !self.ssh_asks() =>
            {
                Act::TypeBlankPassword
            }
            State::FirstPrompt => Act::TypePassword,
            State::UserSent if self.passwords_typed < PASSWORDS_TYPED_MAX => Act::TypePassword,
            State::UserSent | State::PasswordSent | State::Over => Act::Refused,
        }
    }

    fn ssh_asks(&self) -> bool {
        is_asked_by_ssh(self.text.open_line().said())
    }

    /// How quiet it must be before a prompt for user or password is acted upon. On a line with gaps it
    /// may be the first half of a banner or of the news: `The word Password: stands here`.
    fn unless_hasty(&self, act: Act) -> (Duration, Act) {
        let is_said = self.lines.statement(usize::MAX).is_some();
        match act {
            Act::TypePassword
                if self.state == State::FirstPrompt && self.user.is_some() && !self.ssh_asks() =>
            {
                (UNEXPECTED_QUIET, act)
            }
            Act::Refused if !is_said => (REFUSAL_QUIET, act),
            act => (PROMPT_QUIET, act),
        }
    }

    /// The password was taken and text came, but no known prompt: a refusal, or an odd shell.
    fn after_password(&self, quiet: Duration, look: PromptLook) -> (Duration, Act) {
        match self.lines.statement(STATEMENT_LINES_MAX) {
            Some((Statement::Refused, _)) if self.name_damaged && !self.name_retried => {
                (REPROMPT_QUIET, Act::Refused)
            }
            Some((Statement::Refused, _)) => (REFUSAL_QUIET, Act::Refused),
            Some((Statement::Expired, _)) => (REPROMPT_QUIET, Act::Expired),
            Some((Statement::Wait, _)) => (PATIENCE_QUIET, Act::Finish(look)),
            Some((Statement::HostKey, _)) | None => (quiet, Act::Finish(look)),
        }
    }

    fn nudge_after(&self, quiet: Duration) -> (Duration, Act) {
        let nudges_max = match self.state {
            State::FirstPrompt => SILENCE_NUDGES_AFTER.len(),
            State::UserSent | State::PasswordSent | State::Over => NUDGES_MAX,
        };
        if self.nudges < nudges_max { (quiet, Act::Nudge) } else { (LAST_NUDGE_QUIET, Act::GiveUp) }
    }

    /// The same text stood there before the nudge: a host waits behind it, and asks nothing.
    fn is_repeated_prompt(&self) -> bool {
        let open = self.text.open_line();
        let said = open.said();
        !open.was_answered()
            && !self.nudged_at.is_empty()
            && said == self.nudged_at
            && !looks_like_question(said)
    }

    fn act(&mut self, now: Instant, act: Act) {
        match act {
            Act::TypeUser => self.type_user(now, LoginEvent::SentUser),
            Act::RetypeUser => {
                self.name_retried = true;
                self.type_user(now, LoginEvent::RetriedUser);
            }
            Act::TypePassword => self.type_password(now),
            Act::TypeBlankPassword => {
                self.blank_password_typed = true;
                self.send(now, Transmit::plain(RETURN), LoginEvent::PressedReturn);
                self.text.answer_here(false);
            }
            Act::Answer(prompt) => self.answer(now, prompt),
            Act::Nudge => {
                let open = self.text.open_line();
                self.nudges += 1;
                self.nudged_at = open.said().to_owned();
                self.send(now, Transmit::plain(RETURN), LoginEvent::Nudged);
                // The echo of a name typed on this line is still to be compared.
                if !open.was_answered() {
                    self.text.answer_here(false);
                }
            }
            Act::Break => {
                self.breaks += 1;
                self.output.push_back(Output::Control(Control::Break(BREAK_LENGTH)));
                self.output.push_back(Output::Event(LoginEvent::SentBreak));
                self.break_is_fresh = true;
                self.legibility.start_again();
                self.text.answer_here(false);
                self.stir(now);
            }
            Act::Finish(look) => {
                let prompt = self.masked(&self.text.open_line().shown());
                let login_needed = self.state != State::FirstPrompt;
                self.end(Ok(LoggedIn { prompt, look, login_needed, seven_bit: self.text.is_seven_bit() }));
            }
            Act::Refused => {
                let (statement, said) = self.last_statement();
                let last = self.last_lines();
                self.end(Err(match statement {
                    Some(Statement::Expired) => LoginError::Expired { said, last },
                    _ if self.name_damaged => LoginError::Garbled { said, last },
                    _ => LoginError::Refused { said, last },
                }));
            }
            Act::Expired => {
                let (_, said) = self.last_statement();
                let last = self.last_lines();
                self.end(Err(LoginError::Expired { said, last }));
            }
            Act::HostKey => {
                let last = self.last_lines();
                self.end(Err(LoginError::HostKeyUnknown { last }));
            }
            Act::KeyLocked => {
                let said = shortened(self.text.open_line().said());
                let last = self.last_lines();
                self.end(Err(LoginError::KeyLocked { said, last }));
            }
            Act::GiveUp if self.is_illegible() => {
                let (breaks, last) = (self.breaks, self.last_lines());
                self.end(Err(LoginError::Illegible { breaks, last }));
            }
            Act::GiveUp => {
                let waited = self.started.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
                let last = self.last_lines();
                self.end(Err(LoginError::NoPrompt { waited, last }));
            }
        }
    }

    fn type_user(&mut self, now: Instant, event: LoginEvent) {
        let Some(user) = &self.user else {
            let last = self.last_lines();
            return self.end(Err(LoginError::NoUser { last }));
        };
        let keys = format!("{}\r", first_line(user));
        self.users_typed += 1;
        self.name_damaged = false;
        self.send(now, Transmit::plain(keys), event);
        self.enter(now, State::UserSent, false);
    }

    fn type_password(&mut self, now: Instant) {
        let Some(password) = &self.password else {
            let last = self.last_lines();
            return self.end(Err(LoginError::NoPassword { last }));
        };
        let typed = first_line(password.expose());
        let mut keys = Vec::with_capacity(typed.len() + RETURN.len()); // one copy, wiped by `Transmit`
        keys.extend_from_slice(typed.as_bytes());
        keys.extend_from_slice(RETURN);
        self.passwords_typed += 1;
        self.send(now, Transmit::secret(keys), LoginEvent::SentPassword);
        self.enter(now, State::PasswordSent, true);
    }

    fn answer(&mut self, now: Instant, prompt: Prompt) {
        let (keys, event) = match prompt {
            Prompt::More => (b" ".as_slice(), LoginEvent::PressedReturn),
            Prompt::PagerEnd => (b"q".as_slice(), LoginEvent::PressedReturn),
            Prompt::TerminalType => {
                self.terminal_types += 1;
                // RETURN takes what the host proposes; asked again, it proposed nothing useful.
                let keys = if self.terminal_types > 1 { TERMINAL_TYPE } else { RETURN };
                (keys, LoginEvent::AnsweredTerminalType)
            }
            Prompt::PressReturn
            | Prompt::HostKey
            | Prompt::KeyPassphrase
            | Prompt::User
            | Prompt::Password
            | Prompt::ChangePassword
            | Prompt::Shell => (RETURN, LoginEvent::PressedReturn),
        };
        self.keys_pressed += 1;
        self.last_said.clear();
        self.send(now, Transmit::plain(keys), event);
        self.text.answer_here(false);
    }

    fn send(&mut self, now: Instant, transmit: Transmit, event: LoginEvent) {
        self.break_is_fresh = false;
        self.output.push_back(Output::Transmit(transmit));
        self.output.push_back(Output::Event(event));
        self.stir(now);
    }

    /// The quiet begins anew. What stands on the line is looked at after the shortest quiet that can
    /// matter, and not for each byte.
    fn stir(&mut self, now: Instant) {
        self.stirred = Some(now);
        self.quiet_needed = PROMPT_QUIET;
    }

    fn enter(&mut self, now: Instant, state: State, secret: bool) {
        self.text.answer_here(secret);
        self.state = state;
        self.state_since = Some(now);
        self.lines.start_attempt();
        self.nudges = 0;
        self.last_said.clear();
        self.nudged_at.clear();
    }

    fn end(&mut self, outcome: LoginOutcome) {
        self.state = State::Over;
        self.output.push_back(Output::Done(outcome));
    }

    /// The host's own words for its refusal; where it has none, what it asks instead.
    fn last_statement(&self) -> (Option<Statement>, String) {
        match self.lines.statement(usize::MAX) {
            Some((statement, said)) => (Some(statement), shortened(said)),
            None => (None, shortened(&self.masked(&self.text.open_line().shown()))),
        }
    }

    fn last_lines(&self) -> LastLines {
        self.lines.last(&self.masked(&self.text.open_line().shown()))
    }
}

fn first_line(text: &str) -> &str {
    text.split(['\r', '\n']).next().unwrap_or_default()
}

fn ends_with_ignoring_case(echo: &str, name: &str) -> bool {
    echo.to_lowercase().ends_with(&first_line(name).trim().to_lowercase())
}

const RETURN: &[u8] = b"\r";
const TERMINAL_TYPE: &[u8] = b"vt100\r";

/// For the first prompt that can be answered.
const FIRST_PROMPT_WAIT_MAX: Duration = Duration::from_secs(100);
/// From the user name to the password prompt.
const PASSWORD_PROMPT_WAIT_MAX: Duration = Duration::from_secs(75);
/// From the password to a shell prompt: news to read at 300 bit/s, quotas to check.
const SHELL_WAIT_MAX: Duration = Duration::from_secs(90);

/// Quiet behind `login:` or `Password:` before it is believed: more text may be under way.
const PROMPT_QUIET: Duration = Duration::from_millis(300);
/// Quiet behind `Password:` where `login:` was expected.
const UNEXPECTED_QUIET: Duration = Duration::from_millis(1_500);
/// Quiet behind a wish for a key.
const KEY_QUIET: Duration = Duration::from_millis(500);
/// The same where the line is finished, and the host may just go on.
const KEY_LINE_QUIET: Duration = Duration::from_secs(2);
/// Quiet behind `$`, `#`, `%` or `>`, with which lines of text can begin as well.
const SHELL_QUIET: Duration = Duration::from_secs(1);
/// Quiet behind text of no known look before it counts as a prompt.
const UNKNOWN_QUIET: Duration = Duration::from_secs(4);
/// Quiet behind a finished line after the password: a shell without prompt, or a slow profile.
const BLANK_QUIET: Duration = Duration::from_secs(10);
/// Quiet behind `checking quotas, please wait`.
const PATIENCE_QUIET: Duration = Duration::from_secs(20);
/// Quiet behind `Login incorrect` before it counts without a new prompt.
const REFUSAL_QUIET: Duration = Duration::from_secs(3);
/// Quiet behind it while a new prompt would be answered.
const REPROMPT_QUIET: Duration = Duration::from_secs(15);

/// Silence before each RETURN that asks for the first prompt.
const SILENCE_NUDGES_AFTER: [Duration; 5] = [
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(8),
    Duration::from_secs(12),
    Duration::from_secs(20),
];
/// Quiet behind an unknown unfinished line, perhaps a damaged prompt, before it is asked for again.
const UNKNOWN_NUDGE_AFTER: Duration = Duration::from_secs(5);
/// Quiet behind the echo of the user name without a line end: noise took our RETURN.
const ECHO_NUDGE_AFTER: Duration = Duration::from_secs(5);
/// The same on a line without echo, where a slow host looks no different.
const NO_ECHO_NUDGE_AFTER: Duration = Duration::from_secs(15);
/// Quiet behind a user name that was taken: noise may have taken the password prompt whole.
const PASSWORD_PROMPT_NUDGE_AFTER: Duration = Duration::from_secs(20);
/// Quiet after the password: PAM takes 3 s to say no, a loaded host 20 s to say yes.
const PASSWORD_NUDGE_AFTER: Duration = Duration::from_secs(15);
/// Quiet after the last nudge before the host is given up.
const LAST_NUDGE_QUIET: Duration = Duration::from_secs(20);
/// Nudges after the user name, and after the password.
const NUDGES_MAX: usize = 2;

/// Quiet behind what cannot be read before a BREAK.
const BREAK_AFTER: Duration = Duration::from_secs(2);
/// Long enough to be one at 50 bit/s, and what tcsendbreak(3) promises at least.
const BREAK_LENGTH: Duration = Duration::from_millis(300);
/// BREAKs in one login: a getty with as many speeds as a line in gettydefs ever had goes round once.
const BREAKS_MAX: u32 = 6;

/// User names typed in one login: one for each time a host may lose one.
const USERS_TYPED_MAX: u32 = 3;
/// Passwords typed in one login: one, and one after a damaged user name.
const PASSWORDS_TYPED_MAX: u32 = 2;
/// Keys pressed for pagers, `Press RETURN` and terminal types.
const KEYS_PRESSED_MAX: u32 = 40;
/// Answers to terminal queries.
const QUERY_ANSWERS_MAX: u32 = 64;
/// Lines before a prompt that may say why the login failed.
const STATEMENT_LINES_MAX: usize = 3;
/// A shorter password is masked only where it was typed.
const MASKED_CHARS_MIN: usize = 4;
/// Bytes taken in one call, so that what they cause stays bounded.
const INPUT_TAKEN_MAX: usize = 1024;

#[cfg(test)]
mod tests;
