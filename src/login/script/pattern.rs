//! What a script waits for: a text or a regular expression, found byte by byte.
//!
//! Each is a deterministic automaton, built when the configuration is read. So a byte costs one step
//! however much came before it, nothing of what a host says is kept to be searched again, and it does not
//! matter how the line has cut it.

use std::sync::Arc;

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_syntax::hir::{Hir, Look};

use super::hearing::Sound;

/// A text or a regular expression to wait for.
#[derive(Clone)]
pub struct Pattern {
    shown: String,
    kind: Kind,
    automaton: Arc<dense::DFA<Vec<u32>>>,
}

/// How the host's bytes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A text of printable characters: within what a person would see.
    Text,
    /// A text with control characters: within the bytes as they come.
    Raw,
    /// A regular expression that can tell at once.
    Regex,
    /// One that looks at what follows (`$`, `\b`): it can tell once the host is quiet.
    RegexAtRest,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing to wait for.
    #[error("there is nothing in it to wait for")]
    Empty,
    /// Longer than [`PATTERN_BYTES_MAX`].
    #[error("it is longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    /// The regular expression cannot be read.
    #[error("the regular expression is wrong: {0}")]
    Wrong(String),
    /// Its automaton would take too much memory.
    #[error("the regular expression is too large: use smaller repetitions, and [a-z] in place of classes")]
    TooLarge,
}

impl Pattern {
    /// A text, as it is.
    pub fn text(bytes: &[u8]) -> Result<Self, PatternError> {
        if bytes.is_empty() {
            return Err(PatternError::Empty);
        }
        let is_raw = bytes.iter().any(|&byte| byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n'));
        let kind = if is_raw { Kind::Raw } else { Kind::Text };
        Self::new(kind, bytes, &Hir::literal(bytes), &String::from_utf8_lossy(bytes))
    }

    /// A regular expression. As long as it is in ASCII, `.` is any byte and `\w` an ASCII one, because a
    /// host may write in any charset.
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let mut parser = regex_syntax::ParserBuilder::new();
        parser.utf8(false).unicode(!text.is_ascii()).nest_limit(NESTED_MAX);
        let hir = parser.build().parse(text).map_err(|error| PatternError::Wrong(shortly(&error)))?;
        let looks_on = hir.properties().look_set().iter().any(looks_at_what_follows);
        let kind = if looks_on { Kind::RegexAtRest } else { Kind::Regex };
        Self::new(kind, text.as_bytes(), &hir, text)
    }

    fn new(kind: Kind, written: &[u8], hir: &Hir, shown: &str) -> Result<Self, PatternError> {
        if written.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        let limits = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::NFA::compiler().configure(limits).build_from_hir(hir);
        let limits = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .accelerate(false)
            .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .determinize_size_limit(Some(AUTOMATON_BYTES_MAX));
        let built = nfa.map_err(|error| refused(&error, error.size_limit().is_some())).and_then(|nfa| {
            let dfa = dense::Builder::new().configure(limits).build_from_nfa(&nfa);
            dfa.map_err(|error| refused(&error, error.is_size_limit_exceeded()))
        })?;
        let shown = shown.chars().flat_map(visible).take(SHOWN_CHARS_MAX).collect();
        Ok(Self { shown, kind, automaton: Arc::new(built) })
    }

    /// The pattern for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pattern({:?}, {})", self.kind, self.shown)
    }
}

/// Unicode's word boundaries are among what an automaton of bytes cannot do.
fn refused(error: &impl std::fmt::Display, is_size: bool) -> PatternError {
    if is_size { PatternError::TooLarge } else { PatternError::Wrong(one_line(error)) }
}

fn shortly(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => one_line(error.kind()),
        regex_syntax::Error::Translate(error) => one_line(error.kind()),
        other => one_line(other), // of another version's making
    }
}

fn one_line(told: &impl std::fmt::Display) -> String {
    told.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_debug());
    let itself = if c.is_control() { None } else { Some(c) };
    escaped.into_iter().flatten().chain(itself)
}

fn looks_at_what_follows(look: Look) -> bool {
    !matches!(look, Look::Start | Look::StartLF | Look::StartCRLF)
}

/// A pattern that is being waited for.
pub(super) struct Wanted {
    pattern: Pattern,
    whole: StateID,
    /// The same with the top bit of each byte taken for parity.
    stripped: StateID,
}

impl Wanted {
    /// Begins with nothing heard.
    pub(super) fn new(pattern: Pattern) -> Self {
        let start = start_of(&pattern.automaton);
        Self { pattern, whole: start, stripped: start }
    }

    pub(super) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Takes one sound; true if the pattern ends with it. `parity` says that the host is known to use it.
    pub(super) fn hear(&mut self, sound: &Sound, parity: bool) -> bool {
        let (whole, stripped) = match self.pattern.kind {
            Kind::Raw => (Some(sound.raw), Some(sound.raw & 0x7f)),
            Kind::Text | Kind::Regex | Kind::RegexAtRest => (sound.whole, sound.stripped),
        };
        let found_whole = step(&self.pattern, &mut self.whole, whole);
        let found_stripped = step(&self.pattern, &mut self.stripped, stripped);
        found_whole || (found_stripped && self.believes_stripped(parity))
    }

    /// True if the pattern matches in case nothing more comes.
    pub(super) fn ends_here(&self, parity: bool) -> bool {
        let ends = |at| ends_at(&self.pattern.automaton, at);
        ends(self.whole) || (ends(self.stripped) && self.believes_stripped(parity))
    }

    /// `UUCP` strips parity always, and a text of letters is not met by chance. But with the top bit cut
    /// off, the last byte of many a letter is a `$` or a `>`.
    fn believes_stripped(&self, parity: bool) -> bool {
        match self.pattern.kind {
            Kind::Text | Kind::Raw => true,
            Kind::Regex | Kind::RegexAtRest => parity,
        }
    }
}

fn step(pattern: &Pattern, at: &mut StateID, byte: Option<u8>) -> bool {
    let Some(byte) = byte else { return false };
    *at = pattern.automaton.next_state(*at, byte);
    // A match is told of one byte late, and by the end of the text at once.
    pattern.automaton.is_match_state(*at)
        || (pattern.kind != Kind::RegexAtRest && ends_at(&pattern.automaton, *at))
}

fn ends_at(automaton: &dense::DFA<Vec<u32>>, at: StateID) -> bool {
    automaton.is_match_state(automaton.next_eoi_state(at))
}

fn start_of(automaton: &dense::DFA<Vec<u32>>) -> StateID {
    // Unanchored, of the one pattern there is: that start was built.
    automaton.start_state(&start::Config::new().anchored(Anchored::No)).unwrap_or_default()
}

/// Bytes of a pattern as it is written: more than a prompt has.
const PATTERN_BYTES_MAX: usize = 512;
/// Bytes that a pattern's automaton may take.
const AUTOMATON_BYTES_MAX: usize = 2 << 20;
/// Parentheses within parentheses.
const NESTED_MAX: u32 = 32;
/// Characters of a pattern that an error quotes.
const SHOWN_CHARS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::super::hearing::Hearing;
    use super::*;

    /// At which byte a pattern is found; the end of the text counts as quiet.
    fn found_in(pattern: &Pattern, bytes: &[u8]) -> Option<usize> {
        let (mut hearing, mut wanted) = (Hearing::default(), Wanted::new(pattern.clone()));
        let found = bytes.iter().position(|&byte| {
            let sound = hearing.hear(byte);
            wanted.hear(&sound, hearing.is_seven_bit())
        });
        found.map(|at| at + 1).or_else(|| wanted.ends_here(hearing.is_seven_bit()).then_some(bytes.len()))
    }

    fn text(text: &str) -> Pattern {
        Pattern::text(text.as_bytes()).unwrap()
    }

    fn regex(text: &str) -> Pattern {
        Pattern::regex(text).unwrap()
    }

    #[test]
    fn a_text_is_found_at_its_last_byte_whatever_stands_before_it() {
        assert_eq!(found_in(&text("ogin:"), b"\r\nlogin: mary"), Some(8));
        assert_eq!(found_in(&text("aab"), b"aaab"), Some(4));
        assert_eq!(found_in(&text("ogin:"), b"Login;"), None);
        assert_eq!(found_in(&text("a.b"), b"axb"), None);
    }

    #[test]
    fn a_text_is_found_behind_colours_and_a_control_sequence_where_it_is_asked_for() {
        assert_eq!(found_in(&text("login: "), b"\x1b[1mlog\x1b[32min: \x1b[m"), Some(16));
        assert_eq!(found_in(&text("\x1b[2J"), b"hello\x1b[2Jthere"), Some(9));
    }

    #[test]
    fn parity_is_stripped_for_texts_always_and_for_expressions_once_it_is_known() {
        let even = |text: &str| -> Vec<u8> {
            text.bytes().map(|b| if b.count_ones().is_multiple_of(2) { b } else { b | 0x80 }).collect()
        };
        assert!(found_in(&text("ogin:"), &even("login: ")).is_some());
        assert!(found_in(&regex("[Ll]ogin: $"), &even("\r\nhost login: ")).is_some());
        // Cyrillic o is D0 BE, and BE without its top bit a `>`.
        assert_eq!(found_in(&regex("[$#>] ?$"), "Введите число".as_bytes()), None);
    }

    #[test]
    fn an_end_of_text_counts_only_where_the_host_stops() {
        let prompt = regex("[$#>] ?$");
        assert_eq!(found_in(&prompt, b"costs 5$ a month\r\n$ "), Some(20));
        assert_eq!(found_in(&prompt, b"costs 5$ a month\r\n"), None);
        assert_eq!(found_in(&regex("(?i)choice: *"), b"Your CHOICE:"), Some(12));
    }

    #[test]
    fn letters_beyond_ascii_are_found_in_the_charset_they_were_written_in() {
        assert_eq!(found_in(&text("contraseña:"), "contraseña:".as_bytes()), Some(12));
        assert_eq!(found_in(&regex("contrase.a:"), b"contrase\xf1a:"), Some(11));
        assert!(found_in(&regex("(?i)BENUTZER.*ß"), "benutzerstraße".as_bytes()).is_some());
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused_with_a_reason() {
        let told = |text: &str| Pattern::regex(text).unwrap_err().to_string();
        assert!(told("[abc").contains("unclosed character class"), "{}", told("[abc"));
        assert!(told("").contains("nothing in it"));
        assert!(told("(a{1,500}b){1,500}").contains("too large"), "{}", told("(a{1,500}b){1,500}"));
        assert!(told("(?s)(.*a.{18}){2}").contains("too large"));
        assert!(told(&"a".repeat(600)).contains("longer"));
        assert!(told(&"(".repeat(100)).contains("wrong"));
        assert_eq!(Pattern::text(b"").unwrap_err(), PatternError::Empty);
    }
}
