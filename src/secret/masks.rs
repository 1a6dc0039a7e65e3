//! Hides secrets in what others say. A host may echo a password in many ways: whole, in capitals, with a
//! star or a backspace behind each character, wrapped at the edge of a screen, with parity, in its news.
//!
//! A secret is looked for by its characters in their order; what is neither letter nor digit may stand
//! between them, and so may a repetition. Where that hides a little too much, nobody is harmed.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::{MASK, Secret, WipedQueue};

/// The secrets of a call. Clones share them: what is hidden by one is hidden by all, from then on.
#[derive(Clone, Default)]
pub struct Masks(Arc<Mutex<Vec<Pattern>>>);

impl Masks {
    /// Hides one secret.
    pub fn of(secret: &Secret) -> Self {
        let masks = Self::default();
        masks.hide(secret.expose());
        masks
    }

    /// From now on this text is hidden. Of one with fewer than four characters too many others would be
    /// hidden, which shows it rather: such a one is hidden only where it was typed.
    pub fn hide(&self, secret: &str) {
        if secret.chars().count() < MASKED_CHARS_MIN {
            return;
        }
        let mut patterns = self.patterns();
        for pattern in Pattern::all_of(secret) {
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
    }

    /// The same for keys that were sent as a secret: what ends their line is none.
    pub fn hide_keys(&self, keys: &[u8]) {
        let typed = keys.trim_ascii();
        match std::str::from_utf8(typed) {
            Ok(text) => self.hide(text),
            Err(_) => self.hide(&Zeroizing::new(latin_1(typed))),
        }
    }

    /// A host's own words, one line or several.
    pub fn text(&self, text: &str) -> String {
        let patterns = self.patterns();
        let mut found = Found::default();
        for pattern in patterns.iter() {
            found.look_for(pattern, text.as_bytes());
            // What was wrapped stands in two lines, and what was cut off is there in part.
            found.look_for_end(pattern, text.as_bytes());
        }
        masked(text, found.all(text.len()))
    }

    /// A sentence of ours that may have a host's words in it. They were masked where they were heard; this
    /// is for those that were not. A secret of small letters alone may be a word of ours, such as
    /// `password`: masking our own sentences would tell it.
    pub fn message(&self, text: &str) -> String {
        let patterns = self.patterns();
        let mut found = Found::default();
        let sure = patterns.iter().filter(|pattern| !pattern.may_be_a_word);
        sure.for_each(|pattern| found.look_for(pattern, text.as_bytes()));
        masked(text, found.all(0))
    }

    /// Takes what may be shown out of `pending`. What may be the beginning of a secret stays, unless `all`
    /// is to be shown now; of `typed` bytes at its front everything visible is hidden, for a secret was
    /// typed there. What stays is not counted in `typed` any more.
    pub fn stream(&self, pending: &mut WipedQueue, typed: &mut usize, all: bool) -> Vec<u8> {
        let mut found = Found::default();
        self.patterns().iter().for_each(|pattern| found.look_for(pattern, pending));
        found.ranges.extend(visible(&pending[..(*typed).min(pending.len())]));
        let end = if all { pending.len() } else { found.held_from().min(pending.len()) };
        let (mut shown, mut at) = (Vec::with_capacity(end), 0);
        for range in found.all(if all { end } else { 0 }).into_iter().filter(|range| range.start < end) {
            shown.extend_from_slice(&pending[at..range.start.max(at)]);
            shown.extend_from_slice(MASK.as_bytes());
            at = range.end.clamp(at, end);
        }
        shown.extend_from_slice(&pending[at..end]);
        *typed = typed.saturating_sub(end);
        pending.take_off(end);
        shown
    }

    fn patterns(&self) -> MutexGuard<'_, Vec<Pattern>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masks({})", self.patterns().len())
    }
}

/// The bytes of a secret that are looked for, in their order.
#[derive(PartialEq, Eq)]
struct Pattern {
    bytes: Zeroizing<Vec<u8>>,
    /// The secret begins, or ends, with what is not in `bytes`.
    more_before: bool,
    more_behind: bool,
    may_be_a_word: bool,
}

impl Pattern {
    /// What a secret may look like: as it is; where UTF-8 was read as Latin-1. Of one that is ASCII for
    /// the most part only that is looked for, and the rest may have become anything.
    fn all_of(secret: &str) -> Vec<Self> {
        let may_be_a_word = secret.bytes().all(|byte| byte.is_ascii_lowercase());
        let ascii: Vec<u8> = secret.bytes().filter(u8::is_ascii_graphic).collect();
        let is_plain = |c: Option<char>| c.is_some_and(|c| c.is_ascii_graphic());
        if ascii.len() >= MASKED_CHARS_MIN {
            let (more_before, more_behind) =
                (!is_plain(secret.chars().next()), !is_plain(secret.chars().next_back()));
            return vec![Self { bytes: Zeroizing::new(ascii), more_before, more_behind, may_be_a_word }];
        }
        let whole = |bytes: Vec<u8>| Self {
            bytes: Zeroizing::new(bytes),
            more_before: false,
            more_behind: false,
            may_be_a_word,
        };
        vec![whole(secret.as_bytes().to_vec()), whole(latin_1(secret.as_bytes()).into_bytes())]
    }

    /// How far `text` goes on with what is wanted from its `from`th byte on.
    fn follow(&self, from: usize, text: &[u8]) -> Followed {
        let mut followed = Followed { matched: from, start: 0, end: 0, whole: false, to_the_end: false };
        let (mut at, mut gap) = (0, 0);
        while let Some(&wanted) = self.bytes.get(followed.matched) {
            let Some(&byte) = text.get(at) else {
                followed.to_the_end = true;
                return followed;
            };
            if same(byte, wanted) {
                if followed.end == 0 {
                    followed.start = at;
                }
                followed.matched += 1;
                at += 1;
                followed.end = at;
                gap = 0;
                continue;
            }
            let before = followed.matched.checked_sub(1).and_then(|at| self.bytes.get(at).copied());
            let step = filling(&text[at..], before);
            gap += 1;
            if step == 0 || gap > GAP_MAX {
                return followed;
            }
            at += step;
        }
        followed.whole = true;
        followed
    }
}

/// How much of a pattern stood somewhere.
struct Followed {
    /// Bytes of the pattern, those that were skipped in front counted.
    matched: usize,
    /// Where the first of them stood in the text, and where the last of them ended.
    start: usize,
    end: usize,
    whole: bool,
    /// There may be more to come.
    to_the_end: bool,
}

/// Where secrets are in a text.
#[derive(Default)]
struct Found {
    ranges: Vec<Range<usize>>,
    /// One may begin here, and how much of it there is: the text ends first.
    begun: Vec<(Range<usize>, usize)>,
}

impl Found {
    fn look_for(&mut self, pattern: &Pattern, text: &[u8]) {
        let Some(&first) = pattern.bytes.first() else { return };
        let mut start = 0;
        while let Some(offset) = text[start..].iter().position(|&byte| same(byte, first)) {
            start += offset;
            let followed = pattern.follow(0, &text[start..]);
            let end = start + followed.end;
            // Hosts of old look at eight characters, and may show no more.
            if followed.whole || !followed.to_the_end && followed.matched >= CRYPT_CHARS {
                self.ranges.push(widened(start..end, pattern, text));
                start = end;
            } else {
                if followed.to_the_end {
                    self.begun.push((start..end, followed.matched));
                }
                start += 1;
            }
        }
    }

    /// The rest of a secret at the start of the text.
    fn look_for_end(&mut self, pattern: &Pattern, text: &[u8]) {
        let last = pattern.bytes.len().saturating_sub(PART_MIN);
        let end = (1..=last).find_map(|from| {
            let followed = pattern.follow(from, text);
            followed.whole.then_some(followed.start..followed.end)
        });
        self.ranges.extend(end);
    }

    /// From where on more must come before it is known what it is.
    fn held_from(&self) -> usize {
        let inside = |at: usize| self.ranges.iter().any(|range| range.contains(&at));
        let starts = self.begun.iter().map(|(range, _)| range.start).filter(|&at| !inside(at));
        starts.min().unwrap_or(usize::MAX)
    }

    /// All that is hidden, in order and apart from each other. A beginning counts where nothing more comes
    /// behind `end`.
    fn all(mut self, end: usize) -> Vec<Range<usize>> {
        let begun =
            self.begun.into_iter().filter(|(range, matched)| range.end <= end && *matched >= PART_MIN);
        self.ranges.extend(begun.map(|(range, _)| range));
        self.ranges.sort_by_key(|range| range.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for range in self.ranges {
            match apart.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                Some(_) | None => apart.push(range),
            }
        }
        apart
    }
}

/// With the characters at either end of the secret that are not in the pattern.
fn widened(mut range: Range<usize>, pattern: &Pattern, text: &[u8]) -> Range<usize> {
    while pattern.more_before && range.start > 0 && text[range.start - 1] >= 0x80 {
        range.start -= 1;
    }
    while pattern.more_behind && text.get(range.end).is_some_and(|&byte| byte >= 0x80) {
        range.end += 1;
    }
    range
}

/// The text with a mask in the place of each range.
fn masked(text: &str, ranges: Vec<Range<usize>>) -> String {
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    for Range { mut start, mut end } in ranges {
        // Both ends of a text are such boundaries.
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        shown.push_str(&text[at..start.max(at)]);
        shown.push_str(MASK);
        at = end.max(at);
    }
    shown + &text[at..]
}

/// From the first to the last byte that is seen on a screen.
fn visible(text: &[u8]) -> Option<Range<usize>> {
    let is_seen = |byte: &u8| !byte.is_ascii_control() && *byte != b' ';
    Some(text.iter().position(is_seen)?..text.iter().rposition(is_seen)? + 1)
}

/// Small and capital letters are one, and the eighth bit may be parity. So half of a character of another
/// alphabet may be taken for a letter: that hides too much, never too little.
fn same(one: u8, other: u8) -> bool {
    (one & 0x7f).eq_ignore_ascii_case(&(other & 0x7f))
}

/// Bytes at the front of `text` that may stand between two characters of a secret: what is no letter or
/// digit, a whole escape sequence, and the character `before` again.
fn filling(text: &[u8], before: Option<u8>) -> usize {
    match text {
        [ESC, b'[', rest @ ..] => {
            let parameters =
                rest.iter().take(SEQUENCE_MAX).take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
            (2 + parameters + 1).min(text.len())
        }
        [ESC, _, ..] => 2,
        [byte, ..] if !byte.is_ascii_alphanumeric() || before.is_some_and(|before| same(*byte, before)) => 1,
        _ => 0,
    }
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

const ESC: u8 = 0x1b;
/// A shorter secret is masked only where it was typed.
const MASKED_CHARS_MIN: usize = 4;
/// Characters: as much of a secret, cut off by an end of a text, is masked as well.
const PART_MIN: usize = 4;
/// Characters of a password that crypt(3) of old looked at.
const CRYPT_CHARS: usize = 8;
/// Bytes, or escape sequences, that may stand between two characters of a secret.
const GAP_MAX: usize = 8;
/// Bytes of an escape sequence's parameters.
const SEQUENCE_MAX: usize = 16;

#[cfg(test)]
mod tests;
