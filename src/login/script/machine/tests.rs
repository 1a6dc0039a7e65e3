//! Scripts against hosts in virtual time: what is typed, when, and how each ends.

use super::super::{Expect, Pattern, Step, Try, chat};
use super::*;
use crate::sim::converse::{Conversation, Peer, PeerStep, converse, epoch};
use crate::sim::wire::LineQuality;

/// What a host does, one thing after another.
#[derive(Clone)]
enum Does {
    Say(&'static str),
    Pause(u64),
    /// Until these keys have come; what came before them is forgotten.
    Hear(&'static str),
    HangUp,
    /// Says this every 100 ms until it hears something.
    Babble(&'static str),
}
use Does::{Babble, HangUp, Hear, Pause, Say};

struct Host {
    does: VecDeque<Does>,
    heard: Vec<u8>,
    due: Option<Instant>,
    breaks: u32,
}

impl Peer for Host {
    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    fn handle_control(&mut self, _now: Instant, control: Control) {
        self.breaks += u32::from(matches!(control, Control::Break(_)));
        self.heard.extend_from_slice(b"<BREAK>");
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        loop {
            match self.does.front() {
                None => return PeerStep::Wait(None),
                Some(HangUp) => return PeerStep::HangUp,
                Some(Say(text)) => {
                    let text = text.as_bytes().to_vec();
                    self.does.pop_front();
                    return PeerStep::Transmit(text);
                }
                Some(Babble(text)) => {
                    let due = *self.due.get_or_insert(now + Duration::from_millis(100));
                    if now < due {
                        return PeerStep::Wait(Some(due));
                    }
                    self.due = None;
                    return PeerStep::Transmit(text.as_bytes().to_vec());
                }
                Some(Pause(millis)) => {
                    let due = *self.due.get_or_insert(now + Duration::from_millis(*millis));
                    if now < due {
                        return PeerStep::Wait(Some(due));
                    }
                    self.due = None;
                }
                Some(Hear(keys)) => {
                    let Some(at) = self.heard.windows(keys.len()).position(|w| w == keys.as_bytes()) else {
                        return PeerStep::Wait(None);
                    };
                    self.heard.drain(..at + keys.len());
                }
            }
            self.does.pop_front();
        }
    }
}

const PASSWORD: &str = "sesame-42";

fn mary() -> Credentials {
    Credentials { user: Some("mary".into()), password: Some(Secret::new(PASSWORD.into())), has_codes: false }
}

type Went = Conversation<ScriptEvent, ScriptOutcome>;

fn run_script(script: Script, quality: LineQuality, does: &[Does]) -> Went {
    let host = &mut Host { does: does.iter().cloned().collect(), heard: Vec::new(), due: None, breaks: 0 };
    let limit = SCRIPT_WAIT_MAX + Duration::from_secs(60);
    let log = converse(&mut ScriptLogin::new(script, mary()), host, quality, 1, limit);
    let told = format!("{:?} {:?}", log.events, log.outcome);
    assert!(!told.contains(PASSWORD), "the password is told: {told}");
    log
}

fn run(script: &str, does: &[Does]) -> Went {
    run_script(chat::parse(script).unwrap(), LineQuality::PERFECT, does)
}

fn logged_in(log: &Went) -> &LoggedIn {
    match &log.outcome {
        Some(Ok(ScriptEnd::LoggedIn(logged_in))) => logged_in,
        other => panic!("no login: {other:?}; events {:?}", log.events),
    }
}

fn error(log: &Went) -> &ScriptError {
    match &log.outcome {
        Some(Err(error)) => error,
        other => panic!("no error: {other:?}; events {:?}", log.events),
    }
}

fn sent(log: &Went) -> String {
    String::from_utf8_lossy(&log.sent).into_owned()
}

const LOGIN: &[Does] = &[
    Say("\r\nhost login: "),
    Hear("mary\r"),
    Say("mary\r\nPassword: "),
    Hear("sesame-42\r"),
    Say("\r\nWelcome to a host of 5$ a month\r\n"),
    Pause(700),
    Say("$ "),
];

#[test]
fn a_script_that_ends_with_the_password_waits_for_the_prompt() {
    let log = run("ogin:--ogin: \\L ssword: \\P", LOGIN);
    assert_eq!(sent(&log), "mary\rsesame-42\r");
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(logged_in(&log).prompt, "$");
    assert!(log.events.contains(&ScriptEvent::Login(LoginEvent::SentPassword)));
    assert!(log.events.contains(&ScriptEvent::Login(LoginEvent::Text("Password: ".trim().into()))));
}

#[test]
fn a_script_that_ends_with_a_prompt_is_over_there_and_leaves_the_rest() {
    let log = run("ogin: \\L ssword: \\P month\\r\\n", LOGIN);
    assert_eq!(logged_in(&log).look, PromptLook::Unknown);
    let log = run("ogin: \\L ssword: \\P $", &[LOGIN, &[Say("later")]].concat());
    assert_eq!(String::from_utf8_lossy(&log.left), " a month\r\n", "the first $, as chat has it");
}

#[test]
fn a_prompt_by_regular_expression_is_the_one_behind_which_the_host_stops() {
    let mut steps = chat::parse("ogin: \\L ssword: \\P").unwrap().steps;
    let pattern = Some(Pattern::regex("[$#>] ?$").unwrap());
    let tries = vec![Try { first: Keys::default(), pattern, wait: Duration::from_secs(20) }];
    let expect = Expect { tries, aborts: Vec::new(), optional: false };
    steps.push(Step { number: 3, action: Action::Expect(expect) });
    let log = run_script(Script::new(steps).unwrap(), LineQuality::PERFECT, LOGIN);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(
        log.elapsed,
        Duration::from_millis(1_200),
        "the host's pause, and the quiet behind its prompt"
    );
}

#[test]
fn a_subsend_brings_a_prompt_that_noise_has_taken() {
    let does = [&[Say("\r\nhost lo#in: "), Hear("\r"), Say("\r\n")], LOGIN].concat();
    let log = run("ogin:--ogin:--ogin: \\L ssword: \\P", &does);
    assert_eq!(sent(&log), "\rmary\rsesame-42\r");
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    let does = [&[Say("\u{7f}\u{7f}"), Hear("<BREAK>"), Say("\r\n")], LOGIN].concat();
    assert_eq!(sent(&run("ogin:-BREAK-ogin: \\L ssword: \\P", &does)), "mary\rsesame-42\r");
}

#[test]
fn what_does_not_come_in_time_names_the_step_and_the_host_s_last_words() {
    let does = [Say("login: "), Hear("mary\r"), Say("mary\r\nLogins are closed today.\r\n")];
    let log = run("TIMEOUT 7 ogin: \\L ssword:--ssword: \\P", &does);
    let ScriptError::TimedOut { step, wanted, waited, last } = error(&log) else {
        panic!("{:?}", log.outcome)
    };
    assert_eq!((*step, wanted.as_str(), waited.as_secs()), (2, "ssword:", 14));
    assert_eq!(last.lines(), ["login: mary", "Logins are closed today."]);
    let told = error(&log).to_string();
    assert!(told.contains("step 2") && told.contains("14 s") && told.contains("closed today"), "{told}");
}

#[test]
fn an_abort_string_ends_the_script_at_once_and_what_is_cleared_does_not() {
    let does = [Say("login: "), Hear("mary\r"), Say("mary\r\nSystem is FULL, go away\r\n")];
    let log = run("ABORT FULL ogin: \\L ssword: \\P", &does);
    let ScriptError::Aborted { step: 2, said, .. } = error(&log) else { panic!("{:?}", log.outcome) };
    assert_eq!(said, "FULL");
    assert_eq!(log.elapsed, Duration::ZERO);
    let log = run("ABORT FULL ogin: \\L CLR_ABORT FULL ssword: \\P", &does);
    assert!(matches!(error(&log), ScriptError::TimedOut { .. }), "{:?}", log.outcome);
}

#[test]
fn a_host_that_asks_again_behind_the_script_has_refused() {
    let does = [&LOGIN[..4], &[Say("\r\nLogin incorrect\r\nhost login: ")]].concat();
    let log = run("ogin: \\L ssword: \\P", &does);
    let ScriptError::Refused { said, .. } = error(&log) else { panic!("{:?}", log.outcome) };
    assert_eq!(said, "Login incorrect");
    let does = [&LOGIN[..4], &[Say("\r\nLogin incorrect\r\n"), HangUp]].concat();
    let log = run("ogin: \\L ssword: \\P", &does);
    assert!(matches!(error(&log), ScriptError::Refused { .. }), "{:?}", log.outcome);
    let does = [&LOGIN[..4], &[Say("\r\nYou must change your password now.\r\nNew password: ")]].concat();
    let log = run("ogin: \\L ssword: \\P", &does);
    assert!(matches!(error(&log), ScriptError::Expired { .. }), "{:?}", log.outcome);
    assert_eq!(sent(&log), "mary\rsesame-42\r");
}

#[test]
fn a_lost_line_names_the_step() {
    let log = run("ogin: \\L ssword: \\P", &[Say("login: "), Hear("mary\r"), Say("mary\r\nbye"), HangUp]);
    let ScriptError::CarrierLost { step, wanted, last } = error(&log) else { panic!("{:?}", log.outcome) };
    assert_eq!((*step, wanted.as_deref()), (2, Some("ssword:")));
    assert_eq!(last.lines(), ["login: mary", "bye"]);
}

#[test]
fn a_secret_of_the_script_is_masked_where_the_host_echoes_it() {
    let does = [
        Say("login: "),
        Hear("mary\r"),
        Say("mary\r\nPassword: "),
        Hear("hunter2\r"),
        Say("hunter2\r\nhunter2 is no password\r\n"),
        Pause(60_000),
        Say("you said hunter2"),
    ];
    let log = run("ogin: \\L ssword: \\qhunter2 never", &does);
    let told = format!("{:?} {:?} {}", log.events, log.outcome, error(&log));
    assert!(!told.contains("hunter2"), "{told}");
    assert!(told.contains("*** is no password"), "{told}");
}

#[test]
fn pauses_are_kept_and_what_comes_meanwhile_is_heard() {
    let log = run("TIMEOUT 5 ogin: \\d\\d\\L\\d ssword: \\P", LOGIN);
    // Two seconds, the third while the host has asked already, its pause and the prompt's quiet.
    assert_eq!(log.elapsed, Duration::from_millis(3_000 + 700 + 1_000));
    assert_eq!(sent(&log), "mary\rsesame-42\r");
}

#[test]
fn each_byte_waits_for_its_echo_where_the_script_says_so() {
    let echo = [Hear("m"), Say("m"), Hear("a"), Say("a"), Hear("ry\r"), Say("x")];
    let log = run("ogin: \\Ema\\ery x \\c", &[&[Say("login: ")], &echo[..]].concat());
    assert_eq!(sent(&log), "mary\r");
    let log = run("ogin: \\Ema\\ery x \\c", &[Say("login: "), Hear("m"), Say("n")]);
    assert!(matches!(error(&log), ScriptError::NotEchoed { step: 1, .. }), "{:?}", log.outcome);
    assert_eq!(sent(&log), "m");
}

#[test]
fn a_terminal_s_questions_are_answered_meanwhile() {
    let log = run("ogin: \\L $", &[Say("login: "), Hear("mary\r"), Say("\x1b[6n"), Hear("R"), Say("$ ")]);
    assert_eq!(sent(&log), "mary\r\x1b[1;1R");
}

#[test]
fn a_host_that_babbles_is_given_up_in_time() {
    let log = run("TIMEOUT 20 ogin: \\L", &[Babble("news and news\r\n")]);
    assert!(matches!(error(&log), ScriptError::TimedOut { .. }), "{:?}", log.outcome);
    assert!(log.elapsed < Duration::from_secs(21), "{:?}", log.elapsed);
    let log = run("ogin: \\L", &[Say("login: "), Hear("mary\r"), Babble("news and news\r\n")]);
    assert!(matches!(error(&log), ScriptError::NoPrompt { .. }), "{:?}", log.outcome);
    let forever = "x".to_owned() + &"--x".repeat(19);
    let log = run(&format!("TIMEOUT 600 {forever} \\L"), &[]);
    assert!(matches!(error(&log), ScriptError::TookTooLong { .. }), "{:?}", log.outcome);
    assert_eq!(log.elapsed, SCRIPT_WAIT_MAX);
}

#[test]
fn an_optional_step_is_passed_over_with_its_keys() {
    let step = |number, text: &str, optional| {
        let pattern = Some(Pattern::text(text.as_bytes()).unwrap());
        let tries = vec![Try { first: Keys::default(), pattern, wait: Duration::from_secs(5) }];
        Step { number, action: Action::Expect(Expect { tries, aborts: Vec::new(), optional }) }
    };
    let keys = |number, text: &str| {
        let strokes = vec![Stroke::Text(Secret::new(text.into())), Stroke::Byte(b'\r')];
        Step { number, action: Action::Send(Keys { strokes, hidden: false }) }
    };
    let script = || {
        let steps = vec![step(1, "ancel", true), keys(1, "q"), step(2, "ogin:", false), keys(2, "mary")];
        Script::new([steps, vec![Step { number: 3, action: Action::Automatic }]].concat()).unwrap()
    };
    let log = run_script(script(), LineQuality::PERFECT, &[Pause(6_000), Say("login: ")]);
    assert_eq!((sent(&log).as_str(), log.outcome), ("mary\r", Some(Ok(ScriptEnd::Automatic))));
    let log = run_script(script(), LineQuality::PERFECT, &[Say("q to cancel"), Hear("q\r"), Say("login: ")]);
    assert_eq!((sent(&log).as_str(), log.outcome), ("q\rmary\r", Some(Ok(ScriptEnd::Automatic))));
}

#[test]
fn parity_is_read_and_told() {
    let mut login = ScriptLogin::new(chat::parse("ogin: \\L $").unwrap(), mary());
    let mut now = epoch();
    let mut hear = |login: &mut ScriptLogin, text: &str| {
        let bytes: Vec<u8> =
            text.bytes().map(|b| if b.count_ones().is_multiple_of(2) { b } else { b | 0x80 }).collect();
        let mut rest = bytes.as_slice();
        loop {
            now += Duration::from_millis(1);
            let taken = login.handle_input(now, rest);
            rest = &rest[taken..];
            loop {
                match login.poll_output(now) {
                    Output::Wait(_) => break,
                    Output::Done(outcome) => return Some(outcome),
                    Output::Transmit(_) | Output::Control(_) | Output::Event(_) => {}
                }
            }
            if rest.is_empty() {
                return None;
            }
        }
    };
    assert_eq!(hear(&mut login, "\r\nhost login: "), None);
    let Some(Ok(ScriptEnd::LoggedIn(logged_in))) = hear(&mut login, "mary\r\n$ ") else { panic!("no login") };
    assert!(logged_in.seven_bit);
}

#[test]
fn on_a_noisy_line_a_script_ends_in_a_login_or_says_why() {
    let mut through = 0;
    for seed in 0..40 {
        let quality =
            LineQuality { bps: Some(2_400), latency: Duration::from_millis(100), bit_error_rate: 3e-4 };
        let does = [&[Say("\r\nhost login: "), Hear("\r"), Say("\r\nhost login: ")], &LOGIN[1..]].concat();
        let script = chat::parse("ogin:--ogin: \\L ssword: \\P").unwrap();
        let host = &mut Host { does: does.into(), heard: Vec::new(), due: None, breaks: 0 };
        let log = converse(&mut ScriptLogin::new(script, mary()), host, quality, seed, SCRIPT_WAIT_MAX);
        assert!(!format!("{:?} {:?}", log.events, log.outcome).contains(PASSWORD));
        through += u32::from(matches!(log.outcome, Some(Ok(_))));
        assert!(log.outcome.is_some(), "seed {seed}: {:?}", log.events);
    }
    assert!(through > 0);
}
