//! From `ATD` or `ATA` to a carrier: what the modem says on the way, and CONNECT read whole.

use std::time::{Duration, Instant};

use super::codec::{Heard, LF, Reader, Response};
use super::connect::{ConnectInfo, ConnectRate, Report};
use super::profile::Profile;
use super::ready::Awake;

/// Listens for CONNECT. What stands behind it is not taken: it belongs to whoever speaks next.
#[derive(Debug)]
pub(super) struct Carrier {
    reader: Reader,
    meaning: ConnectRate,
    /// Bit/s that the way behind the modem carries at most, where known.
    line_rate: Option<u32>,
    /// The modem answers in numbers. Where it answers in words, a number is no result.
    numeric: bool,
    /// The port's rate, in bit/s, where known.
    speed: Option<u32>,
    reports: Vec<(Report, String)>,
    /// CONNECT has come, and the LF that ends its line has not; it is waited for until then.
    line_feed: Option<(ConnectInfo, Instant)>,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Told {
    /// CONNECT, with what was reported before it.
    Connected(ConnectInfo),
    /// Any other line; a result that was glued to something is that result.
    Line(Response, String),
    /// Digits where results are words: an echo's, or noise.
    Digits(String),
}

impl Carrier {
    pub(super) fn new(profile: &Profile) -> Self {
        Self {
            reader: Reader::new(profile.codes.clone()),
            meaning: profile.connect_rate,
            line_rate: profile.line_rate,
            numeric: false,
            speed: None,
            reports: Vec::new(),
            line_feed: None,
        }
    }

    /// The modem is ready, and about to be told to make or to take a call.
    pub(super) fn expect(&mut self, awake: Awake) {
        (self.numeric, self.speed) = (awake.numeric, awake.speed);
    }

    /// This command line has been sent, without its CR.
    pub(super) fn asked(&mut self, command: &str) {
        self.reader.asked(command);
    }

    /// Reads up to the end of the first line worth telling, and returns how many bytes that was.
    pub(super) fn hear(&mut self, now: Instant, bytes: &[u8]) -> (usize, Option<Told>) {
        let mut taken = 0;
        while taken < bytes.len() {
            if let Some((info, _)) = self.line_feed.take() {
                taken += usize::from(bytes[taken] == LF);
                return (taken, Some(Told::Connected(info)));
            }
            let (length, heard) = self.reader.hear(&bytes[taken..]);
            taken += length;
            if let Some(told) = heard.and_then(|heard| self.read(now, heard)) {
                return (taken, Some(told));
            }
        }
        (taken, None)
    }

    fn read(&mut self, now: Instant, heard: Heard) -> Option<Told> {
        if heard.numeric && !self.numeric {
            return Some(Told::Digits(heard.text));
        }
        match heard.glued().unwrap_or_else(|| heard.response.clone()) {
            Response::Connect(info) => {
                let info = info.with_reports(std::mem::take(&mut self.reports));
                let info = info.settle(self.meaning, self.speed, self.line_rate);
                if heard.numeric || heard.ended_by == LF {
                    return Some(Told::Connected(info));
                }
                self.line_feed = Some((info, now + LINE_FEED_WAIT));
                None
            }
            Response::Report(report) => {
                if self.reports.len() < REPORTS_MAX {
                    self.reports.push((report, heard.text));
                }
                None
            }
            other => Some(Told::Line(other, heard.text)),
        }
    }

    /// Until when the LF behind CONNECT is waited for, if it is.
    pub(super) fn until(&self) -> Option<Instant> {
        self.line_feed.as_ref().map(|&(_, until)| until)
    }

    /// The connection whose LF has not come in time.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<ConnectInfo> {
        self.line_feed.take_if(|(_, until)| *until <= now).map(|(info, _)| info)
    }

    /// The call came to nothing: what was reported of it is forgotten.
    pub(super) fn forget(&mut self) {
        self.reports.clear();
    }
}

/// How long the LF behind CONNECT's CR may take; at 300 bit/s it takes 33 ms.
pub(super) const LINE_FEED_WAIT: Duration = Duration::from_millis(50);
/// Lines kept that tell about the connection.
const REPORTS_MAX: usize = 16;
