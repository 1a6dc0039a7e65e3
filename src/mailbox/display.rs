//! What a sender wrote, made safe and tidy for a terminal: nothing in it can move the cursor, change
//! the order of what is read, or run past the width it was given.
//!
//! Whatever came out of a message goes through here before a person sees it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthChar;

/// One line of text: line ends and tabs become spaces, control characters become visible.
pub fn safe_line(text: &str) -> String {
    let spaced = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c });
    let mut line = String::with_capacity(text.len());
    Cells::default().push_all(spaced, &mut line);
    line
}

/// Text of many lines: `\n` is the only control character left in it. CRLF and a lone CR end a line
/// as LF does, and tabs are filled up with spaces.
pub fn safe_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for line in text.replace("\r\n", "\n").split_inclusive(['\n', '\r']) {
        let content = line.strip_suffix(['\n', '\r']).unwrap_or(line);
        let mut cells = Cells::default();
        for c in content.chars() {
            if c == '\t' {
                let fill = TAB_COLUMNS - cells.column % TAB_COLUMNS;
                cells.push_all(std::iter::repeat_n(' ', fill), &mut safe);
            } else {
                cells.push(c, &mut safe);
            }
        }
        if content.len() < line.len() {
            safe.push('\n');
        }
    }
    safe
}

/// How many columns a safe line takes.
pub fn width(line: &str) -> usize {
    line.chars().map(columns_of).sum()
}

/// One safe line of at most `columns` columns; what was cut off shows as `…`.
pub fn cut(text: &str, columns: usize) -> String {
    let line = safe_line(text);
    if width(&line) <= columns {
        return line;
    }
    let mut taken = 0;
    let room = columns.saturating_sub(1);
    let mut short: String = line
        .chars()
        .take_while(|c| {
            taken += columns_of(*c);
            taken <= room
        })
        .collect();
    if columns > 0 {
        short.push('…');
    }
    short
}

/// As [`cut`], filled up with spaces on the right to exactly `columns`.
pub fn fit(text: &str, columns: usize) -> String {
    let mut cell = cut(text, columns);
    let fill = columns.saturating_sub(width(&cell));
    cell.extend(std::iter::repeat_n(' ', fill));
    cell
}

/// Breaks one safe line at spaces so that its lines fit into `columns`, and writes them, each with
/// `\n`, to `out`. All lines but the first begin with `indent`. A word that is too long by itself, an
/// address of a web page mostly, stays whole so that it can still be copied.
pub fn wrap(line: &str, columns: Option<usize>, indent: &str, out: &mut String) {
    let limit = columns.map_or(usize::MAX, |columns| columns.max(WRAP_COLUMNS_MIN));
    let mut column = 0;
    let mut gap = "";
    let mut fresh = true; // nothing but the indent stands on this line
    for (at, word) in words(line) {
        let word_columns = width(word);
        if !fresh && column + gap.len() + word_columns > limit {
            out.push('\n');
            out.push_str(indent);
            column = width(indent);
        } else {
            out.push_str(gap);
            column += gap.len();
        }
        out.push_str(word);
        column += word_columns;
        fresh = false;
        let behind = &line[at + word.len()..];
        gap = &behind[..behind.len() - behind.trim_start_matches(' ').len()];
    }
    out.push('\n');
}

/// A number of bytes in at most five columns: `532`, `1.2K`, `34M`.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut unit = 1_u64;
    for letter in ['K', 'M', 'G', 'T', 'P'] {
        unit <<= 10;
        let tenths = (bytes / unit) * 10 + (bytes % unit) * 10 / unit;
        if tenths < 100 {
            return format!("{}.{}{letter}", tenths / 10, tenths % 10);
        } else if tenths < 10_000 {
            return format!("{}{letter}", tenths / 10);
        }
    }
    format!("{}E", bytes >> 60)
}

/// The day of a message where its reader lives: `2026-11-01`, or nothing if it has no readable date.
pub fn day(sent: Option<Timestamp>, zone: &TimeZone) -> String {
    let day = sent.map(|sent| sent.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d").to_string());
    day.unwrap_or_default()
}

/// One message in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its place in the mailbox, counted from 1.
    pub number: u64,
    /// When it was written, as [`day`] gives it.
    pub date: &'a str,
    /// Who wrote it: a name, else an address.
    pub sender: &'a str,
    /// How long it is in bytes, headers and all.
    pub size: u64,
    /// What is known of it here: `new`, `here`, `deferred` ...
    pub state: &'a str,
    /// What it is about.
    pub subject: &'a str,
}

/// A row of the list, without its line end, at most `columns` wide.
pub fn list_row(row: &Row<'_>, columns: usize) -> String {
    table_row(&row.number.to_string(), row.date, row.sender, &size(row.size), row.state, row.subject, columns)
}

/// The heading of the list that [`list_row`] makes.
pub fn list_heading(columns: usize) -> String {
    table_row("No", "Date", "Sender", "Size", "State", "Subject", columns)
}

/// The narrower the terminal, the fewer columns: the date goes first, then the state, then the size.
fn table_row(
    number: &str,
    date: &str,
    sender: &str,
    size: &str,
    state: &str,
    subject: &str,
    columns: usize,
) -> String {
    let mut row = format!("{number:>NUMBER_COLUMNS$} ");
    if columns >= COLUMNS_FOR_DATE {
        row += &format!("{} ", fit(date, DATE_COLUMNS));
    }
    let sender_columns = (columns / 4).clamp(SENDER_COLUMNS.0, SENDER_COLUMNS.1);
    row += &format!("{} ", fit(sender, sender_columns));
    if columns >= COLUMNS_FOR_SIZE {
        row += &format!("{size:>SIZE_COLUMNS$} ");
    }
    if columns >= COLUMNS_FOR_STATE {
        row += &format!("{} ", fit(state, STATE_COLUMNS));
    }
    row += &cut(subject, columns.saturating_sub(width(&row)));
    cut(row.trim_end(), columns)
}

/// Words, each with the place where it begins. Spaces in front of the first belong to it: they are
/// the line's own indentation.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &line[at..];
        let lead = rest.len() - rest.trim_start_matches(' ').len();
        let start = if at == 0 { 0 } else { at + lead };
        let length = rest[lead..].find(' ').unwrap_or(rest.len() - lead);
        let end = at + lead + length;
        at = end;
        (length > 0).then(|| (start, &line[start..end]))
    })
}

/// Columns of a character that [`Cells`] let through.
fn columns_of(c: char) -> usize {
    c.width().unwrap_or(1)
}

/// Writes characters cell by cell and keeps count.
#[derive(Default)]
struct Cells {
    column: usize,
    marks: usize, // on the last cell, taking no room of their own
}

impl Cells {
    fn push_all(&mut self, chars: impl Iterator<Item = char>, out: &mut String) {
        chars.for_each(|c| self.push(c, out));
    }

    fn push(&mut self, c: char, out: &mut String) {
        let Some(c) = visible(c) else { return };
        let columns = columns_of(c);
        if columns > 0 {
            self.marks = 0;
        } else {
            self.marks += 1;
            if self.marks > MARKS_MAX {
                return;
            }
        }
        self.column += columns;
        out.push(c);
    }
}

/// What to show for a character; `None` if it shows nothing anyway.
fn visible(c: char) -> Option<char> {
    match c {
        // C0 and DEL have pictures of their own (Unicode, block Control Pictures).
        '\0'..='\u{1F}' => char::from_u32(0x2400 + u32::from(c)),
        '\u{7F}' => Some('\u{2421}'),
        // C1: U+009B is CSI to a terminal that listens to eight bits.
        '\u{80}'..='\u{9F}' => Some(char::REPLACEMENT_CHARACTER),
        // Line and paragraph separators, and what reorders text (Unicode UAX 9: embeddings,
        // overrides, isolates and the deprecated formatting characters behind them).
        '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{206F}' => Some(char::REPLACEMENT_CHARACTER),
        '\u{FFF9}'..='\u{FFFB}' => Some(char::REPLACEMENT_CHARACTER),
        // Soft hyphen, zero-width space, joiners of words, byte order mark, tags: nothing to see, and
        // terminals differ on whether they take a column.
        '\u{AD}' | '\u{34F}' | '\u{180E}' | '\u{200B}' | '\u{2060}'..='\u{2065}' => None,
        '\u{FEFF}' | '\u{E0000}'..='\u{E0FFF}' => None,
        other => Some(other),
    }
}

/// Columns between tab stops.
const TAB_COLUMNS: usize = 8;
/// Combining marks kept on one cell: more than any script stacks, few enough not to flood the screen.
const MARKS_MAX: usize = 8;
/// Text is not wrapped narrower than this, in columns.
const WRAP_COLUMNS_MIN: usize = 20;

// The list's columns.
const NUMBER_COLUMNS: usize = 4;
const DATE_COLUMNS: usize = 10;
const SENDER_COLUMNS: (usize, usize) = (8, 28);
const SIZE_COLUMNS: usize = 5;
const STATE_COLUMNS: usize = 8;
// How wide a terminal must be to show a column.
const COLUMNS_FOR_DATE: usize = 64;
const COLUMNS_FOR_STATE: usize = 48;
const COLUMNS_FOR_SIZE: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROW: Row<'_> = Row {
        number: 7,
        date: "2026-11-01",
        sender: "Mary",
        size: 1234,
        state: "new",
        subject: "Lunch on Friday, and the minutes of the last meeting",
    };

    #[test]
    fn escape_sequences_become_pictures() {
        assert_eq!(safe_line("a\x1b[2J\x07b\x7f"), "a␛[2J␇b␡");
        assert_eq!(safe_line("csi\u{9b}31m"), "csi\u{fffd}31m");
        assert_eq!(safe_line("one\r\ntwo\tthree\0"), "one  two three␀");
    }

    #[test]
    fn text_cannot_be_reordered_or_split() {
        assert_eq!(safe_line("exe.\u{202e}gpj\u{2066}x\u{2028}y"), "exe.\u{fffd}gpj\u{fffd}x\u{fffd}y");
    }

    #[test]
    fn what_scripts_and_emoji_need_stays() {
        for text in ["שלום", "日本語", "é", "👩\u{200d}🚀", "नमस्ते", "می\u{200c}خواهم"]
        {
            assert_eq!(safe_line(text), text);
        }
    }

    #[test]
    fn a_flood_of_marks_is_thinned() {
        let flood = format!("x{}y", "\u{301}".repeat(10_000));
        assert_eq!(safe_line(&flood).chars().count(), 2 + MARKS_MAX);
    }

    #[test]
    fn every_kind_of_line_end_is_one() {
        assert_eq!(safe_text("a\r\nb\rc\nd"), "a\nb\nc\nd");
        assert_eq!(safe_text("a\tb\n\tc\n"), "a       b\n        c\n");
    }

    #[test]
    fn cut_text_says_so_and_wide_characters_count_twice() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello", 4), "hel…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("日本語", 1), "…");
        assert_eq!(cut("hello", 0), "");
        assert_eq!(fit("日本", 6), "日本  ");
    }

    #[test]
    fn sizes_are_short() {
        let shown: Vec<String> =
            [0, 999, 1023, 1234, 10_239, 10_240, 1_048_576, 5 << 30, u64::MAX].map(size).to_vec();
        assert_eq!(shown, ["0", "999", "1023", "1.2K", "9.9K", "10K", "1.0M", "5.0G", "15E"]);
    }

    #[test]
    fn days_are_the_readers_own() {
        let sent = Timestamp::from_second(1_793_494_800).ok(); // 2026-11-01 01:00 UTC
        assert_eq!(day(sent, &TimeZone::UTC), "2026-11-01");
        assert_eq!(day(sent, &TimeZone::fixed(jiff::tz::offset(-5))), "2026-10-31");
        assert_eq!(day(None, &TimeZone::UTC), "");
    }

    #[test]
    fn rows_and_heading_line_up() {
        let table = format!("{}\n{}\n", list_heading(80), list_row(&ROW, 80));
        let expected = "  No Date       Sender                Size State    Subject\n   \
                        7 2026-11-01 Mary                  1.2K new      Lunch on Friday, and the mi…\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_narrow_terminal_loses_columns_but_never_the_subject() {
        for columns in 24..200 {
            let row = list_row(&ROW, columns);
            assert!(row.contains("Mary") && row.contains("Lunch"), "{columns}: {row}");
        }
    }

    #[test]
    fn wrapped_lines_are_indented_and_long_words_stay_whole() {
        let mut out = String::new();
        wrap("  one two three four five six", Some(20), "    ", &mut out);
        assert_eq!(out, "  one two three four\n    five six\n");
        out.clear();
        wrap("see https://example.org/a/very/long/path ok", Some(20), "", &mut out);
        assert_eq!(out, "see\nhttps://example.org/a/very/long/path\nok\n");
        out.clear();
        wrap("", Some(20), "  ", &mut out);
        assert_eq!(out, "\n");
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_a_row(text in any::<String>(), number: u64, size: u64, columns in 0_usize..300) {
            let row = Row { number, date: &text, sender: &text, size, state: &text, subject: &text };
            let shown = list_row(&row, columns);
            prop_assert!(width(&shown) <= columns);
            prop_assert!(!shown.chars().any(char::is_control));
        }

        #[test]
        fn no_text_keeps_a_control_character(bytes: Vec<u8>) {
            let text: String = bytes.iter().map(|b| *b as char).collect();
            prop_assert!(!safe_line(&text).chars().any(char::is_control));
            prop_assert!(!safe_text(&text).chars().any(|c| c.is_control() && c != '\n'));
        }

        #[test]
        fn wrapping_loses_no_word(line in "[ a-z日]{0,200}", columns in 0_usize..60) {
            let mut out = String::new();
            wrap(&line, Some(columns), "> ", &mut out);
            let unquoted = out.replace("\n> ", "\n");
            prop_assert_eq!(
                unquoted.split_whitespace().collect::<Vec<_>>(),
                line.split_whitespace().collect::<Vec<_>>()
            );
        }
    }
}
