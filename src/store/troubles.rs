//! Lines that failed, by their names: the memory by which a run begins with another line than the one
//! whose modem was dead a minute ago. `.lines` in the folder for all accounts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, HostDisk};
use super::error::StoreError;
use super::table::{Entry, Remembered, Table};

/// How a line failed last.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// A later version's word.
    #[default]
    Unknown,
    /// The port is not there, or went away.
    NoPort,
    /// Nothing answers AT commands.
    Silent,
    /// The modem refuses what it must be told.
    NotReady,
    /// There is no dial tone.
    NoDialtone,
    /// Nothing at the other end of the network answers.
    NotReached,
    /// It ended before anything was said on it.
    Ended,
}

/// What is remembered of a line. The default is one that works.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// Failures since it last worked.
    pub failures: u32,
    /// When the last of them was, in seconds since 1970.
    pub at: u64,
    /// How.
    pub how: How,
}

/// The memory, in the folder for all accounts.
pub struct Troubles(Table<Trouble>);

impl Troubles {
    /// The memory below `state`, the folder for all accounts.
    pub fn new(state: &Path) -> Self {
        Self::on(Arc::new(HostDisk), state)
    }

    /// [`Self::new`] on another disk than this machine's: for tests that let it fail.
    pub fn on(disk: Arc<dyn Disk>, state: &Path) -> Self {
        Self(Table::new(disk, state, FILE))
    }

    /// The lines that failed. Changes nothing; what is damaged is passed over.
    pub fn all(&self) -> Result<BTreeMap<String, Trouble>, StoreError> {
        self.0.all()
    }

    /// Changes what is remembered of a line, while no other run can. When this returns, the change is
    /// on the disk. That a line works is written only where it was known to have failed.
    pub fn change<T>(
        &self,
        line: &str,
        change: impl FnOnce(&mut Trouble) -> T,
    ) -> Result<Remembered<T>, StoreError> {
        self.0.change(line, change)
    }

    /// The line works.
    pub fn forget(&self, line: &str) -> Result<(), StoreError> {
        // Nothing is written for nothing.
        if self.all()?.contains_key(line) {
            self.change(line, |trouble| *trouble = Trouble::default())?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Troubles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Troubles").field("folder", &self.0.folder()).finish_non_exhaustive()
    }
}

impl Entry for Trouble {
    fn words(&self) -> String {
        format!("{} {} {}", self.failures, self.at, self.how)
    }

    fn read<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let failures = words.next()?.parse().ok()?;
        let at = words.next()?.parse().ok()?;
        let how = words.next()?;
        let how = WORDS.iter().find(|(_, known)| *known == how).map_or(How::Unknown, |(how, _)| *how);
        Some(Self { failures, at, how })
    }

    fn forget_oldest(entries: &mut BTreeMap<String, Self>, keep: &str) {
        while entries.len() > LINES_MAX {
            let others = entries.iter().filter(|(line, _)| *line != keep);
            let oldest = others.min_by_key(|(_, trouble)| trouble.at).map(|(line, _)| line.clone());
            let Some(oldest) = oldest else { return };
            entries.remove(&oldest);
        }
    }
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(WORDS.iter().find(|(how, _)| how == self).map_or("unknown", |(_, word)| word))
    }
}

const WORDS: [(How, &str); 7] = [
    (How::Unknown, "unknown"),
    (How::NoPort, "no-port"),
    (How::Silent, "modem-silent"),
    (How::NotReady, "modem-refuses"),
    (How::NoDialtone, "no-dialtone"),
    (How::NotReached, "not-reached"),
    (How::Ended, "ended-at-once"),
];

const FILE: &str = ".lines";
/// Lines that are remembered.
const LINES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::super::table::{line, parse};
    use super::*;

    #[test]
    fn a_line_of_the_file_says_all_of_a_trouble() {
        for (how, word) in WORDS {
            let trouble = Trouble { failures: 3, at: 1_700_000_000, how };
            let written = line("usr bank", &trouble);
            assert!(written.ends_with(&format!("3 1700000000 {word}\n")), "{written}");
            assert_eq!(parse(written.as_bytes()), Some(("usr bank".to_owned(), trouble)));
        }
        let later = format!("{:08x} usr 1 5 on-fire\n", crc32fast::hash(b"usr 1 5 on-fire"));
        let (_, trouble): (String, Trouble) = parse(later.as_bytes()).expect("a later version's word");
        assert_eq!((trouble.failures, trouble.how), (1, How::Unknown));
    }

    #[test]
    fn what_works_is_not_written_and_what_works_again_is_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let troubles = Troubles::new(state.path());
        troubles.forget("usr").unwrap();
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
        for line in ["usr", "bank1"] {
            troubles.change(line, |trouble| trouble.failures += 1).unwrap();
        }
        troubles.forget("usr").unwrap();
        assert_eq!(troubles.all().unwrap().into_keys().collect::<Vec<_>>(), ["bank1"]);
    }

    #[test]
    fn the_line_that_failed_longest_ago_is_forgotten_first() {
        let trouble = |at| Trouble { failures: 1, at, how: How::Silent };
        let mut entries: BTreeMap<String, Trouble> =
            (0..LINES_MAX as u64 + 2).map(|at| (at.to_string(), trouble(at))).collect();
        Trouble::forget_oldest(&mut entries, "0");
        assert_eq!(entries.len(), LINES_MAX);
        assert!(entries.contains_key("0") && !entries.contains_key("1") && !entries.contains_key("2"));
    }
}
