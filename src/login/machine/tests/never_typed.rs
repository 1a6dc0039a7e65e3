//! What is never typed, whatever a host says: the password anywhere but at a password prompt, anything at all
//! where a new password is asked for.

use super::*;
use crate::login::LOGIN_WAIT_MAX;
use crate::login::prompts::prompt_look;

/// What hosts are made of here.
const PIECES: &[&str] = &[
    "login: ",
    "Password: ",
    "\r\n",
    "Login incorrect\r\n",
    "$ ",
    "mary",
    "New password: ",
    "Old password:",
    "Neues Passwort: ",
    "Retype new password: ",
    "Enter new UNIX password: ",
    "New password (8 characters or more, please): ",
    "Your password has expired.\r\n",
    "You are required to change your password immediately.\r\n",
    "Changing password for mary.\r\n",
    "Press RETURN",
    "Press RETURN\r\n",
    "--More--",
    "\x1b[6n",
    "\x1b[c",
    "TERM = (x) ",
    "x",
    "Last login: ",
    ": ",
    "\r",
    "\x08",
    "\x1b[2J",
    "Verification code: ",
    "Passcode: ",
    "Response: ",
    "otp-md5 487 dehoks\r\n",
    "1) Mail 2) Shell\r\n",
    "Choice: ",
    "Broadcast message from root\r\n",
    "The account is locked.\r\n",
    "too many logins\r\n",
    "NO LOGINS\r\n",
    "\x05",
    "\u{ff}",
    "?",
    "\x7f",
];

/// A login that is fed by a schedule, and everything that came of it.
struct Fed {
    outcome: LoginOutcome,
    sent: usize,
    passwords: usize,
    lasted: Duration,
}

/// Feeds these chunks with a pause before each; then the line is quiet, or is cut off. Each time something is
/// sent, `look` is shown what stands on the line.
fn feed(
    credentials: &Credentials,
    chunks: &[(Duration, Vec<u8>)],
    hangs_up: bool,
    mut look: impl FnMut(&str, &Transmit),
) -> Fed {
    let mut login = Login::new(credentials.clone(), LoginLimits::default());
    let start = epoch();
    let (mut now, mut due) = (start, start);
    let mut chunks = chunks.iter();
    let mut next = chunks.next();
    let mut held: Vec<u8> = Vec::new();
    let (mut sent, mut passwords, mut codes) = (0, 0, 0);
    let mut since = start;
    let mut lasted = Duration::ZERO;
    // What stood on the line when the machine made up its mind.
    let mut open = String::new();
    loop {
        let taken = if held.is_empty() { 0 } else { login.handle_input(now, &held) };
        held.drain(..taken);
        let wake = loop {
            match login.poll_output(now) {
                Output::Transmit(transmit) => {
                    look(&open, &transmit);
                    sent += transmit.bytes.len();
                    passwords +=
                        usize::from(transmit.secret && transmit.bytes.starts_with(PASSWORD.as_bytes()));
                }
                Output::Control(_) | Output::Event(_) => {}
                Output::Wait(wake) => break wake.expect("a login always waits for something"),
                Output::Done(Err(LoginError::CodeWanted { .. })) if codes < 5 => {
                    lasted = lasted.max(now - since);
                    since = now;
                    codes += 1;
                    login.give_code(Secret::new(format!("code-{codes}")));
                }
                Output::Done(outcome) => {
                    return Fed { outcome, sent, passwords, lasted: lasted.max(now - since) };
                }
            }
        };
        if !held.is_empty() {
            continue;
        }
        match next {
            Some((pause, bytes)) if due + *pause <= wake => {
                due += *pause;
                now = now.max(due);
                held.extend_from_slice(bytes);
                next = chunks.next();
            }
            None if hangs_up => login.handle_hangup(now),
            Some(_) | None => {
                now = now.max(wake);
                open = login.text.open_line().said().to_owned();
                login.handle_timeout(now);
            }
        }
    }
}

fn schedule() -> impl Strategy<Value = Vec<(Duration, Vec<u8>)>> {
    let piece = prop_oneof![
        12 => prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    let pause = prop_oneof![3 => Just(0_u64), 2 => 0_u64..400, 2 => 400_u64..6_000, 1 => 6_000_u64..40_000];
    prop::collection::vec((pause.prop_map(Duration::from_millis), piece), 0..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_host_gets_the_password_at_a_password_prompt_only_and_nothing_for_a_new_one(
        chunks in schedule(),
        has_codes in any::<bool>(),
        hangs_up in any::<bool>(),
    ) {
        let credentials = Credentials { has_codes, ..mary() };
        let fed = feed(&credentials, &chunks, hangs_up, |open, transmit| {
            let look = prompt_look(open.strip_prefix("mary").unwrap_or(open)); // the name's echo
            // Answers to terminals' questions are sent as soon as they are asked; the line may have gone on.
            let is_answer = transmit.bytes.starts_with(b"\x1b[");
            assert!(is_answer || look != Some(Prompt::ChangePassword), "{open:?} got {transmit:?}");
            if transmit.bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()) {
                let asks = matches!(look, Some(Prompt::Password | Prompt::Passcode));
                assert!(asks && transmit.secret, "{open:?} got the password");
            }
        });
        prop_assert!(fed.lasted <= LOGIN_WAIT_MAX, "{:?}", fed.lasted);
        prop_assert!(fed.passwords <= PASSWORDS_TYPED_MAX as usize);
        prop_assert!(fed.sent <= SENT_MAX, "{} bytes", fed.sent);
        let told = format!("{:?}", fed.outcome);
        prop_assert!(!told.contains(PASSWORD), "{told}");
    }

    #[test]
    fn nothing_is_typed_where_a_new_password_is_asked_for(
        before in prop::sample::select(vec![
            "", "Your password has expired.\r\n", "Password change required\r\n", "\x1b[2J", "\x1b[6n",
        ]),
        prompt in prop::sample::select(vec![
            "New password: ", "Enter new UNIX password: ", "Old password:", "(current) UNIX password: ",
            "Current password: ", "Neues Passwort: ", "Nouveau mot de passe : ", "Retype new password: ",
            "mary's New password: ", "New password (at least 8 characters, none of them a blank): ",
            "Enter your new password now: ", "Verification: ", "\x1b[c\x1b[6nNew password: \x1b[6n",
        ]),
        cut in 0_usize..40,
        pause in 0_u64..3_000,
        hangs_up in any::<bool>(),
    ) {
        let text = format!("\r\n{before}{prompt}");
        let cut = cut.min(text.len());
        let chunks = [
            (Duration::ZERO, b"login: ".to_vec()),
            (Duration::from_secs(1), b"mary\r\nPassword: ".to_vec()),
            (Duration::from_secs(1), text.as_bytes()[..cut].to_vec()),
            (Duration::from_millis(pause.min(280)), text.as_bytes()[cut..].to_vec()),
        ];
        let fed = feed(&mary(), &chunks, hangs_up, |open, transmit| {
            assert!(prompt_look(open) != Some(Prompt::ChangePassword), "{open:?} got {transmit:?}");
        });
        prop_assert!(matches!(fed.outcome, Err(LoginError::Expired { .. } | LoginError::CarrierLost { .. })), "{:?}", fed.outcome);
        prop_assert_eq!(fed.passwords, 1);
    }
}

/// Bytes sent to the most demanding host: keys, names, answers about the terminal, and nothing else.
const SENT_MAX: usize = 1_500;

#[test]
fn a_key_that_would_begin_the_change_of_a_password_is_not_pressed() {
    let start = [say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("\r")];
    let asks = "\r\nYour password has expired.\r\nPress RETURN to choose a new one";
    let log = run(start.into_iter().chain([say(asks), hear("\r"), say("\r\nNew password: ")]));
    assert!(matches!(error(&log), LoginError::Expired { .. }), "{:?}", log.outcome);
    assert_eq!(sent(&log), LOGIN_KEYS);
}
