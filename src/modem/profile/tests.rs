//! Profiles: the schema that every file keeps to, inheritance, and what a wrong file is told.

use super::*;
use crate::modem::ask::Said;
use crate::modem::codec::{CallFailure, Reader, Response};
use crate::modem::identity::suggest;
use crate::modem::ready::{Need, setup_commands};

fn builtin(name: &str) -> Profile {
    Profile::builtin(name).unwrap_or_else(|| panic!("{name} is built in"))
}

/// Every profile with a modem behind it.
fn modems() -> impl Iterator<Item = Profile> {
    Profile::names().filter(|&name| name != "none").map(builtin)
}

fn error(text: &str) -> ProfileError {
    Profile::parse("test", text).expect_err(text)
}

#[test]
fn every_file_in_hardware_is_a_sound_profile_and_built_in() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hardware/modems");
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).expect("hardware/modems is part of the source") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name");
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let profile = Profile::parse(name, &text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Profile::builtin(name), Some(profile), "{name} is listed in BUILTIN");
        files += 1;
    }
    assert_eq!(Profile::names().count(), files, "every name built in has its file");
}

#[test]
fn none_dials_nothing_and_generic_does() {
    assert_eq!(Profile::builtin("none").map(|profile| profile.dials()), Some(false));
    assert_eq!(Profile::builtin("generic").map(|profile| profile.dials()), Some(true));
    assert_eq!(Profile::builtin("../generic"), None);
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let error = error("description = \"x\"\n\nspeeed = 3\n");
    assert_eq!((error.line, error.key.as_str()), (3, "speeed"));
    assert!(error.to_string().starts_with("modem profile `test`, line 3: `speeed`: unknown key"), "{error}");
}

/// The parser names the keys that it knows when it meets one that it does not.
#[test]
fn the_generic_profile_shows_every_key() {
    let shown = include_str!("../../../hardware/modems/generic.toml");
    let message = error("no-key = 3\n").message;
    let (_, known) = message.split_once("expected one of").expect(&message);
    let keys: Vec<&str> = known.split('`').skip(1).step_by(2).filter(|&key| key != "inherits").collect();
    assert!(keys.len() > 30, "{message}");
    for key in keys {
        let sets = |line: &str| line.trim_start_matches('#').split('=').next().map(str::trim) == Some(key);
        assert!(shown.lines().any(sets), "{key}");
    }
}

#[test]
fn a_wrong_type_and_a_missing_key_are_named() {
    let wrong = error("description = \"x\"\nguard_ms = \"long\"\n");
    assert_eq!((wrong.line, wrong.key.as_str()), (2, "guard_ms"));
    assert_eq!(error("reset = \"Z\"\n").key, "description");
}

#[test]
fn values_that_cannot_be_are_refused_with_key_and_line() {
    for (line, key, says) in [
        ("guard_ms = 90000", "guard_ms", "not between"),
        ("command_ms = 0", "command_ms", "not between"),
        ("line_max = 3", "line_max", "not between"),
        ("dial = \"DT\"", "dial", "{number}"),
        ("dial = \"DT{number}{number}\"", "dial", "{number}"),
        ("init = [\"ATE0\"]", "init", "begins with AT"),
        ("init = [\"E0\\r\"]", "init", "printable"),
        ("init = [\"\"]", "init", "empty"),
        ("init = [\"E0DT5551212\"]", "init", "dials, which only `dial` may"),
        ("statistics = [\"DL\"]", "statistics", "dials, which only `dial` may"),
        ("dial = \"DT5551212;DT{number}\"", "dial", "a number of its own"),
        ("dial = \"DT5551212,{number}\"", "dial", "a number of its own"),
        ("dial = \"DT{number};DT5551212\"", "dial", "a number of its own"),
        ("dial = \"DT555.1212:{number}\"", "dial", "a number of its own"),
        ("dial = \"E0{number}\"", "dial", "does not dial"),
        ("options = [\"S7={time}\"]", "options", "place"),
        ("hangup = \"H0000000000000000000000000000000000000000000\"", "hangup", "longer"),
        ("reset = { send = \"Z\", wait_ms = 99999 }", "reset", "not between"),
        ("speaker = { of = \"M0\" }", "speaker", "of"),
        ("flow.rtscts = \"AT&K3\"", "flow.rtscts", "begins with AT"),
        ("codes = { \"-1\" = \"BUSY\" }", "codes", "number"),
        ("codes = { 13 = \"BUSSY\" }", "codes", "no result"),
        ("speeds = [0]", "speeds", "not between"),
        ("identity = [\"x\"]", "identity", "short"),
        ("connect_rate = \"both\"", "connect_rate", "both"),
        ("inherits = \"generick\"", "inherits", "generick"),
        ("inherits = \"test\"", "inherits", "circle"),
        ("init = [\"E0\"]", "dial", "inherits"),
        ("escape = \"\\u0007\"", "escape", "printable"),
        ("international = \"x\"", "international", "digits"),
    ] {
        let error = error(&format!("description = \"x\"\n# a comment\n{line}\n"));
        let at = if key == "dial" && says == "inherits" { 1 } else { 3 }; // nothing sets it
        assert_eq!((error.line, error.key.as_str()), (at, key), "{line}");
        assert!(error.message.contains(says), "{line}: {error}");
    }
}

/// A user's folder of profiles.
fn users(files: &[(&str, &str)]) -> impl Fn(&str) -> Result<Option<Source>, ProfileError> + use<> {
    let files: Vec<(String, Source)> = files
        .iter()
        .map(|&(name, text)| {
            let file = Some(PathBuf::from(format!("/home/mary/modems/{name}.toml")));
            (name.to_owned(), Source { text: text.to_owned(), file })
        })
        .collect();
    move |name| Ok(files.iter().find(|(known, _)| known == name).map(|(_, source)| source.clone()))
}

#[test]
fn a_users_profile_says_only_what_is_its_own() {
    let users = users(&[(
        "mine",
        "inherits = \"generic\"\ndescription = \"the old one\"\nflow.rtscts = \"&K3\"\nspeaker.off = \"\"\nguard_ms = 1500\n",
    )]);
    let mine = Profile::load("mine", &users).expect("it is sound");
    let generic = Profile::builtin("generic").expect("built in");
    assert_eq!(mine.flow.rtscts, Some(Setting { text: "&K3".into(), wait: None }));
    assert_eq!(mine.flow.none, generic.flow.none, "the rest of a table is inherited");
    assert_eq!(mine.speaker.off, None, "an empty setting is none");
    assert_eq!(mine.speaker.on, generic.speaker.on);
    assert_eq!(mine.guard, Duration::from_millis(1_500));
    assert_eq!(mine.dial, generic.dial);
}

#[test]
fn a_users_profile_of_a_built_in_name_may_build_on_that_one() {
    let users = users(&[("generic", "inherits = \"generic\"\nspeaker.dialling = \"M1L1\"\n")]);
    let own = Profile::load("generic", &users).expect("it is sound");
    assert_eq!(own.speaker.dialling.map(|setting| setting.text), Some("M1L1".to_owned()));
    assert_eq!(own.dial.as_deref(), Some("DT{number}"));
}

#[test]
fn what_is_wrong_in_a_users_file_is_told_with_file_line_and_key() {
    for (text, place, says) in [
        ("inherits = \"generic\"\n\nspekaer = 1\n", "mine.toml:3: `spekaer`", "unknown key"),
        ("inherits = \"generic\"\nguard_ms = 99999\n", "mine.toml:2: `guard_ms`", "not between"),
        ("inherits = \"generic\"\n[speaker]\non = \"M2\\u00ff\"\n", "mine.toml:3: `speaker.on`", "ASCII"),
        ("inherits = \"generic\"\n[speaker]\non = 2\n", "mine.toml:3: `speaker.on`", "expected a command"),
        ("inherits = \"generic\"\n[ flow ]\n\nnone = \"ATQ\"\n", "mine.toml:4: `flow.none`", "AT"),
        ("inherits = \"generic\"\nflow = { none = \"ATQ\" }\n", "mine.toml:2: `flow.none`", "AT"),
        ("inherits = \"generic\"\n\n\"guard_ms\" = 9999\n", "mine.toml:3: `guard_ms`", "not between"),
        ("inherits = \"generic\"\nguard_ms = 1.5\n", "mine.toml:2: `guard_ms`", "whole number"),
        ("inherits = \"generic\"\r\n\r\nspekaer = 1\r\n", "mine.toml:3: `spekaer`", "unknown key"),
        ("inherits = \"other\"\n", "other.toml:1: `inherits`", "circle"),
        ("inherits = \"gone\"\n", "mine.toml:1: `inherits`", "no modem profile"),
        ("inherits = \n", "mine.toml:1: ", ""),
    ] {
        let users = users(&[("mine", text), ("other", "inherits = \"mine\"\n")]);
        let error = Profile::load("mine", &users).expect_err(text).to_string();
        assert!(error.starts_with(&format!("/home/mary/modems/{place}")) && error.contains(says), "{error}");
    }
}

#[test]
fn a_lines_choices_pick_the_settings_and_compression_needs_correction() {
    let generic = Profile::builtin("generic").expect("built in");
    let texts = |choices: &Choices| -> Vec<String> {
        generic.chosen(choices).into_iter().map(|(_, setting)| setting.text).collect()
    };
    assert_eq!(texts(&Choices::default()), ["X4W2", "+IFC=2,2", "+ES=3,0,2"]);
    let choices = Choices {
        flow: FlowChoice::None,
        speaker: Some(SpeakerChoice::Off),
        error_correction: Some(false),
        ..Choices::default()
    };
    assert_eq!(texts(&choices), ["X4W2", "+IFC=0,0", "+ES=1", "M0"]);
}

/// Every way in which a line's configuration can choose.
fn all_choices() -> Vec<Choices> {
    let mut all = Vec::new();
    for flow in [FlowChoice::RtsCts, FlowChoice::XonXoff, FlowChoice::None] {
        for speaker in
            [None, Some(SpeakerChoice::Off), Some(SpeakerChoice::Dialling), Some(SpeakerChoice::On)]
        {
            for corrects in [true, false] {
                for compresses in [true, false] {
                    all.push(Choices {
                        flow,
                        speaker,
                        error_correction: Some(corrects),
                        compression: Some(compresses),
                        init: Vec::new(),
                    });
                }
            }
        }
    }
    all
}

#[test]
fn every_modem_dials_answers_hangs_up_and_speaks_in_words() {
    for profile in modems() {
        let name = &profile.name;
        let dial = profile.dial.as_deref().unwrap_or_else(|| panic!("{name} dials"));
        assert!(dial.starts_with('D'), "{name}: {dial} is a dial command");
        assert!(profile.dial_pulse.as_deref().is_some_and(|dial| dial.starts_with('D')), "{name}");
        assert!(!profile.answer.is_empty() && !profile.hangup.is_empty(), "{name}");
        let init: Vec<&str> = profile.init.iter().map(|setting| setting.text.as_str()).collect();
        assert_eq!(init.first(), Some(&"Q0V1"), "{name} is told to answer, and in words");
        assert!(
            profile.options.iter().any(|setting| setting.text == "S0=0"),
            "{name} answers no calls by itself"
        );
    }
}

#[test]
fn every_kind_of_flow_control_has_its_own_command_unless_the_modem_has_none() {
    for profile in modems() {
        let FlowControl { rtscts, xonxoff, none } = &profile.flow;
        if profile.name == "hayes-smartmodem" {
            assert_eq!(profile.flow, FlowControl::default(), "its port is never ahead of its carrier");
            continue;
        }
        let told = [rtscts, xonxoff, none].map(|setting| setting.as_ref().map(|setting| &setting.text));
        assert!(told.iter().all(Option::is_some), "{}: {told:?}", profile.name);
        assert!(told[0] != told[1] && told[1] != told[2] && told[0] != told[2], "{}: {told:?}", profile.name);
    }
}

#[test]
fn error_correction_can_be_had_or_not_and_never_comes_back_with_compression() {
    for profile in modems() {
        let EitherWay { on, off } = EitherWay::of(&profile.error_correction);
        assert_eq!(on.is_some(), off.is_some(), "{}", profile.name);
        assert!(on.is_none() || on != off, "{}", profile.name);
        let compression = EitherWay::of(&profile.compression);
        assert!(compression.off.is_none() || compression.off != on, "{}", profile.name);
    }
}

/// The commands of a switch.
struct EitherWay {
    on: Option<String>,
    off: Option<String>,
}

impl EitherWay {
    fn of(switch: &Switch) -> Self {
        let text = |setting: &Option<Setting>| setting.as_ref().map(|setting| setting.text.clone());
        Self { on: text(&switch.on), off: text(&switch.off) }
    }
}

#[test]
fn every_line_of_every_setup_fits_the_modem() {
    for profile in modems() {
        for choices in all_choices() {
            for command in setup_commands(&profile, &choices, Duration::from_secs(255)) {
                let fits = command.text.len() <= profile.line_max;
                assert!(fits, "{}: AT{} is beyond {}", profile.name, command.text, profile.line_max);
            }
        }
    }
}

/// What the setup sends for a line with RTS/CTS that wants 55 s for the carrier: (key, line).
fn setup(name: &str) -> Vec<(&'static str, String)> {
    setup_commands(&builtin(name), &Choices::default(), Duration::from_secs(55))
        .into_iter()
        .map(|command| {
            let need = match command.setting {
                "reset" => Need::Reset,
                "init" => Need::Needed,
                _ => Need::Optional,
            };
            assert_eq!(command.need, need, "{name}: {}", command.text);
            (command.setting, command.text)
        })
        .collect()
}

#[test]
fn a_courier_a_rockwell_and_an_iridium_are_set_up_line_by_line() {
    let plans: [(&str, &[(&str, &str)]); 3] = [
        (
            "usr-courier",
            &[
                ("reset", "Z"),
                ("init", "Q0V1"),
                ("options", "&B1"),
                ("options", "E0"),
                ("options", "&C1"),
                ("options", "&D2"),
                ("options", "S0=0"),
                ("options", "S7=55"),
                ("results", "X7&A3"),
                ("flow", "&H1&R2&I0"),
                ("error_correction", "&M4"),
                ("compression", "&K3"),
            ],
        ),
        (
            "rockwell",
            &[
                ("reset", "Z"),
                ("init", "Q0V1"),
                ("options", "E0"),
                ("options", "&C1"),
                ("options", "&D2"),
                ("options", "S0=0"),
                ("options", "S7=55"),
                ("results", "X4W1S95=44"),
                ("flow", "&K3"),
                ("error_correction", "&Q5\\N3"),
                ("compression", "%C3"),
            ],
        ),
        (
            "iridium",
            &[
                ("reset", "Z"),
                ("init", "Q0V1"),
                ("init", "+CBST=71,0,1"),
                ("options", "E0"),
                ("options", "&C1"),
                ("options", "&D2"),
                ("options", "S0=0"),
                ("options", "S7=55"),
                ("options", "+CR=1"),
                ("options", "+CMEE=1"),
                ("results", "X4"),
                ("flow", "&K3"),
            ],
        ),
    ];
    for (name, plan) in plans {
        let sent = setup(name);
        let sent: Vec<(&str, &str)> = sent.iter().map(|(key, line)| (*key, line.as_str())).collect();
        assert_eq!(sent, plan, "{name}");
    }
}

#[test]
fn a_wi_fi_modem_is_sent_nothing_that_its_firmware_takes_for_something_else() {
    for choices in all_choices() {
        for command in setup_commands(&builtin("esp8266"), &choices, Duration::from_secs(55)) {
            let harmful = ["Z", "&F", "&D", "W"].iter().any(|word| command.text.contains(word));
            assert!(!harmful, "AT{} erases, disconnects or lists networks", command.text);
        }
    }
}

#[test]
fn every_result_code_of_a_makers_own_is_read_as_a_result_with_its_rate() {
    for profile in modems() {
        for (code, words) in &profile.codes {
            let place = format!("{}: {code} = {words:?}", profile.name);
            let heard = Reader::new(profile.codes.clone()).hear(format!("{code}\r").as_bytes()).1;
            let heard = heard.unwrap_or_else(|| panic!("{place} is a line"));
            assert_eq!(heard.numeric, code.parse::<u16>().is_ok(), "{place}");
            match heard.response {
                Response::Text => assert!(words.is_empty(), "{place} is read as text"),
                Response::Connect(info) => {
                    let rate = words.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() >= 3);
                    assert_eq!(info.rate.is_some(), rate, "{place}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_makers_numbers_do_not_pass_for_the_common_ones() {
    let read = |name: &str, code: &str| {
        Reader::new(builtin(name).codes).hear(format!("{code}\r").as_bytes()).1.map(|heard| heard.response)
    };
    let rate = |name: &str, code: &str| match read(name, code) {
        Some(Response::Connect(info)) => info.rate,
        other => panic!("{name} {code}: {other:?}"),
    };
    assert_eq!(read("usr-courier", "11"), Some(Response::Ringing));
    assert_eq!(read("usr-sportster", "12"), Some(Response::Failed(CallFailure::Voice)));
    assert_eq!(rate("usr-courier", "24"), Some(7_200));
    assert_eq!(read("rockwell", "24"), Some(Response::Failed(CallFailure::Delayed(None))));
    assert_eq!(read("zoom", "32"), Some(Response::Failed(CallFailure::Blacklisted)));
    assert_eq!(rate("telebit", "13"), Some(14_400));
    assert_eq!(read("telebit", "54"), Some(Response::Failed(CallFailure::NoDialtone)));
    assert_eq!(read("zyxel", "9"), Some(Response::Ringing));
    assert_eq!(rate("multitech", "9"), Some(2_400));
    assert_eq!(rate("multitech", "28LC"), Some(28_800));
    assert_eq!(rate("gsm", "15"), Some(9_600));
    assert_eq!(rate("isdn-i4l", "5"), Some(64_000));
}

/// What modems say of themselves, and the profile that is theirs; none where it tells too little.
const SAYS_OF_ITSELF: [(Option<&str>, &[&str]); 45] = [
    (Some("usr-courier"), &["3366"]),
    (Some("usr-courier"), &["2886", "USRobotics Courier V.Everything"]),
    (Some("usr-courier"), &["USRobotics Courier Dual Standard V.34 Fax Link Diagnostics..."]),
    (Some("usr-sportster"), &["3361"]),
    (Some("usr-sportster"), &["2886", "05B1", "USRobotics Sportster 28800 Fax Settings..."]),
    (Some("usr-sportster"), &["2886", "Sportster 28800/Fax RS Rev. 1.5"]),
    (Some("usr-sportster"), &["5601", "5D48", "U.S. Robotics 56K Message Settings..."]),
    (None, &["2886"]),
    (Some("rockwell"), &["14400", "007", "V1.600-DS29F", "RCV144DPi Rev CA", "ROCKWELL", "RC32ACL"]),
    (Some("rockwell"), &["28800", "V1.430-V34_DS", "RC288DPi Rev 0"]),
    (Some("rockwell"), &["33600", "V2.050-V34_ACF_DS1", "RCV336DPFSP Rev 44BC"]),
    (Some("rockwell"), &["56000", "ACF3_V1.200-V90_2M_SCF", "RCV56DPF L8570A Rev 30.0/30.0"]),
    (Some("rockwell"), &["RCV56DPF-PLL L8773A Rev 14.00/34.00"]),
    (Some("rockwell"), &["CX81801-V90"]),
    (Some("rockwell"), &["+GMI: CONEXANT"]),
    (Some("rockwell"), &["MT5600ZDXV"]),
    (None, &["14400"]),
    (Some("cdc-acm"), &["56000", "CX93001-EIS_V0.2002-V92"]),
    (Some("cdc-acm"), &["U.S. Robotics 56K FAX USB V1.2.23"]),
    (Some("lucent"), &["LT V.90 1.0 MT5634ZBAV Serial Data/Fax/Voice Modem Version 4.09a"]),
    (Some("lucent"), &["LT V.92 Data+Fax Modem Version 6.00"]),
    (Some("lucent"), &["Venus V.90 USB U052099a"]),
    (Some("lucent"), &["Zoom V.90 PCI I052099gV -G Z207"]),
    (Some("lucent"), &["Zoom V.90 Serial s052099g -I Z207"]),
    (Some("lucent"), &["AEIGPM560LKTF1"]),
    (Some("telebit"), &["965", "TELEBIT"]),
    (Some("telebit-trailblazer"), &["966"]),
    (Some("zyxel"), &["1496", "U1496E  V 6.12 P", "ZyXEL"]),
    (Some("zyxel"), &["28642"]),
    (Some("isdn-zyxel"), &["1291"]),
    (Some("multitech"), &["247"]),
    (Some("hayes"), &["28800", "OPTIMA 33600"]),
    (Some("hayes-smartmodem"), &["120"]),
    (Some("cirrus"), &["1.02", "Cirrus Logic", "CL-MD1414AT/EC"]),
    (Some("zoom"), &["932"]),
    (Some("gsm"), &["SIEMENS", "TC35", "REVISION 04.00"]),
    (Some("gsm"), &["WAVECOM MODEM"]),
    (Some("gsm"), &["SIM900 R11.0"]),
    (Some("iridium"), &["2400", "0000", "IRIDIUM"]),
    (Some("iridium"), &["Motorola", "Satellite 9505"]),
    (Some("iridium"), &["Iridium", "9522"]),
    (Some("inmarsat"), &["Thrane & Thrane"]),
    (Some("isdn-i4l"), &["Linux ISDN"]),
    (Some("esp8266"), &["ESP8266 Firmware v4.0"]),
    (None, &["288", "GM-144VBIS+; RC9696/14"]),
];

#[test]
fn what_a_modem_says_of_itself_suggests_its_own_profile_and_no_other() {
    let profiles: Vec<Profile> = modems().collect();
    for (expected, lines) in SAYS_OF_ITSELF {
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        let said = [Said { command: "ATI".to_owned(), lines: lines.clone(), ok: true }];
        assert_eq!(suggest(&said, &profiles), expected.into_iter().collect::<Vec<_>>(), "{lines:?}");
    }
}

#[test]
fn nothing_that_every_modem_may_get_dials_or_answers_on_one_that_skips_the_plus() {
    let generic = Profile::builtin("generic").expect("built in");
    let setup = crate::modem::ready::setup_commands(&generic, &Choices::default(), Duration::from_secs(60));
    let asked =
        generic.identify.iter().chain(&generic.signal).chain(&generic.statistics).chain(&generic.cause);
    for text in setup.into_iter().map(|command| command.text).chain(asked.cloned()) {
        for extended in text.split(';').filter_map(|command| command.split_once('+')) {
            // Whatever comes first: D dials, A answers; behind either, nothing is a command of its own.
            assert!(!extended.1.contains(['D', 'A']), "{text}");
        }
    }
}
