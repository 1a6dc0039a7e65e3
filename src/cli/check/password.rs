//! The password's source. It is asked as for a call, and what it gives is shown to nobody.

use super::finding::Sheet;
use crate::cli::fetch::ask_password;
use crate::config::{AccountConfig, PasswordSource};
use crate::secret::Secret;
use crate::session::{Ending, Failure};

/// What came of an account's source of a password.
pub(super) enum Held {
    /// No user, no password.
    NotNeeded,
    /// The source gave one.
    Given(Secret),
    /// It will be asked for on the terminal.
    Asked,
    /// There is none to be had.
    Refused(Failure),
}

/// Asks the source; the person only if a call is to follow.
pub(super) fn look(account: &AccountConfig, name: &str, calls: bool) -> Held {
    let needed = match &account.login {
        Some(script) => script.types_password() || (script.ends_automatic() && account.user.is_some()),
        None => account.user.is_some(),
    };
    if !needed {
        return Held::NotNeeded;
    }
    let asked = match &account.password {
        Some(source) => source.read_quietly(name).map(Some).map_err(crate::cli::config_failure),
        None if calls => ask_password(account, name),
        None => return Held::Asked,
    };
    match asked {
        Ok(Some(secret)) => Held::Given(secret),
        Ok(None) => Held::NotNeeded,
        Err(failure) => Held::Refused(failure),
    }
}

/// Tells it.
pub(super) fn tell(account: &AccountConfig, held: &Held, sheet: &mut Sheet) {
    const WHAT: &str = "password";
    let source = account.password.as_ref();
    match (held, source) {
        (Held::NotNeeded, None) => {}
        (Held::NotNeeded, Some(_)) if account.login.is_some() => {
            let found = "there is a password, and the login script does not type it";
            sheet.warning(WHAT, found, "send {password} (or \\P) in `login`, or remove `password`");
        }
        (Held::NotNeeded, Some(_)) => {
            let found = "there is a password and no user to use it for";
            sheet.warning(WHAT, found, "add user = \"..\" to the account");
        }
        (Held::Given(_), Some(source)) => sheet.ok(WHAT, format!("{} gives one", source.told())),
        (Held::Given(_), None) => sheet.ok(WHAT, "you gave one"),
        (Held::Asked, _) => sheet.ok(WHAT, "is asked for on the terminal before each call"),
        (Held::Refused(_), None) => {
            sheet.wrong(Ending::Config, WHAT, "there is no terminal to ask for it on", remedy(None));
        }
        (Held::Refused(failure), Some(source)) => {
            // The account's name, which stands in front, is told above.
            let text = &failure.message;
            let found = text.split_once(": ").map_or(text.as_str(), |(_, why)| why);
            sheet.wrong(Ending::Config, WHAT, found, remedy(Some(source)));
        }
    }
}

fn remedy(source: Option<&PasswordSource>) -> String {
    match source {
        Some(PasswordSource::Command(_)) => "run the command by hand and see what it says".to_owned(),
        Some(PasswordSource::Env(name)) => format!("set {name} in the environment, or use another source"),
        Some(PasswordSource::File(_)) => {
            "the file must be there, yours alone (chmod 600), and have the password as its first line"
                .to_owned()
        }
        Some(PasswordSource::Keyring(_)) => "put it there, or use another source".to_owned(),
        None => "add password = { command = [..] }, { env = \"..\" } or { file = \"..\" }".to_owned(),
    }
}
