//! The last finished lines of a host, and what they state about the login. Nothing in them is secret.

use std::collections::VecDeque;

use super::error::LastLines;
use super::statements::Statement;

/// A finished line.
pub(super) struct Said {
    /// As people may see it.
    pub(super) shown: String,
    /// What it states about the login.
    pub(super) statement: Option<Statement>,
    /// True if the host said something, and did not only echo.
    pub(super) is_text: bool,
}

/// The last finished lines, at most [`LINES_KEPT_MAX`].
#[derive(Default)]
pub(super) struct RecentLines {
    lines: VecDeque<Said>,
    since_typed: usize,
    since_user: usize,
}

impl RecentLines {
    pub(super) fn push(&mut self, line: Said) {
        self.lines.push_back(line);
        self.since_typed += 1;
        self.since_user += 1;
        if self.lines.len() > LINES_KEPT_MAX {
            self.lines.pop_front();
        }
    }

    /// A user name, password, code or choice was typed: what came before belongs to another attempt.
    pub(super) fn start_attempt(&mut self) {
        self.since_typed = 0;
    }

    /// It was the name, which all is about that is said from here on.
    pub(super) fn start_user(&mut self) {
        self.since_user = 0;
        self.start_attempt();
    }

    /// True if the host has said something in this attempt.
    pub(super) fn any_text(&self) -> bool {
        self.attempt(usize::MAX).any(|line| line.is_text)
    }

    /// The latest statement in this attempt, within its last so many lines, and its words.
    pub(super) fn statement(&self, lines_max: usize) -> Option<(Statement, &str)> {
        let lines_max = lines_max.min(STATEMENT_LINES_KEPT_MAX);
        self.attempt(lines_max).find_map(|line| Some((line.statement?, line.shown.as_str())))
    }

    /// The latest reason for a failed login that was given for this user, within the last so many lines.
    pub(super) fn reason(&self, lines_max: usize) -> Option<(Statement, &str)> {
        let lines_max = self.since_user.min(lines_max).min(STATEMENT_LINES_KEPT_MAX);
        let mut lines = self.lines.iter().rev().take(lines_max);
        lines.find_map(|line| Some((line.statement.filter(|s| s.is_reason())?, line.shown.as_str())))
    }

    /// What the host has said in this attempt, oldest line first.
    pub(super) fn said(&self) -> Vec<&str> {
        let mut said: Vec<&str> = self.attempt(usize::MAX).map(|line| line.shown.as_str()).collect();
        said.reverse();
        said
    }

    /// What is quoted in an error, the unfinished line at the end.
    pub(super) fn last(&self, open: &str) -> LastLines {
        self.last_of(LAST_LINES_MAX, open)
    }

    /// The same where a person has to choose from it.
    pub(super) fn last_page(&self, open: &str) -> LastLines {
        self.last_of(LAST_PAGE_LINES_MAX, open)
    }

    fn last_of(&self, lines_max: usize, open: &str) -> LastLines {
        let earlier = self.lines.iter().rev().map(|line| line.shown.as_str()).take(lines_max);
        let mut lines: Vec<String> = earlier.map(shortened).collect();
        lines.reverse();
        lines.extend(Some(shortened(open)).filter(|open| !open.is_empty()));
        LastLines(lines)
    }

    /// The lines of this attempt, the latest first.
    fn attempt(&self, lines_max: usize) -> impl Iterator<Item = &Said> {
        self.lines.iter().rev().take(self.since_typed.min(lines_max))
    }
}

/// As much of a line as an error quotes.
pub(super) fn shortened(line: &str) -> String {
    line.chars().take(LAST_LINE_CHARS_MAX).collect()
}

/// Finished lines that are remembered, of at most 1 KiB each.
const LINES_KEPT_MAX: usize = 40;
/// Of these, the ones that may state something about the login.
const STATEMENT_LINES_KEPT_MAX: usize = 16;
/// Finished lines quoted in an error.
const LAST_LINES_MAX: usize = 5;
/// The same where they are a menu.
const LAST_PAGE_LINES_MAX: usize = 12;
/// Characters of each.
const LAST_LINE_CHARS_MAX: usize = 120;
