//! Asking a file system on a thread of its own: one that hangs (a server that is down) must not hang
//! whoever wants to stop, nor go unnoticed.

use std::path::Path;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::error::PathError;

/// What comes from the thread.
pub(super) enum Said<T> {
    /// It goes on.
    Alive,
    /// It waits for whoever has the mailbox locked.
    Waiting(String),
    /// The mailbox's bytes from this offset on.
    Bytes(u64, Vec<u8>),
    /// How it ended.
    Done(Result<T, PathError>),
}

/// The thread's end of it.
pub(super) struct Teller<T> {
    sender: mpsc::Sender<Said<T>>,
}

impl<T> Teller<T> {
    /// To be called between two steps on the disk. Fails when nobody wants the answer any more.
    pub(super) fn alive(&self) -> Result<(), PathError> {
        if self.given_up() {
            return Err(PathError::GivenUp);
        }
        Ok(())
    }

    /// The same as a question.
    pub(super) fn given_up(&self) -> bool {
        // Full means that there is something else to be heard.
        let _ = self.sender.try_send(Said::Alive);
        self.sender.is_closed()
    }

    /// Says who is waited for.
    pub(super) fn waiting(&self, by: &str) {
        let _ = self.sender.try_send(Said::Waiting(by.to_owned()));
    }

    /// Gives bytes out, as fast as they are taken.
    pub(super) fn bytes(&self, offset: u64, bytes: Vec<u8>) -> Result<(), PathError> {
        self.sender.blocking_send(Said::Bytes(offset, bytes)).map_err(|_| PathError::GivenUp)
    }
}

/// Runs `work` on a thread. `hear` is told what it says on the way. Dropped before the end (a signal),
/// it gives the thread `at_the_end` to notice and to let go of its locks.
pub(super) async fn ask<T: Send + 'static, E: From<PathError>>(
    path: &Path,
    at_the_end: Duration,
    work: impl FnOnce(&Teller<T>) -> Result<T, PathError> + Send + 'static,
    mut hear: impl FnMut(Said<T>) -> Result<(), E>,
) -> Result<T, E> {
    let (sender, receiver) = mpsc::channel(PIECES_UNDER_WAY);
    let (ending, ended) = std_mpsc::channel::<()>();
    let thread = std::thread::Builder::new().name("mailbox".into()).spawn(move || {
        let _ending = ending; // dropped however it ends
        let teller = Teller { sender };
        let done = work(&teller);
        let _ = teller.sender.blocking_send(Said::Done(done)); // or nobody wants it
    });
    let thread = thread.map_err(|cause| PathError::io("ask for", path, cause))?;
    let mut asking = Asking { receiver, ended, at_the_end };
    loop {
        match tokio::time::timeout(ANSWER_WAIT, asking.receiver.recv()).await {
            Ok(Some(Said::Done(done))) => return done.map_err(E::from),
            Ok(Some(said)) => hear(said)?,
            Ok(None) => return Err(panicked(thread).into()),
            Err(_elapsed) => {
                return Err(PathError::Silent { path: path.to_owned(), waited: ANSWER_WAIT }.into());
            }
        }
    }
}

struct Asking<T> {
    receiver: mpsc::Receiver<Said<T>>,
    ended: std_mpsc::Receiver<()>,
    at_the_end: Duration,
}

impl<T> Drop for Asking<T> {
    fn drop(&mut self) {
        self.receiver.close();
        while self.receiver.try_recv().is_ok() {} // whoever waits to be heard goes on
        let _ = self.ended.recv_timeout(self.at_the_end);
    }
}

/// The thread ended without a word: its panic is ours.
fn panicked(thread: JoinHandle<()>) -> PathError {
    match thread.join() {
        Err(panic) => std::panic::resume_unwind(panic),
        Ok(()) => PathError::GivenUp,
    }
}

/// A file system that says nothing for so long does not answer; one step on it is a piece of a file.
pub const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Pieces of the mailbox that wait to be kept.
const PIECES_UNDER_WAY: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn ignore<T>(_: Said<T>) -> Result<(), PathError> {
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_system_that_hangs_is_told_and_not_waited_for_at_the_end() {
        let (hold, held) = std_mpsc::channel::<()>();
        let work = move |_: &Teller<()>| {
            let _ = held.recv();
            Ok(())
        };
        let asked = ask(Path::new("/net/mary"), Duration::ZERO, work, ignore).await;
        assert!(asked.unwrap_err().to_string().contains("/net/mary is on does not answer"));
        drop(hold);
    }

    #[tokio::test]
    async fn who_is_not_wanted_any_more_notices_and_is_waited_for() {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let work = move |teller: &Teller<()>| {
            while teller.alive().is_ok() {
                std::thread::yield_now();
            }
            seen.store(true, Ordering::SeqCst);
            Err(PathError::GivenUp)
        };
        let mut asked = Box::pin(ask(Path::new("/x"), Duration::from_secs(20), work, ignore));
        tokio::select! {
            biased;
            _ = &mut asked => panic!("it never ends by itself"),
            () = tokio::task::yield_now() => {}
        }
        drop(asked);
        assert!(ended.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn bytes_are_heard_in_order_and_who_cannot_keep_them_ends_it() {
        let work = |teller: &Teller<u64>| {
            for offset in 0..100 {
                teller.bytes(offset, vec![offset as u8])?;
            }
            Ok(100)
        };
        let mut heard = Vec::new();
        let all = ask(Path::new("/x"), Duration::ZERO, work, |said| {
            if let Said::Bytes(offset, bytes) = said {
                heard.push((offset, bytes));
            }
            Ok::<_, PathError>(())
        });
        assert_eq!(all.await.unwrap(), 100);
        assert!(heard.iter().map(|(offset, _)| *offset).eq(0..100));
        let full = ask(Path::new("/x"), Duration::from_secs(20), work, |_| Err(PathError::GivenUp));
        assert!(matches!(full.await, Err(PathError::GivenUp)));
    }
}
