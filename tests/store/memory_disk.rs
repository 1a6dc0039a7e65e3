//! A disk in memory whose power can be cut: what was not fsynced is then at the mercy of a [`Fate`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use mailcall::store::disk::{Access, Disk, DiskFile, Kind, Lock};

/// What becomes of everything that was not fsynced when the power goes.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// All of it is gone.
    Lost,
    /// Names were written and bytes were not: new files are empty, old ones have their old bytes.
    NamesOnly,
    /// Names and lengths were written, and bytes are zeros.
    Zeros,
    /// All of it had been written.
    Kept,
    /// Of each name and file something, drawn from this seed.
    Random(u64),
}

#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    now: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
}

enum Node {
    Folder,
    File { data: Vec<u8>, synced: Vec<u8>, locked: bool },
}

struct Change {
    removed: Option<PathBuf>,
    added: Option<(PathBuf, usize)>,
    /// Folders whose fsync it still needs to last.
    needs: Vec<PathBuf>,
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        if let Some(path) = &self.removed {
            names.remove(path);
        }
        if let Some((path, node)) = &self.added {
            names.insert(path.clone(), *node);
        }
    }
}

impl MemoryDisk {
    pub fn new() -> Self {
        let disk = Self::default();
        {
            let mut state = disk.state();
            state.nodes.push(Node::Folder);
            state.now.insert("/".into(), 0);
            state.durable.insert("/".into(), 0);
        }
        disk
    }

    /// Cuts the power and starts again.
    pub fn cut_power(&self, fate: Fate) {
        let mut state = self.state();
        let mut dice = Dice(if let Fate::Random(seed) = fate { seed } else { 0 });
        let mut names = std::mem::take(&mut state.durable);
        for change in std::mem::take(&mut state.changes) {
            let kept = match fate {
                Fate::Lost => false,
                Fate::NamesOnly | Fate::Zeros | Fate::Kept => true,
                Fate::Random(_) => dice.roll(2) == 0,
            };
            if kept {
                change.apply(&mut names);
            }
        }
        // A name whose folder was lost is lost with it.
        let whole = names.clone();
        names.retain(|path, _| path.ancestors().all(|above| whole.contains_key(above)));
        state.durable = names.clone();
        state.now = names;
        for node in &mut state.nodes {
            let Node::File { data, synced, locked } = node else { continue };
            let zeros = |len: usize| {
                let mut zeroed = synced[..synced.len().min(len)].to_vec();
                zeroed.resize(len, 0);
                zeroed
            };
            *data = match fate {
                Fate::Lost | Fate::NamesOnly => synced.clone(),
                Fate::Zeros => zeros(data.len()),
                Fate::Kept => data.clone(),
                Fate::Random(_) => match dice.roll(5) {
                    0 => synced.clone(),
                    // Some sectors of what was written over the old bytes, and not others.
                    1 if data.len() == synced.len() => {
                        let sectors = data.chunks(SECTOR).zip(synced.chunks(SECTOR));
                        sectors.flat_map(|both| [both.0, both.1][dice.roll(2)].to_vec()).collect()
                    }
                    1 | 3 => zeros(data.len()),
                    2 if data.len() > synced.len() => {
                        data[..synced.len() + dice.roll(data.len() - synced.len())].to_vec()
                    }
                    _ => data.clone(),
                },
            };
            *synced = data.clone();
            *locked = false;
        }
    }

    /// The process was killed: its locks are gone, the disk is not.
    pub fn kill(&self) {
        for node in &mut self.state().nodes {
            if let Node::File { locked, .. } = node {
                *locked = false;
            }
        }
    }

    /// What another program sees: the files directly in a folder.
    pub fn files(&self, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        let within = state.now.iter().filter(|(path, _)| path.parent() == Some(Path::new(folder)));
        within
            .filter_map(|(path, &node)| match &state.nodes[node] {
                Node::File { data, .. } => Some((path.clone(), data.clone())),
                Node::Folder => None,
            })
            .collect()
    }

    /// What another program does: writes a whole file, which lasts.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let path = Path::new(path);
        if let Some(folder) = path.parent() {
            for above in folder.ancestors().collect::<Vec<_>>().into_iter().rev() {
                let _ = self.make_folder(above);
            }
        }
        let mut state = self.state();
        state.nodes.push(Node::File { data: bytes.to_vec(), synced: bytes.to_vec(), locked: false });
        let node = state.nodes.len() - 1;
        state.changes.retain(|change| change.added.as_ref().is_none_or(|(added, _)| added != path));
        state.now.insert(path.to_owned(), node);
        state.durable = state.now.clone();
        state.changes.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panicked in here")
    }

    fn handle(&self, node: usize) -> Box<dyn DiskFile> {
        Box::new(MemoryFile { disk: self.clone(), node, holds: Mutex::new(false) })
    }
}

impl State {
    fn node(&self, path: &Path) -> io::Result<usize> {
        self.now.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, removed: Option<&Path>, added: Option<(&Path, usize)>) -> io::Result<()> {
        let mut needs: Vec<PathBuf> = Vec::new();
        for path in removed.iter().copied().chain(added.map(|(path, _)| path)) {
            let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
            self.node(folder)?;
            if !needs.contains(&folder.to_owned()) {
                needs.push(folder.to_owned());
            }
        }
        let added = added.map(|(path, node)| (path.to_owned(), node));
        let change = Change { removed: removed.map(Path::to_owned), added, needs };
        change.apply(&mut self.now);
        self.changes.push(change);
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, _: Access) -> io::Result<Box<dyn DiskFile>> {
        let node = self.state().node(path)?;
        Ok(self.handle(node))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        if state.now.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.nodes.push(Node::File { data: vec![], synced: vec![], locked: false });
        let node = state.nodes.len() - 1;
        state.change(None, Some((path, node)))?;
        drop(state);
        Ok(self.handle(node))
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        let state = self.state();
        Ok(state.now.get(path).map(|&node| match state.nodes[node] {
            Node::Folder => Kind::Folder,
            Node::File { .. } => Kind::File,
        }))
    }

    fn file_id(&self, path: &Path) -> io::Result<(u64, u64)> {
        self.state().node(path).map(|node| (0, node as u64))
    }

    fn modified(&self, path: &Path) -> io::Result<SystemTime> {
        self.state().node(path).map(|_| SystemTime::UNIX_EPOCH + Duration::from_secs(super::NOW))
    }

    fn list(&self, folder: &Path, each: &mut dyn FnMut(&OsStr) -> bool) -> io::Result<()> {
        let state = self.state();
        state.node(folder)?;
        for path in state.now.keys().filter(|path| path.parent() == Some(folder)) {
            if !path.file_name().is_none_or(&mut *each) {
                break;
            }
        }
        Ok(())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.now.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.nodes.push(Node::Folder);
        let node = state.nodes.len() - 1;
        state.change(None, Some((path, node)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.node(from)?;
        state.change(Some(from), Some((to, node)))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.node(from)?;
        if state.now.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.change(None, Some((to, node)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.node(path)?;
        state.change(Some(path), None)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.node(path)?;
        let state = &mut *state;
        for change in &mut state.changes {
            change.needs.retain(|folder| folder != path);
            if change.needs.is_empty() {
                change.apply(&mut state.durable);
            }
        }
        state.changes.retain(|change| !change.needs.is_empty());
        Ok(())
    }

    fn pause(&self, _: Duration) {}

    fn host_name(&self) -> OsString {
        "here".into()
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    node: usize,
    holds: Mutex<bool>,
}

impl MemoryFile {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>, &mut bool) -> T) -> T {
        match &mut self.disk.state().nodes[self.node] {
            Node::File { data, synced, locked } => work(data, synced, locked),
            Node::Folder => panic!("a folder is not opened as a file"),
        }
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.with(|data, _, _| {
            let there = data.get(offset as usize..).unwrap_or_default();
            let len = there.len().min(buffer.len());
            buffer[..len].copy_from_slice(&there[..len]);
            len
        }))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|data, _, _| {
            let (from, to) = (offset as usize, offset as usize + bytes.len());
            data.resize(data.len().max(to), 0);
            data[from..to].copy_from_slice(bytes);
        });
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.with(|data, _, _| data.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|data, _, _| data.resize(len as usize, 0));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|data, synced, _| synced.clone_from(data));
        Ok(())
    }

    fn file_id(&self) -> io::Result<(u64, u64)> {
        Ok((0, self.node as u64))
    }

    fn try_lock(&self, _: Lock) -> io::Result<bool> {
        let taken = self.with(|_, _, locked| !std::mem::replace(locked, true));
        if taken {
            *self.holds.lock().expect("one thread") = true;
        }
        Ok(taken)
    }

    fn unlock(&self) -> io::Result<()> {
        if std::mem::take(&mut *self.holds.lock().expect("one thread")) {
            self.with(|_, _, locked| *locked = false);
        }
        Ok(())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let _ = self.unlock();
    }
}

/// Bytes that reach this disk together, or not.
const SECTOR: usize = 32;

/// A small generator (splitmix64): the same seed, the same fate.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides.max(1) as u64) as usize
    }
}
