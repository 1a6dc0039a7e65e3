//! A message's header: its fields as raw bytes, each small and well-formed enough for mailparse.
//!
//! mailparse fails a whole message for a first line that begins with a space or a lone CR, and takes
//! time that grows with the cube of a field's length to look for encoded words. So the header is cut
//! into fields, and fields into encoded words, here; mailparse decodes one word at a time.

use data_encoding::BASE64;
use memchr::{memchr, memmem};

use super::base64::forgiving_base64;

/// One field and its raw value, unfolded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name as the sender spelt it; printable ASCII (RFC 5322 section 2.2).
    pub name: String,
    raw: Vec<u8>,
    cut: bool,
}

impl Field {
    fn new(name: &[u8], value: &[u8]) -> Self {
        let mut field =
            Self { name: String::from_utf8_lossy(name).into_owned(), raw: Vec::new(), cut: false };
        field.append(value);
        field
    }

    /// Adds a line, up to [`FIELD_BYTES_MAX`] for the whole field.
    fn append(&mut self, line: &[u8]) {
        let room = FIELD_BYTES_MAX.saturating_sub(self.raw.len());
        let taken = if line.len() <= room { line } else { whole_characters(&line[..room]) };
        self.cut |= taken.len() < line.len();
        self.raw.extend(taken.iter().map(|byte| if *byte == b'\r' { b' ' } else { *byte }));
    }

    /// The value as it stands there, unfolded and undecoded.
    pub(super) fn raw(&self) -> &[u8] {
        self.raw.trim_ascii()
    }

    /// The value as text: encoded words (RFC 2047) and UTF-8 (RFC 6532) read, anything else taken for
    /// Latin-1, white space made single. A field cut at [`FIELD_BYTES_MAX`] ends in `…`.
    pub fn value(&self) -> String {
        let text: String = segments(&self.raw).iter().map(Segment::text).collect();
        let mut value = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if self.cut {
            value.push('…');
        }
        value
    }
}

/// The first field of that name, in any case.
pub(super) fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
}

/// Cuts a message, or one part of it, into header and body. Never fails: what is no field, and does
/// not continue one, begins the body.
pub(super) fn split(entity: &[u8]) -> (Vec<Field>, &[u8]) {
    let mut fields: Vec<Field> = Vec::new();
    let mut rest = entity;
    // The mailbox's own From_ line, and one more that a relay may have quoted.
    while fields.is_empty() && (rest.starts_with(b"From ") || rest.starts_with(b">From ")) {
        rest = split_line(rest).1;
    }
    let mut listed = true; // false once there are more fields than are kept
    while !rest.is_empty() {
        let (line, behind) = split_line(rest);
        if line.is_empty() {
            return (fields, behind);
        }
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if folded && !(fields.is_empty() && listed) {
            if let Some(field) = fields.last_mut().filter(|_| listed) {
                field.append(line);
            }
        } else if let Some((name, value)) = name_and_value(line.trim_ascii_start()) {
            listed = fields.len() < FIELDS_MAX;
            if listed {
                fields.push(Field::new(name, value));
            }
        } else {
            // A stray folded line in front of the first field, or a quoted From_ line behind it.
            let stray = folded && name_and_value(split_line(behind).0).is_some();
            if !stray && !line.starts_with(b">From ") {
                return (fields, rest);
            }
        }
        rest = behind;
    }
    (fields, rest)
}

/// The first line without its line end (LF, CRLF, even CRCRLF), and what follows.
pub(super) fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (line, behind) = match memchr(b'\n', bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &bytes[bytes.len()..]),
    };
    let returns = line.iter().rev().take_while(|byte| **byte == b'\r').count();
    (&line[..line.len() - returns], behind)
}

/// A field's name is printable ASCII without a colon (RFC 5322 section 2.2); old mailers leave a space
/// before the colon (section 4.5).
pub(super) fn name_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', &line[..line.len().min(NAME_BYTES_MAX)])?;
    let name = line[..colon].trim_ascii_end();
    let proper = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    proper.then(|| (name, &line[colon + 1..]))
}

/// Drops the bytes of a UTF-8 character that was cut in two.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        Ok(_) | Err(_) => bytes,
    }
}

/// A stretch of a field's value.
enum Segment<'a> {
    Plain(&'a [u8]),
    /// Encoded words: `=?charset?Q?` and all they hold.
    Encoded {
        kind: &'a [u8],
        content: Vec<u8>,
    },
}

impl Segment<'_> {
    fn text(&self) -> String {
        match self {
            Self::Plain(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => encoding_rs::mem::decode_latin1(bytes).into_owned(),
            },
            Self::Encoded { kind, content } => {
                let mut field = [b"x: ", *kind].concat();
                let is_base64 = kind.to_ascii_lowercase().ends_with(b"?b?");
                let canonical = is_base64.then(|| BASE64.encode(&forgiving_base64(content).0).into_bytes());
                for byte in canonical.as_ref().unwrap_or(content) {
                    // Some mailers leave Latin-1 as it is between the quoted characters, and mailparse
                    // would drop it.
                    if byte.is_ascii() {
                        field.push(*byte);
                    } else {
                        field.extend(format!("={byte:02X}").bytes());
                    }
                }
                field.extend(b"?=");
                mailparse::parse_header(&field).map(|(header, _)| header.get_value()).unwrap_or_default()
            }
        }
    }
}

/// Finds the encoded words of a value. Neighbours in the same charset and encoding become one, because
/// mailers do cut characters of several bytes between two words, though RFC 2047 section 5 forbids it;
/// white space between neighbours is not text (section 6.2). What may stand next to a word is not
/// enforced: `=?utf-8?Q?...?=.` is as common as it is wrong.
fn segments(raw: &[u8]) -> Vec<Segment<'_>> {
    let mut segments: Vec<Segment<'_>> = Vec::new();
    let mut plain_from = 0;
    let mut at = 0;
    while let Some(found) = memmem::find(&raw[at..], b"=?") {
        let start = at + found;
        let Some((kind, length)) = encoded_word_start(&raw[start..]) else {
            at = start + 2;
            continue;
        };
        let inside = start + length;
        let Some(content_length) = memmem::find(&raw[inside..], b"?=") else { break };
        let content = &raw[inside..inside + content_length];
        let gap = &raw[plain_from..start];
        let neighbours = gap.trim_ascii().is_empty();
        if !neighbours || !matches!(segments.last(), Some(Segment::Encoded { .. })) {
            segments.push(Segment::Plain(gap));
        }
        match segments.last_mut() {
            Some(Segment::Encoded { kind: before, content: all })
                if before.eq_ignore_ascii_case(kind) && !keeps_state(kind) =>
            {
                all.extend(content);
            }
            Some(_) | None => segments.push(Segment::Encoded { kind, content: content.to_vec() }),
        }
        at = inside + content_length + 2;
        plain_from = at;
    }
    segments.push(Segment::Plain(&raw[plain_from..]));
    segments
}

/// ISO-2022-JP and its like switch character sets by escape sequences and begin each word afresh; two
/// such sequences in a row are an error to a decoder.
fn keeps_state(kind: &[u8]) -> bool {
    kind.get(2..10).is_some_and(|charset| charset.eq_ignore_ascii_case(b"iso-2022"))
}

/// `=?charset?Q?` at the front of `raw`, and its length.
fn encoded_word_start(raw: &[u8]) -> Option<(&[u8], usize)> {
    let inside = &raw[2..raw.len().min(2 + CHARSET_BYTES_MAX)];
    let charset = memchr(b'?', inside)?;
    let proper = charset > 0 && inside[..charset].iter().all(u8::is_ascii_graphic);
    let length = 2 + charset + b"?Q?".len();
    let encoding = raw.get(2 + charset..length)?;
    (proper && matches!(encoding, b"?Q?" | b"?q?" | b"?B?" | b"?b?")).then(|| (&raw[..length], length))
}

/// A field's value is kept up to this many bytes.
pub(super) const FIELD_BYTES_MAX: usize = 4096;
/// Fields kept of one header.
const FIELDS_MAX: usize = 512;
/// A line whose colon comes later than this, in bytes, is no field.
const NAME_BYTES_MAX: usize = 256;
/// The name of a charset in an encoded word is no longer than this, in bytes.
const CHARSET_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn value_of(raw: &str) -> String {
        let (fields, _) = split(raw.as_bytes());
        fields.first().map(Field::value).unwrap_or_default()
    }

    fn names(raw: &[u8]) -> (Vec<String>, Vec<u8>) {
        let (fields, body) = split(raw);
        (fields.into_iter().map(|field| field.name).collect(), body.to_vec())
    }

    #[test]
    fn header_and_body_are_told_apart_whatever_the_line_ends() {
        for end in ["\n", "\r\n", "\r\r\n"] {
            let raw = format!("From x Mon{end}A: 1{end} 2{end}B: 3{end}{end}body{end}");
            let (fields, body) = split(raw.as_bytes());
            assert_eq!(fields.iter().map(Field::value).collect::<Vec<_>>(), ["1 2", "3"]);
            assert_eq!(body, format!("body{end}").as_bytes());
        }
    }

    #[test]
    fn a_damaged_header_is_read_as_far_as_it_goes() {
        assert_eq!(names(b" A: 1\nB: 2\n\nx"), (vec!["A".into(), "B".into()], b"x".into()));
        assert_eq!(names(b" lost\nB: 2\n\nx"), (vec!["B".into()], b"x".into()));
        assert_eq!(names(b"A: 1\rB\n\rC: 2\n\nx").0, ["A", "C"]);
        assert_eq!(
            names(b"A : 1\nno field here\nB: 2\n"),
            (vec!["A".into()], b"no field here\nB: 2\n".into())
        );
        assert_eq!(names(b"plain text\n\nmore"), (vec![], b"plain text\n\nmore".into()));
        assert_eq!(names(b""), (vec![], vec![]));
    }

    #[test]
    fn encoded_words_are_read() {
        assert_eq!(value_of("S: =?iso-8859-1?Q?=A1Hola,_se=F1or!?="), "¡Hola, señor!");
        assert_eq!(value_of("S: =?UTF-8?B?4pyT?= =?UTF-8?B?IG9r?= plain"), "✓ ok plain");
        assert_eq!(value_of("S: caf\u{e9}"), "café");
        assert_eq!(value_of("S: =?utf-8?Q?not ended"), "=?utf-8?Q?not ended");
        assert_eq!(value_of("S: Re:=?utf-8?Q?a_b?=, =?utf-8?B?Yw==?=."), "Re:a b, c.");
        assert_eq!(
            value_of("S: =?x-martian?Q?a?= =?? =?utf-8?X?a?= =?=?="),
            "=?x-martian?Q?a?= =?? =?utf-8?X?a?= =?=?="
        );
    }

    #[test]
    fn words_of_a_stateful_charset_and_damaged_base64_are_read() {
        assert_eq!(value_of("S: =?iso-2022-jp?B?GyRCJEsbKEI=?= =?ISO-2022-JP?B?GyRCJEsbKEI?="), "にに");
        assert_eq!(value_of("S: =?utf-8?B?aGVsbG9==?= =?utf-8?b?!aGVsbG8?="), "hellohello");
    }

    #[test]
    fn raw_bytes_in_an_encoded_word_are_kept() {
        let (fields, _) = split(b"S: =?iso-8859-1?Q?Fr\xf6sche_=E9?= \xe9");
        assert_eq!(fields[0].value(), "Frösche é é");
    }

    #[test]
    fn a_character_cut_between_two_encoded_words_is_whole_again() {
        assert_eq!(value_of("S: =?UTF-8?B?4pw=?=\r\n =?utf-8?b?kw==?= a"), "✓ a");
        assert_eq!(value_of("S: =?UTF-8?Q?=E2=9C?= =?UTF-8?Q?=93?= =?latin1?Q?=E9?="), "✓é");
    }

    #[test]
    fn a_long_field_is_cut_between_characters() {
        let long = value_of(&format!("S: {}", "é".repeat(5000)));
        assert!(long.ends_with("é…"), "{}", &long[long.len() - 12..]);
        assert!(long.len() <= FIELD_BYTES_MAX + 3);
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // how long it really takes is what is shown
    fn words_that_never_end_take_no_time_to_speak_of() {
        let hostile = format!("S:{}\n", " =?x?=y".repeat(4000));
        let begun = std::time::Instant::now();
        for _ in 0..20 {
            value_of(&hostile);
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn ten_thousand_fields_are_not_all_kept() {
        let message = [b"A: 1\n 2\n".repeat(10_000), b"\nbody".to_vec()].concat();
        let (fields, body) = split(&message);
        assert_eq!((fields.len(), body), (FIELDS_MAX, b"body".as_slice()));
    }
}
