//! Messages as senders write them, well and badly, and what a reader gets to see of them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const PLAIN: RenderOptions = RenderOptions { width: Some(72), headers: Headers::Brief };

fn assert_safe(shown: &str) {
    let unsafe_character = shown.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(unsafe_character, None);
}

#[test]
fn a_summary_says_who_what_when_and_how_long() {
    let head = b"From mary Mon Nov  2 01:01:44 2026\nfrom: \"Mary =?utf-8?Q?M=C3=BCller?=\" <mary@example.org>\n\
        To: joe@example.org\nSubject: =?utf-8?B?Z3LDvMOfZQ==?=\n  again\nDate: Sun, 02 Oct 2016 07:06:22 -0700 (PDT)\n";
    let summary = Summary::read(head, 1234);
    assert_eq!(summary.subject, "grüße again");
    assert_eq!(summary.to, "joe@example.org");
    assert_eq!(summary.sent.map(Timestamp::as_second), Some(1_475_417_182));
    let no_space = Summary::read(b"Date: Sun,2 Oct 2016 07:06:22 -0700", 0);
    assert_eq!(no_space.sent, summary.sent);
    assert_eq!((summary.date.as_str(), summary.size), ("Sun, 02 Oct 2016 07:06:22 -0700 (PDT)", 1234));
    assert_eq!(summary.sender(), "Mary Müller");
}

#[test]
fn a_sender_without_a_name_is_an_address() {
    for (from, sender) in [
        ("<mary@example.org>", "mary@example.org"),
        ("mary@example.org (Mary)", "mary@example.org (Mary)"),
        ("\"\" <mary@example.org", "mary@example.org"),
        ("", ""),
    ] {
        assert_eq!(Summary::read(format!("From: {from}\n").as_bytes(), 0).sender(), sender);
    }
}

#[test]
fn impossible_dates_are_text_only() {
    for date in ["yesterday", "99 Foo 2020", "1 Jan 4294967295 99:99:99 -2400", "1 Jan 99999999999 1:1:1", ""]
    {
        let summary = Summary::read(format!("Date: {date}\n").as_bytes(), 0);
        assert_eq!((summary.date.as_str(), summary.sent), (date, None));
    }
}

const LETTER: &[u8] =
    b"From mary Mon Nov  2 01:01:44 2026\nReceived: by example.org\nFrom: Mary <mary@example.org>\n\
    To: joe@example.org\nSubject: Lunch\nDate: Mon, 2 Nov 2026 01:01:44 +0000\nMIME-Version: 1.0\n\
    Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; format=flowed\n\n\
    Shall we have lunch on Friday, at the place by the \nstation?\n> I said so \n> yesterday\n-- \nMary\n\
    --b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\
    Content-Disposition: attachment; filename=\"map\x1b.png\"\n\nAAAA\n--b--\n";

#[test]
fn a_letter_is_rendered_to_the_width() {
    let shown = render(LETTER, RenderOptions { width: Some(40), headers: Headers::Brief });
    let expected = "\
Date:    Mon, 2 Nov 2026 01:01:44 +0000
From:    Mary <mary@example.org>
To:      joe@example.org
Subject: Lunch

Shall we have lunch on Friday, at the
place by the station?
> I said so yesterday
--
Mary

Attachments:
  1. map␛.png (image/png, 3)
";
    assert_eq!(shown, expected);
}

#[test]
fn all_headers_are_shown_when_asked_for() {
    let shown = render(LETTER, RenderOptions { width: None, headers: Headers::All });
    assert!(shown.starts_with("Received: by example.org\nFrom: Mary"), "{shown}");
    assert!(shown.contains("\nContent-Type: multipart/mixed; boundary=b\n\nShall"), "{shown}");
}

#[test]
fn flowed_text_with_delsp_joins_without_the_space() {
    let shown =
        render(b"Content-Type: text/plain; format=flowed; delsp=yes\n\n\xe6\x97\xa5 \n\xe6\x9c\xac\n", PLAIN);
    assert_eq!(shown, "日本\n");
}

#[test]
fn wrapped_quotes_stay_quotes() {
    let shown = render(b"\n> > one two three four five", RenderOptions { width: Some(20), ..PLAIN });
    assert_eq!(shown, "> > one two three\n> > four five\n");
}

#[test]
fn html_alone_is_shown_as_text() {
    let shown =
        render(b"Content-Type: text/html\n\n<p>Hello<br><b>there</b></p>\x1b[31m<script>x</script>", PLAIN);
    assert_eq!(shown, "Hello\nthere\n\n␛[31m\n");
}

#[test]
fn an_empty_message_says_so() {
    for empty in ["", "\n", "From mary Mon Nov  2 01:01:44 2026\n\n \n"] {
        assert_eq!(render(empty.as_bytes(), PLAIN), "[no text in this message]\n");
    }
}

#[test]
fn a_message_with_carriage_returns_for_line_ends_is_read() {
    assert_eq!(render(b"Subject: old\r\rfirst\rsecond\r", PLAIN), "Subject: old\n\nfirst\nsecond\n");
}

#[test]
fn an_enclosed_message_has_its_header_shown() {
    let shown = render(b"Subject: out\nContent-Type: message/rfc822\n\nSubject: in\n\ninner\n", PLAIN);
    assert_eq!(shown, "Subject: out\n\n---- enclosed message ----\n\nSubject: in\n\ninner\n");
}

#[test]
#[allow(clippy::disallowed_methods)] // how long it really takes is what is shown
fn hostile_messages_are_shown_in_bounded_time() {
    let megabyte = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let multipart = |boundary: &str, body: &str| {
        format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n{body}").into_bytes()
    };
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        (
            "words that never end",
            format!("{}\n\nx", megabyte("Subject: =?x?=y =?x?=y =?x?=y\n =?x?=y\n")).into_bytes(),
        ),
        ("one field of a megabyte", format!("Subject:{}", megabyte(" =?x?=y")).into_bytes()),
        (
            "fields full of words",
            format!("{}\n", format!("X:{}\n", " =?x?=y".repeat(500)).repeat(300)).into_bytes(),
        ),
        ("parameters", format!("Content-Type: text/plain{}\n\n", megabyte("; a*0*=utf-8''x")).into_bytes()),
        ("boundaries of dashes", multipart(&"-".repeat(70), &megabyte("-"))),
        ("empty parts", multipart("b", &megabyte("--b\n"))),
        ("nested parts", megabyte("Content-Type: multipart/mixed; boundary=b\n\n--b\n").into_bytes()),
        ("nested messages", megabyte("Content-Type: message/rfc822\n\n").into_bytes()),
        ("one long line", format!("\n{}", megabyte("a b ")).into_bytes()),
        ("flowed", format!("Content-Type: text/plain; format=flowed\n\n{}", megabyte("> \n")).into_bytes()),
        ("deep quotes", format!("Content-Type: text/plain; format=flowed\n\n{}", megabyte(">")).into_bytes()),
        ("open tags", format!("Content-Type: text/html\n\n{}", megabyte("<a href=\"x")).into_bytes()),
        (
            "quotes and lists",
            format!("Content-Type: text/html\n\n{}", megabyte("<blockquote><p>x")).into_bytes(),
        ),
        ("marks", format!("\n{}", megabyte("\u{301}")).into_bytes()),
    ];
    for (what, message) in hostile {
        let begun = Instant::now();
        let shown = render(&message, RenderOptions { headers: Headers::All, ..PLAIN });
        let summary = Summary::read(&message, 0);
        let took = begun.elapsed();
        // A debug build on a busy machine; unbounded, most of these take minutes.
        assert!(took < Duration::from_secs(20), "{what}: {took:?}");
        assert!(shown.len() < 8 << 20, "{what}: {}", shown.len());
        assert!(summary.subject.len() < 3 * header::FIELD_BYTES_MAX, "{what}");
        assert_safe(&shown);
    }
}

/// Real mail, not part of this project: `../shared/mail`, or the folder `MAILCALL_TEST_MAIL` names.
#[test]
fn every_message_of_a_folder_of_real_mail_renders() {
    let folder = std::env::var_os("MAILCALL_TEST_MAIL")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/mail"), PathBuf::from);
    let mailboxes: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    let mut messages = 0;
    for mailbox in
        mailboxes.iter().filter(|path| path.extension().is_some_and(|extension| extension == "mbox"))
    {
        let bytes = std::fs::read(mailbox).unwrap_or_default();
        let starts: Vec<usize> = memchr::memmem::find_iter(&bytes, b"\nFrom ").map(|at| at + 1).collect();
        let ends = starts.iter().copied().chain([bytes.len()]);
        for (start, end) in [0].into_iter().chain(starts.iter().copied()).zip(ends) {
            let message = &bytes[start..end];
            for options in [PLAIN, RenderOptions { width: None, headers: Headers::All }] {
                let shown = render(message, options);
                assert!(!shown.trim().is_empty(), "{}: byte {start}: nothing shown", mailbox.display());
                assert_safe(&shown);
            }
            let summary = Summary::read(message, message.len() as u64);
            assert!(!summary.from.contains("=?utf-8?"), "{}: byte {start}: {summary:?}", mailbox.display());
            messages += 1;
        }
    }
    if messages == 0 {
        println!("SKIPPED (optional): no folder of real mail at {}", folder.display());
    }
}

/// Bytes that look enough like mail to reach every branch.
fn mail_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::sample::select(vec![
            "\n", "\r\n", "\r", " ", "\t", ":", ";", "--b", "--b--", "=?utf-8?Q?", "=?iso-2022-jp?B?", "?=", "=",
            "Subject: ", "From: ", "Date: 1 Jan 2026 1:1:1 +0000", "Content-Type: ", "multipart/mixed", "text/html",
            "multipart/alternative; boundary=b", "multipart/digest; boundary=\"b\"", "message/rfc822", "text/plain",
            "; charset=", "utf-16", "utf-7", "x-none", "; format=flowed", "; delsp=yes", "; name*0*=utf-8''%e2",
            "; name*1=\"x", "Content-Transfer-Encoding: ", "base64", "quoted-printable", "Content-Disposition: attachment",
            "; filename=", "<p>", "<a href='", "&#x80;", "<blockquote>", "> ", "\u{1b}[2J", "\u{202e}", "aGVsbG8=",
        ]).prop_map(|piece| piece.as_bytes().to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_bytes_can_be_shown(message in mail_like(), width in proptest::option::of(0_usize..120)) {
        let shown = render(&message, RenderOptions { width, headers: Headers::Brief });
        assert_safe(&shown);
        assert_safe(&render(&message, RenderOptions { width, headers: Headers::All }));
        let _ = Summary::read(&message, 0).sender();
    }

    #[test]
    fn a_header_cut_anywhere_has_a_summary(at in 0..LETTER.len()) {
        let summary = Summary::read(&LETTER[..at], LETTER.len() as u64);
        prop_assert!("Lunch".starts_with(summary.subject.as_str()));
    }
}
