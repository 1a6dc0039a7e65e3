//! Files in and out by ZMODEM, while the host's own `sz` or `rz` has the line.
//!
//! Whoever calls has seen that it does ([`crate::transfer::zmodem::detect`]) or has started it, and has
//! given back to the link what it said.

use std::fs::File;
use std::future::Future;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::fetch::store_failure;
use super::link::Link;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::store::StoreError;
use crate::store::downloads::{Download, Taken, each_piece, safe_name};
use crate::transfer::zmodem::frame::FileInfo;
use crate::transfer::zmodem::{
    FileEnd, FilesEvent, Offer, ReceiveFiles, ReceiveOptions, Send, SendError, SendEvent, SendOptions,
    ZmodemError,
};

/// A file that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The host's name for it, made harmless to print.
    pub from: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A file that was sent, or was not wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Where it is here.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// What the host did with it.
    pub how: FileEnd,
}

/// Why not all files were carried. Those that were are told beside it.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Receiving failed.
    #[error(transparent)]
    Receive(#[from] ZmodemError),
    /// Sending failed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The disk here refused.
    #[error(transparent)]
    Disk(#[from] StoreError),
}

impl FilesError {
    /// What it means for a call that was made to carry files.
    pub fn failure(&self) -> Failure {
        let ending = match self {
            Self::Disk(error) => return store_failure(Stage::Files, error),
            Self::Receive(ZmodemError::CarrierLost { .. }) | Self::Send(SendError::CarrierLost) => {
                Ending::CarrierLost
            }
            Self::Receive(ZmodemError::Cancelled { .. }) | Self::Send(SendError::Cancelled) => {
                Ending::Interrupted
            }
            Self::Send(SendError::Unreadable { .. }) => Ending::LocalDisk,
            Self::Receive(_) | Self::Send(_) => Ending::TransferFailed,
        };
        Failure::new(ending, Stage::Files, self)
    }
}

/// Receives what the host's `sz` sends into a folder, each file under a safe name and beside what is
/// there. A file that is cut off stays as a part, and is gone on with if the host sends it again.
///
/// When `cancel` is done the sender is stopped. Afterwards the line is the host's shell's again.
pub async fn receive_files(
    link: &mut Link,
    folder: &Path,
    watch: Watch<'_>,
    cancel: impl Future<Output = ()>,
) -> (Vec<Arrived>, Result<(), FilesError>) {
    let mut machine = ReceiveFiles::new(ReceiveOptions::default());
    let mut landing = Landing { folder, watch, rate: link.rate_down(), coming: None, arrived: Vec::new() };
    let went = tokio::select! {
        went = link.drive(&mut machine, |_, event| landing.handle(event)) => went,
        () = cancel => {
            machine.cancel();
            // What had come is still told first.
            link.drive(&mut machine, |_, event| landing.handle(event)).await
        }
    };
    let went = match went {
        Ok(outcome) => outcome.map(|_| ()).map_err(FilesError::from),
        Err(error) => {
            machine.cancel();
            let _ = link.drive(&mut machine, |_, _| Ok::<_, std::convert::Infallible>(())).await;
            Err(FilesError::from(error))
        }
    };
    landing.leave();
    (landing.arrived, went)
}

/// Files on their way into a folder.
struct Landing<'a> {
    folder: &'a Path,
    watch: Watch<'a>,
    rate: Option<u32>,
    coming: Option<(Download, FileInfo)>,
    arrived: Vec<Arrived>,
}

impl Landing<'_> {
    fn handle(&mut self, event: FilesEvent) -> Result<(), StoreError> {
        match event {
            FilesEvent::Offered(offer) => self.offered(offer),
            FilesEvent::Begins { offset } => {
                if let Some((download, _)) = &mut self.coming {
                    if offset > 0 {
                        (self.watch)(Progress::Note(format!(
                            "going on behind the {offset} bytes that are here"
                        )));
                    }
                    download.cut_at(offset)?;
                    self.tell();
                }
                Ok(())
            }
            FilesEvent::Data { offset, bytes } => {
                if let Some((download, _)) = &mut self.coming {
                    download.append(offset, &bytes)?;
                    self.tell();
                }
                Ok(())
            }
            FilesEvent::Finished => {
                let Some((download, info)) = self.coming.take() else { return Ok(()) };
                let bytes = download.len();
                let path = download.finish(info.mtime, clock())?;
                (self.watch)(Progress::Note(format!("{}: {bytes} bytes", path.display())));
                self.arrived.push(Arrived { from: info.name, path, bytes });
                Ok(())
            }
        }
    }

    fn offered(&mut self, offer: Offer) -> Result<(), StoreError> {
        self.leave(); // the sender gave up on it
        if offer.info.size.is_some_and(|size| size > REACH_MAX) {
            let note = format!("{} is larger than ZMODEM reaches (4 GiB), and was skipped", offer.info.name);
            (self.watch)(Progress::Note(note));
            offer.skip();
            return Ok(());
        }
        let name = safe_name(&offer.info.name_bytes);
        let mut download = Download::begin(self.folder, &name, Taken::Number)?;
        (self.watch)(Progress::Stage(Stage::Files, format!("receiving {}", name.display())));
        if offer.info.size.is_some_and(|size| download.len() > size) {
            download.cut_at(0)?;
        }
        let mut crc = crc32fast::Hasher::new();
        download.each_piece(download.len(), &mut |piece| crc.update(piece))?;
        let (length, info) = (download.len(), offer.info.clone());
        self.coming = Some((download, info));
        offer.resume(length, crc.finalize());
        Ok(())
    }

    fn tell(&mut self) {
        if let Some((download, info)) = &self.coming {
            let done = download.len();
            let total = info.size.unwrap_or(done).max(done);
            (self.watch)(Progress::Bytes { done, total, rate: self.rate });
        }
    }

    /// What is not all here is left for another time.
    fn leave(&mut self) {
        let Some((download, info)) = self.coming.take() else { return };
        let here = download.len();
        if let Some(part) = download.leave() {
            (self.watch)(Progress::Note(format!(
                "{} was cut off: {here} bytes are in {}, and sending it again goes on there",
                info.name,
                part.display()
            )));
        }
    }
}

/// Sends files to the host's `rz`, each under the last part of its name.
///
/// When `cancel` is done the receiver is stopped. Afterwards the line is the host's shell's again.
pub async fn send_files(
    link: &mut Link,
    paths: &[PathBuf],
    watch: Watch<'_>,
    cancel: impl Future<Output = ()>,
) -> (Vec<Gone>, Result<(), FilesError>) {
    let opened: Result<Vec<Outgoing>, StoreError> = paths.iter().map(|path| Outgoing::open(path)).collect();
    let files = match opened {
        Ok(files) => files,
        Err(error) => {
            refuse(link).await;
            return (Vec::new(), Err(error.into()));
        }
    };
    let options = SendOptions::for_line(link.rate(), SendOptions::default().rtt);
    let mut outbound = Outbound { files, watch, rate: link.rate(), gone: Vec::new() };
    let mut machine = outbound.machine(options);
    let went = outbound.drive(link, &mut machine, cancel).await;
    (outbound.gone, went.map_err(FilesError::from))
}

/// Says to the host's `rz` that nothing comes.
pub async fn refuse(link: &mut Link) {
    let mut machine = Send::new(Vec::new(), SendOptions::default());
    machine.cancel();
    let _ = link.drive(&mut machine, |_, _| Ok::<_, std::convert::Infallible>(())).await;
}

/// Files on their way to the host.
pub(super) struct Outbound<'a> {
    pub(super) files: Vec<Outgoing>,
    pub(super) watch: Watch<'a>,
    pub(super) rate: Option<u32>,
    pub(super) gone: Vec<Gone>,
}

/// A file that is to go.
#[derive(Debug)]
pub(super) struct Outgoing {
    path: PathBuf,
    file: File,
    pub(super) info: FileInfo,
}

impl Outgoing {
    /// Opens a file, under the last part of its path.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |cause| StoreError::Disk { doing: "read", path: path.to_owned(), cause };
        let found = std::fs::metadata(path).map_err(failed)?;
        if !found.is_file() {
            // A pipe would be waited for, and has no length.
            return Err(failed(std::io::Error::other("it is not a file")));
        }
        let file = File::open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        let info = FileInfo {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            name_bytes: path.file_name().unwrap_or_default().as_bytes().to_vec(),
            size: Some(found.len()),
            mtime: u64::try_from(found.mtime()).ok().filter(|&mtime| mtime != 0),
            mode: Some(found.mode()),
        };
        Ok(Self { path: path.to_owned(), file, info })
    }

    pub(super) fn size(&self) -> u64 {
        self.info.size.unwrap_or(0)
    }

    /// The first `length` bytes, in pieces.
    pub(super) fn each_piece(&self, length: u64, each: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
        each_piece(&self.file, length, each)
    }

    /// Some bytes of it, if it still has them.
    pub(super) fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    }
}

impl Outbound<'_> {
    pub(super) fn machine(&self, options: SendOptions) -> Send {
        Send::new(self.files.iter().map(|file| file.info.clone()).collect(), options)
    }

    /// Drives the machine to its end, which `cancel` brings about sooner.
    async fn drive(
        &mut self,
        link: &mut Link,
        machine: &mut Send,
        cancel: impl Future<Output = ()>,
    ) -> Result<(), SendError> {
        let Ok(outcome) = tokio::select! {
            went = link.drive(machine, |_, event| self.handle(event)) => went,
            () = cancel => {
                machine.cancel();
                link.drive(machine, |_, event| self.handle(event)).await
            }
        };
        outcome.map(|_| ())
    }

    pub(super) fn handle(&mut self, event: SendEvent) -> Result<(), std::convert::Infallible> {
        match event {
            SendEvent::Wants(want) => {
                if let Some(bytes) = self.files[want.file].read(want.offset, want.length) {
                    want.answer.give(bytes);
                }
            }
            SendEvent::WantsCrc(want) => {
                let mut crc = crc32fast::Hasher::new();
                if self.files[want.file].each_piece(want.length, &mut |piece| crc.update(piece)).is_ok() {
                    want.answer.give(crc.finalize());
                }
            }
            SendEvent::Offered { file } => {
                let file = &self.files[file].path;
                (self.watch)(Progress::Stage(Stage::Files, format!("sending {}", file.display())));
            }
            SendEvent::Received { file, offset } => {
                let total = self.files[file].size();
                (self.watch)(Progress::Bytes { done: offset, total, rate: self.rate });
            }
            SendEvent::Finished { file, how } => {
                let Outgoing { path, .. } = &self.files[file];
                let bytes = self.files[file].size();
                let told = match how {
                    FileEnd::Sent => format!("{}: {bytes} bytes sent", path.display()),
                    FileEnd::Skipped => {
                        format!("{}: the host has it already, or does not want it", path.display())
                    }
                    FileEnd::TooLarge => format!("{} is larger than ZMODEM reaches (4 GiB)", path.display()),
                };
                self.gone.push(Gone { path: path.clone(), bytes, how });
                (self.watch)(Progress::Note(told));
            }
        }
        Ok(())
    }
}

#[allow(clippy::disallowed_methods)] // whether a file's time can be believed
pub(super) fn clock() -> SystemTime {
    SystemTime::now()
}

/// ZMODEM's positions have 32 bits (Forsberg, section 11).
pub(super) const REACH_MAX: u64 = u32::MAX as u64;
