//! Profiles: the schema that every file keeps to, inheritance, and what a wrong file is told.

use super::*;

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
        ("options = [\"S7={time}\"]", "options", "place"),
        ("hangup = \"H0000000000000000000000000000000000000000000\"", "hangup", "longer"),
        ("reset = { send = \"Z\", wait_ms = 99999 }", "reset", "not between"),
        ("speaker = { of = \"M0\" }", "speaker", "of"),
        ("flow.rtscts = \"AT&K3\"", "flow", "begins with AT"),
        ("codes = { x = \"BUSY\" }", "codes", "number"),
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
fn users(files: &[(&str, &str)]) -> impl Fn(&str) -> Option<Source> + use<> {
    let files: Vec<(String, Source)> = files
        .iter()
        .map(|&(name, text)| {
            let file = Some(PathBuf::from(format!("/home/mary/modems/{name}.toml")));
            (name.to_owned(), Source { text: text.to_owned(), file })
        })
        .collect();
    move |name| files.iter().find(|(known, _)| known == name).map(|(_, source)| source.clone())
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
        ("inherits = \"generic\"\n[speaker]\non = \"M2\\u00ff\"\n", "mine.toml:2: `speaker`", "ASCII"),
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
    assert_eq!(texts(&Choices::default()), ["X4W2", "+IFC=2,2", "+ES=3,0,2", "+DS=3"]);
    let choices = Choices {
        flow: FlowChoice::None,
        speaker: Some(SpeakerChoice::Off),
        error_correction: Some(false),
        ..Choices::default()
    };
    assert_eq!(texts(&choices), ["X4W2", "+IFC=0,0", "+ES=0", "+DS=0", "M0"]);
}
