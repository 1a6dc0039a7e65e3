//! Any bytes as a host's, at any time, cut anywhere and cut off anywhere: the login ends in time and in few bytes,
//! the password goes to a password prompt and nowhere else, and where a new one is asked for nothing is typed.
//!
//! The first byte says what there is to log in with and whether the line is cut off; then come the arrivals.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use mailcall::login::prompts::{Prompt, prompt_look};
use mailcall::login::{Credentials, LOGIN_WAIT_MAX, Login, LoginError, LoginLimits};
use mailcall::machine::{Machine, Output, Transmit};
use mailcall::secret::Secret;
use mailcall::sim::converse::epoch;
use mailcall_fuzz::arrivals;

fuzz_target!(|data: &[u8]| {
    let [options, rest @ ..] = data else { return };
    let user = (options & 1 == 0).then(|| "mary".to_owned());
    let password = (options & 2 == 0).then(|| Secret::new(PASSWORD.to_owned()));
    let credentials = Credentials { user, password, has_codes: options & 4 != 0 };
    let mut login = Login::new(credentials, LoginLimits::default());
    let mut host = Host { arrivals: arrivals(rest), hangs_up: options & 8 != 0, at: epoch(), tail: Vec::new() };
    let mut codes = 0;
    while host.drive(&mut login) && codes < CODES_MAX {
        codes += 1;
        login.give_code(Secret::new(format!("code-{codes}")));
    }
});

/// The other end, and what it wrote last.
struct Host<'a> {
    arrivals: Vec<(Duration, &'a [u8])>,
    hangs_up: bool,
    at: Instant,
    tail: Vec<u8>,
}

impl Host<'_> {
    /// Until the login is over; true if it wants a code.
    fn drive(&mut self, login: &mut Login) -> bool {
        let start = self.at;
        let mut now = start;
        let mut held: Vec<u8> = Vec::new();
        let mut sent = 0;
        for _ in 0..STEPS_MAX {
            let due = match login.poll_output(now) {
                Output::Done(outcome) => {
                    let told = format!("{outcome:?}");
                    assert!(!told.contains(PASSWORD), "it is told: {told}");
                    self.at = now;
                    return matches!(outcome, Err(LoginError::CodeWanted { .. }));
                }
                Output::Transmit(transmit) => {
                    sent += transmit.bytes.len();
                    assert!(sent <= SENT_MAX, "it sends without end");
                    self.heard(&transmit);
                    continue;
                }
                Output::Control(_) => continue,
                Output::Event(event) => {
                    assert!(!format!("{event:?}").contains(PASSWORD), "it is told");
                    continue;
                }
                Output::Wait(due) => due.expect("a login always waits for something"),
            };
            assert!(now - start <= LOGIN_WAIT_MAX, "still going after {:?}", now - start);
            if !held.is_empty() {
                let taken = login.handle_input(now, &held);
                assert!(taken > 0 && taken <= held.len());
                self.tail.extend(held.drain(..taken));
            } else if self.arrivals.first().is_some_and(|(pause, _)| self.at + *pause <= due) {
                let (pause, bytes) = self.arrivals.remove(0);
                self.at += pause;
                now = now.max(self.at);
                held.extend_from_slice(bytes);
            } else if self.arrivals.is_empty() && self.hangs_up {
                login.handle_hangup(now);
            } else {
                now = now.max(due);
                login.handle_timeout(now);
            }
        }
        panic!("the login never ends");
    }

    /// What was typed fits what the host had written, as far as that was plain text.
    fn heard(&mut self, transmit: &Transmit) {
        if transmit.bytes.iter().map(|byte| byte & 0x7f).take(2).eq(*b"\x1b[") {
            return; // answers to the terminal are on no line
        }
        let line = self.tail.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        if line.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            let line = String::from_utf8_lossy(line);
            let look = prompt_look(&line);
            assert_ne!(look, Some(Prompt::ChangePassword), "{line:?} got {transmit:?}");
            let has_password = transmit.bytes.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes());
            assert!(!has_password || transmit.secret && line.ends_with([':', '>', '?', ' ']), "{line:?} got it");
        }
        self.tail.clear();
    }
}

const PASSWORD: &str = "sesame-42";
/// More codes than a login takes.
const CODES_MAX: usize = 5;
/// More outputs and waits than a login has within its time.
const STEPS_MAX: usize = 200_000;
/// More bytes than the most demanding host gets.
const SENT_MAX: usize = 1_500;
