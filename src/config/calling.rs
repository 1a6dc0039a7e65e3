//! Who calls whom: we call, or the host calls back, or the host calls by itself.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;

use super::account::AccountToml;
use super::{ConfigError, LineConfig, Place};
use crate::modem::Answering;
use crate::modem::answer::{ANSWER_RINGS_MAX, ANSWER_WAIT_LIMIT};

/// Who makes an account's call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Calling {
    /// We do.
    #[default]
    WeCall,
    /// We do, to ask the host to call back.
    HostCallsBack {
        /// How long it may take to do so.
        wait: Duration,
        /// The login name for the call that asks for it; `None` is the account's.
        user: Option<String>,
        /// At which ring its call is answered.
        rings: u8,
    },
    /// The host, or a service on its behalf.
    HostCalls {
        /// How long it is waited for.
        wait: Duration,
        /// At which ring its call is answered.
        rings: u8,
        /// The modem answers by itself.
        by_modem: bool,
    },
}

impl Calling {
    /// How the host's call is taken, where it makes one.
    pub fn answering(&self) -> Option<Answering> {
        match *self {
            Self::WeCall => None,
            Self::HostCallsBack { wait, rings, .. } => Some(Answering { wait, rings, by_modem: false }),
            Self::HostCalls { wait, rings, by_modem } => Some(Answering { wait, rings, by_modem }),
        }
    }
}

/// `dial_back`, as the file has it.
#[derive(Deserialize, Clone)]
#[serde(untagged, expecting = "true, or { wait = 180, user = \"name\", rings = 1 } with any of these keys")]
pub(super) enum DialBackToml {
    Is(bool),
    With(DialBackTable),
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct DialBackTable {
    wait: Option<u64>,
    user: Option<String>,
    rings: Option<u8>,
}

/// `answer`, as the file has it.
#[derive(Deserialize, Clone)]
#[serde(untagged, expecting = "true, or { wait = 600, rings = 1, by_modem = false } with any of these keys")]
pub(super) enum AnswerToml {
    Is(bool),
    With(AnswerTable),
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerTable {
    wait: Option<u64>,
    rings: Option<u8>,
    by_modem: Option<bool>,
}

impl DialBackToml {
    /// What it asks for; `None` for nothing.
    pub(super) fn check(&self) -> Result<Option<Calling>, String> {
        let (wait, user, rings) = match self {
            Self::Is(false) => return Ok(None),
            Self::Is(true) => (None, None, None),
            Self::With(table) => (table.wait, table.user.clone(), table.rings),
        };
        if user.as_ref().is_some_and(|user| user.is_empty() || super::has_control(user)) {
            return Err("`user` in `dial_back` is empty or has control characters in it".to_owned());
        }
        Ok(Some(Calling::HostCallsBack {
            wait: checked_wait("dial_back", wait.unwrap_or(DIAL_BACK_WAIT), DIAL_BACK_WAIT_MAX)?,
            user,
            rings: checked_rings("dial_back", rings)?,
        }))
    }
}

impl AnswerToml {
    /// What it asks for; `None` for nothing.
    pub(super) fn check(&self) -> Result<Option<Calling>, String> {
        let (wait, rings, by_modem) = match self {
            Self::Is(false) => return Ok(None),
            Self::Is(true) => (None, None, None),
            Self::With(table) => (table.wait, table.rings, table.by_modem),
        };
        Ok(Some(Calling::HostCalls {
            wait: checked_wait("answer", wait.unwrap_or(ANSWER_WAIT), ANSWER_WAIT_LIMIT.as_secs())?,
            rings: checked_rings("answer", rings)?,
            by_modem: by_modem.unwrap_or(false),
        }))
    }
}

/// Who calls whom. Only on a modem can the host call.
pub(super) fn check_calling(
    raw: &AccountToml,
    names: &[String],
    lines: &BTreeMap<String, LineConfig>,
    place: &Place<'_>,
) -> Result<Calling, ConfigError> {
    let refused = |span: Range<usize>| move |message: String| place.wrong(span, message);
    let back = match &raw.dial_back {
        Some(given) => {
            given.get_ref().check().map_err(refused(given.span()))?.zip(Some((given.span(), "dial_back")))
        }
        None => None,
    };
    let answer = match &raw.answer {
        Some(given) => {
            given.get_ref().check().map_err(refused(given.span()))?.zip(Some((given.span(), "answer")))
        }
        None => None,
    };
    if let (Some(_), Some((_, (span, _)))) = (&back, &answer) {
        return Err(place.wrong(
            span.clone(),
            "`answer` waits for a call that nobody asked for, `dial_back` asks for one: keep one of the two"
                .to_owned(),
        ));
    }
    if let (Some(phone), Some(_)) = (&raw.phone, &answer) {
        let message = "`answer` waits for the host's call and dials nothing: remove `phone`, or `answer`";
        return Err(place.wrong(phone.span(), message.to_owned()));
    }
    let Some((calling, (span, key))) = back.or(answer) else { return Ok(Calling::WeCall) };
    let connected = names.iter().find(|name| lines.get(*name).is_some_and(|line| line.modem.is_none()));
    if let Some(line) = connected {
        let message = format!("`{key}` needs a modem that the host can call, and line {line:?} has none");
        return Err(place.wrong(span, message));
    }
    Ok(calling)
}

fn checked_wait(key: &str, seconds: u64, max: u64) -> Result<Duration, String> {
    if (WAIT_MIN..=max).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(format!("`wait` in `{key}` is from {WAIT_MIN} to {max} seconds"))
    }
}

fn checked_rings(key: &str, rings: Option<u8>) -> Result<u8, String> {
    let rings = rings.unwrap_or(1);
    if (1..=ANSWER_RINGS_MAX).contains(&rings) {
        Ok(rings)
    } else {
        Err(format!("`rings` in `{key}` is from 1 to {ANSWER_RINGS_MAX}"))
    }
}

/// Seconds; less than two rings no caller could use.
const WAIT_MIN: u64 = 10;
/// Seconds until the host calls back: it hangs up, waits for its line, and dials.
const DIAL_BACK_WAIT: u64 = 180;
/// Seconds: whoever waits longer waits for something else.
const DIAL_BACK_WAIT_MAX: u64 = 3_600;
/// Seconds until the host calls by itself.
const ANSWER_WAIT: u64 = 600;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const GOOD: &str = "[line.usr]\nkind = \"serial\"\ndevice = \"/dev/ttyUSB0\"\n\
        [line.ssh]\nkind = \"exec\"\ncommand = [\"ssh\"]\n\
        [account.home]\nline = \"usr\"\nphone = \"1\"\n";

    fn calling(keys: &str) -> Calling {
        let config = Config::parse(&format!("{GOOD}{keys}"), Path::new("config.toml")).unwrap();
        config.account("home").unwrap().calling.clone()
    }

    fn refused(text: &str) -> String {
        Config::parse(text, Path::new("config.toml")).unwrap_err().to_string()
    }

    #[test]
    fn an_account_says_who_calls_whom() {
        let seconds = Duration::from_secs;
        assert_eq!(calling("dial_back = false\nanswer = false"), Calling::WeCall);
        let back = |wait, user: Option<&str>, rings| Calling::HostCallsBack {
            wait: seconds(wait),
            user: user.map(str::to_owned),
            rings,
        };
        assert_eq!(calling("dial_back = true"), back(180, None, 1));
        let table = "dial_back = { wait = 60, user = \"cbmary\", rings = 2 }";
        assert_eq!(calling(table), back(60, Some("cbmary"), 2));
        let answered = GOOD.replace("phone = \"1\"", "answer = { by_modem = true }");
        let config = Config::parse(&answered, Path::new("config.toml")).unwrap();
        let host_calls = Calling::HostCalls { wait: seconds(600), rings: 1, by_modem: true };
        assert_eq!(config.account("home").unwrap().calling, host_calls);
    }

    #[test]
    fn what_no_call_could_keep_to_is_refused_with_its_line() {
        for (keys, line, says) in [
            ("dial_back = { wait = 9 }", 10, "from 10 to 3600"),
            ("dial_back = { wait = 4000 }", 10, "from 10 to 3600"),
            ("dial_back = { rings = 0 }", 10, "from 1 to 20"),
            ("dial_back = { user = \"\" }", 10, "`user`"),
            ("dial_back = { waits = 60 }", 10, "true, or { wait"),
            ("dial_back = \"yes\"", 10, "true, or { wait"),
            ("answer = { wait = 90000 }", 10, "from 10 to 86400"),
            ("answer = true", 9, "remove `phone`"),
            ("dial_back = true\nanswer = true", 11, "one of the two"),
        ] {
            let message = refused(&format!("{GOOD}{keys}"));
            assert!(message.starts_with(&format!("config.toml:{line}: ")), "{message}");
            assert!(message.contains(says), "{message}");
        }
        let message = refused(&format!("{GOOD}[account.work]\nline = \"ssh\"\nanswer = true"));
        assert!(message.starts_with("config.toml:12: ") && message.contains("needs a modem"), "{message}");
    }
}
