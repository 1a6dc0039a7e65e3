//! `[line.NAME]`: the pipe, the modem on it, and how that is used.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, LineConfig, ModemFolders, ModemUse, Place};
use super::{dialling, expand_home};
use crate::line::Parity;
use crate::modem::commands::dials;
use crate::modem::dial::DIAL_WAIT_LIMIT;
use crate::modem::profile::Switch;
use crate::modem::{Choices, FlowChoice, Location, Profile, SpeakerChoice};

mod kind;
pub use kind::{
    ExecCommand, LineKind, PortConfig, Remote, RemotePort, SPEED_DEFAULT, SerialPort, TelnetHost, Window,
};
use kind::{WindowToml, check_kind};

/// A line, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineToml {
    kind: Spanned<String>,
    device: Option<Spanned<String>>,
    speed: Option<Spanned<u32>>,
    flow: Option<Spanned<FlowChoice>>,
    data_bits: Option<Spanned<u8>>,
    parity: Option<Spanned<Parity>>,
    stop_bits: Option<Spanned<u8>>,
    strip: Option<Spanned<bool>>,
    modem: Option<Spanned<String>>,
    speaker: Option<Spanned<SpeakerChoice>>,
    error_correction: Option<Spanned<bool>>,
    compression: Option<Spanned<bool>>,
    init: Option<Spanned<Vec<String>>>,
    find_speed: Option<Spanned<bool>>,
    dial_wait: Option<Spanned<u64>>,
    lock_dir: Option<Spanned<String>>,
    command: Option<Spanned<Vec<String>>>,
    term: Option<Spanned<String>>,
    window: Option<Spanned<WindowToml>>,
    env: Option<Spanned<BTreeMap<String, String>>>,
    clean_env: Option<Spanned<bool>>,
    folder: Option<Spanned<String>>,
    address: Option<Spanned<String>>,
    connect_wait: Option<Spanned<u64>>,
    binary: Option<Spanned<bool>>,
    prefix: Option<Spanned<String>>,
    pulse: Option<Spanned<bool>>,
    location: Option<Spanned<bool>>,
}

pub(super) fn check_line(
    line: &Spanned<LineToml>,
    modems: &ModemFolders,
    location: Option<&Location>,
    place: &Place<'_>,
) -> Result<LineConfig, ConfigError> {
    let raw = line.get_ref();
    let kind = check_kind(raw, place)?;
    let modem = check_modem(raw, &kind, modems, place)?;
    let modem_use = check_modem_use(raw, modem.as_ref(), place)?;
    if let Some(empty) = raw.lock_dir.as_ref().filter(|dir| dir.get_ref().is_empty()) {
        return Err(
            place.wrong(empty.span(), "`lock_dir` is empty; leave it out for the system's own".to_owned())
        );
    }
    let lock_dir = raw.lock_dir.as_ref().map(|dir| expand_home(dir.get_ref()));
    let own = dialling::LineRules {
        prefix: raw.prefix.as_ref(),
        pulse: raw.pulse.as_ref(),
        location: raw.location.as_ref(),
    };
    let rules = dialling::check_rules(&own, modem.as_ref(), location, place)?;
    Ok(LineConfig { kind, modem, modem_use, rules, lock_dir })
}

fn check_modem(
    raw: &LineToml,
    kind: &LineKind,
    modems: &ModemFolders,
    place: &Place<'_>,
) -> Result<Option<Profile>, ConfigError> {
    let name = match (&raw.modem, kind) {
        (Some(name), LineKind::Telnet(_) | LineKind::File) if name.get_ref() != "none" => {
            let message =
                format!("a line of kind {:?} leads to no modem: leave `modem` out", raw.kind.get_ref());
            return Err(place.wrong(name.span(), message));
        }
        (Some(name), _) => name.get_ref().as_str(),
        (None, LineKind::Serial(_) | LineKind::Rfc2217(_)) => "generic",
        (None, LineKind::Exec(_) | LineKind::Tcp(_) | LineKind::Telnet(_) | LineKind::File) => "none",
    };
    if name == "none" {
        return Ok(None);
    }
    if let Some(message) = modems.unknown(name) {
        return Err(place.wrong(raw.modem.as_ref().map_or(0..0, Spanned::span), message));
    }
    let profile = modems.load(name)?;
    Ok(profile.dials().then_some(profile))
}

/// The keys that say how the modem is used. On a line without one they mean nothing.
fn check_modem_use(
    raw: &LineToml,
    profile: Option<&Profile>,
    place: &Place<'_>,
) -> Result<ModemUse, ConfigError> {
    let Some(profile) = profile else { return no_modem_to_use(raw, place) };
    let usual = ModemUse::default();
    let switch = |key, given: &Option<Spanned<bool>>, switch| match given {
        Some(wanted) => check_switch(key, wanted, switch, profile, place).map(Some),
        None => Ok(None),
    };
    Ok(ModemUse {
        choices: Choices {
            flow: raw.flow.as_ref().map(|flow| *flow.get_ref()).unwrap_or_default(),
            speaker: raw.speaker.as_ref().map(|speaker| *speaker.get_ref()),
            error_correction: switch("error_correction", &raw.error_correction, &profile.error_correction)?,
            compression: switch("compression", &raw.compression, &profile.compression)?,
            init: raw.init.as_ref().map_or(Ok(Vec::new()), |init| check_init(init, place))?,
        },
        find_speed: raw.find_speed.as_ref().map_or(usual.find_speed, |find| *find.get_ref()),
        dial_wait: raw.dial_wait.as_ref().map_or(Ok(usual.dial_wait), |wait| check_dial_wait(wait, place))?,
    })
}

fn no_modem_to_use(raw: &LineToml, place: &Place<'_>) -> Result<ModemUse, ConfigError> {
    let given = [
        ("speaker", raw.speaker.as_ref().map(Spanned::span)),
        ("error_correction", raw.error_correction.as_ref().map(Spanned::span)),
        ("compression", raw.compression.as_ref().map(Spanned::span)),
        ("init", raw.init.as_ref().map(Spanned::span)),
        ("find_speed", raw.find_speed.as_ref().map(Spanned::span)),
        ("dial_wait", raw.dial_wait.as_ref().map(Spanned::span)),
    ];
    match given.into_iter().find_map(|(key, span)| Some((key, span?))) {
        None => Ok(ModemUse::default()),
        Some((key, span)) => {
            Err(place.wrong(span, format!("`{key}` is for a modem, and this line has modem = \"none\"")))
        }
    }
}

fn check_switch(
    key: &str,
    wanted: &Spanned<bool>,
    switch: &Switch,
    profile: &Profile,
    place: &Place<'_>,
) -> Result<bool, ConfigError> {
    let on = *wanted.get_ref();
    let command = if on { &switch.on } else { &switch.off };
    if command.is_none() {
        let name = &profile.name;
        let message = format!("`{key}`: the modem profile {name:?} has no command for that; use `init`");
        return Err(place.wrong(wanted.span(), message));
    }
    Ok(on)
}

fn check_init(init: &Spanned<Vec<String>>, place: &Place<'_>) -> Result<Vec<String>, ConfigError> {
    let refuse = |message: String| Err(place.wrong(init.span(), format!("`init`: {message}")));
    for command in init.get_ref() {
        if command.is_empty() || command.bytes().any(|byte| !byte.is_ascii_graphic() && byte != b' ') {
            return refuse(format!("the command {command:?} is empty or holds more than printable ASCII"));
        }
        if dials(command) {
            return refuse(format!("the command {command:?} dials: numbers stand in an account's `phone`"));
        }
        if command.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("AT")) {
            return refuse(format!("leave the AT of {command:?} away: it is put there by itself"));
        }
    }
    Ok(init.get_ref().clone())
}

fn check_dial_wait(given: &Spanned<u64>, place: &Place<'_>) -> Result<Duration, ConfigError> {
    let wait = Duration::from_secs(*given.get_ref());
    if !(DIAL_WAIT_LEAST..=DIAL_WAIT_LIMIT).contains(&wait) {
        let (least, most) = (DIAL_WAIT_LEAST.as_secs(), DIAL_WAIT_LIMIT.as_secs());
        let message = format!("`dial_wait` is in seconds, from {least} to {most}");
        return Err(place.wrong(given.span(), message));
    }
    Ok(wait)
}

/// Less than this no call is put through.
const DIAL_WAIT_LEAST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const LINE: &str = "[line.usr]\nkind = \"serial\"\ndevice = \"/dev/ttyUSB0\"\n";

    fn line(keys: &str) -> Result<LineConfig, String> {
        let parsed = Config::parse(&format!("{LINE}{keys}\n"), Path::new("config.toml"));
        parsed.map(|config| config.lines["usr"].clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_says_how_its_modem_is_used() {
        let usual = line("").unwrap();
        assert_eq!(usual.modem_use, ModemUse::default());
        assert!(usual.modem_use.find_speed && usual.modem_use.dial_wait == Duration::from_secs(90));
        let chosen = line(
            "modem = \"usr-courier\"\nflow = \"none\"\nspeaker = \"dialling\"\nerror_correction = false\n\
             compression = false\ninit = [\"S10=50\"]\nfind_speed = false\ndial_wait = 255",
        );
        let choices = Choices {
            flow: FlowChoice::None,
            speaker: Some(SpeakerChoice::Dialling),
            error_correction: Some(false),
            compression: Some(false),
            init: vec!["S10=50".to_owned()],
        };
        let expected = ModemUse { choices, find_speed: false, dial_wait: Duration::from_secs(255) };
        assert_eq!(chosen.unwrap().modem_use, expected);
    }

    fn framing(keys: &str) -> (String, String) {
        let LineKind::Serial(port) = line(keys).unwrap().kind else { panic!("a serial line") };
        (port.settings.framing.to_string(), port.settings.port_framing().to_string())
    }

    #[test]
    fn framing_is_the_hosts_and_with_strip_the_port_has_eight_bits() {
        let same = |framing: &str| (framing.to_owned(), framing.to_owned());
        assert_eq!(framing(""), same("8N1"));
        assert_eq!(framing("data_bits = 7\nparity = \"even\""), same("7E1"));
        assert_eq!(framing("data_bits = 5\nstop_bits = 2\nparity = \"mark\""), same("5M2"));
        let stripped = framing("data_bits = 7\nparity = \"odd\"\nstop_bits = 2\nstrip = true");
        assert_eq!(stripped, ("7O2".into(), "8N2".into()));
        assert_eq!(framing("strip = true"), same("8N1"));
    }

    fn exec(keys: &str) -> Result<ExecCommand, String> {
        let text = format!(
            "[line.ssh]\nkind = \"exec\"\ncommand = [\"ssh\"]\n{keys}\n\
             [account.home]\nline = \"ssh\"\npassword = {{ env = \"PASSWORD_OF_MARY\" }}\n"
        );
        let config = Config::parse(&text, Path::new("config.toml")).map_err(|error| error.to_string())?;
        let LineKind::Exec(exec) = config.lines["ssh"].kind.clone() else { panic!("an exec line") };
        Ok(exec)
    }

    #[test]
    fn a_command_s_terminal_and_environment_are_as_written_and_passwords_are_hidden_from_it() {
        let usual = exec("").unwrap();
        assert_eq!((usual.term.as_str(), usual.clean_env), ("vt100", true));
        assert_eq!(usual.window, Window { rows: 24, columns: 80 });
        assert_eq!(usual.hidden_env, ["PASSWORD_OF_MARY"]);
        let own = exec(
            "term = \"dumb\"\nwindow = { columns = 132 }\nenv = { A = \"b\" }\nclean_env = false\nfolder = \"/tmp\"",
        )
        .unwrap();
        assert_eq!((own.term.as_str(), own.window.rows, own.window.columns), ("dumb", 24, 132));
        assert_eq!((own.env["A"].as_str(), own.clean_env, own.folder), ("b", false, Some("/tmp".into())));
        for (keys, says) in [
            ("term = \"\"", "kind of terminal"),
            ("window = { rows = 0 }", "2 to 1000 rows"),
            ("window = { columns = 5 }", "20 to 1000 columns"),
            ("window = \"24x80\"", "{ rows = 24, columns = 80 }"),
            ("env = { \"A=B\" = \"c\" }", "no = in it"),
            ("folder = \"\"", "not a path"),
            ("speed = 9600", "that is for \"serial\""),
        ] {
            let message = exec(keys).unwrap_err();
            assert!(message.starts_with("config.toml:4: ") && message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_telnet_line_says_where_its_host_is_and_what_it_is_told() {
        let telnet = |keys: &str| {
            let text = format!("[line.usr]\nkind = \"telnet\"\naddress = \"unix.example.org\"\n{keys}\n");
            let config = Config::parse(&text, Path::new("config.toml")).unwrap();
            match &config.lines["usr"].kind {
                LineKind::Telnet(host) => host.clone(),
                other => panic!("{other:?}"),
            }
        };
        let usual = telnet("");
        assert_eq!(usual.remote.address.to_string(), "unix.example.org:23");
        assert!(usual.binary && usual.term == "vt100" && usual.window == Window::default());
        let told = telnet("binary = false\nterm = \"xterm\"\nwindow = { rows = 50, columns = 132 }");
        assert!(!told.binary && told.term == "xterm");
        assert_eq!(told.window, Window { rows: 50, columns: 132 });
    }

    #[test]
    fn what_no_port_or_modem_could_do_is_refused_with_its_line() {
        for (keys, at, says) in [
            ("speed = 0", 4, "9600"),
            ("flow = \"dtr\"", 4, "rtscts"),
            ("command = [\"sh\"]", 4, "that is for \"exec\""),
            ("term = \"dumb\"", 4, "that is for \"exec\""),
            ("binary = false", 4, "that is for \"telnet\""),
            ("data_bits = 9", 4, "5, 6, 7 or 8"),
            ("stop_bits = 3", 4, "1 or 2"),
            ("parity = \"some\"", 4, "mark"),
            ("parity = \"even\"\nstrip = true", 5, "8E1 cannot be made so"),
            ("data_bits = 7\nstrip = true", 5, "with a parity"),
            ("address = \"host:1\"", 4, "\"tcp\" or \"telnet\" or \"rfc2217\""),
            ("dial_wait = 4", 4, "from 5 to 255"),
            ("dial_wait = 256", 4, "from 5 to 255"),
            ("init = [\"S10=50\", \"\"]", 4, "is empty"),
            ("init = [\"ATS10=50\"]", 4, "leave the AT"),
            ("speaker = \"loud\"", 4, "dialling"),
            ("compression = false", 4, "no command for that"),
            ("modem = \"none\"\nfind_speed = true", 5, "`find_speed` is for a modem"),
        ] {
            let message = line(keys).unwrap_err();
            assert!(message.starts_with(&format!("config.toml:{at}: ")), "{message}");
            assert!(message.contains(says), "{message}");
        }
        let exec = "[line.ssh]\nkind = \"exec\"\ncommand = [\"ssh\"]\nlock_dir = \"/tmp\"\n";
        let message = Config::parse(exec, Path::new("config.toml")).unwrap_err().to_string();
        assert!(
            message.starts_with("config.toml:4: ") && message.contains("that is for \"serial\""),
            "{message}"
        );
    }
}
