//! A profile as its file has it: every key optional, so that what is not said can be inherited.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::super::{commands, is_host};
use super::{
    ConnectRate, FlowControl, GUARD_MS_MAX, NUMBER_PLACE, Profile, ProfileError, RINGS_PLACE, Setting,
    Source, Speaker, Switch, Users, WAIT_MS_MAX, WAIT_PLACE, builtin,
};
use crate::modem::codec::is_result;

/// The keys of one file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    inherits: Option<String>,
    description: Option<String>,
    identity: Option<Vec<String>>,
    reset: Option<SettingToml>,
    init: Option<Vec<SettingToml>>,
    options: Option<Vec<SettingToml>>,
    results: Option<SettingToml>,
    #[serde(default)]
    speaker: SpeakerToml,
    #[serde(default)]
    flow: FlowToml,
    #[serde(default)]
    error_correction: SwitchToml,
    #[serde(default)]
    compression: SwitchToml,
    dial: Option<String>,
    dial_pulse: Option<String>,
    answer: Option<String>,
    answer_after: Option<String>,
    hangup: Option<String>,
    dtr_hangs_up: Option<bool>,
    international: Option<String>,
    location: Option<bool>,
    data_bearer: Option<bool>,
    connect_rate: Option<ConnectRate>,
    line_rate: Option<u32>,
    codes: Option<BTreeMap<String, String>>,
    statistics: Option<Vec<String>>,
    cause: Option<Vec<String>>,
    identify: Option<Vec<String>>,
    signal: Option<Vec<String>>,
    speeds: Option<Vec<u32>>,
    line_max: Option<usize>,
    escape: Option<char>,
    escape_with_at: Option<bool>,
    guard_ms: Option<u64>,
    command_ms: Option<u64>,
    reset_ms: Option<u64>,
    settle_ms: Option<u64>,
}

/// `"&F"`, or `{ send = "+CPIN?", wait_ms = 8000 }`; empty for none, where one would be inherited.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a command such as \"&C1\", or { send = \"&F\", wait_ms = 8000 }")]
enum SettingToml {
    Text(String),
    Timed(TimedToml),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimedToml {
    send: String,
    wait_ms: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpeakerToml {
    off: Option<SettingToml>,
    dialling: Option<SettingToml>,
    on: Option<SettingToml>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlowToml {
    rtscts: Option<SettingToml>,
    xonxoff: Option<SettingToml>,
    none: Option<SettingToml>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchToml {
    on: Option<SettingToml>,
    off: Option<SettingToml>,
}

/// A profile and those that it inherits from, nearest first.
pub(super) struct Chain(Vec<(String, Source, Written)>);

impl Chain {
    pub(super) fn load(name: &str, users: &Users<'_>) -> Result<Self, ProfileError> {
        let mut chain = Self(Vec::new());
        let mut wanted = name.to_owned();
        loop {
            // A file that inherits from its own name means the one built in.
            let again =
                chain.0.last().is_some_and(|(name, source, _)| *name == wanted && source.file.is_some());
            let source = if again { None } else { users(&wanted)? };
            let source = source
                .or_else(|| builtin::text(&wanted).map(|text| Source { text: text.to_owned(), file: None }));
            let Some(source) = source else {
                let message = format!("no modem profile is called {wanted:?}");
                return Err(match chain.0.last() {
                    Some(_) => chain.wrong("inherits", message),
                    None => {
                        ProfileError { file: None, profile: wanted, line: 1, key: String::new(), message }
                    }
                });
            };
            if chain.0.iter().any(|(loaded, known, _)| *loaded == wanted && known.file == source.file) {
                return Err(
                    chain.wrong("inherits", format!("the profiles inherit in a circle: {wanted:?} again"))
                );
            }
            let written: Written =
                toml::from_str(&source.text).map_err(|error| from_toml(&wanted, &source, &error))?;
            let next = written.inherits.clone();
            chain.0.push((wanted, source, written));
            match next {
                Some(next) => wanted = next,
                None => return Ok(chain),
            }
        }
    }

    /// All keys, the nearest that says one deciding it.
    pub(super) fn merged(&self) -> Written {
        self.0.iter().rev().fold(Written::default(), |parent, (_, _, child)| child.clone().over(parent))
    }

    /// What is wrong with `key`: in the nearest file that sets it, or else in the first. Only
    /// `inherits` is the last one's own.
    pub(super) fn wrong(&self, key: &str, message: String) -> ProfileError {
        let sets = |(_, source, _): &&(String, Source, Written)| line_of_key(&source.text, key).is_some();
        let setting = if key == "inherits" { self.0.last() } else { self.0.iter().find(sets) };
        let (profile, source, _) = setting.unwrap_or(&self.0[0]); // a chain has one profile at least
        ProfileError {
            file: source.file.clone(),
            profile: profile.clone(),
            line: line_of_key(&source.text, key).unwrap_or(1),
            key: key.to_owned(),
            message,
        }
    }
}

type Wrong = (&'static str, String);

impl Written {
    fn over(self, parent: Self) -> Self {
        Self {
            inherits: None,
            description: self.description.or(parent.description),
            // What one maker's modem says of itself, another's does not.
            identity: self.identity,
            reset: self.reset.or(parent.reset),
            init: self.init.or(parent.init),
            options: self.options.or(parent.options),
            results: self.results.or(parent.results),
            speaker: SpeakerToml {
                off: self.speaker.off.or(parent.speaker.off),
                dialling: self.speaker.dialling.or(parent.speaker.dialling),
                on: self.speaker.on.or(parent.speaker.on),
            },
            flow: FlowToml {
                rtscts: self.flow.rtscts.or(parent.flow.rtscts),
                xonxoff: self.flow.xonxoff.or(parent.flow.xonxoff),
                none: self.flow.none.or(parent.flow.none),
            },
            error_correction: self.error_correction.over(parent.error_correction),
            compression: self.compression.over(parent.compression),
            dial: self.dial.or(parent.dial),
            dial_pulse: self.dial_pulse.or(parent.dial_pulse),
            answer: self.answer.or(parent.answer),
            answer_after: self.answer_after.or(parent.answer_after),
            hangup: self.hangup.or(parent.hangup),
            dtr_hangs_up: self.dtr_hangs_up.or(parent.dtr_hangs_up),
            international: self.international.or(parent.international),
            location: self.location.or(parent.location),
            data_bearer: self.data_bearer.or(parent.data_bearer),
            connect_rate: self.connect_rate.or(parent.connect_rate),
            line_rate: self.line_rate.or(parent.line_rate),
            codes: self.codes.or(parent.codes),
            statistics: self.statistics.or(parent.statistics),
            cause: self.cause.or(parent.cause),
            identify: self.identify.or(parent.identify),
            signal: self.signal.or(parent.signal),
            speeds: self.speeds.or(parent.speeds),
            line_max: self.line_max.or(parent.line_max),
            escape: self.escape.or(parent.escape),
            escape_with_at: self.escape_with_at.or(parent.escape_with_at),
            guard_ms: self.guard_ms.or(parent.guard_ms),
            command_ms: self.command_ms.or(parent.command_ms),
            reset_ms: self.reset_ms.or(parent.reset_ms),
            settle_ms: self.settle_ms.or(parent.settle_ms),
        }
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        if self.description.as_deref().is_none_or(str::is_empty) {
            return Err(("description", "is missing: say in one line what modem this is for".to_owned()));
        }
        self.check_numbers()?;
        self.check_texts()?;
        self.check_commands()?;
        if self.dial.is_none() && (self.init.is_some() || self.options.is_some() || self.results.is_some()) {
            let message = "is missing, so nothing could be dialled: add inherits = \"generic\", or dial = \"DT{number}\"";
            return Err(("dial", message.to_owned()));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), Wrong> {
        let within = |key: &'static str, value: Option<u64>, min: u64, max: u64| match value {
            Some(value) if !(min..=max).contains(&value) => {
                Err((key, format!("{value} is not between {min} and {max}")))
            }
            Some(_) | None => Ok(()),
        };
        let count = |length: Option<usize>| length.map(|length| length as u64);
        within("line_max", count(self.line_max), LINE_MAX_LEAST, LINE_MAX_MOST)?;
        within("guard_ms", self.guard_ms, 0, GUARD_MS_MAX)?;
        within("command_ms", self.command_ms, WAIT_MS_MIN, COMMAND_MS_MAX)?;
        within("reset_ms", self.reset_ms, WAIT_MS_MIN, COMMAND_MS_MAX)?;
        within("settle_ms", self.settle_ms, 0, SETTLE_MS_MAX)?;
        within("init", count(self.init.as_ref().map(Vec::len)), 0, COMMANDS_MAX)?;
        within("options", count(self.options.as_ref().map(Vec::len)), 0, COMMANDS_MAX)?;
        within("speeds", count(self.speeds.as_ref().map(Vec::len)), 0, SPEEDS_MAX)?;
        for speed in self.speeds.iter().flatten() {
            within("speeds", Some(u64::from(*speed)), SPEED_LEAST, SPEED_MOST)?;
        }
        within("line_rate", self.line_rate.map(u64::from), LINE_RATE_LEAST, SPEED_MOST)?;
        for (code, words) in self.codes.iter().flatten() {
            if !words.is_empty() && !is_result(words) {
                return Err((
                    "codes",
                    format!(
                        "{code:?} cannot mean {words:?}, which is no result code; \"\" is for what ends no call and tells nothing"
                    ),
                ));
            }
            if code.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue; // a whole line
            }
            if code.len() > 3 || code.parse::<u16>().is_err() {
                return Err((
                    "codes",
                    format!("{code:?} is neither a number of three digits at most nor a line in words"),
                ));
            }
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), Wrong> {
        if let Some(escape) = self.escape.filter(|escape| !escape.is_ascii_graphic()) {
            return Err(("escape", format!("{escape:?} is not a printable ASCII character")));
        }
        let strange = |byte: u8| !byte.is_ascii_digit() && byte != b'+';
        if let Some(international) = self.international.as_ref().filter(|text| text.bytes().any(strange)) {
            return Err(("international", format!("{international:?} is not made of digits or a +")));
        }
        for word in self.identity.iter().flatten() {
            if word.trim().len() < IDENTITY_LEAST {
                return Err(("identity", format!("{word:?} is too short to know a modem by")));
            }
        }
        Ok(())
    }

    fn check_commands(&self) -> Result<(), Wrong> {
        for (key, template, place) in [
            ("dial", &self.dial, NUMBER_PLACE),
            ("dial_pulse", &self.dial_pulse, NUMBER_PLACE),
            ("answer_after", &self.answer_after, RINGS_PLACE),
        ] {
            let Some(template) = template.as_ref().filter(|template| !template.is_empty()) else { continue };
            if template.matches(place).count() != 1 {
                return Err((key, format!("{template:?} does not hold {place} once")));
            }
            if place == NUMBER_PLACE {
                let around = around_number(key, template)?;
                if !around.is_empty() {
                    self.check_line(key, &around)?;
                }
            } else {
                self.check_line(key, &template.replacen(place, "", 1))?;
            }
        }
        for (key, command) in [("hangup", &self.hangup), ("answer", &self.answer)] {
            if let Some(command) = command {
                self.check_line(key, command)?;
            }
        }
        let asked = [
            ("statistics", &self.statistics),
            ("cause", &self.cause),
            ("identify", &self.identify),
            ("signal", &self.signal),
        ];
        for (key, commands) in asked {
            for command in commands.iter().flatten() {
                self.check_line(key, command)?;
            }
        }
        for (key, send) in self.settings() {
            self.check_setting(key, send)?;
        }
        Ok(())
    }

    /// Every setting, with its key.
    fn settings(&self) -> impl Iterator<Item = (&'static str, &SettingToml)> {
        fn one<'a>(
            key: &'static str,
            setting: &'a Option<SettingToml>,
        ) -> (&'static str, Option<&'a [SettingToml]>) {
            (key, setting.as_ref().map(std::slice::from_ref))
        }
        [
            one("reset", &self.reset),
            ("init", self.init.as_deref()),
            ("options", self.options.as_deref()),
            one("results", &self.results),
            one("speaker.off", &self.speaker.off),
            one("speaker.dialling", &self.speaker.dialling),
            one("speaker.on", &self.speaker.on),
            one("flow.rtscts", &self.flow.rtscts),
            one("flow.xonxoff", &self.flow.xonxoff),
            one("flow.none", &self.flow.none),
            one("error_correction.on", &self.error_correction.on),
            one("error_correction.off", &self.error_correction.off),
            one("compression.on", &self.compression.on),
            one("compression.off", &self.compression.off),
        ]
        .into_iter()
        .flat_map(|(key, sends)| sends.unwrap_or_default().iter().map(move |send| (key, send)))
    }

    fn check_setting(&self, key: &'static str, send: &SettingToml) -> Result<(), Wrong> {
        if let SettingToml::Timed(TimedToml { wait_ms, .. }) = send
            && !(WAIT_MS_MIN..=WAIT_MS_MAX).contains(wait_ms)
        {
            return Err((key, format!("wait_ms = {wait_ms} is not between {WAIT_MS_MIN} and {WAIT_MS_MAX}")));
        }
        let text = send.text();
        // An empty setting is none; an empty command in a list would be a mistake.
        if text.is_empty() && !matches!(key, "init" | "options") {
            return Ok(());
        }
        let text = if key == "options" { text.replacen(WAIT_PLACE, "255", 1) } else { text.to_owned() };
        check_characters(key, &text)
    }

    /// A command that is sent as one line.
    fn check_line(&self, key: &'static str, command: &str) -> Result<(), Wrong> {
        check_characters(key, command)?;
        let max = self.line_max.unwrap_or(LINE_MAX_DEFAULT);
        if command.len() > max {
            return Err((key, format!("the command {command:?} is longer than line_max = {max}")));
        }
        Ok(())
    }

    pub(super) fn finish(self, name: &str) -> Profile {
        let millis = |value: Option<u64>, default| Duration::from_millis(value.unwrap_or(default));
        let texts = |list: Option<Vec<String>>| list.unwrap_or_default();
        let sends = |list: Option<Vec<SettingToml>>| {
            list.into_iter().flatten().filter_map(SettingToml::finish).collect()
        };
        let one = |send: Option<SettingToml>| send.and_then(SettingToml::finish);
        let template = |text: Option<String>| text.filter(|text| !text.is_empty());
        let codes = self.codes.unwrap_or_default();
        Profile {
            name: name.to_owned(),
            description: self.description.unwrap_or_default(),
            identity: texts(self.identity),
            reset: one(self.reset),
            init: sends(self.init),
            options: sends(self.options),
            results: one(self.results),
            speaker: Speaker {
                off: one(self.speaker.off),
                dialling: one(self.speaker.dialling),
                on: one(self.speaker.on),
            },
            flow: FlowControl {
                rtscts: one(self.flow.rtscts),
                xonxoff: one(self.flow.xonxoff),
                none: one(self.flow.none),
            },
            error_correction: self.error_correction.finish(),
            compression: self.compression.finish(),
            dial: template(self.dial),
            dial_pulse: template(self.dial_pulse),
            answer: self.answer.unwrap_or_else(|| "A".to_owned()),
            answer_after: template(self.answer_after).unwrap_or_else(|| format!("S0={RINGS_PLACE}")),
            hangup: self.hangup.unwrap_or_else(|| "H0".to_owned()),
            dtr_hangs_up: self.dtr_hangs_up.unwrap_or(true),
            international: self.international.unwrap_or_else(|| "+".to_owned()),
            location: self.location.unwrap_or(true),
            data_bearer: self.data_bearer.unwrap_or(false),
            connect_rate: self.connect_rate.unwrap_or_default(),
            line_rate: self.line_rate,
            codes: codes.into_iter().map(|(code, words)| (spelt(&code), words)).collect(),
            statistics: texts(self.statistics),
            cause: texts(self.cause),
            identify: texts(self.identify),
            signal: texts(self.signal),
            speeds: self.speeds.unwrap_or_default(),
            line_max: self.line_max.unwrap_or(LINE_MAX_DEFAULT),
            escape: self.escape.and_then(|escape| u8::try_from(escape).ok()).unwrap_or(b'+'), // ASCII, by the check
            escape_with_at: self.escape_with_at.unwrap_or(false),
            guard: millis(self.guard_ms, GUARD_MS_DEFAULT),
            command_wait: millis(self.command_ms, COMMAND_MS_DEFAULT),
            reset_wait: millis(self.reset_ms, RESET_MS_DEFAULT),
            settle: millis(self.settle_ms, SETTLE_MS_DEFAULT),
        }
    }
}

impl SwitchToml {
    fn over(self, parent: Self) -> Self {
        Self { on: self.on.or(parent.on), off: self.off.or(parent.off) }
    }

    fn finish(self) -> Switch {
        Switch { on: self.on.and_then(SettingToml::finish), off: self.off.and_then(SettingToml::finish) }
    }
}

impl SettingToml {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Timed(TimedToml { send: text, .. }) => text,
        }
    }

    fn finish(self) -> Option<Setting> {
        let (text, wait) = match self {
            Self::Text(text) => (text, None),
            Self::Timed(TimedToml { send, wait_ms }) => (send, Some(Duration::from_millis(wait_ms))),
        };
        (!text.is_empty()).then_some(Setting { text, wait })
    }
}

/// A code as it is looked for: `013` is 13, and lines are compared in capitals.
fn spelt(code: &str) -> String {
    code.parse::<u16>().map_or_else(|_| code.to_ascii_uppercase(), |number| number.to_string())
}

/// What a dial command has around `D` and the number. It dials the number that it is given, and no
/// other, of which the memory of dials would not know.
fn around_number(key: &'static str, template: &str) -> Result<String, Wrong> {
    let (before, behind) = template.split_once(NUMBER_PLACE).unwrap_or((template, ""));
    let modifiers = |c: char| !matches!(c, 'D' | 'd');
    let settings = before.trim_end_matches(modifiers);
    let in_front = &before[settings.len()..];
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let Some(settings) = settings.strip_suffix(['D', 'd']) else {
        return Err((key, format!("{template:?} does not dial: write D, DT or DP before {NUMBER_PLACE}")));
    };
    // A host's address in front of the port, which is the number then, is no telephone's.
    let host = in_front.trim_start_matches(['T', 't', 'P', 'p']).trim_end_matches(':');
    let own_number = !is_host(host) && digits(in_front) > DIAL_DIGITS_MAX || digits(behind) > 0;
    if commands::dials(settings) || own_number {
        return Err((
            key,
            format!("{template:?} dials a number of its own; a line's `prefix` goes in front"),
        ));
    }
    Ok(format!("{settings}{in_front}{behind}"))
}

fn check_characters(key: &'static str, command: &str) -> Result<(), Wrong> {
    let wrong = |what: &str| Err((key, format!("the command {command:?} {what}")));
    if commands::dials(command) {
        return wrong("dials, which only `dial` may: a number is dialled by an account's `phone`");
    }
    if command.is_empty() {
        wrong("is empty")
    } else if command.bytes().any(|byte| !byte.is_ascii_graphic() && byte != b' ') {
        wrong("holds more than printable ASCII")
    } else if command.contains(['{', '}']) {
        wrong(&format!("holds a place that is not known here; only options may hold {WAIT_PLACE}"))
    } else if command.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("AT")) {
        wrong("begins with AT, which is put there by itself")
    } else if command.len() > COMMAND_LENGTH_MAX {
        wrong(&format!("is longer than {COMMAND_LENGTH_MAX} characters"))
    } else {
        Ok(())
    }
}

fn from_toml(profile: &str, source: &Source, error: &toml::de::Error) -> ProfileError {
    let at = error.span().map_or(0, |span| span.start.min(source.text.len()));
    let line = source.text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let here = keys(&source.text).into_iter().find(|(number, _, _)| *number == line);
    let key = here.map(|(_, key, _)| key).unwrap_or_default();
    let message = PARSER_WORDS
        .iter()
        .fold(error.message().replace('\n', " "), |message, (theirs, ours)| message.replace(theirs, ours));
    ProfileError { file: source.file.clone(), profile: profile.to_owned(), line, key, message }
}

/// What the lines of a TOML text set: the line from 1, the key with its table's, and whether that is a
/// table's header. A text over several lines may look like keys too; no value of ours needs one.
fn keys(text: &str) -> Vec<(usize, String, bool)> {
    let mut table = String::new();
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            table = plain_key(header.trim_start_matches('['));
            keys.push((index + 1, table.clone(), true));
        } else if let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let key = plain_key(key);
            let key = if table.is_empty() { key } else { format!("{table}.{key}") };
            keys.push((index + 1, key, false));
        }
    }
    keys
}

/// A key as TOML may have it, ` "speaker" . off`, without blanks and quotes.
fn plain_key(key: &str) -> String {
    let parts = key.split('.').map(|part| part.trim().trim_matches(['"', '\'']));
    parts.collect::<Vec<_>>().join(".")
}

/// The line that sets a key, from 1: as `key = ..`, `key.part = ..`, `[key]`, or `part = ..` below that.
/// For a part of a table, else the line of the table.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let keys = keys(text);
    let sets = |wanted: &str| {
        let is_part = |set: &str| set.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'));
        let found = keys.iter().find(|(_, set, _)| set == wanted || is_part(set));
        found.map(|(line, _, _)| *line)
    };
    // A table on one line may be without this part, which then is another file's.
    let inline = || {
        let (table, part) = key.split_once('.')?;
        let (line, _, _) = keys.iter().find(|(_, set, is_header)| set == table && !is_header)?;
        text.lines().nth(line - 1).filter(|text| text.contains(part)).map(|_| *line)
    };
    sets(key).or_else(inline)
}

/// The parser's words, and those of a file.
const PARSER_WORDS: [(&str, &str); 6] = [
    ("unknown field", "unknown key"),
    ("unknown variant", "unknown value"),
    ("expected usize", "expected a whole number"),
    ("expected u64", "expected a whole number"),
    ("expected u32", "expected a whole number"),
    ("expected a boolean", "expected true or false"),
];
/// Digits that a dial command may have in front of the number.
const DIAL_DIGITS_MAX: usize = 3;
/// Characters of the shortest command line worth having: a long number must fit.
const LINE_MAX_LEAST: u64 = 20;
/// Characters of the longest command line.
const LINE_MAX_MOST: u64 = 255;
/// V.250 §5.2.1: every modem takes so many behind `AT`.
const LINE_MAX_DEFAULT: usize = 40;
/// Characters of one setting, over all the lines that it is shared out on.
const COMMAND_LENGTH_MAX: usize = 255;
const GUARD_MS_DEFAULT: u64 = 1_100;
/// Milliseconds for an answer: less than this no modem can keep.
const WAIT_MS_MIN: u64 = 100;
/// Milliseconds for an answer, as the rule for all commands.
const COMMAND_MS_MAX: u64 = WAIT_MS_MAX;
const COMMAND_MS_DEFAULT: u64 = 3_000;
const RESET_MS_DEFAULT: u64 = 5_000;
/// Milliseconds behind a reset.
const SETTLE_MS_MAX: u64 = 5_000;
const SETTLE_MS_DEFAULT: u64 = 500;
/// Commands in `init`, and in `options`.
const COMMANDS_MAX: u64 = 16;
/// Rates in `speeds`.
const SPEEDS_MAX: u64 = 10;
/// Bits a second on a port.
const SPEED_LEAST: u64 = 110;
const SPEED_MOST: u64 = 4_000_000;
/// Bits a second of the slowest way behind a modem.
const LINE_RATE_LEAST: u64 = 50;
/// Characters of the shortest word that tells one modem from another.
const IDENTITY_LEAST: usize = 3;
