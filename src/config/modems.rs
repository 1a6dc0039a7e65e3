//! Modem profiles as a line names them: the user's own, beside the configuration, or those built in;
//! and what the line chooses among a profile's settings.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::modem::dial::DIAL_WAIT_MAX;
use crate::modem::{Choices, Profile, ProfileError, Source};

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
        Self { choices: Choices::default(), find_speed: true, dial_wait: DIAL_WAIT_MAX }
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

/// The folder of profiles, beside the configuration file.
const FOLDER: &str = "modems";
