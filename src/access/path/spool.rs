//! Where a mailbox is on this machine.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;

use super::{Path, PathBuf, maildir};

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An mbox, or a Maildir if it is a folder that looks like one.
    Either,
    /// A Maildir.
    Maildir,
}

/// A mailbox's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// The file, or the Maildir's folder.
    pub path: PathBuf,
    /// What is there.
    pub form: Form,
}

impl Spool {
    /// The mailbox at `path`.
    pub fn new(path: impl Into<PathBuf>, form: Form) -> Self {
        Self { path: path.into(), form }
    }

    /// The mailbox of whoever runs this: `$MAIL`, or the spool file of this system.
    pub fn default_here() -> Self {
        let mail = std::env::var_os("MAIL").filter(|mail| Path::new(mail).is_absolute());
        Self::new(
            mail.map_or_else(|| spool_file(&FOLDERS.map(Path::new), user()), PathBuf::from),
            Form::Either,
        )
    }

    /// The name under which the ledger knows it.
    pub fn key(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Whether it is to be read as a Maildir. Looks at the disk, which may hang.
    pub fn is_maildir(&self) -> bool {
        self.form == Form::Maildir || maildir::is_maildir(&self.path)
    }

    /// Whether what is delivered to `target` would stand in this mailbox. Looks at the disk.
    pub fn is_at(&self, target: &Path) -> bool {
        let id = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        match (id(&self.path), id(target)) {
            (Some(here), Some(there)) => here == there,
            (_, _) => std::path::absolute(&self.path).ok() == std::path::absolute(target).ok(),
        }
    }
}

/// Debian and the BSDs have /var/mail, older systems /var/spool/mail.
fn spool_file(folders: &[&Path], user: OsString) -> PathBuf {
    let there = folders.iter().find(|folder| folder.is_dir()).or(folders.first());
    there.map_or_else(PathBuf::new, |folder| folder.join(user))
}

fn user() -> OsString {
    let known = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    known.map_or_else(|| std::env::var_os("LOGNAME").unwrap_or_default(), |user| user.name.into())
}

const FOLDERS: [&str; 2] = ["/var/mail", "/var/spool/mail"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spool_file_is_in_the_first_folder_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("mail");
        assert_eq!(spool_file(&[&missing, dir.path()], "mary".into()), dir.path().join("mary"));
        assert_eq!(spool_file(&[&missing, &missing], "mary".into()), missing.join("mary"));
    }

    #[test]
    fn a_mailbox_is_known_under_every_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("box"), "").unwrap();
        std::fs::hard_link(at("box"), at("hard")).unwrap();
        std::os::unix::fs::symlink(at("box"), at("soft")).unwrap();
        std::fs::write(at("other"), "").unwrap();
        let spool = Spool::new(at("box"), Form::Either);
        assert!(spool.is_at(&at("hard")) && spool.is_at(&at("soft")) && !spool.is_at(&at("other")));
        let not_yet = Spool::new(at("not-yet"), Form::Maildir);
        assert!(not_yet.is_at(&at("./not-yet")) && !not_yet.is_at(&at("box")));
    }
}
