//! Statements as real hosts write them, and news that only sounds like them.

use super::{Statement, first_statement_look, is_broadcast, statement_look};

#[test]
fn refusals_are_known() {
    for line in [
        "Login incorrect",
        "Login incorrect.",
        "login: Login incorrect",
        "Sorry, login failed.",
        "% Login invalid",            // Cisco
        "% Authentication failed.",   // Cisco
        "User authorization failure", // VMS
        "Authentication failure",
        "Permission denied, please try again.",
        "Access denied",
        "Invalid login/password",
        "You entered an invalid login name or password.", // AIX
        "Invalid login.",
        "Incorrect password",
        "Wrong password",
        "Unknown user",
        "Username/Password Incorrect", // Annex
        "This account is currently not available.",
        "Maximum number of tries exceeded (3)",
        "Too many login failures",
        "Anmeldung fehlgeschlagen",
        "Mot de passe incorrect",
        "Login incorrecto",
        "Contraseña incorrecta",
        "Неверный пароль",
    ] {
        assert_eq!(statement_look(line), Some(Statement::Refused), "{line:?}");
    }
}

#[test]
fn expired_passwords_are_known_and_are_no_refusal() {
    for line in [
        "WARNING: Your password has expired.",
        "You are required to change your password immediately (administrator enforced).",
        "You are required to change your password immediately (password expired)",
        "Your password has expired. Choose a new one.", // Solaris
        "You must change your password now and login again!",
        "[compat]: 3004-610 You are required to change your password.", // AIX
        "Your password has expired; you must set a new password to log in", // VMS
        "Ihr Passwort ist abgelaufen.",
    ] {
        assert_eq!(statement_look(line), Some(Statement::Expired), "{line:?}");
    }
}

#[test]
fn news_of_the_day_states_nothing_about_this_login() {
    for line in [
        "Last login: Tue Mar  3 09:14:02 2026 from 192.0.2.7",
        "Last failed login: Tue Mar  3 09:14:02 2026 on ttyS0",
        "There were 3 failed login attempts since the last successful login.",
        "1 unsuccessful login attempt since last login.",
        "Warning: your password will expire in 5 days",
        "You have mail.",
        "You have new mail in /var/mail/mary",
        "Use of this system is monitored; enter no Password: you do not own.",
        "Linux host 6.1.0 #1 SMP x86_64 GNU/Linux",
        "Welcome to the field station.",
    ] {
        assert_eq!(statement_look(line), None, "{line:?}");
    }
    assert_eq!(statement_look("Please wait: checking for disk quotas"), Some(Statement::Wait));
}

#[test]
fn ssh_refuses_before_anything_is_typed_and_a_banner_does_not() {
    for (line, statement) in [
        ("mary@host: Permission denied (publickey,password).", Some(Statement::Refused)),
        ("@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", Some(Statement::HostKey)),
        ("Host key for host has changed and you have requested strict checking.", Some(Statement::HostKey)),
        (
            "No ED25519 host key is known for host and you have requested strict checking.",
            Some(Statement::HostKey),
        ),
        ("Host key verification failed.", Some(Statement::HostKey)),
        ("Access denied to all but staff. Login incorrect means no.", None),
        ("Permission denied, please try again.", None),
    ] {
        assert_eq!(first_statement_look(line), statement, "{line}");
    }
}

#[test]
fn a_locked_account_is_no_wrong_password() {
    for line in [
        "The account is locked due to 3 failed logins.", // pam_faillock
        "Account locked due to 5 failed logins",         // pam_tally2
        "Account temporarily locked (60 seconds left)",  // pam_tally
        "Your account has expired; please contact your system administrator.", // pam_unix
        "3004-301 Your account has been locked; please see the system administrator.", // AIX
        "3004-303 There have been too many unsuccessful login attempts; please see the system administrator.",
        "Account is disabled - see Account Administrator", // HP-UX
        "%LOGIN-F-DISUSER, account is disabled",           // VMS
        "Das Konto ist wegen 3 fehlgeschlagener Anmelde-Versuche gesperrt.",
        "La cuenta está bloqueada debido a 3 inicios de sesión fallidos.",
        "Срок действия учетной записи истек; обратитесь к системному администратору.",
    ] {
        assert_eq!(statement_look(line), Some(Statement::Locked), "{line:?}");
    }
    assert_ne!(
        statement_look("Your account will be locked after 3 failed login attempts."),
        Some(Statement::Locked)
    );
}

#[test]
fn a_host_without_room_or_that_is_closed_is_worth_another_call() {
    for line in [
        "There were too many logins for 'mary'.", // pam_limits
        "Too many logins for 'mary'.",
        "Too many users logged on. Try again later.",
        "You are already logged in on tty03.",
        "Maximum number of sessions exceeded",
        "-LOGIN-F-EXCEEDED, maximum number of interactive users exceeded",
        "Session limit reached",
        "Sorry, all lines are busy",
        "Zu viele Anmeldungen für 'mary'.",
        "Trop de connexions pour « mary ».",
    ] {
        assert_eq!(statement_look(line), Some(Statement::TooManySessions), "{line:?}");
        assert_eq!(first_statement_look(line), Some(Statement::TooManySessions), "{line:?}");
    }
    for line in [
        "System is going down. Unprivileged users are not permitted to log in anymore. For technical details, see pam_nologin(8).",
        "System is booting up. Unprivileged users are not permitted to log in yet. Please come back later.",
        "NO LOGINS: System going down at 17:45", // shutdown(8) of the BSDs
        "The system is not accepting logins now.",
        "Logins are currently disabled",
    ] {
        assert_eq!(statement_look(line), Some(Statement::Closed), "{line:?}");
    }
    assert_eq!(statement_look("Too many login failures"), Some(Statement::Refused));
}

#[test]
fn messages_to_all_terminals_are_known() {
    for line in [
        "Broadcast message from root@debian (pts/0) (Tue Mar  3 09:14:02 2026):",
        "Broadcast Message from operator@host",
        "*** FINAL System shutdown message from root@beastie ***",
    ] {
        assert!(is_broadcast(line), "{line}");
    }
    assert!(!is_broadcast("Messages: 3 from root"));
}
