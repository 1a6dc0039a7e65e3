//! Hosts that let this user in not now, or not at all, whatever the password is.

use super::*;

fn behind_the_password(text: &str, end: Step) -> Conversation<LoginEvent, LoginOutcome> {
    let start = [say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("\r"), say(text)];
    run(start.into_iter().chain([end]))
}

fn prompt_again() -> Step {
    say("\r\nhost login: ")
}

#[test]
fn a_locked_account_is_an_end_of_its_own() {
    for text in [
        "\r\nThe account is locked due to 3 failed logins.\r\n(10 minutes left to unlock)\r\nLogin incorrect\r\n",
        "\r\nYour account has expired; please contact your system administrator.\r\n",
        "\r\n3004-301 Your account has been locked; please see the system administrator.\r\n",
        "\r\n%LOGIN-F-DISUSER, account is disabled\r\n",
    ] {
        for end in [Step::HangUp, prompt_again(), Step::Pause(1)] {
            let log = behind_the_password(text, end);
            assert!(matches!(error(&log), LoginError::Locked { .. }), "{text:?}: {:?}", log.outcome);
            assert_eq!(sent(&log), LOGIN_KEYS);
        }
    }
}

/// pam_faillock says so in front of the password, and asks for it all the same.
#[test]
fn nothing_is_typed_for_an_account_that_is_said_to_be_locked() {
    let locked =
        "\r\nThe account is locked due to 3 failed logins.\r\n(10 minutes left to unlock)\r\nPassword: ";
    let log = run([say("login: "), hear("mary\r"), say("mary"), say(locked)]);
    let LoginError::Locked { said, .. } = error(&log) else { panic!("{:?}", log.outcome) };
    assert!(said.contains("locked due to 3"), "{said}");
    assert_eq!(sent(&log), "mary\r");
}

#[test]
fn a_host_without_room_is_an_end_of_its_own() {
    for text in [
        "\r\nThere were too many logins for 'mary'.\r\n\r\nLogin incorrect\r\n",
        "\r\nYou are already logged in on tty03.\r\n",
        "\r\nMaximum number of sessions reached\r\nPermission denied\r\n",
    ] {
        for end in [Step::HangUp, prompt_again()] {
            let log = behind_the_password(text, end);
            assert!(matches!(error(&log), LoginError::TooManySessions { .. }), "{text:?}: {:?}", log.outcome);
            assert_eq!(sent(&log), LOGIN_KEYS);
        }
    }
    // It may say so before it asks anything.
    let log = run([say("\r\nSorry, all lines are busy. Try again later.\r\n"), Step::HangUp]);
    assert!(matches!(error(&log), LoginError::TooManySessions { .. }), "{:?}", log.outcome);
}

const NOLOGIN: &str = "\r\nSystem is going down. Unprivileged users are not permitted to log in anymore. For \
                       technical details, see pam_nologin(8).\r\n\r\n";

#[test]
fn a_host_that_is_closed_is_an_end_of_its_own_wherever_it_says_so() {
    let log = behind_the_password(NOLOGIN, Step::HangUp);
    assert!(matches!(error(&log), LoginError::Closed { .. }), "{:?}", log.outcome);
    // In front of the password, as a stack with `requisite` has it.
    let start = || vec![say("login: "), hear("mary\r"), say("mary"), say(NOLOGIN)];
    for end in [&[Step::HangUp][..], &[say("\r\nLogin incorrect\r\nlogin: ")], &[]] {
        let log = run(start().into_iter().chain(end.iter().cloned()));
        assert!(matches!(error(&log), LoginError::Closed { .. }), "{:?}", log.outcome);
        assert!(!sent(&log).contains(PASSWORD), "{:?}", sent(&log));
    }
    // With `required` the password is asked for all the same, and is taken for nothing.
    let more = [say("Password: "), hear("\r"), say("\r\nLogin incorrect\r\nlogin: ")];
    let log = run(start().into_iter().chain(more));
    assert!(matches!(error(&log), LoginError::Closed { .. }), "{:?}", log.outcome);
    // root is shown it and let in.
    let more = [say("Password: "), hear("sesame-42\r"), say("\r\n# ")];
    let log = run(start().into_iter().chain(more));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    // And a host that only tells of it in its banner lets in.
    let banner = say("\r\nNO LOGINS: System going down at 17:45\r\n");
    let log = run([banner].into_iter().chain(debian()));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
}

#[test]
fn news_of_sessions_and_locks_keep_nobody_from_the_shell() {
    let news = "\r\nYou are already logged in on tty03.\r\nThe account is locked from midnight on.\r\n";
    let log = behind_the_password(news, say("$ "));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
}

#[test]
fn a_name_that_noise_damaged_is_not_said_to_be_locked() {
    let log = run([
        say("login: "),
        hear("mary\r"),
        say("m{ry\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\nAccount locked\r\n"),
        Step::HangUp,
    ]);
    assert!(matches!(error(&log), LoginError::Garbled { .. }), "{:?}", log.outcome);
}
