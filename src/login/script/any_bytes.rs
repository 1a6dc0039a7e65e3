//! Any bytes from a host, at any time and cut anywhere, against any script: it ends in time, tells no
//! secret, and it does not matter where the bytes were cut.

use std::time::Duration;

use proptest::prelude::*;

use super::machine::SCRIPT_WAIT_MAX;
use super::*;
use crate::login::Credentials;
use crate::machine::{Machine, Output};
use crate::secret::Secret;
use crate::sim::converse::epoch;

const PASSWORD: &str = "sesame-42";

/// Pieces of scripts, as words.
fn script() -> impl Strategy<Value = Script> {
    let words = prop_oneof![
        Just("ogin:--ogin:"),
        Just("ssword:"),
        Just("\\L"),
        Just("\\P\\d"),
        Just("x-BREAK-y-\\Ez-"),
        Just("$"),
        Just("\\Eab\\e"),
        Just("TIMEOUT 3"),
        Just("ABORT incorrect"),
        Just("\\qhunter22"),
        Just("\"\""),
        Just("SAY hello"),
    ];
    let regex = prop_oneof![Just("[$#>] ?$"), Just("(?i)login|name"), Just("^"), Just("\\b"), Just("a*")];
    (proptest::collection::vec(words, 1..10), proptest::option::of(regex), any::<bool>()).prop_filter_map(
        "it is a script",
        |(words, regex, optional)| {
            let mut steps = chat::parse(&words.join(" ")).ok()?.steps;
            if let Some(regex) = regex {
                let pattern = Some(Pattern::regex(regex).ok()?);
                let tries = vec![Try { first: Keys::default(), pattern, wait: Duration::from_secs(4) }];
                let expect = Expect { tries, aborts: Vec::new(), optional };
                steps.push(Step { number: 99, action: Action::Expect(expect) });
            }
            Script::new(steps).ok()
        },
    )
}

/// What arrives, and how many ms behind what came before.
fn schedule() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    let known: Vec<&'static [u8]> = vec![
        b"\r\nlogin: ",
        b"Password: ",
        b"mary\r\n",
        b"sesame-42\r\n",
        b"hunter22",
        b"Login incorrect\r\n",
        b"$ ",
        b"\x1b[6n",
        b"\x1b]0;",
        b"ab",
    ];
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::sample::select(known).prop_map(<[u8]>::to_vec),
    ];
    proptest::collection::vec((0u64..8_000, bytes), 0..40)
}

/// How it went: the outcome, all that was sent and all that was told.
fn drive(
    script: Script,
    arrivals: &[(u64, Vec<u8>)],
    hang_up: bool,
) -> Result<(ScriptOutcome, Vec<u8>, String), TestCaseError> {
    let credentials = Credentials {
        user: Some("mary".into()),
        password: Some(Secret::new(PASSWORD.into())),
        has_codes: false,
    };
    let mut login = ScriptLogin::new(script, credentials);
    let (start, mut now, mut at) = (epoch(), epoch(), epoch());
    let (mut sent, mut told, mut held) = (Vec::new(), String::new(), Vec::new());
    let mut arrivals = arrivals.iter();
    let mut next = arrivals.next();
    let mut hung_up = false;
    for _ in 0..STEPS_MAX {
        let taken = if held.is_empty() { 0 } else { login.handle_input(now, &held) };
        prop_assert!(taken <= held.len());
        held.drain(..taken);
        let due = loop {
            match login.poll_output(now) {
                Output::Transmit(transmit) => {
                    let is_password =
                        transmit.bytes.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes());
                    prop_assert!(!is_password || transmit.secret);
                    sent.extend_from_slice(&transmit.bytes);
                }
                Output::Control(_) => {}
                Output::Event(event) => told += &format!("{event:?}\n"),
                Output::Wait(due) => break due,
                Output::Done(outcome) => return Ok((outcome, sent, told)),
            }
        };
        if taken > 0 && !held.is_empty() {
            continue;
        }
        let due = due.ok_or_else(|| TestCaseError::fail("it waits for ever"))?;
        prop_assert!(now - start <= SCRIPT_WAIT_MAX, "still going after {:?}", now - start);
        let comes = next.map(|(after, _)| at + Duration::from_millis(*after));
        match (next, comes) {
            (Some((_, bytes)), Some(comes)) if comes <= due => {
                at = comes;
                now = now.max(comes);
                held.extend_from_slice(bytes);
                next = arrivals.next();
            }
            (None, _) if hang_up && !hung_up => {
                hung_up = true;
                login.handle_hangup(now);
            }
            (_, _) => {
                now = now.max(due);
                login.handle_timeout(now);
            }
        }
    }
    Err(TestCaseError::fail("it never ends"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_script_ends_in_time_and_tells_no_secret(
        script in script(), schedule in schedule(), hang_up in any::<bool>(),
    ) {
        let own: Vec<Secret> = script.secrets().collect();
        let waited = format!("{script:?}");
        let (outcome, sent, told) = drive(script, &schedule, hang_up)?;
        let told = format!("{told} {outcome:?} {}", outcome.as_ref().err().map(ToString::to_string).unwrap_or_default());
        // What is waited for is no secret, even if it is sent as a password as well.
        let own = own.iter().map(Secret::expose).filter(|text| *text == "hunter22" && !waited.contains(text));
        for secret in own.chain([PASSWORD]) {
            prop_assert!(!told.contains(secret), "{told}");
        }
        prop_assert!(sent.len() < 4_096, "{} bytes sent", sent.len());
    }

    #[test]
    fn where_the_bytes_are_cut_changes_nothing(script in script(), schedule in schedule()) {
        let whole = drive(script.clone(), &schedule, false)?;
        let bytewise: Vec<_> = schedule
            .iter()
            .flat_map(|(after, bytes)| {
                let gaps = std::iter::once(*after).chain(std::iter::repeat(0));
                bytes.iter().zip(gaps).map(|(&byte, gap)| (gap, vec![byte])).collect::<Vec<_>>()
            })
            .collect();
        // An arrival of no bytes keeps its time.
        let lost: u64 = schedule.iter().filter(|(_, bytes)| bytes.is_empty()).map(|(after, _)| after).sum();
        if lost == 0 {
            let cut = drive(script, &bytewise, false)?;
            prop_assert_eq!(whole, cut);
        }
    }
}

/// More steps than any script has within its time.
const STEPS_MAX: usize = 100_000;
