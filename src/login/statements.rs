//! What hosts say while one logs in, as tables: no, not now, another password first.
//!
//! To teach it another host, add a row and, in the tests, the line as that host writes it.

use super::prompts::{find, normalised};

/// What a line says about the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    /// The host will not let this user in.
    Refused,
    /// The password is right, but must be changed first.
    Expired,
    /// The account is locked, switched off or has run out.
    Locked,
    /// So many are logged in, or this user so often, that nobody more is let in.
    TooManySessions,
    /// Nobody is let in for the time being.
    Closed,
    /// The host is busy with it.
    Wait,
    /// `ssh` on this machine does not go on with a host of this key.
    HostKey,
}

impl Statement {
    /// True if it says why the login fails. `Login incorrect` behind it says no more.
    pub(super) fn is_reason(self) -> bool {
        match self {
            Self::Expired | Self::Locked | Self::TooManySessions | Self::Closed => true,
            Self::Refused | Self::Wait | Self::HostKey => false,
        }
    }
}

/// What a line says about the login, or `None` if nothing.
pub(super) fn statement_look(line: &str) -> Option<Statement> {
    let says = reader(line);
    if says(LOCKED) {
        Some(Statement::Locked) // whatever failed logins it tells of
    } else if says(HISTORY) {
        None // what became of earlier logins
    } else if says(EXPIRED) {
        Some(Statement::Expired)
    } else if says(TOO_MANY_SESSIONS) {
        Some(Statement::TooManySessions)
    } else if says(CLOSED) {
        Some(Statement::Closed)
    } else if says(REFUSED) {
        Some(Statement::Refused)
    } else if says(WAIT) {
        Some(Statement::Wait)
    } else {
        None
    }
}

/// What a line says about the login before anything was typed. No user is refused then, but by `ssh`,
/// which tries keys first: `mary@host: Permission denied (publickey).` All users may be.
pub(super) fn first_statement_look(line: &str) -> Option<Statement> {
    let says = reader(line);
    if says(HOST_KEY_REFUSED) {
        Some(Statement::HostKey)
    } else if says(&["permission denied ("]) {
        Some(Statement::Refused)
    } else if says(TOO_MANY_SESSIONS) {
        Some(Statement::TooManySessions)
    } else if says(CLOSED) {
        Some(Statement::Closed)
    } else {
        None
    }
}

/// True if somebody writes to all terminals, or to this one, from here on: wall(1), shutdown(8), write(1).
pub(super) fn is_broadcast(line: &str) -> bool {
    reader(line)(BROADCAST)
}

/// Tells whether one of a table's words stands in a line.
fn reader(line: &str) -> impl Fn(&[&str]) -> bool {
    let mut text = normalised(line);
    text.truncate(STATEMENT_CHARS_MAX);
    move |table| table.iter().any(|words| find(&text, words).is_some())
}

/// Statements stand at the beginning of a line, after a host's name at most.
const STATEMENT_CHARS_MAX: usize = 256;

/// The host says no.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    "login incorrect", "login failed", "login failure", "login invalid", "login denied", "login refused",
    "login not allowed", "incorrect login", "invalid login", "bad login", "illegal login", "login error",
    "you entered an invalid login name or password", "logon failure", "logon failed",
    "authentication failure", "authentication failed", "authentication failures", "authentication error",
    "authorization failure", "permission denied", "access denied", "access is denied", "access not permitted",
    "not permitted to log in", "not allowed to log in", "invalid password", "incorrect password",
    "password incorrect", "bad password", "wrong password", "password invalid", "invalid username",
    "invalid user name", "invalid user", "unknown user", "unknown login", "no such user", "unknown userid",
    "bad user", "user validation error", "account is currently not available", "account not available",
    "too many failed", "too many login", "too many tries", "too many attempts", "maximum number of tries",
    "no home directory", "anmeldung fehlgeschlagen", "login fehlgeschlagen", "login falsch",
    "falsches passwort", "authentifizierung fehlgeschlagen", "zugriff verweigert", "keine berechtigung",
    "fehler bei authentifizierung", "échec d'authentification", "échec de l'authentification",
    "identifiant incorrect", "identification incorrecte", "login incorrect", "mot de passe incorrect",
    "accès refusé", "permission non accordée", "login incorrecto", "nombre de usuario incorrecto",
    "contraseña incorrecta", "fallo de autenticación", "acceso denegado", "entrada incorrecta",
    "login errato", "login non corretto", "autenticazione fallita", "accesso negato", "password errata",
    "login incorreto", "senha incorreta", "falha de autenticação", "falha na autenticação", "acesso negado",
    "aanmelden mislukt", "onjuist wachtwoord", "inloggen mislukt", "toegang geweigerd",
    "inloggningen misslyckades", "felaktig inloggning", "åtkomst nekad", "niepoprawny login", "błędne hasło",
    "nieprawidłowe hasło", "nesprávné přihlášení", "chybné přihlášení", "неверный пароль", "неверный логин",
    "вход неверен", "ошибка входа", "доступ запрещён", "доступ запрещен",
];

/// The account is locked, or is one no more.
#[rustfmt::skip]
const LOCKED: &[&str] = &[
    "account is locked", "account locked", "account has been locked", "account is now locked",
    "account is temporarily locked", "account temporarily locked", "account was locked", "user is locked",
    "user locked out", "locked out", "account is disabled", "account disabled", "account has been disabled",
    "account is suspended", "account suspended", "account has been suspended", "account is inactive",
    "account has been deactivated", "too many unsuccessful login attempts", "account has expired",
    "account is expired", "account expired", "account has been closed", "konto ist gesperrt",
    "konto ist wegen", "konto gesperrt", "konto ist abgelaufen", "benutzerkonto ist abgelaufen",
    "compte est verrouillé", "compte est temporairement verrouillé", "compte verrouillé",
    "compte est désactivé", "compte a expiré", "compte de l’utilisateur a expiré", "cuenta está bloqueada",
    "cuenta bloqueada", "cuenta del usuario ha caducado", "cuenta ha caducado", "account bloccato",
    "account scaduto", "account utente scaduto", "conta bloqueada", "conta expirou",
    "conta do utilizador expirou", "conta do usuário expirou", "account is vergrendeld",
    "account is verlopen", "gebruikersaccount is verlopen", "konto zostało zablokowane", "konto wygasło",
    "konto użytkownika wygasło", "учетная запись заблокирована", "срок действия учетной записи",
    "kontot är låst", "konto har förfallit", "användarkontot har förfallit", "účet je uzamčen",
    "účet vypršel", "konto låst", "konto er udløbet", "brugerkontoen er udløbet", "konto er utløpt",
    "brukerkonto er utløpt", "käyttäjätili on lukittu", "käyttäjätili on vanhentunut",
];

/// There is no room for one more.
#[rustfmt::skip]
const TOO_MANY_SESSIONS: &[&str] = &[
    "too many logins", "too many users", "too many sessions", "too many concurrent", "too many simultaneous",
    "too many connections", "maximum number of sessions", "maximum number of users",
    "maximum number of logins", "maximum number of connections", "maximum number of concurrent",
    "maximum number of simultaneous", "maximum number of interactive users", "maximum sessions",
    "maximum logins", "maximum users", "session limit", "sessions limit", "interactive login limit",
    "login limit exceeded", "login limit reached", "user limit exceeded", "user limit reached",
    "license limit", "licence limit", "number of users exceeded", "already logged in", "already logged on",
    "already signed on", "only one login", "only one session", "one session only", "simultaneous logins",
    "concurrent logins", "multiple logins", "no more logins", "no more users", "no more sessions",
    "no free lines", "no free ports", "no ports available", "no lines available", "all ports are busy",
    "all ports busy", "all lines are busy", "all lines busy", "host is full", "system is full",
    "unix capacity exceeded", "zu viele anmeldungen", "bereits angemeldet", "trop de connexions",
    "déjà connecté", "demasiados inicios de sesión", "ya ha iniciado sesión", "troppi accessi",
    "demasiados inícios de sessão", "logins demais", "te veel aanmeldingen", "för många inloggningar",
    "příliš mnoho přihlášení", "for mange logins", "for mange innlogginger", "za dużo prób zalogowania",
    "слишком много регистраций", "liian monta kirjautumista",
];

/// Nobody is let in: nologin(5), shutdown(8), a terminal server that is looked after.
#[rustfmt::skip]
const CLOSED: &[&str] = &[
    "system is going down", "system going down", "system is booting up", "system is shutting down",
    "system shutting down", "not accepting logins", "no logins", "logins are disabled",
    "logins are currently disabled", "logins disabled", "logins are not allowed", "logins not allowed",
    "logins are not permitted", "login is disabled", "login is currently disabled", "login disabled",
    "unprivileged users are not permitted to log in", "down for maintenance", "closed for maintenance",
    "single user mode", "single-user mode", "system wird heruntergefahren", "wartungsarbeiten",
];

/// The host wants another password first.
#[rustfmt::skip]
const EXPIRED: &[&str] = &[
    "password has expired", "password is expired", "password expired", "password aged", "password has aged",
    "passwd has expired", "required to change your password", "must change your password",
    "must change your passwd", "need to change your password", "choose a new password", "choose a new one",
    "change your password now", "change your expired password", "passwort ist abgelaufen",
    "passwort abgelaufen", "passwort sofort ändern", "kennwort ist abgelaufen", "mot de passe a expiré",
    "mot de passe est expiré", "changer votre mot de passe", "contraseña ha caducado",
    "contraseña ha expirado", "debe cambiar su contraseña", "password è scaduta", "password scaduta",
    "senha expirou", "wachtwoord is verlopen", "lösenord har gått ut", "hasło wygasło",
    "срок действия пароля истёк", "changing password for", "change your password immediately",
    "password must be changed", "must set a new password", "you must choose a new password",
    "ändern des passworts für", "changer votre mot de passe immédiatement", "changement du mot de passe pour",
    "cambiando la contraseña de", "modifica immediata della password", "cambio password per",
    "altere de imediato a sua senha", "mude sua senha imediatamente", "alterar senha para",
    "mudando senha para", "onmiddellijk je wachtwoord wijzigen", "veranderen van wachtwoord voor",
    "natychmiastowa zmiana hasła", "zmienianie hasła dla", "немедленно сменить пароль", "смена пароля для",
    "ändra ditt lösenord omedelbart", "ändrar lösenord för", "musíte změnit své heslo", "změna hesla pro",
    "ændre din adgangskode omgående", "ændrer adgangskode for", "straks endre passordet",
    "endrer passord for", "salasanasi täytyy vaihtaa", "用にパスワードを変更中",
];

/// OpenSSH does not like the host's key.
#[rustfmt::skip]
const HOST_KEY_REFUSED: &[&str] = &[
    "remote host identification has changed", "and you have requested strict checking",
    "host key verification failed",
];

/// The host is busy, and says so.
#[rustfmt::skip]
const WAIT: &[&str] = &[
    "please wait", "one moment", "stand by", "checking", "verifying", "authenticating", "bitte warten",
    "patientez", "pushed a login request", "calling your phone", "waiting for approval",
];

/// Lines about logins of the past, or of the future.
#[rustfmt::skip]
const HISTORY: &[&str] = &[
    "last login", "last failed login", "last unsuccessful login", "last successful login", "since the last",
    "since your last", "since last", "failed login attempt", "failed login attempts", "failures since",
    "will expire", "expires in",
];

/// How messages begin that belong to no login.
#[rustfmt::skip]
const BROADCAST: &[&str] = &[
    "broadcast message from", "broadcast message of", "message from root@", "message from operator",
    "*** final system shutdown message", "*** system shutdown message",
];

#[cfg(test)]
mod tests;
