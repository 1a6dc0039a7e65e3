//! Known answers of the codec and of the table of options, cut at every byte; and any bytes at all.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::option::{BINARY, ECHO, NAWS, SGA, TERMINAL_TYPE};
use super::*;

/// What was read: data that stands together is one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Data(Vec<u8>),
    Item(Item),
}

fn data(bytes: &[u8]) -> Piece {
    Piece::Data(bytes.to_vec())
}

fn negotiate(verb: Verb, option: u8) -> Piece {
    Piece::Item(Item::Negotiate(verb, option))
}

fn sub(option: u8, parameters: &[u8]) -> Piece {
    Piece::Item(Item::Subnegotiation { option, parameters: parameters.to_vec() })
}

/// Reads `chunks` as a client would that lets the peer switch to BINARY and back.
fn read(decoder: &mut Decoder, chunks: &[&[u8]]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for mut bytes in chunks.iter().copied() {
        while !bytes.is_empty() {
            let mut data = Vec::new();
            let (taken, item) = decoder.decode(bytes, &mut data);
            assert!(taken > 0 && taken <= bytes.len() && data.len() <= taken);
            assert!(item.is_some() || taken == bytes.len());
            bytes = &bytes[taken..];
            match pieces.last_mut() {
                Some(Piece::Data(before)) => before.extend_from_slice(&data),
                Some(Piece::Item(_)) | None if data.is_empty() => {}
                Some(Piece::Item(_)) | None => pieces.push(Piece::Data(data)),
            }
            match item {
                Some(Item::Negotiate(Verb::Will, BINARY)) => decoder.set_mode(Mode::Binary),
                Some(Item::Negotiate(Verb::Wont, BINARY)) => decoder.set_mode(Mode::Nvt),
                Some(_) | None => {}
            }
            pieces.extend(item.map(Piece::Item));
        }
    }
    pieces
}

/// The same however it is cut: at every byte, and into single bytes.
fn reads_as(bytes: &[u8], expected: &[Piece]) {
    assert_eq!(read(&mut Decoder::default(), &[bytes]), expected);
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(read(&mut Decoder::default(), &[first, second]), expected, "cut at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&mut Decoder::default(), &single), expected);
}

#[test]
fn data_and_commands_are_told_apart() {
    reads_as(b"login: ", &[data(b"login: ")]);
    reads_as(b"a\xff\xffb", &[data(b"a\xffb")]);
    reads_as(b"\xff\xff\xff\xff", &[data(b"\xff\xff")]);
    let nop = Piece::Item(Item::Command(Command::NOP));
    let mark = Piece::Item(Item::Command(Command::DM));
    reads_as(b"a\xff\xf1b\xff\xf2", &[data(b"a"), nop, data(b"b"), mark]);
    reads_as(
        b"\xff\xfd\x18\xff\xfb\x01x",
        &[negotiate(Verb::Do, 24), negotiate(Verb::Will, ECHO), data(b"x")],
    );
    // Option 255 is a code like any other.
    reads_as(b"\xff\xfd\xff.", &[negotiate(Verb::Do, 255), data(b".")]);
    // A command that no standard has says nothing, and is no data either.
    reads_as(b"a\xff\x07b", &[data(b"a"), Piece::Item(Item::Command(Command(7))), data(b"b")]);
}

#[test]
fn an_nvt_parts_a_cr_from_its_nul_and_keeps_new_lines() {
    reads_as(b"a\r\nb", &[data(b"a\r\nb")]);
    reads_as(b"a\r\0b", &[data(b"a\rb")]);
    reads_as(b"\r\0\n", &[data(b"\r\n")]);
    reads_as(b"\r\r\0\0", &[data(b"\r\r\0")]);
    reads_as(b"\0a\n\0", &[data(b"\0a\n\0")]);
    // Some servers send a bare CR; it stays one.
    reads_as(b"50%\r60%", &[data(b"50%\r60%")]);
    reads_as(b"\r\xff\xff\0", &[data(b"\r\xff\0")]);
    // A command in between does not make the NUL data.
    reads_as(b"\r\xff\xf1\0a", &[data(b"\r"), Piece::Item(Item::Command(Command::NOP)), data(b"a")]);
}

#[test]
fn binary_holds_from_the_very_command_on() {
    let on = negotiate(Verb::Will, BINARY);
    let off = negotiate(Verb::Wont, BINARY);
    reads_as(
        b"\r\0\xff\xfb\0\r\0\xff\xff\xff\xfc\0\r\0",
        &[data(b"\r"), on.clone(), data(b"\r\0\xff"), off.clone(), data(b"\r")],
    );
    // A CR in front of the switch has no claim to a NUL behind it.
    reads_as(b"\r\xff\xfb\0\0", &[data(b"\r"), on.clone(), data(b"\0")]);
    reads_as(b"\xff\xfb\0\r\xff\xfc\0\0", &[on, data(b"\r"), off, data(b"\0")]);
}

#[test]
fn a_subnegotiation_is_read_with_its_iac_single() {
    // RFC 1091: IAC SB TERMINAL-TYPE SEND IAC SE.
    reads_as(b"\xff\xfa\x18\x01\xff\xf0", &[sub(TERMINAL_TYPE, &[1])]);
    // RFC 1073: 255 columns are doubled.
    reads_as(b"\xff\xfa\x1f\0\xff\xff\0\x18\xff\xf0", &[sub(NAWS, &[0, 255, 0, 24])]);
    reads_as(b"\xff\xfa\x1f\xff\xff\xf0\xff\xf0.", &[sub(NAWS, &[255, 240]), data(b".")]);
    reads_as(b"\xff\xfa\x18\xff\xf0", &[sub(TERMINAL_TYPE, &[])]);
    // CR and NUL mean nothing there.
    reads_as(b"\r\xff\xfa\x18\r\0\xff\xf0\0", &[data(b"\r"), sub(TERMINAL_TYPE, b"\r\0")]);
}

#[test]
fn a_broken_subnegotiation_is_left_out_and_what_follows_is_read() {
    // Its end was forgotten.
    reads_as(b"\xff\xfa\x18\x01\xff\xfd\x1fa", &[negotiate(Verb::Do, NAWS), data(b"a")]);
    reads_as(b"\xff\xfa\x18\x01\xff\xfa\x18\x01\xff\xf0", &[sub(TERMINAL_TYPE, &[1])]);
    // Nothing in it, and an end of nothing.
    reads_as(b"a\xff\xfa\xff\xf0b", &[data(b"ab")]);
    reads_as(b"a\xff\xf0b", &[data(b"ab")]);
    let mut decoder = Decoder::default();
    read(&mut decoder, &[b"\xff\xfa\x18\xff\xf1\xff\xfa\xff\xf0\xff\xf0"]);
    assert_eq!(decoder.malformed(), 3);
}

#[test]
fn a_subnegotiation_is_held_up_to_its_limit() {
    for (length, whole) in [(PARAMETERS_MAX, true), (PARAMETERS_MAX + 1, false), (1 << 20, false)] {
        let parameters = vec![7; length];
        let mut bytes = [b"\xff\xfa\x18", &parameters[..], b"\xff\xf0."].concat();
        let mut decoder = Decoder::default();
        let pieces = read(&mut decoder, &[&bytes]);
        let expected = if whole { vec![sub(24, &parameters), data(b".")] } else { vec![data(b".")] };
        assert_eq!(pieces, expected, "{length}");
        assert_eq!(decoder.malformed(), u64::from(!whole));
        assert!(decoder.parameters.capacity() <= 4 * PARAMETERS_MAX);
        bytes.clear();
    }
}

#[test]
fn data_is_written_as_each_mode_has_it() {
    let bytes = b"a\r\n\r\0\xffb\r";
    let written = |mode| {
        let mut out = Vec::new();
        encode_data(mode, bytes, &mut out);
        out
    };
    assert_eq!(written(Mode::Nvt), b"a\r\0\n\r\0\0\xff\xffb\r\0");
    assert_eq!(written(Mode::Binary), b"a\r\n\r\0\xff\xffb\r");
}

#[test]
fn items_are_written_as_the_standards_show_them() {
    let written = |item: Item| {
        let mut out = Vec::new();
        item.encode(&mut out);
        out
    };
    assert_eq!(written(Item::Command(Command::BRK)), [255, 243]);
    assert_eq!(written(Item::Negotiate(Verb::Dont, SGA)), [255, 254, 3]);
    let size = Item::Subnegotiation { option: NAWS, parameters: vec![0, 255, 0, 24] };
    assert_eq!(written(size), [255, 250, 31, 0, 255, 255, 0, 24, 255, 240]);
}

fn hear(options: &mut Options, verb: Verb, option: u8) -> (Option<(Verb, u8)>, bool) {
    let before = [Side::Us, Side::Him].map(|side| options.is_on(side, option));
    let reply = options.hear(verb, option);
    let after = [Side::Us, Side::Him].map(|side| options.is_on(side, option));
    // The change told is the change made.
    assert_eq!(reply.change.is_some(), before != after);
    (reply.send, matches!(verb, Verb::Will | Verb::Wont).then_some(after[1]).unwrap_or(after[0]))
}

#[test]
fn what_is_refused_is_refused_and_what_is_allowed_is_agreed_to_once() {
    let mut options = Options::default();
    assert_eq!(hear(&mut options, Verb::Will, ECHO), (Some((Verb::Dont, ECHO)), false));
    assert_eq!(hear(&mut options, Verb::Do, ECHO), (Some((Verb::Wont, ECHO)), false));
    assert_eq!(hear(&mut options, Verb::Wont, ECHO), (None, false));
    assert_eq!(hear(&mut options, Verb::Dont, ECHO), (None, false));
    options.allow(Side::Him, ECHO);
    assert_eq!(hear(&mut options, Verb::Will, ECHO), (Some((Verb::Do, ECHO)), true));
    assert_eq!(hear(&mut options, Verb::Will, ECHO), (None, true));
    assert_eq!(hear(&mut options, Verb::Do, ECHO), (Some((Verb::Wont, ECHO)), false));
    assert_eq!(hear(&mut options, Verb::Wont, ECHO), (Some((Verb::Dont, ECHO)), false));
}

#[test]
fn an_answer_to_our_asking_is_not_answered() {
    let mut options = Options::default();
    let asked = options.ask(Side::Us, BINARY, true);
    assert_eq!(asked, Reply { send: Some((Verb::Will, BINARY)), change: None });
    assert!(options.is_asked(Side::Us, BINARY));
    assert_eq!(options.ask(Side::Us, BINARY, true), Reply::default());
    assert_eq!(hear(&mut options, Verb::Do, BINARY), (None, true));
    assert!(!options.is_asked(Side::Us, BINARY));
    assert_eq!(options.ask(Side::Him, BINARY, true).send, Some((Verb::Do, BINARY)));
    assert_eq!(hear(&mut options, Verb::Wont, BINARY), (None, false));
}

#[test]
fn a_change_of_mind_waits_for_the_answer() {
    // RFC 1143, section 7, with the queue bit: on, off and on again while the first is unanswered.
    let mut options = Options::default();
    assert_eq!(options.ask(Side::Him, SGA, true).send, Some((Verb::Do, SGA)));
    assert_eq!(options.ask(Side::Him, SGA, false).send, None);
    assert_eq!(hear(&mut options, Verb::Will, SGA), (Some((Verb::Dont, SGA)), true));
    assert_eq!(options.ask(Side::Him, SGA, true).send, None);
    assert_eq!(hear(&mut options, Verb::Wont, SGA), (Some((Verb::Do, SGA)), false));
    assert_eq!(hear(&mut options, Verb::Will, SGA), (None, true));
    // Off is ours to say on our side, and the peer's on its side.
    let off = options.ask(Side::Him, SGA, false);
    assert_eq!(off, Reply { send: Some((Verb::Dont, SGA)), change: None });
    options.allow(Side::Us, SGA);
    assert_eq!(hear(&mut options, Verb::Do, SGA), (Some((Verb::Will, SGA)), true));
    let off = options.ask(Side::Us, SGA, false);
    let change = Some(Change { side: Side::Us, option: SGA, on: false });
    assert_eq!(off, Reply { send: Some((Verb::Wont, SGA)), change });
}

#[test]
fn who_toggles_for_ever_gets_silence_and_the_option_stays_off() {
    for (on, off) in [(Verb::Will, Verb::Wont), (Verb::Do, Verb::Dont)] {
        let side = if on == Verb::Will { Side::Him } else { Side::Us };
        let mut options = Options::default();
        options.allow(side, BINARY);
        let answers =
            (0..10_000).filter(|n| options.hear(if n % 2 == 0 { on } else { off }, BINARY).send.is_some());
        assert_eq!(answers.count(), usize::from(ANSWERS_MAX));
        assert_eq!(hear(&mut options, on, BINARY), (None, false));
        assert_eq!(options.ask(side, BINARY, true), Reply::default());
        // The same for what is refused.
        let answers = (0..10_000).filter(|_| options.hear(on, ECHO).send.is_some());
        assert_eq!(answers.count(), usize::from(ANSWERS_MAX));
    }
}

fn verb() -> impl Strategy<Value = Verb> {
    proptest::sample::select(vec![Verb::Will, Verb::Wont, Verb::Do, Verb::Dont])
}

/// Bytes in which those that mean something are frequent.
fn telnet_bytes() -> impl Strategy<Value = Vec<u8>> {
    let special = proptest::sample::select(vec![255, 255, 250, 240, 251, 252, 253, 254, 13, 0, 10, 24, 31]);
    proptest::collection::vec(prop_oneof![special, any::<u8>()], 0..200)
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        (0..240u8).prop_map(|code| Item::Command(Command(code))),
        (241..250u8).prop_map(|code| Item::Command(Command(code))),
        (verb(), any::<u8>()).prop_map(|(verb, option)| Item::Negotiate(verb, option)),
        (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(option, parameters)| Item::Subnegotiation { option, parameters }),
    ]
}

proptest! {
    #[test]
    fn any_bytes_read_the_same_however_they_are_cut(
        bytes in telnet_bytes(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = read(&mut Decoder::default(), &[&bytes]);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(read(&mut Decoder::default(), &chunks), whole);
    }

    #[test]
    fn what_is_written_is_read(
        parts in proptest::collection::vec((any::<bool>(), telnet_bytes(), item()), 0..8),
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        let mut mode = Mode::Nvt;
        for (binary, data, item) in parts {
            // The switch stands in the stream.
            let switch = Item::Negotiate(if binary { Verb::Will } else { Verb::Wont }, BINARY);
            switch.encode(&mut bytes);
            mode = if binary { Mode::Binary } else { Mode::Nvt };
            encode_data(mode, &data, &mut bytes);
            expected.push(Piece::Item(switch));
            if !data.is_empty() {
                expected.push(Piece::Data(data));
            }
            if !matches!(item, Item::Negotiate(_, BINARY)) {
                item.encode(&mut bytes);
                expected.push(Piece::Item(item));
            }
        }
        let mut decoder = Decoder::default();
        prop_assert_eq!(read(&mut decoder, &[&bytes]), expected);
        prop_assert_eq!(decoder.malformed(), 0);
        prop_assert_eq!(decoder.mode(), mode);
    }

    #[test]
    fn no_peer_gets_more_answers_than_there_are(
        heard in proptest::collection::vec((verb(), 0..3u8), 0..2_000),
        asked in proptest::collection::vec((any::<bool>(), 0..3u8, any::<bool>()), 0..20),
    ) {
        let mut options = Options::default();
        options.allow(Side::Us, 0);
        options.allow(Side::Him, 1);
        let mut sent: HashMap<(bool, u8), u32> = HashMap::new();
        let mut asked = asked.into_iter();
        for (n, (verb, option)) in heard.into_iter().enumerate() {
            let reply = options.hear(verb, option);
            if let Some((verb, option)) = reply.send {
                *sent.entry((matches!(verb, Verb::Will | Verb::Wont), option)).or_default() += 1;
            }
            if n % 50 == 0 && let Some((us, option, on)) = asked.next() {
                let _ = options.ask(if us { Side::Us } else { Side::Him }, option, on);
            }
        }
        prop_assert!(sent.values().all(|&count| count <= u32::from(ANSWERS_MAX)), "{sent:?}");
    }

    #[test]
    fn two_tables_come_to_agree_whatever_both_ask_and_however_long_it_is_under_way(
        steps in proptest::collection::vec((0..6u8, any::<bool>(), any::<bool>()), 0..60),
    ) {
        let mut ends = [Options::default(), Options::default()];
        for end in &mut ends {
            end.allow(Side::Us, BINARY);
            end.allow(Side::Him, BINARY);
        }
        let mut under_way: [VecDeque<(Verb, u8)>; 2] = Default::default();
        let hear = |ends: &mut [Options; 2], under_way: &mut [VecDeque<(Verb, u8)>; 2], at: usize| {
            if let Some((verb, option)) = under_way[at].pop_front() {
                under_way[1 - at].extend(ends[at].hear(verb, option).send);
            }
        };
        let mut asks = 0;
        for (step, first, on) in steps {
            let at = usize::from(first);
            match step {
                0 | 1 if asks < usize::from(ANSWERS_MAX) => {
                    asks += 1;
                    let side = if step == 0 { Side::Us } else { Side::Him };
                    let reply = ends[at].ask(side, BINARY, on);
                    under_way[1 - at].extend(reply.send);
                }
                _ => hear(&mut ends, &mut under_way, at),
            }
        }
        // Nobody asks any more: what is under way runs out.
        for _ in 0..1_000 {
            hear(&mut ends, &mut under_way, 0);
            hear(&mut ends, &mut under_way, 1);
        }
        prop_assert!(under_way.iter().all(VecDeque::is_empty));
        for (one, other) in [(0, 1), (1, 0)] {
            prop_assert_eq!(
                ends[one].is_on(Side::Us, BINARY),
                ends[other].is_on(Side::Him, BINARY)
            );
            prop_assert!(!ends[one].is_asked(Side::Us, BINARY) && !ends[one].is_asked(Side::Him, BINARY));
        }
    }
}
