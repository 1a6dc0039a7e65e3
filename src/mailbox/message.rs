//! Reading one message: a summary for a list, and the whole of it as text for a terminal.
//!
//! Nothing that a sender writes makes reading fail, take long or take much memory: fields, parts,
//! nesting and text have limits, and what cannot be read is shown as far as it goes and said so.
//! [`render`] gives text that is safe to print; the texts of a [`Summary`] are as the sender wrote
//! them and go through [`display`] before a person sees them.

mod base64;
mod header;
mod html;
mod mime;

use std::borrow::Cow;

use jiff::Timestamp;

use super::display;
use header::{Field, find, split};
use mime::{DelSp, Piece, Text, take_apart};

/// What a list says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The From field, decoded; empty if there is none, as with the others.
    pub from: String,
    /// The To field.
    pub to: String,
    /// The Subject field.
    pub subject: String,
    /// The Date field as it was written.
    pub date: String,
    /// The moment the Date field names, if it can be read.
    pub sent: Option<Timestamp>,
    /// The size of the whole message in bytes.
    pub size: u64,
}

impl Summary {
    /// Reads a header; `head` may be cut anywhere and may have the From_ line in front and the body
    /// behind. `size` is that of the whole message.
    pub fn read(head: &[u8], size: u64) -> Self {
        let (fields, _) = split(head);
        let value = |name| find(&fields, name).map(Field::value).unwrap_or_default();
        let date = value("Date");
        Self {
            from: value("From"),
            to: value("To"),
            subject: value("Subject"),
            sent: moment(&date),
            date,
            size,
        }
    }

    /// Who wrote it, short: the name in the From field, else the address.
    pub fn sender(&self) -> &str {
        let Some((name, address)) = self.from.split_once('<') else {
            return self.from.trim();
        };
        let name = name.trim().trim_matches(['"', '\'']).trim();
        if name.is_empty() { address.split('>').next().unwrap_or_default().trim() } else { name }
    }
}

/// The fields of these names as a header has them, unfolded and undecoded; empty where there is none.
pub fn raw_fields<const N: usize>(head: &[u8], names: [&str; N]) -> [Vec<u8>; N] {
    let (fields, _) = split(head);
    names.map(|name| find(&fields, name).map(|field| field.raw().to_vec()).unwrap_or_default())
}

/// The moment that a Date field names. mailparse wants a space behind the day's name, and says 0 for
/// a field that ends before its year.
fn moment(date: &str) -> Option<Timestamp> {
    let seconds = mailparse::dateparse(&date.replace(',', " ")).ok().filter(|seconds| *seconds != 0)?;
    Timestamp::from_second(seconds).ok()
}

/// How [`render`] shows a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// Wrap lines at this many columns; `None` leaves them as long as they are.
    pub width: Option<usize>,
    /// Which header fields are shown.
    pub headers: Headers,
}

/// Which header fields are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headers {
    /// Date, From, To, Cc and Subject.
    Brief,
    /// All of them, in the order they came.
    All,
}

/// The message as text: header, text, and a list of what is attached. `raw` is the message as it
/// stands in a Maildir; a From_ line in front of it is left out.
///
/// The only control character in what is returned is `\n`.
pub fn render(raw: &[u8], options: RenderOptions) -> String {
    let raw = with_line_feeds(raw);
    let (fields, pieces) = take_apart(&raw);
    let mut page = Page { out: String::new(), width: options.width };
    page.push_header(&fields, options.headers);
    let body_from = page.out.len();

    let mut attachments = Vec::new();
    for piece in &pieces {
        match piece {
            Piece::Text(text) => page.push_text(text),
            Piece::Note(note) => page.push_block(&format!("[{note}]")),
            Piece::Enclosed(fields) => {
                page.push_block("---- enclosed message ----");
                page.push_header(fields, Headers::Brief);
            }
            Piece::Attachment { name, kind, size } => {
                attachments.push(format!("{name} ({kind}, {})", display::size(*size)));
            }
        }
    }
    if !attachments.is_empty() {
        page.push_block("Attachments:");
        for (number, attachment) in (1..).zip(&attachments) {
            page.push_line(&format!("  {number}. {attachment}"), "     ");
        }
    } else if page.out.len() == body_from {
        page.push_block("[no text in this message]");
    }
    page.out
}

/// The text so far; blocks in it are parted by one empty line.
struct Page {
    out: String,
    width: Option<usize>,
}

impl Page {
    fn push_header(&mut self, fields: &[Field], headers: Headers) {
        self.part();
        match headers {
            Headers::Brief => {
                for name in BRIEF {
                    if let Some(field) = find(fields, name) {
                        self.push_line(&format!("{:<9}{}", format!("{name}:"), field.value()), "         ");
                    }
                }
            }
            Headers::All => {
                for field in fields {
                    self.push_line(&format!("{}: {}", field.name, field.value()), "    ");
                }
            }
        }
    }

    fn push_text(&mut self, text: &Text) {
        let safe = display::safe_text(&text.text);
        let body = safe.trim_end().trim_start_matches('\n');
        if body.is_empty() {
            return;
        }
        self.part();
        match text.flowed {
            Some(del_sp) => self.push_flowed(body, del_sp),
            None => body.lines().for_each(|line| self.push_line(line.trim_end(), quote_of(line))),
        }
    }

    /// RFC 3676: a line that ends in a space flows on into the next of the same quote depth.
    fn push_flowed(&mut self, body: &str, del_sp: DelSp) {
        let mut paragraph: Option<(usize, String)> = None;
        for line in body.lines() {
            let depth = line.bytes().take_while(|byte| *byte == b'>').count();
            let content = line[depth..].strip_prefix(' ').unwrap_or(&line[depth..]);
            let signature = content == "-- ";
            if let Some((open_depth, text)) = paragraph.take() {
                if open_depth == depth && !signature {
                    paragraph = Some((depth, text + content));
                } else {
                    self.push_paragraph(open_depth, &text);
                }
            }
            let (_, text) = paragraph.get_or_insert((depth, content.to_owned()));
            let flows_on = content.ends_with(' ') && !signature;
            if flows_on && del_sp == DelSp::Yes {
                text.pop();
            }
            if !flows_on && let Some((depth, text)) = paragraph.take() {
                self.push_paragraph(depth, &text);
            }
        }
        if let Some((depth, text)) = paragraph {
            self.push_paragraph(depth, &text);
        }
    }

    fn push_paragraph(&mut self, depth: usize, text: &str) {
        let quote = if depth == 0 { String::new() } else { ">".repeat(depth.min(QUOTES_MAX)) + " " };
        self.push_line(format!("{quote}{}", text.trim_end()).trim_end(), &quote);
    }

    fn push_block(&mut self, line: &str) {
        self.part();
        self.push_line(line, "");
    }

    fn part(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn push_line(&mut self, line: &str, indent: &str) {
        display::wrap(&display::safe_line(line), self.width, indent, &mut self.out);
    }
}

/// The quotation marks at the front of a line, so that its wrapped rest has them too.
fn quote_of(line: &str) -> &str {
    let marks = line.len() - line.trim_start_matches(['>', ' ']).len();
    if line.starts_with('>') { &line[..marks.min(2 * QUOTES_MAX)] } else { "" }
}

/// A message whose lines all end in a lone CR (an old Macintosh file) with LF in their place.
fn with_line_feeds(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\n', raw).is_some() {
        return raw.into();
    }
    raw.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect::<Vec<_>>().into()
}

/// The fields that a reader wants to see, in the order they are shown.
const BRIEF: [&str; 5] = ["Date", "From", "To", "Cc", "Subject"];
/// Quotation marks repeated in front of a line.
const QUOTES_MAX: usize = 8;

#[cfg(test)]
mod tests;
