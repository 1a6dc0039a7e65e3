//! What hosts make of a password, and that nothing of it is left.

use proptest::prelude::*;

use super::*;

const PASSWORD: &str = "Correct-horse-7";

fn masks(secrets: &[&str]) -> Masks {
    let masks = Masks::default();
    secrets.iter().for_each(|secret| masks.hide(secret));
    masks
}

/// Each character with this behind it.
fn each_with(behind: &str) -> String {
    PASSWORD.chars().map(|c| format!("{c}{behind}")).collect()
}

/// What a host may echo.
fn echoes() -> Vec<Vec<u8>> {
    let wrapped = |by: &str| format!("{}{by}{}", &PASSWORD[..6], &PASSWORD[6..]).into_bytes();
    vec![
        PASSWORD.into(),
        PASSWORD.to_uppercase().into(),
        PASSWORD.to_lowercase().into(),
        each_with("*").into(),
        each_with("\x08*").into(),
        each_with("\x08 \x08").into(),
        each_with(" ").into(),
        each_with("\x1b[0;1m").into(),
        PASSWORD.chars().flat_map(|c| [c, c]).collect::<String>().into(),
        wrapped(" \r"),
        wrapped("\r\n"),
        wrapped("\x1b[K\r\n\x1b[1C"),
        PASSWORD.bytes().map(|b| if b.count_ones() % 2 == 0 { b } else { b | 0x80 }).collect(),
        PASSWORD.replace('-', "\\-").into(),
    ]
}

/// Letters and digits alone, in small letters: what a reader would find a password by.
fn bare(text: &[u8]) -> String {
    let seven = text.iter().map(|byte| char::from(byte & 0x7f));
    seven.filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

fn streamed(pieces: &[&[u8]], masks: &Masks) -> Vec<u8> {
    let (mut pending, mut typed, mut shown) = (WipedQueue::default(), 0, Vec::new());
    for piece in pieces {
        pending.extend_from_slice(piece);
        shown.extend(masks.stream(&mut pending, &mut typed, false));
    }
    shown.extend(masks.stream(&mut pending, &mut typed, true));
    shown
}

#[test]
fn a_password_is_hidden_however_a_host_echoes_it_and_wherever_that_is_split() {
    let masks = masks(&[PASSWORD]);
    for echo in echoes() {
        let said = [b"mary has \"", &echo[..], b"\" here\r\n$ "].concat();
        for at in 0..said.len() {
            let shown = streamed(&[&said[..at], &said[at..]], &masks);
            let text = String::from_utf8_lossy(&shown);
            assert!(!bare(&shown).contains("horse"), "{text}");
            assert!(text.starts_with("mary has \"********") && text.ends_with("\" here\r\n$ "), "{text}");
        }
    }
}

#[test]
fn a_text_hides_it_as_well_and_keeps_the_rest() {
    let masks = masks(&[PASSWORD, "pässwörd"]);
    for echo in echoes().iter().filter_map(|echo| std::str::from_utf8(echo).ok()) {
        let shown = masks.text(&format!("ж <{echo}> é"));
        assert!(!bare(shown.as_bytes()).contains("horse") && shown.starts_with("ж <****"), "{shown}");
        assert!(shown.ends_with("> é"), "{shown}");
    }
    for echo in ["pässwörd", "PÄSSWÖRD", "pÃ¤sswÃ¶rd", "p ssw rd"] {
        assert_eq!(masks.text(&format!("<{echo}>")), "<********>");
    }
}

#[test]
fn what_stands_in_two_lines_or_was_cut_off_is_hidden_at_both_ends() {
    let masks = masks(&[PASSWORD]);
    assert_eq!(masks.text("you typed Correct-h"), "you typed ********");
    assert_eq!(masks.text("orse-7 is wrong"), "******** is wrong");
    assert_eq!(masks.text("you typed Cor"), "you typed Cor", "that little tells nothing");
    assert_eq!(masks.text("Correct- is all we look at"), "******** is all we look at");
    assert_eq!(streamed(&[b"you typed Correct-h"], &masks), b"you typed ********");
}

#[test]
fn a_secret_with_no_ascii_in_it_is_hidden_in_both_readings() {
    let masks = masks(&["пароль"]);
    assert_eq!(masks.text("<пароль>"), "<********>");
    assert_eq!(masks.text(&format!("<{}>", latin_1("пароль".as_bytes()))), "<********>");
}

#[test]
fn words_of_ours_are_left_alone_in_our_own_sentences_only() {
    let masks = masks(&["password", "hunter2"]);
    let ours = "check the account's user and password";
    assert_eq!(masks.message(ours), ours);
    assert_eq!(masks.message("the host said: hunter2"), "the host said: ********");
    assert_eq!(masks.text("PASSWORD: "), "********: ");
}

#[test]
fn a_short_one_is_hidden_where_it_was_typed() {
    let masks = masks(&["abc"]);
    let mut pending = WipedQueue::default();
    pending.extend_from_slice(b"abc\r\nabcdef\r\n");
    assert_eq!(masks.stream(&mut pending, &mut 3, true), b"********\r\nabcdef\r\n");
}

#[test]
fn keys_are_hidden_without_their_line_end() {
    let masks = Masks::default();
    masks.hide_keys(b"123456\r");
    masks.hide_keys(b"y\r");
    assert_eq!(masks.text("code 123456? y"), "code ********? y");
}

proptest! {
    /// What is not secret comes through whole, in however many pieces.
    #[test]
    fn nothing_is_lost_where_there_is_no_secret(text: Vec<u8>, at: prop::sample::Index) {
        let masks = masks(&["\u{7}\u{7}\u{7}\u{7}never"]);
        let at = if text.is_empty() { 0 } else { at.index(text.len()) };
        if !bare(&text).contains("neve") {
            prop_assert_eq!(streamed(&[&text[..at], &text[at..]], &masks), text);
        }
    }

    #[test]
    fn any_secret_is_hidden_in_any_text(secret in "[!-~]{4,20}", before in ".{0,20}", behind in ".{0,20}") {
        let masks = masks(&[&secret]);
        let shown = masks.text(&format!("{before}{secret}{behind}"));
        prop_assert!(!shown.contains(&secret) || MASK.contains(&secret), "{}", shown);
    }
}
