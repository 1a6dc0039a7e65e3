//! Hosts that want a one-time code: who is asked, with what, and what is never typed twice.

use super::*;

/// What a host wanted, each time it wanted a code.
type Wishes = Vec<(String, Option<String>)>;

/// Logs in, giving these codes as they are wanted.
fn run_with(
    credentials: Credentials,
    codes: &[&str],
    steps: impl IntoIterator<Item = Step>,
) -> (Conversation<LoginEvent, LoginOutcome>, Wishes) {
    let mut login = Login::new(credentials, LoginLimits::default());
    let mut host = Host::new(steps);
    let mut codes = codes.iter();
    let mut wishes = Vec::new();
    let (mut sent, mut events) = (Vec::new(), Vec::new());
    loop {
        let limit = LOGIN_WAIT_MAX + Duration::from_secs(60);
        let mut log = converse(&mut login, &mut host, LineQuality::PERFECT, 1, limit);
        sent.append(&mut log.sent);
        events.append(&mut log.events);
        if let Some(Err(LoginError::CodeWanted { prompt, challenge, .. })) = &log.outcome {
            wishes.push((prompt.clone(), challenge.as_ref().map(|challenge| challenge.text().to_owned())));
            if let Some(code) = codes.next() {
                login.give_code(Secret::new((*code).to_owned()));
                continue;
            }
        }
        (log.sent, log.events) = (sent, events);
        let told = format!("{:?} {:?}", log.events, log.outcome);
        assert!(!told.contains(PASSWORD) && !told.contains("314159"), "a secret is told: {told}");
        return (log, wishes);
    }
}

fn with_codes() -> Credentials {
    Credentials { has_codes: true, ..mary() }
}

const CODE: &str = "314159";

fn start() -> Vec<Step> {
    vec![say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("sesame-42\r")]
}

#[test]
fn a_code_is_asked_for_where_the_host_asks_and_typed_once() {
    for prompt in [
        "Verification code: ",
        "One-time password (OATH) for `mary': ",
        "Token: ",
        "Passcode: ",
        "Enter PASSCODE: ",
        "Response: ",
    ] {
        let steps = [say("\r\n"), say(prompt), hear("314159\r"), say("\r\nWelcome\r\nmary@host:~$ ")];
        let (log, wishes) = run_with(mary(), &[CODE], start().into_iter().chain(steps));
        assert_eq!(wishes, [(prompt.trim().to_owned(), None)]);
        assert_eq!(logged_in(&log).look, PromptLook::Shell, "{prompt}");
        assert_eq!(sent(&log), format!("{LOGIN_KEYS}314159\r"), "{prompt}");
    }
}

#[test]
fn without_anybody_to_ask_the_end_says_what_to_add() {
    let (log, _) = run_with(mary(), &[], start().into_iter().chain([say("\r\nVerification code: ")]));
    assert!(matches!(error(&log), LoginError::CodeWanted { .. }), "{:?}", log.outcome);
    assert!(error(&log).to_string().contains("otp = { command"), "{}", error(&log));
    assert_eq!(sent(&log), LOGIN_KEYS);
}

#[test]
fn a_second_password_is_the_code_where_there_are_codes_and_a_refusal_where_there_are_none() {
    let steps = || start().into_iter().chain([say("\r\nPassword: "), hear("314159\r"), say("\r\n$ ")]);
    let (log, _) = run_with(with_codes(), &[CODE], steps());
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    let (log, _) = run_with(mary(), &[CODE], steps());
    assert!(matches!(error(&log), LoginError::Refused { .. }), "{:?}", log.outcome);
    // What the host has refused is no first factor.
    let refused = [say("\r\nPermission denied, please try again.\r\nPassword: ")];
    let (log, wishes) = run_with(with_codes(), &[CODE], start().into_iter().chain(refused));
    assert!(matches!(error(&log), LoginError::Refused { .. }), "{:?}", log.outcome);
    assert_eq!(wishes, []);
}

#[test]
fn the_code_may_come_before_the_password() {
    let steps = [
        say("login: "),
        hear("mary\r"),
        say("mary\r\nVerification code: "),
        hear("314159\r"),
        say("\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\n$ "),
    ];
    let (log, _) = run_with(mary(), &[CODE], steps);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(sent(&log), "mary\r314159\rsesame-42\r");
}

#[test]
fn both_in_one_are_typed_in_one() {
    let steps = [
        say("login: "),
        hear("mary\r"),
        say("mary\r\nPassword & verification code: "),
        hear("sesame-42314159\r"),
        say("\r\n$ "),
    ];
    let (log, _) = run_with(with_codes(), &[CODE], steps);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
}

#[test]
fn a_challenge_is_handed_over_wherever_it_stands() {
    for (text, challenge) in [
        ("mary\r\notp-md5 487 dehoks\r\nResponse: ", "otp-md5 487 dehoks"), // OPIE
        ("mary\r\notp-md5 498 gr4269 ext\r\nPassword: ", "otp-md5 498 gr4269 ext"), // FreeBSD
        ("mary\r\ns/key 97 fw13894\r\nPassword: ", "s/key 97 fw13894"),
        ("mary\r\nPassword [ s/key 97 fw13894 ]: ", "s/key 97 fw13894"), // NetBSD
        ("mary\r\nChallenge: 12345678\r\nResponse: ", "12345678"),
    ] {
        let steps = [say("login: "), hear("mary\r"), say(text), hear("314159\r"), say("\r\n$ ")];
        let (log, wishes) = run_with(with_codes(), &[CODE], steps);
        assert_eq!(wishes.first().and_then(|wish| wish.1.as_deref()), Some(challenge), "{text:?}");
        assert_eq!(logged_in(&log).look, PromptLook::Shell, "{text:?}");
        assert_eq!(sent(&log), "mary\r314159\r", "{text:?}");
    }
}

#[test]
fn beside_a_challenge_the_password_is_typed_only_where_it_may_do() {
    let steps = |text: &'static str| [say("login: "), hear("mary\r"), say(text), hear("\r"), say("\r\n$ ")];
    let (log, wishes) = run_with(mary(), &[CODE], steps("mary\r\ns/key 97 fw13894\r\nPassword: "));
    assert_eq!((sent(&log).as_str(), wishes.len()), (LOGIN_KEYS, 0));
    let required = "mary\r\ns/key 97 fw13894 (s/key required)\r\nPassword: ";
    let (log, wishes) = run_with(mary(), &[CODE], steps(required));
    assert_eq!((sent(&log).as_str(), wishes.len()), ("mary\r314159\r", 1));
    let nobodys = Credentials { password: None, ..mary() };
    let (log, _) = run_with(nobodys, &[CODE], steps("mary\r\ns/key 97 fw13894\r\nPassword: "));
    assert_eq!(sent(&log), "mary\r314159\r");
}

#[test]
fn a_wrong_code_is_refused_and_the_same_one_is_never_typed_again() {
    let wrong = || start().into_iter().chain([say("\r\nVerification code: "), hear("\r")]);
    for end in [
        "\r\nLogin incorrect\r\nlogin: ",
        "\r\nIncorrect password\r\nVerification code: ",
        "\r\nVerification code: ", // without a word
    ] {
        let (log, _) = run_with(with_codes(), &[CODE, CODE, CODE], wrong().chain([say(end)]));
        assert!(matches!(error(&log), LoginError::CodeRefused { .. }), "{end:?}: {:?}", log.outcome);
        assert_eq!(sent(&log), format!("{LOGIN_KEYS}314159\r"), "{end:?}");
    }
}

#[test]
fn a_host_that_wants_codes_for_ever_gets_three() {
    let asks = (0..20).flat_map(|_| [say("\r\nToken: "), hear("\r")]);
    let codes = ["1001", "1002", "1003", "1004", "1005"];
    let (log, _) = run_with(with_codes(), &codes, start().into_iter().chain(asks));
    assert!(matches!(error(&log), LoginError::CodeRefused { .. }), "{:?}", log.outcome);
    assert_eq!(sent(&log), format!("{LOGIN_KEYS}1001\r1002\r1003\r"));
}

#[test]
fn a_menu_of_second_factors_is_shown_whole_and_a_nod_is_waited_for() {
    let duo = "\r\nDuo two-factor login for mary\r\n\r\nEnter a passcode or select one of the following options:\r\n\
               \r\n 1. Duo Push to XXX-XXX-1234\r\n 2. Phone call to XXX-XXX-1234\r\n\
               3. SMS passcodes to XXX-XXX-1234\r\n\r\nPasscode or option (1-3): ";
    let log = run(start().into_iter().chain([say(duo)]));
    let LoginError::CodeWanted { last, .. } = error(&log) else { panic!("{:?}", log.outcome) };
    assert!(last.lines().iter().any(|line| line.contains("1. Duo Push")), "{last}");
    let steps = [
        say(duo),
        hear("1\r"),
        say("1\r\nPushed a login request to your device...\r\n"),
        Step::Pause(40_000),
        say("Success. Logging you in...\r\n$ "),
    ];
    let (log, _) = run_with(mary(), &["1"], start().into_iter().chain(steps));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(sent(&log), format!("{LOGIN_KEYS}1\r"));
}

#[test]
fn a_code_that_comes_when_the_host_asks_no_more_is_not_typed() {
    let mut login = Login::new(mary(), LoginLimits::default());
    let limit = LOGIN_WAIT_MAX;
    let mut host = Host::new(start().into_iter().chain([say("\r\nVerification code: ")]));
    let log = converse(&mut login, &mut host, LineQuality::PERFECT, 1, limit);
    assert!(matches!(error(&log), LoginError::CodeWanted { .. }), "{:?}", log.outcome);
    login.give_code(Secret::new(CODE.into()));
    let mut host = Host::new([say("\r\nLogin timed out after 60 seconds\r\n"), Step::HangUp]);
    let log = converse(&mut login, &mut host, LineQuality::PERFECT, 1, limit);
    assert!(matches!(error(&log), LoginError::CarrierLost { .. }), "{:?}", log.outcome);
    assert_eq!(sent(&log), "");
}

#[test]
fn a_code_that_the_host_echoes_is_masked() {
    let steps = [say("\r\nVerification code: "), hear("314159\r"), say("314159\r\nYou typed 314159.\r\n$ ")];
    let (log, _) = run_with(mary(), &[CODE], start().into_iter().chain(steps)); // which looks for it
    assert!(log.events.contains(&LoginEvent::Text("You typed ********.".into())), "{:?}", log.events);
}
