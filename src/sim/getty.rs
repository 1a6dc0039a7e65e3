//! The simulated host's login prompt: what getty(8) and login(1) show, as a state machine.
//!
//! It asks for a user name, echoing it as a terminal driver would, and for a password, echoing
//! nothing; it is slow to say no, and hangs up after three tries or a minute. What runs behind it,
//! a shell mostly, is its owner's business.

use std::time::{Duration, Instant};

use super::converse::{Peer, PeerStep};
use crate::secret::Secret;

/// A login prompt in front of something.
pub struct Getty {
    hostname: String,
    issue: String,
    accounts: Vec<(String, Secret)>,
    state: State,
    output: Vec<u8>,
    typed: Typed,
    failures: u32,
    after_return: bool,
    /// As a [`Peer`], what stands on the prompt once someone is logged in.
    prompt: Vec<u8>,
}

/// What the login prompt wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum GettyStep {
    /// Send these bytes.
    Transmit(Vec<u8>),
    /// This user is in; from here on the line belongs to what runs behind the prompt.
    LoggedIn(String),
    /// End the line once what was sent has arrived.
    HangUp,
    /// Nothing until input comes or, if given, this moment.
    Wait(Option<Instant>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nobody has looked yet.
    Idle,
    /// At `login: `, until the deadline.
    Name { deadline: Instant },
    /// At `Password: `, until the deadline.
    Password { user: String, deadline: Instant },
    /// The password was wrong; the answer comes late, so that guessing is slow.
    Denied { until: Instant },
    /// The password was right, and the owner is yet to be told.
    Accepted { user: String },
    /// The owner was told: input is no longer for us.
    LoggedIn,
    /// Tried too often or too long.
    HungUp,
}

/// The line being typed, wiped when it goes.
#[derive(Default)]
struct Typed(zeroize::Zeroizing<Vec<u8>>);

impl Getty {
    /// A prompt for these users and passwords. `issue` is the banner; its lines end in `\n`.
    pub fn new(hostname: &str, issue: &str, accounts: Vec<(String, Secret)>) -> Self {
        Self {
            hostname: hostname.to_owned(),
            issue: issue.replace('\n', "\r\n"),
            accounts,
            state: State::Idle,
            output: Vec::new(),
            typed: Typed::default(),
            failures: 0,
            after_return: false,
            prompt: Vec::new(),
        }
    }

    /// Keys that were typed.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.wake(now);
        for &byte in bytes {
            let follows_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            if follows_return && byte == b'\n' {
                continue; // CR LF is one RETURN
            }
            match self.state {
                State::Name { .. } | State::Password { .. } => self.handle_key(now, byte),
                // login(1) throws away what was typed while it slept.
                State::Denied { .. } => {}
                State::Idle | State::Accepted { .. } | State::LoggedIn | State::HungUp => {}
            }
        }
    }

    /// What to do next. Called until it answers `Wait`; a deadline that has passed is noticed here.
    pub fn poll(&mut self, now: Instant) -> GettyStep {
        self.wake(now);
        if !self.output.is_empty() {
            return GettyStep::Transmit(std::mem::take(&mut self.output));
        }
        match &self.state {
            State::Name { deadline } | State::Password { deadline, .. } => GettyStep::Wait(Some(*deadline)),
            State::Denied { until } => GettyStep::Wait(Some(*until)),
            State::Accepted { user } => {
                let user = user.clone();
                self.state = State::LoggedIn;
                GettyStep::LoggedIn(user)
            }
            State::Idle | State::LoggedIn => GettyStep::Wait(None),
            State::HungUp => GettyStep::HangUp,
        }
    }

    /// Does what time alone brings about.
    fn wake(&mut self, now: Instant) {
        match self.state {
            State::Idle => {
                self.say("\r\n");
                self.output.extend_from_slice(self.issue.as_bytes());
                self.ask_name(now);
            }
            State::Name { deadline } | State::Password { deadline, .. } if now >= deadline => {
                self.say(&format!("\r\nLogin timed out after {} seconds\r\n", LOGIN_WAIT_MAX.as_secs()));
                self.state = State::HungUp;
            }
            State::Denied { until } if now >= until => {
                self.failures += 1;
                self.say("Login incorrect\r\n");
                if self.failures < TRIES_MAX {
                    self.say("\r\n");
                    self.ask_name(now);
                } else {
                    self.state = State::HungUp;
                }
            }
            State::Name { .. } | State::Password { .. } | State::Denied { .. } => {}
            State::Accepted { .. } | State::LoggedIn | State::HungUp => {}
        }
    }

    fn ask_name(&mut self, now: Instant) {
        self.say(&format!("{} login: ", self.hostname));
        self.state = State::Name { deadline: now + LOGIN_WAIT_MAX };
    }

    /// One key at a prompt, as the terminal driver's line editing takes it.
    fn handle_key(&mut self, now: Instant, key: u8) {
        let echoes = matches!(self.state, State::Name { .. });
        match key {
            b'\r' | b'\n' => self.handle_return(now),
            BACKSPACE | DELETE => {
                if self.typed.0.pop().is_some() && echoes {
                    self.say("\x08 \x08");
                }
            }
            KILL => {
                for _ in 0..self.typed.0.len() {
                    if echoes {
                        self.say("\x08 \x08");
                    }
                }
                self.typed.0.clear();
            }
            END_OF_FILE if self.typed.0.is_empty() => self.state = State::HungUp,
            0x00..=0x1f => {} // other control keys do nothing here
            printable => {
                if self.typed.0.len() < TYPED_MAX {
                    self.typed.0.push(printable);
                    self.output.extend(echoes.then_some(printable));
                }
            }
        }
    }

    fn handle_return(&mut self, now: Instant) {
        let typed = std::mem::take(&mut self.typed);
        self.say("\r\n");
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Name { .. } if typed.0.is_empty() => self.ask_name(now),
            State::Name { deadline } => {
                self.say("Password: ");
                let user = String::from_utf8_lossy(&typed.0).into_owned();
                self.state = State::Password { user, deadline };
            }
            State::Password { user, .. } => {
                let is_right = |(name, password): &(String, Secret)| {
                    *name == user && password.expose().as_bytes() == typed.0.as_slice()
                };
                self.state = if self.accounts.iter().any(is_right) {
                    State::Accepted { user }
                } else {
                    State::Denied { until: now + DENIAL_DELAY }
                };
            }
            // Keys reach us in the two states above only.
            other => self.state = other,
        }
    }

    fn say(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
    }
}

/// Alone on a line, without anything behind it: once someone is in, a shell's prompt and no shell.
impl Peer for Getty {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        Self::handle_input(self, now, bytes);
        if self.state == State::LoggedIn {
            for _ in bytes.iter().filter(|&&byte| byte == b'\r') {
                self.say("\r\n");
                self.output.extend_from_slice(&self.prompt);
            }
        }
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        match Self::poll(self, now) {
            GettyStep::Transmit(bytes) => PeerStep::Transmit(bytes),
            GettyStep::LoggedIn(user) => {
                self.prompt = format!("{user}@{}:~$ ", self.hostname).into_bytes();
                PeerStep::Transmit(self.prompt.clone())
            }
            GettyStep::HangUp => PeerStep::HangUp,
            GettyStep::Wait(at) => PeerStep::Wait(at),
        }
    }
}

const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
const KILL: u8 = 0x15; // ^U
const END_OF_FILE: u8 = 0x04; // ^D
/// From `login: ` to the end of the password, as LOGIN_TIMEOUT in login.defs(5).
const LOGIN_WAIT_MAX: Duration = Duration::from_secs(60);
/// Before a wrong password is answered, as pam_unix(8) has it.
const DENIAL_DELAY: Duration = Duration::from_secs(2);
/// Wrong passwords before it hangs up.
const TRIES_MAX: u32 = 3;
/// Bytes of a user name or password; more are not taken.
const TYPED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sim::converse::epoch;

    fn getty() -> Getty {
        Getty::new("station", "Field station\n\n", vec![("mary".into(), Secret::new("sesame".into()))])
    }

    /// Types keys at a moment and reads what comes of it.
    fn at(getty: &mut Getty, seconds: u64, keys: &str) -> (String, GettyStep) {
        let now = epoch() + Duration::from_secs(seconds);
        getty.handle_input(now, keys.as_bytes());
        let mut shown = String::new();
        loop {
            match getty.poll(now) {
                GettyStep::Transmit(bytes) => shown.push_str(&String::from_utf8_lossy(&bytes)),
                step => return (shown, step),
            }
        }
    }

    #[test]
    fn the_right_password_lets_in_and_is_not_echoed() {
        let mut getty = getty();
        assert_eq!(at(&mut getty, 0, "").0, "\r\nField station\r\n\r\nstation login: ");
        assert_eq!(at(&mut getty, 1, "mary\r").0, "mary\r\nPassword: ");
        assert_eq!(at(&mut getty, 2, "sesame\r"), ("\r\n".into(), GettyStep::LoggedIn("mary".into())));
        assert_eq!(at(&mut getty, 3, "ls\r"), (String::new(), GettyStep::Wait(None)));
    }

    #[test]
    fn backspace_and_kill_edit_the_name_and_crlf_is_one_return() {
        let mut getty = getty();
        at(&mut getty, 0, "");
        assert_eq!(at(&mut getty, 1, "bob\x15").0, "bob\x08 \x08\x08 \x08\x08 \x08");
        assert_eq!(at(&mut getty, 1, "\x7fmaru\x08y\r\n").0, "maru\x08 \x08y\r\nPassword: ");
        assert_eq!(at(&mut getty, 1, "sesane\x7f\x7fme\n").1, GettyStep::LoggedIn("mary".into()));
    }

    #[test]
    fn an_empty_name_is_asked_for_again() {
        let mut getty = getty();
        at(&mut getty, 0, "");
        assert_eq!(at(&mut getty, 1, "\r").0, "\r\nstation login: ");
    }

    #[test]
    fn a_wrong_password_is_refused_late_and_the_third_hangs_up() {
        let mut getty = getty();
        at(&mut getty, 0, "");
        for (start, after) in
            [(1, "Login incorrect\r\n\r\nstation login: "), (5, "Login incorrect\r\n\r\nstation login: ")]
        {
            assert_eq!(at(&mut getty, start, "mary\rwrong\r").0, "mary\r\nPassword: \r\n");
            assert_eq!(at(&mut getty, start + 1, "typed too early\r").0, "");
            assert_eq!(at(&mut getty, start + 2, "").0, after);
        }
        at(&mut getty, 9, "root\r\r");
        assert_eq!(at(&mut getty, 11, ""), ("Login incorrect\r\n".into(), GettyStep::HangUp));
    }

    #[test]
    fn a_minute_without_a_login_hangs_up() {
        let mut getty = getty();
        assert_eq!(at(&mut getty, 0, "").1, GettyStep::Wait(Some(epoch() + LOGIN_WAIT_MAX)));
        at(&mut getty, 30, "mary\r");
        assert_eq!(at(&mut getty, 60, "sesame\r").1, GettyStep::HangUp);
    }

    proptest! {
        #[test]
        fn any_keys_leave_it_waiting_or_hung_up(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..20)) {
            let mut getty = getty();
            for (second, chunk) in chunks.iter().enumerate() {
                let now = epoch() + Duration::from_secs(second as u64);
                getty.handle_input(now, chunk);
                let steps = (0..10).take_while(|_| matches!(getty.poll(now), GettyStep::Transmit(_) | GettyStep::LoggedIn(_)));
                prop_assert!(steps.count() < 10);
                prop_assert!(getty.typed.0.len() <= TYPED_MAX);
            }
        }
    }
}
