//! A password in the desktop's keyring: the Secret Service on Linux and the BSDs, the keychain on macOS.
//! An optional feature, because of the hundred crates behind it.

use std::fmt;

use crate::secret::Secret;

/// Under what a password is kept there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringEntry {
    /// What it is for.
    pub service: String,
    /// Whose it is.
    pub user: String,
}

impl KeyringEntry {
    /// `service/user`, or a user of the service `mailcall`. A service may have slashes in its name.
    pub(super) fn new(written: &str) -> Self {
        let (service, user) = written.rsplit_once('/').unwrap_or((SERVICE_DEFAULT, written));
        Self { service: service.to_owned(), user: user.to_owned() }
    }

    /// What is wrong with it as written, or with this build.
    pub(super) fn check(&self) -> Result<(), String> {
        if !cfg!(feature = "keyring") {
            return Err(NOT_BUILT.to_owned());
        }
        if self.service.is_empty() || self.user.is_empty() {
            return Err("`keyring` is \"service/user\", or a user of the service \"mailcall\"".to_owned());
        }
        Ok(())
    }

    /// Asks the keyring, which may ask a person to unlock it, and so may take its time.
    #[cfg(feature = "keyring")]
    pub(super) fn read(&self) -> Result<Secret, String> {
        let (answer, answered) = std::sync::mpsc::channel();
        let entry = self.clone();
        // A thread of its own, which nobody waits for: a desktop that is gone answers never.
        let asking = std::thread::Builder::new().name("keyring".into()).spawn(move || {
            let _ = answer.send(entry.ask()); // whoever asked has given up
        });
        match asking.map(|_| answered.recv_timeout(UNLOCK_WAIT)) {
            Ok(Ok(told)) => told,
            Ok(Err(_)) => Err(format!("the keyring has not answered within {} s", UNLOCK_WAIT.as_secs())),
            Err(error) => Err(format!("the keyring: {error}")),
        }
    }

    #[cfg(feature = "keyring")]
    fn ask(&self) -> Result<Secret, String> {
        use keyring::v1::{Entry, Error};
        let none = |why: String| format!("the keyring has no {self}{why}");
        if let Err(error) = Entry::store_status() {
            return Err(format!("there is no keyring here ({error}): is this a desktop's session?"));
        }
        let told = Entry::new(&self.service, &self.user).and_then(|entry| entry.get_password());
        match told {
            Ok(password) if password.is_empty() => Err(none(", or an empty one".to_owned())),
            Ok(password) => Ok(Secret::new(password)),
            Err(Error::NoEntry) => Err(none(format!(
                "; put it there: secret-tool store --label={0:?} service {0:?} username {1:?}",
                self.service, self.user
            ))),
            // What it could not read may be in the error, and is the password.
            Err(Error::BadEncoding(_)) => Err(format!("the keyring's {self} is no text")),
            Err(error) => Err(format!("the keyring: {error}")),
        }
    }

    #[cfg(not(feature = "keyring"))]
    pub(super) fn read(&self) -> Result<Secret, String> {
        Err(NOT_BUILT.to_owned())
    }
}

impl fmt::Display for KeyringEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {:?} of {:?}", self.user, self.service)
    }
}

/// What a build says that has no keyring.
const NOT_BUILT: &str = "this mailcall was built without the keyring: build it with \
                         `cargo install mailcall --features keyring`, or use \
                         { command = [\"secret-tool\", \"lookup\", ..] }, { env = .. } or { file = .. }";
const SERVICE_DEFAULT: &str = "mailcall";
/// How long a person may take to unlock it.
#[cfg(feature = "keyring")]
const UNLOCK_WAIT: std::time::Duration = std::time::Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_service_and_a_user_or_a_user_of_ours() {
        for (written, service, user) in [
            ("dialup/mary", "dialup", "mary"),
            ("imap://host/mary", "imap://host", "mary"),
            ("mary", "mailcall", "mary"),
        ] {
            let expected = KeyringEntry { service: service.to_owned(), user: user.to_owned() };
            assert_eq!(KeyringEntry::new(written), expected);
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_what_would_do() {
        let refused = KeyringEntry::new("dialup/").check().unwrap_err();
        let says = if cfg!(feature = "keyring") { "service/user" } else { "--features keyring" };
        assert!(refused.contains(says), "{refused}");
        assert_eq!(KeyringEntry::new("dialup/mary").check().is_ok(), cfg!(feature = "keyring"));
    }
}
