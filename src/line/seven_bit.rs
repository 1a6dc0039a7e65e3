//! Seven bits and parity by software, over a line of eight: for ports that cannot do it, and for hosts
//! that send parity to a port of 8N1.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::SEVEN_BITS;
use super::{Leads, Line, Parity};

/// A line whose eighth bit is stripped from what arrives and made parity on what is sent.
///
/// Parity that arrives is not checked: what was damaged is found by the checksums of what is carried.
pub struct SevenBit {
    inner: Box<dyn Line>,
    parity: Parity,
}

impl SevenBit {
    /// Over `inner`, with this parity on what is sent.
    pub fn new(inner: Box<dyn Line>, parity: Parity) -> Self {
        Self { inner, parity }
    }
}

impl AsyncRead for SevenBit {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        buf.filled_mut()[before..].iter_mut().for_each(|byte| *byte &= SEVEN_BITS);
        read
    }
}

impl AsyncWrite for SevenBit {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut sent = [0; CHUNK];
        let count = buf.len().min(CHUNK);
        for (sent, &byte) in sent.iter_mut().zip(buf) {
            *sent = self.parity.put_on(byte);
        }
        // What is not taken now comes again and is made anew, the same.
        Pin::new(&mut self.inner).poll_write(cx, &sent[..count])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Line for SevenBit {
    fn eight_bit(&self) -> bool {
        false
    }

    fn leads_known(&self) -> bool {
        self.inner.leads_known()
    }

    fn set_dtr(&mut self, on: bool) -> io::Result<bool> {
        self.inner.set_dtr(on)
    }

    fn set_rts(&mut self, on: bool) -> io::Result<bool> {
        self.inner.set_rts(on)
    }

    fn keep_up(&mut self) -> io::Result<bool> {
        self.inner.keep_up()
    }

    fn port_settings(&self) -> Option<String> {
        self.inner.port_settings()
    }

    fn leads(&mut self) -> io::Result<Option<Leads>> {
        self.inner.leads()
    }

    fn carrier(&mut self) -> io::Result<Option<bool>> {
        self.inner.carrier()
    }

    fn set_break(&mut self, on: bool) -> io::Result<bool> {
        self.inner.set_break(on)
    }

    fn discard_output(&mut self) -> io::Result<()> {
        self.inner.discard_output()
    }

    fn unsent(&mut self) -> io::Result<Option<usize>> {
        self.inner.unsent()
    }

    fn speed(&self) -> Option<u32> {
        self.inner.speed()
    }

    fn set_speed(&mut self, bits: u32) -> io::Result<bool> {
        self.inner.set_speed(bits)
    }

    fn bits_per_byte(&self) -> u32 {
        self.inner.bits_per_byte()
    }

    fn set_window(&mut self, rows: u16, cols: u16) -> io::Result<bool> {
        self.inner.set_window(rows, cols)
    }

    fn peer(&self) -> Option<String> {
        self.inner.peer()
    }

    fn name(&self) -> String {
        self.inner.name()
    }

    fn why_ended(&mut self) -> Option<String> {
        self.inner.why_ended()
    }

    fn ended_well(&mut self) -> bool {
        self.inner.ended_well()
    }

    fn last_words(&self) -> Option<String> {
        self.inner.last_words()
    }

    fn warnings(&self) -> &[String] {
        self.inner.warnings()
    }
}

/// Bytes made at once.
const CHUNK: usize = 1_024;
