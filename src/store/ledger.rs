//! The ledger's file: one checked line a record, appended and fsynced before anything relies on it.
//!
//! A line is `crc number text`: the CRC-32 of the rest, the line's number, a [`Record`]. Since each
//! line is on the disk before the next one is written, a crash can only ever spoil the last: it is cut
//! short, or holds zeros. Everything else that is wrong was done by somebody else, and is an error;
//! guessing there would fetch mail twice or lose some.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Access, Disk, DiskFile, PIECE};
use super::error::{DiskContext, StoreError};
use super::record::Record;

/// An open ledger.
pub(super) struct Ledger {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    lines: u64,
    /// A failed operation left the file in a state that only reading it again can tell.
    unsure: bool,
}

/// What reading a ledger found beside its records.
struct Extent {
    /// Length of the whole lines.
    len: u64,
    lines: u64,
    /// A spoilt last line follows them.
    torn: bool,
}

/// Takes the records as they are read; says why one cannot be.
pub(super) type Apply<'a> = dyn FnMut(Record) -> Result<(), &'static str> + 'a;

impl Ledger {
    /// Opens a ledger, gives its records to `apply` and cuts off what a crash spoilt.
    pub(super) fn open(disk: Arc<dyn Disk>, path: PathBuf, apply: &mut Apply) -> Result<Self, StoreError> {
        let file = disk.open(&path, Access::Edit).at("open", &path)?;
        let extent = scan(&*file, &path, apply)?;
        if extent.torn {
            file.set_len(extent.len).at("repair", &path)?;
        }
        // What was read may not have reached the disk when its writer was killed.
        file.sync().at("sync", &path)?;
        super::disk::sync_names_above(&*disk, &path)?;
        Ok(Self { disk, path, file, len: extent.len, lines: extent.lines, unsure: false })
    }

    /// Reads a ledger that somebody else may be writing, and changes nothing.
    pub(super) fn read(disk: &dyn Disk, path: &Path, apply: &mut Apply) -> Result<(), StoreError> {
        let file = disk.open(path, Access::Read).at("open", path)?;
        scan(&*file, path, apply).map(|_| ())
    }

    /// Writes a ledger that holds these records in place of any before, in one step.
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        records: &mut dyn Iterator<Item = Record>,
    ) -> Result<Self, StoreError> {
        let new = path.with_extension("new");
        super::disk::remove_if_there(&*disk, &new)?;
        let file = disk.create(&new).at("make", &new)?;
        let (mut len, mut lines) = (0, 0);
        for record in records {
            let line = line(lines, &record);
            file.write_all_at(line.as_bytes(), len).at("write to", &new)?;
            len += line.len() as u64;
            lines += 1;
        }
        file.sync().at("sync", &new)?;
        disk.rename(&new, &path).at("replace", &path)?;
        super::disk::sync_names_above(&*disk, &path)?;
        Ok(Self { disk, path, file, len, lines, unsure: false })
    }

    /// Replaces all records by these, which say the same in fewer lines.
    pub(super) fn rewrite(&mut self, records: &mut dyn Iterator<Item = Record>) -> Result<(), StoreError> {
        self.unsure = true;
        *self = Self::create(self.disk.clone(), self.path.clone(), records)?;
        Ok(())
    }

    /// Adds a record. When this returns, it is on the disk.
    pub(super) fn append(&mut self, record: &Record) -> Result<(), StoreError> {
        if self.unsure {
            return Err(StoreError::LedgerUnsure { path: self.path.clone() });
        }
        let line = line(self.lines, record);
        if let Err(error) = self.file.write_all_at(line.as_bytes(), self.len) {
            // A full disk: take back the part of the line that fitted.
            self.unsure = self.file.set_len(self.len).and_then(|()| self.file.sync()).is_err();
            return Err(error).at("write to", &self.path);
        }
        if let Err(error) = self.file.sync() {
            // After a failed fsync nobody knows what is on the disk (fsync(2), NOTES).
            self.unsure = true;
            return Err(error).at("sync", &self.path);
        }
        self.len += line.len() as u64;
        self.lines += 1;
        Ok(())
    }

    /// Says that what it holds cannot be.
    pub(super) fn damaged(&self, why: &'static str) -> StoreError {
        StoreError::LedgerDamaged { path: self.path.clone(), line: self.lines, why }
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

fn line(number: u64, record: &Record) -> String {
    let text = format!("{number} {}", record.to_text());
    format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()))
}

/// Reads all lines in bounded memory.
fn scan(file: &dyn DiskFile, path: &Path, apply: &mut Apply) -> Result<Extent, StoreError> {
    let mut scan = Scan { extent: Extent { len: 0, lines: 0, torn: false }, bad: None, path, apply };
    let mut line = Vec::new();
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at).at("read", path)?;
        if read == 0 {
            break;
        }
        at += read as u64;
        for piece in buffer[..read].split_inclusive(|&byte| byte == b'\n') {
            let room = LINE_MAX.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                scan.line(&line)?;
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        scan.line(&line)?;
    }
    scan.finish()
}

struct Scan<'a, 'b> {
    extent: Extent,
    /// The first line that is wrong: why, if no crash explains it even as the last.
    bad: Option<Option<&'static str>>,
    path: &'a Path,
    apply: &'a mut Apply<'b>,
}

impl Scan<'_, '_> {
    fn line(&mut self, line: &[u8]) -> Result<(), StoreError> {
        let checked = checked(line);
        match (self.bad, checked) {
            (None, Some((number, text))) => {
                if number != self.extent.lines {
                    return Err(self.damaged("lines before it are missing"));
                }
                let record = Record::parse(text)
                    .ok_or_else(|| self.damaged("it was written by a version with other records"))?;
                (self.apply)(record).map_err(|why| self.damaged(why))?;
                self.extent.len += line.len() as u64;
                self.extent.lines += 1;
            }
            (Some(_), Some(_)) => return Err(self.damaged("its checksum is wrong")),
            (None, None) => {
                // Half a write leaves no newline, or zeros before it.
                let whole = line.ends_with(b"\n") && !line.contains(&0);
                self.bad = Some(whole.then_some("its checksum is wrong"));
                self.extent.torn = true;
            }
            (Some(_), None) => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Extent, StoreError> {
        match self.bad {
            Some(Some(why)) => Err(self.damaged(why)),
            // A ledger comes into being whole (`Ledger::create`): nobody's crash emptied it.
            Some(None) | None if self.extent.lines == 0 => Err(self.damaged("its first line is missing")),
            Some(None) | None => Ok(self.extent),
        }
    }

    fn damaged(&self, why: &'static str) -> StoreError {
        StoreError::LedgerDamaged { path: self.path.to_owned(), line: self.extent.lines + 1, why }
    }
}

/// A line's number and text, if it is whole.
fn checked(line: &[u8]) -> Option<(u64, &str)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (crc, rest) = line.split_at_checked(8)?;
    let rest = rest.strip_prefix(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(rest.as_bytes()) {
        return None;
    }
    let (number, text) = rest.split_once(' ')?;
    Some((number.parse().ok()?, text))
}

/// Bytes of the longest line. A batch of 64 messages takes about 12 KiB; a removal that takes every
/// second message of a large mailbox needs the most.
const LINE_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::disk::HostDisk;
    use super::*;

    fn ledger(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let disk: Arc<dyn Disk> = Arc::new(HostDisk);
        let mut ledger = Ledger::create(disk, path.clone(), &mut records[..1].iter().cloned()).expect("made");
        records[1..].iter().for_each(|record| ledger.append(record).expect("written"));
        (folder, path)
    }

    fn reopened(path: &Path) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::new();
        Ledger::open(Arc::new(HostDisk), path.to_owned(), &mut |record| {
            records.push(record);
            Ok(())
        })?;
        Ok(records)
    }

    fn three() -> [Record; 3] {
        [Record::Epoch(1), Record::Mailbox("m".into()), Record::NextFile(7)]
    }

    #[test]
    fn the_last_line_cut_anywhere_or_zeroed_is_forgotten() {
        let (_folder, path) = ledger(&three());
        let whole = std::fs::read(&path).expect("readable");
        let two = whole.len() - whole.split_inclusive(|&b| b == b'\n').next_back().map_or(0, <[u8]>::len);
        for cut in two..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("written");
            assert_eq!(reopened(&path).expect("torn"), three()[..2], "cut at {cut}");
            assert_eq!(std::fs::read(&path).expect("readable"), whole[..two]);
            let mut zeroed = whole[..cut].to_vec();
            zeroed.resize(whole.len(), 0);
            std::fs::write(&path, &zeroed).expect("written");
            assert_eq!(reopened(&path).expect("torn"), three()[..2], "zeros from {cut}");
        }
        std::fs::write(&path, &whole).expect("written");
        assert_eq!(reopened(&path).expect("whole"), three());
    }

    #[test]
    fn damage_before_the_last_line_is_an_error_and_the_file_stays() {
        let (_folder, path) = ledger(&three());
        let whole = std::fs::read(&path).expect("readable");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).expect("written");
            // Only a newline lost at the very end looks like a torn line.
            if at + 1 < whole.len() {
                let error = reopened(&path).expect_err("damaged").to_string();
                assert!(error.contains("damaged at line") && error.contains("move it away"), "{error}");
                assert_eq!(std::fs::read(&path).expect("readable"), damaged);
            }
        }
        let without_second: Vec<u8> =
            whole.split_inclusive(|&b| b == b'\n').step_by(2).flatten().copied().collect();
        std::fs::write(&path, without_second).expect("written");
        assert!(reopened(&path).expect_err("a line is missing").to_string().contains("line 2"));
        std::fs::write(&path, "").expect("written");
        assert!(reopened(&path).is_err(), "an empty ledger would fetch everything again");
    }
}
