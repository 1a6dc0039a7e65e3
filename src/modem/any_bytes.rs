//! Any bytes, at any time and cut anywhere, against each machine of this room: it ends within the time
//! that it states, and takes no more than it was offered. Dial and HangUp have theirs beside them, too.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::ask::Ask;
use super::codec::{Reader, Response, ResultCodes};
use super::connect::ConnectInfo;
use super::dial::{DIAL_OVERHEAD_MAX, Dial};
use super::hangup::{HANG_UP_MAX, HangUp};
use super::number::DialRules;
use super::profile::Profile;
use super::ready::{READY_MAX, Ready, SetUp, setup_commands};
use super::scripted::{generic, ms};
use crate::machine::{Machine, Output};
use crate::sim::converse::epoch;

/// What arrives, and how long behind what came before.
type Schedule = Vec<(u64, Vec<u8>)>;

/// Bytes that mean something to a modem's driver, and any others.
fn schedule(pause_max: u64) -> impl Strategy<Value = Schedule> {
    let known: Vec<&'static [u8]> = vec![
        b"\r\nOK\r\n",
        b"0\r",
        b"4\r",
        b"\r\nERROR\r\n",
        b"\r\n+CME ERROR: 30\r\n",
        b"\r\nNO CARRIER\r\n",
        b"\r\nCONNECT 9600/ARQ\r\n",
        b"13LC\r",
        b"\r\nRING\r\n",
        b"AT\r",
        b"ATE0OK\r",
        b"\r",
        b"\n",
        b"+++",
        b"CARRIER 1200/75\r\n",
    ];
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::sample::select(known).prop_map(<[u8]>::to_vec),
    ];
    proptest::collection::vec((0..pause_max, bytes), 0..80)
}

/// Feeds the machine by schedule, then nothing more. How long it took to end.
fn drive<M: Machine>(machine: &mut M, schedule: Schedule) -> Result<Duration, TestCaseError> {
    let mut now = epoch();
    let mut arrivals = schedule.into_iter().scan(now, |at, (after, bytes)| {
        *at += ms(after);
        Some((*at, bytes))
    });
    let mut next: Option<(Instant, Vec<u8>)> = arrivals.next();
    let mut held: Vec<u8> = Vec::new();
    for _ in 0..STEPS_MAX {
        let due = match machine.poll_output(now) {
            Output::Done(_) => return Ok(now - epoch()),
            Output::Transmit(_) | Output::Control(_) | Output::Event(_) => continue,
            Output::Wait(due) => due,
        };
        match next.take() {
            Some((at, bytes)) if due.is_none_or(|due| at <= due) => {
                now = now.max(at);
                held.extend(bytes);
                let taken = machine.handle_input(now, &held);
                prop_assert!(taken <= held.len());
                held.drain(..taken);
                next = arrivals.next();
            }
            later => {
                next = later;
                let due = due.ok_or_else(|| TestCaseError::fail("it waits for ever"))?;
                now = now.max(due);
                machine.handle_timeout(now);
            }
        }
    }
    Err(TestCaseError::fail("the machine never ends"))
}

/// Profiles that differ in what matters to the machines: own numbers, another escape, rates to try.
fn profile(index: usize) -> Profile {
    let texts = [
        "",
        "codes = { 13 = \"CONNECT 9600/ARQ\", 9 = \"RINGING\", 34 = \"FAX\" }",
        "escape_with_at = true\nguard_ms = 100\nconnect_rate = \"port\"",
        "init = [\"Q0V1\", \"+CMEE=1\", { send = \"+CBST=7,0,1\", wait_ms = 5000 }]\nreset = \"\"",
    ];
    let text = format!("inherits = \"generic\"\n{}\n", texts[index % texts.len()]);
    Profile::parse("of the test", &text).expect("it is sound")
}

fn set_up(tries_speeds: bool, has_dtr: bool) -> SetUp {
    SetUp { speed: Some(57_600), tries_speeds, has_dtr, ..SetUp::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn readying_ends_within_its_limit(
        index in 0usize..4, speeds in any::<bool>(), dtr in any::<bool>(), schedule in schedule(6_000),
    ) {
        let (profile, set_up) = (profile(index), set_up(speeds, dtr));
        let setup = setup_commands(&profile, &set_up.choices, Duration::from_secs(55));
        let mut ready = Ready::new(&profile, &set_up, setup);
        let took = drive(&mut ready, schedule)?;
        prop_assert!(took <= READY_MAX, "{took:?}");
    }

    #[test]
    fn asking_ends_within_its_limit(
        index in 0usize..4, speeds in any::<bool>(), dtr in any::<bool>(), schedule in schedule(4_000),
    ) {
        let profile = profile(index);
        let questions = ["I0", "I6", "+CEER", "&V1"].map(str::to_owned);
        let took = drive(&mut Ask::new(&profile, &set_up(speeds, dtr), &questions), schedule)?;
        prop_assert!(took <= READY_MAX + 4 * (profile.command_wait + ms(1_000)), "{took:?}");
    }

    #[test]
    fn dialling_ends_within_its_limit(
        index in 0usize..4, speeds in any::<bool>(), dtr in any::<bool>(), schedule in schedule(8_000),
    ) {
        let wait = Duration::from_secs(20);
        let mut dial = Dial::new(profile(index), &set_up(speeds, dtr), &DialRules::default(), "1", wait).expect("a sound number");
        let took = drive(&mut dial, schedule)?;
        prop_assert!(took <= DIAL_OVERHEAD_MAX + wait, "{took:?}");
    }

    #[test]
    fn hanging_up_ends_within_its_limit(index in 0usize..4, dtr in any::<bool>(), schedule in schedule(2_000)) {
        let took = drive(&mut HangUp::new(&profile(index), dtr), schedule)?;
        prop_assert!(took <= HANG_UP_MAX, "{took:?}");
    }

    #[test]
    fn any_string_is_read_as_a_connection(text in any::<String>(), port in any::<Option<u32>>()) {
        for text in [text.clone(), format!("CONNECT{text}"), format!("connect {text}")] {
            let info = ConnectInfo::read(&text).settle(generic().connect_rate, port, None);
            prop_assert!(!info.sentence().is_empty() || text.is_empty());
        }
    }

    #[test]
    fn a_connect_line_with_a_part_of_another_is_read(
        one in 0usize..LINES.len(), other in 0usize..LINES.len(), at in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(), byte in any::<char>(),
    ) {
        let (one, other) = (LINES[one], LINES[other]);
        let (at, from) = (at.index(one.len() + 1), from.index(other.len() + 1));
        let text = format!("{}{byte}{}", &one[..at], &other[from..]);
        let info = ConnectInfo::read(&text);
        // A name is never taken for a rate, nor two numbers for one.
        let longest = text.split(|c: char| !c.is_ascii_digit() && c != ',').map(str::len).max();
        let shown = |rate: Option<u32>| rate.map_or(0, |rate| rate.to_string().len());
        for rate in [info.rate, info.rate_up, info.port_rate] {
            prop_assert!(shown(rate) <= longest.unwrap_or(0), "{text}: {rate:?}");
        }
    }

    #[test]
    fn a_result_glued_to_any_text_is_found_or_not_without_harm(
        before in "[ -~]{0,20}", words in "(OK|ERROR|BUSY|CONNECT 2400|NO CARRIER|FAX|VOICE)",
        behind in "[ -~]{0,3}", end in proptest::sample::select(vec!['\r', '\n']),
    ) {
        let codes = ResultCodes::from([("13".to_owned(), "CONNECT 9600/ARQ".to_owned())]);
        let line = format!("{before}{words}{behind}{end}");
        let (taken, heard) = Reader::new(codes).hear(line.as_bytes());
        prop_assert!(taken <= line.len());
        let heard = heard.expect("the line has ended and says something");
        // The same with any text: a result that is glued is another than the line's own.
        if let Some(glued) = heard.glued() {
            prop_assert_ne!(glued, heard.response);
        }
    }

    #[test]
    fn glued_takes_any_line(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
        let mut reader = Reader::default();
        let mut rest = [&bytes[..], b"\r"].concat();
        while !rest.is_empty() {
            let (taken, heard) = reader.hear(&rest);
            prop_assert!(taken > 0 && taken <= rest.len());
            if let Some(glued) = heard.and_then(|heard| heard.glued()) {
                prop_assert!(!matches!(glued, Response::Text | Response::Echo), "{glued:?} is no result");
            }
            rest.drain(..taken);
        }
    }
}

/// CONNECT in makers' forms, to be cut and joined.
const LINES: [&str; 8] = [
    "CONNECT 33600/ARQ/V34/LAPM/V42BIS",
    "CONNECT 38400/V.32bis 14400/V.42bis",
    "CONNECT 115200/V34/LAPM/V42B/TX=28800/RX=28000",
    "CONNECT 115200/V.90/LAP-M/V.44/31200:TX/49333:RX",
    "CONNECT 75TX/1200RX",
    "CONNECT 28800 LAPM COMPRESSED",
    "CONNECT 64000/X.75",
    "CONNECT 33,600bps",
];
/// More outputs and waits than any machine of this room has.
const STEPS_MAX: usize = 20_000;
