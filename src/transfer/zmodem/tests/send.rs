//! The sender against a script: what it does about each thing that a receiver may say.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::encode;
use super::super::frame::{
    CANCEL, CANFC32, CANFDX, CANOVIO, ESC8, ESCCTL, Encoding, FrameType, Header, SubpacketEnd, XON,
};
use super::super::{FileEnd, SendError, SendOptions, Sent};
use super::both::{Sending, Told};
use super::receive::file;
use crate::machine::{Machine, Output};
use crate::sim::converse::epoch;

type Outcome = Result<Sent, SendError>;

fn options() -> SendOptions {
    SendOptions { rtt: Duration::from_millis(400), window: 4_096, ..SendOptions::default() }
}

/// What it says and tells until it waits.
fn polled(sending: &mut Sending, now: Instant) -> (Vec<u8>, Vec<Told>, Option<Outcome>) {
    let (mut said, mut told) = (Vec::new(), Vec::new());
    loop {
        match sending.poll_output(now) {
            Output::Transmit(transmit) => said.extend_from_slice(&transmit.bytes),
            Output::Control(_) => {}
            Output::Event(event) => told.push(event),
            Output::Wait(_) => return (said, told, None),
            Output::Done(outcome) => return (said, told, Some(outcome)),
        }
    }
}

fn heard(sending: &mut Sending, header: Header) -> Vec<u8> {
    hex(sending, header).0
}

fn hex(sending: &mut Sending, header: Header) -> (Vec<u8>, Vec<Told>, Option<Outcome>) {
    let bytes = header.to_hex();
    sending.handle_input(epoch(), &bytes);
    polled(sending, epoch())
}

fn zrinit(buffer: u16, flags: u8) -> Header {
    let [low, high] = buffer.to_le_bytes();
    Header { bytes: [low, high, 0, flags], ..Header::with_flags(FrameType::Zrinit, 0) }
}

const ABLE: u8 = CANFDX | CANOVIO | CANFC32;

fn at(kind: FrameType, position: u32) -> Header {
    Header::with_position(kind, position)
}

fn binary(kind: FrameType, position: u32) -> Vec<u8> {
    encode::header(&at(kind, position), Encoding::Bin32)
}

fn block(data: &[u8], end: SubpacketEnd) -> Vec<u8> {
    encode::subpacket(data, end, Encoding::Bin32, false)
}

#[test]
fn a_small_file_is_offered_sent_and_closed() {
    let mut sending = Sending::new(vec![b"hello".to_vec()], options());
    assert_eq!(polled(&mut sending, epoch()).0, b"", "the receiver speaks first");
    let mut offer = encode::header(&Header::with_flags(FrameType::Zfile, 1), Encoding::Bin32);
    offer.extend(block(b"file0\x005 7346545000 100640 0 1 5\0", SubpacketEnd::Wait));
    offer.push(XON);
    assert_eq!(heard(&mut sending, zrinit(0, ABLE)), offer);
    let data =
        [binary(FrameType::Zdata, 0), block(b"hello", SubpacketEnd::EndFrame), binary(FrameType::Zeof, 5)];
    assert_eq!(heard(&mut sending, at(FrameType::Zrpos, 0)), data.concat());
    let zfin = at(FrameType::Zfin, 0).to_hex();
    let (said, told, _) = hex(&mut sending, zrinit(0, ABLE));
    assert_eq!(said, zfin);
    assert_eq!(told, [Told::Received(0, 5), Told::Finished(0, FileEnd::Sent)]);
    let prompt = [&zfin[..], b"$ "].concat();
    assert_eq!(sending.handle_input(epoch(), &prompt), zfin.len(), "the prompt is the shell's");
    let (said, _, outcome) = polled(&mut sending, epoch());
    assert_eq!(said, b"OO");
    assert_eq!(outcome.expect("an end").expect("success").files, 1);
}

#[test]
fn a_receiver_with_a_buffer_is_never_given_more_than_it_holds() {
    let content = file(5_000);
    let mut sending = Sending::new(vec![content.clone()], options());
    heard(&mut sending, zrinit(1_500, ABLE));
    let first = heard(&mut sending, at(FrameType::Zrpos, 0));
    let expected = [
        binary(FrameType::Zdata, 0),
        block(&content[..1_024], SubpacketEnd::Query),
        block(&content[1_024..1_500], SubpacketEnd::Wait),
        vec![XON],
    ];
    assert_eq!(first, expected.concat());
    let second = heard(&mut sending, at(FrameType::Zack, 1_500));
    assert!(second.starts_with(&binary(FrameType::Zdata, 1_500)));
    assert!(second.ends_with(&[&block(&content[2_524..3_000], SubpacketEnd::Wait)[..], &[XON]].concat()));
}

#[test]
fn a_receiver_that_cannot_hear_and_write_at_once_is_waited_for() {
    let content = file(9_000);
    let mut sending = Sending::new(vec![content.clone()], options());
    heard(&mut sending, zrinit(0, CANFC32));
    let first = heard(&mut sending, at(FrameType::Zrpos, 0));
    assert!(first.ends_with(&[&block(&content[3_072..4_096], SubpacketEnd::Wait)[..], &[XON]].concat()));
}

#[test]
fn it_is_never_further_ahead_than_the_window() {
    let content = file(100_000);
    let mut sending = Sending::new(vec![content], options());
    heard(&mut sending, zrinit(0, ABLE));
    let first = heard(&mut sending, at(FrameType::Zrpos, 0)).len();
    assert!((4_096..4_700).contains(&first), "{first}");
    let more = heard(&mut sending, at(FrameType::Zack, 2_048)).len();
    assert!((2_048..2_400).contains(&more), "{more}");
}

#[test]
fn zrpos_said_again_before_the_answer_can_have_been_heard_is_answered_once() {
    let content = file(20_000);
    let mut sending = Sending::new(vec![content.clone()], options());
    heard(&mut sending, zrinit(0, ABLE));
    let rtt = Duration::from_millis(300);
    let zrpos = |position| at(FrameType::Zrpos, position).to_hex();
    sending.handle_input(epoch() + rtt, &zrpos(0)); // so long is the round trip
    polled(&mut sending, epoch() + rtt);
    sending.handle_input(epoch() + rtt, &zrpos(1_024));
    let (said, ..) = polled(&mut sending, epoch() + rtt);
    let expected =
        [binary(FrameType::Zdata, 1_024), block(&content[1_024..1_536], SubpacketEnd::Wait), vec![XON]];
    assert_eq!(said, expected.concat(), "a shorter block, and its ZACK is waited for");
    for _ in 0..50 {
        sending.handle_input(epoch() + rtt * 2 / 3 + rtt, &zrpos(1_024));
        assert_eq!(polled(&mut sending, epoch() + rtt * 2 / 3 + rtt).0, b"", "a storm");
    }
    sending.handle_input(epoch() + 2 * rtt, &zrpos(1_024));
    assert!(polled(&mut sending, epoch() + 2 * rtt).0.starts_with(&binary(FrameType::Zdata, 1_024)));
    assert_eq!(sending.send.sent().stats.zrpos_ignored, 50);
}

#[test]
fn a_file_is_gone_back_to_wherever_the_receiver_wants() {
    let content = file(3_000);
    for position in [0, 1, 1_500, 2_999, 3_000] {
        let mut sending = Sending::new(vec![content.clone()], options());
        heard(&mut sending, zrinit(0, ABLE));
        let said = heard(&mut sending, at(FrameType::Zrpos, position));
        let first = if position == 3_000 { FrameType::Zeof } else { FrameType::Zdata };
        assert!(said.starts_with(&binary(first, position)));
        heard(&mut sending, at(FrameType::Zrpos, 0));
    }
    let mut sending = Sending::new(vec![content], options());
    heard(&mut sending, zrinit(0, ABLE));
    assert_eq!(heard(&mut sending, at(FrameType::Zrpos, 3_001)), b"", "there is nothing");
}

#[test]
fn control_characters_are_escaped_in_headers_too_where_the_receiver_asks() {
    let mut sending = Sending::new(vec![vec![1; 20]], options());
    let offer = heard(&mut sending, zrinit(0, ABLE | ESCCTL));
    let data = heard(&mut sending, at(FrameType::Zrpos, 0));
    for said in [offer, data] {
        let odd = said.iter().filter(|&&byte| byte & 0x60 == 0 && byte != 0x18 && byte != XON).count();
        assert_eq!(odd, 0, "{}", said.escape_ascii());
    }
}

#[test]
fn it_ends_as_the_receiver_ends_it() {
    let cancel = SendError::PeerCancelled { said: String::new() };
    let write = SendError::PeerWriteFailed;
    let early = SendError::EndedEarly { at: 0 };
    for (header, error) in [(FrameType::Zferr, write), (FrameType::Zabort, cancel), (FrameType::Zfin, early)]
    {
        let mut sending = Sending::new(vec![file(20_000)], options());
        heard(&mut sending, zrinit(0, ABLE));
        heard(&mut sending, at(FrameType::Zrpos, 0));
        let (_, _, outcome) = hex(&mut sending, at(header, 0));
        let later = epoch() + Duration::from_secs(60);
        let outcome = outcome.or_else(|| {
            sending.handle_timeout(later);
            polled(&mut sending, later).2
        });
        assert_eq!(outcome.expect("an end").map(|_| ()), Err(error));
    }
    let mut sending = Sending::new(vec![file(10)], options());
    let (said, ..) = hex(&mut sending, zrinit(0, ABLE | ESC8));
    assert_eq!(said, CANCEL);
}

#[test]
fn five_cans_end_it_and_the_prompt_behind_them_is_left() {
    let mut sending = Sending::new(vec![file(20_000)], options());
    heard(&mut sending, zrinit(0, ABLE));
    heard(&mut sending, at(FrameType::Zrpos, 0));
    let cancel = b"\x18\x18\x18\x18\x18\x18\x18\x18\x18\x18\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08$ ";
    assert_eq!(sending.handle_input(epoch(), cancel), cancel.len() - 2);
    let outcome = polled(&mut sending, epoch()).2.expect("an end");
    assert_eq!(outcome, Err(SendError::PeerCancelled { said: String::new() }));
}

#[test]
fn our_cancel_is_answered_by_theirs_and_the_prompt_behind_it_is_left() {
    let mut sending = Sending::new(vec![file(20_000)], options());
    heard(&mut sending, zrinit(0, ABLE));
    heard(&mut sending, at(FrameType::Zrpos, 0));
    sending.send.cancel();
    let (said, _, outcome) = polled(&mut sending, epoch());
    assert_eq!((said, outcome), (CANCEL.to_vec(), None));
    let answer = [&at(FrameType::Zack, 1_024).to_hex()[..], &CANCEL, b"$ "].concat();
    assert_eq!(sending.handle_input(epoch(), &answer), answer.len() - 2);
    assert_eq!(polled(&mut sending, epoch()).2, Some(Err(SendError::Cancelled)));
}

#[test]
fn a_shell_that_echoes_is_no_receiver() {
    let mut sending = Sending::new(vec![file(20_000)], options());
    heard(&mut sending, zrinit(0, ABLE));
    for _ in 0..3 {
        let echo = [binary(FrameType::Zfile, 0), block(b"file0", SubpacketEnd::Wait)].concat();
        sending.handle_input(epoch(), &echo);
    }
    let outcome = polled(&mut sending, epoch()).2.expect("an end");
    assert_eq!(outcome, Err(SendError::ReceiverGone { said: String::new() }));
}

#[test]
fn the_end_marker_tells_of_a_receiver_that_is_gone_and_stays() {
    let marked = SendOptions { end_marker: Some(b"~MARK~".to_vec()), ..options() };
    let said = b"sh: rz: not found\r\n~MARK~1 0";
    for split in 0..said.len() {
        let mut sending = Sending::new(vec![file(20_000)], marked.clone());
        let mut line = said[..split].to_vec();
        let taken = sending.handle_input(epoch(), &line);
        line.drain(..taken);
        line.extend(&said[split..]);
        let taken = sending.handle_input(epoch(), &line);
        assert_eq!(&line[taken..], b"~MARK~1 0");
        let outcome = polled(&mut sending, epoch()).2.expect("an end");
        assert_eq!(outcome, Err(SendError::ReceiverGone { said: "sh: rz: not found".into() }));
    }
}

#[test]
fn a_receiver_that_says_nothing_is_asked_a_few_times_and_given_up() {
    let mut sending = Sending::new(vec![file(10)], options());
    let mut now = epoch();
    let mut said = Vec::new();
    let outcome = loop {
        match sending.poll_output(now) {
            Output::Transmit(transmit) => said.extend_from_slice(&transmit.bytes),
            Output::Control(_) | Output::Event(_) => {}
            Output::Wait(until) => {
                now = until.expect("a deadline");
                sending.handle_timeout(now);
            }
            Output::Done(outcome) => break outcome,
        }
    };
    assert!(matches!(outcome, Err(SendError::Silent { .. })), "{outcome:?}");
    assert!((30..40).contains(&(now - epoch()).as_secs()), "{:?}", now - epoch());
    assert!(said.starts_with(&at(FrameType::Zrqinit, 0).to_hex()) && said.ends_with(&CANCEL));
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let header = (0u8..22, 0u32..30_000, any::<bool>()).prop_map(|(kind, position, hex)| {
        let header = at(FrameType::from_byte(kind), position);
        if hex { header.to_hex() } else { encode::header(&header, Encoding::Bin32) }
    });
    let zrinit = any::<[u8; 4]>().prop_map(|bytes| Header { bytes, ..zrinit(0, 0) }.to_hex());
    let anything = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec(
        prop_oneof![4 => header, 2 => zrinit, 1 => anything, 1 => Just(CANCEL.to_vec())],
        0..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever a receiver says, split anywhere: no panic, and an end within stated time.
    #[test]
    fn any_words_of_a_receiver_come_to_an_end(pieces in pieces(), pauses in prop::collection::vec(0u64..20, 40)) {
        let mut sending = Sending::new(vec![file(10_000), Vec::new(), file(300)], options());
        let mut now = epoch();
        let mut held = Vec::new();
        let mut pieces = pieces.into_iter().zip(pauses);
        for step in 0.. {
            prop_assert!(step < 200_000, "it goes on for ever");
            match sending.poll_output(now) {
                Output::Transmit(_) | Output::Control(_) | Output::Event(_) => continue,
                Output::Done(_) => break,
                Output::Wait(until) => match pieces.next() {
                    Some((piece, pause)) => {
                        now += Duration::from_secs(pause);
                        held.extend(piece);
                        let taken = sending.handle_input(now, &held);
                        held.drain(..taken);
                    }
                    None => {
                        now = now.max(until.expect("it waits for ever"));
                        sending.handle_timeout(now);
                    }
                },
            }
            prop_assert!(now - epoch() < Duration::from_secs(3_600));
        }
    }
}
