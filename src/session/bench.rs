//! A modem on its own, without an account: asked about itself, dialled to see what becomes of it, hung
//! up. What `mailcall modem` does, and each way out leaves the modem on-hook as a call does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::call::CallReport;
use super::dialling::{
    dial, end_call, hang_up, never_dialled, not_ready, set_up, tell_ready, told_afterwards,
};
use super::link::{LineEnd, Link};
use super::opening::{connect_failure, connected, open_unless};
use super::transcript::Transcript;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::{LineConfig, Remote};
use crate::line::{Leads, tcp};
use crate::machine::{Machine, Output};
use crate::modem::{Ask, Profile, Said};
use crate::store::dials::Dials;

/// A modem that has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The port, as the line calls it.
    pub port: String,
    /// Bit/s at which it answers, where the port has a rate.
    pub speed: Option<u32>,
    /// What it said to each question.
    pub said: Vec<Said>,
    /// The port's leads, where they are known.
    pub leads: Option<Leads>,
}

/// Asks the modem on `line` these questions. With `with_settings` its settings are sent first, as for a call, and
/// those that it refuses are noted.
pub async fn ask(
    line: &LineConfig,
    questions: &[String],
    with_settings: bool,
    transcript: Transcript,
    watch: Watch<'_>,
    mut interrupted: impl AsyncFnMut() -> &'static str,
) -> Result<Found, Failure> {
    let (mut link, profile) = open_modem(line, transcript, watch, &mut interrupted).await?;
    let question = Question { line, profile: &profile, questions, with_settings };
    ask_over(&mut link, question, watch, interrupted).await
}

/// A line as it was found without a call.
#[derive(Debug)]
pub struct Examined {
    /// What went not quite as it should when it was opened.
    pub warnings: Vec<String>,
    /// The port's leads at the end, where they are known.
    pub leads: Option<Leads>,
    /// The modem, set up as for a call and asked what it is; `None` on a line without one.
    pub modem: Option<Result<Found, Failure>>,
}

/// Opens a line, speaks to the modem if there is one, and closes it. Nothing is dialled.
pub async fn examine(
    line: &LineConfig,
    transcript: Transcript,
    watch: Watch<'_>,
    mut interrupted: impl AsyncFnMut() -> &'static str,
) -> Result<Examined, Failure> {
    let opened = open_unless(line, None, &mut interrupted, &mut |_| {}).await?;
    let warnings = opened.warnings().to_vec();
    let mut link = Link::new(opened, transcript);
    let modem = match &line.modem {
        None => None,
        Some(profile) => {
            let question = Question { line, profile, questions: &profile.identify, with_settings: true };
            Some(ask_over(&mut link, question, watch, interrupted).await)
        }
    };
    Ok(Examined { warnings, leads: link.leads(), modem })
}

/// The addresses of a line's host.
pub async fn look_up(remote: &Remote) -> Result<Vec<SocketAddr>, Failure> {
    let found = tcp::addresses(&remote.address, remote.connect_wait).await;
    found.map_err(|error| connect_failure(&error))
}

/// Connects to a line's host, says nothing, and lets go. Answers which of its addresses took it.
pub async fn connect_and_leave(remote: &Remote) -> Result<String, Failure> {
    let stream = connected(remote).await?;
    Ok(stream.peer_addr().map_or_else(|_| remote.address.to_string(), |peer| peer.to_string()))
}

/// What a modem is asked.
#[derive(Clone, Copy)]
struct Question<'a> {
    line: &'a LineConfig,
    profile: &'a Profile,
    questions: &'a [String],
    with_settings: bool,
}

async fn ask_over(
    link: &mut Link,
    question: Question<'_>,
    watch: Watch<'_>,
    mut interrupted: impl AsyncFnMut() -> &'static str,
) -> Result<Found, Failure> {
    let Question { line, profile, questions, with_settings } = question;
    let set_up = set_up(link, &line.modem_use);
    let mut ask = if with_settings {
        Ask::of_set_up(profile, &set_up, questions)
    } else {
        Ask::new(profile, &set_up, questions)
    };
    let asked = async {
        let outcome = link.drive(&mut ask, |_, event| {
            tell_ready(watch, event);
            Ok::<_, std::convert::Infallible>(())
        });
        outcome.await.unwrap_or_else(|never| match never {})
    };
    let outcome = tokio::select! {
        outcome = asked => outcome,
        signal = interrupted() => return Err(interrupted_by(signal, Stage::Preparing)),
    };
    let said = outcome.map_err(|error| {
        Failure::new(not_ready(&error, link), Stage::Preparing, format!("{}: {error}", link.name()))
    })?;
    if let Some(LineEnd::PortGone(why)) = link.end() {
        return Err(Failure::new(Ending::NoSuchPort, Stage::Preparing, format!("{}: {why}", link.name())));
    }
    Ok(Found { port: link.name(), speed: link.port_speed(), said, leads: link.leads() })
}

/// A dial to see what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Where the modem is.
    pub line: &'a LineConfig,
    /// What is remembered of earlier dials: a person's telephone is not rung here either.
    pub dials: &'a Dials,
    /// As an account's `phone` has it.
    pub number: &'a str,
    /// For how long the host is listened to.
    pub listen: Duration,
}

/// Dials, listens, and hangs up. What the host says is given to `heard`.
pub async fn dial_and_hang_up(
    attempt: Attempt<'_>,
    transcript: Transcript,
    watch: Watch<'_>,
    mut interrupted: impl AsyncFnMut() -> &'static str,
    mut heard: impl FnMut(&[u8]),
) -> (Result<(), Failure>, CallReport) {
    let Attempt { line, dials, number, listen } = attempt;
    let mut report = CallReport::default();
    let (mut link, profile) = match open_modem(line, transcript, watch, &mut interrupted).await {
        Ok(opened) => opened,
        Err(failure) => return (Err(failure), report),
    };
    let numbers = [number.to_owned()];
    let mut went = {
        let going = async {
            dial(&numbers, Some(dials), line, &mut link, watch, &mut report).await?;
            let mut listening = Listen::new(listen);
            link.drive(&mut listening, |_, bytes: Vec<u8>| {
                heard(&bytes);
                Ok::<_, Failure>(())
            })
            .await
        };
        tokio::select! {
            went = going => went,
            signal = interrupted() => Err(interrupted_by(signal, Stage::Dialling)),
        }
    };
    if !never_dialled(&went, &report) {
        watch(Progress::Stage(Stage::HangingUp, String::new()));
        let up = report.connect.is_some();
        report.off_hook = end_call(&mut interrupted, &mut link, &profile, up, &mut went).await.err();
        told_afterwards(&mut interrupted, &mut link, &profile, &mut went, &mut report).await;
    }
    (report.bytes_down, report.bytes_up) = (link.bytes_down, link.bytes_up);
    (went, report)
}

/// Brings the modem on `line` on-hook, whatever it was doing.
pub async fn hang_up_only(
    line: &LineConfig,
    transcript: Transcript,
    watch: Watch<'_>,
    mut interrupted: impl AsyncFnMut() -> &'static str,
) -> Result<(), Failure> {
    let (mut link, profile) = open_modem(line, transcript, watch, &mut interrupted).await?;
    watch(Progress::Stage(Stage::HangingUp, String::new()));
    let hung_up = tokio::select! {
        hung_up = hang_up(&mut link, &profile, true) => hung_up,
        signal = interrupted() => return Err(interrupted_by(signal, Stage::HangingUp)),
    };
    hung_up.map_err(|why| {
        let ending = if link.end().is_some() { Ending::NoSuchPort } else { Ending::ModemSilent };
        Failure::new(ending, Stage::HangingUp, format!("{}: {why}", link.name()))
    })
}

async fn open_modem(
    line: &LineConfig,
    transcript: Transcript,
    watch: Watch<'_>,
    interrupted: &mut impl AsyncFnMut() -> &'static str,
) -> Result<(Link, Profile), Failure> {
    let Some(profile) = line.modem.clone() else {
        let message = "this line has no modem (modem = \"none\", or a profile without `dial`): there is nothing to speak to";
        return Err(Failure::new(Ending::Config, Stage::Preparing, message));
    };
    let opened = open_unless(line, None, interrupted, watch).await?;
    Ok((Link::new(opened, transcript), profile))
}

fn interrupted_by(signal: &str, stage: Stage) -> Failure {
    Failure::new(Ending::Interrupted, stage, format!("ended by {signal}"))
}

/// Hears what comes for a while, and says nothing.
struct Listen {
    length: Duration,
    until: Option<Instant>,
    heard: Option<Vec<u8>>,
    hung_up: bool,
}

impl Listen {
    fn new(length: Duration) -> Self {
        Self { length, until: None, heard: None, hung_up: false }
    }
}

impl Machine for Listen {
    type Event = Vec<u8>;
    type Outcome = ();

    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) -> usize {
        self.heard.get_or_insert_default().extend_from_slice(bytes);
        bytes.len()
    }

    fn handle_hangup(&mut self, _now: Instant) {
        self.hung_up = true;
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, now: Instant) -> Output<Vec<u8>, ()> {
        let until = *self.until.get_or_insert(now + self.length);
        match self.heard.take() {
            Some(bytes) => Output::Event(bytes),
            None if self.hung_up || until <= now => Output::Done(()),
            None => Output::Wait(Some(until)),
        }
    }
}
