//! Files in and out over a link, as the terminal carries them: real `sz` and `rz` on a command line.
#![allow(clippy::disallowed_methods)] // real programs run by the real clock

mod common;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::have;
use mailcall::line::exec::{ExecLine, ExecSettings};
use mailcall::session::Progress;
use mailcall::session::files::{FilesError, receive_files, refuse, send_files};
use mailcall::session::link::Link;
use mailcall::session::transcript::Transcript;
use mailcall::transfer::zmodem::{SendError, ZmodemError};
use tokio::sync::Notify;

/// A link to a command that runs in this folder.
fn link(command: &str, folder: &Path) -> Link {
    let command = format!("cd '{}' && {command}", folder.display());
    let line = ExecLine::spawn(&ExecSettings::new(["sh", "-c", &command])).expect("a command");
    Link::new(Box::new(line), Transcript::silent())
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await.expect("an end") })
}

fn folders() -> (tempfile::TempDir, tempfile::TempDir) {
    (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"))
}

fn binary(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| rng.u8(..)).collect()
}

#[test]
fn what_sz_sends_lands_beside_what_is_there() {
    if !have("sz") {
        return;
    }
    let (there, here) = folders();
    for (name, content) in [("a", binary(50_000)), ("b c", Vec::new())] {
        std::fs::write(there.path().join(name), content).expect("a file");
    }
    std::fs::write(here.path().join("a"), b"mine").expect("a file");
    run(async {
        let mut link = link("exec sz -b -q -- *", there.path());
        let mut notes = Vec::new();
        let mut watch = |progress| {
            if let Progress::Note(note) = progress {
                notes.push(note);
            }
        };
        let (arrived, went) = receive_files(&mut link, here.path(), &mut watch, std::future::pending()).await;
        went.expect("success");
        assert_eq!(arrived.len(), 2);
        assert_eq!(arrived[0].path, here.path().join("a.1"));
        assert_eq!(notes.len(), 2, "{notes:?}");
        link.close().await;
    });
    assert_eq!(std::fs::read(here.path().join("a")).expect("it"), b"mine");
    assert!(std::fs::read(here.path().join("a.1")).expect("it") == binary(50_000));
    assert_eq!(std::fs::read(here.path().join("b c")).expect("it"), b"");
}

#[test]
fn a_cancel_stops_sz_and_the_same_file_goes_on_where_it_stopped() {
    if !have("sz") {
        return;
    }
    let (there, here) = folders();
    std::fs::write(there.path().join("a"), binary(3_000_000)).expect("a file");
    run(async {
        let mut line = link("exec sz -b -q a", there.path());
        let stop = Notify::new();
        let mut watch = |progress| {
            if matches!(progress, Progress::Bytes { done, .. } if done > 0) {
                stop.notify_one();
            }
        };
        let (arrived, went) = receive_files(&mut line, here.path(), &mut watch, stop.notified()).await;
        assert!(matches!(went, Err(FilesError::Receive(ZmodemError::Cancelled { .. }))), "{went:?}");
        assert!(arrived.is_empty());
        line.close().await;
        let part = here.path().join("a.mailcall-part").metadata().expect("a part").len();
        assert!((1..3_000_000).contains(&part));
        let mut line = link("exec sz -b -q a", there.path());
        let first = Cell::new(None);
        let mut watch = |progress| {
            if let Progress::Bytes { done, .. } = progress
                && first.get().is_none()
            {
                first.set(Some(done));
            }
        };
        let (_, went) = receive_files(&mut line, here.path(), &mut watch, std::future::pending()).await;
        went.expect("success");
        assert_eq!(first.get(), Some(part), "what was here is not carried again");
        line.close().await;
    });
    assert!(std::fs::read(here.path().join("a")).expect("it") == binary(3_000_000));
    assert!(!here.path().join("a.mailcall-part").exists());
}

#[test]
fn files_go_to_rz_a_cancel_stops_it_and_it_can_be_refused() {
    if !have("rz") {
        return;
    }
    let (there, here) = folders();
    let paths: Vec<PathBuf> = ["a", "b"].iter().map(|name| here.path().join(name)).collect();
    std::fs::write(&paths[0], binary(2_000_000)).expect("a file");
    std::fs::write(&paths[1], b"").expect("a file");
    run(async {
        let mut line = link("exec rz -b -q", there.path());
        let stop = Notify::new();
        let mut watch = |progress| {
            if matches!(progress, Progress::Bytes { done, .. } if done > 0) {
                stop.notify_one();
            }
        };
        let (gone, went) = send_files(&mut line, &paths, &mut watch, stop.notified()).await;
        assert!(matches!(went, Err(FilesError::Send(SendError::Cancelled))), "{went:?}");
        assert!(gone.is_empty());
        line.close().await;
        std::fs::remove_file(there.path().join("a")).ok();

        let mut line = link("exec rz -b -q", there.path());
        let (gone, went) = send_files(&mut line, &paths, &mut |_| {}, std::future::pending()).await;
        went.expect("success");
        assert_eq!(gone.len(), 2);
        line.close().await;

        let mut line = link("exec rz -b -q", there.path());
        let nothing = vec![here.path().join("nothing")];
        let (_, went) = send_files(&mut line, &nothing, &mut |_| {}, std::future::pending()).await;
        assert!(matches!(went, Err(FilesError::Disk(_))), "{went:?}");
        line.close().await;
        let mut line = link("exec rz -b -q", there.path());
        refuse(&mut line).await;
        line.close().await;
    });
    assert!(std::fs::read(there.path().join("a")).expect("it") == binary(2_000_000));
}
