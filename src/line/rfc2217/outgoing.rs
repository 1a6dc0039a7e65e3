//! What is on its way to the server: data and commands in one order, so that a command takes effect
//! behind the data that was written before it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use zeroize::Zeroize;

/// Bytes as they go over the network.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that have gone already.
    sent: usize,
}

#[derive(Debug)]
struct Chunk {
    is_data: bool,
    bytes: Vec<u8>,
}

/// A password may have been in it.
impl Drop for Chunk {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Outgoing {
    pub(super) fn push(&mut self, is_data: bool, bytes: Vec<u8>) {
        self.chunks.push_back(Chunk { is_data, bytes });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.sent = 0;
    }

    /// Data that has not begun to leave is thrown away. A chunk goes out whole: its end may be the second
    /// half of a doubled IAC.
    pub(super) fn discard_data(&mut self) {
        let begun = if self.sent > 0 { self.chunks.pop_front() } else { None };
        self.chunks.retain(|chunk| !chunk.is_data);
        if let Some(begun) = begun {
            self.chunks.push_front(begun);
        }
    }

    /// Ready once all has gone to the network.
    pub(super) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(chunk) = self.chunks.front() {
            if self.sent < chunk.bytes.len() {
                let count = ready!(Pin::new(&mut *stream).poll_write(cx, &chunk.bytes[self.sent..]))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.sent += count;
            }
            if self.sent >= chunk.bytes.len() {
                self.chunks.pop_front();
                self.sent = 0;
            }
        }
        Poll::Ready(Ok(()))
    }
}
