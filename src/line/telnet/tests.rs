//! A line over TELNET against hosts that are scripted, in virtual time.
#![allow(clippy::disallowed_methods)] // the clock is paused

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{sleep, timeout};

use super::client::PIECE;
use super::*;

const DO_TTYPE: &[u8] = b"\xff\xfd\x18";
/// What is asked for: WILL and DO BINARY, DO and WILL SGA, DO ECHO, and a mark.
const ASKED: &[u8] = b"\xff\xfb\0\xff\xfd\0\xff\xfd\x03\xff\xfb\x03\xff\xfd\x01\xff\xfd\x06";
const AGREED: &[u8] = b"\xff\xfd\0\xff\xfb\0\xff\xfb\x03\xff\xfd\x03\xff\xfb\x01\xff\xfb\x06";

fn line(port: u16) -> (TelnetLine<DuplexStream>, DuplexStream) {
    with(TelnetSettings { user: Some("mary".into()), ..TelnetSettings::new("host".into(), port) })
}

fn with(settings: TelnetSettings) -> (TelnetLine<DuplexStream>, DuplexStream) {
    let (ours, hosts) = tokio::io::duplex(1 << 16);
    (TelnetLine::new(ours, settings), hosts)
}

/// Reads from the line for a moment, so that it answers what came.
async fn hears(line: &mut TelnetLine<DuplexStream>) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(count @ 1..)) = timeout(Duration::from_millis(10), line.read(&mut buffer)).await {
        heard.extend_from_slice(&buffer[..count]);
    }
    heard
}

/// All that has come to the host.
async fn got(host: &mut DuplexStream) -> Vec<u8> {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(count @ 1..)) = timeout(Duration::from_millis(10), host.read(&mut buffer)).await {
        got.extend_from_slice(&buffer[..count]);
    }
    got
}

/// A line that has agreed with its host on everything.
async fn agreed() -> (TelnetLine<DuplexStream>, DuplexStream) {
    let (mut line, mut host) = line(23);
    host.write_all(AGREED).await.unwrap();
    assert_eq!(hears(&mut line).await, b"");
    assert_eq!(got(&mut host).await, ASKED);
    assert!(line.eight_bit());
    (line, host)
}

#[tokio::test(start_paused = true)]
async fn a_host_without_telnet_gets_bytes_as_they_are() {
    let (mut line, mut host) = line(2323);
    host.write_all(b"login: ").await.unwrap();
    assert_eq!(hears(&mut line).await, b"login: ");
    line.write_all(b"mary\r\xff\n").await.unwrap();
    assert_eq!(got(&mut host).await, b"mary\r\xff\n");
    assert!(!line.set_break(true).unwrap() && !line.set_window(50, 132).unwrap());
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(hears(&mut line).await, b"");
    assert_eq!((got(&mut host).await, line.why_ended()), (Vec::new(), None));
}

/// What it sends is read as TELNET all the same, since its first IAC may be one: a byte of 255 is lost on
/// the way down, so that only text is sure to arrive.
#[tokio::test(start_paused = true)]
async fn a_host_that_has_not_negotiated_is_not_trusted_with_eight_bits() {
    let (mut line, mut host) = line(2323);
    host.write_all(b"\xff\xff\r\0").await.unwrap();
    assert_eq!(hears(&mut line).await, b"\xff\r");
    assert!(!line.eight_bit() && !line.ask_eight_bit());
    assert_eq!(got(&mut host).await, b"", "nobody was asked");
}

#[tokio::test(start_paused = true)]
async fn on_the_well_known_port_we_begin_and_elsewhere_the_host_does() {
    let (mut first, mut host) = line(23);
    hears(&mut first).await;
    assert_eq!(got(&mut host).await, ASKED);
    let (mut second, mut host) = line(2323);
    hears(&mut second).await;
    assert_eq!(got(&mut host).await, b"");
    host.write_all(DO_TTYPE).await.unwrap();
    hears(&mut second).await;
    assert_eq!(got(&mut host).await, [b"\xff\xfb\x18", ASKED].concat());
    let (mut modest, mut host) =
        with(TelnetSettings { binary: false, ..TelnetSettings::new("host".into(), 23) });
    host.write_all(b"\xff\xfd\0\xff\xfb\0").await.unwrap();
    hears(&mut modest).await;
    assert_eq!(got(&mut host).await, [&ASKED[6..], b"\xff\xfc\0\xff\xfe\0"].concat());
    assert!(!modest.eight_bit());
}

#[tokio::test(start_paused = true)]
async fn every_byte_arrives_both_ways_in_binary_and_not() {
    let every: Vec<u8> = (0..=255u8).flat_map(|byte| [b'\r', byte, 0, 255, byte]).collect();
    let doubled = |bytes: &[u8]| {
        bytes
            .iter()
            .flat_map(|&byte| std::iter::repeat_n(byte, 1 + usize::from(byte == 255)))
            .collect::<Vec<u8>>()
    };
    let (mut line, mut host) = agreed().await;
    line.write_all(&every).await.unwrap();
    host.write_all(&doubled(&every)).await.unwrap();
    assert_eq!(hears(&mut line).await, every);
    assert_eq!(got(&mut host).await, doubled(&every));
    // The host ends BINARY: from its command on CR has its NUL again, each way by itself.
    host.write_all(b"\xff\xfc\0\r\0").await.unwrap();
    assert_eq!(hears(&mut line).await, b"\r");
    line.write_all(b"\r\xff").await.unwrap();
    assert_eq!(got(&mut host).await, b"\xff\xfe\0\r\xff\xff");
    host.write_all(b"\xff\xfe\0").await.unwrap();
    hears(&mut line).await;
    line.write_all(&every).await.unwrap();
    let in_nvt: Vec<u8> = doubled(&every)
        .iter()
        .flat_map(|&byte| [byte, 0].into_iter().take(1 + usize::from(byte == 13)))
        .collect();
    assert_eq!(got(&mut host).await, [b"\xff\xfc\0", &in_nvt[..]].concat());
    host.write_all(&in_nvt).await.unwrap();
    assert_eq!(hears(&mut line).await, every);
    assert!(!line.eight_bit());
}

#[tokio::test(start_paused = true)]
async fn data_waits_until_it_is_known_how_it_will_be_read() {
    // Answered: as the answer says, from the first byte on.
    let (mut line_, mut host) = line(23);
    let write = tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(line_);
        let reading = tokio::spawn(async move { reader.read_u8().await });
        writer.write_all(b"mary\r").await.unwrap();
        reading.abort();
    });
    sleep(Duration::from_secs(5)).await;
    assert_eq!(got(&mut host).await, ASKED);
    host.write_all(AGREED).await.unwrap();
    write.await.unwrap();
    assert_eq!(got(&mut host).await, b"mary\r");
    // Never answered, by a host that speaks: not for long, then as an NVT.
    (line_, host) = line(23);
    host.write_all(b"\xff\xfb\x01login: ").await.unwrap();
    assert_eq!(hears(&mut line_).await, b"login: ");
    let began = tokio::time::Instant::now();
    line_.write_all(b"mary\r").await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(got(&mut host).await, [ASKED, b"mary\r\0"].concat());
    // By one that says nothing at all: as it is, after ten seconds.
    (line_, host) = line(23);
    line_.write_all(b"\r").await.unwrap();
    assert_eq!(got(&mut host).await, [ASKED, b"\r"].concat());
    assert!(began.elapsed() <= Duration::from_secs(13), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_host_asks_it_is_told() {
    let (mut line, mut host) = agreed().await;
    host.write_all(b"\xff\xfd\x1f\xff\xfd\x18\xff\xfd\x20\xff\xfd\x27").await.unwrap();
    hears(&mut line).await;
    let told = b"\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0\xff\xfb\x18\xff\xfb\x20\xff\xfb\x27";
    assert_eq!(got(&mut host).await, told);
    // The old ENVIRON is not agreed to beside the new one.
    host.write_all(b"\xff\xfd\x24").await.unwrap();
    hears(&mut line).await;
    assert_eq!(got(&mut host).await, b"\xff\xfc\x24");
    host.write_all(b"\xff\xfa\x18\x01\xff\xf0\xff\xfa\x27\x01\xff\xf0").await.unwrap();
    hears(&mut line).await;
    let told = b"\xff\xfa\x18\0vt100\xff\xf0\xff\xfa\x27\0\0USER\x01mary\xff\xf0";
    assert_eq!(got(&mut host).await, told);
    // 255 is doubled in a window's size, too.
    assert!(line.set_window(255, 511).unwrap());
    hears(&mut line).await;
    assert_eq!(got(&mut host).await, b"\xff\xfa\x1f\x01\xff\xff\0\xff\xff\xff\xf0");
    // STATUS, LINEMODE, XDISPLOC and that we echo are refused; what was refused is not told.
    host.write_all(b"\xff\xfd\x05\xff\xfd\x22\xff\xfd\x23\xff\xfd\x01\xff\xfa\x23\x01\xff\xf0")
        .await
        .unwrap();
    hears(&mut line).await;
    assert_eq!(got(&mut host).await, b"\xff\xfc\x05\xff\xfc\x22\xff\xfc\x23\xff\xfc\x01");
    // A mark comes back, a data mark and a question that only a person could answer are no data.
    host.write_all(b"a\xff\xfd\x06\xff\xf2\xff\xf6b").await.unwrap();
    assert_eq!(hears(&mut line).await, b"ab");
    assert_eq!(got(&mut host).await, b"\xff\xfc\x06");
    assert!(line.set_break(true).unwrap());
    assert!(line.set_break(false).unwrap());
    hears(&mut line).await;
    assert_eq!(got(&mut host).await, b"\xff\xf3");
}

#[tokio::test(start_paused = true)]
async fn binary_that_the_host_has_ended_is_asked_for_again_when_it_is_needed() {
    let (mut line, mut host) = agreed().await;
    assert!(!line.ask_eight_bit(), "it is agreed already");
    host.write_all(b"\xff\xfc\0").await.unwrap();
    hears(&mut line).await;
    assert!(!line.eight_bit() && line.ask_eight_bit());
    hears(&mut line).await;
    assert_eq!(got(&mut host).await, b"\xff\xfe\0\xff\xfd\0");
    assert!(!line.ask_eight_bit(), "it is asked for already");
    host.write_all(b"\xff\xfb\0").await.unwrap();
    hears(&mut line).await;
    assert!(line.eight_bit());
    // From a host that refuses, and from one without TELNET.
    host.write_all(b"\xff\xfe\0").await.unwrap();
    hears(&mut line).await;
    assert!(line.ask_eight_bit());
    host.write_all(b"\xff\xfe\0").await.unwrap();
    hears(&mut line).await;
    assert!(!line.eight_bit());
    let (mut line, _host) = with(TelnetSettings::new("host".into(), 2323));
    assert!(!line.ask_eight_bit());
}

#[tokio::test(start_paused = true)]
async fn the_old_environ_makes_way_for_the_new_one() {
    let (mut line, mut host) = agreed().await;
    host.write_all(b"\xff\xfd\x24\xff\xfa\x24\x01\x01USER\xff\xf0").await.unwrap();
    hears(&mut line).await;
    assert_eq!(got(&mut host).await, b"\xff\xfb\x24\xff\xfa\x24\0\x01USER\0mary\xff\xf0");
    host.write_all(b"\xff\xfd\x27").await.unwrap();
    hears(&mut line).await;
    assert_eq!(got(&mut host).await, b"\xff\xfb\x27\xff\xfc\x24");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answers_marks_and_falls_silent_is_dead() {
    let (mut line, mut host) = agreed().await;
    let began = tokio::time::Instant::now();
    assert_eq!(line.read(&mut [0; 10]).await.unwrap(), 0);
    let limit = PROBE_AFTER + DEAD_AFTER;
    assert!((limit - Duration::from_millis(100)..=limit).contains(&began.elapsed()), "{:?}", began.elapsed());
    let why = line.why_ended().unwrap();
    assert!(why.contains("dead") && why.contains("70 s"), "{why}");
    assert_eq!(got(&mut host).await, b"\xff\xfd\x06");
    assert!(line.write_all(b"x").await.is_err());
    assert_eq!(line.read(&mut [0; 10]).await.unwrap(), 0, "and it stays at its end");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_says_anything_is_alive() {
    let (mut line, mut host) = agreed().await;
    for _ in 0..5 {
        // It answers, late.
        assert!(timeout(PROBE_AFTER + DEAD_AFTER / 2, line.read(&mut [0; 10])).await.is_err());
        assert_eq!(got(&mut host).await, b"\xff\xfd\x06");
        host.write_all(b"\xff\xfc\x06").await.unwrap();
    }
    for _ in 0..5 {
        // It never answers again, but speaks.
        assert!(timeout(DEAD_AFTER / 2, line.read(&mut [0; 10])).await.is_err());
        host.write_all(b".").await.unwrap();
        assert_eq!(hears(&mut line).await, b".");
    }
    // Nobody reads the line for an hour: that is our silence, not the host's.
    host.write_all(b"\xff\xfc\x06").await.unwrap();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(hears(&mut line).await, b"");
    host.write_all(b"still here").await.unwrap();
    assert_eq!(hears(&mut line).await, b"still here");
    assert_eq!(line.why_ended(), None);
}

/// A person pastes into a program that does not read, and waits for an hour.
#[tokio::test(start_paused = true)]
async fn a_host_whose_terminal_is_full_is_not_dead() {
    let (mut line, mut host) = agreed().await;
    line.write_all(&[b'x'; 5_000]).await.unwrap();
    assert!(timeout(Duration::from_secs(3600), line.read(&mut [0; 10])).await.is_err());
    assert_eq!(got(&mut host).await, [&[b'x'; 5_000][..], b"\xff\xfd\x06"].concat());
    // Read at last, and then it really dies. The mark that was asked for before is still owed.
    host.write_all(b".").await.unwrap();
    assert_eq!(hears(&mut line).await, b".");
    line.write_all(b"exit\r").await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(line.read(&mut [0; 10]).await.unwrap(), 0);
    assert!(began.elapsed() <= DEAD_AFTER, "{:?}", began.elapsed());
    assert!(line.why_ended().unwrap().contains("dead: 40 s"), "{:?}", line.why_ended());
}

#[tokio::test(start_paused = true)]
async fn from_a_host_that_never_answered_a_mark_silence_means_nothing() {
    let (mut line, mut host) = line(23);
    host.write_all(b"\xff\xfd\x01\xff\xfb\x01").await.unwrap(); // as BusyBox does
    assert!(timeout(Duration::from_secs(7200), line.read(&mut [0; 10])).await.is_err());
    assert_eq!(got(&mut host).await, [ASKED, b"\xff\xfc\x01"].concat());
    drop(host);
    assert_eq!(line.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(line.why_ended().unwrap(), "the host closed the connection");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_negotiates_for_ever_gets_a_bounded_answer() {
    for flood in [
        &b"\xff\xfb\0\xff\xfc\0"[..],
        b"\xff\xfd\0\xff\xfe\0",
        b"\xff\xfd\x05",
        b"\xff\xfa\x18\x01\xff\xf0",
        b"\xff\xfa\x27\x01\x00A\x00A\x00A\x00A\x00A\x00A\xff\xf0",
    ] {
        let (mut line, mut host) = agreed().await;
        host.write_all(b"\xff\xfd\x18\xff\xfd\x27").await.unwrap();
        hears(&mut line).await;
        got(&mut host).await;
        for _ in 0..1_000 {
            host.write_all(&flood.repeat(50)).await.unwrap();
            hears(&mut line).await;
        }
        let got = got(&mut host).await;
        assert!(got.len() < 4_000, "{}", got.len());
        host.write_all(b"login: ").await.unwrap();
        assert_eq!(hears(&mut line).await, b"login: ");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_floods_and_reads_nothing_fills_no_memory() {
    for flood in [&b"\xff\xfd\x06"[..], b"\xff\xfb\x21\xff\xfd\x05", b"\xff\xfa\x18\x01\xff\xf0"] {
        let (ours, mut host) = tokio::io::duplex(64);
        let mut line = TelnetLine::new(ours, TelnetSettings::new("host".into(), 23));
        let flooding = tokio::spawn(async move {
            for _ in 0..20_000 {
                host.write_all(flood).await.unwrap();
            }
            host
        });
        hears(&mut line).await;
        flooding.await.unwrap();
        assert!(line.client.to_send().len() < 8_192, "{}", line.client.to_send().len());
    }
}

/// What a caller's own deadlines need: tokio's timers do not run out in a task that has used up its turn.
#[tokio::test(start_paused = true)]
async fn a_subnegotiation_without_end_leaves_a_deadline_its_turn() {
    let endless = AsyncReadExt::chain(&b"\xff\xfa"[..], tokio::io::repeat(0));
    let host = tokio::io::join(endless, tokio::io::sink());
    let mut line = TelnetLine::new(host, TelnetSettings::new("host".into(), 2323));
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 10];
        let mut deadline = std::pin::pin!(sleep(Duration::from_secs(5)));
        tokio::select! {
            biased; // as a session polls them
            read = line.read(&mut buffer) => panic!("nothing was data: {read:?}"),
            () = &mut deadline => {}
        }
    });
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(reading.is_finished(), "it reads and reads");
    reading.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_little_takes_all_in_the_end() {
    let (ours, mut host) = tokio::io::duplex(7);
    let mut line = TelnetLine::new(ours, TelnetSettings::new("host".into(), 2323));
    let bytes: Vec<u8> = (0..3 * PIECE).map(|n| n as u8).collect();
    let expected = bytes.clone();
    let reading = tokio::spawn(async move {
        let mut got = vec![0; expected.len()];
        host.read_exact(&mut got).await.unwrap();
        assert_eq!(got, expected);
    });
    line.write_all(&bytes).await.unwrap();
    line.shutdown().await.unwrap();
    reading.await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_of_a_host_are_read_the_same_however_they_come(
        parts in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..20),
                proptest::sample::select(vec![&b"\xff\xfb\0"[..], b"\xff\xfc\0", b"\xff\xfd\x18", b"\xff\xfa\x18\x01\xff\xf0", b"\r\0"])
                    .prop_map(<[u8]>::to_vec),
            ],
            0..30,
        ),
        chunk in 1..20usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (whole, cut) = (parts.concat(), chunk);
        let outcome = |chunk: usize| {
            runtime.block_on(async {
                let (mut line, mut host) = line(23);
                let mut heard = Vec::new();
                for piece in whole.chunks(chunk) {
                    host.write_all(piece).await.unwrap();
                    heard.extend(hears(&mut line).await);
                }
                (heard, got(&mut host).await, line.eight_bit())
            })
        };
        prop_assert_eq!(outcome(whole.len().max(1)), outcome(cut));
    }
}
