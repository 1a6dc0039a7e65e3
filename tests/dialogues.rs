//! Every recorded dialogue with a modem (`hardware/dialogues`) replays to the end that its file states,
//! however the modem's bytes are split.

use std::collections::BTreeSet;
use std::path::PathBuf;

#[path = "dialogues/format.rs"]
mod format;
#[path = "dialogues/replay.rs"]
mod replay;

use format::Dialogue;
use replay::{Pace, replay};

fn dialogues() -> Vec<Dialogue> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("hardware/dialogues");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder is part of the project")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files.iter().map(|path| Dialogue::read(path).unwrap_or_else(|wrong| panic!("{wrong}"))).collect()
}

fn all_replay(pace: Pace) {
    let wrong: Vec<String> = dialogues().iter().filter_map(|dialogue| replay(dialogue, pace).err()).collect();
    assert!(wrong.is_empty(), "{} dialogues end otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_dialogue_replays_to_its_outcome() {
    all_replay(Pace::Whole);
}

#[test]
fn every_dialogue_ends_the_same_when_each_byte_comes_by_itself() {
    all_replay(Pace::ByteByByte);
}

#[test]
fn every_dialogue_ends_the_same_when_it_is_cut_anywhere() {
    for seed in 0..SEEDS {
        all_replay(Pace::Cut(seed));
    }
}

#[test]
fn what_a_drawer_of_modems_does_is_all_there() {
    let dialogues = dialogues();
    assert!(dialogues.len() >= DIALOGUES_MIN, "only {}", dialogues.len());
    let shown: BTreeSet<&str> =
        dialogues.iter().flat_map(|dialogue| &dialogue.shows).map(String::as_str).collect();
    let missing: Vec<&str> = SHOWN.into_iter().filter(|word| !shown.contains(word)).collect();
    assert!(missing.is_empty(), "no dialogue shows {missing:?}");
    let unknown: Vec<&str> = shown.into_iter().filter(|word| !SHOWN.contains(word)).collect();
    assert!(unknown.is_empty(), "`shows:` knows no {unknown:?}");
    let forms: BTreeSet<&str> = dialogues
        .iter()
        .filter(|dialogue| dialogue.expected.outcome.starts_with("connected"))
        .filter_map(|dialogue| dialogue.form.as_deref())
        .collect();
    let missing: Vec<&str> = FORMS.into_iter().filter(|form| !forms.contains(form)).collect();
    assert!(missing.is_empty(), "no CONNECT in the form of {missing:?}");
    assert!(dialogues.iter().any(|dialogue| dialogue.source.starts_with("recorded ")));
}

const SIMPLE: &str = "modem: any\nsource: written for the test\ndial: 1\n\
    > AT\n< OK\n> (setup)\n< OK\n> ATDT1\n< BUSY\n> ATH0\n< OK\nexpect: failed busy\n";

#[test]
fn a_dialogue_that_went_otherwise_is_told_with_its_line() {
    let replayed = |from: &str, to: &str| {
        let text = SIMPLE.replacen(from, to, 1);
        assert!(from.is_empty() || text != SIMPLE, "{from} is in it");
        let dialogue = Dialogue::parse("a.txt", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
        replay(&dialogue, Pace::Whole)
    };
    assert_eq!(replayed("", ""), Ok(()));
    for (from, to, said) in [
        ("failed busy", "failed voice", "it ended:   failed busy"),
        ("> ATDT1", "> ATDT2", "a.txt, line 8: sent       ATDT1\\r\n  instead of ATDT2\\r"),
        ("> AT\n", "> ATZ\n", "line 4: sent"),
        ("< BUSY", "< BUSY\n~ 1s\n< RING", "line 12: sent ATH0\\r before the modem had spoken out"),
        ("> ATH0\n< OK", "> ATH0\n< OK\n> ATZ", "a.txt:12: it ended before this"),
        ("> ATH0\n< OK\n", "", "behind the last line: sent ATH0\\r"),
        ("> (setup)\n< OK", "> (setup)\n< OK\n> ATZ", "line 8: sent       ATDT1"),
        ("< BUSY", "< RING\n< BUSY", "notes:      [\"the modem says \\\"RING\\\"\"]"),
        ("expect:", "note: the sky\nexpect:", "instead of: [\"the sky\"]"),
        ("expect:", "event: ringing\nexpect:", "no event `ringing`"),
        (
            "< BUSY\n> ATH0\n< OK\nexpect: failed busy",
            "<| CONNECT\\rlogin:\nexpect: connected",
            "left:       login:",
        ),
        ("< BUSY\n> ATH0\n< OK", "~ 70s\n> \n< BUSY\n> ATH0\n< OK", "line 10: sent \\r after 60"),
    ] {
        let wrong = replayed(from, to).expect_err(to);
        assert!(wrong.contains(said), "{to}: {wrong}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_with_its_line() {
    for (from, to, said) in [
        ("modem: any\n", "", "a.txt: no `modem:`"),
        ("written for", "for", "begins with `recorded`"),
        ("dial: 1\n", "", "no `dial, answer, hang-up or ask:`"),
        ("expect: failed busy\n", "", "no `expect:`"),
        ("dial: 1", "dail: 1", "a.txt:3: unknown key `dail`"),
        ("> AT\n", "! dtr up\n", "a.txt:4: `dtr up`"),
        ("> AT\n", "~ 5\n", "a.txt:4: a time is"),
        ("> AT\n", ">| AT\\q\n", "a.txt:4: `\\q` is no escape"),
        ("dial: 1", "dial: 1\nprofile: x", "no profile `x`"),
        ("dial: 1", "dial: 1\nwith: bound = 1", "unknown"),
        ("> (setup)\n< OK", "> (setup)", "line 6: (setup) without"),
        ("dial: 1", "nothing", "a.txt:3: neither"),
    ] {
        let text = SIMPLE.replacen(from, to, 1);
        assert_ne!(text, SIMPLE, "{from} is in it");
        let wrong = Dialogue::parse("a.txt", &text).expect_err(to);
        assert!(wrong.contains(said), "{to}: {wrong}");
    }
}

#[test]
fn lines_of_a_transcript_are_read_as_mailcall_prints_them() {
    let text = SIMPLE
        .replacen("> AT\n< OK", "   0.250 > AT\\r\n   0.251 -- awake\n   0.260 < AT\\r\\r\\nOK\\r\\n", 1)
        .replacen("< BUSY", "  10.000 < \\r\\nBU\n  12.500 < SY\\r\\n", 1);
    let dialogue = Dialogue::parse("a.txt", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
    for pace in [Pace::Whole, Pace::ByteByByte, Pace::Cut(1)] {
        assert_eq!(replay(&dialogue, pace), Ok(()));
    }
}

/// What the dialogues show among them.
const SHOWN: [&str; 40] = [
    "answer",
    "call-coming-in",
    "connect",
    "numeric",
    "numeric-own",
    "stuck-echo",
    "glued",
    "autobaud",
    "ring",
    "caller-id",
    "ringing",
    "blacklisted",
    "delayed",
    "voice",
    "fax",
    "busy",
    "no-answer",
    "no-carrier",
    "no-dialtone",
    "rejected",
    "no-service",
    "sim-pin",
    "needed-refused",
    "option-refused",
    "number-refused",
    "on-line",
    "on-line-dtr",
    "on-line-sending",
    "mid-command",
    "quiet",
    "silent",
    "no-modem",
    "too-long",
    "left-bytes",
    "gsm",
    "iridium",
    "hang-up",
    "hang-up-dtr",
    "stuck-on-line",
    "statistics",
];
/// The makers in whose forms CONNECT is read.
const FORMS: [&str; 17] = [
    "US Robotics &A3",
    "US Robotics numbers",
    "Rockwell W1",
    "Conexant +MR +ER +DR",
    "Lucent W2 \\V1",
    "Intel and Lucent one-liner",
    "ZyXEL X5",
    "Telebit FAST",
    "MultiTech words",
    "MultiTech numbers",
    "Hayes W1",
    "Cirrus and Microcom REL",
    "V.23 75TX/1200RX",
    "GSM +CR",
    "Iridium",
    "ISDN X.75",
    "tcpser",
];
const DIALOGUES_MIN: usize = 36;
/// Ways in which each dialogue is cut.
const SEEDS: u64 = 20;
