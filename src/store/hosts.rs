//! What the host of an account has, as the last call found it, so that the next need not ask for it: a
//! file `host` in the account's folder. A call goes as well without it, only slower.
//!
//! The first line has the version, the last one a checksum of all lines before it; between them stands a
//! word and its value in each. A file that is damaged counts as none. One that a later version wrote is
//! neither used nor written over: that version comes back to it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::account_folder;
use super::disk::{self, Access, Disk, HostDisk, Kind};
use super::error::{DiskContext, StoreError};
use super::record::{escape, unescape, unescape_text};

/// What is remembered of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostMemory {
    /// What was dialled or connected to, and as whom: of another host it says nothing.
    pub dialled: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// What the host said of itself when it was asked.
    pub facts: Vec<u8>,
    /// Replies came in hexadecimal.
    pub hex: bool,
    /// What it proves lines with, by the program's name.
    pub checksum: String,
    /// Its line editor scrolls long lines sideways.
    pub scrolls: bool,
    /// The shell's prompt.
    pub prompt: String,
    /// From the password to the prompt, in milliseconds.
    pub prompt_after: u64,
    /// From sending to hearing, in milliseconds.
    pub round_trip: u64,
    /// Bytes that the last call carried, both ways.
    pub carried: u64,
    /// Lines, frames and blocks that arrived damaged in it, either way.
    pub damaged: u64,
    /// In how many calls the host's echo is to be looked at again before anything is acted upon.
    pub wary: u32,
    /// Bytes above 127 passed.
    pub eight_bit: bool,
}

/// What there is to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// Nothing, or nothing that can be read.
    Nothing,
    /// What a later version knows.
    ByLaterVersion,
    /// This.
    Host(Box<HostMemory>),
}

/// The memory of one account's host.
#[derive(Clone)]
pub struct Hosts {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl Hosts {
    /// The memory of this account below `state`, the folder for all accounts.
    pub fn new(state: &Path, account: &str) -> Result<Self, StoreError> {
        Self::on(Arc::new(HostDisk), state, account)
    }

    /// [`Self::new`] on another disk than this machine's: for tests that let it fail.
    pub fn on(disk: Arc<dyn Disk>, state: &Path, account: &str) -> Result<Self, StoreError> {
        Ok(Self { disk, folder: account_folder(state, account)? })
    }

    /// What is remembered. Changes nothing.
    pub fn read(&self) -> Result<Remembered, StoreError> {
        let path = self.path("");
        let file = match self.disk.open(&path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Remembered::Nothing),
            other => other.at("open", &path)?,
        };
        let size = file.size().at("look at", &path)?;
        let mut bytes = Vec::new();
        disk::each_piece(&*file, &path, 0, size.min(FILE_MAX), &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(std::str::from_utf8(&bytes).map_or(Remembered::Nothing, parse))
    }

    /// Remembers this instead. When it returns, it is on the disk.
    pub fn write(&self, memory: &HostMemory) -> Result<(), StoreError> {
        // One that cannot be read is replaced, if the disk lets us.
        if matches!(self.read(), Ok(Remembered::ByLaterVersion)) {
            return Ok(());
        }
        if self.disk.kind(&self.folder).at("look at", &self.folder)? != Some(Kind::Folder) {
            disk::make_folders(&*self.disk, &self.folder)?;
        }
        let (path, new) = (self.path(""), self.path(NEW));
        disk::remove_if_there(&*self.disk, &new)?;
        let file = self.disk.create(&new).at("make", &new)?;
        file.write_all_at(text(memory).as_bytes(), 0).at("write to", &new)?;
        file.sync().at("sync", &new)?;
        self.disk.rename(&new, &path).at("replace", &path)?;
        self.disk.sync_folder(&self.folder).at("sync the folder", &self.folder)
    }

    /// Remembers nothing any more.
    pub fn forget(&self) -> Result<(), StoreError> {
        match self.read()? {
            Remembered::ByLaterVersion => Ok(()),
            Remembered::Nothing | Remembered::Host(_) => disk::remove_if_there(&*self.disk, &self.path("")),
        }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{FILE}{suffix}"))
    }
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosts").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn text(memory: &HostMemory) -> String {
    let flag = |on: bool| if on { "yes" } else { "no" }.to_owned();
    let lines = [
        ("dialled", escape(memory.dialled.as_bytes())),
        ("at", memory.at.to_string()),
        ("facts", escape(&memory.facts)),
        ("hex", flag(memory.hex)),
        ("checksum", escape(memory.checksum.as_bytes())),
        ("scrolls", flag(memory.scrolls)),
        ("prompt", escape(memory.prompt.as_bytes())),
        ("prompt-after-ms", memory.prompt_after.to_string()),
        ("round-trip-ms", memory.round_trip.to_string()),
        ("carried", memory.carried.to_string()),
        ("damaged", memory.damaged.to_string()),
        ("wary", memory.wary.to_string()),
        ("eight-bit", flag(memory.eight_bit)),
    ];
    let mut text = format!("{NAME} {VERSION}\n");
    for (word, value) in lines {
        let _ = writeln!(text, "{word} {value}"); // writing to a String cannot fail
    }
    let sum = crc32fast::hash(text.as_bytes());
    text + &format!("{END} {sum:08x}\n")
}

fn parse(text: &str) -> Remembered {
    let first = text.lines().next().unwrap_or_default();
    let version = first.strip_prefix(NAME).and_then(|version| version.trim().parse::<u32>().ok());
    match version {
        Some(version) if version > VERSION => Remembered::ByLaterVersion,
        Some(_) => lines(text).map_or(Remembered::Nothing, |host| Remembered::Host(Box::new(host))),
        None => Remembered::Nothing,
    }
}

fn lines(text: &str) -> Option<HostMemory> {
    let (body, sum) = text.strip_suffix('\n')?.rsplit_once(&format!("\n{END} "))?;
    if sum != format!("{:08x}", crc32fast::hash(format!("{body}\n").as_bytes())) {
        return None;
    }
    let values: BTreeMap<&str, &str> = body.lines().skip(1).filter_map(|line| line.split_once(' ')).collect();
    let word = |word: &str| values.get(word).copied();
    let number = |name: &str| -> Option<u64> { word(name)?.parse().ok() };
    let flag = |name: &str| match word(name)? {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None, // damage that a checksum has passed
    };
    Some(HostMemory {
        dialled: unescape_text(word("dialled")?)?,
        at: number("at")?,
        facts: unescape(word("facts")?)?,
        hex: flag("hex")?,
        checksum: unescape_text(word("checksum")?)?,
        scrolls: flag("scrolls")?,
        prompt: unescape_text(word("prompt")?)?,
        prompt_after: number("prompt-after-ms")?,
        round_trip: number("round-trip-ms")?,
        carried: number("carried")?,
        damaged: number("damaged")?,
        wary: u32::try_from(number("wary")?).ok()?,
        eight_bit: flag("eight-bit")?,
    })
}

/// In the account's folder, beside the ledger.
const FILE: &str = "host";
const NEW: &str = ".new";
const NAME: &str = "mailcall-host";
const VERSION: u32 = 1;
const END: &str = "end";
/// Bytes of the file that are read: many times what it has.
const FILE_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn memory() -> HostMemory {
        HostMemory {
            dialled: "phone 555 1212 as mary".to_owned(),
            at: 1_700_000_000,
            facts: b"1010\nbz\nLinux\nmary\n/home/m\xe4ry\n\n".to_vec(),
            hex: false,
            checksum: "cksum".to_owned(),
            scrolls: true,
            prompt: "mary@host:~$ 100 %".trim().to_owned(),
            prompt_after: 412,
            round_trip: 1_230,
            carried: 104_321,
            damaged: 2,
            wary: 7,
            eight_bit: true,
        }
    }

    fn remembered(memory: HostMemory) -> Remembered {
        Remembered::Host(Box::new(memory))
    }

    #[test]
    fn what_is_written_is_read_again_and_for_nobody_else() {
        let state = tempfile::tempdir().unwrap();
        let hosts = Hosts::new(state.path(), "home").unwrap();
        assert_eq!(hosts.read().unwrap(), Remembered::Nothing);
        hosts.write(&HostMemory::default()).unwrap();
        hosts.write(&memory()).unwrap();
        assert_eq!(hosts.read().unwrap(), remembered(memory()));
        let file = state.path().join("home/host");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(state.path().join("home")).unwrap().count(), 1);
        hosts.forget().unwrap();
        hosts.forget().unwrap();
        assert_eq!(hosts.read().unwrap(), Remembered::Nothing);
    }

    #[test]
    fn any_damage_makes_it_nothing() {
        let whole = text(&memory()).into_bytes();
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut hit = whole.clone();
                hit[place] ^= 1 << bit;
                let read = std::str::from_utf8(&hit).map_or(Remembered::Nothing, parse);
                // A version that is later by a flipped bit is still no memory of this version's.
                let harmless = read == Remembered::Nothing
                    || read == Remembered::ByLaterVersion && place < NAME.len() + 3;
                assert!(harmless, "byte {place}, bit {bit}: {read:?}");
            }
            let cut = std::str::from_utf8(&whole[..place]).map_or(Remembered::Nothing, parse);
            assert_eq!(cut, Remembered::Nothing, "cut at {place}");
        }
        assert_eq!(parse(&text(&memory())), remembered(memory()));
    }

    #[test]
    fn what_a_later_version_wrote_is_kept() {
        let state = tempfile::tempdir().unwrap();
        let hosts = Hosts::new(state.path(), "home").unwrap();
        std::fs::create_dir(state.path().join("home")).unwrap();
        let file = state.path().join("home/host");
        std::fs::write(&file, "mailcall-host 2\nwhatever\n").unwrap();
        assert_eq!(hosts.read().unwrap(), Remembered::ByLaterVersion);
        hosts.write(&memory()).unwrap();
        hosts.forget().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mailcall-host 2\nwhatever\n");
    }

    #[test]
    fn a_disk_that_refuses_is_said() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("home"), "").unwrap();
        let error = Hosts::new(state.path(), "home").unwrap().write(&memory()).unwrap_err();
        assert!(error.to_string().contains("home"), "{error}");
    }
}
