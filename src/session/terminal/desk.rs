//! What a person's session is made of, over one call or several: keys, view, log, and what is said by
//! itself.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dialogue::Step;
use super::keys::Keys;
use super::log::SessionLog;
use super::screen::Screen;
use super::view::View;
use crate::config::{EscapeKey, Return, TerminalConfig};
use crate::secret::Masks;

/// A person's desk.
#[derive(Debug)]
pub struct Desk {
    pub(super) keys: Keys,
    pub(super) view: View,
    pub(super) screen: Screen,
    pub(super) input: Input,
    pub(super) log: Option<SessionLog>,
    pub(super) masks: Masks,
    pub(super) zmodem: bool,
    pub(super) downloads: PathBuf,
    /// Logs have the host's bytes as they are.
    pub log_is_raw: bool,
    /// Under which name a log is proposed.
    pub log_name: PathBuf,
    /// What is said and waited for in each call, before the input is read.
    pub steps: Vec<Step>,
    /// How long each is waited for.
    pub patience: Duration,
    /// What DTR is to be, where that was said.
    pub dtr: Option<bool>,
    /// Whoever leaves leaves the call up, where the line can.
    pub stays_up: bool,
}

/// Where what is sent comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A person's keyboard.
    Keyboard,
    /// A pipe or a file, whose every byte is for the host.
    Stream {
        /// How long the host may be quiet behind its end.
        linger: Duration,
        /// What a line end in it sends, if not itself.
        line_end: Option<Return>,
    },
}

impl Desk {
    /// A desk as configured. With `apart` our own words go elsewhere than the host's bytes.
    pub fn new(config: &TerminalConfig, input: Input, apart: bool, is_dumb: bool) -> Self {
        Self {
            keys: Keys::new(config.escape),
            view: View::new(config),
            screen: Screen::new(apart, is_dumb),
            input,
            log: None,
            masks: Masks::default(),
            zmodem: config.zmodem,
            downloads: config.downloads.clone(),
            log_is_raw: false,
            log_name: PathBuf::from("mailcall.log"),
            steps: Vec::new(),
            patience: PATIENCE,
            dtr: None,
            stays_up: false,
        }
    }

    /// Where what is sent comes from.
    pub fn input(&self) -> Input {
        self.input
    }

    /// The key that is kept back.
    pub fn escape(&self) -> EscapeKey {
        self.keys.escape()
    }

    /// A call begins: this is hidden in it.
    pub(super) fn hide_by(&mut self, masks: Masks) {
        if let Some(log) = &mut self.log {
            log.hide_by(masks.clone());
        }
        self.masks = masks;
    }

    /// Begins a log.
    pub fn open_log(&mut self, path: &Path) -> io::Result<()> {
        let mut log = SessionLog::open(path, self.log_is_raw)?;
        log.hide_by(self.masks.clone());
        self.log = Some(log);
        Ok(())
    }
}

/// How long a text is waited for unless it is said.
pub const PATIENCE: Duration = Duration::from_secs(45);
