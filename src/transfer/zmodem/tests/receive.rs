//! The receiver against a script and against the model sender, on a clean line.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::encode;
use super::super::frame::{CANCEL, Encoding, FrameType, Header, SubpacketEnd};
use super::super::{Receive, ReceiveOptions, Received, ZmodemError, ZmodemEvent};
use super::sender::Sender;
use crate::machine::{Control, Machine, Output};
use crate::sim::converse::{Conversation, converse, epoch};
use crate::sim::wire::LineQuality;

pub type Talk = Conversation<ZmodemEvent, Result<Received, ZmodemError>>;

/// A file in which every byte and every escape occurs, and no two places look alike.
pub fn file(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

/// The bytes delivered, once it is sure that they came in order from `from` on.
pub fn delivered(events: &[ZmodemEvent], from: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        if let ZmodemEvent::Data { offset, bytes: more } = event {
            assert_eq!(*offset, from + bytes.len() as u64, "in order, no gap, no overlap");
            assert!(!more.is_empty());
            bytes.extend_from_slice(more);
        }
    }
    bytes
}

pub fn options() -> ReceiveOptions {
    ReceiveOptions { rtt: Duration::from_millis(400), ..ReceiveOptions::default() }
}

const LINE: LineQuality =
    LineQuality { bps: Some(33_600), latency: Duration::from_millis(100), bit_error_rate: 0.0 };
const HOUR: Duration = Duration::from_secs(3_600);

fn run(sender: &mut Sender, options: ReceiveOptions) -> Talk {
    converse(&mut Receive::new(options), sender, LINE, 1, HOUR)
}

#[test]
fn a_file_arrives_whole() {
    for (length, encoding, block, window) in [
        (0, Encoding::Bin32, 1_024, None),
        (1, Encoding::Bin16, 1_024, None),
        (1_024, Encoding::Bin32, 1_024, None),
        (100_000, Encoding::Bin32, 1_024, None),
        (100_000, Encoding::Bin16, 8_192, None),
        (50_000, Encoding::Bin32, 512, Some(2_048)),
        (20_000, Encoding::Hex, 256, Some(256)),
    ] {
        let content = file(length);
        let mut sender = Sender::new(content.clone()).paced(33_600);
        (sender.encoding, sender.block, sender.window) = (encoding, block, window);
        let talk = run(&mut sender, options());
        let received = talk.outcome.expect("an end").expect("success");
        assert_eq!(delivered(&talk.events, 0), content);
        assert_eq!((received.end, received.complete), (length as u64, true));
        assert_eq!(received.announced, Some(length as u64));
        let recovery = (received.stats.zrpos_sent, received.stats.timeouts);
        assert_eq!(
            recovery,
            (0, 0),
            "{length} {encoding:?} {block} {window:?} {received:?} {:?}",
            talk.elapsed
        );
        assert!(matches!(&talk.events[0], ZmodemEvent::Started { name, .. } if name == "file0"));
    }
}

#[test]
fn it_resumes_where_it_is_told() {
    for resume_at in [1, 5_000, 9_999, 10_000] {
        let content = file(10_000);
        let mut sender = Sender::new(content.clone()).paced(33_600);
        let talk = run(&mut sender, ReceiveOptions { resume_at: resume_at as u64, ..options() });
        let received = talk.outcome.expect("an end").expect("success");
        assert_eq!(delivered(&talk.events, resume_at as u64), content[resume_at..]);
        assert_eq!((received.end, received.complete), (10_000, true));
    }
}

#[test]
fn a_file_shorter_than_what_is_here_is_refused() {
    let mut sender = Sender::new(file(100)).paced(33_600);
    let talk = run(&mut sender, ReceiveOptions { resume_at: 101, ..options() });
    assert_eq!(talk.outcome, Some(Err(ZmodemError::ResumePastEnd { size: 100, resume_at: 101 })));
    assert!(sender.cancelled);
}

#[test]
fn it_stops_at_the_limit() {
    for limit in [0, 1, 1_024, 5_000, 19_999, 20_000, 30_000] {
        let content = file(20_000);
        let mut sender = Sender::new(content.clone()).paced(33_600);
        let talk = run(&mut sender, ReceiveOptions { limit: Some(limit), ..options() });
        let received = talk.outcome.expect("an end").expect("success");
        let end = limit.min(20_000);
        assert_eq!(delivered(&talk.events, 0), content[..end as usize]);
        assert_eq!((received.end, received.complete), (end, end == 20_000), "limit {limit}");
        assert!(!sender.cancelled, "it was asked, not broken off");
    }
}

#[test]
fn offsets_behind_4_gib_are_refused_clearly() {
    let big = 5 << 30;
    let mut receive = Receive::new(ReceiveOptions { resume_at: big, ..options() });
    let mut line = encode::header(&Header::with_position(FrameType::Zfile, 0), Encoding::Bin32);
    line.extend(encode::subpacket(b"f\x006000000000 0", SubpacketEnd::Wait, Encoding::Bin32, false));
    let now = epoch();
    receive.handle_input(now, &line);
    assert_eq!(sent(&mut receive, now), CANCEL);
    receive.handle_timeout(now + Duration::from_secs(10));
    let Output::Done(Err(ZmodemError::TooLarge { size })) = receive.poll_output(now) else { panic!() };
    assert_eq!(size, 6_000_000_000);
}

#[test]
fn data_is_told_before_it_is_acknowledged() {
    let now = epoch();
    let mut receive = Receive::new(options());
    receive.handle_input(now, &opening());
    sent(&mut receive, now);
    let mut line = encode::header(&Header::with_position(FrameType::Zdata, 0), Encoding::Bin32);
    line.extend(encode::subpacket(b"abc", SubpacketEnd::Query, Encoding::Bin32, false));
    line.extend(encode::subpacket(b"def", SubpacketEnd::Wait, Encoding::Bin32, false));
    assert_eq!(receive.handle_input(now, &line), line.len());
    for (offset, bytes) in [(0, b"abc"), (3, b"def")] {
        assert!(
            matches!(receive.poll_output(now), Output::Event(ZmodemEvent::Data { offset: at, bytes: got })
            if at == offset && got == bytes)
        );
        let Output::Transmit(ack) = receive.poll_output(now) else { panic!("ZACK") };
        assert_eq!(ack.bytes, Header::with_position(FrameType::Zack, offset as u32 + 3).to_hex());
    }
    assert!(matches!(receive.poll_output(now), Output::Wait(Some(_))));
}

#[test]
fn further_files_are_declined() {
    let content = file(3_000);
    let mut sender = Sender::new(content.clone()).paced(33_600);
    sender.files.extend([file(10), file(20)]);
    let talk = run(&mut sender, options());
    let received = talk.outcome.expect("an end").expect("success");
    assert_eq!(delivered(&talk.events, 0), content);
    assert_eq!((received.end, received.stats.files_skipped), (3_000, 2));
}

#[test]
fn what_follows_the_farewell_is_left_for_the_next() {
    for (farewell, left) in [
        ("OO$ ", "$ "),
        ("$ OO", "$ OO"),
        ("O$ ", "$ "),
        ("OOOO", "OO"),
        ("* x", "* x"),
        ("**", "**"),
        ("OO", ""),
        ("", ""),
    ] {
        let mut sender = Sender::new(file(10)).paced(33_600);
        sender.farewell = farewell.into();
        let talk = converse(&mut Receive::new(options()), &mut sender, LineQuality::PERFECT, 1, HOUR);
        assert!(matches!(talk.outcome, Some(Ok(received)) if received.complete));
        assert_eq!(talk.left, left.as_bytes(), "after {farewell:?}");
    }
}

#[test]
fn a_repeated_zfin_is_answered_again() {
    let now = epoch();
    let mut receive = at_end(now);
    let zfin = Header::with_position(FrameType::Zfin, 0).to_hex();
    assert_eq!(receive.handle_input(now, &zfin), zfin.len());
    assert_eq!(sent(&mut receive, now), zfin);
    for end in 1..zfin.len() - 2 {
        assert_eq!(receive.handle_input(now, &zfin[..end]), 0, "not ours until it is sure");
    }
    assert_eq!(receive.handle_input(now, &zfin), zfin.len());
    assert_eq!(sent(&mut receive, now), zfin);
    assert_eq!(receive.handle_input(now, b"OOlogin"), 2);
    assert!(matches!(receive.poll_output(now), Output::Done(Ok(received)) if received.complete));
}

#[test]
fn a_lost_line_keeps_what_was_proven() {
    let content = file(50_000);
    let mut sender = Sender::new(content.clone()).paced(33_600);
    sender.hang_up_at = Some(20_480);
    let talk = run(&mut sender, options());
    let Some(Err(ZmodemError::CarrierLost { received })) = talk.outcome else { panic!("{:?}", talk.outcome) };
    assert_eq!(received.end, 20_480);
    assert_eq!(delivered(&talk.events, 0), content[..20_480]);
    assert_eq!(received.stats.subpackets, 1 + 20);
}

#[test]
fn a_silent_host_is_given_up_within_two_minutes() {
    let mut sender = Sender::new(file(50_000)).paced(33_600);
    sender.mute_at = Some(20_480);
    let talk = run(&mut sender, options());
    assert!(matches!(talk.outcome, Some(Err(ZmodemError::Silent { end: 20_480, .. }))), "{:?}", talk.outcome);
    assert!(talk.elapsed < Duration::from_secs(120), "{:?}", talk.elapsed);
    let mut nobody = Sender::new(Vec::new());
    nobody.mute_at = Some(0);
    let mut silent = Silent;
    let talk = converse(&mut Receive::new(options()), &mut silent, LINE, 1, HOUR);
    assert!(matches!(talk.outcome, Some(Err(ZmodemError::Silent { end: 0, .. }))), "{:?}", talk.outcome);
    assert!(talk.elapsed < Duration::from_secs(40), "{:?}", talk.elapsed);
}

struct Silent;
impl crate::sim::converse::Peer for Silent {
    fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) {}
    fn poll(&mut self, _now: Instant) -> crate::sim::converse::PeerStep {
        crate::sim::converse::PeerStep::Wait(None)
    }
}

#[test]
fn cancelling_stops_the_sender_and_keeps_what_is_proven() {
    let now = epoch();
    let mut receive = in_data(now);
    let line = encode::subpacket(b"abc", SubpacketEnd::Go, Encoding::Bin32, false);
    receive.handle_input(now, &line);
    receive.cancel();
    let Output::Event(ZmodemEvent::Data { bytes, .. }) = receive.poll_output(now) else { panic!("data") };
    assert_eq!(bytes, b"abc");
    assert_eq!(sent(&mut receive, now), CANCEL);
    assert_eq!(receive.handle_input(now, &line), line.len(), "what was on its way runs out");
    let Output::Wait(Some(at)) = receive.poll_output(now) else { panic!("waits for quiet") };
    receive.handle_timeout(at);
    assert!(matches!(receive.poll_output(at), Output::Done(Err(ZmodemError::Cancelled { end: 3 }))));
}

#[test]
fn the_peers_cancel_ends_it_with_the_peers_words() {
    let now = epoch();
    let mut receive = Receive::new(options());
    // Captured from sz with a file that is not there.
    let line = b"rz\r**\x18B00000000000000\r\x8a\x11sz: cannot open /none: No such file or directory\n\
        \x18\x18\x18\x18\x18\x18\x18\x18\x18\x18\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\r\nCan't open";
    let taken = receive.handle_input(now, line);
    assert_eq!(&line[taken..], b"\r\nCan't open");
    sent(&mut receive, now);
    let Output::Done(Err(error)) = receive.poll_output(now) else { panic!() };
    assert_eq!(
        error,
        ZmodemError::PeerCancelled { said: "sz: cannot open /none: No such file or directory".into() }
    );
}

#[test]
fn a_shell_that_echoes_us_means_the_sender_is_gone() {
    let now = epoch();
    let mut receive = in_data(now);
    let echo = Header::with_position(FrameType::Zrpos, 0).to_hex();
    let mut ended = encode::subpacket(b"", SubpacketEnd::EndFrame, Encoding::Bin32, false);
    ended.extend(echo.repeat(3));
    receive.handle_input(now, &ended);
    sent(&mut receive, now);
    assert!(matches!(receive.poll_output(now), Output::Done(Err(ZmodemError::SenderGone { .. }))));
}

#[test]
fn the_shells_end_marker_ends_it_and_stays_on_the_line() {
    let now = epoch();
    let marker = b"\nEND-7391-".to_vec();
    let with_marker = ReceiveOptions { end_marker: Some(marker.clone()), ..options() };
    let line = [&b"rz\r**\x18B0000\nsh: sz: not found\n"[..], &marker, b"127\n"].concat();
    for split in 0..line.len() {
        let mut receive = Receive::new(with_marker.clone());
        let mut taken = receive.handle_input(now, &line[..split]);
        sent(&mut receive, now);
        taken += receive.handle_input(now, &line[taken..]);
        assert_eq!(&line[taken..], [&marker[..], b"127\n"].concat(), "split at {split}");
        sent(&mut receive, now);
        let Output::Done(Err(error)) = receive.poll_output(now) else { panic!() };
        assert_eq!(error, ZmodemError::SenderGone { said: "sh: sz: not found".into() });
    }
}

#[test]
fn a_frame_that_ends_like_a_marker_is_not_held_for_long() {
    let now = epoch();
    let mut receive = Receive::new(ReceiveOptions { end_marker: Some(b"\x11END".to_vec()), ..options() });
    let line = Header::with_position(FrameType::Zrqinit, 0).to_hex();
    let taken = receive.handle_input(now, &line);
    assert_eq!(taken, line.len() - 1, "XON may begin the marker");
    sent(&mut receive, now);
    let Output::Wait(Some(at)) = receive.poll_output(now) else { panic!() };
    assert!(at - now < Duration::from_secs(1));
    receive.handle_timeout(at);
    assert_eq!(receive.handle_input(at, &line[taken..]), 1);
}

#[test]
fn requests_beside_the_transfer_are_answered_or_refused() {
    let now = epoch();
    for (kind, answer) in [
        (FrameType::Zchallenge, Header::with_position(FrameType::Zack, 0x1234_5678)),
        (FrameType::Zfreecnt, Header::with_position(FrameType::Zack, u32::MAX)),
    ] {
        let mut receive = Receive::new(options());
        receive.handle_input(now, &Header::with_position(kind, 0x1234_5678).to_hex());
        assert_eq!(sent(&mut receive, now), answer.to_hex());
    }
    let mut receive = Receive::new(options());
    let mut command = encode::header(&Header::with_position(FrameType::Zcommand, 0), Encoding::Bin32);
    command.extend(encode::subpacket(b"rm -rf /\0", SubpacketEnd::Wait, Encoding::Bin32, false));
    receive.handle_input(now, &command);
    assert_eq!(sent(&mut receive, now), Header::with_position(FrameType::Zcompl, 1).to_hex());
}

#[test]
fn the_attention_sequence_goes_before_zrpos() {
    let now = epoch();
    let mut receive = Receive::new(options());
    receive.handle_input(now, &Header::with_position(FrameType::Zrqinit, 0).to_hex());
    let mut line = encode::header(&Header::with_position(FrameType::Zsinit, 0), Encoding::Bin32);
    line.extend(encode::subpacket(b"\x03\xde\xddx\0", SubpacketEnd::Wait, Encoding::Bin32, false));
    line.extend(opening());
    line.extend(encode::header(&Header::with_position(FrameType::Zdata, 0), Encoding::Bin32));
    receive.handle_input(now, &line);
    sent(&mut receive, now);
    receive.handle_input(now, b"damage \x18h damage");
    assert_eq!(sent(&mut receive, now), b"\x03");
    let Output::Wait(Some(at)) = receive.poll_output(now) else { panic!("a pause") };
    assert_eq!(at - now, Duration::from_secs(1));
    receive.handle_timeout(at);
    assert!(matches!(receive.poll_output(at), Output::Control(Control::Break(_))));
    let zrpos = Header::with_position(FrameType::Zrpos, 0).to_hex();
    assert_eq!(sent(&mut receive, at), [b"x", &zrpos[..]].concat());
}

#[test]
fn damage_is_answered_once_and_stale_data_ignored() {
    let now = epoch();
    let mut receive = in_data(now);
    let good = encode::subpacket(b"good", SubpacketEnd::Go, Encoding::Bin32, false);
    let mut bad = good.clone();
    bad[0] ^= 1;
    let mut line = good.clone();
    line.extend(&bad);
    line.extend(good.repeat(50));
    receive.handle_input(now, &line);
    let (events, bytes) = outputs(&mut receive, now);
    assert_eq!(delivered(&events, 0), b"good");
    assert_eq!(bytes, Header::with_position(FrameType::Zrpos, 4).to_hex());
    let mut line = encode::header(&Header::with_position(FrameType::Zdata, 4), Encoding::Bin32);
    line.extend(&good);
    receive.handle_input(now, &line);
    let (events, bytes) = outputs(&mut receive, now);
    assert_eq!(delivered(&events, 4), b"good");
    assert!(bytes.is_empty());
}

#[test]
fn a_sender_that_goes_back_too_far_repeats_nothing_to_the_owner() {
    let now = epoch();
    let mut receive = in_data(now);
    receive
        .handle_input(now, &encode::subpacket(b"0123456789", SubpacketEnd::EndFrame, Encoding::Bin32, false));
    let mut line = encode::header(&Header::with_position(FrameType::Zdata, 4), Encoding::Bin32);
    line.extend(encode::subpacket(b"456789ab", SubpacketEnd::Wait, Encoding::Bin32, false));
    receive.handle_input(now, &line);
    let (events, bytes) = outputs(&mut receive, now);
    assert_eq!(delivered(&events, 0), b"0123456789ab");
    assert_eq!(bytes, Header::with_position(FrameType::Zack, 12).to_hex());
    assert_eq!(receive.received().stats.duplicate_bytes, 6);
}

#[test]
fn zeof_elsewhere_than_we_are_is_not_the_end() {
    let now = epoch();
    let mut receive = in_data(now);
    receive.handle_input(now, &encode::subpacket(b"01", SubpacketEnd::EndFrame, Encoding::Bin32, false));
    let zeof = |at| encode::header(&Header::with_position(FrameType::Zeof, at), Encoding::Bin32);
    receive.handle_input(now, &zeof(3));
    let (_, bytes) = outputs(&mut receive, now);
    assert_eq!(bytes, Header::with_position(FrameType::Zrpos, 2).to_hex(), "a byte is missing");
    receive.handle_input(now, &zeof(3));
    assert_eq!(outputs(&mut receive, now).1, b"", "stale");
    assert!(!receive.received().complete);
    receive.handle_input(now, &zeof(2));
    assert!(receive.received().complete);
}

#[test]
fn endless_frames_without_progress_come_to_an_end() {
    let now = epoch();
    let mut receive = in_data(now);
    let empty = encode::subpacket(b"", SubpacketEnd::Go, Encoding::Bin32, false);
    let mut cancelled = false;
    for _ in 0..20_000 {
        receive.handle_input(now, &empty);
        cancelled |= outputs(&mut receive, now).1 == CANCEL;
        if cancelled {
            break;
        }
    }
    assert!(cancelled);
    receive.handle_timeout(now + Duration::from_secs(5));
    assert!(matches!(receive.poll_output(now), Output::Done(Err(ZmodemError::NoProgress { .. }))));
}

#[test]
fn a_znak_brings_what_is_wanted_now() {
    let now = epoch();
    let znak = Header::with_position(FrameType::Znak, 0).to_hex();
    let mut receive = Receive::new(options());
    receive.handle_input(now, &Header::with_position(FrameType::Zrqinit, 0).to_hex());
    let zrinit = sent(&mut receive, now);
    receive.handle_input(now, b"**\x18B04damaged");
    assert_eq!(sent(&mut receive, now), znak, "a damaged ZFILE");
    receive.handle_input(now, &znak);
    assert_eq!(sent(&mut receive, now), zrinit, "not a ZNAK for a ZNAK");
    let mut receive = in_data(now);
    receive.handle_input(now, &encode::subpacket(b"0123", SubpacketEnd::EndFrame, Encoding::Bin32, false));
    outputs(&mut receive, now);
    receive.handle_input(now, &znak);
    assert_eq!(
        sent(&mut receive, now),
        Header::with_position(FrameType::Zrpos, 4).to_hex(),
        "not the old one"
    );
}

#[test]
fn a_znak_in_the_middle_of_a_frame_is_noticed_by_the_pause_behind_it() {
    let now = epoch();
    for encoding in [Encoding::Bin16, Encoding::Bin32] {
        let mut receive = in_data(now);
        receive.handle_input(now, &encode::subpacket(b"0123", SubpacketEnd::Query, Encoding::Bin32, false));
        receive.handle_input(now, &encode::header(&Header::with_position(FrameType::Znak, 0), encoding));
        outputs(&mut receive, now);
        let Output::Wait(Some(at)) = receive.poll_output(now) else { panic!() };
        assert!(at - now < Duration::from_secs(1));
        receive.handle_timeout(at);
        assert_eq!(sent(&mut receive, at), Header::with_position(FrameType::Zrpos, 4).to_hex());
    }
}

#[test]
fn a_line_lost_behind_a_cancel_is_an_end_and_no_second_cancel() {
    let now = epoch();
    let mut receive = in_data(now);
    receive.cancel();
    receive.handle_hangup(now);
    assert!(matches!(receive.poll_output(now), Output::Done(Err(ZmodemError::CarrierLost { .. }))));
}

#[test]
fn a_terminal_that_shows_our_zdle_means_the_sender_is_gone() {
    let now = epoch();
    let mut receive = in_data(now);
    receive.handle_input(now, &encode::subpacket(b"", SubpacketEnd::EndFrame, Encoding::Bin32, false));
    receive.handle_input(now, b"**^XB0900000000a87c");
    sent(&mut receive, now);
    let Output::Wait(Some(at)) = receive.poll_output(now) else { panic!() };
    receive.handle_timeout(at);
    assert!(matches!(receive.poll_output(at), Output::Done(Err(ZmodemError::SenderGone { .. }))));
}

#[test]
fn absurd_waits_are_cut_to_their_limits() {
    let endless = ReceiveOptions {
        rtt: Duration::MAX,
        first_header: Duration::MAX,
        silence: Duration::MAX,
        ..ReceiveOptions::default()
    };
    let talk = converse(&mut Receive::new(endless), &mut Silent, LINE, 1, HOUR * 24);
    assert!(matches!(talk.outcome, Some(Err(ZmodemError::Silent { .. }))), "{:?}", talk.outcome);
}

fn opening() -> Vec<u8> {
    let mut line = encode::header(&Header::with_position(FrameType::Zfile, 0), Encoding::Bin32);
    line.extend(encode::subpacket(b"f\0", SubpacketEnd::Wait, Encoding::Bin32, false));
    line
}

fn in_data(now: Instant) -> Receive {
    let mut receive = Receive::new(options());
    let mut line = opening();
    line.extend(encode::header(&Header::with_position(FrameType::Zdata, 0), Encoding::Bin32));
    receive.handle_input(now, &line);
    sent(&mut receive, now);
    receive
}

fn at_end(now: Instant) -> Receive {
    let mut receive = in_data(now);
    let mut line = encode::subpacket(b"", SubpacketEnd::EndFrame, Encoding::Bin32, false);
    line.extend(encode::header(&Header::with_position(FrameType::Zeof, 0), Encoding::Bin32));
    receive.handle_input(now, &line);
    sent(&mut receive, now);
    receive
}

/// What the machine tells and sends until it waits.
fn outputs(receive: &mut Receive, now: Instant) -> (Vec<ZmodemEvent>, Vec<u8>) {
    let (mut events, mut bytes) = (Vec::new(), Vec::new());
    loop {
        match receive.poll_output(now) {
            Output::Transmit(transmit) => bytes.extend(&transmit.bytes),
            Output::Event(event) => events.push(event),
            Output::Wait(_) => return (events, bytes),
            other => panic!("{other:?}"),
        }
    }
}

/// What the machine sends now, up to its next pause, leaving its end to be polled.
fn sent(receive: &mut Receive, now: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while receive.has_output() {
        match receive.poll_output(now) {
            Output::Transmit(transmit) => bytes.extend(&transmit.bytes),
            Output::Event(_) => {}
            Output::Wait(_) => break,
            other => panic!("{other:?}"),
        }
    }
    bytes
}

proptest! {
    #[test]
    fn any_bytes_at_any_time_neither_panic_nor_hang(
        parts in prop::collection::vec((part(), 0u64..40), 0..60),
        marker in any::<bool>(),
    ) {
        let end_marker = marker.then(|| b"\n*END*".to_vec());
        let mut receive = Receive::new(ReceiveOptions { end_marker, limit: Some(4_000), ..options() });
        let mut now = epoch();
        let mut next = 0;
        let mut left = Vec::new();
        for (bytes, seconds) in parts {
            left.extend(bytes);
            let taken = receive.handle_input(now, &left);
            prop_assert!(taken <= left.len());
            left.drain(..taken);
            for turn in 0.. {
                prop_assert!(turn < 1_000, "it waits some time");
                match receive.poll_output(now) {
                    Output::Wait(deadline) => {
                        prop_assert!(deadline.is_none_or(|at| at <= now + Duration::from_secs(601)));
                        break;
                    }
                    Output::Done(_) => return Ok(()),
                    Output::Event(ZmodemEvent::Data { offset, bytes }) => {
                        prop_assert_eq!(offset, next);
                        next += bytes.len() as u64;
                    }
                    Output::Event(_) | Output::Transmit(_) | Output::Control(_) => {}
                }
            }
            now += Duration::from_secs(seconds);
            receive.handle_timeout(now);
        }
    }
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    let header = (0u8..22, 0u32..6_000, 0..3usize).prop_map(|(kind, position, encoding)| {
        let encoding = [Encoding::Hex, Encoding::Bin16, Encoding::Bin32][encoding];
        encode::header(&Header::with_position(FrameType::from_byte(kind), position), encoding)
    });
    let subpacket = (prop::collection::vec(any::<u8>(), 0..100), 0..4usize).prop_map(|(data, end)| {
        let end = [SubpacketEnd::Go, SubpacketEnd::Query, SubpacketEnd::Wait, SubpacketEnd::EndFrame][end];
        encode::subpacket(&data, end, Encoding::Bin32, false)
    });
    prop_oneof![
        4 => header,
        4 => subpacket,
        1 => Just(opening()),
        1 => Just(b"OO".to_vec()),
        1 => Just(b"\n*EN".to_vec()),
        1 => Just(vec![0x18; 5]),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}
