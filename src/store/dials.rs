//! What became of earlier dials, number by number: the memory that keeps a person's telephone from
//! being rung again and again, by runs that know nothing of each other.
//!
//! It is one small file for all accounts, because two of them may dial the same number. It is written
//! before a number is dialled and again when the dial has ended, each time whole: a new file, fsynced,
//! renamed over the old one. A run that is killed leaves its dial counted.
//!
//! Each line is `crc number unconnected connected barred time:how ..`. A line that is damaged is left
//! out and the file it stood in is set aside, because a damaged memory must not keep mail from coming.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::{self, Access, Disk, DiskFile, HostDisk, Kind, Lock};
use super::error::{DiskContext, StoreError};
use super::record::{escape, unescape_text};

/// How a dial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HowEnded {
    /// It was begun, and its run was killed before it ended.
    Unknown,
    /// BUSY.
    Busy,
    /// NO ANSWER.
    NoAnswer,
    /// NO CARRIER: answered by something that is no modem, or by nobody.
    NoCarrier,
    /// NO DIALTONE.
    NoDialtone,
    /// VOICE.
    Voice,
    /// FAX.
    Fax,
    /// DELAYED: the modem itself did not dial.
    Delayed,
    /// BLACKLISTED: the modem itself did not dial.
    Blacklisted,
    /// Broken off by a signal.
    Interrupted,
    /// Anything else.
    Failed,
}

/// One dial that did not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialled {
    /// When it began, in seconds since 1970.
    pub at: u64,
    /// How it ended.
    pub how: HowEnded,
}

/// What is remembered about one number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Dials in a row without a connection.
    pub unconnected: u32,
    /// When it last connected, in seconds since 1970; `None` = never.
    pub connected: Option<u64>,
    /// What bars it, until a person lifts that.
    pub barred: Option<HowEnded>,
    /// The last dials of that row, at most [`RECENT_MAX`], the newest last.
    pub recent: Vec<Dialled>,
}

/// The memory, in the folder for all accounts.
pub struct Dials {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

/// What a look at the memory found, and where a damaged one was put.
#[derive(Debug)]
pub struct Remembered<T> {
    /// What was asked for.
    pub found: T,
    /// The file that was damaged, under the name that it has now.
    pub set_aside: Option<PathBuf>,
}

type Numbers = BTreeMap<String, History>;

impl Dials {
    /// The memory below `state`, the folder for all accounts.
    pub fn new(state: &Path) -> Self {
        Self::on(Arc::new(HostDisk), state)
    }

    /// [`Self::new`] on another disk than this machine's: for tests that let it fail.
    pub fn on(disk: Arc<dyn Disk>, state: &Path) -> Self {
        Self { disk, folder: state.to_owned() }
    }

    /// What is remembered about a number. Changes nothing; what is damaged is passed over.
    pub fn look(&self, number: &str) -> Result<History, StoreError> {
        Ok(self.all()?.remove(number).unwrap_or_default())
    }

    /// All numbers that something is remembered about. Changes nothing.
    pub fn all(&self) -> Result<BTreeMap<String, History>, StoreError> {
        self.read().map(|(numbers, _)| numbers)
    }

    /// Changes what is remembered about a number, while no other run can. When this returns, the
    /// change is on the disk.
    pub fn change<T>(
        &self,
        number: &str,
        change: impl FnOnce(&mut History) -> T,
    ) -> Result<Remembered<T>, StoreError> {
        // Once it is there it lasts; an fsync of all folders above is not for the middle of a call.
        if self.disk.kind(&self.folder).at("look at", &self.folder)? != Some(Kind::Folder) {
            disk::make_folders(&*self.disk, &self.folder)?;
        }
        let _lock = self.lock()?;
        let (mut numbers, damaged) = self.read()?;
        let set_aside = if damaged { Some(self.set_aside()?) } else { None };
        let history = numbers.entry(number.to_owned()).or_default();
        let before = history.clone();
        let found = change(history);
        history.recent.drain(..history.recent.len().saturating_sub(RECENT_MAX));
        if *history != before || damaged {
            numbers.retain(|_, history| *history != History::default());
            forget_oldest(&mut numbers, number);
            self.write(&numbers)?;
        }
        Ok(Remembered { found, set_aside })
    }

    /// A person says that the number is right and may be dialled: its row of failures is forgotten, and
    /// what bars it. Answers whether there was anything to forget.
    pub fn release(&self, number: &str) -> Result<bool, StoreError> {
        if self.look(number)? == History::default() {
            return Ok(false); // nothing is written for nothing
        }
        let released = self.change(number, |history| {
            let row = History { connected: history.connected, ..History::default() };
            std::mem::replace(history, row.clone()) != row
        })?;
        Ok(released.found)
    }

    fn lock(&self) -> Result<Box<dyn DiskFile>, StoreError> {
        let path = self.folder.join(LOCK);
        // Two may make it at once: the second then finds it there.
        let opened = disk::open_or_create(&*self.disk, &path);
        let opened = opened.or_else(|_| disk::open_or_create(&*self.disk, &path));
        let file = opened.at("open", &path)?;
        for _ in 0..LOCK_TRIES {
            if file.try_lock(Lock::Flock).at("lock", &path)? {
                return Ok(file);
            }
            self.disk.pause(LOCK_PAUSE);
        }
        Err(StoreError::DialsLocked { lock: path })
    }

    /// The whole lines, and whether others were damaged.
    fn read(&self) -> Result<(Numbers, bool), StoreError> {
        let path = self.folder.join(FILE);
        let file = match self.disk.open(&path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Numbers::new(), false)),
            other => other.at("open", &path)?,
        };
        let size = file.size().at("look at", &path)?;
        let mut bytes = Vec::new();
        disk::each_piece(&*file, &path, 0, size.min(FILE_MAX), &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let mut numbers = Numbers::new();
        let mut damaged = size > FILE_MAX;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match parse(line) {
                Some((number, history)) => drop(numbers.insert(number, history)),
                None => damaged = true,
            }
        }
        Ok((numbers, damaged))
    }

    fn set_aside(&self) -> Result<PathBuf, StoreError> {
        let (path, aside) = (self.folder.join(FILE), self.folder.join(DAMAGED));
        // A second name first: the whole lines must not be gone if this run is killed here.
        disk::remove_if_there(&*self.disk, &aside)?;
        // Where files have one name only (FAT), it is moved.
        let linked = self.disk.hard_link(&path, &aside);
        linked.or_else(|_| self.disk.rename(&path, &aside)).at("set aside", &path)?;
        Ok(aside)
    }

    fn write(&self, numbers: &Numbers) -> Result<(), StoreError> {
        let text =
            numbers.iter().fold(String::new(), |text, (number, history)| text + &line(number, history));
        let (path, new) = (self.folder.join(FILE), self.folder.join(NEW));
        disk::remove_if_there(&*self.disk, &new)?;
        let file = self.disk.create(&new).at("make", &new)?;
        file.write_all_at(text.as_bytes(), 0).at("write to", &new)?;
        file.sync().at("sync", &new)?;
        self.disk.rename(&new, &path).at("replace", &path)?;
        self.disk.sync_folder(&self.folder).at("sync the folder", &self.folder)
    }
}

impl std::fmt::Debug for Dials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dials").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl History {
    /// When it was last dialled, as far as that is remembered.
    pub fn last(&self) -> Option<Dialled> {
        self.recent.last().copied()
    }
}

/// A memory that has grown past all reason loses what was dialled longest ago and bars nothing.
fn forget_oldest(numbers: &mut Numbers, keep: &str) {
    while numbers.len() > NUMBERS_MAX {
        let seen = |history: &History| history.last().map(|last| last.at).max(history.connected);
        let others = numbers.iter().filter(|(number, history)| *number != keep && history.barred.is_none());
        let oldest = others.min_by_key(|(_, history)| seen(history)).map(|(number, _)| number.clone());
        let Some(oldest) = oldest else { return };
        numbers.remove(&oldest);
    }
}

fn line(number: &str, history: &History) -> String {
    let connected = history.connected.map_or("-".to_owned(), |at| at.to_string());
    let barred = history.barred.map_or("-", word);
    let mut text = format!("{} {} {connected} {barred}", escape(number.as_bytes()), history.unconnected);
    for dialled in &history.recent {
        // Writing to a String cannot fail.
        let _ = write!(text, " {}:{}", dialled.at, word(dialled.how));
    }
    format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()))
}

fn parse(line: &[u8]) -> Option<(String, History)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (crc, text) = line.split_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(text.as_bytes()) {
        return None;
    }
    let mut words = text.split(' ');
    let number = unescape_text(words.next()?)?;
    let unconnected = words.next()?.parse().ok()?;
    let connected = match words.next()? {
        "-" => None,
        at => Some(at.parse().ok()?),
    };
    let barred = match words.next()? {
        "-" => None,
        how => Some(how_ended(how)),
    };
    let recent = words.map(|dialled| {
        let (at, how) = dialled.split_once(':')?;
        Some(Dialled { at: at.parse().ok()?, how: how_ended(how) })
    });
    let recent = recent.collect::<Option<Vec<_>>>()?;
    Some((number, History { unconnected, connected, barred, recent }))
}

fn word(how: HowEnded) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == how).map_or("unknown", |(_, word)| word)
}

/// A word of a later version's is an end that is not known: that holds a number back, as it should.
fn how_ended(word: &str) -> HowEnded {
    WORDS.iter().find(|(_, known)| *known == word).map_or(HowEnded::Unknown, |(how, _)| *how)
}

impl std::fmt::Display for HowEnded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(word(*self))
    }
}

const WORDS: [(HowEnded, &str); 11] = [
    (HowEnded::Unknown, "unknown"),
    (HowEnded::Busy, "busy"),
    (HowEnded::NoAnswer, "no-answer"),
    (HowEnded::NoCarrier, "no-carrier"),
    (HowEnded::NoDialtone, "no-dialtone"),
    (HowEnded::Voice, "voice"),
    (HowEnded::Fax, "fax"),
    (HowEnded::Delayed, "delayed"),
    (HowEnded::Blacklisted, "blacklisted"),
    (HowEnded::Interrupted, "interrupted"),
    (HowEnded::Failed, "failed"),
];

// No account's folder begins with a dot (`account_folder`), so none can stand in the way.
const FILE: &str = ".dials";
const NEW: &str = ".dials.new";
const DAMAGED: &str = ".dials.damaged";
const LOCK: &str = ".dials.lock";

/// Dials of a row that are remembered one by one: more than any rule looks at.
pub const RECENT_MAX: usize = 24;
/// Numbers that are remembered.
const NUMBERS_MAX: usize = 1_000;
/// Bytes of the file that are read: many times what [`NUMBERS_MAX`] take.
const FILE_MAX: u64 = 4 << 20;
/// How often the lock is tried, and the pause between: others hold it for as long as an fsync takes.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_all_of_a_history_and_any_bit_of_damage_shows() {
        let recent = WORDS.iter().map(|&(how, _)| Dialled { at: 1_700_000_000, how }).collect();
        let history = History { unconnected: 11, connected: Some(5), barred: Some(HowEnded::Voice), recent };
        let line = line("+49 30%1", &history);
        assert_eq!(parse(line.as_bytes()), Some(("+49 30%1".to_owned(), history)));
        for at in 0..line.len() {
            let mut damaged = line.clone().into_bytes();
            damaged[at] ^= 4;
            assert_eq!(parse(&damaged), None, "bit 2 of byte {at}");
            assert_eq!(parse(&line.as_bytes()[..at]), None, "cut at {at}");
        }
        let nothing = History::default();
        assert_eq!(parse(super::line("1", &nothing).as_bytes()), Some(("1".to_owned(), nothing)));
    }

    #[test]
    fn what_a_later_version_knows_of_an_end_still_holds_the_number_back() {
        let text = "5551212 2 - declined 7:declined 8:voice";
        let line = format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()));
        let (_, history) = parse(line.as_bytes()).expect("a line of a later version's");
        assert_eq!(history.barred, Some(HowEnded::Unknown));
        assert_eq!(history.recent[0].how, HowEnded::Unknown);
        assert_eq!(history.recent[1].how, HowEnded::Voice);
    }

    #[test]
    fn what_was_dialled_longest_ago_is_forgotten_but_never_what_is_barred() {
        let mut numbers = Numbers::new();
        for at in 0..NUMBERS_MAX as u64 + 2 {
            let barred = (at == 0).then_some(HowEnded::Voice);
            let recent = vec![Dialled { at, how: HowEnded::Busy }];
            numbers.insert(at.to_string(), History { barred, recent, ..History::default() });
        }
        forget_oldest(&mut numbers, "1");
        assert_eq!(numbers.len(), NUMBERS_MAX);
        assert!(numbers.contains_key("0") && numbers.contains_key("1"));
        assert!(!numbers.contains_key("2") && !numbers.contains_key("3"));
    }
}
