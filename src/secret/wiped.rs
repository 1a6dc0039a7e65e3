//! A queue of bytes that leaves no copy behind: what is taken off, and what it grows out of, is wiped.

use zeroize::{Zeroize, Zeroizing};

/// Bytes that wait, the oldest first. `Vec` would leave copies in freed memory when it grows, and behind
/// its end when it is drained.
#[derive(Default)]
pub struct WipedQueue(Zeroizing<Vec<u8>>);

impl WipedQueue {
    /// Puts these behind what there is.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity())));
            larger.extend_from_slice(&self.0);
            self.0 = larger; // the old one is wiped here
        }
        self.0.extend_from_slice(bytes);
    }

    /// Takes off so many of the oldest.
    pub fn take_off(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let gone = count.min(self.0.len());
        let kept = self.0.len() - gone;
        self.0.copy_within(gone.., 0);
        self.0[kept..].zeroize();
        self.0.truncate(kept);
    }

    /// Takes all off.
    pub fn clear(&mut self) {
        self.0.zeroize();
    }
}

impl std::ops::Deref for WipedQueue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_back_what_was_put_in_whatever_the_pieces() {
        let mut queue = WipedQueue::default();
        let (mut put, mut got) = (Vec::new(), Vec::new());
        for round in 0..200_usize {
            let piece: Vec<u8> = (0..round % 23).map(|n| (round + n) as u8).collect();
            put.extend_from_slice(&piece);
            queue.extend_from_slice(&piece);
            let count = (round * 7 % 19).min(queue.len());
            got.extend_from_slice(&queue[..count]);
            queue.take_off(count);
        }
        got.extend_from_slice(&queue);
        assert_eq!(got, put);
        queue.take_off(usize::MAX);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_was_taken_off_is_not_behind_its_end() {
        let mut queue = WipedQueue::default();
        queue.extend_from_slice(b"hunter2\rrest");
        queue.take_off(8);
        assert_eq!(&*queue, b"rest");
        // SAFETY: these bytes were written above, as part of the same allocation.
        let behind = unsafe { std::slice::from_raw_parts(queue.0.as_ptr().add(4), 8) };
        assert_eq!(behind, [0; 8]);
    }
}
