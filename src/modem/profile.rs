//! What a kind of modem needs: `hardware/modems/*.toml`, read, checked and built in; a user's own
//! files are read by the same rules.
//!
//! A profile says each setting by its purpose (`flow`, `speaker`, `error_correction`, ..), so that a
//! line's configuration can choose between them without knowing the maker's commands. It inherits
//! what it does not say from the profile that `inherits` names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::codec::ResultCodes;
use super::connect::ConnectRate;

mod builtin;
mod written;

use self::written::Chain;

/// How to talk to one kind of modem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name, as `modem = "generic"` gives it.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Words in the modem's answers about itself by which it is known (`ATI3`, `AT+GMM`).
    pub identity: Vec<String>,
    /// Restores the modem's stored settings: `Z`. Its answer is not needed.
    pub reset: Option<Setting>,
    /// Commands that the modem must accept.
    pub init: Vec<Setting>,
    /// Commands whose ERROR is passed over. `{wait}` stands for the dial wait in seconds.
    pub options: Vec<Setting>,
    /// Which results are told apart, and what CONNECT tells: `X4W2`.
    pub results: Option<Setting>,
    /// The loudspeaker.
    pub speaker: Speaker,
    /// Flow control between computer and modem.
    pub flow: FlowControl,
    /// Error correction between the modems (V.42, MNP).
    pub error_correction: Switch,
    /// Data compression between the modems (V.42bis, V.44, MNP5).
    pub compression: Switch,
    /// `DT{number}`; `None` where there is no modem and nothing to dial.
    pub dial: Option<String>,
    /// The same with pulses: `DP{number}`.
    pub dial_pulse: Option<String>,
    /// Answers a call that rings: `A`.
    pub answer: String,
    /// Lets the modem answer by itself after so many rings: `S0={rings}`.
    pub answer_after: String,
    /// Puts the modem on-hook: `H0`.
    pub hangup: String,
    /// Whether DTR going low hangs up (`&D2`).
    pub dtr_hangs_up: bool,
    /// What a `+` in a number becomes where no `[location]` says it.
    pub international: String,
    /// Whether `[location]` tells what is dialled: false for a network of its own, which is the same
    /// everywhere (GSM, satellite, an address).
    pub location: bool,
    /// A call of this kind reaches no person's telephone (a data bearer, a network address).
    pub data_bearer: bool,
    /// Which rate the number behind CONNECT is.
    pub connect_rate: ConnectRate,
    /// Bit/s that the way behind the modem carries at most, whatever CONNECT says: satellite
    /// telephones say 9600 and carry 2,400.
    pub line_rate: Option<u32>,
    /// Result codes that are this maker's own: a number or a whole line, and what it means.
    pub codes: ResultCodes,
    /// Asks what became of the last call, once it is over: `I6`.
    pub statistics: Vec<String>,
    /// Asks why the last call failed: `+CEER`.
    pub cause: Vec<String>,
    /// Asks what the modem is: `I0`, `I3`, `+GMM`.
    pub identify: Vec<String>,
    /// Asks how good the line or the radio is now: `+CSQ`.
    pub signal: Vec<String>,
    /// Rates at which the modem is looked for when it does not answer at the port's, in this order.
    pub speeds: Vec<u32>,
    /// Characters that a command line may have behind `AT`.
    pub line_max: usize,
    /// The escape character, S2.
    pub escape: u8,
    /// `AT<CR>` stands right behind the three escape characters (TIES, MultiTech's default).
    pub escape_with_at: bool,
    /// Our silence before and after three escape characters; longer than S12.
    pub guard: Duration,
    /// The longest wait for the answer to a command.
    pub command_wait: Duration,
    /// The longest wait for the answer to `reset`.
    pub reset_wait: Duration,
    /// How long the modem may be deaf behind the answer to `reset`.
    pub settle: Duration,
}

/// A command line body, and how long its answer may take where that is not the usual time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What stands behind `AT`.
    pub text: String,
    /// The longest wait for the answer.
    pub wait: Option<Duration>,
}

/// Commands for the loudspeaker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Speaker {
    /// Silent.
    pub off: Option<Setting>,
    /// Until the carrier is there, quietly.
    pub dialling: Option<Setting>,
    /// Always.
    pub on: Option<Setting>,
}

/// Commands for flow control.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowControl {
    /// RTS and CTS.
    pub rtscts: Option<Setting>,
    /// XON and XOFF.
    pub xonxoff: Option<Setting>,
    /// None.
    pub none: Option<Setting>,
}

/// Commands for something that is on or off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switch {
    /// On.
    pub on: Option<Setting>,
    /// Off.
    pub off: Option<Setting>,
}

/// What a line's configuration chooses among a profile's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// Flow control on the port, which the modem must share.
    pub flow: FlowChoice,
    /// The loudspeaker; `None` leaves the modem's own setting.
    pub speaker: Option<SpeakerChoice>,
    /// Error correction; `None` is on.
    pub error_correction: Option<bool>,
    /// Data compression; `None` is on.
    pub compression: Option<bool>,
    /// Commands of the user's own, needed, behind the profile's.
    pub init: Vec<String>,
}

/// Flow control, as the port has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowChoice {
    /// RTS and CTS.
    #[default]
    RtsCts,
    /// XON and XOFF.
    XonXoff,
    /// None.
    None,
}

/// When the loudspeaker is to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeakerChoice {
    /// Never.
    Off,
    /// Until the carrier is there.
    Dialling,
    /// Always.
    On,
}

/// What is wrong with a profile, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {}{message}", key_shown(.key), place = shown_place(.file, .profile, *.line))]
pub struct ProfileError {
    /// The file, where it is a user's.
    pub file: Option<PathBuf>,
    /// The profile's name.
    pub profile: String,
    /// The line in its file, from 1.
    pub line: usize,
    /// The key there, or nothing where there is none.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

/// A profile's text, and the file if it is a user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// TOML.
    pub text: String,
    /// Where it was read.
    pub file: Option<PathBuf>,
}

/// Gives the user's profile of a name, if there is one; the error is that it cannot be read.
pub type Users<'a> = dyn Fn(&str) -> Result<Option<Source>, ProfileError> + 'a;

impl Profile {
    /// A profile that is built in.
    pub fn builtin(name: &str) -> Option<Self> {
        builtin::text(name)?;
        Self::load(name, &|_| Ok(None)).ok() // never an error: a test loads each of them
    }

    /// The names of the profiles that are built in.
    pub fn names() -> impl Iterator<Item = &'static str> {
        builtin::names()
    }

    /// The profile of this name: the user's, as `users` gives it, or the one built in.
    ///
    /// A user's profile may inherit from a built-in one of its own name.
    pub fn load(name: &str, users: &Users<'_>) -> Result<Self, ProfileError> {
        let chain = Chain::load(name, users)?;
        let written = chain.merged();
        written.check().map_err(|(key, message)| chain.wrong(key, message))?;
        Ok(written.finish(name))
    }

    /// Reads and checks one profile's text, which may inherit from those built in.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let source = Source { text: text.to_owned(), file: None };
        Self::load(name, &|asked| Ok((asked == name).then(|| source.clone())))
    }

    /// Whether there is a modem that dials; `false` for a line that is already connected.
    pub fn dials(&self) -> bool {
        self.dial.is_some()
    }

    /// The settings of this profile that a line's configuration chooses, in the order in which they
    /// are sent, with the key under which the profile has them.
    pub fn chosen(&self, choices: &Choices) -> Vec<(&'static str, Setting)> {
        let flow = match choices.flow {
            FlowChoice::RtsCts => &self.flow.rtscts,
            FlowChoice::XonXoff => &self.flow.xonxoff,
            FlowChoice::None => &self.flow.none,
        };
        let speaker = match choices.speaker {
            Some(SpeakerChoice::Off) => &self.speaker.off,
            Some(SpeakerChoice::Dialling) => &self.speaker.dialling,
            Some(SpeakerChoice::On) => &self.speaker.on,
            None => &None,
        };
        let either = |switch: &Switch, on: Option<bool>| {
            if on.unwrap_or(true) { switch.on.clone() } else { switch.off.clone() }
        };
        let corrects = choices.error_correction.unwrap_or(true);
        // V.42bis and MNP5 compress only what is corrected.
        let compresses = Some(corrects && choices.compression.unwrap_or(true));
        [
            ("results", self.results.clone()),
            ("flow", flow.clone()),
            ("error_correction", either(&self.error_correction, choices.error_correction)),
            ("compression", either(&self.compression, compresses)),
            ("speaker", speaker.clone()),
        ]
        .into_iter()
        .filter_map(|(key, send)| Some((key, send?)))
        .collect()
    }
}

fn key_shown(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("`{key}`: ") }
}

fn shown_place(file: &Option<PathBuf>, profile: &str, line: usize) -> String {
    match file.as_deref().map(Path::display) {
        Some(file) => format!("{file}:{line}"),
        None => format!("modem profile `{profile}`, line {line}"),
    }
}

/// Where `dial` takes the number.
pub(super) const NUMBER_PLACE: &str = "{number}";
/// Where an option takes the dial wait in seconds.
pub(super) const WAIT_PLACE: &str = "{wait}";
/// Where `answer_after` takes the number of rings.
pub(super) const RINGS_PLACE: &str = "{rings}";
/// Milliseconds of silence around the escape sequence.
pub(super) const GUARD_MS_MAX: u64 = 2_000;
/// Milliseconds for an answer: more than this no user waits for.
pub(super) const WAIT_MS_MAX: u64 = 30_000;

#[cfg(test)]
mod tests;
