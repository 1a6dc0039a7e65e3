//! Numbers as written, and what is dialled for them: a table a rule.

use super::*;

fn generic() -> Profile {
    Profile::builtin("generic").expect("generic is built in")
}

fn dialled(number: &str) -> Result<String, BadNumber> {
    dial_string(&generic(), &DialRules::default(), number)
}

fn from(location: Location, number: &str) -> Result<String, BadNumber> {
    dial_string(&generic(), &DialRules { location: Some(location), ..DialRules::default() }, number)
}

fn berlin() -> Location {
    Location { area: "30".into(), ..Location::in_country("49") }
}

#[test]
fn decoration_is_stripped_and_modifiers_are_kept() {
    assert_eq!(dialled("+1 (555) 12.1-2"), Ok("+15551212".into()));
    assert_eq!(dialled("0,W@!5551212#*$"), Ok("0,W@!5551212#*$".into()));
    assert_eq!(dialled("p 5551212"), Ok("P5551212".into()));
    assert_eq!(dialled("030/123-45"), Ok("03012345".into()));
    assert_eq!(dialled("9WW555A"), Ok("9WW555A".into()));
}

#[test]
fn what_would_be_another_command_is_refused() {
    for (number, character) in [
        ("555;H0", ';'),
        ("555\rATH0", '\r'),
        ("555\n", '\n'),
        ("555\0", '\0'),
        ("5=5", '='),
        ("55\u{a0}5", '\u{a0}'),
        ("=555;", ';'),
        ("=555\r", '\r'),
        ("555&F", '&'),
        ("5\u{664}5", '\u{664}'),
    ] {
        // The letters behind would be refused too, but not for what they are.
        let refused = dialled(number).expect_err(number);
        let shown = refused.to_string();
        assert!(
            matches!(&refused, BadNumber::Character { character: c, .. } if *c == character)
                || matches!(refused, BadNumber::Word { .. } | BadNumber::Letter { .. }),
            "{shown}"
        );
        assert!(!shown.contains(['\r', '\n', '\0']), "{shown}");
    }
}

#[test]
fn letters_are_what_a_modem_makes_of_them_and_words_are_refused_with_their_digits() {
    for (number, word, digits) in [
        ("1-800-FLOWERS", "FLOWERS", "3569377"),
        ("1-800-data", "data", "3282"),
        ("1 800 CAB", "CAB", "222"),
        ("555 1212 ext 3", "ext", "398"),
    ] {
        let refused = BadNumber::Word { number: number.into(), word: word.into(), digits: digits.into() };
        assert_eq!(dialled(number), Err(refused));
    }
    for (number, letter, says) in [
        ("L", 'L', "last number"),
        ("5551212R", 'R', "answer instead"),
        ("S=1", 'S', "stored"),
        ("555 1212 x34", 'x', "comma"),
        ("5551212i", 'i', "another kind"),
        ("555Q", 'Q', "only A to D"),
        ("=555L", 'L', "last number"),
    ] {
        match dialled(number) {
            Err(BadNumber::Letter { letter: found, why, .. }) => {
                assert!(found == letter && why.contains(says), "{number}: {why}");
            }
            other => panic!("{number}: {other:?}"),
        }
    }
}

#[test]
fn a_number_without_digits_is_refused() {
    for number in [" ()", "", "+", "=", "=,,", "W"] {
        assert_eq!(dialled(number), Err(BadNumber::Empty(number.into())));
    }
}

#[test]
fn an_international_number_is_dialled_as_the_place_demands() {
    let boston = || Location { area: "617".into(), area_always: true, ..Location::in_country("1") };
    for (place, number, expected) in [
        (berlin(), "+49 30 12345", "12345"),
        (berlin(), "+49 (0)30 12345", "12345"),
        (berlin(), " +49 (0)89 12345", "08912345"),
        (berlin(), "+1 (617) 555-1212", "0016175551212"),
        (berlin(), "+39 (0)6 12345", "00390612345"),
        (berlin(), "+44 (0)20 7946 0000", "00442079460000"),
        (berlin(), "+49 30 12345,,17", "12345,,17"),
        (berlin(), "030 12345", "03012345"), // as written
        (boston(), "+1 (617) 555-1212", "6175551212"),
        (boston(), "+1 212 555 1212", "12125551212"),
        (boston(), "+49 30 12345", "0114930 12345"),
    ] {
        assert_eq!(from(place, number), Ok(expected.replace(' ', "")), "{number}");
    }
}

#[test]
fn what_is_no_international_number_is_refused_with_the_right_way_to_write_it() {
    for (number, says) in [
        ("+49 030 12345", "write (0)"),
        ("+49 (030) 12345", "write (0)"),
        ("+0049 30 12345", "begins with 0"),
        ("+49", "only a country code"),
        ("0,+49 30 12345", "in front of everything"),
        ("0049 (0)30 12345", "for callers at home"),
    ] {
        match from(berlin(), number) {
            Err(BadNumber::International { why, .. }) => assert!(why.contains(says), "{number}: {why}"),
            other => panic!("{number}: {other:?}"),
        }
    }
}

#[test]
fn what_is_dialled_in_front_has_its_order_and_an_exact_number_has_none_of_it() {
    let location = Location { outside_line: "0,".into(), call_waiting: "*43#,".into(), ..berlin() };
    let rules = DialRules { location: Some(location), prefix: "0 10-13".into(), pulse: false };
    for (number, expected) in [
        ("+49 30 12345", "0,*43#,0101312345"),
        ("12345", "0,*43#,0101312345"),
        ("=12345", "12345"),
        ("=*99#", "*99#"),
        ("=+49 30-1", "+49 30-1"),
        ("=bbs.example.com:6400", "bbs.example.com:6400"),
    ] {
        assert_eq!(dial_string(&generic(), &rules, number), Ok(expected.into()), "{number}");
    }
    assert!(matches!(dialled("bbs.example.com"), Err(BadNumber::Word { .. })));
}

#[test]
fn a_profile_says_what_plus_means_without_a_place_and_whether_it_dials() {
    let rules = DialRules::default();
    let profile = Profile { international: "00".into(), ..generic() };
    assert_eq!(dial_string(&profile, &rules, "+49 (0)30 1"), Ok("0049301".into()));
    let none = Profile::builtin("none").expect("none is built in");
    assert_eq!(dial_string(&none, &rules, "1"), Err(BadNumber::NoDialling("none".into())));
}

#[test]
fn pulses_are_dialled_where_there_are_pulses() {
    let pulse = DialRules { pulse: true, ..DialRules::default() };
    let commands = |rules: &DialRules, number| dial_strings(&generic(), rules, number);
    assert_eq!(commands(&DialRules::default(), "555"), Ok(vec!["DT555".to_owned()]));
    assert_eq!(commands(&pulse, "555"), Ok(vec!["DP555".to_owned()]));
    assert_eq!(commands(&pulse, "555WT*1"), Ok(vec!["DP555WT*1".to_owned()]));
    let star = BadNumber::NoPulses { number: "*70,5".into(), character: '*' };
    assert_eq!(commands(&pulse, "*70,5"), Err(star));
    let gsm = Profile { dial: Some("D{number}".into()), name: "gsm".into(), ..generic() };
    assert_eq!(dial_strings(&gsm, &pulse, "5"), Err(BadNumber::NoPulseDialling("gsm".into())));
}

#[test]
fn a_number_beyond_the_command_line_goes_in_pieces_and_says_so() {
    let rules = DialRules::default();
    let whole = dial_strings(&generic(), &rules, &"5".repeat(38));
    assert_eq!(whole, Ok(vec![format!("DT{}", "5".repeat(38))]));
    let card = format!("1800{},,,,{}P17", "5".repeat(40), "6".repeat(40));
    let pieces = dial_strings(&generic(), &rules, &card).expect("a calling card");
    assert!(pieces.iter().all(|piece| piece.len() <= 40), "{pieces:?}");
    let (last, before) = pieces.split_last().expect("pieces");
    assert!(before.iter().all(|piece| piece.ends_with(';')) && !last.ends_with(';'), "{pieces:?}");
    let together: String = pieces.iter().map(|piece| piece[2..].trim_end_matches(';')).collect();
    assert_eq!(together, card);
    let too_long = "5".repeat(121);
    let refused = BadNumber::TooLong { number: too_long.clone(), max: 120 };
    assert_eq!(dial_strings(&generic(), &rules, &too_long), Err(refused));
}

#[test]
fn a_later_piece_goes_on_as_the_one_before_ended() {
    let number = format!("{}T{}", "5".repeat(20), "6".repeat(30));
    let pulse = DialRules { pulse: true, ..DialRules::default() };
    let pieces = dial_strings(&generic(), &pulse, &number).expect("two pieces");
    assert!(pieces[0].starts_with("DP") && pieces[1].starts_with("DT"), "{pieces:?}");
}

#[test]
fn where_a_semicolon_would_mean_a_voice_call_nothing_goes_in_pieces() {
    let gsm = Profile { dial: Some("D{number}".into()), ..generic() };
    let number = "5".repeat(40);
    let refused = BadNumber::TooLong { number: number.clone(), max: 39 };
    assert_eq!(dial_strings(&gsm, &DialRules::default(), &number), Err(refused));
    let host = format!("={}.example.com:6400", "x".repeat(30));
    let refused = BadNumber::TooLong { number: host.clone(), max: 38 };
    assert_eq!(dial_strings(&generic(), &DialRules::default(), &host), Err(refused), "nor a host's name");
}

#[test]
fn a_number_has_one_key_however_it_is_written() {
    let berlin = berlin();
    for number in ["+49 30 12345", "+49 (0)30/12345", "030 12345", "12345", "0049 30 123-45"] {
        assert_eq!(number_key(Some(&berlin), number), "+493012345", "{number}");
    }
    assert_eq!(number_key(None, "555 1212"), "5551212");
    assert_eq!(number_key(None, "+1 555 1212"), "+15551212");
    assert_eq!(number_key(Some(&berlin), "0,12345"), "012345");
    assert_eq!(number_key(Some(&berlin), "= *99 #"), "*99#");
    assert_eq!(number_key(None, "call me"), "callme");
}

#[test]
fn what_rings_the_same_telephone_has_the_same_key() {
    for number in [
        "5551212",
        "W5551212",
        "T5551212",
        "p555t1212",
        "555,1212",
        "5,551212",
        "5551212,",
        "5551212,,17",
        "5551212@18#",
        "5551212#",
        "*67 5551212",
        "*70,5551212",
        "#31#5551212",
        "*67 555,1212,,3",
        "#31#,5551212,,3",
        "*31*5551212",
        "!5551212",
        "=5551212",
        "=555.1212",
        "=W555-1212,,9",
    ] {
        assert_eq!(number_key(None, number), "5551212", "{number}");
    }
    let office = Location { outside_line: "0,".into(), ..berlin() };
    for place in [berlin(), office.clone()] {
        for number in ["+49 30 123456", "+49 30 123456,,17", "123456", "123456,,17", "*31#030 123456"] {
            assert_eq!(number_key(Some(&place), number), "+4930123456", "{number}");
        }
    }
    for exact in ["=030123456", "=0049 30 123456", "=+49 30 123456", "=123456"] {
        assert_eq!(number_key(Some(&berlin()), exact), "+4930123456", "{exact}");
    }
    for exact in ["=0,123456", "=0W030123456", "=+49 30 123456"] {
        assert_eq!(number_key(Some(&office), exact), "+4930123456", "{exact}");
    }
    assert_eq!(number_key(Some(&office), "=4711"), "=4711", "within the private exchange");
    assert_eq!(number_key(None, "=BBS.example.com:23"), "=bbs.example.com:23");
}

#[test]
fn digits_and_dots_are_no_host() {
    for (number, host) in [
        ("=bbs.example.com:23", true),
        ("=192.0.2.1", true),
        ("=192.0.2.1:23", true),
        ("=555.1212", false),
        ("=5551212.", false),
        ("5551212", false),
    ] {
        assert_eq!(is_host(number), host, "{number}");
    }
}

#[test]
fn a_prefix_is_made_of_what_can_be_dialled() {
    assert_eq!(check_prefix("*70,"), Ok(()));
    for bad in ["*70;", "+49", "L", "=9"] {
        assert!(check_prefix(bad).is_err(), "{bad}");
    }
}
