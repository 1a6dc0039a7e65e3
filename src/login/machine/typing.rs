//! What is typed, and what is to be remembered of having typed it.

use std::time::Instant;

use super::limits::{PROMPT_QUIET, RETURN, TERMINAL_TYPE};
use super::sight::first_line;
use super::{Login, State};
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
    }

    pub(super) fn type_password(&mut self, now: Instant) {
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

    pub(super) fn answer(&mut self, now: Instant, prompt: Prompt) {
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

    pub(super) fn send(&mut self, now: Instant, transmit: Transmit, event: LoginEvent) {
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
        self.nudges = 0;
        self.last_said.clear();
        self.nudged_at.clear();
    }
}
