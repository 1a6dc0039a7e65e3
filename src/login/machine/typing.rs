//! What is typed, and what is to be remembered of having typed it.

use std::time::Instant;

use super::limits::{CODES_TYPED_MAX, PAGES_MAX, PROMPT_QUIET, RETURN, TERMINAL_TYPE};
use super::sight::first_line;
use super::{Login, State};
use crate::login::lines::shortened;
use crate::login::prompts::Prompt;
use crate::login::{LoginError, LoginEvent};
use crate::machine::{Output, Transmit};

impl Login {
    pub(super) fn type_user(&mut self, now: Instant, event: LoginEvent) {
        let Some(user) = &self.user else {
            let last = self.last_lines();
            return self.end(Err(LoginError::NoUser { last }));
        };
        let keys = format!("{}\r", first_line(user));
        self.users_typed += 1;
        self.name_damaged = false;
        self.send(now, Transmit::plain(keys), event);
        self.enter(now, State::UserSent, false);
        self.lines.start_user();
    }

    pub(super) fn type_password(&mut self, now: Instant) {
        let Some(password) = &self.password else {
            let last = self.last_lines();
            return self.end(Err(LoginError::NoPassword { last }));
        };
        let keys = secret_line(&[first_line(password.expose())]);
        self.passwords_typed += 1;
        self.send(now, keys, LoginEvent::SentPassword);
        self.enter(now, State::PasswordSent, true);
    }

    /// Types the code that was given, unless the host has had it already.
    pub(super) fn type_code(&mut self, now: Instant) {
        let Some(code) = self.code.take() else {
            let prompt = shortened(&self.open_shown());
            let (challenge, last) = (self.challenge(), self.last_page());
            self.asked_in = self.state;
            return self.end(Err(LoginError::CodeWanted { prompt, challenge, last }));
        };
        let is_old = self.codes_typed.iter().any(|typed| typed.expose() == code.expose());
        if is_old || self.codes_typed.len() >= CODES_TYPED_MAX {
            return self.refuse();
        }
        // `Password & verification code:` of libpam-google-authenticator's forward_pass wants both.
        let is_joined = self.text.open_line().said().to_lowercase().contains("password &");
        let password = self.password.as_ref().filter(|_| is_joined).map_or("", |p| first_line(p.expose()));
        self.passwords_typed += u32::from(!password.is_empty());
        let keys = secret_line(&[password, first_line(code.expose())]);
        self.codes_typed.push(code);
        self.send(now, keys, LoginEvent::SentCode);
        self.enter(now, State::CodeSent, true);
    }

    /// Chooses what gives a shell from a menu.
    pub(super) fn choose(&mut self, now: Instant) {
        let Some(key) = self.choice() else {
            let prompt = shortened(&self.open_shown());
            let last = self.last_page();
            let behind_login = self.state != State::FirstPrompt;
            return self.end(Err(LoginError::Menu { prompt, behind_login, last }));
        };
        self.send(now, Transmit::plain(format!("{key}\r")), LoginEvent::Chose(key.clone()));
        self.chosen.push(key);
        self.text.answer_here(false);
        self.lines.start_attempt();
        self.nudges = 0;
        self.last_said.clear();
        self.nudged_at.clear();
    }

    pub(super) fn answer(&mut self, now: Instant, prompt: Prompt) {
        let (keys, event) = match prompt {
            // A long text is left, unless it cannot be: then the key that says so comes back as a page.
            Prompt::More => {
                self.pages += 1;
                let leaves = self.pages > PAGES_MAX && self.pages % 2 == 1;
                (if leaves { b"q".as_slice() } else { b" " }, LoginEvent::PressedReturn)
            }
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
            | Prompt::Code
            | Prompt::Passcode
            | Prompt::ChangePassword
            | Prompt::Shell => (RETURN, LoginEvent::PressedReturn),
        };
        self.keys_pressed += 1;
        self.last_said.clear();
        self.send(now, Transmit::plain(keys), event);
        self.text.answer_here(false);
    }

    /// With the host's parity, if it has one: it may drop what comes without.
    pub(super) fn send(&mut self, now: Instant, mut transmit: Transmit, event: LoginEvent) {
        if let Some(parity) = self.text.parity() {
            transmit.bytes.iter_mut().for_each(|byte| *byte = parity.put_on(*byte));
        }
        self.break_is_fresh = false;
        self.output.push_back(Output::Transmit(transmit));
        self.output.push_back(Output::Event(event));
        self.stir(now);
    }

    /// The quiet begins anew. What stands on the line is looked at after the shortest quiet that can
    /// matter, and not for each byte.
    pub(super) fn stir(&mut self, now: Instant) {
        self.stirred = Some(now);
        self.quiet_needed = PROMPT_QUIET;
    }

    pub(super) fn enter(&mut self, now: Instant, state: State, secret: bool) {
        self.text.answer_here(secret);
        self.state = state;
        self.state_since = Some(now);
        self.lines.start_attempt();
        self.broadcast_lines = 0;
        self.nudges = 0;
        self.last_said.clear();
        self.nudged_at.clear();
    }
}

/// These and RETURN, in one copy that is wiped by `Transmit`.
fn secret_line(texts: &[&str]) -> Transmit {
    let length: usize = texts.iter().map(|text| text.len()).sum();
    let mut keys = Vec::with_capacity(length + RETURN.len());
    texts.iter().for_each(|text| keys.extend_from_slice(text.as_bytes()));
    keys.extend_from_slice(RETURN);
    Transmit::secret(keys)
}
