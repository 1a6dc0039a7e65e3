//! The part: bytes of the host's mailbox that are here and not yet delivered.
//!
//! The file is called `part.<epoch>.<offset of its first byte>`, so that it says by itself what it
//! holds: one that a power cut brought back is of another epoch, or ends before what is delivered,
//! and is removed. It may begin before the delivered prefix's end, and goes when all is delivered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{self, Access, Disk, DiskFile};
use super::error::{DiskContext, StoreError};

/// The part's file, if there is one.
pub(super) struct Part {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    epoch: u64,
    file: Option<PartFile>,
}

struct PartFile {
    handle: Box<dyn DiskFile>,
    path: PathBuf,
    /// Offset in the mailbox of the file's first byte.
    base: u64,
    len: u64,
    /// The folder was fsynced since the file was made.
    named: bool,
}

impl Part {
    /// Finds what an earlier run left that goes on behind `known`, and removes what does not.
    pub(super) fn find(
        disk: Arc<dyn Disk>,
        folder: &Path,
        epoch: u64,
        known: u64,
    ) -> Result<Self, StoreError> {
        let mut names = Vec::new();
        disk.list(folder, &mut |name| {
            names.extend(name.to_str().and_then(parse_name));
            true
        })
        .at("list", folder)?;
        let mut part = Self { disk, folder: folder.to_owned(), epoch, file: None };
        for (of_epoch, base) in names {
            let path = part.path(of_epoch, base);
            let file = part.disk.open(&path, Access::Edit).at("open", &path)?;
            let len = file.size().at("look at", &path)?;
            let end = base.saturating_add(len);
            let wanted = of_epoch == epoch && base <= known && end > known.max(part.end(known));
            if wanted {
                part.remove()?;
                part.file = Some(PartFile { handle: file, path, base, len, named: false });
            } else {
                drop(file);
                disk::remove_if_there(&*part.disk, &path)?;
            }
        }
        Ok(part)
    }

    /// The offset behind its last byte; `known` if there is none.
    pub(super) fn end(&self, known: u64) -> u64 {
        self.file.as_ref().map_or(known, |file| file.base + file.len)
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, known: u64, bytes: &[u8]) -> Result<(), StoreError> {
        if self.file.is_none() {
            let path = self.path(self.epoch, known);
            disk::remove_if_there(&*self.disk, &path)?;
            let handle = self.disk.create(&path).at("make", &path)?;
            self.file = Some(PartFile { handle, path, base: known, len: 0, named: false });
        }
        let Some(file) = &mut self.file else { return Ok(()) }; // it was made just now
        file.handle.write_all_at(bytes, file.len).at("write to", &file.path)?;
        file.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes all of it last.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.handle.sync().at("sync", &file.path)?;
        if !file.named {
            self.disk.sync_folder(&self.folder).at("sync the folder", &self.folder)?;
            file.named = true;
        }
        Ok(())
    }

    /// Cuts it off at an offset in the mailbox.
    pub(super) fn cut(&mut self, end: u64) -> Result<(), StoreError> {
        match &mut self.file {
            Some(file) if end > file.base => {
                file.handle.set_len(end - file.base).at("cut", &file.path)?;
                file.handle.sync().at("sync", &file.path)?;
                file.len = end - file.base;
                Ok(())
            }
            Some(_) | None => self.remove(),
        }
    }

    /// Removes it, if there is one.
    pub(super) fn remove(&mut self) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        disk::remove_if_there(&*self.disk, &file.path)?;
        self.file = None;
        self.disk.sync_folder(&self.folder).at("sync the folder", &self.folder)
    }

    /// Removes it and counts from the mailbox's beginning.
    pub(super) fn restart(&mut self, epoch: u64) -> Result<(), StoreError> {
        self.epoch = epoch;
        self.remove()
    }

    /// Gives the bytes behind `known` the place that they have now, `to`, in a new file: by its name
    /// the old one would be of bytes that stand elsewhere.
    pub(super) fn shift(&mut self, known: u64, to: u64, epoch: u64) -> Result<(), StoreError> {
        let old = Self {
            disk: self.disk.clone(),
            folder: self.folder.clone(),
            epoch: self.epoch,
            file: self.file.take(),
        };
        self.epoch = epoch;
        let mut end = to;
        old.each_piece(known, old.end(known), &mut |piece| {
            self.append(end, piece)?;
            end += piece.len() as u64;
            Ok(())
        })?;
        let Some(file) = old.file else { return Ok(()) };
        disk::remove_if_there(&*self.disk, &file.path)
    }

    /// Gives the bytes from one offset in the mailbox to another to `each`, in pieces.
    pub(super) fn each_piece(
        &self,
        from: u64,
        to: u64,
        each: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Some(file) = self.file.as_ref().filter(|file| file.base <= from) else {
            return if from >= to { Ok(()) } else { self.missing() };
        };
        disk::each_piece(&*file.handle, &file.path, from - file.base, to - file.base, each)
    }

    /// Reads some bytes at an offset in the mailbox; 0 at the part's end.
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize, StoreError> {
        match self.file.as_ref().filter(|file| file.base <= at) {
            Some(file) => file.handle.read_at(buffer, at - file.base).at("read", &file.path),
            None => Ok(0),
        }
    }

    fn missing(&self) -> Result<(), StoreError> {
        Err(std::io::Error::from(std::io::ErrorKind::NotFound)).at("read the part in", &self.folder)
    }

    fn path(&self, epoch: u64, base: u64) -> PathBuf {
        self.folder.join(format!("part.{epoch}.{base}"))
    }
}

fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (epoch, base) = name.strip_prefix("part.")?.split_once('.')?;
    Some((epoch.parse().ok()?, base.parse().ok()?))
}
