//! What there is to see on the line: what a finished line tells, and what the unfinished one asks for.

use super::limits::{BROADCAST_LINES_MAX, CHALLENGE_LINES_MAX};
use super::{Login, State};
use crate::login::error::LastLines;
use crate::login::lines::{Said, shortened};
use crate::login::menu::Menu;
use crate::login::prompts::{Prompt, is_asked_by_ssh, looks_damaged, looks_like_question, prompt_look};
use crate::login::statements::{Statement, first_statement_look, is_broadcast, statement_look};
use crate::login::text::Line;
use crate::login::{Challenge, LoginEvent};
use crate::machine::Output;
use crate::secret::{Masks, Secret};

/// What there is to see when the line is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// An unfinished line that is a known prompt.
    Prompt(Prompt),
    /// A list of which something is to be chosen.
    Menu,
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

impl Login {
    /// Takes note of a finished line, and tells the owner.
    pub(super) fn note_line(&mut self, line: &Line) {
        let said = self.without_echo(line);
        if self.state == State::UserSent && line.was_answered() && !line.is_secret() {
            // login echoes the name; getty may have echoed keys typed too early before it.
            let echo = line.said();
            let name = self.user.as_deref().unwrap_or_default();
            self.name_damaged |= !echo.is_empty() && !ends_with_ignoring_case(echo, name);
        }
        let shown = self.masked(&line.shown());
        if is_broadcast(said) {
            self.broadcast_lines = BROADCAST_LINES_MAX;
        }
        let is_broadcast = self.broadcast_lines > 0;
        self.broadcast_lines = self.broadcast_lines.saturating_sub(1);
        if shown.is_empty() {
            return;
        }
        let statement = match self.state {
            _ if is_broadcast => None,
            State::FirstPrompt => first_statement_look(said),
            State::UserSent | State::PasswordSent | State::CodeSent | State::Over => statement_look(said),
        };
        // Behind a password prompt stands the echo of a password, whole or damaged, or a statement.
        let is_text = if line.is_secret() { statement.is_some() } else { !said.is_empty() };
        self.last_said = if is_text { said.to_owned() } else { String::new() };
        self.output.push_back(Output::Event(LoginEvent::Text(shown.clone())));
        self.lines.push(Said { shown, statement, is_text });
    }

    /// What the host itself has said on a line that may begin with the echo of what we typed.
    pub(super) fn without_echo<'a>(&self, line: &'a Line) -> &'a str {
        let said = line.said();
        let typed = match self.state {
            _ if !line.was_answered() => None,
            State::UserSent => self.user.as_deref(),
            State::FirstPrompt | State::PasswordSent | State::CodeSent if !line.is_secret() => {
                self.chosen.last().map(String::as_str)
            }
            State::PasswordSent => self.password.as_ref().map(Secret::expose),
            State::CodeSent => self.codes_typed.last().map(Secret::expose),
            State::FirstPrompt | State::Over => None,
        };
        let rest = typed.map(first_line).and_then(|typed| said.strip_prefix(typed)).unwrap_or(said);
        if line.is_secret() { rest.trim_start_matches('*').trim() } else { rest.trim() }
    }

    pub(super) fn masked(&self, text: &str) -> String {
        let masks = Masks::default();
        for secret in self.password.iter().chain(&self.codes_typed) {
            masks.hide(first_line(secret.expose()));
        }
        masks.text(text)
    }

    pub(super) fn sight(&self) -> Sight {
        let open = self.text.open_line();
        let said = self.without_echo(&open);
        let echo_is_due = self.state == State::UserSent && open.was_answered();
        if !said.is_empty() {
            let unclear = if open.is_secret() { Sight::Nothing } else { Sight::Unknown };
            match prompt_look(said) {
                None | Some(Prompt::Shell) if !open.is_secret() && self.menu().is_some() => Sight::Menu,
                // `Enter your choice and press RETURN:`
                Some(Prompt::PressReturn) if !open.is_secret() && self.choice().is_some() => Sight::Menu,
                // Garbage of a modem at the wrong speed can end in `$`: such a prompt has to come twice.
                Some(Prompt::Shell) if self.state == State::FirstPrompt && looks_damaged(said) => unclear,
                // ssh asks before anything else. Later it is the host, whatever its words are.
                Some(Prompt::HostKey | Prompt::KeyPassphrase) if self.state != State::FirstPrompt => unclear,
                Some(prompt) => Sight::Prompt(prompt),
                None => unclear,
            }
        } else if echo_is_due {
            Sight::UnfinishedEcho { seen: !open.said().is_empty() }
        } else if self.menu().is_some() {
            Sight::Menu
        } else if prompt_look(&self.last_said) == Some(Prompt::PressReturn) {
            Sight::KeyWanted
        } else if self.lines.any_text() {
            Sight::Lines
        } else {
            Sight::Nothing
        }
    }

    /// The menu behind which the host waits. Its question may be a finished line.
    pub(super) fn menu(&self) -> Option<Menu> {
        let open = self.text.open_line();
        let said = self.lines.said();
        match (self.without_echo(&open), said.split_last()) {
            ("", Some((question, lines))) => Menu::read(lines, question),
            ("", None) => None,
            (question, _) => Menu::read(&said, question),
        }
    }

    /// What a one-time code is to be computed from, in the prompt or right above it.
    pub(super) fn challenge(&self) -> Option<Challenge> {
        let open = self.text.open_line();
        let above = self.lines.said();
        let above = above.iter().rev().take(CHALLENGE_LINES_MAX);
        [open.said()].into_iter().chain(above.copied()).find_map(Challenge::find)
    }

    /// True if the host has refused, or said why it does not let this user in.
    pub(super) fn is_refused(&self) -> bool {
        let statement = self.lines.statement(usize::MAX).map(|(statement, _)| statement);
        statement.is_some_and(|statement| statement == Statement::Refused || statement.is_reason())
    }

    /// True if the host has said something, and it is no text in any framing known here.
    pub(super) fn is_illegible(&self) -> bool {
        // Of a few bytes with parity in them a RETURN brings more.
        let is_settled = self.nudges > 0 || self.legibility.is_plenty();
        let is_first = self.state == State::FirstPrompt;
        is_first && is_settled && !self.text.is_seven_bit() && self.legibility.is_garbage()
    }

    pub(super) fn ssh_asks(&self) -> bool {
        is_asked_by_ssh(self.text.open_line().said())
    }

    /// The same text stood there before the nudge: a host waits behind it, and asks nothing.
    pub(super) fn is_repeated_prompt(&self) -> bool {
        let open = self.text.open_line();
        let said = open.said();
        !open.was_answered()
            && !self.nudged_at.is_empty()
            && said == self.nudged_at
            && !looks_like_question(said)
    }

    /// The host's own words for its refusal, the reason first; where it has none, what it asks instead.
    pub(super) fn last_statement(&self) -> (Option<Statement>, String) {
        match self.lines.reason(usize::MAX).or_else(|| self.lines.statement(usize::MAX)) {
            Some((statement, said)) => (Some(statement), shortened(said)),
            None => (None, shortened(&self.masked(&self.text.open_line().shown()))),
        }
    }

    pub(super) fn last_lines(&self) -> LastLines {
        self.lines.last(&self.open_shown())
    }

    /// The same, with all of a menu.
    pub(super) fn last_page(&self) -> LastLines {
        self.lines.last_page(&self.open_shown())
    }

    /// The unfinished line as people may see it.
    pub(super) fn open_shown(&self) -> String {
        self.masked(&self.text.open_line().shown())
    }
}

pub(super) fn first_line(text: &str) -> &str {
    text.split(['\r', '\n']).next().unwrap_or_default()
}

fn ends_with_ignoring_case(echo: &str, name: &str) -> bool {
    echo.to_lowercase().ends_with(&first_line(name).trim().to_lowercase())
}
