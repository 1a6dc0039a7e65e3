//! A mailbox that is a path on this machine: what stands there, whether we may read it, and whether a
//! lock file can be made beside it.

use std::path::{Path, PathBuf};

use super::finding::Sheet;
use crate::access::path::{Form, Spool};
use crate::session::Ending;
use crate::store::look;

const WHAT: &str = "mailbox";

/// Looks at the mailbox as the account names it.
pub(super) fn look(spool: &Spool, sheet: &mut Sheet) {
    let path = spool.path.as_path();
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => maildir(path, sheet),
        Ok(found) if found.is_file() && spool.form == Form::Maildir => {
            let found = format!("{shown} is a file and no Maildir");
            sheet.wrong(Ending::NoMailbox, WHAT, found, format!("write mailbox = \"{shown}\""));
        }
        Ok(found) if found.is_file() => match std::fs::File::open(path) {
            Ok(_) => {
                sheet.ok(WHAT, format!("{shown}: {} bytes, may be read", found.len()));
                lock_file(path, sheet);
            }
            Err(error) => sheet.wrong(
                Ending::NoPermission,
                WHAT,
                format!("cannot read {shown}: {error}"),
                format!("ask for the right to read it (ls -l {shown})"),
            ),
        },
        Ok(_) => {
            let found = format!("{shown} is neither a file nor a Maildir");
            sheet.wrong(Ending::NoMailbox, WHAT, found, "set `mailbox` to the mailbox's path");
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing(path, sheet),
        Err(error) => {
            let ending = match error.kind() {
                std::io::ErrorKind::PermissionDenied => Ending::NoPermission,
                _ => Ending::NoMailbox,
            };
            let remedy = "set `mailbox` to a path that may be read";
            sheet.wrong(ending, WHAT, format!("cannot look at {shown}: {error}"), remedy);
        }
    }
}

/// Many systems make the spool file with the first message.
fn missing(path: &Path, sheet: &mut Sheet) {
    let shown = path.display();
    if path.parent().is_some_and(Path::is_dir) {
        sheet.ok(WHAT, format!("{shown}: no mail yet, its folder is there"));
    } else {
        let found = format!("there is no {shown}, nor its folder");
        sheet.wrong(Ending::NoMailbox, WHAT, found, "mount it, or set `mailbox` to the path");
    }
}

fn maildir(path: &Path, sheet: &mut Sheet) {
    let shown = path.display();
    let lacking: Vec<&str> =
        ["cur", "new", "tmp"].into_iter().filter(|part| !path.join(part).is_dir()).collect();
    if !lacking.is_empty() {
        let found = format!("{shown} is a folder and no Maildir: it has no {}", lacking.join(", "));
        return sheet.wrong(Ending::NoMailbox, WHAT, found, "set `mailbox` to a file or a Maildir");
    }
    let unreadable = ["cur", "new"].into_iter().find_map(|part| std::fs::read_dir(path.join(part)).err());
    match unreadable {
        None => sheet.ok(WHAT, format!("{shown}: a Maildir, may be read")),
        Some(error) => sheet.wrong(
            Ending::NoPermission,
            WHAT,
            format!("cannot read the Maildir {shown}: {error}"),
            "ask for the right to read it",
        ),
    }
}

/// Whoever writes to a spool locks it by a file beside it, and so do we.
fn lock_file(path: &Path, sheet: &mut Sheet) {
    let lock = PathBuf::from(format!("{}.lock", path.display()));
    if std::fs::symlink_metadata(&lock).is_ok() {
        let found = format!("{} is there: another program has the mailbox locked", lock.display());
        return sheet.warning(WHAT, found, "wait; remove it by hand only if nothing uses the mailbox");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if look::folder(folder).is_err() {
        let found = format!("no lock file can be made in {}: only fcntl keeps others out", folder.display());
        sheet.warning(WHAT, found, "be in the group that may write there (mail), or leave it");
    }
}
