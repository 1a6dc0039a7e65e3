//! What hosts ask and say while one logs in, as tables, and how a line is compared with them.
//!
//! To teach it another host, add a row and, below, the line as that host writes it.

/// What the unfinished line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// A user name.
    User,
    /// The password of that user.
    Password,
    /// A code that is good for once.
    Code,
    /// A word that some hosts have for that, and others for a password.
    Passcode,
    /// A new password, or the old one so that it can be changed.
    ChangePassword,
    /// RETURN, or any key.
    PressReturn,
    /// A pager stands between two pages.
    More,
    /// A pager stands at the end of a text that has to be quit.
    PagerEnd,
    /// The type of the terminal.
    TerminalType,
    /// Whether a host's key is right, by `ssh` on this machine.
    HostKey,
    /// What opens a key of this machine, by `ssh`.
    KeyPassphrase,
    /// A command, by the look of it.
    Shell,
}

/// What an unfinished line asks for, or `None` if it is nothing known. Parity, control sequences and
/// our own echo are expected to be gone from it.
pub fn prompt_look(line: &str) -> Option<Prompt> {
    let text = normalised(line);
    if text.is_empty() || text.len() > PROMPT_CHARS_MAX {
        return None;
    }
    ROWS.iter()
        .find(|(_, place, words)| words.iter().any(|words| place.matches(&text, words)))
        .map(|&(prompt, ..)| prompt)
        .or_else(|| looks_like_shell(line, &text).then_some(Prompt::Shell))
        .filter(|prompt| {
            let asks_for_credentials =
                matches!(prompt, Prompt::User | Prompt::Password | Prompt::Code | Prompt::Passcode);
            !(asks_for_credentials && NOT_FOR_US.iter().any(|words| find(&text, words).is_some()))
        })
}

/// True if `ssh` itself asks for the password of a user whom it names: `mary@host's password:`,
/// `(mary@host) Password:`. There no user name was asked for, and none is typed by mistake.
pub fn is_asked_by_ssh(line: &str) -> bool {
    let line = line.trim();
    let is_named = |who: &str| who.contains('@') && !who.contains(char::is_whitespace);
    line.strip_suffix("'s password:").is_some_and(is_named)
        || line.strip_prefix('(').and_then(|rest| rest.split_once(") ")).is_some_and(|(who, _)| is_named(who))
}

/// True if a line asks for something in words nobody here knows: `lo?in:` after noise, or a
/// language that the tables lack.
pub fn looks_like_question(line: &str) -> bool {
    line.trim_end().ends_with([':', '?', '>', '：'])
}

/// True if a line holds what no host writes on purpose into a prompt: Latin-1 junk, lost characters.
pub fn looks_damaged(line: &str) -> bool {
    line.chars().any(|c| c == char::REPLACEMENT_CHARACTER || ('\u{80}'..='\u{ff}').contains(&c))
}

/// Where in a line the words of a row stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the end, before `:` or `>`: `debian login:`, `Enter username>`. All alone also before `?`.
    Asked,
    /// The same, but nothing stands before them.
    AskedAlone,
    /// Like [`Place::Asked`], and words such as `for mary` may follow.
    AskedFor,
    /// The same, even if the first word is glued to what stands before it.
    AskedForGlued,
    /// In any place of a line that ends as [`Place::Asked`] does, glued or not.
    AskedAbout,
    /// Anywhere.
    Anywhere,
}

impl Place {
    fn matches(self, text: &[char], words: &str) -> bool {
        if self == Self::Anywhere {
            return find(text, words).is_some();
        }
        let (body, mark) = match text.split_last() {
            Some((mark @ (':' | '>' | '?' | '：'), body)) => (trimmed_end(body), *mark),
            Some(_) | None => return false,
        };
        let found = match self {
            Self::AskedForGlued | Self::AskedAbout => find_glued(body, words),
            Self::Asked | Self::AskedAlone | Self::AskedFor | Self::Anywhere => find(body, words),
        };
        let Some((start, end)) = found else { return false };
        if self == Self::AskedAbout {
            return true;
        }
        let (before, after) = (&body[..start], &body[end..]);
        if before.len() > BEFORE_PROMPT_CHARS_MAX || (mark == '?' && !before.is_empty()) {
            return false;
        }
        match self {
            Self::Asked | Self::AskedAbout | Self::Anywhere => after.is_empty(),
            Self::AskedAlone => after.is_empty() && before.is_empty(),
            Self::AskedFor | Self::AskedForGlued => {
                after.is_empty() || TAILS.iter().any(|tail| is_tail(after, tail))
            }
        }
    }
}

/// True if `after` is ` for mary@EXAMPLE.ORG` or the like, and no sentence.
fn is_tail(after: &[char], opening: &str) -> bool {
    let opening_chars = opening.chars().count();
    after.len() > opening_chars
        && after.len() <= TAIL_CHARS_MAX
        && after.iter().zip(opening.chars()).all(|(&a, b)| same_letter(b, a))
        && !after[opening_chars..].iter().any(|c| matches!(c, ':' | ';' | '!'))
        && after[opening_chars..].iter().filter(|&&c| c == ' ').count() <= TAIL_SPACES_MAX
}

/// A shell prompt ends in one of a few characters; so do percentages and borders, which are not.
fn looks_like_shell(line: &str, text: &[char]) -> bool {
    let Some((last, before)) = text.split_last() else { return false };
    let previous = before.last().copied();
    match last {
        '%' => !previous.is_some_and(|c| c.is_ascii_digit() || c == '%'),
        '#' | '$' => previous != Some(*last),
        // `-->` points at something, `<RETURN>` names a key.
        '>' => !previous.is_some_and(|c| matches!(c, '>' | '-' | '=')) && !text.contains(&'<'),
        '❯' | '➜' | 'λ' | '»' | '›' | '→' | '➤' | '\u{e0b0}' => true,
        _letter => line.trim_start().starts_with('➜'), // "➜  ~ "
    }
}

/// Lower case, single spaces, none at the ends.
pub(super) fn normalised(line: &str) -> Vec<char> {
    let mut text: Vec<char> = Vec::new();
    for c in line.trim().chars().flat_map(char::to_lowercase) {
        if c.is_whitespace() && text.last() == Some(&' ') {
            continue;
        }
        text.push(if c.is_whitespace() { ' ' } else { c });
    }
    text
}

fn trimmed_end(text: &[char]) -> &[char] {
    let end = text.iter().rposition(|c| !c.is_whitespace()).map_or(0, |at| at + 1);
    &text[..end]
}

/// Where `words` stand last in a text, as words of their own.
pub(super) fn find(text: &[char], words: &str) -> Option<(usize, usize)> {
    find_where(text, words, |start, end| is_word_edge(text, start) && is_word_edge(text, end))
}

/// Where `words` stand last in a text, whatever stands before them.
fn find_glued(text: &[char], words: &str) -> Option<(usize, usize)> {
    find_where(text, words, |_, end| is_word_edge(text, end))
}

fn find_where(
    text: &[char],
    words: &str,
    is_wanted: impl Fn(usize, usize) -> bool,
) -> Option<(usize, usize)> {
    let length = words.chars().count();
    let last_start = text.len().checked_sub(length)?;
    (0..=last_start).rev().map(|start| (start, start + length)).find(|&(start, end)| {
        words.chars().zip(&text[start..end]).all(|(word, &c)| same_letter(word, c)) && is_wanted(start, end)
    })
}

/// True if no word goes on across this place in a text.
fn is_word_edge(text: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    let (Some(&before), Some(&after)) = (before, text.get(at)) else { return true };
    let is_ideographic = |c: char| c >= '\u{2e80}'; // scripts that put no spaces between words
    !(before.is_alphanumeric() && after.is_alphanumeric()) || is_ideographic(before) || is_ideographic(after)
}

/// Equal, or both an accented letter: a host may write `contraseña` in any of a dozen code pages.
fn same_letter(expected: char, found: char) -> bool {
    let is_accented = |c: char| ('\u{80}'..'\u{180}').contains(&c) || c == char::REPLACEMENT_CHARACTER;
    expected == found || (is_accented(expected) && is_accented(found))
}

/// A longer unfinished line is no prompt.
const PROMPT_CHARS_MAX: usize = 256;
/// What may stand before the words of a prompt: a host name, `Enter your`, a greeting.
const BEFORE_PROMPT_CHARS_MAX: usize = 120;
/// What may follow `Password`: ` for mary@EXAMPLE.ORG`.
const TAIL_CHARS_MAX: usize = 72;
/// Spaces within that.
const TAIL_SPACES_MAX: usize = 2;

/// How `Password for mary` goes on behind its first word.
const TAILS: &[&str] = &[
    " for ", " of ", " on ", " (", " [", " für ", " fuer ", " von ", " pour ", " de ", " du ", " d'",
    " para ", " di ", " per ", " voor ", " van ", " för ", " til ", " till ", " do ", " dla ", " для ", "@",
];

/// Prompts in the order in which they are looked for: those that must not be answered with a
/// password come before those that must.
#[rustfmt::skip]
const ROWS: &[(Prompt, Place, &[&str])] = &[
    (Prompt::ChangePassword, Place::AskedForGlued, CHANGE),
    // `New password (at least 8 characters, not one that was used before):`
    (Prompt::ChangePassword, Place::AskedAbout, NEW),
    (Prompt::PressReturn, Place::Anywhere, &[
        "press return", "press <return>", "press [return]", "press enter", "press <enter>", "press [enter]",
        "press the return key", "press the enter key", "press any key", "press a key", "press carriage return",
        "please press enter", "press cr", "press <cr>", "hit return", "hit <return>", "hit enter", "hit <enter>",
        "hit any key", "strike any key", "strike return", "type return", "type <return>", "type <cr>",
        "<return> to continue", "return to continue", "enter to continue", "[press return]",
        "push return", "press space", "press ret", "press <ret>",
        "eingabetaste drücken", "taste drücken", "drücken sie", "weiter mit", "eingabe drücken",
        "appuyez sur", "presione", "pulse una tecla", "pulse intro", "premere", "premi invio", "pressione",
        "druk op", "tryck på", "trykk", "naciśnij", "stiskněte", "нажмите",
    ]),
    (Prompt::More, Place::Anywhere, &[
        "--more--", "-- more --", "--more --", "-more-", "-- mehr --", "--mehr--", "--suite--", "--más--", "--altro--",
        "(press q to quit)", "press space to continue",
    ]),
    (Prompt::PagerEnd, Place::Anywhere, &["(end)", "(eof)", "-- end --", "(eof):"]),
    (Prompt::TerminalType, Place::Anywhere, &[
        "term = (", "term=(", "term = [", "term =", "terminal type", "terminal=", "terminal type?", "term?",
        "terminaltyp", "type de terminal", "tipo de terminal", "tipo di terminale",
    ]),
    // OpenSSH, sshconnect.c: its question before 8.0, since then, and again after any other answer.
    (Prompt::HostKey, Place::Anywhere, &[
        "connecting (yes/no)?", "(yes/no/[fingerprint])?", "please type 'yes' or 'no':",
        "please type 'yes', 'no' or the fingerprint:",
    ]),
    (Prompt::KeyPassphrase, Place::Anywhere, &["enter passphrase for", "enter pin for"]),
    (Prompt::Code, Place::AskedFor, &[
        "verification code", "authentication code", "authenticator code", "security code", "one-time password",
        "one time password", "one-time code", "one time code", "one-time passcode", "onetime password", "otp",
        "otp code", "otp password", "otp token", "totp", "totp code", "hotp", "token", "token code", "tokencode",
        "token value", "mfa code", "2fa code", "tfa code", "two-factor code", "two factor code", "second factor",
        "2nd factor", "6-digit code", "6 digit code", "six-digit code", "sms code", "duo passcode",
        "passcode or option", "yubikey", "s/key", "s/key password", "response", "authenticator", "enter code",
        "enter the code", "your code", "bestätigungscode", "einmalpasswort", "einmalkennwort", "sicherheitscode",
        "code de vérification", "code de sécurité", "mot de passe à usage unique", "código de verificación",
        "código de seguridad", "contraseña de un solo uso", "codice di verifica", "codice di sicurezza",
        "código de verificação", "verificatiecode", "verifieringskod", "kod weryfikacyjny", "код подтверждения",
        "одноразовый пароль", "验证码", "確認コード", "認証コード",
    ]),
    (Prompt::Code, Place::AskedAlone, &["code"]),
    (Prompt::Code, Place::AskedAbout, &["s/key", "otp-md4", "otp-md5", "otp-sha1"]), // the challenge is in it
    (Prompt::Passcode, Place::AskedFor, &["passcode", "pass code"]),
    (Prompt::Password, Place::AskedFor, &[
        "password", "passwd", "pass word", "passphrase", "pass phrase", "pin",
        "passwort", "kennwort", "paßwort", "mot de passe", "contraseña", "contrasena", "clave",
        "contrasenya", "pasahitza", "contrasinal", "parola d'ordine", "parola", "senha", "palavra-passe",
        "palavra passe", "wachtwoord", "lösenord", "losenord", "passord", "adgangskode", "kodeord", "salasana",
        "lykilorð", "hasło", "haslo", "heslo", "jelszó", "jelszo", "geslo", "lozinka", "parolă", "şifre", "sifre",
        "parool", "slaptažodis", "parole", "пароль", "парола", "κωδικός", "συνθηματικό", "סיסמה", "סיסמא",
        "パスワード", "密码", "密碼", "口令", "암호", "비밀번호",
    ]),
    (Prompt::Password, Place::AskedAlone, &["assword", "ssword"]), // noise ate the start
    (Prompt::User, Place::AskedFor, &[
        "login", "log in", "login name", "login id", "logon", "logon name", "logon id", "loginname", "sign on",
        "sign-on", "signon", "rlogin name", "username", "user name", "user-name", "user id", "userid", "user-id",
        "user_id", "account", "account name", "your name",
        "anmeldung", "anmeldename", "benutzername", "benutzerkennung", "benutzer", "kennung", "nutzername",
        "identifiant", "nom d'utilisateur", "nom utilisateur", "utilisateur", "connexion", "nom de connexion",
        "usuario", "nombre de usuario", "identificador", "inicio de sesión", "entrada", "acceso",
        "nom d'usuari", "usuari", "utente", "nome utente", "accesso", "nome di login",
        "usuário", "nome de usuário", "utilizador", "nome de utilizador", "conta",
        "gebruikersnaam", "gebruiker", "aanmelden", "inlognaam", "användarnamn", "användare", "inloggning",
        "brukernavn", "bruker", "innlogging", "brugernavn", "bruger", "käyttäjätunnus", "käyttäjä", "tunnus",
        "nazwa użytkownika", "użytkownik", "uživatel", "uživatelské jméno", "jméno", "přihlášení",
        "felhasználónév", "felhasználó", "uporabnik", "korisnik", "utilizator", "kullanıcı adı", "kullanıcı",
        "kasutaja", "имя пользователя", "пользователь", "логин", "вход", "όνομα χρήστη", "χρήστης", "שם משתמש",
        "ユーザー名", "ユーザ名", "ログイン", "用户名", "帐号", "登录", "用戶名", "登入", "사용자", "사용자 이름", "로그인",
    ]),
    (Prompt::User, Place::AskedAlone, &["user", "name", "id", "uid", "ogin", "gin", "sername"]),
    (Prompt::User, Place::Asked, &["enter user", "your user", "host user", "please login", "please log in"]),
];

/// How a change of the password goes on.
#[rustfmt::skip]
const CHANGE: &[&str] = &[
    "new password", "new unix password", "new passwd", "old password", "current password",
    "current unix password", "(current) unix password", "(current) password", "existing password",
    "retype password", "re-type password", "repeat password", "re-enter password", "reenter password", "verify password", "verification",
    "confirm password", "password again", "password (again)", "new passphrase",
    "neues passwort", "neues unix-passwort", "altes passwort", "aktuelles passwort", "derzeitiges passwort",
    "neues kennwort", "altes kennwort", "aktuelles kennwort", "passwort wiederholen", "passwort bestätigen",
    "nouveau mot de passe", "ancien mot de passe", "mot de passe actuel", "mot de passe unix (actuel)",
    "nueva contraseña", "contraseña nueva", "contraseña actual", "contraseña antigua", "contraseña anterior",
    "nuova password", "vecchia password", "password attuale", "password corrente",
    "nova senha", "senha atual", "senha antiga", "nieuw wachtwoord", "huidig wachtwoord", "oud wachtwoord",
    "nytt lösenord", "nuvarande lösenord", "nytt passord", "nowe hasło", "bieżące hasło", "obecne hasło",
    "nové heslo", "současné heslo", "новый пароль", "текущий пароль", "старый пароль",
];

/// Those of them that stand in no other question.
#[rustfmt::skip]
const NEW: &[&str] = &[
    "new password", "new unix password", "new passphrase", "old password", "current password",
    "neues passwort", "neues kennwort", "nouveau mot de passe", "nueva contraseña", "contraseña nueva",
    "nuova password", "nova senha", "nieuw wachtwoord", "nytt lösenord", "nytt passord", "nowe hasło",
    "nové heslo", "новый пароль",
];

/// Lines that ask for a name or a password, but not for this user's.
const NOT_FOR_US: &[&str] = &[
    "last login",
    "last failed login",
    "last successful login",
    "last unsuccessful login",
    "previous login",
    "failed login",
    "failed logins",
    "letzter login",
    "letzte anmeldung",
    "dernière connexion",
    "dernier login",
    "último inicio de sesión",
    "último acceso",
    "ultimo accesso",
    "ultimo login",
    "último login",
    "laatste login",
    "последний вход",
    "[sudo]",
    "root password for",
    "enable password",
    "dialup password",
    "dial-up password",
    "dial-in password",
    "modem password",
    "system password",
    "and password",
    "or password",
    "name/password",
    "forgot",
    "forgotten",
    "lost",
];

#[cfg(test)]
mod tests;
