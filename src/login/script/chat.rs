//! Chat strings: `ABORT BUSY TIMEOUT 30 ogin:--ogin: mary ssword: \qsecret`.
//!
//! Two programs have made them known, Taylor UUCP (its manual, "Chat Scripts") and chat(8) of ppp, and they
//! differ in places. What each of them runs is to run here, so a string is read as the one that it is
//! written for: chat(8) where it has one of its directives, a quoted word or `\q`, else Taylor UUCP.
//! docs/protocols.md has the table.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{
    Action, BREAK_LENGTH, Expect, Keys, Pattern, Script, ScriptProblem, Step, Stroke, Try, WAIT_DEFAULT,
    WAIT_LIMIT,
};
use crate::secret::Secret;

/// Reads a chat string.
pub fn parse(text: &str) -> Result<Script, ScriptProblem> {
    let words = words(text)?;
    let dialect = Dialect::of(&words);
    let mut reader = Reader { dialect, wait: WAIT_DEFAULT, number: 1, steps: Vec::new() };
    let mut rest = words.iter().enumerate().map(|(index, word)| (index + 1, word));
    while let Some((at, word)) = rest.next() {
        let directive = Directive::of(word).filter(|_| dialect == Dialect::Chat);
        if let Some(directive) = directive {
            let (_, argument) = rest.next().ok_or_else(|| {
                let why = format!("{} needs a word behind it", &**word.text);
                ScriptProblem::Word { word: at, why }
            })?;
            reader.direct(directive, at + 1, argument)?;
            continue;
        }
        reader.expect(at, word)?;
        if let Some((at, word)) = rest.next() {
            // Behind an expectation Taylor UUCP sends nothing for "", and chat(8) RETURN.
            let is_nothing = dialect == Dialect::Taylor && word.text.is_empty();
            let keys = if is_nothing { Keys::default() } else { reader.typed(at, &word.text)? };
            reader.push(Action::Send(keys));
        }
        reader.number += 1;
    }
    Script::new(reader.steps)
}

/// Whose rules hold where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Taylor,
    Chat,
}

impl Dialect {
    fn of(words: &[Word]) -> Self {
        let is_chat = |word: &Word| {
            word.quoted
                || word.apostrophe
                || Directive::of(word).is_some()
                || escapes(&word.text).any(|escaped| escaped == 'q')
        };
        if words.iter().any(is_chat) { Self::Chat } else { Self::Taylor }
    }

    /// `\d`: sleep(1) there, 1 to 2 s here.
    fn delay(self) -> Duration {
        Duration::from_secs(if self == Self::Chat { 1 } else { 2 })
    }

    /// `\p`
    fn pause(self) -> Duration {
        Duration::from_millis(if self == Self::Chat { 100 } else { 500 })
    }
}

/// The words that chat(8) takes where it would expect something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Abort,
    ClearAbort,
    Timeout,
    Report,
    ClearReport,
    Echo,
    Say,
    Hangup,
}

impl Directive {
    fn of(word: &Word) -> Option<Self> {
        match word.text.as_str() {
            "ABORT" => Some(Self::Abort),
            "CLR_ABORT" => Some(Self::ClearAbort),
            "TIMEOUT" => Some(Self::Timeout),
            "REPORT" => Some(Self::Report),
            "CLR_REPORT" => Some(Self::ClearReport),
            "ECHO" => Some(Self::Echo),
            "SAY" => Some(Self::Say),
            "HANGUP" => Some(Self::Hangup),
            _expected => None,
        }
    }
}

/// Without `Debug`: it may be a password.
struct Word {
    text: Zeroizing<String>,
    /// Something in it stood between quotation marks.
    quoted: bool,
    /// It began with this one: `'`.
    apostrophe: bool,
}

/// Cuts at white space. Quotation marks at a word's beginning hold one together; a backslash keeps what is
/// behind it, and stays. In a text of several lines, those that begin with `#` are comments.
fn words(text: &str) -> Result<Vec<Word>, ScriptProblem> {
    let several = text.trim().contains('\n');
    let lines = text.lines().filter(|line| !(several && line.starts_with('#')));
    let joined = Zeroizing::new(lines.collect::<Vec<_>>().join("\n").replace("\\\n", " "));
    let (mut words, mut rest) = (Vec::new(), joined.trim_start());
    while !rest.is_empty() {
        let mut word = Word { text: Zeroizing::new(String::new()), quoted: false, apostrophe: false };
        while let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            word.apostrophe |= quote == '\'';
            let length = unescaped(&rest[1..], |c| c == quote).ok_or(ScriptProblem::Word {
                word: words.len() + 1,
                why: format!("its {quote} is not closed; a {quote} itself is \\{:03o}", quote as u32),
            })?;
            word.quoted |= length > 0;
            word.text.push_str(&rest[1..=length]);
            rest = &rest[length + 2..];
        }
        let length = unescaped(rest, char::is_whitespace).unwrap_or(rest.len());
        word.text.push_str(&rest[..length]);
        rest = rest[length..].trim_start();
        words.push(word);
    }
    Ok(words)
}

/// Where such a character stands first, without a backslash in front of it.
fn unescaped(text: &str, is_wanted: impl Fn(char) -> bool) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let was_escaped = escaped;
        escaped = c == '\\' && !was_escaped;
        (!was_escaped && is_wanted(c)).then_some(at)
    })
}

/// The characters that stand behind a backslash.
fn escapes(text: &str) -> impl Iterator<Item = char> {
    let mut escaped = false;
    text.chars().filter(move |&c| {
        let was_escaped = escaped;
        escaped = c == '\\' && !was_escaped;
        was_escaped
    })
}

struct Reader {
    dialect: Dialect,
    wait: Duration,
    number: usize,
    steps: Vec<Step>,
}

impl Reader {
    fn push(&mut self, action: Action) {
        self.steps.push(Step { number: self.number, action });
    }

    fn direct(&mut self, directive: Directive, at: usize, argument: &Word) -> Result<(), ScriptProblem> {
        let text = argument.text.as_str();
        let wrong = |why: &str| Err(ScriptProblem::Word { word: at, why: why.to_owned() });
        match directive {
            Directive::Abort => {
                let pattern = self.pattern(at, text)?.ok_or(nothing(at))?;
                self.push(Action::Abort(vec![pattern]));
            }
            Directive::ClearAbort => {
                let pattern = self.pattern(at, text)?.ok_or(nothing(at))?;
                self.push(Action::ClearAbort(pattern.shown().to_owned()));
            }
            Directive::Timeout => match text.parse::<i64>() {
                Ok(seconds) if seconds > 0 => {
                    self.wait = Duration::from_secs(seconds.unsigned_abs()).min(WAIT_LIMIT);
                }
                Ok(_as_in_chat) => self.wait = WAIT_DEFAULT,
                Err(_) => return wrong("TIMEOUT has a number of seconds behind it"),
            },
            // Whatever the host says is told and stands in the transcript.
            Directive::Report | Directive::ClearReport => {}
            Directive::Echo => match text {
                "ON" | "OFF" => {}
                _other => return wrong("ECHO has ON or OFF behind it"),
            },
            Directive::Say => {
                let bytes = self.expected_bytes(text);
                let said = String::from_utf8_lossy(&bytes).replace(char::is_control, " ");
                self.push(Action::Say(said.trim().to_owned()));
            }
            Directive::Hangup => match text {
                "ON" => {}
                "OFF" => {
                    return wrong("HANGUP OFF is for hosts that call back: see the account's `dial_back`");
                }
                _other => return wrong("HANGUP has ON or OFF behind it"),
            },
        }
        Ok(())
    }

    /// `expect-subsend-subexpect-..`
    fn expect(&mut self, at: usize, word: &Word) -> Result<(), ScriptProblem> {
        let mut pieces = Vec::new();
        let mut rest = word.text.as_str();
        while let Some(dash) = unescaped(rest, |c| c == '-') {
            pieces.push(&rest[..dash]);
            rest = &rest[dash + 1..];
        }
        pieces.push(rest);
        if pieces.first() == Some(&"CONNECT") {
            let why = "the script begins behind CONNECT: the modem is the line's profile's, the number the \
                       account's `phone`; leave out all up to here";
            return Err(ScriptProblem::Word { word: at, why: why.to_owned() });
        }
        let (first, subs) = (pieces[0], &pieces[1..]);
        let mut tries = Vec::new();
        match (self.pattern(at, first)?, self.dialect) {
            (Some(pattern), _) => tries.push((Keys::default(), Some(pattern))),
            // Nothing is expected, and so it has come; Taylor UUCP sends the first subsend all the same.
            (None, Dialect::Chat) => return Ok(()),
            (None, Dialect::Taylor) => {}
        }
        for sub in subs.chunks(2) {
            let pattern = sub.get(1).map(|text| self.pattern(at, text)).transpose()?.flatten();
            let ends = pattern.is_none();
            tries.push((self.typed(at, sub[0])?, pattern));
            if ends {
                break;
            }
        }
        if tries.len() > TRIES_MAX {
            let why = format!("it tries more than {TRIES_MAX} times");
            return Err(ScriptProblem::Word { word: at, why });
        }
        if !tries.is_empty() {
            let last = tries.len() - 1;
            let tries = tries.into_iter().enumerate().map(|(index, (first, pattern))| {
                // Taylor UUCP waits 10 s. Where nothing is left to be tried that may be too little.
                let wait =
                    if self.dialect == Dialect::Taylor && index < last { TAYLOR_WAIT } else { self.wait };
                Try { first, pattern, wait }
            });
            let tries = tries.collect();
            self.push(Action::Expect(Expect { tries, aborts: Vec::new(), optional: false }));
        }
        Ok(())
    }

    fn pattern(&self, at: usize, text: &str) -> Result<Option<Pattern>, ScriptProblem> {
        let bytes = self.expected_bytes(text);
        if bytes.is_empty() || is_empty_quotes(text) {
            return Ok(None);
        }
        Pattern::text(&bytes).map(Some).map_err(|problem| ScriptProblem::Pattern { word: at, problem })
    }

    /// What a text stands for where it is expected.
    fn expected_bytes(&self, text: &str) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), text.chars());
        while let Some(c) = rest.next() {
            match (c, self.dialect) {
                ('^', Dialect::Chat) => bytes.extend(control(&mut rest, b'^').filter(|&byte| byte != 0)),
                ('\\', dialect) => match (rest.next(), dialect) {
                    (Some('b'), _) => bytes.push(0x08),
                    (Some('n'), _) => bytes.push(b'\n'),
                    (Some('r'), _) => bytes.push(b'\r'),
                    (Some('s'), _) => bytes.push(b' '),
                    (Some('t'), _) => bytes.push(b'\t'),
                    (Some('N'), Dialect::Taylor) => bytes.push(0),
                    (Some('x'), _) => bytes.extend(number(&mut rest, 16, 2)),
                    (Some('q'), Dialect::Chat) => {}
                    (Some(digit @ '0'..='7'), dialect) => {
                        let byte = octal(digit, &mut rest);
                        bytes.extend(Some(byte).filter(|&byte| byte != 0 || dialect == Dialect::Taylor));
                    }
                    (Some(itself), _) => push_char(&mut bytes, itself),
                    (None, Dialect::Taylor) => bytes.push(b'\\'),
                    (None, Dialect::Chat) => {}
                },
                (itself, _) => push_char(&mut bytes, itself),
            }
        }
        bytes
    }

    /// What a text stands for where it is sent.
    fn typed(&self, at: usize, text: &str) -> Result<Keys, ScriptProblem> {
        let dialect = self.dialect;
        if text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("ATD")) {
            let why = "it dials: the number is the account's `phone`, and the script begins behind CONNECT";
            return Err(ScriptProblem::Word { word: at, why: why.to_owned() });
        }
        let mut typing = Typing::default();
        let returns = match (dialect, text) {
            (_, "") => true,
            (Dialect::Taylor, _) if is_empty_quotes(text) => false,
            (Dialect::Chat, _) if is_empty_quotes(text) => true,
            (Dialect::Chat, "EOT") => typing.byte(EOT),
            (Dialect::Chat, "BREAK") => typing.stroke(Stroke::Break(BREAK_LENGTH)),
            (_, _) => typing.text(at, text, dialect)?,
        };
        if returns {
            typing.byte(b'\r');
        }
        Ok(typing.keys())
    }
}

/// Keys in the making.
#[derive(Default)]
struct Typing {
    strokes: Vec<Stroke>,
    text: Zeroizing<String>,
    hidden: bool,
}

impl Typing {
    /// Takes a text; true if RETURN is to follow.
    fn text(&mut self, at: usize, text: &str, dialect: Dialect) -> Result<bool, ScriptProblem> {
        let (mut returns, mut rest) = (true, text.chars());
        loop {
            // Anywhere in a word, says the manual of the one; the other wants them alone.
            if dialect == Dialect::Taylor {
                if let Some(behind) = rest.as_str().strip_prefix("BREAK") {
                    returns = self.stroke(Stroke::Break(BREAK_LENGTH));
                    rest = behind.chars();
                } else if let Some(behind) = rest.as_str().strip_prefix("EOT") {
                    returns = self.byte(EOT);
                    rest = behind.chars();
                }
            }
            match (rest.next(), dialect) {
                (None, _) => return Ok(returns),
                (Some('\\'), _) => returns &= self.escaped(at, &mut rest, dialect)?,
                (Some('^'), Dialect::Chat) => {
                    if let Some(byte) = control(&mut rest, b'^').filter(|&byte| byte != 0) {
                        self.byte(byte);
                    }
                }
                (Some(c), _) => self.text.push(c),
            }
        }
    }

    /// What stands behind a backslash; false if no RETURN is to follow the whole.
    fn escaped(
        &mut self,
        at: usize,
        rest: &mut std::str::Chars<'_>,
        dialect: Dialect,
    ) -> Result<bool, ScriptProblem> {
        let wrong = |why: &str| Err(ScriptProblem::Word { word: at, why: why.to_owned() });
        match (rest.next(), dialect) {
            (Some('c'), Dialect::Taylor) => return Ok(false),
            (Some('c'), Dialect::Chat) if rest.as_str().is_empty() => return Ok(false),
            (Some('d'), _) => drop(self.stroke(Stroke::Pause(dialect.delay()))),
            (Some('p'), _) => drop(self.stroke(Stroke::Pause(dialect.pause()))),
            (Some('K'), _) => drop(self.stroke(Stroke::Break(BREAK_LENGTH))),
            (Some('E'), _) => drop(self.stroke(Stroke::Echo(true))),
            (Some('e'), _) => drop(self.stroke(Stroke::Echo(false))),
            (Some('L'), _) => drop(self.stroke(Stroke::User)),
            (Some('P'), _) => drop(self.stroke(Stroke::Password)),
            (Some('q'), Dialect::Chat) => self.hidden = true,
            (Some('b'), _) => drop(self.byte(0x08)),
            (Some('n'), _) => drop(self.byte(b'\n')),
            (Some('N'), _) => drop(self.byte(0)),
            (Some('r'), _) => drop(self.byte(b'\r')),
            (Some('t'), _) => drop(self.byte(b'\t')),
            (Some('s'), _) => self.text.push(' '),
            (Some('x'), _) => drop(number(rest, 16, 2).map(|byte| self.byte(byte))),
            (Some(digit @ '0'..='7'), _) => drop(self.byte(octal(digit, rest))),
            (Some('T' | 'D' | 'U'), _) => {
                return wrong("it sends a telephone number: that is the account's `phone`, and the modem's");
            }
            (Some('m' | 'M' | 'H'), _) => {
                return wrong(
                    "it is about the carrier: see the account's `dial_back` and the line's `modem`",
                );
            }
            (Some(itself), _) => self.text.push(itself),
            (None, _) => self.text.push('\\'),
        }
        Ok(true)
    }

    /// Adds one; no RETURN follows by itself.
    fn stroke(&mut self, stroke: Stroke) -> bool {
        self.end_text();
        self.strokes.push(stroke);
        false
    }

    /// Adds a byte, as text if it is printable: then it is masked with the rest of a password.
    fn byte(&mut self, byte: u8) -> bool {
        match byte {
            b' '..=b'~' => self.text.push(char::from(byte)),
            _ => drop(self.stroke(Stroke::Byte(byte))),
        }
        false
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.strokes.push(Stroke::Text(Secret::new(std::mem::take(&mut *self.text))));
        }
    }

    fn keys(mut self) -> Keys {
        self.end_text();
        Keys { strokes: self.strokes, hidden: self.hidden }
    }
}

fn nothing(word: usize) -> ScriptProblem {
    ScriptProblem::Word { word, why: "there is nothing in it to wait for".to_owned() }
}

/// True for `""` and `''` within a word.
fn is_empty_quotes(text: &str) -> bool {
    matches!(text, "\"\"" | "''")
}

fn push_char(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// What `^` makes of the character behind it: `^D` is 4.
fn control(rest: &mut std::str::Chars<'_>, alone: u8) -> Option<u8> {
    match rest.next() {
        None => Some(alone),
        Some(c) if c.is_ascii() => Some(c as u8 & 0x1f),
        Some(_) => None,
    }
}

/// The byte of three octal digits at most.
fn octal(first: char, rest: &mut std::str::Chars<'_>) -> u8 {
    let first = first.to_digit(8).unwrap_or(0);
    let (mut value, mut ahead) = (first, rest.clone());
    for _ in 0..2 {
        let Some(digit) = ahead.next().and_then(|c| c.to_digit(8)) else { break };
        value = value * 8 + digit;
        *rest = ahead.clone();
    }
    (value & 0xff) as u8 // as a C char would have it
}

/// A number of so many digits at most.
fn number(rest: &mut std::str::Chars<'_>, radix: u32, digits_max: usize) -> Option<u8> {
    let (mut value, mut ahead) = (None, rest.clone());
    for _ in 0..digits_max {
        let Some(digit) = ahead.next().and_then(|c| c.to_digit(radix)) else { break };
        value = Some(value.unwrap_or(0) * radix + digit);
        *rest = ahead.clone();
    }
    value.map(|value| (value & 0xff) as u8)
}

/// End of transmission, Ctrl-D.
const EOT: u8 = 0x04;
/// How long Taylor UUCP waits (`chat-timeout`).
const TAYLOR_WAIT: Duration = Duration::from_secs(10);
/// Tries of one expectation.
const TRIES_MAX: usize = 20;

#[cfg(test)]
mod tests;
