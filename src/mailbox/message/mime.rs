//! The parts of a MIME message (RFC 2045 to 2049), walked within limits, and their text decoded.
//!
//! The tree is walked here and not by mailparse, which gives up a whole message for one damaged
//! part; parameters, transfer encodings and charsets are mailparse's.

use std::borrow::Cow;

use mailparse::body::Body;
use mailparse::{DispositionType, ParsedContentDisposition, ParsedContentType};
use memchr::memmem;

use super::base64::forgiving_base64;
use super::header::{self, Field, find};
use super::html;

/// What a reader sees of a message, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Text),
    Attachment {
        name: String,
        kind: String,
        size: u64,
    },
    /// Another message begins, with this header.
    Enclosed(Vec<Field>),
    /// Something about the message that its reader should know.
    Note(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub text: String,
    /// format=flowed (RFC 3676), and whether DelSp says that the space at a soft break goes.
    pub flowed: Option<DelSp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DelSp {
    Yes,
    No,
}

/// Takes a message apart: its header, and what to show of its body.
pub(super) fn take_apart(message: &[u8]) -> (Vec<Field>, Vec<Piece>) {
    let (fields, body) = header::split(message);
    let mut walker =
        Walker { pieces: Vec::new(), parts_left: PARTS_MAX, text_left: TEXT_BYTES_MAX, files_only: false };
    walker.walk(&Part::new(&fields, body, "text/plain"), DEPTH_MAX);
    (fields, walker.pieces)
}

/// One entity: what its header says, and its body as it was sent.
struct Part<'a> {
    kind: ParsedContentType,
    charset_declared: bool,
    disposition: ParsedContentDisposition,
    encoding: String,
    body: &'a [u8],
}

impl<'a> Part<'a> {
    fn new(fields: &[Field], body: &'a [u8], default_kind: &str) -> Self {
        let value = |name| find(fields, name).map(Field::value);
        let mut kind = mailparse::parse_content_type(&value("Content-Type").unwrap_or(default_kind.into()));
        if !kind.mimetype.contains('/') {
            kind.mimetype = "text/plain".into(); // RFC 2045 section 5.2: what cannot be read is text
        }
        // Comments and parameters behind the encoding's name are not RFC 2045, but are sent.
        let encoding = value("Content-Transfer-Encoding").unwrap_or_default().to_ascii_lowercase();
        let word = encoding.split([' ', ';', '(']).next().unwrap_or_default();
        Self {
            charset_declared: kind.params.contains_key("charset"),
            kind,
            disposition: value("Content-Disposition")
                .map(|value| mailparse::parse_content_disposition(&value))
                .unwrap_or_default(),
            encoding: word.trim_matches('"').to_owned(),
            body,
        }
    }

    fn name(&self) -> Option<&str> {
        let name = self.disposition.params.get("filename").or_else(|| self.kind.params.get("name"));
        name.map(|name| name.trim()).filter(|name| !name.is_empty())
    }

    fn is_multipart(&self) -> bool {
        self.kind.mimetype.starts_with("multipart/")
    }

    fn is_message(&self) -> bool {
        matches!(self.kind.mimetype.as_str(), "message/rfc822" | "message/global" | "message/news")
    }

    /// Text to be read in place, not a file that happens to be text.
    fn is_text(&self) -> bool {
        let kind = self.kind.mimetype.as_str();
        let readable =
            kind.starts_with("text/") || matches!(kind, "message/delivery-status" | "message/partial");
        let file = self.disposition.disposition == DispositionType::Attachment
            || (self.name().is_some() && !matches!(kind, "text/plain" | "text/html"));
        readable && !file
    }

    fn is_blank(&self) -> bool {
        self.body.trim_ascii().is_empty()
    }

    /// The body, or the beginning of it, with its transfer encoding undone, and what had to be forgiven.
    fn decode<'b>(&self, body: &'b [u8]) -> (Cow<'b, [u8]>, Option<String>) {
        match self.encoding.as_str() {
            "base64" => match self.decode_by_mailparse(body) {
                Some(bytes) => (bytes.into(), None),
                None => {
                    let (bytes, bad) = forgiving_base64(body);
                    let note =
                        format!("damaged base64; bytes left out because they do not belong there: {bad}");
                    (bytes.into(), (bad > 0).then_some(note))
                }
            },
            "quoted-printable" => {
                // mailparse drops bytes that should have been quoted, such as bare UTF-8.
                (self.decode_by_mailparse(&quote_raw_bytes(body)).map_or(body.into(), Cow::from), None)
            }
            "" | "7bit" | "8bit" | "binary" => (body.into(), None),
            other => (
                body.into(),
                Some(format!("the transfer encoding {other} is not known; shown as it was sent")),
            ),
        }
    }

    fn decode_by_mailparse(&self, body: &[u8]) -> Option<Vec<u8>> {
        match Body::new(body, &self.kind, &Some(self.encoding.clone())) {
            Body::Base64(encoded) | Body::QuotedPrintable(encoded) => encoded.get_decoded().ok(),
            Body::SevenBit(text) | Body::EightBit(text) => Some(text.get_raw().to_vec()),
            Body::Binary(raw) => Some(raw.get_raw().to_vec()),
        }
    }

    /// Bytes as text in the part's charset, and what had to be guessed.
    fn text_of(&self, bytes: &[u8]) -> (String, Option<String>) {
        let charset = self.kind.charset.trim_matches(['"', '\'', ' ']);
        let undeclared = !self.charset_declared || charset.eq_ignore_ascii_case("us-ascii");
        if let (true, Ok(text)) = (undeclared, std::str::from_utf8(bytes)) {
            return (text.to_owned(), None);
        }
        if !charset_is_known(charset) {
            let text = encoding_rs::mem::decode_latin1(bytes).into_owned();
            return (text, Some(format!("the charset {charset} is not known here; shown as Latin-1")));
        }
        let kind = ParsedContentType { charset: charset.to_owned(), ..ParsedContentType::default() };
        let text = match Body::new(bytes, &kind, &Some("binary".into())) {
            Body::Binary(body) => body.get_as_string().unwrap_or_default(),
            Body::Base64(_) | Body::QuotedPrintable(_) | Body::SevenBit(_) | Body::EightBit(_) => {
                String::new()
            }
        };
        let lost = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
        if lost == 0 {
            return (text, None);
        }
        match std::str::from_utf8(bytes) {
            // Somebody on the way recoded the text and left the header as it was.
            Ok(text) if !text.contains(char::REPLACEMENT_CHARACTER) => {
                (text.to_owned(), Some(format!("declared as {charset}, but it is UTF-8")))
            }
            Ok(_) | Err(_) => (text, Some(format!("characters that could not be read as {charset}: {lost}"))),
        }
    }
}

/// Goes through the tree of parts and keeps to the limits.
struct Walker {
    pieces: Vec<Piece>,
    parts_left: usize,
    text_left: usize,
    /// Inside an alternative that was passed over: its text is read elsewhere, its files are not.
    files_only: bool,
}

impl Walker {
    fn walk(&mut self, part: &Part<'_>, depth_left: usize) {
        if (part.is_multipart() || part.is_message()) && depth_left == 0 {
            self.note(format!("parts nested more than {DEPTH_MAX} deep are not shown"));
            self.attach(part);
        } else if part.is_multipart() {
            self.walk_multipart(part, depth_left);
        } else if part.is_message() && !self.files_only {
            let (message, note) = part.decode(part.body);
            self.pieces.extend(note.map(Piece::Note));
            let (fields, body) = header::split(&message);
            let inner = Part::new(&fields, body, "text/plain");
            self.pieces.push(Piece::Enclosed(fields));
            self.walk(&inner, depth_left - 1);
        } else if part.is_text() {
            self.show_text(part);
        } else {
            self.attach(part);
        }
    }

    fn walk_multipart(&mut self, part: &Part<'_>, depth_left: usize) {
        let boundary = part.kind.params.get("boundary").map_or("", |boundary| boundary.trim_end());
        let mut bodies = split_multipart(part.body, boundary.as_bytes(), self.parts_left + 1);
        if let (true, Some(guess)) = (bodies.is_empty(), guess_boundary(part.body)) {
            bodies = split_multipart(part.body, guess, self.parts_left + 1);
            self.note("the boundary between the parts is damaged; guessed from the text".into());
        }
        if bodies.is_empty() {
            self.note(
                "a message of several parts without the boundary between them; shown as it was sent".into(),
            );
            self.show_text(part);
            return;
        }
        let default_kind =
            if part.kind.mimetype == "multipart/digest" { "message/rfc822" } else { "text/plain" };
        let entities: Vec<(Vec<Field>, &[u8])> = bodies.iter().map(|body| header::split(body)).collect();
        let parts: Vec<Part<'_>> =
            entities.iter().map(|(fields, body)| Part::new(fields, body, default_kind)).collect();
        let chosen = (part.kind.mimetype == "multipart/alternative").then(|| best_alternative(&parts));
        for (at, inner) in parts.iter().enumerate() {
            if self.parts_left == 0 {
                self.note(format!("more than {PARTS_MAX} parts; the rest is not shown"));
                return;
            }
            self.parts_left -= 1;
            let outside = self.files_only;
            self.files_only |= chosen.is_some_and(|chosen| chosen != at);
            self.walk(inner, depth_left - 1);
            self.files_only = outside;
        }
    }

    fn show_text(&mut self, part: &Part<'_>) {
        if self.files_only {
            // What has no other form, such as an invitation, is listed.
            if !matches!(part.kind.mimetype.as_str(), "text/plain" | "text/html" | "text/enriched") {
                self.attach(part);
            }
            return;
        }
        let taken = part.body.len().min(self.text_left);
        self.text_left -= taken;
        let (bytes, damage) = part.decode(&part.body[..taken]);
        let (text, guess) = part.text_of(&bytes);
        let left_out = part.body.len() - taken;
        let damage = damage.filter(|_| left_out == 0); // the cut itself may look like damage
        self.pieces.extend([damage, guess].into_iter().flatten().map(Piece::Note));
        let text = if part.kind.mimetype == "text/html" { html::to_text(&text) } else { text };
        let parameter = |name| part.kind.params.get(name).map(String::as_str).unwrap_or_default();
        let flowed = parameter("format")
            .eq_ignore_ascii_case("flowed")
            .then(|| if parameter("delsp").eq_ignore_ascii_case("yes") { DelSp::Yes } else { DelSp::No });
        self.pieces.push(Piece::Text(Text { text, flowed }));
        if left_out > 0 {
            self.note(format!("bytes of text that are not shown: {left_out}"));
        }
    }

    fn attach(&mut self, part: &Part<'_>) {
        let (bytes, _) = part.decode(part.body);
        self.pieces.push(Piece::Attachment {
            name: part.name().unwrap_or("(no name)").to_owned(),
            kind: part.kind.mimetype.clone(),
            size: bytes.len() as u64,
        });
    }

    fn note(&mut self, note: String) {
        self.pieces.push(Piece::Note(note));
    }
}

/// The part to read: plain text that says something, else the last that is text or holds some (RFC
/// 2046 section 5.1.4 puts the richest last).
fn best_alternative(parts: &[Part<'_>]) -> usize {
    let plain = |part: &Part<'_>| part.kind.mimetype == "text/plain" && part.is_text() && !part.is_blank();
    let text = |part: &Part<'_>| part.is_multipart() || part.is_text();
    parts.iter().position(plain).or_else(|| parts.iter().rposition(text)).unwrap_or_default()
}

/// The bodies between the boundary lines (RFC 2046 section 5.1.1), at most `parts_max`. The line end in
/// front of a boundary belongs to the boundary; a last part that is never closed ends with the message.
fn split_multipart<'a>(body: &'a [u8], boundary: &[u8], parts_max: usize) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
        return parts;
    }
    let delimiter = [b"--", boundary].concat();
    let mut open: Option<usize> = None; // where the part begins that is not yet closed
    for at in memmem::find_iter(body, &delimiter) {
        let behind = at + delimiter.len();
        let starts_line = at == 0 || body[at - 1] == b'\n';
        let (tail, _) = header::split_line(&body[behind..]);
        let closes = tail.starts_with(b"--");
        // `--abc` is no boundary line of `--ab`: only white space may follow.
        if !starts_line || !(closes || tail.trim_ascii().is_empty()) {
            continue;
        }
        if let Some(start) = open {
            parts.push(without_line_end(&body[start..at.max(start)]));
        }
        if closes || parts.len() >= parts_max {
            return parts;
        }
        open = Some(memchr::memchr(b'\n', &body[behind..]).map_or(body.len(), |end| behind + end + 1));
    }
    parts.extend(open.map(|start| &body[start..]));
    parts
}

/// The boundary of a body whose header does not tell: the first line that begins with `--` and has a
/// field of a header right behind it.
fn guess_boundary(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body;
    while !rest.is_empty() {
        let (line, behind) = header::split_line(rest);
        let boundary = line.strip_prefix(b"--").map(<[u8]>::trim_ascii_end).unwrap_or_default();
        let header_follows = || header::name_and_value(header::split_line(behind).0).is_some();
        if !boundary.is_empty() && !boundary.contains(&b' ') && header_follows() {
            return Some(boundary);
        }
        rest = behind;
    }
    None
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// Writes `=XX` for the bytes that mailparse would drop.
fn quote_raw_bytes(body: &[u8]) -> Cow<'_, [u8]> {
    let kept = |byte: u8| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~');
    if body.iter().all(|byte| kept(*byte)) {
        return body.into();
    }
    let mut quoted = Vec::with_capacity(body.len() * 2);
    for byte in body {
        if kept(*byte) {
            quoted.push(*byte);
        } else {
            quoted.extend(format!("={byte:02X}").bytes());
        }
    }
    quoted.into()
}

/// Whether mailparse can read it: the charsets of the web, and UTF-7. Some labels (ISO-2022-KR) are
/// known to the web only as dangerous, and decode to nothing.
fn charset_is_known(label: &str) -> bool {
    let utf7 = ["utf-7", "unicode-1-1-utf-7"].iter().any(|name| label.eq_ignore_ascii_case(name));
    utf7 || encoding_rs::Encoding::for_label_no_replacement(label.as_bytes()).is_some()
}

/// Multiparts and enclosed messages inside one another.
const DEPTH_MAX: usize = 16;
/// Parts walked in one message.
const PARTS_MAX: usize = 256;
/// Text taken from one message, in bytes as sent.
const TEXT_BYTES_MAX: usize = 2 << 20;
/// RFC 2046 allows 70; some mailers do not count.
const BOUNDARY_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(message: &str) -> Vec<Piece> {
        take_apart(message.as_bytes()).1
    }

    fn text(text: &str) -> Piece {
        Piece::Text(Text { text: text.into(), flowed: None })
    }

    fn note(note: &str) -> Piece {
        Piece::Note(note.into())
    }

    fn attachment(name: &str, kind: &str, size: u64) -> Piece {
        Piece::Attachment { name: name.into(), kind: kind.into(), size }
    }

    #[test]
    fn transfer_encodings_are_undone() {
        let encoded =
            |encoding: &str, body: &str| pieces(&format!("Content-Transfer-Encoding: {encoding}\n\n{body}"));
        assert_eq!(encoded("base64", "aGVs\nbG8="), [text("hello")]);
        assert_eq!(encoded("BASE64 (really)", "aGVsbG8="), [text("hello")]);
        assert_eq!(encoded("quoted-printable", "caf=C3=A9 =\nau lait é"), [text("café au lait é")]);
        assert_eq!(
            encoded("x-new", "hello"),
            [note("the transfer encoding x-new is not known; shown as it was sent"), text("hello")]
        );
    }

    #[test]
    fn damaged_base64_loses_only_what_is_damaged() {
        let damaged = "Content-Transfer-Encoding: base64\n\naGVs!bG8g\x01d29ybGQ=ISE=\nQ";
        assert_eq!(
            pieces(damaged),
            [
                note("damaged base64; bytes left out because they do not belong there: 3"),
                text("hello world!!")
            ]
        );
    }

    #[test]
    fn charsets_are_read_and_an_unknown_one_is_said() {
        let in_charset = |charset: &str, body: &[u8]| {
            let header = format!("Content-Type: text/plain; charset={charset}\n\n");
            take_apart(&[header.as_bytes(), body].concat()).1
        };
        assert_eq!(in_charset("koi8-r", b"\xf0\xf2\xe9"), [text("ПРИ")]);
        assert_eq!(in_charset("\"UTF-7\"", b"+APY-"), [text("ö")]);
        assert_eq!(in_charset("us-ascii", "é".as_bytes()), [text("é")]);
        assert_eq!(in_charset("us-ascii", b"\xe9"), [text("é")]);
        assert_eq!(
            in_charset("utf-8", b"a\xffb"),
            [note("characters that could not be read as utf-8: 1"), text("a\u{fffd}b")]
        );
        assert_eq!(
            in_charset("iso-2022-jp", "日本".as_bytes()),
            [note("declared as iso-2022-jp, but it is UTF-8"), text("日本")]
        );
        for unknown in ["x-martian", "iso-2022-kr"] {
            let said = format!("the charset {unknown} is not known here; shown as Latin-1");
            assert_eq!(in_charset(unknown, b"a\xe9"), [note(&said), text("aé")]);
        }
    }

    const MIXED: &str = "Content-Type: multipart/mixed; boundary=\"b\"\n\npreamble\n--b\n\none\n--bb\n--b  \n\
        Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nAAAA\n--b--\nepilogue";

    #[test]
    fn parts_are_told_apart_and_files_are_listed() {
        let expected = [text("one\n--bb"), attachment("a.pdf", "application/pdf", 3)];
        assert_eq!(pieces(MIXED), expected);
        assert_eq!(
            pieces(&MIXED.replace('\n', "\r\n")),
            [text("one\r\n--bb"), expected[1].clone_attachment()]
        );
        assert_eq!(pieces(&MIXED.replace("--b--\nepilogue", "")), expected, "never closed");
    }

    impl Piece {
        fn clone_attachment(&self) -> Piece {
            match self {
                Piece::Attachment { name, kind, size } => attachment(name, kind, *size),
                Piece::Text(_) | Piece::Enclosed(_) | Piece::Note(_) => panic!("no attachment"),
            }
        }
    }

    #[test]
    fn of_alternatives_the_plain_text_is_read_unless_it_is_blank() {
        let alternatives = |plain: &str| {
            pieces(&format!(
                "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n{plain}\n--b\n\
                 Content-Type: text/html\n\n<p>rich</p>\n--b\nContent-Type: text/calendar\n\nBEGIN\n--b--\n"
            ))
        };
        assert_eq!(alternatives("plain")[0], text("plain"));
        assert_eq!(alternatives(" ").len(), 1);
    }

    #[test]
    fn files_of_an_alternative_that_is_not_read_are_listed() {
        let shown = pieces(
            "Content-Type: multipart/alternative; boundary=a\n\n--a\n\nplain\n--a\n\
             Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>rich\n--b\n\
             Content-Type: image/gif\n\nGIF\n--b--\n--a--\n",
        );
        assert_eq!(shown, [text("plain"), attachment("(no name)", "image/gif", 3)]);
    }

    #[test]
    fn an_enclosed_message_is_read_in_place() {
        let outer =
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaW4KCmlubmVy\n";
        let shown = pieces(outer);
        assert!(matches!(&shown[0], Piece::Enclosed(fields) if fields[0].value() == "in"), "{shown:?}");
        assert_eq!(shown[1], text("inner"));
    }

    #[test]
    fn a_multipart_without_its_boundary_is_text() {
        for parameters in ["", "; boundary=", "; boundary=other"] {
            let shown = pieces(&format!("Content-Type: multipart/mixed{parameters}\n\n--b\n\none"));
            assert_eq!(shown[1], text("--b\n\none"), "{parameters}");
        }
    }

    #[test]
    fn a_boundary_that_the_header_lost_is_guessed() {
        let folded_badly = MIXED.replace("; boundary", ";\nboundary").replace("\n\none", "\nX: 1\n\none");
        let said = note("the boundary between the parts is damaged; guessed from the text");
        let shown = pieces(&folded_badly);
        assert_eq!(shown[0], said);
        assert_eq!(shown[1], text("one\n--bb"));
    }

    #[test]
    fn a_thousand_parts_and_a_thousand_levels_end_at_the_limit() {
        let wide = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(1000));
        let shown = pieces(&wide);
        assert_eq!(shown.len(), PARTS_MAX + 1);
        assert_eq!(shown[PARTS_MAX], note("more than 256 parts; the rest is not shown"));

        let deep: String = (0..1000)
            .map(|at| format!("Content-Type: multipart/mixed; boundary=b{at}\n\n--b{at}\n"))
            .collect();
        assert_eq!(pieces(&deep)[0], note("parts nested more than 16 deep are not shown"));
        let enclosed = "Content-Type: message/rfc822\n\n".repeat(1000);
        assert_eq!(pieces(&enclosed).len(), DEPTH_MAX + 2);
    }

    #[test]
    fn text_past_the_limit_is_counted_not_shown() {
        let shown = pieces(&format!("\n{}", "x".repeat(TEXT_BYTES_MAX + 7)));
        assert_eq!(shown[1], note("bytes of text that are not shown: 7"));
    }
}
