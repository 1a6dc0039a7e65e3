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

    /// What is said of a name that no profile has; `None` if one has it.
    pub fn unknown(&self, name: &str) -> Option<String> {
        let known = self.names();
        let own = self.first().map(|folder| format!(", and yours may be in {}", folder.display()));
        (!known.contains(name)).then(|| {
            format!(
                "no modem profile is called {name:?}; there are {}{}",
                known.into_iter().collect::<Vec<_>>().join(", "),
                own.unwrap_or_default()
            )
        })
    }

    /// The user's profile of this name. One that is there and cannot be read is an error: a built-in one
    /// of the same name would not be what the user meant.
    fn read(&self, name: &str) -> Result<Option<Source>, ProfileError> {
        // A name is a file's, not a way out of the folder.
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Ok(None);
        }
        for folder in &self.0 {
            let file = folder.join(format!("{name}.toml"));
            // A folder that may not be looked into, or is none, has no profiles for us.
            if std::fs::symlink_metadata(&file).is_err() {
                continue;
            }
            return match read_text(&file) {
                Ok(text) => Ok(Some(Source { text, file: Some(file) })),
                Err((line, message)) => {
                    let profile = name.to_owned();
                    Err(ProfileError { file: Some(file), profile, line, key: String::new(), message })
                }
            };
        }
        Ok(None)
    }
}

/// A profile's text, or the line at which it cannot be read, and why.
fn read_text(file: &Path) -> Result<String, (usize, String)> {
    let unreadable = |error: std::io::Error| (1, format!("cannot be read: {error}"));
    let found = std::fs::metadata(file).map_err(unreadable)?;
    if !found.is_file() {
        return Err((1, "is not a file".to_owned()));
    }
    if found.len() > PROFILE_BYTES_MAX {
        return Err((1, format!("has more than {PROFILE_BYTES_MAX} bytes: that is no modem profile")));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        (1 + good.iter().filter(|&&byte| byte == b'\n').count(), "is not UTF-8 from here on".to_owned())
    })
}

/// The folder of profiles, beside the configuration file.
const FOLDER: &str = "modems";
/// Bytes of the longest profile.
const PROFILE_BYTES_MAX: u64 = 64 * 1024;
