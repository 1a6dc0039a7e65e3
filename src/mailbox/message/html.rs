//! HTML as plain text: tags away, blocks on lines of their own, links kept.
//!
//! One pass from front to back, so that no input takes longer than its length. It reads HTML as it
//! is mailed, not as it is specified: nothing that a sender writes is an error.

/// The text that a browser would show, near enough to read.
pub(super) fn to_text(html: &str) -> String {
    let mut page = Page::default();
    let mut rest = html;
    while !rest.is_empty() {
        let text_ends = rest.find(['<', '&']).unwrap_or(rest.len());
        page.push_text(&rest[..text_ends]);
        rest = &rest[text_ends..];
        if let Some(behind) = rest.strip_prefix("<!--") {
            rest = behind.find("-->").map_or("", |end| &behind[end + 3..]);
        } else if rest.starts_with('<') {
            let (tag, behind) = split_tag(rest);
            match tag {
                Some(tag) => rest = page.handle_tag(tag, behind),
                None => {
                    page.push_text(&rest[..rest.len() - behind.len()]);
                    rest = behind;
                }
            }
        } else if rest.starts_with('&') {
            let (c, length) = entity(rest);
            page.push_text(c.encode_utf8(&mut [0; 4]));
            rest = &rest[length..];
        }
    }
    page.text.truncate(page.text.trim_end().len());
    page.text
}

/// The text so far, and what is owed before the next word.
#[derive(Default)]
struct Page {
    text: String,
    newlines: usize,
    space: bool,
    preformatted: bool,
    quotes: usize,
    link: Option<Link>,
}

struct Link {
    address: String,
    text_from: usize,
}

impl Page {
    fn push_text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' if self.preformatted => self.newlines += 1,
                '\r' | '\n' => self.space = true,
                // A no-break space is a space to whoever reads lines.
                ' ' | '\t' | '\u{C}' | '\u{A0}' if !self.preformatted => self.space = true,
                other => self.push_char(other),
            }
        }
    }

    fn push_char(&mut self, c: char) {
        let begun = !self.text.is_empty();
        if begun && self.newlines > 0 {
            for _ in 0..self.newlines.min(NEWLINES_MAX) {
                self.text.push('\n');
            }
        }
        if !begun || self.newlines > 0 {
            self.text.extend(std::iter::repeat_n("> ", self.quotes.min(QUOTES_MAX)));
        } else if self.space {
            self.text.push(' ');
        }
        self.newlines = 0;
        self.space = false;
        self.text.push(c);
    }

    fn break_lines(&mut self, lines: usize) {
        self.newlines = self.newlines.max(lines);
    }

    /// Acts on a tag and returns where to read on.
    fn handle_tag<'a>(&mut self, tag: Tag<'_>, behind: &'a str) -> &'a str {
        let name = tag.name.to_ascii_lowercase();
        match name.as_str() {
            "script" | "style" | "title" | "template" if !tag.closing => return skip_element(&name, behind),
            "br" => self.newlines += 1,
            "hr" => {
                self.break_lines(1);
                self.push_text("----");
                self.break_lines(1);
            }
            "p" | "table" | "ul" | "ol" | "dl" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.break_lines(2)
            }
            "pre" => {
                self.break_lines(2);
                self.preformatted = !tag.closing;
            }
            "blockquote" => {
                self.break_lines(2);
                self.quotes = if tag.closing { self.quotes.saturating_sub(1) } else { self.quotes + 1 };
            }
            "li" if !tag.closing => {
                self.break_lines(1);
                self.push_text("* ");
            }
            "div" | "tr" | "li" | "dt" | "dd" | "body" | "section" | "article" | "header" | "footer"
            | "form" | "center" | "address" | "caption" => self.break_lines(1),
            "td" | "th" => self.space = true,
            "a" => {
                self.end_link();
                if let Some(address) = tag.attribute("href").filter(|_| !tag.closing) {
                    self.link = Some(Link { address, text_from: self.text.len() });
                }
            }
            "img" => {
                if let Some(alt) = tag.attribute("alt").filter(|alt| !alt.trim().is_empty()) {
                    self.push_text(&format!("[{}]", alt.trim()));
                }
            }
            _ => {} // a tag that changes no line
        }
        behind
    }

    /// Writes a link's address behind its text, unless the text says it already.
    fn end_link(&mut self) {
        let Some(link) = self.link.take() else { return };
        let text = self.text.get(link.text_from..).unwrap_or_default();
        let plain = link.address.trim_start_matches("mailto:");
        let readable =
            ["http://", "https://", "mailto:"].iter().any(|scheme| link.address.starts_with(scheme));
        if readable && !text.trim().is_empty() && !text.contains(plain) {
            self.space = true;
            self.push_text(&format!("<{plain}>"));
        }
    }
}

struct Tag<'a> {
    name: &'a str,
    closing: bool,
    attributes: &'a str,
}

impl Tag<'_> {
    /// The value of the first attribute of that name, its entities read.
    fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
            let ends = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
            let (found, behind) = rest.split_at(ends);
            if found.is_empty() && behind.is_empty() {
                return None;
            }
            let Some(value) = behind.trim_start().strip_prefix('=').map(str::trim_start) else {
                rest = behind;
                continue;
            };
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            let (value, behind) = match quote {
                Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
                None => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
            };
            if found.eq_ignore_ascii_case(name) {
                return Some(read_entities(value));
            }
            rest = behind;
        }
    }
}

/// Splits at the end of the tag that `text` begins with. Without a tag (`a < b`, or no `>` to end
/// it), what comes before the returned rest is text.
fn split_tag(text: &str) -> (Option<Tag<'_>>, &str) {
    let inside = &text[1..];
    let closing = inside.starts_with('/');
    let inside = if closing { &inside[1..] } else { inside };
    if !inside.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '!' | '?')) {
        return (None, &text[1..]);
    }
    let mut quote = None;
    let mut value_follows = false; // a quote opens a value only behind `=`
    for (at, byte) in inside.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) => {
                if byte == open {
                    quote = None;
                }
            }
            (None, b'>') => {
                let (tag, behind) = (&inside[..at], &inside[at + 1..]);
                let ends = tag.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(tag.len());
                return (Some(Tag { name: &tag[..ends], closing, attributes: &tag[ends..] }), behind);
            }
            (None, b'"' | b'\'') if value_follows => quote = Some(byte),
            (None, _) => {}
        }
        value_follows = byte == b'=' || (value_follows && byte.is_ascii_whitespace());
    }
    (None, "")
}

/// Skips to behind the closing tag's name; an element that is never closed goes on to the end, as in
/// a browser.
fn skip_element<'a>(name: &str, text: &'a str) -> &'a str {
    let mut from = 0;
    while let Some(at) = text[from..].find("</").map(|at| from + at) {
        from = at + 2;
        if text.as_bytes()[from..]
            .get(..name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
        {
            return &text[at..];
        }
    }
    ""
}

fn read_entities(text: &str) -> String {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        read.push_str(&rest[..at]);
        let (c, length) = entity(&rest[at..]);
        read.push(c);
        rest = &rest[at + length..];
    }
    read + rest
}

/// The character that a text beginning with `&` stands for, and how many bytes say so.
fn entity(text: &str) -> (char, usize) {
    let body = &text.as_bytes()[1..];
    let length =
        body.iter().take(ENTITY_BYTES_MAX).take_while(|b| b.is_ascii_alphanumeric() || **b == b'#').count();
    let name = &text[1..=length];
    let c = match name.strip_prefix('#') {
        Some(number) => numeric(number),
        None => NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| *c),
    };
    match c {
        Some(c) => (c, 1 + length + usize::from(body.get(length) == Some(&b';'))),
        None => ('&', 1),
    }
}

fn numeric(number: &str) -> Option<char> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    match u8::try_from(code) {
        // Numbers in the C1 range mean windows-1252 (HTML, "numeric character reference end state").
        Ok(byte @ 0x80..=0x9F) => encoding_rs::WINDOWS_1252.decode(&[byte]).0.chars().next(),
        Ok(_) | Err(_) => char::from_u32(code),
    }
}

/// Line ends in a row that are kept.
const NEWLINES_MAX: usize = 2;
/// Quotation marks in front of a line.
const QUOTES_MAX: usize = 8;
/// The longest name of a character that is looked up, in bytes.
const ENTITY_BYTES_MAX: usize = 10;

#[rustfmt::skip]
const NAMED: &[(&str, char)] = &[
    ("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\''), ("nbsp", '\u{A0}'),
    ("hellip", '…'), ("ndash", '–'), ("mdash", '—'), ("lsquo", '‘'), ("rsquo", '’'), ("ldquo", '“'),
    ("rdquo", '”'), ("sbquo", '‚'), ("bdquo", '„'), ("laquo", '«'), ("raquo", '»'), ("lsaquo", '‹'),
    ("rsaquo", '›'), ("bull", '•'), ("middot", '·'), ("copy", '©'), ("reg", '®'), ("trade", '™'),
    ("euro", '€'), ("pound", '£'), ("yen", '¥'), ("cent", '¢'), ("sect", '§'), ("para", '¶'),
    ("deg", '°'), ("plusmn", '±'), ("times", '×'), ("divide", '÷'), ("micro", 'µ'), ("frac12", '½'),
    ("frac14", '¼'), ("frac34", '¾'), ("sup2", '²'), ("sup3", '³'), ("ordf", 'ª'), ("ordm", 'º'),
    ("iexcl", '¡'), ("iquest", '¿'), ("larr", '←'), ("rarr", '→'), ("uarr", '↑'), ("darr", '↓'),
    ("shy", '\u{AD}'), ("zwnj", '\u{200C}'), ("zwj", '\u{200D}'), ("ensp", ' '), ("emsp", ' '), ("thinsp", ' '),
    ("agrave", 'à'), ("aacute", 'á'), ("acirc", 'â'), ("atilde", 'ã'), ("auml", 'ä'), ("aring", 'å'),
    ("aelig", 'æ'), ("ccedil", 'ç'), ("egrave", 'è'), ("eacute", 'é'), ("ecirc", 'ê'), ("euml", 'ë'),
    ("igrave", 'ì'), ("iacute", 'í'), ("icirc", 'î'), ("iuml", 'ï'), ("ntilde", 'ñ'), ("ograve", 'ò'),
    ("oacute", 'ó'), ("ocirc", 'ô'), ("otilde", 'õ'), ("ouml", 'ö'), ("oslash", 'ø'), ("oelig", 'œ'),
    ("ugrave", 'ù'), ("uacute", 'ú'), ("ucirc", 'û'), ("uuml", 'ü'), ("yacute", 'ý'), ("szlig", 'ß'),
    ("Agrave", 'À'), ("Aacute", 'Á'), ("Acirc", 'Â'), ("Atilde", 'Ã'), ("Auml", 'Ä'), ("Aring", 'Å'),
    ("AElig", 'Æ'), ("Ccedil", 'Ç'), ("Egrave", 'È'), ("Eacute", 'É'), ("Ecirc", 'Ê'), ("Iacute", 'Í'),
    ("Ntilde", 'Ñ'), ("Oacute", 'Ó'), ("Ocirc", 'Ô'), ("Ouml", 'Ö'), ("Oslash", 'Ø'), ("Uacute", 'Ú'),
    ("Uuml", 'Ü'), ("yuml", 'ÿ'), ("eth", 'ð'), ("thorn", 'þ'), ("not", '¬'), ("brvbar", '¦'),
];

#[cfg(test)]
mod tests {
    use super::to_text;
    use proptest::prelude::*;

    #[test]
    fn blocks_stand_on_lines_of_their_own() {
        let html = "<html><head><title>x</title><style>p {}</style></head><body><p>One\n two</p><P>Three<br>four</P>\
                    <div>five</div><ul><li>six<li>seven</ul><table><tr><td>a</td><td>b</td></tr></table></body>";
        assert_eq!(to_text(html), "One two\n\nThree\nfour\n\nfive\n\n* six\n* seven\n\na b");
    }

    #[test]
    fn scripts_and_comments_are_not_text() {
        assert_eq!(to_text("a<script>if (a<b) alert('</p>')</SCRIPT >b<!-- <b>c --> d"), "ab d");
        assert_eq!(to_text("a<style>never closed"), "a");
    }

    #[test]
    fn entities_become_characters() {
        assert_eq!(
            to_text("&lt;b&gt; &amp;amp; caf&eacute; &#8364;&#x20AC;&#128; &bogus; AT&T &"),
            "<b> &amp; café €€€ &bogus; AT&T &"
        );
        assert_eq!(to_text("&#xFFFFFFFFFF; &#55296;"), "&#xFFFFFFFFFF; &#55296;");
    }

    #[test]
    fn links_keep_their_address() {
        assert_eq!(
            to_text(
                "<a href='https://example.org/?a=1&amp;b=2'>click here</a>, <a href=http://x.org>http://x.org</a>"
            ),
            "click here <https://example.org/?a=1&b=2>, http://x.org"
        );
        assert_eq!(to_text("<a href=\"javascript:x()\">no</a> <img alt='a > b' src=x>"), "no [a > b]");
    }

    #[test]
    fn what_is_no_tag_is_text() {
        assert_eq!(to_text("1 < 2 and <3 and a <b"), "1 < 2 and <3 and a <b");
        assert_eq!(to_text("<>&<"), "<>&<");
    }

    #[test]
    fn quotes_and_preformatted_text_keep_their_shape() {
        assert_eq!(to_text("<blockquote>said<br>so</blockquote>yes"), "> said\n> so\n\nyes");
        assert_eq!(to_text("<pre>a  b\n  c</pre>"), "a  b\n  c");
    }

    #[test]
    fn a_megabyte_of_broken_tags_takes_no_time_to_speak_of() {
        for piece in ["<a \"", "<a href=\"", "<!--", "<", "&", "<script>", "<blockquote>", "</"] {
            let text = to_text(&piece.repeat((1 << 20) / piece.len()));
            assert!(text.len() <= 2 << 20, "{piece}: {}", text.len());
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(html in "([<>&;!/='\" a-z\\-#é\n]|<a |</|<!--|&#x|<pre>|<li>){0,80}") {
            to_text(&html);
        }
    }
}
