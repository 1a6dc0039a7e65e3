//! Asking a modem about itself, its last call or the line: commands whose answer is text.
//!
//! ```text
//! Readying (ready.rs) -> Asking -> Gap -> Asking .. -> Done(what it said)
//! ```
//!
//! An answer ends at OK or ERROR, or when its time is over; a modem that says nothing to one question
//! is asked the next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::codec::{Heard, Reader, Response};
use super::dial::DIAL_WAIT_MAX;
use super::profile::Profile;
use super::ready::{
    Awake, COMMAND_GAP, Command, Need, Ready, ReadyError, ReadyEvent, SetUp, accepted, setup_commands,
};
use crate::machine::{Inner, Machine, Output, Transmit};

/// Asks one question after the other.
#[derive(Debug)]
pub struct Ask {
    questions: VecDeque<String>,
    wait: Duration,
    state: State,
    reader: Reader,
    numeric: bool,
    awake: Option<Awake>,
    said: Vec<Said>,
    outputs: VecDeque<Output<ReadyEvent, Result<Vec<Said>, AskError>>>,
}

/// What a modem said to one question.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Said {
    /// The command, with its AT.
    pub command: String,
    /// The lines of its answer, without OK or ERROR.
    pub lines: Vec<String>,
    /// Whether it ended with OK; false for ERROR or none.
    pub ok: bool,
}

/// There is no modem to ask.
pub type AskError = ReadyError;

#[derive(Debug)]
enum State {
    Readying(Box<Ready>),
    Gap { until: Instant },
    Asking { until: Instant },
    Ended,
}

impl Ask {
    /// Asks `questions` (without their AT) of a modem that is woken first, and told to answer in words.
    pub fn new(profile: &Profile, set_up: &SetUp, questions: &[String]) -> Self {
        let mut setup = setup_commands(profile, &set_up.choices, DIAL_WAIT_MAX);
        setup.retain(|command| command.setting == "init");
        Self::behind(profile, set_up, setup, questions)
    }

    /// The same of a modem that is set up as for a call first. What it refuses is noted.
    pub fn of_set_up(profile: &Profile, set_up: &SetUp, questions: &[String]) -> Self {
        let setup = setup_commands(profile, &set_up.choices, DIAL_WAIT_MAX);
        Self::behind(profile, set_up, setup, questions)
    }

    fn behind(profile: &Profile, set_up: &SetUp, mut setup: Vec<Command>, questions: &[String]) -> Self {
        // A question is worth asking even if a setting does not hold.
        for command in setup.iter_mut().filter(|command| command.need == Need::Needed) {
            command.need = Need::Optional;
        }
        Self {
            questions: questions.iter().take(QUESTIONS_MAX).cloned().collect(),
            wait: profile.command_wait.max(ANSWER_WAIT),
            state: State::Readying(Box::new(Ready::new(profile, set_up, setup))),
            reader: Reader::new(profile.codes.clone()),
            numeric: false,
            awake: None,
            said: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Asks `questions` of a modem that has just been spoken to: nothing is set up.
    pub fn of_awake(profile: &Profile, questions: &[String]) -> Self {
        let ready = Ready::new(profile, &SetUp::default(), Vec::new());
        Self { state: State::Readying(Box::new(ready)), ..Self::new(profile, &SetUp::default(), questions) }
    }

    /// How the modem was found, once it is awake.
    pub fn awake(&self) -> Option<Awake> {
        self.awake
    }

    fn advance(&mut self, now: Instant) {
        match self.state {
            State::Gap { until } if until <= now => self.ask(now),
            State::Asking { until } if until <= now => self.gap(now),
            State::Readying(_) | State::Gap { .. } | State::Asking { .. } | State::Ended => {}
        }
    }

    fn ask(&mut self, now: Instant) {
        let Some(question) = self.questions.pop_front() else {
            let said = std::mem::take(&mut self.said);
            return self.end(Ok(said));
        };
        let command = format!("AT{question}");
        self.reader.asked(&command);
        self.outputs.push_back(Output::Transmit(Transmit::plain(format!("{command}\r"))));
        self.said.push(Said { command, lines: Vec::new(), ok: false });
        self.state = State::Asking { until: now + self.wait };
    }

    fn gap(&mut self, now: Instant) {
        self.state = State::Gap { until: now + COMMAND_GAP };
    }

    fn hear(&mut self, now: Instant, heard: Heard) {
        let State::Asking { .. } = self.state else { return };
        let Some(said) = self.said.last_mut() else { return };
        if heard.numeric && !self.numeric {
            return keep(said, heard.text); // `14400` or `0` as an answer
        }
        // In the middle of an answer, ERROR may begin a line about error control.
        let alone = said.lines.is_empty() && heard.text.starts_with("ERROR");
        let glued = heard.glued().filter(|_| heard.text.starts_with("AT") || alone);
        match accepted(glued.as_ref().unwrap_or(&heard.response)) {
            Some(ok) => {
                said.ok = ok;
                // What an error says is part of the answer: `+CME ERROR: 10`.
                if !ok && heard.text.contains(':') {
                    keep(said, heard.text);
                }
                self.gap(now);
            }
            None if matches!(heard.response, Response::Echo)
                && heard.text.eq_ignore_ascii_case(&said.command) => {}
            None if matches!(heard.response, Response::Ring | Response::CallerId) => {}
            None => keep(said, heard.text),
        }
    }

    fn end(&mut self, outcome: Result<Vec<Said>, AskError>) {
        self.state = State::Ended;
        self.outputs.push_back(Output::Done(outcome));
    }
}

fn keep(said: &mut Said, line: String) {
    if said.lines.len() < LINES_MAX {
        said.lines.push(line);
    }
}

impl Machine for Ask {
    type Event = ReadyEvent;
    type Outcome = Result<Vec<Said>, AskError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.advance(now);
        let mut taken = 0;
        while taken < bytes.len() {
            match &mut self.state {
                State::Ended => break,
                State::Readying(ready) => return taken + ready.handle_input(now, &bytes[taken..]),
                State::Gap { .. } | State::Asking { .. } => {
                    let (length, heard) = self.reader.hear(&bytes[taken..]);
                    taken += length;
                    if let Some(heard) = heard {
                        self.hear(now, heard);
                    }
                }
            }
        }
        taken
    }

    fn handle_hangup(&mut self, _now: Instant) {
        match self.state {
            State::Ended => {}
            State::Readying(_) => self.end(Err(AskError::PortGone)),
            // What was said until then is worth having.
            State::Gap { .. } | State::Asking { .. } => {
                let said = std::mem::take(&mut self.said);
                self.end(Ok(said));
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if let State::Readying(ready) = &mut self.state {
            ready.handle_timeout(now);
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<Self::Event, Self::Outcome> {
        loop {
            self.advance(now);
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            match &mut self.state {
                State::Readying(ready) => match ready.poll_output(now).passed_on() {
                    Ok(output) => return output,
                    Err(Inner::Event(event)) => return Output::Event(event),
                    Err(Inner::Done(Ok(awake))) => {
                        (self.numeric, self.awake) = (awake.numeric, Some(awake));
                        self.gap(now);
                    }
                    Err(Inner::Done(Err(error))) => self.end(Err(error)),
                },
                State::Gap { until } | State::Asking { until } => return Output::Wait(Some(*until)),
                State::Ended => return Output::Wait(None),
            }
        }
    }
}

/// The least time that an answer is waited for: `ATI6` of an old modem is long, and its port slow.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// Questions asked in one conversation.
const QUESTIONS_MAX: usize = 32;
/// Lines of one answer that are kept: the longest (`AT&V`) has about 60.
const LINES_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modem::scripted::{Scripted, generic};
    use crate::sim::converse::{Conversation, converse};
    use crate::sim::wire::LineQuality;

    fn ask(
        modem: &mut Scripted,
        questions: &[&str],
    ) -> Conversation<ReadyEvent, Result<Vec<Said>, AskError>> {
        let questions: Vec<String> = questions.iter().map(|&question| question.to_owned()).collect();
        let mut ask = Ask::new(&generic(), &SetUp::default(), &questions);
        converse(&mut ask, modem, LineQuality::PERFECT, 1, Duration::from_secs(300))
    }

    #[test]
    fn answers_are_kept_line_by_line_and_told_from_results() {
        let answers: Vec<(&str, &[u8])> = vec![
            ("I0", b"\r\n14400\r\n\r\nOK\r\n"),
            ("I3", b"\r\n0\r\n\r\nRING\r\n\r\nSportster\r\nOK\r\n"),
            ("+CEER", b"\r\n+CEER: no carrier\r\n\r\nOK\r\n"),
            ("+GMM", b"\r\n+CME ERROR: 10\r\n"),
            ("I9", b""),
        ];
        for echo in [false, true] {
            let mut modem = Scripted { echo, answers: answers.clone(), ..Scripted::new() };
            let said = ask(&mut modem, &["I0", "I3", "+CEER", "I9", "+GMM"])
                .outcome
                .expect("it ends")
                .expect("awake");
            let lines: Vec<Vec<&str>> =
                said.iter().map(|said| said.lines.iter().map(String::as_str).collect()).collect();
            assert_eq!(
                lines,
                [
                    vec!["14400"],
                    vec!["0", "Sportster"],
                    vec!["+CEER: no carrier"],
                    vec![],
                    vec!["+CME ERROR: 10"]
                ]
            );
            assert_eq!(said.iter().map(|said| said.ok).collect::<Vec<_>>(), [true, true, true, false, false]);
        }
    }

    #[test]
    fn an_error_with_its_reason_ends_an_answer_but_not_in_the_middle_of_one() {
        let answers: Vec<(&str, &[u8])> = vec![
            ("I0", b"\r\nERROR unknown command\r\n"),
            ("&V", b"\r\nACTIVE PROFILE\r\nERROR CONTROL: V42\r\n\r\nOK\r\n"),
        ];
        let asked = ask(&mut Scripted { answers, ..Scripted::new() }, &["I0", "&V"]);
        let said = asked.outcome.expect("it ends").expect("awake");
        assert_eq!((said[0].ok, said[1].ok), (false, true));
        assert_eq!(said[1].lines, ["ACTIVE PROFILE", "ERROR CONTROL: V42"]);
        assert!(asked.elapsed < Duration::from_secs(3), "{:?}", asked.elapsed);
    }

    #[test]
    fn a_modem_that_never_stops_talking_is_left_in_time() {
        let mut modem = Scripted { flood: b"RING\r\nx\r\n".to_vec(), deaf: true, ..Scripted::new() };
        let asked = ask(&mut modem, &["I0", "I3"]);
        assert!(matches!(asked.outcome, Some(Err(AskError::Garbled { .. }))), "{:?}", asked.outcome);
    }
}
