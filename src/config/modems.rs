//! Modem profiles as a line names them: the user's own, beside the configuration, or those built in;
//! and what the line chooses among a profile's settings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Flow;
use crate::modem::commands::dials;
use crate::modem::{Choices, FlowChoice, Profile, ProfileError, Source, SpeakerChoice};

/// Where the user's profiles are: `modems/NAME.toml` beside the configuration file, and in the usual
/// folder of the program.
#[derive(Debug, Clone, Default)]
pub struct ModemFolders(Vec<PathBuf>);

/// How a line wants its modem, beside the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModemUse {
    /// What it chooses among the profile's settings.
    pub choices: Choices,
    /// Whether the modem is looked for at other rates when it does not answer at the line's.
    pub find_speed: bool,
    /// How long a dialled number may take to give a carrier.
    pub dial_wait: Duration,
}

impl Default for ModemUse {
    fn default() -> Self {
        Self { choices: Choices::default(), find_speed: true, dial_wait: crate::modem::dial::DIAL_WAIT_MAX }
    }
}

impl ModemFolders {
    /// The folders for the configuration file at `config`.
    pub fn beside(config: &Path) -> Self {
        let beside = config.parent().map(|folder| folder.join(FOLDER));
        let usual = super::default_path().and_then(|path| Some(path.parent()?.join(FOLDER)));
        let mut folders: Vec<PathBuf> = beside.into_iter().chain(usual).collect();
        folders.dedup();
        Self(folders)
    }

    /// The profile of this name.
    pub fn load(&self, name: &str) -> Result<Profile, ProfileError> {
        Profile::load(name, &|wanted| self.read(wanted))
    }

    /// The names of all profiles, the user's and those built in.
    pub fn names(&self) -> BTreeSet<String> {
        let files = self.0.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let users = files.filter_map(|file| {
            let path = file.path();
            let is_profile = path.extension().is_some_and(|extension| extension == "toml");
            path.file_stem().filter(|_| is_profile)?.to_str().map(str::to_owned)
        });
        users.chain(Profile::names().map(str::to_owned)).collect()
    }

    /// The folder in which a user puts profiles.
    pub fn first(&self) -> Option<&Path> {
        self.0.first().map(PathBuf::as_path)
    }

    fn read(&self, name: &str) -> Option<Source> {
        // A name is a file's, not a way out of the folder.
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return None;
        }
        self.0.iter().find_map(|folder| {
            let file = folder.join(format!("{name}.toml"));
            let text = std::fs::read_to_string(&file).ok()?;
            Some(Source { text, file: Some(file) })
        })
    }
}

/// The modem keys of a line, as they stand in the file.
pub(super) struct Raw<'a> {
    pub(super) flow: Flow,
    pub(super) speaker: Option<SpeakerChoice>,
    pub(super) error_correction: Option<bool>,
    pub(super) compression: Option<bool>,
    pub(super) init: &'a [String],
    pub(super) find_speed: Option<bool>,
    pub(super) dial_wait: Option<u64>,
}

/// What is wrong with one of a line's modem keys: which, and why.
pub(super) type Wrong = (&'static str, String);

impl Raw<'_> {
    pub(super) fn check(&self, profile: &Profile) -> Result<ModemUse, Wrong> {
        let usual = ModemUse::default();
        let dial_wait = self.dial_wait.map_or(usual.dial_wait, Duration::from_secs);
        if !(DIAL_WAIT_LEAST..=crate::modem::dial::DIAL_WAIT_LIMIT).contains(&dial_wait) {
            let most = crate::modem::dial::DIAL_WAIT_LIMIT.as_secs();
            let message = format!("dial_wait is in seconds, from {} to {most}", DIAL_WAIT_LEAST.as_secs());
            return Err(("dial_wait", message));
        }
        for command in self.init {
            if command.is_empty() || command.bytes().any(|byte| !byte.is_ascii_graphic() && byte != b' ') {
                let message = format!("the command {command:?} is empty or holds more than printable ASCII");
                return Err(("init", message));
            }
            if dials(command) {
                let message = format!("the command {command:?} dials: numbers stand in an account's `phone`");
                return Err(("init", message));
            }
            if command.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("AT")) {
                let message = format!("leave the AT of {command:?} away: it is put there by itself");
                return Err(("init", message));
            }
        }
        let switch_missing = |wanted: Option<bool>, switch: &crate::modem::profile::Switch| match wanted {
            Some(true) => switch.on.is_none(),
            Some(false) => switch.off.is_none(),
            None => false,
        };
        let name = &profile.name;
        for (key, missing) in [
            ("error_correction", switch_missing(self.error_correction, &profile.error_correction)),
            ("compression", switch_missing(self.compression, &profile.compression)),
        ] {
            if missing {
                return Err((key, format!("the modem profile {name:?} has no command for that; use `init`")));
            }
        }
        let choices = Choices {
            flow: match self.flow {
                Flow::RtsCts => FlowChoice::RtsCts,
                Flow::XonXoff => FlowChoice::XonXoff,
                Flow::None => FlowChoice::None,
            },
            speaker: self.speaker,
            error_correction: self.error_correction,
            compression: self.compression,
            init: self.init.to_vec(),
        };
        Ok(ModemUse { choices, find_speed: self.find_speed.unwrap_or(usual.find_speed), dial_wait })
    }
}

/// The folder of profiles, beside the configuration file.
const FOLDER: &str = "modems";
/// Less than this no call is put through.
const DIAL_WAIT_LEAST: Duration = Duration::from_secs(5);
