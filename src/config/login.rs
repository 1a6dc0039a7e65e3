//! `login`: a script in place of the automatic login, as a list of steps or as a chat string.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use toml::Spanned;
use zeroize::Zeroizing;

use super::account::OneOrMore;
use super::{ConfigError, Place};
use crate::login::script::{
    Action, BREAK_LENGTH, BREAK_LIMIT, Expect, Keys, PAUSE_LIMIT, Pattern, Script, Step, Stroke, Try,
    WAIT_DEFAULT, WAIT_LIMIT, chat,
};
use crate::secret::Secret;

/// `login`, as the file has it. Without `Debug`: there may be a password in it.
pub(super) enum LoginToml {
    Chat(Zeroizing<String>),
    Steps(Vec<Spanned<StepToml>>),
}

impl<'de> Deserialize<'de> for LoginToml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LoginVisitor)
    }
}

struct LoginVisitor;

impl<'de> Visitor<'de> for LoginVisitor {
    type Value = LoginToml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a list of steps, [{ expect = \"ogin:\", send = \"{user}\" }, ..], or a chat string, \
             'ogin:--ogin: \\L ssword: \\P'",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<LoginToml, E> {
        Ok(LoginToml::Chat(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<LoginToml, E> {
        Ok(LoginToml::Chat(Zeroizing::new(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LoginToml, A::Error> {
        let mut steps = Vec::new();
        while let Some(step) = list.next_element()? {
            steps.push(step);
        }
        Ok(LoginToml::Steps(steps))
    }
}

/// A step, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a step: { expect = \"ogin:\", send = \"{user}\" }")]
pub(super) struct StepToml {
    expect: Option<String>,
    regex: Option<String>,
    timeout: Option<f64>,
    #[serde(rename = "else")]
    otherwise: Option<Texts>,
    optional: Option<bool>,
    abort: Option<OneOrMore>,
    #[serde(rename = "break")]
    spacing: Option<BreakToml>,
    pause: Option<f64>,
    send: Option<Texts>,
    carriage: Option<bool>,
    secret: Option<bool>,
    automatic: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected true or { ms = 300 }")]
enum BreakToml {
    Is(bool),
    Long(BreakTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakTable {
    ms: u64,
}

/// What is typed: a text or several. Written by hand, because a derived error quotes what stands there, and
/// that may be a password or a PIN.
struct Texts(Vec<Secret>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let refused = || D::Error::custom("expected a text in quotes to type");
        let text = |value: toml::Value| match value {
            toml::Value::String(text) => Ok(Secret::new(text)),
            _other => Err(refused()),
        };
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Array(list) => list.into_iter().map(text).collect::<Result<_, _>>().map(Self),
            one => text(one).map(|one| Self(vec![one])),
        }
    }
}

/// Checks a script; `user` says whether the account has one.
pub(super) fn check_login(
    login: &Spanned<LoginToml>,
    user: bool,
    place: &Place<'_>,
) -> Result<Script, ConfigError> {
    let wrong = |message: String| place.wrong(login.span(), message);
    let script = match login.get_ref() {
        LoginToml::Chat(text) => chat::parse(text).map_err(|problem| wrong(format!("`login`: {problem}")))?,
        LoginToml::Steps(steps) => {
            let steps = read_steps(steps, place)?;
            Script::new(steps).map_err(|problem| wrong(format!("`login`: {problem}")))?
        }
    };
    if script.types_user() && !user {
        return Err(wrong("`login` types the user's name: add user = \"..\" to the account".to_owned()));
    }
    if place.read_by_others && script.secrets().next().is_some() {
        let message = format!(
            "`login` has a password in it, and others can read this file: run chmod 600 {}, or type the \
             account's `password` instead, which is {{password}} in a step and \\P in a chat string",
            place.path.display()
        );
        return Err(wrong(message));
    }
    Ok(script)
}

fn read_steps(steps: &[Spanned<StepToml>], place: &Place<'_>) -> Result<Vec<Step>, ConfigError> {
    let (mut actions, mut wait) = (Vec::new(), WAIT_DEFAULT);
    for (index, step) in steps.iter().enumerate() {
        let number = index + 1;
        let read = read_step(step.get_ref(), &mut wait)
            .map_err(|message| place.wrong(step.span(), format!("step {number} of `login`: {message}")))?;
        actions.extend(read.into_iter().map(|action| Step { number, action }));
    }
    Ok(actions)
}

/// A step is a wait, keys, or both; or it is for the steps behind it.
fn read_step(step: &StepToml, wait_default: &mut Duration) -> Result<Vec<Action>, String> {
    let waits = step.expect.is_some() || step.regex.is_some();
    let keys = read_keys(step)?;
    let aborts = read_aborts(step)?;
    let timeout = step.timeout.map(|seconds| read_seconds("timeout", seconds, WAIT_LIMIT)).transpose()?;
    let is_alone = !waits && keys.is_none() && step.otherwise.is_none() && step.optional.is_none();
    if let Some(automatic) = step.automatic {
        let stands_alone = is_alone && aborts.is_empty() && timeout.is_none();
        return match (automatic, stands_alone) {
            (true, true) => Ok(vec![Action::Automatic]),
            (true, false) => Err("`automatic` stands alone, as the last step".to_owned()),
            (false, _) => Err("`automatic` is true, or left out".to_owned()),
        };
    }
    if is_alone {
        if aborts.is_empty() && timeout.is_none() {
            return Err("there is nothing in it to do: add `expect` or `send`".to_owned());
        }
        *wait_default = timeout.unwrap_or(*wait_default);
        return Ok(if aborts.is_empty() { Vec::new() } else { vec![Action::Abort(aborts)] });
    }
    let mut actions = Vec::new();
    if waits {
        actions.push(Action::Expect(read_expect(step, timeout.unwrap_or(*wait_default), aborts)?));
    } else if timeout.is_some() || step.otherwise.is_some() || step.optional.is_some() || !aborts.is_empty() {
        return Err("`timeout`, `else`, `optional` and `abort` belong to an `expect` or a `regex`".to_owned());
    }
    actions.extend(keys.map(Action::Send));
    Ok(actions)
}

fn read_expect(step: &StepToml, wait: Duration, aborts: Vec<Pattern>) -> Result<Expect, String> {
    let pattern = match (&step.expect, &step.regex) {
        (Some(text), None) => Pattern::text(text.as_bytes()).map_err(|error| format!("`expect`: {error}"))?,
        (None, Some(text)) => Pattern::regex(text).map_err(|error| format!("`regex`: {error}"))?,
        (Some(_), Some(_)) | (None, None) => {
            return Err("it has `expect` and `regex`; one is enough".to_owned());
        }
    };
    let mut tries = vec![Try { first: Keys::default(), pattern: Some(pattern.clone()), wait }];
    for text in step.otherwise.iter().flat_map(|texts| &texts.0) {
        if tries.len() > ELSE_MAX {
            return Err(format!("`else` has more than {ELSE_MAX} texts"));
        }
        let first = Keys { strokes: read_text(step, "else", text)?, hidden: step.secret == Some(true) };
        tries.push(Try { first, pattern: Some(pattern.clone()), wait });
    }
    Ok(Expect { tries, aborts, optional: step.optional == Some(true) })
}

fn read_keys(step: &StepToml) -> Result<Option<Keys>, String> {
    let mut strokes = Vec::new();
    let spacing = match &step.spacing {
        None | Some(BreakToml::Is(false)) => None,
        Some(BreakToml::Is(true)) => Some(BREAK_LENGTH),
        Some(BreakToml::Long(BreakTable { ms })) => Some(Duration::from_millis(*ms)),
    };
    if let Some(length) = spacing {
        if length.is_zero() || length > BREAK_LIMIT {
            return Err(format!("`break` has 1 to {} ms", BREAK_LIMIT.as_millis()));
        }
        strokes.push(Stroke::Break(length));
    }
    if let Some(seconds) = step.pause {
        strokes.push(Stroke::Pause(read_seconds("pause", seconds, PAUSE_LIMIT)?));
    }
    match step.send.as_ref().map(|texts| texts.0.as_slice()) {
        None if step.carriage.is_some() && step.otherwise.is_none() => {
            return Err("`carriage` belongs to a `send` or an `else`".to_owned());
        }
        None if step.secret.is_some() && step.otherwise.is_none() => {
            return Err("`secret` belongs to a `send` or an `else`".to_owned());
        }
        None => {}
        Some([text]) => strokes.extend(read_text(step, "send", text)?),
        Some(_) => return Err("`send` is one text; make a step of each".to_owned()),
    }
    let hidden = step.secret == Some(true);
    Ok(if strokes.is_empty() { None } else { Some(Keys { strokes, hidden }) })
}

/// A text with `{user}` and the like in it, and RETURN behind it unless it ends a line by itself.
fn read_text(step: &StepToml, key: &str, text: &Secret) -> Result<Vec<Stroke>, String> {
    let (mut strokes, mut rest) = (Vec::new(), text.expose());
    let mut plain = Zeroizing::new(String::new());
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            plain.push_str(&rest[..1]);
            rest = &rest[2..];
            continue;
        }
        let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let stroke = match name {
            Some(("user", _)) => Stroke::User,
            Some(("password", _)) => Stroke::Password,
            Some(("otp", _)) => {
                return Err(format!(
                    "`{key}`: a script types no one-time code; leave that to the automatic login, with \
                     {{ automatic = true }} as the last step"
                ));
            }
            // What stands there may be part of a password.
            Some(_) | None => {
                return Err(format!(
                    "`{key}` has a brace that is neither {{user}} nor {{password}}; for a brace itself \
                     write {{{{ or }}}}"
                ));
            }
        };
        end_text(&mut strokes, &mut plain);
        strokes.push(stroke);
        rest = name.map_or("", |(_, behind)| behind);
    }
    plain.push_str(rest);
    let ends_line = text.expose().ends_with(['\r', '\n']);
    end_text(&mut strokes, &mut plain);
    if !ends_line && step.carriage != Some(false) {
        strokes.push(Stroke::Byte(b'\r'));
    }
    Ok(strokes)
}

fn end_text(strokes: &mut Vec<Stroke>, plain: &mut Zeroizing<String>) {
    if !plain.is_empty() {
        strokes.push(Stroke::Text(Secret::new(std::mem::take(&mut **plain))));
    }
}

fn read_aborts(step: &StepToml) -> Result<Vec<Pattern>, String> {
    let texts = step.abort.as_ref().map(OneOrMore::list).unwrap_or_default();
    texts
        .iter()
        .map(|text| Pattern::text(text.as_bytes()).map_err(|error| format!("`abort`: {error}")))
        .collect()
}

fn read_seconds(key: &str, seconds: f64, most: Duration) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|length| !length.is_zero() && *length <= most)
        .ok_or_else(|| format!("`{key}` is a number of seconds above 0, and at most {}", most.as_secs()))
}

/// Texts that are typed in turn while nothing comes.
const ELSE_MAX: usize = 20;

#[cfg(test)]
mod tests;
