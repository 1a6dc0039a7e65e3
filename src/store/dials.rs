//! What became of earlier dials, number by number: the memory that keeps a person's telephone from
//! being rung again and again, by runs that know nothing of each other.
//!
//! It is one small file for all accounts, because two of them may dial the same number. It is written
//! before a number is dialled and again when the dial has ended. A run that is killed leaves its dial
//! counted. Each line is `crc number unconnected connected barred time:how ..`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, HostDisk};
use super::error::StoreError;
pub use super::table::Remembered;
use super::table::{Entry, Table};

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
pub struct Dials(Table<History>);

impl Dials {
    /// The memory below `state`, the folder for all accounts.
    pub fn new(state: &Path) -> Self {
        Self::on(Arc::new(HostDisk), state)
    }

    /// [`Self::new`] on another disk than this machine's: for tests that let it fail.
    pub fn on(disk: Arc<dyn Disk>, state: &Path) -> Self {
        Self(Table::new(disk, state, FILE))
    }

    /// What is remembered about a number. Changes nothing; what is damaged is passed over.
    pub fn look(&self, number: &str) -> Result<History, StoreError> {
        Ok(self.all()?.remove(number).unwrap_or_default())
    }

    /// All numbers that something is remembered about. Changes nothing.
    pub fn all(&self) -> Result<BTreeMap<String, History>, StoreError> {
        self.0.all()
    }

    /// Changes what is remembered about a number, while no other run can. When this returns, the
    /// change is on the disk.
    pub fn change<T>(
        &self,
        number: &str,
        change: impl FnOnce(&mut History) -> T,
    ) -> Result<Remembered<T>, StoreError> {
        self.0.change(number, |history| {
            let found = change(history);
            history.recent.drain(..history.recent.len().saturating_sub(RECENT_MAX));
            found
        })
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
}

impl std::fmt::Debug for Dials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dials").field("folder", &self.0.folder()).finish_non_exhaustive()
    }
}

impl History {
    /// When it was last dialled, as far as that is remembered.
    pub fn last(&self) -> Option<Dialled> {
        self.recent.last().copied()
    }
}

impl Entry for History {
    fn words(&self) -> String {
        let connected = self.connected.map_or("-".to_owned(), |at| at.to_string());
        let barred = self.barred.map_or("-", word);
        let mut text = format!("{} {connected} {barred}", self.unconnected);
        for dialled in &self.recent {
            // Writing to a String cannot fail.
            let _ = write!(text, " {}:{}", dialled.at, word(dialled.how));
        }
        text
    }

    fn read<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Self> {
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
        Some(Self { unconnected, connected, barred, recent })
    }

    /// Loses what was dialled longest ago, and never what is barred.
    fn forget_oldest(numbers: &mut BTreeMap<String, Self>, keep: &str) {
        while numbers.len() > NUMBERS_MAX {
            let seen = |history: &Self| history.last().map(|last| last.at).max(history.connected);
            let others =
                numbers.iter().filter(|(number, history)| *number != keep && history.barred.is_none());
            let oldest = others.min_by_key(|(_, history)| seen(history)).map(|(number, _)| number.clone());
            let Some(oldest) = oldest else { return };
            numbers.remove(&oldest);
        }
    }
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

const FILE: &str = ".dials";

/// Dials of a row that are remembered one by one: more than any rule looks at.
pub const RECENT_MAX: usize = 24;
/// Numbers that are remembered.
const NUMBERS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::super::table::{line, parse};
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
            assert_eq!(parse::<History>(&damaged), None, "bit 2 of byte {at}");
            assert_eq!(parse::<History>(&line.as_bytes()[..at]), None, "cut at {at}");
        }
        let nothing = History::default();
        assert_eq!(
            parse(super::super::table::line("1", &nothing).as_bytes()),
            Some(("1".to_owned(), nothing))
        );
    }

    #[test]
    fn what_a_later_version_knows_of_an_end_still_holds_the_number_back() {
        let text = "5551212 2 - declined 7:declined 8:voice";
        let line = format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()));
        let (_, history): (String, History) = parse(line.as_bytes()).expect("a line of a later version's");
        assert_eq!(history.barred, Some(HowEnded::Unknown));
        assert_eq!(history.recent[0].how, HowEnded::Unknown);
        assert_eq!(history.recent[1].how, HowEnded::Voice);
    }

    #[test]
    fn what_was_dialled_longest_ago_is_forgotten_but_never_what_is_barred() {
        let mut numbers = BTreeMap::new();
        for at in 0..NUMBERS_MAX as u64 + 2 {
            let barred = (at == 0).then_some(HowEnded::Voice);
            let recent = vec![Dialled { at, how: HowEnded::Busy }];
            numbers.insert(at.to_string(), History { barred, recent, ..History::default() });
        }
        History::forget_oldest(&mut numbers, "1");
        assert_eq!(numbers.len(), NUMBERS_MAX);
        assert!(numbers.contains_key("0") && numbers.contains_key("1"));
        assert!(!numbers.contains_key("2") && !numbers.contains_key("3"));
    }
}
