//! What hosts show on the way, in any charset and at any length.

use super::*;

fn around(banner: &[u8], news: &[u8]) -> Conversation<LoginEvent, LoginOutcome> {
    run([
        say(banner),
        say("\r\nhost login: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\n"),
        say(news),
        say("\r\nYou have mail.\r\nmary@host:~$ "),
    ])
}

#[test]
fn banners_and_news_of_any_charset_let_in() {
    let frame: Vec<u8> = [0xcd; 79].into_iter().chain(*b"\r\n").collect::<Vec<u8>>().repeat(4);
    let texts: &[&[u8]] = &[
        b"\xe4\xcf\xc2\xd2\xcf \xd0\xcf\xd6\xc1\xcc\xcf\xd7\xc1\xd4\xd8 \xd7 \xd3\xc9\xd3\xd4\xc5\xcd\xd5!\r\n", // KOI8-R
        b"\x84\xae\xa1\xe0\xae \xaf\xae\xa6\xa0\xab\xae\xa2\xa0\xe2\xec!\r\n", // code page 866
        b"\x83V\x83X\x83e\x83\x80\x82\xd6\x82\xe6\x82\xa4\x82\xb1\x82\xbb\r\n", // Shift JIS
        b"\x1b$B%7%9%F%`$X$h$&$3$=\x1b(B\r\n",                                       // ISO-2022-JP
        b"\xa5\xb7\xa5\xb9\xa5\xc6\xa5\xe0\xa4\xd8\xa4\xe8\xa4\xa6\xa4\xb3\xa4\xbd\r\n", // EUC-JP
        b"Bienvenue \xe0 l'universit\xe9\r\n",                                     // Latin-1
        b"Bienvenue \x85 l'universit\x82\r\n",                                     // code page 850
        "Willkommen, Καλώς ήρθατε, 欢迎\r\n".as_bytes(),
        b"\x0elqqqqqqk\r\nx Hello x\r\nmqqqqqqj\x0f\r\n", // DEC line drawing
        &frame,
    ];
    for text in texts {
        let log = around(text, text);
        let shown = text.escape_ascii();
        assert_eq!(sent(&log), LOGIN_KEYS, "{shown}");
        assert_eq!(logged_in(&log).look, PromptLook::Shell, "{shown}");
        assert!(!logged_in(&log).seven_bit && log.controls.is_empty(), "{shown}");
    }
}

#[test]
fn a_host_of_another_charset_that_waits_for_return_gets_it_and_no_break() {
    let banner = b"\r\n\xe4\xcf\xc2\xd2\xcf \xd0\xcf\xd6\xc1\xcc\xcf\xd7\xc1\xd4\xd8\r\n";
    let log = run([say(banner), hear("\r"), say("\r\nlogin: "), hear("mary\r"), say("mary\r\n$ ")]);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(log.controls, []);
}

#[test]
fn fortunes_that_end_like_prompts_fool_nobody() {
    for fortune in [
        "What is the magic word?\r\nPassword:\r\n",
        "login:\r\n\t-- a getty's last words\r\n",
        "Q: How many?\r\nA: Choose a number:\r\n1) one\r\n2) shell\r\n",
        "New password:\r\n",
        "Beware of him who says: login incorrect\r\n",
        "100%\r\n#\r\n$\r\n",
        "Press RETURN to be enlightened.\r\n",
        "Verification code:\r\n",
    ] {
        let log = around(b"", fortune.as_bytes());
        assert_eq!(sent(&log), LOGIN_KEYS, "{fortune:?}");
        assert_eq!(logged_in(&log).prompt, "mary@host:~$", "{fortune:?}");
    }
}

#[test]
fn a_long_text_is_read_to_its_end_on_a_slow_line() {
    let news =
        "All work and no play makes Jack a dull boy, and the text of the day a long one.\r\n".repeat(80);
    let quality = LineQuality { bps: Some(1_200), ..LineQuality::PERFECT };
    let log = run_as(
        mary(),
        quality,
        [say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("\r"), say(news), say("$ ")],
    );
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
}

#[test]
fn a_pager_with_many_pages_is_left_after_the_second() {
    let mut steps = vec![say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("\r")];
    for key in [" ", " ", "q"] {
        steps.extend([say("\r\nnews\r\n--More--(3%)"), hear(key)]);
    }
    let log = run(steps.iter().cloned().chain([say("\r\n$ ")]));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    // One that knows no `q` is read on.
    for key in [" ", "q", " "] {
        steps.extend([say("\r\nnews\r\n--More--(3%)"), hear(key)]);
    }
    let log = run(steps.into_iter().chain([say("\r\n$ ")]));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
}

#[test]
fn what_the_terminal_is_asked_is_answered_and_other_questions_harm_nothing() {
    let asks =
        "\x05\x1b[c\x1b[>c\x1b[=c\x1bZ\x1b[5n\x1b[6n\x1b[?6n\x1bP+q544e\x1b\\\x1b]11;?\x07\x1b[?u\x1b[18t";
    let log = around(b"", asks.as_bytes());
    let answers = "\x1b[?1;0c\x1b[?1;0c\x1b[0n\x1b[1;1R\x1b[1;1R";
    assert_eq!(sent(&log), format!("{LOGIN_KEYS}{answers}"));
    assert_eq!(logged_in(&log).prompt, "mary@host:~$");
}

#[test]
fn prompts_in_colours_with_titles_and_on_both_sides_are_shells() {
    for prompt in [
        "\x1b]0;mary@host\x07\x1b[1;32mmary@host\x1b[m:\x1b[34m~\x1b[m$ ",
        "\x1b]2;~\x1b\\\x1b[0m\x1b[27m\x1b[24m\x1b[J% \x1b[K\x1b[60C09:14\x1b[65D",
        "\x1b[38;5;39mmary\x1b[0m in \x1b[38;2;1;2;3m~\x1b[0m\r\n\x1b[1m❯\x1b[0m ",
        "\x1b[2J\x1b[H\x1b[24;1H# ",
    ] {
        let start = [say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("\r"), say("\r\n")];
        let log = run(start.into_iter().chain([say(prompt)]));
        assert_eq!(logged_in(&log).look, PromptLook::Shell, "{prompt:?}");
        assert_eq!(sent(&log), LOGIN_KEYS);
    }
}

#[test]
fn a_host_that_is_hungry_for_returns_gets_them() {
    let log = run([
        hear("\r"),
        hear("\r"),
        hear("\r"),
        say("\r\nPress <RETURN> for a login, please\r\n"),
        hear("\r"),
        say("\r\nlogin: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\n[Press RETURN]"),
        hear("\r"),
        say("\r\n$ "),
    ]);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
}
