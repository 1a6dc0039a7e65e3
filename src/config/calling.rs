//! Who calls whom: we call, or the host calls back, or the host calls by itself.

use std::time::Duration;

use serde::Deserialize;

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
