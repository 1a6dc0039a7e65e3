//! Where the lines are, how they dial, and how patiently: `[location]`, a line's `prefix` and `pulse`,
//! an account's `redial`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, Place};
use crate::modem::number::check_prefix;
use crate::modem::{DialRules, Location, Profile};

/// How patiently an account is redialled within one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redial {
    /// Dials of a run, at most.
    pub dials: u32,
    /// Calls that connected and were lost, at most.
    pub connects: u32,
    /// The wait after BUSY.
    pub busy_wait: Duration,
    /// The wait after NO ANSWER and the like.
    pub wait: Duration,
}

impl Redial {
    /// The shortest time between two dials.
    pub const WAIT_MIN: Duration = Duration::from_secs(5);
}

impl Default for Redial {
    fn default() -> Self {
        Self { dials: 12, connects: 3, busy_wait: Duration::from_secs(180), wait: Duration::from_secs(300) }
    }
}

/// `[location]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [location]")]
pub(super) struct LocationToml {
    country: Spanned<String>,
    area: Option<Spanned<String>>,
    outside_line: Option<Spanned<String>>,
    call_waiting: Option<Spanned<String>>,
    long_distance: Option<Spanned<String>>,
    international: Option<Spanned<String>>,
    #[serde(default)]
    area_always: bool,
    #[serde(default)]
    long_distance_always: bool,
}

/// `redial = true`, or a table.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected true, false or a table: { dials = 12, busy_wait = 180 }")]
pub(super) enum RedialToml {
    Switch(bool),
    Table(RedialTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RedialTable {
    dials: Option<u64>,
    connects: Option<u64>,
    busy_wait: Option<u64>,
    wait: Option<u64>,
}

/// A line's own keys.
pub(super) struct LineRules<'a> {
    pub(super) prefix: Option<&'a Spanned<String>>,
    pub(super) pulse: Option<&'a Spanned<bool>>,
    pub(super) location: Option<&'a Spanned<bool>>,
}

pub(super) fn check_location(
    raw: &Spanned<LocationToml>,
    place: &Place<'_>,
) -> Result<Location, ConfigError> {
    let given = raw.get_ref();
    let usual = Location::in_country(given.country.get_ref());
    let or = |given: &Option<Spanned<String>>, usual: String| {
        given.as_ref().map_or(usual, |given| given.get_ref().clone())
    };
    let location = Location {
        area: or(&given.area, usual.area),
        outside_line: or(&given.outside_line, usual.outside_line),
        call_waiting: or(&given.call_waiting, usual.call_waiting),
        long_distance: or(&given.long_distance, usual.long_distance),
        international: or(&given.international, usual.international),
        country: usual.country,
        area_always: given.area_always,
        long_distance_always: given.long_distance_always,
    };
    let wrong = |(key, message): (&str, String)| {
        let value = match key {
            "country" => Some(&given.country),
            "area" => given.area.as_ref(),
            "outside_line" => given.outside_line.as_ref(),
            "call_waiting" => given.call_waiting.as_ref(),
            "long_distance" => given.long_distance.as_ref(),
            "international" => given.international.as_ref(),
            _ => None, // no other key is checked
        };
        let span = value.map_or_else(|| raw.span(), Spanned::span);
        place.wrong(span, format!("[location] {key}: {message}"))
    };
    location.check().map_err(wrong)?;
    for (key, prefix) in [("outside_line", &location.outside_line), ("call_waiting", &location.call_waiting)]
    {
        check_prefix(prefix).map_err(|_| wrong((key, what_a_prefix_is(prefix))))?;
    }
    Ok(location)
}

pub(super) fn check_rules(
    line: &LineRules<'_>,
    modem: Option<&Profile>,
    location: Option<&Location>,
    place: &Place<'_>,
) -> Result<DialRules, ConfigError> {
    let spans =
        [line.prefix.map(Spanned::span), line.pulse.map(Spanned::span), line.location.map(Spanned::span)];
    if let (None, Some(span)) = (modem, spans.into_iter().flatten().next()) {
        let message = "`prefix`, `pulse` and `location` belong to a line with a modem that dials";
        return Err(place.wrong(span, message.to_owned()));
    }
    if let Some(prefix) = line.prefix {
        check_prefix(prefix.get_ref())
            .map_err(|_| place.wrong(prefix.span(), what_a_prefix_is(prefix.get_ref())))?;
    }
    let usual = modem.is_none_or(|profile| profile.location);
    let here = line.location.map_or(usual, |location| *location.get_ref());
    Ok(DialRules {
        location: location.filter(|_| here).cloned(),
        prefix: line.prefix.map(|prefix| prefix.get_ref().clone()).unwrap_or_default(),
        pulse: line.pulse.is_some_and(|pulse| *pulse.get_ref()),
    })
}

pub(super) fn check_redial(
    raw: &Spanned<RedialToml>,
    place: &Place<'_>,
) -> Result<Option<Redial>, ConfigError> {
    let table = match raw.get_ref() {
        RedialToml::Switch(on) => return Ok(on.then(Redial::default)),
        RedialToml::Table(table) => table,
    };
    let usual = Redial::default();
    let within = |key: &str, given: Option<u64>, usual: u64, allowed: RangeInclusive<u64>| match given {
        Some(value) if !allowed.contains(&value) => {
            let (least, most) = allowed.into_inner();
            let message = format!("redial: {key} = {value} is not between {least} and {most}");
            Err(place.wrong(raw.span(), message))
        }
        given => Ok(given.unwrap_or(usual)),
    };
    let seconds = |key, given, usual: Duration| {
        let allowed = Redial::WAIT_MIN.as_secs()..=WAIT_MAX;
        within(key, given, usual.as_secs(), allowed).map(Duration::from_secs)
    };
    let count = |key, given, usual: u32, most| {
        let allowed = 1..=u64::from(most);
        within(key, given, usual.into(), allowed).map(|count| u32::try_from(count).unwrap_or(most))
    };
    Ok(Some(Redial {
        dials: count("dials", table.dials, usual.dials, DIALS_MAX)?,
        connects: count("connects", table.connects, usual.connects, CONNECTS_MAX)?,
        busy_wait: seconds("busy_wait", table.busy_wait, usual.busy_wait)?,
        wait: seconds("wait", table.wait, usual.wait)?,
    }))
}

fn what_a_prefix_is(prefix: &str) -> String {
    format!("{prefix:?} cannot be dialled; a prefix is made of digits, * and #, and pauses (,): \"0,\"")
}

/// Dials of one run: more would meet the rest that a number gets.
const DIALS_MAX: u32 = 12;
/// Calls of one run that connect.
const CONNECTS_MAX: u32 = 100;
/// Seconds: who waits longer wants cron.
const WAIT_MAX: u64 = 86_400;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    const LINE: &str = "[line.usr]\nkind = \"serial\"\ndevice = \"/dev/x\"\n";
    const ACCOUNT: &str = "[account.home]\nline = \"usr\"\nphone = \"+49 30 12345\"\n";

    fn parsed(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("config.toml")).map_err(|error| error.to_string())
    }

    fn redial(text: &str) -> Result<Option<Redial>, String> {
        let text = format!("{LINE}{ACCOUNT}{text}\n");
        parsed(&text).map(|config| config.accounts["home"].redial)
    }

    #[test]
    fn a_line_dials_as_its_place_and_its_own_keys_say() {
        let place = "[location]\ncountry = \"49\"\narea = \"30\"\noutside_line = \"0,\"\n";
        let config = parsed(&format!("{place}{LINE}prefix = \"*70,\"\n{ACCOUNT}")).unwrap();
        let rules = &config.lines["usr"].rules;
        let location = rules.location.as_ref().unwrap();
        assert_eq!((location.long_distance.as_str(), location.international.as_str()), ("0", "00"));
        assert_eq!((rules.prefix.as_str(), rules.pulse), ("*70,", false));
        let config = parsed(&format!("{place}{LINE}location = false\npulse = true\n{ACCOUNT}")).unwrap();
        assert_eq!(config.lines["usr"].rules.location, None, "this line's network is another");
        assert!(config.lines["usr"].rules.pulse);
        assert_eq!(config.location.unwrap().country, "49");
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_with_its_line() {
        for (text, line, says) in [
            (format!("[location]\ncountry = \"+49\"\n{LINE}{ACCOUNT}"), 2, "country code"),
            (format!("[location]\ncountry = \"49\"\narea = \"030\"\n{LINE}{ACCOUNT}"), 3, "without the 0"),
            (format!("location = \"49\"\n{LINE}{ACCOUNT}"), 1, "expected a table"),
            (
                format!("[location]\ncountry = \"1\"\noutside_line = \"9;\"\n{LINE}{ACCOUNT}"),
                3,
                "outside_line",
            ),
            (format!("[location]\ncuontry = \"1\"\n{LINE}{ACCOUNT}"), 2, "cuontry"),
            (format!("[location]\narea = \"1\"\n{LINE}{ACCOUNT}"), 1, "country"),
            (format!("{LINE}prefix = \"L\"\n{ACCOUNT}"), 4, "cannot be dialled"),
            (format!("{LINE}modem = \"none\"\npulse = true\n"), 5, "a modem that dials"),
            (format!("{LINE}pulse = true\nprefix = \"*70\"\n{ACCOUNT}"), 8, "has no pulses"),
            (format!("{LINE}{ACCOUNT}").replace("+49 30", "1-800-MAIL"), 6, "6245"),
        ] {
            let message = parsed(&text).unwrap_err();
            assert!(message.starts_with(&format!("config.toml:{line}: ")), "{message}\n{text}");
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn redial_is_off_on_or_a_table_within_bounds() {
        let usual = Redial::default();
        assert_eq!(redial(""), Ok(None));
        assert_eq!(redial("redial = false"), Ok(None));
        assert_eq!(redial("redial = true"), Ok(Some(usual)));
        let given = Redial { busy_wait: Duration::from_secs(5), connects: 100, ..usual };
        assert_eq!(redial("redial = { busy_wait = 5, connects = 100 }"), Ok(Some(given)));
        for (bad, says) in [
            ("{ busy_wait = 4 }", "busy_wait = 4 is not between 5 and 86400"),
            ("{ wait = 100000 }", "wait"),
            ("{ dials = 0 }", "dials = 0"),
            ("{ dials = 13 }", "between 1 and 12"),
            ("{ tries = 3 }", "expected true, false or a table"),
            ("\"yes\"", "expected true, false or a table"),
        ] {
            let message = redial(&format!("redial = {bad}")).unwrap_err();
            assert!(message.starts_with("config.toml:7: ") && message.contains(says), "{message}");
        }
    }
}
