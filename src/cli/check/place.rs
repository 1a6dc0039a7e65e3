//! The configuration file, and the folders that are written to.

use std::path::Path;

use super::finding::Sheet;
use crate::cli::Global;
use crate::config::{self, Config};
use crate::mailbox::display;
use crate::session::Ending;
use crate::session::Stage;
use crate::session::fetch::store_failure;
use crate::store::StoreError;
use crate::store::look::{self, Standing};

/// The configuration, if it can be used.
pub(super) fn config(global: &Global, account: Option<&str>, sheet: &mut Sheet) -> Option<Config> {
    const WHAT: &str = "config";
    let refuse =
        |sheet: &mut Sheet, found: String, remedy: &str| sheet.wrong(Ending::Config, WHAT, found, remedy);
    let Some(path) = global.config.clone().or_else(config::default_path) else {
        refuse(sheet, "HOME is not set".to_owned(), "say where the configuration is (--config)");
        return None;
    };
    let config = match Config::read(&path) {
        Ok(config) => config,
        Err(error) => {
            refuse(sheet, error.to_string(), remedy(&error));
            return None;
        }
    };
    if let Some(error) = account.and_then(|name| config.account(name).err()) {
        refuse(sheet, error.to_string(), "name one of these, or add the account to the configuration");
        return None;
    }
    let found = format!(
        "{}: {}, {}",
        path.display(),
        counted(config.accounts.len(), "account"),
        counted(config.lines.len(), "line")
    );
    if config.accounts.is_empty() {
        refuse(sheet, found, "add [account.NAME]; docs/configuration.md has an example");
    } else {
        sheet.ok(WHAT, found);
    }
    Some(config)
}

fn remedy(error: &config::ConfigError) -> &'static str {
    use config::ConfigError as Error;
    match error {
        Error::Missing(_) => "write one; docs/configuration.md has an example",
        Error::Unreadable { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
            "give yourself the right to read it, or name another (--config)"
        }
        Error::Unreadable { .. } => "name a file of text (--config); docs/configuration.md has an example",
        Error::Wrong { .. } | Error::Profile(_) => "mend that line; docs/configuration.md explains every key",
        Error::NoSuchLine { .. } | Error::NoSuchAccount { .. } | Error::NoPassword { .. } => {
            "docs/configuration.md explains every key"
        }
    }
}

/// The folder for the ledger and unfinished parts. Answers whether it is fit.
pub(super) fn state(global: &Global, sheet: &mut Sheet) -> bool {
    let before = sheet.wrong_so_far();
    match global.state_dir() {
        Ok(path) => {
            let standing = look::folder(&path);
            written_to("state", &path, standing, sheet);
        }
        // The message, which is for other commands, has its remedy behind the colon.
        Err(failure) => sheet.wrong(
            failure.ending,
            "state",
            failure.message.split(": ").next().unwrap_or_default(),
            "set HOME, or say where state is kept (--state)",
        ),
    }
    sheet.wrong_so_far() == before
}

/// Something that is written to: whether it can be, on which disk, and how much room there is.
pub(super) fn written_to(
    what: &'static str,
    path: &Path,
    standing: Result<Standing, StoreError>,
    sheet: &mut Sheet,
) {
    let made = match standing {
        Ok(Standing::There) => "",
        Ok(Standing::CanBeMade) => " (made when it is needed)",
        Err(error) => return refused(what, &error, sheet),
    };
    let space = match look::space(path) {
        Ok(space) => space,
        Err(error) => return refused(what, &error, sheet),
    };
    let (mount, free) = (space.mount.display(), display::size(space.free));
    let found = format!("{}{made}, {free} free on {mount}", path.display());
    let remedy = format!("make room on {mount}");
    match space.free {
        0..SPACE_LEAST => sheet.wrong(Ending::LocalDisk, what, found, remedy),
        SPACE_LEAST..SPACE_LOW => sheet.warning(what, found, remedy),
        SPACE_LOW.. => sheet.ok(what, found),
    }
}

/// What the store would say, and what mends it.
pub(super) fn refused(what: &'static str, error: &StoreError, sheet: &mut Sheet) {
    let ending = store_failure(Stage::Preparing, error).ending;
    let text = error.to_string();
    // The store's errors name the remedy behind a semicolon.
    let (found, remedy) = text.split_once("; ").unwrap_or((&text, "see whether that disk is well"));
    sheet.wrong(ending, what, found, remedy);
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Bytes: with less, not even a message and its record can be written.
const SPACE_LEAST: u64 = 1 << 20;
/// Bytes: less than this a large message or two may fill.
const SPACE_LOW: u64 = 64 << 20;
