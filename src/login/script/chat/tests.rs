//! Chat strings as Taylor UUCP and chat(8) have them, and what is made of them.

use proptest::prelude::*;

use super::*;

/// The steps of a script in a notation of their own: `2 <ogin:|\r ogin:` expects, `>` sends.
fn steps(text: &str) -> Vec<String> {
    let script = parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    script.steps.iter().map(|step| format!("{} {}", step.number, action(&step.action))).collect()
}

fn action(action: &Action) -> String {
    let wait = |tried: &Try| {
        let pattern = tried.pattern.as_ref().map_or("nothing", Pattern::shown).to_owned();
        let first = if tried.first.is_empty() { String::new() } else { format!("{} ", keys(&tried.first)) };
        format!("{first}<{pattern} {}s", tried.wait.as_secs())
    };
    match action {
        Action::Expect(expect) => expect.tries.iter().map(wait).collect::<Vec<_>>().join(" | "),
        Action::Send(sent) => format!(">{}", keys(sent)),
        Action::Abort(patterns) => {
            format!("abort {}", patterns.iter().map(Pattern::shown).collect::<Vec<_>>().join(","))
        }
        Action::ClearAbort(shown) => format!("no abort {shown}"),
        Action::Say(text) => format!("say {text}"),
        Action::Automatic => "automatic".to_owned(),
    }
}

fn keys(keys: &Keys) -> String {
    let stroke = |stroke: &Stroke| match stroke {
        Stroke::Text(text) => text.expose().to_owned(),
        Stroke::Byte(byte) => std::ascii::escape_default(*byte).to_string(),
        Stroke::User => "{user}".into(),
        Stroke::Password => "{password}".into(),
        Stroke::Pause(length) => format!("{{{}ms}}", length.as_millis()),
        Stroke::Break(_) => "{break}".into(),
        Stroke::Echo(on) => format!("{{echo {on}}}"),
    };
    let typed: String = keys.strokes.iter().map(stroke).collect();
    if keys.hidden { format!("({typed})") } else { typed }
}

/// What `text` sends behind `x` in a script of Taylor UUCP, and in one of chat(8).
fn sent(text: &str) -> [String; 2] {
    let last =
        |script: String| steps(&script).pop().expect("a step").split_once('>').expect("keys").1.to_owned();
    [last(format!("x {text}")), last(format!("TIMEOUT 45 x {text}"))]
}

/// What `text` expects, in either.
fn expected(text: &str) -> [String; 2] {
    let first = |script: String| {
        let step = steps(&script).remove(0);
        step.split_once('<').expect("an expectation").1.rsplit_once(' ').expect("a wait").0.to_owned()
    };
    [first(text.to_owned()), first(format!("TIMEOUT 45 {text}"))]
}

fn problem(text: &str) -> String {
    parse(text).map_or_else(|problem| problem.to_string(), |_| panic!("{text} is accepted"))
}

#[test]
fn the_manuals_examples_are_understood() {
    assert_eq!(
        steps("ogin:--ogin: mary ssword: sesame"),
        ["1 <ogin: 10s | \\r <ogin: 45s", "1 >mary\\r", "2 <ssword: 45s", "2 >(sesame\\r)"]
    );
    assert_eq!(
        steps("\"\" \\r\\d\\r\\d ogin:-BREAK-ogin:-BREAK-ogin: \\L word: \\P"),
        [
            "1 >\\r{2000ms}\\r{2000ms}\\r",
            "2 <ogin: 10s | {break} <ogin: 10s | {break} <ogin: 45s",
            "2 >{user}\\r",
            "3 <word: 45s",
            "3 >{password}\\r",
        ]
    );
    assert_eq!(
        steps("ABORT BUSY ABORT 'NO CARRIER' TIMEOUT 30 ogin:--ogin: mary TIMEOUT 5 ssword: \\qse\\sme"),
        [
            "1 abort BUSY",
            "1 abort NO CARRIER",
            "1 <ogin: 30s | \\r <ogin: 30s",
            "1 >mary\\r",
            "2 <ssword: 5s",
            "2 >(se me\\r)",
        ]
    );
}

#[test]
fn every_escape_is_sent_as_each_of_the_two_means_it() {
    let same = [
        ("\\b", "\\x08\\r"),
        ("a\\c", "a"),
        ("\\K", "{break}\\r"),
        ("\\n", "\\n\\r"),
        ("\\N", "\\x00\\r"),
        ("\\r", "\\r\\r"),
        ("a\\sb", "a b\\r"),
        ("\\t", "\\t\\r"),
        ("\\\\", "\\\r"),
        ("\\101\\7\\0\\3777", "A\\x07\\x00\\xff7\\r"),
        ("\\x41\\x7z", "A\\x07z\\r"),
        ("a\\-b", "a-b\\r"),
        ("a-b", "a-b\\r"),
        ("\\^", "^\\r"),
        ("\\z", "z\\r"),
        ("\\Ea\\eb", "{echo true}a{echo false}b\\r"),
        ("\\L\\P", "{user}{password}\\r"),
        ("EOT", "\\x04"),
        ("BREAK", "{break}"),
        ("{user}", "{user}\\r"),
    ];
    for (text, means) in same {
        // A backslash in the expected text is one of Rust's, escape_default's or the script's own.
        assert_eq!(sent(text), [means, means].map(|m| m.replace("\\\r", "\\\\r")), "{text}");
    }
    let apart = [
        ("\\d", "{2000ms}\\r", "{1000ms}\\r"),
        ("\\p", "{500ms}\\r", "{100ms}\\r"),
        ("a\\cb", "ab", "acb\\r"),
        ("aEOT", "a\\x04", "aEOT\\r"),
        ("\\dBREAK\\d", "{2000ms}{break}{2000ms}", "{1000ms}BREAK{1000ms}\\r"),
        ("^D", "^D\\r", "\\x04\\r"),
        ("a^", "a^\\r", "a^\\r"),
        ("\"\"", "", "\\r"),
        ("don't", "don't\\r", "don't\\r"),
    ];
    for (text, taylor, chat) in apart {
        assert_eq!(sent(text), [taylor, chat], "{text}");
    }
}

#[test]
fn every_escape_is_expected_as_each_of_the_two_means_it() {
    let same = [
        ("a\\sb", "a b"),
        ("\\r\\n\\t", "\\r\\n\\t"),
        ("\\\\", "\\"),
        ("\\b", "\\u{8}"),
        ("\\101\\x42", "AB"),
        ("NO\\-DIAL", "NO-DIAL"),
        ("\\d\\K\\c", "dKc"),
        ("\\^", "^"),
    ];
    for (text, means) in same {
        assert_eq!(expected(text), [means, means], "{text}");
    }
    let apart = [("a\\N", "a\\0", "aN"), ("^D", "^D", "\\u{4}"), ("a\\0b", "a\\0b", "ab")];
    for (text, taylor, chat) in apart {
        assert_eq!(expected(text), [taylor, chat], "{text}");
    }
}

#[test]
fn quotation_marks_hold_a_word_together_and_make_the_script_one_of_chat() {
    assert_eq!(steps("'a b' \"c d\""), ["1 <a b 45s", "1 >c d\\r"]);
    assert_eq!(steps("'a \\' b' x"), ["1 <a ' b 45s", "1 >x\\r"]);
    assert_eq!(steps("'' x y '' z")[..], ["1 >x\\r", "2 <y 45s", "2 >\\r", "3 <z 45s"]);
    assert_eq!(steps("''ogin: x"), ["1 <ogin: 45s", "1 >x\\r"]);
    assert!(problem("ogin: 'x").contains("not closed"), "{}", problem("ogin: 'x"));
}

#[test]
fn an_empty_expectation_goes_on_at_once_and_taylor_sends_its_subsend() {
    assert_eq!(steps("\"\"-\\r-ogin: x"), ["1 \\r\\r <ogin: 45s", "1 >x\\r"]);
    assert_eq!(steps("TIMEOUT 9 \"\"-\\r-ogin: x"), ["1 >x\\r"]);
    assert_eq!(steps("ogin:-BREAK x"), ["1 <ogin: 10s | {break} <nothing 45s", "1 >x\\r"]);
    assert_eq!(steps("ogin:-\"\"-ogin: x")[0], "1 <ogin: 10s | <ogin: 45s");
}

#[test]
fn directives_are_done_or_refused_with_a_reason() {
    assert_eq!(
        steps("REPORT CONNECT ECHO ON HANGUP ON ABORT X CLR_ABORT X SAY 'hello\\n' a b")[..3],
        ["1 abort X", "1 no abort X", "1 say hello"]
    );
    assert_eq!(steps("TIMEOUT 0 a TIMEOUT 9999 b")[0], "1 <a 45s");
    for (text, says) in [
        ("HANGUP OFF a b", "dial_back"),
        ("TIMEOUT soon a b", "number of seconds"),
        ("ECHO maybe a b", "ON or OFF"),
        ("ABORT '' a b", "nothing in it"),
        ("a b ABORT", "needs a word"),
        ("'' ATZ OK ATDT5551212 CONNECT '' ogin: x", "phone"),
        ("CONNECT '' ogin: x", "behind CONNECT"),
        ("a \\T", "phone"),
        ("a \\M", "carrier"),
        ("", "empty"),
    ] {
        assert!(problem(text).contains(says), "{text}: {}", problem(text));
    }
}

#[test]
fn a_problem_names_the_word_and_shows_no_password() {
    let told = problem("ogin: mary ssword: \\qhunter2\\T");
    assert!(told.starts_with("word 4") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_script_of_several_lines_may_have_comments() {
    assert_eq!(steps("# the host in the attic\nogin: mary \\\n ssword:\n x").len(), 4);
    assert_eq!(steps("# x"), ["1 <# 45s", "1 >x\\r"], "the prompt of root, in one line");
}

#[test]
fn what_is_hidden_and_what_answers_a_password_prompt_is_secret() {
    let secrets = |text: &str| -> Vec<String> {
        let script = parse(text).unwrap();
        script.secrets().map(|secret| secret.expose().to_owned()).collect()
    };
    assert_eq!(secrets("ogin: mary ssword: sesame"), ["sesame"]);
    assert_eq!(secrets("ogin: \\qmary x: \\101b\\sc"), ["mary"]);
    assert_eq!(secrets("assword:--assword: a-b"), ["a-b"]);
    assert_eq!(secrets("ogin: \\L ssword: \\P"), [""; 0]);
    assert!(!format!("{:?}", parse("ogin: mary ssword: hunter2")).contains("hunter2"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "([ -~]|\\\\[a-zA-Z0-9^-]|[\\n'\"-]|ABORT |TIMEOUT |é|BREAK){0,60}") {
        let _ = parse(&text);
    }
}
