//! One run: a range of the file that travels in frames of its own, in any order, until it is whole.

use std::io::Read;
use std::time::Instant;

use crate::shell::checksum::Checksum;

/// A range that was asked for.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Encoder lines in a frame.
    pub(super) lines: usize,
    /// The number of the latest request for it.
    pub(super) request: u64,
    /// Whether that request's last frame is still to come.
    pub(super) under_way: bool,
    /// Whether anything came since that request.
    pub(super) heard: bool,
    pub(super) first_heard_at: Option<Instant>,
    /// What share of the frames was hit on the first passage, in percent.
    pub(super) lost_percent: Option<usize>,
    frames: Vec<Option<Vec<u8>>>,
    count: Option<usize>,
    text_bytes: usize,
}

/// A frame of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunFrame {
    pub(super) run: String,
    pub(super) body: RunBody,
}

/// What a frame of a run holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RunBody {
    Text { index: usize, text: Vec<u8> },
    Last { count: usize },
}

impl RunFrame {
    /// Reads what stood behind the mark; `None` if it was hit.
    pub(super) fn parse(body: &[u8], sum: Checksum) -> Option<Self> {
        let mut words = body.split(|&byte| byte == b' ');
        let (run, place, text, proof) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let covered = run.len() + place.len() + text.len() + 2;
        if !sum.proves(&body[..covered], proof) {
            return None;
        }
        let number = |word: &[u8]| -> Option<usize> {
            let value = std::str::from_utf8(word).ok()?.parse().ok()?;
            (value <= FRAMES_PER_RUN_MAX).then_some(value)
        };
        let body = match place {
            b"." => RunBody::Last { count: number(text)? },
            _ => RunBody::Text { index: number(place).filter(|&index| index > 0)?, text: text.to_vec() },
        };
        Some(Self { run: String::from_utf8_lossy(run).into_owned(), body })
    }
}

impl Run {
    pub(super) fn new(id: String, offset: u64, length: u64, lines: usize) -> Self {
        Self {
            id,
            offset,
            length,
            lines,
            request: 0,
            under_way: false,
            heard: false,
            first_heard_at: None,
            lost_percent: None,
            frames: Vec::new(),
            count: None,
            text_bytes: 0,
        }
    }

    /// Keeps a frame's text; says whether it is new.
    pub(super) fn keep(&mut self, index: usize, text: Vec<u8>) -> bool {
        // Hexadecimal and gzip's head on a tiny range are the most that is honest.
        let room = usize::try_from(self.length).unwrap_or(usize::MAX).saturating_mul(3).saturating_add(4_096);
        if self.text_bytes + text.len() > room {
            return false;
        }
        if self.frames.len() < index {
            self.frames.resize(index, None);
        }
        let place = &mut self.frames[index - 1];
        let is_new = place.is_none();
        if is_new {
            self.text_bytes += text.len();
            *place = Some(text);
        }
        is_new
    }

    /// The host said how many frames there are; says whether that is new.
    pub(super) fn end(&mut self, count: usize) -> bool {
        let is_new = self.count.replace(count).is_none();
        self.under_way = false;
        if self.lost_percent.is_none() {
            self.lost_percent = Some(100 * self.lacking().len() / count.max(1));
        }
        is_new
    }

    /// What to ask for: empty means all of it, from nothing.
    pub(super) fn lacking(&self) -> Vec<usize> {
        let known = self.count.unwrap_or(self.frames.len());
        let holes = (1..=known).filter(|&index| self.frames.get(index - 1).is_none_or(Option::is_none));
        match (self.count, known) {
            (Some(_), _) => holes.take(ASKED_AT_ONCE_MAX).collect(),
            (None, 0) => Vec::new(),
            // There is no frame 0: this asks for the last frame, which says how many there are.
            (None, _) => std::iter::once(0).chain(holes.take(ASKED_AT_ONCE_MAX)).collect(),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.count.is_some_and(|count| {
            self.frames.len() >= count && self.frames[..count].iter().all(Option::is_some)
        })
    }

    /// The range's bytes; `None` if they are not what was asked for.
    pub(super) fn bytes(&self, hex: bool, gzipped: bool) -> Option<Vec<u8>> {
        let text: Vec<u8> = self.frames.iter().take(self.count?).flatten().flatten().copied().collect();
        let bytes = crate::shell::decode(&text, hex)?;
        let bytes = if gzipped { gunzip(&bytes, self.length)? } else { bytes };
        (bytes.len() as u64 == self.length).then_some(bytes)
    }
}

/// Unpacks no more than one byte beyond what is expected.
fn gunzip(packed: &[u8], expected: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).take(expected + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A run of 64 KiB in the shortest frames, hexadecimal, has 4,096.
const FRAMES_PER_RUN_MAX: usize = 8_192;
/// Frames asked for with one line.
const ASKED_AT_ONCE_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(body: &str) -> Vec<u8> {
        format!("{body} {}", Checksum::Cksum.of(body.as_bytes())).into_bytes()
    }

    #[test]
    fn frames_and_the_last_one_are_told_apart() {
        let text = RunFrame::parse(&frame("3.1 2 aGk="), Checksum::Cksum);
        let expected = RunBody::Text { index: 2, text: b"aGk=".to_vec() };
        assert_eq!(text, Some(RunFrame { run: "3.1".into(), body: expected }));
        let last = RunFrame::parse(&frame("3.1 . 9"), Checksum::Cksum);
        assert_eq!(last.map(|frame| frame.body), Some(RunBody::Last { count: 9 }));
        assert_eq!(RunFrame::parse(&frame("3.1 0 aGk="), Checksum::Cksum), None);
        assert_eq!(RunFrame::parse(b"3.1 2 aGk= 1", Checksum::Cksum), None);
    }

    #[test]
    fn only_what_lacks_is_asked_for() {
        let mut run = Run::new("1".into(), 0, 6, 1);
        assert_eq!(run.lacking(), [0usize; 0], "nothing came: all of it");
        run.keep(1, b"YWFh".to_vec());
        run.keep(3, b"Y2Nj".to_vec());
        assert_eq!(run.lacking(), [0, 2], "the last frame and the hole");
        run.end(4);
        assert_eq!(run.lacking(), [2, 4]);
        assert!(!run.is_whole());
    }

    #[test]
    fn a_range_of_another_length_than_asked_for_is_refused() {
        let mut run = Run::new("1".into(), 0, 3, 1);
        run.keep(1, b"YWFh".to_vec());
        run.end(1);
        assert_eq!(run.bytes(false, false), Some(b"aaa".to_vec()));
        run.length = 4;
        assert_eq!(run.bytes(false, false), None);
        assert_eq!(run.bytes(false, true), None, "no gzip");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_frame_is_kept_or_refused_in_bounded_memory(
            frames in prop::collection::vec((1..=FRAMES_PER_RUN_MAX, prop::collection::vec(any::<u8>(), 0..600)), 0..60),
            count in 0..=FRAMES_PER_RUN_MAX
        ) {
            let mut run = Run::new("1".into(), 0, 3_000, 1);
            for (index, text) in frames {
                run.keep(index, text);
            }
            run.end(count);
            prop_assert!(run.text_bytes <= 13_096);
            prop_assert!(run.lacking().len() <= ASKED_AT_ONCE_MAX);
            let _ = run.bytes(false, true);
        }
    }
}
