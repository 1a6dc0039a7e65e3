//! Scripted hosts in virtual time: what is typed, when, and how each login ends.

use proptest::prelude::*;

use super::*;
use crate::login::LOGIN_WAIT_MAX;
use crate::sim::converse::{Conversation, Peer, PeerStep, converse, epoch};
use crate::sim::getty::Getty;
use crate::sim::misclocked::misclocked;
use crate::sim::wire::LineQuality;

mod banners;
mod broadcasts;
mod menus;
mod never_typed;
mod no_entry;
mod second_factor;

/// What a scripted host does, one thing after another.
#[derive(Clone)]
enum Step {
    Say(Vec<u8>),
    Pause(u64),
    /// Until these keys have come; what came before them is forgotten.
    Hear(&'static str),
    /// The same for what is no text.
    HearBytes(Vec<u8>),
    HangUp,
}

fn say(text: impl AsRef<[u8]>) -> Step {
    Step::Say(text.as_ref().to_vec())
}

fn hear(keys: &'static str) -> Step {
    Step::Hear(keys)
}

struct Host {
    steps: VecDeque<Step>,
    heard: Vec<u8>,
    due: Option<Instant>,
}

impl Host {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), heard: Vec::new(), due: None }
    }
}

impl Peer for Host {
    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        loop {
            match self.steps.front() {
                None => return PeerStep::Wait(None),
                Some(Step::HangUp) => return PeerStep::HangUp,
                Some(Step::Say(bytes)) => {
                    let bytes = bytes.clone();
                    self.steps.pop_front();
                    return PeerStep::Transmit(bytes);
                }
                Some(Step::Pause(millis)) => {
                    let due = *self.due.get_or_insert(now + Duration::from_millis(*millis));
                    if now < due {
                        return PeerStep::Wait(Some(due));
                    }
                    self.due = None;
                }
                Some(step @ (Step::Hear(_) | Step::HearBytes(_))) => {
                    let keys = match step {
                        Step::HearBytes(keys) => keys,
                        Step::Hear(keys) => keys.as_bytes(),
                        Step::Say(_) | Step::Pause(_) | Step::HangUp => unreachable!("matched above"),
                    };
                    let Some(at) = self.heard.windows(keys.len()).position(|w| w == keys) else {
                        return PeerStep::Wait(None);
                    };
                    self.heard.drain(..at + keys.len());
                }
            }
            self.steps.pop_front();
        }
    }
}

const PASSWORD: &str = "sesame-42";

fn mary() -> Credentials {
    Credentials {
        user: Some("mary".into()),
        password: Some(Secret::new(PASSWORD.into())),
        ..Credentials::default()
    }
}

fn run_as(
    credentials: Credentials,
    quality: LineQuality,
    steps: impl IntoIterator<Item = Step>,
) -> Conversation<LoginEvent, LoginOutcome> {
    let mut login = Login::new(credentials, LoginLimits::default());
    let limit = LOGIN_WAIT_MAX + Duration::from_secs(60);
    let log = converse(&mut login, &mut Host::new(steps), quality, 1, limit);
    let told = format!("{:?} {:?}", log.events, log.outcome);
    assert!(!told.contains(PASSWORD), "the password is told: {told}");
    log
}

fn run(steps: impl IntoIterator<Item = Step>) -> Conversation<LoginEvent, LoginOutcome> {
    run_as(mary(), LineQuality::PERFECT, steps)
}

fn logged_in(log: &Conversation<LoginEvent, LoginOutcome>) -> &LoggedIn {
    match &log.outcome {
        Some(Ok(logged_in)) => logged_in,
        other => panic!("no login: {other:?}; events {:?}", log.events),
    }
}

fn error(log: &Conversation<LoginEvent, LoginOutcome>) -> &LoginError {
    match &log.outcome {
        Some(Err(error)) => error,
        other => panic!("no error: {other:?}; events {:?}", log.events),
    }
}

fn sent(log: &Conversation<LoginEvent, LoginOutcome>) -> String {
    String::from_utf8_lossy(&log.sent).into_owned()
}

fn debian() -> Vec<Step> {
    vec![
        say("\r\nDebian GNU/Linux 12 debian ttyS0\r\n\r\ndebian login: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\n"),
        Step::Pause(400),
        say("Linux debian 6.1.0 #1 SMP x86_64\r\n\r\nLast login: Tue Mar  3 09:14:02 on ttyS0\r\n"),
        say("You have new mail.\r\nThe word Password: and login: stand in this line.\r\n"),
        Step::Pause(900),
        say("\x1b[?2004h\x1b]0;mary@debian: ~\x07\x1b[01;32mmary@debian\x1b[00m:\x1b[01;34m~\x1b[00m$ "),
    ]
}

const LOGIN_KEYS: &str = "mary\rsesame-42\r";

#[test]
fn a_debian_host_lets_in_and_its_news_fool_nobody() {
    let log = run(debian());
    let expected = LoggedIn {
        prompt: "mary@debian:~$".into(),
        look: PromptLook::Shell,
        login_needed: true,
        seven_bit: false,
    };
    assert_eq!(logged_in(&log), &expected);
    assert_eq!(sent(&log), LOGIN_KEYS);
    assert!(log.events.contains(&LoginEvent::Text("You have new mail.".into())));
    assert!(log.elapsed < Duration::from_secs(4), "{:?}", log.elapsed);
}

#[test]
fn it_does_not_matter_how_the_bytes_arrive() {
    for bps in [110, 300, 2_400, 57_600] {
        let quality =
            LineQuality { bps: Some(bps), latency: Duration::from_millis(600), ..LineQuality::PERFECT };
        assert_eq!(sent(&run_as(mary(), quality, debian())), LOGIN_KEYS, "at {bps} bit/s");
    }
    // Each text the host sends, split at every byte, with and without a pause in between.
    for (index, step) in debian().iter().enumerate() {
        let Step::Say(text) = step else { continue };
        for cut in 1..text.len() {
            for pause in [1, 200] {
                let mut steps = debian();
                steps.splice(index..=index, [say(&text[..cut]), Step::Pause(pause), say(&text[cut..])]);
                let log = run(steps);
                assert_eq!((sent(&log).as_str(), logged_in(&log).look), (LOGIN_KEYS, PromptLook::Shell));
            }
        }
    }
}

#[test]
fn hosts_of_many_kinds_let_in() {
    let hosts: &[(&str, &str, &str)] = &[
        ("\r\n Welcome to OpenVMS\r\n\r\nUsername: ", "mary\r\nPassword: ", "\r\n\tWelcome\r\n\r\n$ "),
        ("\r\n\r\nUser Access Verification\r\n\r\nUsername: ", "mary\r\nPassword: ", "\r\nRouter>"),
        ("AIX Version 4\r\nlogin: ", "mary\r\nmary's Password: ", "\r\n*** Welcome ***\r\n$ "),
        ("IRIX (iris)\r\n\r\nlogin: ", "mary\r\nPassword:", "\r\n\r\nTERM = (vt100) "),
        ("FreeBSD/i386 (beastie) (ttyd0)\r\n\r\nlogin: ", "mary\r\nPassword:", "\r\nbeastie% "),
        ("rechner Anmeldung: ", "mary\r\nPasswort: ", "\r\nmary@rechner:~> "),
        ("login: ", "\r\nPassword: ", "\r\n# "),   // echoes nothing
        ("login: ", "mary\r\r\nPassword: ", "$ "), // no newline after the password
        ("login: ", "maryPassword: ", "\r\n$ "),   // nor after the name
        ("\x1b[2J\x1b[HHello\x1b[5;10Hlogin: ", "mary\r\nPassword: ", "\r\n\x1b[32m$\x1b[m "),
    ];
    for (banner, password, shell) in hosts {
        let steps = [
            say(banner),
            hear("mary\r"),
            say(password),
            hear("sesame-42\r"),
            say(shell),
            hear("\r"),
            say("\r\n$ "),
        ];
        let log = run(steps);
        assert_eq!(logged_in(&log).look, PromptLook::Shell, "{banner:?}");
        assert!(sent(&log).starts_with(LOGIN_KEYS), "{banner:?}: {:?}", sent(&log));
    }
}

#[test]
fn a_host_of_seven_bits_and_any_parity_is_read_and_answered_in_it() {
    for parity in [HostParity::Even, HostParity::Odd, HostParity::Mark] {
        let put = |text: &str| -> Vec<u8> { text.bytes().map(|byte| parity.put_on(byte)).collect() };
        let log = run([
            say(put("\r\nhost login: ")),
            Step::HearBytes(put("mary\r")),
            say(put("mary\r\nPassword: ")),
            Step::HearBytes(put("sesame-42\r")),
            say(put("\r\nWelcome\r\n$ ")),
        ]);
        assert_eq!(logged_in(&log).prompt, "$", "{parity:?}");
        assert!(logged_in(&log).seven_bit);
        assert!(log.events.contains(&LoginEvent::Text("Welcome".into())));
    }
}

#[test]
fn a_shell_that_is_already_there_needs_no_login() {
    let log = run([say("\r\nsh-5.2# ")]);
    assert_eq!((sent(&log).as_str(), logged_in(&log).login_needed), ("", false));
    let log = run([hear("\r"), say("\r\n$ ")]);
    assert_eq!((sent(&log).as_str(), logged_in(&log).login_needed), ("\r", false));
}

#[test]
fn a_silent_host_is_nudged_until_it_asks() {
    let log = run([hear("\r"), hear("\r"), say("\r\nlogin: "), hear("mary\r"), say("mary\r\n$ ")]);
    assert_eq!(sent(&log), "\r\rmary\r");
    assert_eq!(log.events[..2], [LoginEvent::Nudged, LoginEvent::Nudged]);
    assert!(logged_in(&log).login_needed);
}

#[test]
fn a_host_that_says_nothing_ends_the_login_in_time() {
    let log = run([]);
    assert!(matches!(error(&log), LoginError::NoPrompt { .. }));
    assert_eq!(sent(&log), "\r".repeat(SILENCE_NUDGES_AFTER.len()));
    assert!(log.elapsed <= LOGIN_WAIT_MAX);
    assert!(error(&log).to_string().contains("it said nothing"), "{}", error(&log));
}

#[test]
fn a_host_that_goes_silent_anywhere_ends_the_login_in_time() {
    for kept in 0..debian().len() {
        let log = run(debian().into_iter().take(kept));
        assert!(log.outcome.is_some(), "after {kept} steps");
        assert!(log.elapsed <= LOGIN_WAIT_MAX, "{:?} after {kept} steps", log.elapsed);
        assert!(sent(&log).matches(PASSWORD).count() <= 1);
    }
}

#[test]
fn a_host_that_babbles_for_ever_ends_the_login_in_time() {
    for babble in ["All work and no play\r\n", "x", "\0", "\x1b[6n", "login: \r\n", "$ "] {
        let steps = (0..20_000).flat_map(|_| [say(babble), Step::Pause(10)]);
        let log = run(steps);
        let is_no_text = babble == "\0";
        match error(&log) {
            LoginError::NoPrompt { .. } => assert!(!is_no_text),
            LoginError::Illegible { .. } => assert!(is_no_text),
            other => panic!("{babble:?}: {other}"),
        }
        assert!(log.elapsed <= LOGIN_WAIT_MAX + Duration::from_secs(1));
        assert!(!sent(&log).contains("mary"), "{babble:?}");
    }
}

#[test]
fn a_wrong_password_is_refused_and_nothing_is_typed_again() {
    let log = run([
        say("login: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("\r"),
        say("\r\n"),
        Step::Pause(3_000),
        say("Login incorrect\r\n\r\nUbuntu 24.04\r\nNews: none\r\nWeather: rain\r\nhost login: "),
    ]);
    assert!(
        matches!(error(&log), LoginError::Refused { said, .. } if said == "Login incorrect"),
        "{:?}",
        log.outcome
    );
    assert_eq!(sent(&log), LOGIN_KEYS);
    assert!(error(&log).to_string().contains("Login incorrect"));
}

#[test]
fn a_refusal_is_known_however_it_ends() {
    let start = || vec![say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("\r")];
    let ends: &[&[Step]] = &[
        &[say("\r\nLogin incorrect\r\n"), Step::HangUp],
        &[say("\r\nLogin incorrect\r\n")],                  // and silence
        &[say("\r\n"), Step::Pause(2_000), say("login: ")], // no word, but asked again
        &[say("\r\nPermission denied, please try again.\r\nmary@host's password: ")],
        &[say("\r\nThis account is currently not available.\r\n"), Step::HangUp],
        &[say("Login incorrect\r\nlogin: ")], // on the line of the password prompt
        &[say("\r\n% Access denied\r\n\r\nUsername: ")],
    ];
    for (index, end) in ends.iter().enumerate() {
        let log = run(start().into_iter().chain(end.iter().cloned()));
        assert!(matches!(error(&log), LoginError::Refused { .. }), "{index}: {:?}", log.outcome);
        assert_eq!(sent(&log), LOGIN_KEYS, "{index}");
    }
}

#[test]
fn words_of_refusal_in_the_news_are_no_refusal() {
    let log = run([
        say("login: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("\r"),
        say("\r\nWarning: access denied to strangers.\r\n-sh: /opt/x: Permission denied\r\n"),
        Step::Pause(2_500),
        say("$ "),
    ]);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
}

#[test]
fn an_expired_password_is_reported_and_nothing_is_typed() {
    let ends: &[&[&str]] = &[
        &[
            "\r\nYou are required to change your password immediately (password expired).\r\nCurrent password: ",
        ],
        &["\r\nChanging password for mary.\r\n(current) UNIX password: "],
        &["\r\nWARNING: Your password has expired.\r\nNew password: "],
        &["\r\nYour password has expired\r\n"],
    ];
    for end in ends {
        let start = [say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("\r")];
        let log = run(start.into_iter().chain(end.iter().map(say)));
        assert!(matches!(error(&log), LoginError::Expired { .. }), "{end:?}: {:?}", log.outcome);
        assert_eq!(sent(&log), LOGIN_KEYS);
    }
}

#[test]
fn missing_credentials_are_named() {
    let log = run_as(Credentials::default(), LineQuality::PERFECT, [say("login: ")]);
    assert!(matches!(error(&log), LoginError::NoUser { .. }));
    assert!(error(&log).to_string().contains("user name"));
    let credentials = Credentials { user: Some("mary".into()), ..Credentials::default() };
    let steps = [say("login: "), hear("mary\r"), say("mary\r\nPassword: ")];
    let log = run_as(credentials, LineQuality::PERFECT, steps);
    assert!(matches!(error(&log), LoginError::NoPassword { .. }));
    assert!(error(&log).to_string().contains("password"));
}

#[test]
fn a_lost_line_quotes_what_came_last() {
    let log = run([say("login: "), hear("mary\r"), say("mary\r\nPassword: "), Step::HangUp]);
    let LoginError::CarrierLost { last } = error(&log) else { panic!("{:?}", log.outcome) };
    assert_eq!(last.lines(), ["login: mary", "Password:"]);
}

#[test]
fn a_host_that_echoes_the_password_does_not_make_us_tell_it() {
    // `run_as` looks for the password in all events and errors.
    for echo in [PASSWORD, "*********", "sesame"] {
        let steps = [say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("\r")];
        let more = [say(echo), say(format!("\r\nYou typed {PASSWORD}!\r\nLogin incorrect\r\nlogin: "))];
        let log = run(steps.into_iter().chain(more));
        assert!(matches!(error(&log), LoginError::Refused { .. }), "{:?}", log.outcome);
        let masked = log.events.contains(&LoginEvent::Text("Password: ***".into()));
        assert!(masked, "{:?}", log.events);
    }
}

#[test]
fn a_damaged_prompt_is_asked_for_again() {
    let log = run([
        say("lo?in: "),
        hear("\r"),
        say("\r\nlogin: "),
        hear("mary\r"),
        say("mary\r\nPasswo?d: "),
        hear("\r"),
        say("\r\nLogin incorrect\r\nlogin: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\n$ "),
    ]);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(sent(&log), "\rmary\r\rmary\rsesame-42\r");
}

#[test]
fn a_user_name_damaged_on_the_way_is_typed_once_more() {
    let attempt = |end: &'static str| {
        [
            hear("mary\r"),
            say("m{ry\r\nPassword: "),
            hear("sesame-42\r"),
            say("\r\nLogin incorrect\r\n"),
            say(end),
        ]
    };
    let good = [hear("mary\r"), say("mary\r\nPassword: "), hear("sesame-42\r"), say("\r\n$ ")];
    let log = run([say("login: ")].into_iter().chain(attempt("login: ")).chain(good));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert!(log.events.contains(&LoginEvent::RetriedUser));

    // Once, not for ever.
    let log = run([say("login: ")].into_iter().chain(attempt("login: ")).chain(attempt("login: ")));
    assert!(matches!(error(&log), LoginError::Garbled { .. }), "{:?}", log.outcome);
    assert_eq!(sent(&log), LOGIN_KEYS.repeat(2));

    // An undamaged one is refused at the first no.
    let refused =
        [hear("mary\r"), say("mary\r\nPassword: "), hear("\r"), say("\r\nLogin incorrect\r\nlogin: ")];
    let log = run([say("login: ")].into_iter().chain(attempt("login: ")).chain(refused));
    assert!(matches!(error(&log), LoginError::Refused { .. }), "{:?}", log.outcome);
}

#[test]
fn a_return_lost_to_noise_is_pressed_again() {
    let log = run([
        say("login: "),
        hear("mary\r"),
        say("mary"),
        hear("\r"),
        say("\r\nPassword: "),
        hear("sesame-42\r"),
        hear("\r"),
        say("\r\n$ "),
    ]);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(sent(&log), "mary\r\rsesame-42\r\r");
}

#[test]
fn a_slow_host_is_waited_for() {
    let log = run([
        Step::Pause(2_500),
        say("\r\nlogin: "),
        hear("mary\r"),
        say("mary\r\n"),
        Step::Pause(12_000),
        say("Password: "),
        hear("sesame-42\r"),
        say("\r\n"),
        Step::Pause(20_000),
        say("Welcome\r\n"),
        Step::Pause(8_000),
        say("$ "),
    ]);
    assert_eq!((logged_in(&log).look, logged_in(&log).prompt.as_str()), (PromptLook::Shell, "$"));
}

#[test]
fn a_password_prompt_that_a_nudge_brought_up_is_not_given_the_password() {
    // A null modem on which somebody left a half-finished login: the RETURN that wakes the host may
    // have been taken for a user name.
    let log = run([
        hear("\r"),
        say("\r\nPassword: "),
        hear("\r"),
        say("\r\nLogin incorrect\r\nlogin: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\n$ "),
    ]);
    assert_eq!(sent(&log), format!("\r\r{LOGIN_KEYS}"));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
}

#[test]
fn the_halves_of_a_line_with_gaps_fool_nobody() {
    let log = run([
        say("The word Password: "),
        Step::Pause(1_000),
        say("stands here\r\nlogin: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\nYour account: "),
        Step::Pause(2_000),
        say("12 hours left\r\n$ "),
    ]);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(sent(&log), LOGIN_KEYS);
}

#[test]
fn garbage_that_ends_like_a_prompt_is_no_shell() {
    let garbage = say(b"~\xc0}\xff\x81$");
    let log = run([garbage, hear("\r"), say("\r\nlogin: "), hear("mary\r"), say("mary\r\n$ ")]);
    assert!(logged_in(&log).login_needed);
}

#[test]
fn a_line_that_asks_for_a_password_only_gets_it() {
    let log =
        run([say("\r\nUser Access Verification\r\n\r\nPassword: "), hear("sesame-42\r"), say("\r\nRouter>")]);
    assert_eq!(sent(&log), "sesame-42\r");
    assert!(logged_in(&log).login_needed);
}

#[test]
fn keys_pagers_and_terminal_types_on_the_way_are_answered() {
    let log = run([
        say("Press RETURN to connect\r\n"),
        hear("\r"),
        say("login: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\nlong news\r\n--More--"),
        hear(" "),
        say("\r        \rmore news\r\nTERM = (unknown) "),
        hear("\r"),
        say("\r\nTERM = (unknown) "),
        hear("vt100\r"),
        say("vt100\r\n[Press <Enter>]"),
        hear("\r"),
        say("\r\n/home/mary \x1b[6n"),
        hear("\x1b[1;1R"),
        say("$ "),
    ]);
    assert_eq!(logged_in(&log).prompt, "/home/mary $");
    assert_eq!(sent(&log), "\rmary\rsesame-42\r \rvt100\r\r\x1b[1;1R");
}

#[test]
fn a_host_that_wants_keys_for_ever_gets_a_bounded_number() {
    let asks = (0..200).flat_map(|_| [hear("\r"), say("\r\nPress RETURN to continue")]);
    let log = run([say("Press RETURN to continue")].into_iter().chain(asks));
    assert!(log.outcome.is_some());
    assert!(log.sent.len() <= KEYS_PRESSED_MAX as usize + SILENCE_NUDGES_AFTER.len());
}

#[test]
fn odd_shells_are_left_to_the_shells_own_conversation() {
    let start =
        || vec![say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("\r"), say("\r\nHello\r\n")];
    let log = run(start().into_iter().chain([say("ready when you are ")]));
    let found = logged_in(&log);
    assert_eq!((found.look, found.prompt.as_str()), (PromptLook::Unknown, "ready when you are"));
    let log = run(start());
    assert_eq!(logged_in(&log).look, PromptLook::Blank);
    // Without a login: the text that comes again after RETURN is a prompt.
    let log = run([say("ready "), hear("\r"), say("\r\nready ")]);
    assert_eq!(logged_in(&log).look, PromptLook::Unknown);
}

#[test]
fn a_host_that_asks_in_unknown_words_is_not_told_the_password() {
    let asks = [hear("mary\r"), say("mary\r\nZauberwort: "), hear("\r"), say("\r\nNein.\r\nlogin: ")];
    let log = run([say("login: ")].into_iter().chain(asks.clone()).chain(asks.clone()).chain(asks));
    assert!(matches!(error(&log), LoginError::NoPrompt { .. }), "{:?}", log.outcome);
    assert!(!sent(&log).contains(PASSWORD));
    assert!(error(&log).to_string().contains("Zauberwort"), "{}", error(&log));
}

#[test]
fn only_the_first_line_of_a_credential_is_typed() {
    let credentials = Credentials {
        user: Some("mary\nrm -r".into()),
        password: Some(Secret::new(format!("{PASSWORD}\n"))),
        ..Credentials::default()
    };
    let log = run_as(credentials, LineQuality::PERFECT, debian());
    assert_eq!(sent(&log), LOGIN_KEYS);
}

#[test]
fn the_simulated_getty_lets_in_and_refuses() {
    let getty = |password: &str| {
        Getty::new("station", "Field station\n", vec![("mary".into(), Secret::new(password.into()))])
    };
    let limit = LOGIN_WAIT_MAX;
    let quality = LineQuality { bps: Some(2_400), latency: Duration::from_millis(600), bit_error_rate: 0.0 };
    let mut login = Login::new(mary(), LoginLimits::default());
    let log = converse(&mut login, &mut getty(PASSWORD), quality, 1, limit);
    assert_eq!(logged_in(&log).prompt, "mary@station:~$");
    let mut login = Login::new(mary(), LoginLimits::default());
    let log = converse(&mut login, &mut getty("another"), quality, 1, limit);
    assert!(matches!(error(&log), LoginError::Refused { .. }));
    assert!(log.elapsed < Duration::from_secs(20), "{:?}", log.elapsed);
}

/// What reached a getty at which prompt.
struct Watched {
    getty: Getty,
    shown: Vec<u8>,
    names: Vec<Vec<u8>>,
    typed: Vec<u8>,
}

impl Peer for Watched {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        let at_name = self.shown.ends_with(b"login: ") || !self.typed.is_empty();
        for &byte in bytes {
            if at_name && byte != b'\r' {
                self.typed.push(byte);
            } else if !self.typed.is_empty() {
                self.names.push(std::mem::take(&mut self.typed));
            }
        }
        Peer::handle_input(&mut self.getty, now, bytes);
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        let step = Peer::poll(&mut self.getty, now);
        if let PeerStep::Transmit(bytes) = &step {
            self.shown.extend_from_slice(bytes);
        }
        step
    }
}

#[test]
fn noise_delays_a_login_and_never_puts_the_password_where_it_is_seen() {
    let quality = LineQuality { bps: Some(2_400), latency: Duration::from_millis(300), bit_error_rate: 2e-3 };
    let mut ends = [0; 3];
    for seed in 0..300 {
        let accounts = vec![("mary".to_owned(), Secret::new(PASSWORD.into()))];
        let getty = Getty::new("station", "Field station\n", accounts);
        let mut host = Watched { getty, shown: Vec::new(), names: Vec::new(), typed: Vec::new() };
        let mut login = Login::new(mary(), LoginLimits::default());
        let log = converse(&mut login, &mut host, quality, seed, LOGIN_WAIT_MAX * 2);
        let as_name = host.names.iter().any(|name| name.windows(6).any(|w| w == b"sesame"));
        assert!(!as_name, "seed {seed}: the password was typed as a user name: {:?}", log.events);
        let end = match log.outcome {
            Some(Ok(_)) => 0,
            Some(Err(LoginError::Refused { .. } | LoginError::Garbled { .. })) => 1,
            Some(Err(_)) => 2,
            None => panic!("seed {seed} hangs"),
        };
        ends[end] += 1;
    }
    // Two bytes in a hundred arrive damaged: most logins still succeed.
    assert!(ends[0] > 200, "{ends:?}: in, refused, other");
}

fn drive(login: &mut Login, chunks: &[Vec<u8>], pause: Duration) -> (LoginOutcome, Vec<u8>) {
    let mut now = epoch();
    let mut sent = Vec::new();
    let mut chunks = chunks.iter();
    loop {
        let mut rest: &[u8] = chunks.next().map_or(&[], Vec::as_slice);
        let chunk_end = now + pause;
        loop {
            let taken = if rest.is_empty() { 0 } else { login.handle_input(now, rest) };
            rest = &rest[taken..];
            let deadline = loop {
                match login.poll_output(now) {
                    Output::Transmit(transmit) => sent.extend_from_slice(&transmit.bytes),
                    Output::Control(_) | Output::Event(_) => {}
                    Output::Wait(deadline) => break deadline.expect("a login always waits for something"),
                    Output::Done(outcome) => return (outcome, sent),
                }
            };
            if rest.is_empty() {
                if chunks.len() > 0 && deadline > chunk_end {
                    now = chunk_end;
                    break;
                }
                now = now.max(deadline);
                login.handle_timeout(now);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))] // of up to 36 KB each

    #[test]
    fn any_bytes_split_anywhere_end_without_panic_or_hang(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..12),
        millis in 0_u64..8_000,
    ) {
        let mut login = Login::new(mary(), LoginLimits::default());
        let (outcome, _) = drive(&mut login, &chunks, Duration::from_millis(millis));
        let told = format!("{outcome:?}");
        prop_assert!(!told.contains(PASSWORD));
    }
}

proptest! {
    #[test]
    fn hosts_made_of_prompts_and_noise_get_few_keys(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "login: ", "Password: ", "\r\n", "Login incorrect\r\n", "$ ", "mary", "New password: ",
                "Press RETURN", "--More--", "\x1b[6n", "TERM = (x) ", "x", "Last login: ", ": ", "\r", "\x08",
            ]),
            0..40,
        ),
        millis in 100_u64..6_000,
    ) {
        let chunks: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        let mut login = Login::new(mary(), LoginLimits::default());
        let (_, sent) = drive(&mut login, &chunks, Duration::from_millis(millis));
        let sent = String::from_utf8_lossy(&sent).into_owned();
        prop_assert!(sent.matches(PASSWORD).count() <= PASSWORDS_TYPED_MAX as usize);
        prop_assert!(sent.matches("mary").count() <= USERS_TYPED_MAX as usize + 1);
        if !pieces.concat().contains("Password: ") {
            prop_assert!(!sent.contains(PASSWORD));
        }
    }
}

/// A getty that has several speeds and takes the next one at a BREAK, heard at one speed of ours.
struct Rotary {
    speeds: Vec<u32>,
    ours: u32,
    breaks: usize,
    /// What it says before it can be read.
    greeting: &'static [u8],
    saying: Option<Vec<u8>>,
    /// Once the speeds are the same.
    host: Host,
    first_key: Option<u8>,
}

impl Rotary {
    fn new(speeds: &[u32], ours: u32) -> Self {
        let steps = [
            hear("mary\r"),
            say("mary\r\nPassword: "),
            hear("sesame-42\r"),
            say("\r\nWelcome\r\nmary@host:~$ "),
        ];
        let greeting = b"\r\nhost.example.org login: ";
        let mut rotary = Self {
            speeds: speeds.to_vec(),
            ours,
            breaks: 0,
            greeting,
            saying: None,
            host: Host::new(steps),
            first_key: None,
        };
        rotary.greet();
        rotary
    }

    fn speed(&self) -> u32 {
        self.speeds[self.breaks % self.speeds.len()]
    }

    fn greet(&mut self) {
        self.saying = Some(misclocked(self.greeting, self.speed(), self.ours));
    }
}

impl Peer for Rotary {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.breaks > 0 {
            self.first_key = self.first_key.or(bytes.first().copied());
        }
        if self.speed() != self.ours || bytes == b"\r" && self.host.heard.is_empty() {
            return self.greet();
        }
        self.host.handle_input(now, bytes);
    }

    fn handle_control(&mut self, _now: Instant, control: Control) {
        assert!(matches!(control, Control::Break(length) if length >= Duration::from_millis(250)));
        self.breaks += 1;
        self.first_key = None;
        self.greet();
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        self.saying.take().map_or_else(|| self.host.poll(now), PeerStep::Transmit)
    }
}

fn run_rotary(speeds: &[u32], ours: u32) -> (Conversation<LoginEvent, LoginOutcome>, Rotary) {
    let mut login = Login::new(mary(), LoginLimits::default());
    let mut rotary = Rotary::new(speeds, ours);
    let limit = LOGIN_WAIT_MAX + Duration::from_secs(60);
    let log = converse(&mut login, &mut rotary, LineQuality::PERFECT, 1, limit);
    (log, rotary)
}

#[test]
fn a_getty_of_several_speeds_is_brought_to_ours_by_breaks() {
    for (ours, breaks) in [(9_600, 0), (2_400, 1), (1_200, 2), (4_800, 3)] {
        let (log, rotary) = run_rotary(&[9_600, 2_400, 1_200, 4_800], ours);
        assert_eq!(logged_in(&log).look, PromptLook::Shell, "{ours}");
        assert_eq!(rotary.breaks, breaks, "{ours}");
        assert_eq!(sent(&log).matches(PASSWORD).count(), 1);
        assert!(log.elapsed < Duration::from_secs(45), "{:?} at {ours}", log.elapsed);
    }
}

/// The kernel of a Linux host takes it for a command, and `b` would boot it.
#[test]
fn the_first_key_behind_a_break_is_return() {
    let (log, rotary) = run_rotary(&[9_600, 2_400], 2_400);
    assert!(logged_in(&log).login_needed);
    assert_eq!((rotary.breaks, rotary.first_key), (1, Some(b'\r')));
}

#[test]
fn a_host_at_none_of_our_speeds_is_given_up_after_a_few_breaks() {
    let (log, rotary) = run_rotary(&[9_600, 4_800], 1_200);
    let LoginError::Illegible { breaks, .. } = error(&log) else { panic!("{:?}", log.outcome) };
    assert_eq!((*breaks, rotary.breaks), (BREAKS_MAX, BREAKS_MAX as usize));
    assert!(log.elapsed <= LOGIN_WAIT_MAX);
    assert!(!sent(&log).contains("mary"), "{:?}", sent(&log));
}

#[test]
fn no_break_is_sent_to_a_host_that_can_be_read() {
    for said in ["\r\nWillkommen! W\u{e4}hlen Sie:\r\n", "\x0c\r\nMenu\r\n", "@", "\x1b[2J\x1b[H? "] {
        let log = run([say(said)]);
        assert_eq!(log.controls, [], "{said:?}");
    }
    assert_eq!(run(debian()).controls, []);
    assert_eq!(run([]).controls, [], "nor to one that says nothing");
}

const SSH_ASKS: &str = "mary@host.example.org's password: ";

#[test]
fn a_return_sent_while_ssh_connects_is_no_user_name() {
    let steps = [
        hear("\r"),
        say("\r\n"),
        Step::Pause(2_000),
        say(SSH_ASKS),
        hear("sesame-42\r"),
        say("\r\nWelcome\r\nmary@host:~$ "),
    ];
    let log = run(steps);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(sent(&log), "\rsesame-42\r");
}

#[test]
fn a_password_that_ssh_says_is_wrong_is_never_typed_again() {
    let again = format!("\r\nPermission denied, please try again.\r\n{SSH_ASKS}");
    let log = run([say(SSH_ASKS), hear("sesame-42\r"), Step::Pause(2_000), say(again)]);
    let LoginError::Refused { said, .. } = error(&log) else { panic!("{:?}", log.outcome) };
    assert_eq!(said, "Permission denied, please try again.");
    assert_eq!(sent(&log), "sesame-42\r");
}

#[test]
fn what_only_a_person_can_tell_ssh_ends_the_login_and_is_left_unanswered() {
    let unknown = "The authenticity of host 'host (192.0.2.1)' can't be established.\r\n\
                   ED25519 key fingerprint is SHA256:abc.\r\nThis key is not known by any other names.\r\n\
                   Are you sure you want to continue connecting (yes/no/[fingerprint])? ";
    let log = run([say(unknown)]);
    let LoginError::HostKeyUnknown { last } = error(&log) else { panic!("{:?}", log.outcome) };
    assert!(last.lines().iter().any(|line| line.contains("SHA256:abc")), "{last}");
    assert_eq!(sent(&log), "");
    let log = run([say("Enter passphrase for key '/home/mary/.ssh/id_ed25519': ")]);
    assert!(matches!(error(&log), LoginError::KeyLocked { .. }), "{:?}", log.outcome);
    assert_eq!(sent(&log), "");
    // A host that asks so later on is no ssh of ours.
    let log = run([say("login: "), hear("mary\r"), say("\r\nEnter passphrase for key 'x': "), Step::HangUp]);
    assert!(matches!(error(&log), LoginError::CarrierLost { .. }), "{:?}", log.outcome);
    assert!(!sent(&log).contains(PASSWORD));
}

#[test]
fn a_key_that_has_changed_is_told_in_ssh_s_words_once_it_has_ended() {
    let log = run([
        say("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n"),
        say("Host key for host has changed and you have requested strict checking.\r\n"),
        say("Host key verification failed.\r\n"),
        Step::HangUp,
    ]);
    assert!(matches!(error(&log), LoginError::HostKeyRefused { .. }), "{:?}", log.outcome);
    assert!(error(&log).to_string().contains("has changed and you have"), "{}", error(&log));
    let log = run([say("mary@host: Permission denied (publickey).\r\n"), Step::HangUp]);
    assert!(matches!(error(&log), LoginError::Refused { .. }), "{:?}", log.outcome);
}

#[test]
fn a_prompt_that_is_known_is_believed_sooner_and_only_letter_for_letter() {
    struct Shell(Option<&'static [u8]>);
    impl Peer for Shell {
        fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) {}
        fn poll(&mut self, _now: Instant) -> PeerStep {
            self.0.take().map_or(PeerStep::Wait(None), |said| PeerStep::Transmit(said.to_vec()))
        }
    }
    let time = |said: &'static [u8], known: &str| {
        let login = Login::new(Credentials::default(), LoginLimits::default());
        let mut login = login.knowing_prompt(Some(known.to_owned()));
        let limit = Duration::from_secs(200);
        let talk = converse(&mut login, &mut Shell(Some(said)), LineQuality::PERFECT, 1, limit);
        talk.outcome.and_then(Result::ok).map(|_| talk.elapsed)
    };
    for prompt in [&b"hello\r\nmary@host:~$ "[..], b"hello\r\nwhat now "] {
        let known = String::from_utf8_lossy(prompt).lines().last().unwrap().trim().to_owned();
        assert_eq!(time(prompt, &known), Some(PROMPT_QUIET), "{known}");
        assert!(time(prompt, &known[1..]).is_none_or(|time| time > 2 * PROMPT_QUIET), "{known}");
    }
    assert!(time(b"hello\r\n$ ", "").is_some_and(|time| time > 2 * PROMPT_QUIET));
}
