//! The login itself: which prompt is answered with what, and when the host is given up.

mod limits;
mod sight;
mod typing;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use zeroize::Zeroize;

use self::limits::*;
use self::sight::Sight;
use super::error::LoginError;
use super::legible::Legibility;
use super::lines::{RecentLines, shortened};
use super::prompts::{Prompt, prompt_look};
use super::statements::Statement;
use super::text::HostText;
use super::{Credentials, HostParity, LoggedIn, LoginEvent, LoginLimits, LoginOutcome, PromptLook};
use crate::machine::{Control, Machine, Output, Transmit};
use crate::secret::Secret;

/// The conversation from CONNECT to a shell prompt.
///
/// Without `Debug`: it holds what the host may have echoed.
pub struct Login {
    user: Option<String>,
    password: Option<Secret>,
    has_codes: bool,
    limits: LoginLimits,
    state: State,
    /// Where the login stood when it ended for want of a code.
    asked_in: State,
    /// A code that is yet to be typed, and those that were.
    code: Option<Secret>,
    codes_typed: Vec<Secret>,
    /// Keys of the items that were chosen from menus.
    chosen: Vec<String>,
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
    /// When the host last finished a line.
    line_at: Option<Instant>,
    /// How long the line must stay quiet until it is worth looking at.
    quiet_needed: Duration,
    nudges: usize,
    keys_pressed: u32,
    query_answers: u32,
    terminal_types: u32,
    pages: u32,
    users_typed: u32,
    passwords_typed: u32,
    blank_password_typed: bool,
    name_damaged: bool,
    name_retried: bool,
    /// So many of the next lines are somebody's message to all.
    broadcast_lines: usize,
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
    /// A one-time code was typed last.
    CodeSent,
    /// The outcome is known.
    Over,
}

/// What will be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    TypeUser,
    RetypeUser,
    TypePassword,
    TypeBlankPassword,
    /// If there is one; else it is wanted.
    TypeCode,
    /// If there is a choice; else only a person can tell.
    Choose,
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
                self.line_at = Some(now);
                self.note_line(&line);
            }
            if let Some(query) = heard.query
                && self.query_answers < QUERY_ANSWERS_MAX
                && prompt_look(self.text.open_line().said()) != Some(Prompt::ChangePassword)
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
        match self.lines.reason(LAST_WORDS_MAX).or_else(|| self.lines.statement(usize::MAX)) {
            Some((Statement::HostKey, said)) => {
                let (said, last) = (shortened(said), self.last_lines());
                self.end(Err(LoginError::HostKeyRefused { said, last }));
            }
            Some((Statement::Wait, _)) | None => {
                let last = self.last_lines();
                self.end(Err(LoginError::CarrierLost { last }));
            }
            Some((
                Statement::Refused
                | Statement::Expired
                | Statement::Locked
                | Statement::TooManySessions
                | Statement::Closed,
                _,
            )) => self.refuse(),
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

/// What a host has echoed is wiped; see [`HostText`] for the rest of it.
impl Drop for Login {
    fn drop(&mut self) {
        self.last_said.zeroize();
        self.nudged_at.zeroize();
    }
}

impl Login {
    /// A login that has not begun; its time runs from the first call of any kind.
    pub fn new(credentials: Credentials, limits: LoginLimits) -> Self {
        Self {
            user: credentials.user,
            password: credentials.password,
            has_codes: credentials.has_codes,
            limits,
            state: State::FirstPrompt,
            asked_in: State::FirstPrompt,
            code: None,
            codes_typed: Vec::new(),
            chosen: Vec::new(),
            text: HostText::default(),
            lines: RecentLines::default(),
            legibility: Legibility::default(),
            breaks: 0,
            break_is_fresh: false,
            started: None,
            state_since: None,
            stirred: None,
            line_at: None,
            quiet_needed: PROMPT_QUIET,
            nudges: 0,
            keys_pressed: 0,
            query_answers: 0,
            terminal_types: 0,
            pages: 0,
            users_typed: 0,
            passwords_typed: 0,
            blank_password_typed: false,
            name_damaged: false,
            name_retried: false,
            broadcast_lines: 0,
            last_said: String::new(),
            nudged_at: String::new(),
            known_prompt: None,
            output: VecDeque::new(),
        }
    }

    /// The same on a host whose shell has had this prompt ([`LoggedIn::prompt`]): it is believed sooner.
    pub fn knowing_prompt(mut self, prompt: Option<String>) -> Self {
        self.known_prompt = prompt.filter(|prompt| !prompt.trim().is_empty());
        self
    }

    /// Goes on with a login that ended in [`LoginError::CodeWanted`], as if no time had passed. The code is
    /// typed if the host still asks for it; one that it has had already is refused in its name.
    pub fn give_code(&mut self, code: Secret) {
        self.state = self.asked_in;
        self.code = Some(code);
        (self.started, self.state_since, self.stirred, self.line_at) = (None, None, None, None);
        self.quiet_needed = PROMPT_QUIET;
    }

    /// The parity that the host was seen to send, and is sent.
    pub fn parity(&self) -> Option<HostParity> {
        self.text.parity()
    }

    fn start(&mut self, now: Instant) {
        for moment in [&mut self.started, &mut self.state_since, &mut self.stirred] {
            moment.get_or_insert(now);
        }
    }

    /// When the host is given up, whatever it says.
    fn overdue(&self, now: Instant) -> Instant {
        let (started, since) = (self.started.unwrap_or(now), self.state_since.unwrap_or(now));
        let step = match self.state {
            State::FirstPrompt => (since + FIRST_PROMPT_WAIT_MAX).min(started + PASSWORD_WAIT_MAX),
            State::UserSent => (since + PASSWORD_PROMPT_WAIT_MAX).min(started + PASSWORD_WAIT_MAX),
            State::PasswordSent | State::CodeSent | State::Over => {
                let reading = self.line_at.unwrap_or(since) + NEWS_WAIT_MAX;
                reading.max(since + SHELL_WAIT_MAX)
            }
        };
        step.min(started + self.limits.wait_max)
    }

    fn give_up_if_overdue(&mut self, now: Instant) {
        if self.state != State::Over && now >= self.overdue(now) {
            self.act(now, Act::GiveUp);
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
            // A line that ends at a shell has no login to be seen: the prompt says enough.
            (_, Act::Nudge) if self.is_known_prompt() => (PROMPT_QUIET, Act::Finish(PromptLook::Unknown)),
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
            (Sight::Prompt(prompt @ (Prompt::Code | Prompt::Passcode)), _) => {
                self.unless_hasty(self.at_code_prompt(prompt))
            }
            (Sight::Prompt(Prompt::ChangePassword), _) => (PROMPT_QUIET, Act::Expired),
            // The key would begin the change of an expired password.
            (Sight::Prompt(Prompt::PressReturn) | Sight::KeyWanted, _) if self.is_expired() => {
                (KEY_LINE_QUIET, Act::Expired)
            }
            (Sight::Prompt(Prompt::HostKey), _) => (PROMPT_QUIET, Act::HostKey),
            (Sight::Prompt(Prompt::KeyPassphrase), _) => (PROMPT_QUIET, Act::KeyLocked),
            (Sight::Prompt(Prompt::Shell), _) => (SHELL_QUIET, Act::Finish(PromptLook::Shell)),
            (Sight::Prompt(prompt), _) => (KEY_QUIET, Act::Answer(prompt)),
            (Sight::Menu, _) => (self.menu_quiet(), Act::Choose),
            (Sight::KeyWanted, _) => (KEY_LINE_QUIET, Act::Answer(Prompt::PressReturn)),
            (Sight::Unknown, State::PasswordSent | State::CodeSent) => {
                self.after_password(UNKNOWN_QUIET, PromptLook::Unknown)
            }
            (Sight::Lines, State::PasswordSent | State::CodeSent) => {
                self.after_password(BLANK_QUIET, PromptLook::Blank)
            }
            (Sight::Unknown, _) if self.is_repeated_prompt() => {
                (UNKNOWN_QUIET, Act::Finish(PromptLook::Unknown))
            }
            (Sight::Unknown, _) => self.nudge_after(UNKNOWN_NUDGE_AFTER),
            (Sight::Nothing, State::PasswordSent | State::CodeSent) => self.nudge_after(PASSWORD_NUDGE_AFTER),
            (Sight::UnfinishedEcho { seen: true }, _) => self.nudge_after(ECHO_NUDGE_AFTER),
            (Sight::UnfinishedEcho { seen: false }, _) => self.nudge_after(NO_ECHO_NUDGE_AFTER),
            (Sight::Lines | Sight::Nothing, State::FirstPrompt) => {
                let growing = SILENCE_NUDGES_AFTER.get(self.nudges).copied();
                self.nudge_after(growing.unwrap_or(LAST_NUDGE_QUIET))
            }
            (Sight::Lines | Sight::Nothing, State::UserSent | State::Over) => {
                if self.is_refused() {
                    (REPROMPT_QUIET, Act::Refused)
                } else {
                    self.nudge_after(PASSWORD_PROMPT_NUDGE_AFTER)
                }
            }
        }
    }

    fn at_user_prompt(&self) -> Act {
        let refused = self.is_refused();
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
            State::PasswordSent | State::CodeSent if self.name_damaged && !self.name_retried => {
                Act::RetypeUser
            }
            State::PasswordSent | State::CodeSent | State::Over => Act::Refused,
        }
    }

    fn at_password_prompt(&self) -> Act {
        let is_locked = matches!(self.lines.reason(usize::MAX), Some((Statement::Locked, _)));
        match self.state {
            State::FirstPrompt if self.is_nobodys() => Act::TypeBlankPassword,
            // Each further try may lock it for longer.
            State::UserSent if is_locked => Act::Refused,
            State::FirstPrompt | State::UserSent if self.wants_response() => Act::TypeCode,
            State::FirstPrompt => Act::TypePassword,
            State::UserSent if self.passwords_typed < PASSWORDS_TYPED_MAX => Act::TypePassword,
            // The code came first.
            State::CodeSent if self.passwords_typed == 0 && !self.is_refused() => Act::TypePassword,
            // The password was taken, and the second one that is asked for is a code.
            State::PasswordSent if self.has_codes && self.codes_typed.is_empty() && !self.is_refused() => {
                Act::TypeCode
            }
            State::UserSent | State::PasswordSent | State::CodeSent | State::Over => Act::Refused,
        }
    }

    fn at_code_prompt(&self, prompt: Prompt) -> Act {
        // Where nobody has spoken of codes, a passcode is the password.
        let is_password = prompt == Prompt::Passcode
            && !self.has_codes
            && self.password.is_some()
            && matches!(self.state, State::FirstPrompt | State::UserSent);
        match self.state {
            State::FirstPrompt if self.is_nobodys() => Act::TypeBlankPassword,
            _ if is_password => self.at_password_prompt(),
            State::FirstPrompt => Act::TypeCode,
            State::UserSent | State::PasswordSent | State::CodeSent | State::Over if self.is_refused() => {
                Act::Refused
            }
            State::UserSent | State::PasswordSent | State::CodeSent | State::Over => Act::TypeCode,
        }
    }

    /// True if a nudge of ours was taken for a user name: then what is asked for is nobody's.
    fn is_nobodys(&self) -> bool {
        self.nudges > 0 && self.user.is_some() && !self.blank_password_typed && !self.ssh_asks()
    }

    /// True if the answer to a challenge is wanted where `Password:` stands. Some hosts take the password
    /// as well (RFC 1760 came to hosts that had passwords).
    fn wants_response(&self) -> bool {
        let takes_code = |required: bool| required || self.has_codes || self.password.is_none();
        self.challenge().is_some_and(|challenge| takes_code(challenge.is_required()))
    }

    /// The host has just said that the password must be changed.
    fn is_expired(&self) -> bool {
        matches!(self.lines.statement(STATEMENT_LINES_MAX), Some((Statement::Expired, _)))
    }

    /// What is to be typed at the menu that is there; nothing is chosen twice.
    fn choice(&self) -> Option<String> {
        let menu = self.menu()?;
        let key = menu.choice(self.state == State::FirstPrompt)?.key.clone();
        (self.chosen.len() < CHOICES_MAX && !self.chosen.contains(&key)).then_some(key)
    }

    /// Where nothing can be chosen, there may be more to come.
    fn menu_quiet(&self) -> Duration {
        if self.choice().is_some() { MENU_QUIET } else { UNKNOWN_QUIET }
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
            // A person is asked for it, so it had better not be the half of a line.
            Act::TypeCode if self.code.is_none() => (UNEXPECTED_QUIET, act),
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
            // Such hosts hang up, or ask for another name.
            Some((Statement::Locked | Statement::TooManySessions | Statement::Closed, _)) => {
                (REPROMPT_QUIET, Act::Refused)
            }
            Some((Statement::Wait, _)) if self.state == State::CodeSent => (NOD_QUIET, Act::Finish(look)),
            Some((Statement::Wait, _)) => (PATIENCE_QUIET, Act::Finish(look)),
            Some((Statement::HostKey, _)) | None => (quiet, Act::Finish(look)),
        }
    }

    fn nudge_after(&self, quiet: Duration) -> (Duration, Act) {
        let nudges_max = match self.state {
            State::FirstPrompt => SILENCE_NUDGES_AFTER.len(),
            State::UserSent | State::PasswordSent | State::CodeSent | State::Over => NUDGES_MAX,
        };
        if self.nudges < nudges_max { (quiet, Act::Nudge) } else { (LAST_NUDGE_QUIET, Act::GiveUp) }
    }

    fn act(&mut self, now: Instant, act: Act) {
        match act {
            Act::TypeUser => self.type_user(now, LoginEvent::SentUser),
            Act::RetypeUser => {
                self.name_retried = true;
                self.type_user(now, LoginEvent::RetriedUser);
            }
            Act::TypePassword => self.type_password(now),
            Act::TypeCode => self.type_code(now),
            Act::Choose => self.choose(now),
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
                if self.state != State::UserSent || !open.was_answered() {
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
            Act::Refused => self.refuse(),
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
            Act::GiveUp if self.lines.reason(usize::MAX).is_some() => self.refuse(),
            Act::GiveUp => {
                let waited = self.started.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
                let last = self.last_lines();
                self.end(Err(LoginError::NoPrompt { waited, last }));
            }
        }
    }

    /// Ends with the host's no, and with its reason if it gave one.
    fn refuse(&mut self) {
        let (statement, said) = self.last_statement();
        let last = self.last_lines();
        self.end(Err(match statement {
            Some(Statement::Expired) => LoginError::Expired { said, last },
            Some(Statement::TooManySessions) => LoginError::TooManySessions { said, last },
            Some(Statement::Closed) => LoginError::Closed { said, last },
            // Of another user perhaps.
            _ if self.name_damaged => LoginError::Garbled { said, last },
            Some(Statement::Locked) => LoginError::Locked { said, last },
            Some(Statement::Refused | Statement::Wait | Statement::HostKey) | None => {
                match self.codes_typed.len() {
                    0 => LoginError::Refused { said, last },
                    _ => LoginError::CodeRefused { said, last },
                }
            }
        }));
    }

    fn end(&mut self, outcome: LoginOutcome) {
        self.state = State::Over;
        self.output.push_back(Output::Done(outcome));
    }
}

#[cfg(test)]
mod tests;
