//! Messages taken out of an mbox in place: other programs hold the file, and its folder may not be ours
//! to write in, so no new file is put there.
//!
//! ```text
//! copy     all from the first byte that changes to the end; journal: "writing"; fsync
//! write    what stays, each message to its new place; blank lines from there to the old end; fsync
//! journal  "blanked"
//! cut      to the new length; fsync
//! copy     removed: done
//! ```
//!
//! A run that finds the journal takes up there. While "writing" the mailbox is as long as it was, so
//! what others have appended stands behind the old length. When "blanked" either blank lines stand there
//! still and what was appended stands behind them; or, at the first byte behind the new length, new mail
//! does: no message begins with that many blank lines. Each byte is looked at before any is written: in
//! a mailbox that another program has rewritten meanwhile nothing is touched, and the copy is kept.
//!
//! Whoever reads the mailbox between the crash and the next run sees, when "blanked", just what stays.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::journal::{Files, Journal, Stage, What, read_exact_at};
use crate::mailbox::digest::PrefixDigest;
use crate::mailbox::from_line::{Form, FromLine, PREFIX};
use crate::mailbox::mbox::FROM_LINE_MAX;
use crate::store::disk::{Disk, DiskFile};

/// Why messages were not taken out, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// It failed before a byte of the mailbox was changed.
    #[error("cannot {doing}: {cause}; nothing was removed")]
    NotBegun {
        /// What was tried.
        doing: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The journal of a removal fails.
    #[error("cannot {doing} the journal of a removal {}: {cause}", path.display())]
    Journal {
        /// What was tried.
        doing: &'static str,
        /// The journal.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It failed in the middle.
    #[error(
        "removing messages stopped half-way ({cause}): until the next run on this account has \
         finished it, {} may hold some of them in part. All that stood there from byte {first} on is \
         kept in {}",
        mailbox.display(), copy.display()
    )]
    HalfWay {
        /// The mailbox.
        mailbox: PathBuf,
        /// The first byte that changes.
        first: u64,
        /// Where its bytes are kept.
        copy: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another program changed the mailbox while a removal was unfinished.
    #[error(
        "an earlier run was stopped while it removed messages from {}, and since then another program \
         has changed that mailbox, or it is gone: it was left as it is. All that stood there from byte {first} on is \
         kept in {}: compare them",
        mailbox.display(), copy.display()
    )]
    ChangedMeanwhile {
        /// The mailbox.
        mailbox: PathBuf,
        /// The first byte that was to change.
        first: u64,
        /// Where its bytes are kept.
        copy: PathBuf,
    },
}

/// A mailbox whose locks are held, and the folder in which a journal is kept.
pub struct Rewrite<'a> {
    files: Files<'a>,
    mailbox: &'a Path,
    spool: &'a dyn DiskFile,
    hold: &'a mut Hold<'a>,
}

/// Asked whether the locks are still ours, and the file still the mailbox.
pub type Hold<'a> = dyn FnMut(Check) -> io::Result<()> + 'a;

/// When the locks are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Before the mailbox is written to, or cut.
    Fully,
    /// Between two pieces of one writing.
    Amid,
}

/// What became of an unfinished removal.
#[derive(Debug, Clone)]
pub enum Resumed {
    /// It is done.
    Done {
        /// Of what was known before.
        before: Box<PrefixDigest>,
        /// Of what is left of it.
        known: Box<PrefixDigest>,
    },
    /// That was said already: nobody knows.
    GivenUp,
}

impl<'a> Rewrite<'a> {
    /// `spool` is the mailbox's file, open for reading and writing, and locked.
    pub fn new(
        disk: &'a dyn Disk,
        folder: &'a Path,
        mailbox: &'a Path,
        spool: &'a dyn DiskFile,
        hold: &'a mut Hold<'a>,
    ) -> Self {
        Self { files: Files { disk, folder }, mailbox, spool, hold }
    }

    /// Takes out what stands in `ranges`, if the mailbox still begins with `known`, and answers the
    /// digest of what is left of that; `None` if it does not, or if no message ends where it should.
    /// There must be no journal.
    pub fn remove(
        &mut self,
        known: &PrefixDigest,
        ranges: &[Range<u64>],
    ) -> Result<Option<PrefixDigest>, RewriteError> {
        let Some(first) = ranges.first().map(|range| range.start) else { return Ok(Some(known.clone())) };
        let mailbox = self.mailbox;
        let reading = |cause| not_begun("read", mailbox, cause);
        let len = self.spool.size().map_err(reading)?;
        let Some(left) = self.weigh(known, ranges, len).map_err(reading)? else { return Ok(None) };
        for range in ranges {
            if !self.is_message(range, known.len(), len).map_err(reading)? {
                return Ok(None);
            }
        }
        let mailbox = self.mailbox.to_owned();
        let what = What::Mbox { mailbox, len, ranges: ranges.to_vec() };
        let mut journal = Journal { what, stage: Stage::Writing, before: known.clone(), known: left.clone() };
        let noted = self
            .copy_out(first, len)
            .and_then(|()| (self.hold)(Check::Fully))
            .and_then(|()| self.files.write(&journal));
        noted.map_err(|cause| {
            let _ = self.files.abandon(); // without a journal the copy says nothing, and goes later
            not_begun("keep a copy of what changes in", self.files.folder, cause)
        })?;
        self.finish(&mut journal).map_err(|cause| self.half_way(first, cause))?;
        Ok(Some(left))
    }

    /// Brings a removal to its end that an earlier run has begun. `None` if there is none.
    pub fn resume(&mut self) -> Result<Option<Resumed>, RewriteError> {
        let Some(mut journal) = self.files.find().map_err(|cause| self.files.failed("read", cause))? else {
            return Ok(None);
        };
        let done =
            |journal: Journal| Resumed::Done { before: journal.before.into(), known: journal.known.into() };
        match journal.stage {
            Stage::Done => return Ok(Some(done(journal))),
            Stage::GivenUp => return Ok(Some(Resumed::GivenUp)),
            Stage::Writing | Stage::Blanked => {}
        }
        if !matches!(journal.what, What::Mbox { .. }) {
            return Ok(None); // not of an mbox
        }
        let first = journal.first();
        let resumed = self.find_stage(&mut journal).and_then(|is_ours| match is_ours {
            true if journal.stage == Stage::Done => Ok(None),
            true => self.finish(&mut journal).map(|()| None),
            false => self.files.give_up(journal.clone()).map(Some),
        });
        match resumed.map_err(|cause| self.half_way(first, cause))? {
            None => Ok(Some(done(journal))),
            Some((first, copy)) => {
                Err(RewriteError::ChangedMeanwhile { mailbox: self.mailbox.to_owned(), first, copy })
            }
        }
    }

    /// Drops the trace of a removal that is done.
    pub fn forget(&self) -> Result<(), RewriteError> {
        self.files.forget().map_err(|cause| self.files.failed("remove", cause))
    }

    /// Computes what is left of the known bytes, if the mailbox begins with them.
    fn weigh(
        &mut self,
        known: &PrefixDigest,
        ranges: &[Range<u64>],
        len: u64,
    ) -> io::Result<Option<PrefixDigest>> {
        if len < known.len() || ranges.last().is_some_and(|range| range.end > known.len()) {
            return Ok(None);
        }
        let (mut all, mut left) = (PrefixDigest::new(), PrefixDigest::new());
        let mut at = 0;
        for range in ranges {
            self.each(at..range.start, &mut |piece| {
                all.update(piece);
                left.update(piece);
            })?;
            self.each(range.clone(), &mut |piece| all.update(piece))?;
            at = range.end;
        }
        self.each(at..known.len(), &mut |piece| {
            all.update(piece);
            left.update(piece);
        })?;
        Ok((all.sha256_hex() == known.sha256_hex()).then_some(left))
    }

    /// Whether a From_ line stands at its start, and another, or nothing, at its end. Behind what is
    /// known nothing was proven: what goes on there without a From_ line is the rest of a message that
    /// was not yet whole when it was fetched.
    fn is_message(&self, range: &Range<u64>, known: u64, len: u64) -> io::Result<bool> {
        if !self.line(range.start, len)?.starts_with(PREFIX) {
            return Ok(false);
        }
        let mut end = range.end;
        loop {
            let line = self.line(end, len)?;
            match line.as_slice() {
                [] => return Ok(true),
                b"\n" | b"\r\n" => end += line.len() as u64,
                from if end < known => return Ok(from.starts_with(PREFIX)),
                from => return Ok(FromLine::parse(from).is_some_and(|from| from.form >= Form::Dated)),
            }
        }
    }

    /// The line that begins at an offset, as far as it may be a From_ line.
    fn line(&self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut line = vec![0; len.saturating_sub(at).min(FROM_LINE_MAX as u64) as usize];
        read_exact_at(self.spool, &mut line, at)?;
        if let Some(newline) = memchr::memchr(b'\n', &line) {
            line.truncate(newline + 1);
        }
        Ok(line)
    }

    fn copy_out(&mut self, first: u64, len: u64) -> io::Result<()> {
        let copy = self.files.create_copy()?;
        self.copy_bytes(self.spool, first..len, &*copy, 0)?;
        self.files.disk.sync_folder(self.files.folder)
    }

    /// Carries on from the journal's stage to the end.
    fn finish(&mut self, journal: &mut Journal) -> io::Result<()> {
        let copy = self.files.open_copy()?;
        loop {
            let plan = Plan::of(journal);
            if journal.stage == Stage::Writing {
                (self.hold)(Check::Fully)?;
                self.write_out(&plan, &*copy)?;
                journal.stage = Stage::Blanked;
                self.files.write(journal)?;
            }
            (self.hold)(Check::Fully)?;
            // Mail that a program delivered without asking for a lock.
            let len = self.spool.size()?;
            if len <= plan.old_end {
                self.spool.set_len(plan.new_end)?;
                self.spool.sync()?;
                break;
            }
            self.take_in(journal, &plan, &*copy, len)?;
        }
        drop(copy);
        self.files.drop_copy()
    }

    /// Puts what stays into its new place, and blank lines behind it.
    fn write_out(&mut self, plan: &Plan, copy: &dyn DiskFile) -> io::Result<()> {
        for (from, to) in &plan.moves {
            self.copy_bytes(copy, plan.in_copy(from.clone()), self.spool, *to)?;
        }
        let blank = vec![b'\n'; PIECE as usize];
        for piece in pieces(plan.new_end..plan.old_end) {
            (self.hold)(Check::Amid)?;
            self.spool.write_all_at(&blank[..(piece.end - piece.start) as usize], piece.start)?;
        }
        self.spool.sync()
    }

    /// Takes mail into the copy that was appended to the mailbox since, and begins again.
    fn take_in(
        &mut self,
        journal: &mut Journal,
        plan: &Plan,
        copy: &dyn DiskFile,
        now: u64,
    ) -> io::Result<()> {
        self.copy_bytes(self.spool, plan.old_end..now, copy, plan.old_end - plan.first)?;
        if let What::Mbox { len, .. } = &mut journal.what {
            *len = now;
        }
        journal.stage = Stage::Writing;
        self.files.write(journal)
    }

    /// Looks how far an earlier run has come. False if another program has changed the mailbox.
    fn find_stage(&mut self, journal: &mut Journal) -> io::Result<bool> {
        let copy = self.files.open_copy()?;
        let plan = Plan::of(journal);
        let len = self.spool.size()?;
        let written = journal.stage == Stage::Blanked;
        if written && (len < plan.old_end || !self.is_blank(plan.new_end..plan.old_end)?) {
            // It was cut: all that stands behind the new length came later.
            journal.stage = Stage::Done;
            return self.files.drop_copy().map(|()| true);
        }
        if len < plan.old_end {
            return Ok(false);
        }
        if !self.begins_as_before(journal, &plan, &*copy)? || !self.is_between(&plan, &*copy, written)? {
            return Ok(false);
        }
        if len > plan.old_end {
            self.take_in(journal, &plan, &*copy, len)?;
        }
        Ok(true)
    }

    fn is_blank(&mut self, range: Range<u64>) -> io::Result<bool> {
        let mut blank = true;
        self.each(range, &mut |piece| blank &= piece.iter().all(|&byte| byte == b'\n'))?;
        Ok(blank)
    }

    /// The mailbox's bytes before the first change, and the copy's behind them, are what was known.
    fn begins_as_before(&mut self, journal: &Journal, plan: &Plan, copy: &dyn DiskFile) -> io::Result<bool> {
        let mut digest = PrefixDigest::new();
        self.each(0..plan.first, &mut |piece| digest.update(piece))?;
        let known = plan.in_copy(plan.first..journal.before.len());
        self.each_of(copy, known, &mut |piece| digest.update(piece))?;
        Ok(digest.sha256_hex() == journal.before.sha256_hex())
    }

    /// Each byte from the first change to the old end is the old one, the new one, or a blank line of
    /// an earlier attempt; if all was `written`, the new one.
    fn is_between(&mut self, plan: &Plan, copy: &dyn DiskFile, written: bool) -> io::Result<bool> {
        let read = |file: &dyn DiskFile, range: Range<u64>| {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            read_exact_at(file, &mut bytes, range.start).map(|()| bytes)
        };
        for (from, to) in &plan.moves {
            for piece in pieces(from.clone()) {
                (self.hold)(Check::Amid)?;
                let at = to + (piece.start - from.start);
                let place = at..at + (piece.end - piece.start);
                let new = read(copy, plan.in_copy(piece))?;
                let old = read(copy, plan.in_copy(place.clone()))?;
                let now = read(self.spool, place)?;
                let fits =
                    |at: usize| now[at] == new[at] || !written && (now[at] == old[at] || now[at] == b'\n');
                if !(0..now.len()).all(fits) {
                    return Ok(false);
                }
            }
        }
        for piece in pieces(plan.new_end..plan.old_end) {
            (self.hold)(Check::Amid)?;
            let old = read(copy, plan.in_copy(piece.clone()))?;
            let now = read(self.spool, piece)?;
            if !now.iter().zip(&old).all(|(now, old)| *now == b'\n' || !written && now == old) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn each(&mut self, range: Range<u64>, each_piece: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.each_of(self.spool, range, each_piece)
    }

    /// Gives the bytes of a range to `each_piece`, in pieces. It may take long: whoever watches hears of
    /// it, and the locks are kept fresh.
    fn each_of(
        &mut self,
        file: &dyn DiskFile,
        range: Range<u64>,
        each_piece: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        self.try_each_of(file, range, &mut |piece| {
            each_piece(piece);
            Ok(())
        })
    }

    fn try_each_of(
        &mut self,
        file: &dyn DiskFile,
        range: Range<u64>,
        each_piece: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; range.end.saturating_sub(range.start).min(PIECE) as usize];
        for piece in pieces(range) {
            (self.hold)(Check::Amid)?;
            let bytes = &mut buffer[..(piece.end - piece.start) as usize];
            read_exact_at(file, bytes, piece.start)?;
            each_piece(bytes)?;
        }
        Ok(())
    }

    /// Copies a range to an offset of another file, and makes that last.
    fn copy_bytes(
        &mut self,
        from: &dyn DiskFile,
        range: Range<u64>,
        to: &dyn DiskFile,
        mut at: u64,
    ) -> io::Result<()> {
        let mut unsynced = 0;
        self.try_each_of(from, range, &mut |piece| {
            to.write_all_at(piece, at)?;
            at += piece.len() as u64;
            unsynced += piece.len() as u64;
            if unsynced >= SYNC_EVERY {
                unsynced = 0;
                to.sync()?; // at once it would take so long that the disk seems dead, and the locks stale
            }
            Ok(())
        })?;
        to.sync()
    }

    fn half_way(&self, first: u64, cause: io::Error) -> RewriteError {
        let (mailbox, copy) = (self.mailbox.to_owned(), self.files.copy());
        RewriteError::HalfWay { mailbox, first, copy, cause }
    }
}

fn not_begun(doing: &str, path: &Path, cause: io::Error) -> RewriteError {
    RewriteError::NotBegun { doing: format!("{doing} {}", path.display()), cause }
}

/// What goes where: offsets of the mailbox.
struct Plan {
    first: u64,
    old_end: u64,
    new_end: u64,
    /// What stays: from where, to where.
    moves: Vec<(Range<u64>, u64)>,
}

impl Plan {
    fn of(journal: &Journal) -> Self {
        let (old_end, ranges) = match &journal.what {
            What::Mbox { len, ranges, .. } => (*len, ranges.as_slice()),
            What::Files { .. } => (0, [].as_slice()),
        };
        let first = ranges.first().map_or(old_end, |range| range.start);
        let mut moves = Vec::new();
        let mut to = first;
        for (at, range) in ranges.iter().enumerate() {
            let stays = range.end..ranges.get(at + 1).map_or(old_end, |next| next.start);
            let len = stays.end - stays.start;
            moves.push((stays, to));
            to += len;
        }
        Self { first, old_end, new_end: to, moves }
    }

    /// Where bytes of the mailbox are in the copy.
    fn in_copy(&self, range: Range<u64>) -> Range<u64> {
        range.start - self.first..range.end - self.first
    }
}

/// A range in pieces of at most [`PIECE`].
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let start = at;
        at = range.end.min(start.saturating_add(PIECE));
        (start < range.end).then_some(start..at)
    })
}

/// Bytes read or written at once.
const PIECE: u64 = 64 * 1024;
/// Bytes written between two syncs.
const SYNC_EVERY: u64 = 16 << 20;
