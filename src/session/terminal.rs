//! The line in a person's hands: what is typed goes out, what arrives is shown, and one key is kept back
//! for us.
//!
//! `carrying` is the loop between line, keyboard and screen. [`keys`] says what a key means, [`view`] what
//! bytes look like, `screen` where our own words may stand, [`dialogue`] what is said and waited for by
//! itself, [`log`] what stays. All of these but the log are functions of bytes, without I/O.

use std::cell::RefCell;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use self::carrying::{Carrying, Wish};
use super::call::{CallPlan, CallReport, OnLine, now, on_a_line};
use super::calling::{at_the_end, connect};
use super::dialling::hang_up;
use super::files::{FilesError, receive_files, refuse, send_files};
use super::link::Link;
use super::logging_in::log_in;
use super::transcript::Transcript;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::config::EscapeKey;
use crate::login::LoginEvent;
use crate::transfer::zmodem::{SendError, ZmodemError};

mod carrying;
pub mod desk;
pub mod dialogue;
mod editor;
pub mod keys;
pub mod log;
mod paths;
mod screen;
pub mod view;

pub use desk::{Desk, Input};

/// Whoever sits before the screen.
pub struct Person<'a> {
    /// What is typed, each byte as it comes.
    pub keyboard: &'a mut (dyn AsyncRead + Unpin),
    /// What is shown, all bytes as they come.
    pub screen: &'a mut (dyn AsyncWrite + Unpin),
    /// Where our own words go, if not to the screen.
    pub aside: Option<&'a mut (dyn AsyncWrite + Unpin)>,
    /// Rows and columns, now and each time they change.
    pub window: &'a mut tokio::sync::watch::Receiver<(u16, u16)>,
}

/// How a session in a person's hands ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The person asked for it.
    ByKey,
    /// The person asked for it, and the call stays up.
    StaysUp,
    /// Nothing more can be typed or shown: the terminal is gone.
    KeyboardGone,
    /// Nobody reads any more what the host says.
    ScreenGone,
    /// The input has ended, and the host has been quiet since.
    InputEnded,
    /// The line is gone.
    LineEnded {
        /// Why.
        why: String,
        /// What was on it came to its end by itself.
        well: bool,
    },
}

/// A line that is ready for a person.
pub struct Ready<'a> {
    on: OnLine<'a>,
    login: bool,
    /// What the host said until now, line by line, secrets masked.
    pub said: Vec<String>,
    /// The unfinished line that it waits behind.
    pub prompt: String,
}

/// Makes a call as any other is made, logs in if asked to, and hands the line over by `seat`.
pub async fn terminal(
    plan: &CallPlan,
    login: bool,
    transcript: Transcript,
    watch: Watch<'_>,
    interrupted: impl AsyncFnMut() -> &'static str,
    mut seat: impl AsyncFnMut(Ready<'_>) -> Result<Left, Failure>,
) -> (Result<Left, Failure>, CallReport) {
    let what = async |mut on: OnLine<'_>| {
        let (said, prompt) = reach(&mut on, login).await?;
        *on.begun = true;
        (on.watch)(Progress::Stage(Stage::Terminal, String::new()));
        seat(Ready { on, login, said, prompt }).await
    };
    on_a_line(plan, transcript, watch, interrupted, what).await
}

/// From a line just opened, or a modem on-hook, to a host that waits for a person.
async fn reach(on: &mut OnLine<'_>, login: bool) -> Result<(Vec<String>, String), Failure> {
    if connect(on).await?.is_some() {
        let message = "the host was to hang up and call back, and has given a shell instead";
        return Err(Failure::new(Ending::LoginTimeout, Stage::Shell, message));
    }
    let (mut said, mut prompt) = (Vec::new(), String::new());
    if login {
        let user = on.plan.account.user.as_deref();
        let mut note = |event| {
            if let LoginEvent::Text(line) = event {
                said.push(line);
            }
        };
        prompt = log_in(on.plan, user, on.link, on.watch, on.recall, &mut note).await?.prompt;
    }
    Ok((said, prompt))
}

impl Ready<'_> {
    /// Carries both ways until one side ends it. The greeting is ours, and shown first.
    pub async fn hand_over(
        mut self,
        person: &mut Person<'_>,
        desk: &mut Desk,
        greeting: &str,
    ) -> Result<Left, Failure> {
        // The dialogue is on the screen already.
        self.on.link.transcript.begin_payload(now());
        let mut carrying = Carrying::begin(self.on.link, person, desk);
        carrying.greet(greeting);
        carrying.hear_again(&self.said, &self.prompt);
        let left = self.carry(&mut carrying).await;
        carrying.end().await;
        self.on.link.transcript.end_payload(now());
        left
    }

    async fn carry(&mut self, carrying: &mut Carrying<'_, '_>) -> Result<Left, Failure> {
        // Whether there is a call is not ours to know once the modem was spoken to by hand.
        let mut by_hand = false;
        loop {
            match carrying.run(self.on.link).await? {
                Wish::Leave(Left::ByKey | Left::InputEnded) if carrying.stays_up(self.on.link) => {
                    return Ok(Left::StaysUp);
                }
                Wish::Leave(left) => {
                    if by_hand {
                        self.on.carrier_since.get_or_insert_with(now);
                    }
                    return Ok(left);
                }
                Wish::HangUp => {
                    self.hang_up(carrying).await;
                    by_hand = true;
                }
                Wish::Dial => self.dial(carrying).await,
                Wish::Receive => receive(self.on.link, carrying).await,
                Wish::Send(paths) => send(self.on.link, carrying, &paths).await,
                Wish::Refuse => {
                    refuse(self.on.link).await;
                    carrying.carried(Ok(()));
                }
            }
        }
    }

    /// Ends the call and keeps the port.
    async fn hang_up(&mut self, carrying: &mut Carrying<'_, '_>) {
        let on = &mut self.on;
        let Some(profile) = &on.line.modem else {
            return carrying.drop_dtr(on.link).await;
        };
        let hung_up = hang_up(on.link, &at_the_end(on.plan, profile), true).await;
        count_call(on.report, on.carrier_since);
        carrying.told(&match hung_up {
            Ok(()) => match carrying.escape() {
                EscapeKey::Never => "hung up".to_owned(),
                key => format!("hung up; the modem listens, and {key} d dials again"),
            },
            Err(why) => format!("the modem may still be off-hook: {why}"),
        });
    }

    /// Dials again, and logs in again if that was asked for. What goes wrong ends no session: the person is
    /// at the port, and may try by hand.
    async fn dial(&mut self, carrying: &mut Carrying<'_, '_>) {
        let on = &mut self.on;
        let Some(profile) = &on.line.modem else {
            return carrying.told("this line has no modem that mailcall could dial with");
        };
        if on.carrier_since.is_some() && on.link.end().is_none() {
            return carrying.told("a call is up: h hangs it up");
        }
        let notes = RefCell::new(Vec::new());
        let mut note = |progress| notes.borrow_mut().push(progress);
        let outcome = {
            let mut again = OnLine {
                plan: on.plan,
                line: on.line,
                link: &mut *on.link,
                watch: &mut note,
                report: &mut *on.report,
                carrier_since: &mut *on.carrier_since,
                begun: &mut *on.begun,
                recall: &mut *on.recall,
            };
            let mut reaching = pin!(reach(&mut again, self.login));
            loop {
                let outcome = tokio::select! {
                    reached = &mut reaching => Some(Some(reached)),
                    stop = carrying.wait_for_stop() => stop.then_some(None),
                };
                notes.borrow_mut().drain(..).for_each(|progress| carrying.told(&in_words(&progress)));
                if let Some(outcome) = outcome {
                    break outcome;
                }
            }
        };
        match outcome {
            Some(Ok((said, prompt))) => carrying.hear_again(&said, &prompt),
            Some(Err(failure)) => carrying.told(&failure.to_string()),
            None => {
                // A dial that is broken off may have connected all the same.
                let hung_up = hang_up(on.link, &at_the_end(on.plan, profile), true).await;
                count_call(on.report, on.carrier_since);
                let how = hung_up.err().map(|why| format!("; the modem may still be off-hook: {why}"));
                carrying.told(&format!("given up{}", how.unwrap_or_default()));
            }
        }
    }
}

/// Receives what the host's `sz` sends. What goes wrong ends no session.
async fn receive(link: &mut Link, carrying: &mut Carrying<'_, '_>) {
    let told = RefCell::new(Vec::new());
    let mut watch = |progress| told.borrow_mut().push(progress);
    let folder = carrying.downloads();
    let (_, went) = receive_files(link, &folder, &mut watch, carrying.until_stopped(&told)).await;
    carrying.show_progress(&told);
    carrying.carried(went.map_err(|error| not_carried(&error)));
}

/// Sends these to the host's `rz`. The same holds.
async fn send(link: &mut Link, carrying: &mut Carrying<'_, '_>, paths: &[PathBuf]) {
    let told = RefCell::new(Vec::new());
    let mut watch = |progress| told.borrow_mut().push(progress);
    let (_, went) = send_files(link, paths, &mut watch, carrying.until_stopped(&told)).await;
    carrying.show_progress(&told);
    carrying.carried(went.map_err(|error| not_carried(&error)));
}

/// Why files were not carried, in words for a person who is there.
fn not_carried(error: &FilesError) -> String {
    match error {
        FilesError::Receive(ZmodemError::Cancelled { .. }) | FilesError::Send(SendError::Cancelled) => {
            "the transfer was stopped".to_owned()
        }
        FilesError::Receive(_) | FilesError::Send(_) | FilesError::Disk(_) => error.to_string(),
    }
}

/// A call is over: what it took is counted.
fn count_call(report: &mut CallReport, carrier_since: &mut Option<Instant>) {
    if let Some(since) = carrier_since.take() {
        report.call_time += now().saturating_duration_since(since);
    }
}

fn in_words(progress: &Progress) -> String {
    match progress {
        Progress::Stage(stage, with) => format!("{stage} {with}").trim_end().to_owned(),
        Progress::Note(note) => note.clone(),
        Progress::Bytes { done, total, rate: _ } => format!("{done} of {total} bytes"),
    }
}
