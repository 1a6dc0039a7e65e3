//! A Maildir spool, read as the mbox that it would be.
//!
//! Messages stand in the order of their names, flags and moves from new to cur changing nothing. Each
//! has a From_ line made of its delivery time, is quoted as mboxrd, and is followed by a blank line;
//! undone, it is byte for byte the file, but for the newline that a last line without one is given. So
//! the same bytes come out as long as the same messages are there, and mail that comes in stands at
//! the end. (<https://cr.yp.to/proto/maildir.html>)

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::asking::Teller;
use super::error::{At, PathError};
use super::reading::{Digesting, Found, HEAD_MAX, entry, read_full};
use crate::access::Keep;
use crate::access::index::Entry;
use crate::mailbox::quoting::Quote;

/// True for a folder that is a Maildir.
pub(super) fn is_maildir(path: &Path) -> bool {
    FOLDERS.iter().all(|folder| path.join(folder).is_dir())
}

/// A message's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MailFile {
    /// Seconds since 1970 at which it was delivered, as its name says; else when it was written.
    time: i64,
    /// Its name without flags: what stays.
    pub(super) name: Vec<u8>,
    /// Where it is now.
    pub(super) path: PathBuf,
    /// Its length and when it was written: what stays when it is moved.
    written: (u64, i64, i64),
}

/// Where a message stands in the text.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) file: MailFile,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// How long messages are in the text: what was read once need not be read again to say so.
pub(super) type Lengths = HashMap<Vec<u8>, (Version, u64)>;

/// A file's device, number, length and time of change: with another, it is read again.
type Version = (u64, u64, u64, i64, i64);

/// Looks at a Maildir. `None` if there is no mail.
pub(super) fn survey<T>(
    folder: &Path,
    wanted: &[u64],
    lengths: &mut Lengths,
    teller: &Teller<T>,
) -> Result<Option<Found>, PathError> {
    steadily(folder, || {
        let mut digesting = Digesting::new(wanted);
        let longest = wanted.iter().copied().max().unwrap_or(0);
        let mut size = 0;
        for file in list(folder, teller)? {
            let known = if size < longest { None } else { known_length(&file, lengths)? };
            let length = match known {
                Some(length) => length,
                None => each_piece(&file, lengths, teller, &mut |_, piece| {
                    digesting.update(piece);
                    Ok(())
                })?,
            };
            size += length;
        }
        Ok((size > 0).then(|| Found { size, digests: digesting.finish(), restless: false }))
    })
}

/// Gives the bytes `from..size` of the text out, fewer if it has become shorter.
pub(super) fn carry<T>(
    folder: &Path,
    from: u64,
    size: u64,
    lengths: &mut Lengths,
    teller: &Teller<T>,
) -> Result<(), PathError> {
    let mut at = from;
    steadily(folder, || {
        let mut begins = 0;
        for file in list(folder, teller)? {
            if at >= size {
                break;
            }
            let known = known_length(&file, lengths)?.filter(|length| begins + length <= at);
            let length = match known {
                Some(length) => length,
                None => each_piece(&file, lengths, teller, &mut |offset, piece| {
                    let offset = begins + offset;
                    let end = (offset + piece.len() as u64).min(size);
                    if end > at {
                        let piece = &piece[(at - offset) as usize..(end - offset) as usize];
                        teller.bytes(at, piece.to_vec())?;
                        at = end;
                    }
                    Ok(())
                })?,
            };
            begins += length;
        }
        Ok(())
    })
}

/// The messages in the first `size` bytes of the text.
pub(super) fn index<T>(
    folder: &Path,
    size: u64,
    lengths: &mut Lengths,
    teller: &Teller<T>,
) -> Result<Vec<Entry>, PathError> {
    steadily(folder, || {
        let mut entries = Vec::new();
        for Placed { file, offset, length } in placed(folder, lengths, teller)? {
            if offset >= size {
                break;
            }
            let mut head = vec![0; length.min(HEAD_MAX) as usize];
            let open = followed(&file, File::open)?;
            let read = read_full(&open, &mut head, 0).at("read", &file.path)?;
            entries.push(entry(entries.len(), offset, length, &head[..read]));
        }
        Ok(entries)
    })
}

/// All messages with their places in the text.
pub(super) fn placed<T>(
    folder: &Path,
    lengths: &mut Lengths,
    teller: &Teller<T>,
) -> Result<Vec<Placed>, PathError> {
    let mut offset = 0;
    let mut placed = Vec::new();
    for file in list(folder, teller)? {
        let length = match known_length(&file, lengths)? {
            Some(length) => length,
            None => each_piece(&file, lengths, teller, &mut |_, _| Ok(()))?,
        };
        placed.push(Placed { file, offset, length });
        offset += length;
    }
    Ok(placed)
}

/// Whole messages, in the text's order. What is in tmp is still being written.
pub(super) fn list<T>(folder: &Path, teller: &Teller<T>) -> Result<Vec<MailFile>, PathError> {
    let mut files = Vec::new();
    for part in ["new", "cur"] {
        let part = folder.join(part);
        let listed = std::fs::read_dir(&part).map_err(|error| unlisted(folder, &part, error))?;
        for found in listed {
            let found = found.at("list", &part)?;
            teller.alive()?;
            files.extend(mail_file(&part, &found.file_name())?);
        }
    }
    let key = |file: &MailFile| (file.time, file.name.clone(), file.written);
    files.sort_by_cached_key(key);
    // Moved from new to cur between the two listings: there once. Two messages that somebody gave the
    // same name are two.
    files.dedup_by(|a, b| key(a) == key(b));
    Ok(files)
}

fn unlisted(folder: &Path, part: &Path, error: io::Error) -> PathError {
    if error.kind() != io::ErrorKind::NotFound {
        return PathError::io("list", part, error);
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    match (folder.is_dir(), above.is_none_or(Path::is_dir)) {
        (true, _) => PathError::NotAFile { path: folder.to_owned(), what: NO_MAILDIR },
        (false, true) => PathError::Missing { path: folder.to_owned() },
        (false, false) => PathError::NoMailbox { path: folder.to_owned() },
    }
}

/// `None` for what is no message, and for one that is gone again.
fn mail_file(part: &Path, name: &OsStr) -> Result<Option<MailFile>, PathError> {
    let path = part.join(name);
    if name.as_bytes().starts_with(b".") {
        return Ok(None);
    }
    let found = match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A symbolic link that leads back to itself keeps nobody from the others.
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => return Ok(None),
        other => other.at("look at", &path)?,
    };
    if !found.is_file() {
        return Ok(None);
    }
    let name = base_name(name.as_bytes()).to_vec();
    let time = time_of(&name).unwrap_or(found.mtime());
    let written = (found.len(), found.mtime(), found.mtime_nsec());
    Ok(Some(MailFile { time, name, path, written }))
}

/// What stands before `:2,FLAGS`; file systems without colons have `;` or `!` there.
pub(super) fn base_name(name: &[u8]) -> &[u8] {
    let info = name.windows(3).rposition(|three| b":;!".contains(&three[0]) && &three[1..] == b"2,");
    info.map_or(name, |at| &name[..at])
}

fn time_of(name: &[u8]) -> Option<i64> {
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let named = name.get(digits) == Some(&b'.');
    std::str::from_utf8(&name[..digits]).ok().filter(|_| named)?.parse().ok()
}

fn known_length(file: &MailFile, lengths: &Lengths) -> Result<Option<u64>, PathError> {
    let Some((version, length)) = lengths.get(&file.name) else { return Ok(None) };
    let found = followed(file, std::fs::metadata)?;
    Ok((version_of(&found) == *version).then_some(*length))
}

/// Does this with a message's file, wherever its reader moves it meanwhile: from new to cur, and with
/// other flags. To list the whole folder again for each move would never end beside a busy reader.
fn followed<R>(file: &MailFile, act: impl Fn(PathBuf) -> io::Result<R>) -> Result<R, PathError> {
    let mut path = Some(file.path.clone());
    for _ in 0..MOVES_MAX {
        let Some(now) = path.take() else { break };
        match act(now.clone()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => path = moved_to(file),
            other => return other.at("open", &now),
        }
    }
    Err(io::Error::from(io::ErrorKind::NotFound)).at("open", &file.path)
}

fn moved_to(file: &MailFile) -> Option<PathBuf> {
    let folder = file.path.parent()?.parent()?;
    ["cur", "new"].iter().find_map(|part| {
        let part = folder.join(part);
        let same = |found: MailFile| {
            (found.name == file.name && found.written == file.written).then_some(found.path)
        };
        let named = |name: &OsStr| base_name(name.as_bytes()) == file.name;
        let listed = std::fs::read_dir(&part).ok()?.flatten().map(|found| found.file_name());
        listed.filter(|name| named(name)).find_map(|name| same(mail_file(&part, &name).ok()??))
    })
}

fn version_of(found: &std::fs::Metadata) -> Version {
    (found.dev(), found.ino(), found.len(), found.mtime(), found.mtime_nsec())
}

/// Gives a message's text to `each` in pieces, with their offset in it; answers its length.
pub(super) fn each_piece<T>(
    file: &MailFile,
    lengths: &mut Lengths,
    teller: &Teller<T>,
    each: &mut Keep<'_, PathError>,
) -> Result<u64, PathError> {
    let path = &file.path;
    let open = followed(file, File::open)?;
    let version = version_of(&open.metadata().at("look at", path)?);
    let mut out = from_line(file.time).into_bytes();
    let mut quote = Quote::new();
    let mut buffer = vec![0; PIECE];
    let (mut read_at, mut at, mut last) = (0, 0, b'\n');
    loop {
        let read = read_full(&open, &mut buffer, read_at).at("read", path)?;
        read_at += read as u64;
        quote.push(&buffer[..read], &mut out);
        last = buffer[..read].last().copied().unwrap_or(last);
        if read == 0 {
            quote.finish(&mut out);
            out.extend_from_slice(if last == b'\n' { b"\n" } else { b"\n\n" });
        }
        each(at, &out)?;
        at += out.len() as u64;
        out.clear();
        teller.alive()?;
        if read == 0 {
            lengths.insert(file.name.clone(), (version, at));
            return Ok(at);
        }
    }
}

/// As asctime() writes it, in UTC.
fn from_line(seconds: i64) -> String {
    let within = seconds.clamp(0, YEAR_9999);
    let time = jiff::Timestamp::from_second(within).unwrap_or_default();
    let time = jiff::tz::TimeZone::UTC.to_datetime(time);
    format!("From MAILER-DAEMON {}\n", time.strftime("%a %b %e %H:%M:%S %Y"))
}

/// Does `job` again where a message was moved between listing and reading.
pub(super) fn steadily<T>(
    folder: &Path,
    mut job: impl FnMut() -> Result<T, PathError>,
) -> Result<T, PathError> {
    for _ in 0..LIST_TRIES {
        match job() {
            Err(error) if error.is_stale() => {}
            Err(PathError::Missing { path }) if path != folder => {}
            other => return other,
        }
    }
    Err(PathError::Unsteady { path: folder.to_owned(), tries: LIST_TRIES })
}

const FOLDERS: [&str; 3] = ["cur", "new", "tmp"];
/// How often a Maildir in which messages are moved is listed.
const LIST_TRIES: u32 = 20;
/// Bytes read at once.
const PIECE: usize = 64 * 1024;
/// The last second of the last year that an asctime date can name.
const YEAR_9999: i64 = 253_402_300_799;
const NO_MAILDIR: &str = "a folder and no Maildir: it lacks new or cur";
/// How often a message's file is followed to where it was moved.
const MOVES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_do_not_belong_to_a_name() {
        for name in ["1.R2.h", "1.R2.h:2,", "1.R2.h:2,FS", "1.R2.h;2,S", "1.R2.h!2,"] {
            assert_eq!(base_name(name.as_bytes()), b"1.R2.h", "{name}");
        }
        assert_eq!(base_name(b"1.R2.h,S=12:2,S"), b"1.R2.h,S=12");
        assert_eq!(base_name(b"a:b"), b"a:b");
    }

    #[test]
    fn a_from_line_is_asctime_s_and_the_same_everywhere() {
        use crate::mailbox::from_line::{Form, FromLine};
        assert_eq!(from_line(1_000_000_000), "From MAILER-DAEMON Sun Sep  9 01:46:40 2001\n");
        for seconds in [i64::MIN, -1, 0, 951_782_400, YEAR_9999, i64::MAX] {
            let line = from_line(seconds);
            let form = FromLine::parse(line.as_bytes()).map(|line| line.form);
            assert_eq!(form, Some(Form::Asctime), "{line}");
        }
        assert_eq!(time_of(b"1700000000.M1P2.host"), Some(1_700_000_000));
        assert_eq!(time_of(b"1700000000"), None);
        assert_eq!(time_of(b"99999999999999999999.x"), None);
    }
}
