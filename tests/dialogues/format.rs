//! Recorded dialogues as their files have them: headers, what goes either way, and how it ends.
//!
//! `hardware/dialogues/README.md` describes the format for whoever writes a file.

use std::path::Path;
use std::time::Duration;

use mailcall::machine::Control;
use mailcall::modem::{Answering, FlowChoice, Profile, SetUp, SpeakerChoice};

/// One file.
#[derive(Debug)]
pub struct Dialogue {
    /// The file's name.
    pub name: String,
    /// Where the dialogue comes from.
    pub source: String,
    /// The maker in whose form CONNECT stands in it.
    pub form: Option<String>,
    /// What it shows.
    pub shows: Vec<String>,
    /// How the modem is spoken to.
    pub profile: Profile,
    /// How it is set up.
    pub set_up: SetUp,
    /// What it is wanted for.
    pub task: Task,
    /// What goes either way, in its order.
    pub steps: Vec<Step>,
    /// How it ends.
    pub expected: Expected,
}

/// What the modem is wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Dial this number, and wait so long.
    Dial(String, Duration),
    /// Wait so long for a call, and answer it at this ring; by itself if `by-modem`.
    Answer(Answering),
    /// Hang up whatever is up.
    HangUp,
    /// Ask these questions.
    Ask(Vec<String>),
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its line in the file, from 1.
    pub line: usize,
    /// How long before it nothing happens. What we send may come later, but not sooner.
    pub after: Duration,
    /// What happens.
    pub what: What,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// We send this.
    Sent(Vec<u8>),
    /// We send the commands of the setup that have not been sent yet, and the modem says this to each.
    Setup(Vec<u8>),
    /// The modem says this.
    Said(Vec<u8>),
    /// We do this to the port.
    Port(Control),
    /// From now on this comes again and again.
    Floods(Vec<u8>),
    /// That has stopped.
    FloodEnds,
    /// The port is gone.
    PortGone,
}

/// How it ends.
#[derive(Debug, Default)]
pub struct Expected {
    /// The outcome, as `expect:` has it.
    pub outcome: String,
    /// Notes that the user reads: all of them, each by a part of it.
    pub notes: Vec<String>,
    /// Events that must come, in this order.
    pub events: Vec<String>,
    /// Bytes left for whoever speaks next.
    pub left: Vec<u8>,
    /// Lines that stand in the modem's answers.
    pub said: Vec<String>,
    /// How many lines its answers have in all.
    pub lines: Option<usize>,
    /// Questions that were not answered with OK.
    pub refused: Vec<String>,
}

impl Dialogue {
    /// Reads one file. What is wrong with it is said with its line.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        Self::parse(&name, &text)
    }

    /// Reads a file's text.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut reading = Reading { name, ..Reading::default() };
        for (index, line) in text.lines().enumerate() {
            reading.line = index + 1;
            reading.read(line).map_err(|wrong| format!("{name}:{}: {wrong}", index + 1))?;
        }
        reading.finish().map_err(|wrong| format!("{name}: {wrong}"))
    }
}

/// A file that is being read.
#[derive(Default)]
struct Reading<'a> {
    name: &'a str,
    line: usize,
    modem: bool,
    source: String,
    form: Option<String>,
    shows: Vec<String>,
    profile: String,
    with: Vec<String>,
    set_up: SetUp,
    task: Option<Task>,
    wait: Option<Duration>,
    steps: Vec<Step>,
    after: Duration,
    /// The time of the last line of a transcript.
    stamped: Option<Duration>,
    expected: Expected,
}

impl Reading<'_> {
    fn read(&mut self, line: &str) -> Result<(), String> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some((at, rest)) = stamp(line) {
            return self.transcript(at, rest);
        }
        let (mark, rest) = line.split_at(1);
        let text = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            ">" | "<" if rest.starts_with('|') => {
                let bytes = unescape(rest[1..].strip_prefix(' ').unwrap_or(&rest[1..]))?;
                self.step(if mark == ">" { What::Sent(bytes) } else { What::Said(bytes) });
            }
            ">" if text == "(setup)" => self.step(What::Setup(Vec::new())),
            ">" => self.step(What::Sent(format!("{text}\r").into_bytes())),
            "<" => self.step(What::Said(format!("\r\n{text}\r\n").into_bytes())),
            "~" => self.after += duration(text)?,
            "!" => {
                let what = port(text)?;
                self.step(what);
            }
            "*" if text.is_empty() => self.step(What::FloodEnds),
            "*" => {
                let bytes = unescape(text)?;
                self.step(What::Floods(bytes));
            }
            _ => {
                let (key, value) = line.split_once(':').ok_or("neither a step nor `key: value`")?;
                self.header(key, value.trim())?;
            }
        }
        Ok(())
    }

    fn step(&mut self, what: What) {
        let after = std::mem::take(&mut self.after);
        if let (What::Said(bytes), Some(Step { what: What::Setup(answer), .. })) =
            (&what, self.steps.last_mut())
            && answer.is_empty()
        {
            answer.clone_from(bytes);
            return;
        }
        self.steps.push(Step { line: self.line, after, what });
    }

    /// A line as `mailcall -v` prints it: seconds, the direction, bytes with escapes.
    fn transcript(&mut self, at: Duration, rest: &str) -> Result<(), String> {
        let since = at.saturating_sub(self.stamped.unwrap_or(at));
        match (rest.get(..1), rest.get(2..).unwrap_or_default()) {
            (Some(">"), text) => self.step(What::Sent(unescape(text)?)),
            (Some("<"), text) => {
                self.after += since;
                self.step(What::Said(unescape(text)?));
            }
            (Some("-"), _) => return Ok(()), // a remark
            _ => return Err("no direction".to_owned()),
        }
        self.stamped = Some(at);
        Ok(())
    }

    fn header(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u32>().map_err(|error| format!("{key}: {error}"));
        let choices = &mut self.set_up.choices;
        match key {
            "modem" => self.modem = !value.is_empty(),
            "source" => self.source = value.to_owned(),
            "form" => self.form = Some(value.to_owned()),
            "shows" => self.shows.extend(value.split(',').map(|word| word.trim().to_owned())),
            "profile" => self.profile = value.to_owned(),
            "with" => self.with.push(value.to_owned()),
            "dial" => self.task = Some(Task::Dial(value.to_owned(), Duration::from_secs(60))),
            "hang-up" => self.task = Some(Task::HangUp),
            "answer" => {
                let (rings, by_modem) = match value.strip_suffix("by-modem") {
                    Some(rings) => (rings.trim(), true),
                    None => (value, false),
                };
                let rings = rings.parse().map_err(|_| format!("{value:?}: at which ring?"))?;
                let wait = Duration::from_secs(60);
                self.task = Some(Task::Answer(Answering { wait, rings, by_modem }));
            }
            "ask" => {
                self.task = Some(Task::Ask(value.split_whitespace().map(str::to_owned).collect()));
            }
            "wait" => self.wait = Some(duration(value)?),
            "port" => self.set_up.speed = Some(number()?),
            "speeds" => self.set_up.tries_speeds = yes(value)?,
            "dtr" => self.set_up.has_dtr = yes(value)?,
            "flow" => choices.flow = flow(value)?,
            "speaker" => choices.speaker = Some(speaker(value)?),
            "error-correction" => choices.error_correction = Some(yes(value)?),
            "compression" => choices.compression = Some(yes(value)?),
            "init" => choices.init.push(value.to_owned()),
            "expect" => {
                self.expected.outcome = value.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            "note" => self.expected.notes.push(value.to_owned()),
            "event" => self.expected.events.push(value.to_owned()),
            "left" => self.expected.left = unescape(value)?,
            "said" => self.expected.said.push(value.to_owned()),
            "lines" => self.expected.lines = Some(number()? as usize),
            "refused" => self.expected.refused.push(value.to_owned()),
            _ => return Err(format!("unknown key `{key}`")),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Dialogue, String> {
        let missing = |key: &str| Err(format!("no `{key}:`"));
        if !self.modem {
            return missing("modem");
        }
        if !self.source.starts_with("recorded ") && !self.source.starts_with("written ") {
            return Err("`source:` begins with `recorded` or `written`".to_owned());
        }
        if self.expected.outcome.is_empty() {
            return missing("expect");
        }
        let mut task = match self.task.take() {
            Some(task) => task,
            None => return missing("dial, answer, hang-up or ask"),
        };
        if let (Task::Dial(_, wait) | Task::Answer(Answering { wait, .. }), Some(asked)) =
            (&mut task, self.wait)
        {
            *wait = asked;
        }
        if let Some(step) = self.steps.iter().find(|step| step.what == What::Setup(Vec::new())) {
            return Err(format!("line {}: (setup) without the answer to it", step.line));
        }
        Ok(Dialogue {
            name: self.name.to_owned(),
            profile: self.read_profile()?,
            source: self.source,
            form: self.form,
            shows: self.shows,
            set_up: self.set_up,
            task,
            steps: self.steps,
            expected: self.expected,
        })
    }

    fn read_profile(&self) -> Result<Profile, String> {
        let name = if self.profile.is_empty() { "generic" } else { &self.profile };
        if self.with.is_empty() {
            return Profile::builtin(name).ok_or_else(|| format!("no profile `{name}`"));
        }
        let text = format!("inherits = \"{name}\"\n{}\n", self.with.join("\n"));
        Profile::parse(&format!("{name}, changed"), &text).map_err(|error| error.to_string())
    }
}

/// `   4.594 > ATH0\r`: the time, and what stands behind it.
fn stamp(line: &str) -> Option<(Duration, &str)> {
    let line = line.trim_start();
    let (at, rest) = line.split_once(' ')?;
    let seconds = at.contains('.').then(|| at.parse::<f64>().ok())??;
    (rest.starts_with(['>', '<', '-'])).then_some((Duration::try_from_secs_f64(seconds).ok()?, rest))
}

fn port(text: &str) -> Result<What, String> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["dtr", "low"] => Ok(What::Port(Control::Dtr(false))),
        ["dtr", "high"] => Ok(What::Port(Control::Dtr(true))),
        ["speed", rate] => match rate.parse() {
            Ok(rate) => Ok(What::Port(Control::Speed(rate))),
            Err(error) => Err(format!("speed: {error}")),
        },
        ["port", "gone"] => Ok(What::PortGone),
        _ => Err(format!("`{text}` is nothing that is done to a port")),
    }
}

/// `90s`, `1.5s`, `200ms`
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').ok_or("a time is `3s` or `200ms`")?, 1.0),
    };
    let number: f64 = number.trim().parse().map_err(|error| format!("{text}: {error}"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| format!("{text}: {error}"))
}

fn yes(value: &str) -> Result<bool, String> {
    match value {
        "yes" | "on" => Ok(true),
        "no" | "off" => Ok(false),
        _ => Err(format!("`{value}` is neither yes nor no")),
    }
}

fn flow(value: &str) -> Result<FlowChoice, String> {
    match value {
        "rtscts" => Ok(FlowChoice::RtsCts),
        "xonxoff" => Ok(FlowChoice::XonXoff),
        "none" => Ok(FlowChoice::None),
        _ => Err(format!("`{value}` is no flow control")),
    }
}

fn speaker(value: &str) -> Result<SpeakerChoice, String> {
    match value {
        "off" => Ok(SpeakerChoice::Off),
        "dialling" => Ok(SpeakerChoice::Dialling),
        "on" => Ok(SpeakerChoice::On),
        _ => Err(format!("`{value}` is no choice for a loudspeaker")),
    }
}

/// Escapes as a transcript has them: `\r`, `\n`, `\t`, `\0`, `\\`, `\x1b`.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some(quoted @ ('\\' | '\'' | '"')) => bytes.push(quoted as u8),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).map_err(|error| format!("\\x{digits}: {error}"))?);
            }
            other => return Err(format!("`\\{}` is no escape", other.unwrap_or(' '))),
        }
    }
    Ok(bytes)
}
