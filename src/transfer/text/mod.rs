//! Carries a range of a file as text, through the agent of [`crate::shell`], from a host that has
//! no `sz`.
//!
//! The range travels in runs of a few seconds of line time each. A run is packed by the host's gzip
//! where there is one, encoded, and cut into frames of a few hundred characters, each with its number
//! and checksum. Frames that noise (or a `wall`) hit are asked for again by number while the next run
//! streams on, so the line never idles and nothing travels twice. Nothing but printable ASCII is on
//! the line. The host sends only what was asked for: who stops asking is rid of it within two runs.

mod host;
mod run;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::machine::{Machine, Output, Transmit};
use crate::shell::agent::Request;
use crate::shell::frame::{Frame, FrameReader};
use crate::shell::{Channel, Run as ShellRun, Shell, ShellError, last_words, remember};
use run::{Run, RunBody, RunFrame};

pub use host::{first_run, functions};

/// Brings home the bytes from `from` up to `to` of a file.
#[derive(Debug)]
pub struct TextReceive {
    channel: Channel,
    seq: u32,
    gzipped: bool,
    state: State,
    reader: FrameReader,
    said: Vec<u8>,
    /// In the order of the file.
    runs: VecDeque<Run>,
    runs_begun: u64,
    requests: u64,
    /// Where the next run begins.
    next: u64,
    to: u64,
    run_bytes: u64,
    lines: usize,
    progress_at: Option<Instant>,
    wake: Option<Instant>,
    patience: Duration,
    tries: u32,
    summary: TextSummary,
    output: VecDeque<Output<TextEvent, Result<TextSummary, TextError>>>,
}

#[derive(Debug)]
enum State {
    /// The functions are on their way to the host.
    Load(Box<ShellRun>),
    Stream,
    Over,
}

/// What is told on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextEvent {
    /// The file's bytes, in order and without gaps. To be stored before polling on.
    Data {
        /// Where in the file they belong.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Frames arrived damaged and are asked for again.
    AskedAgain {
        /// How many; none means a whole run, of which nothing had arrived.
        frames: usize,
    },
}

/// How it went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextSummary {
    /// Bytes of the file.
    pub bytes: u64,
    /// Frames asked for again.
    pub frames_again: u64,
}

/// Why the range is not here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The shell failed underneath.
    #[error(transparent)]
    Shell(#[from] ShellError),
    /// The host does not let us read the file.
    #[error("the host does not let us read the mailbox: check its name and its permissions")]
    Unreadable,
    /// The file does not hold what was asked for.
    #[error("the file on the host changed: at byte {offset} it no longer holds what it held. Fetch again")]
    Changed {
        /// Where the range that came out wrong begins.
        offset: u64,
    },
    /// The owner said stop.
    #[error("the transfer was cancelled")]
    Cancelled,
}

impl TextReceive {
    /// Prepares a transfer. `path` is a word of sh ([`crate::shell::quote::quote_path`]).
    pub fn new(shell: &mut Shell, path: &str, from: u64, to: u64) -> Self {
        let load = functions(shell.channel().nonce, path, shell.facts());
        let load = shell.load(&load, LOAD_MAX);
        let state = if from < to { State::Load(Box::new(load)) } else { State::Stream };
        let seq = shell.next_seq();
        Self::in_state(shell, seq, state, from, to)
    }

    /// The same where the agent has evaluated [`functions`] for this file already.
    pub fn loaded(shell: &mut Shell, from: u64, to: u64) -> Self {
        let seq = shell.next_seq();
        Self::in_state(shell, seq, State::Stream, from, to)
    }

    /// The same where [`first_run`] was sent from there under this number, and the host has begun with it.
    pub fn begun(shell: &Shell, seq: u32, from: u64, to: u64) -> Self {
        let mut receive = Self::in_state(shell, seq, State::Stream, from, to);
        let length = RUN_BYTES_FIRST.min(receive.to - from);
        if length > 0 {
            let mut run = Run::new(format!("{seq}.1"), from, length, LINES_FIRST);
            (run.request, run.under_way) = (1, true);
            receive.runs.push_back(run);
            (receive.runs_begun, receive.requests, receive.next) = (1, 1, from + length);
        }
        receive
    }

    fn in_state(shell: &Shell, seq: u32, state: State, from: u64, to: u64) -> Self {
        let channel = shell.channel();
        Self {
            channel,
            seq,
            gzipped: shell.facts().gzips,
            state,
            reader: FrameReader::new(channel.nonce, channel.sum),
            said: Vec::new(),
            runs: VecDeque::new(),
            runs_begun: 0,
            requests: 0,
            next: from,
            to: to.max(from),
            run_bytes: RUN_BYTES_FIRST,
            lines: LINES_FIRST,
            progress_at: None,
            wake: None,
            patience: channel.gap() + PATIENCE_BEYOND_GAP,
            tries: 0,
            summary: TextSummary::default(),
            output: VecDeque::new(),
        }
    }

    /// Stops asking: the host falls silent within two runs, about [`RUN_TIME`] each.
    pub fn cancel(&mut self) {
        self.end(Err(TextError::Cancelled));
    }

    /// Asks for runs while few enough are under way.
    fn ask_for_more(&mut self, now: Instant) {
        while self.next < self.to
            && self.runs.len() < RUNS_KEPT_MAX
            && self.runs.iter().filter(|run| run.under_way).count() < RUNS_UNDER_WAY_MAX
        {
            let length = self.run_bytes.min(self.to - self.next);
            self.runs_begun += 1;
            let id = format!("{}.{}", self.seq, self.runs_begun);
            self.runs.push_back(Run::new(id, self.next, length, self.lines));
            self.next += length;
            self.request(now, self.runs.len() - 1);
        }
        if self.runs.is_empty() {
            self.end(Ok(self.summary));
        }
    }

    /// Asks for what lacks of one run.
    fn request(&mut self, now: Instant, place: usize) {
        self.requests += 1;
        let run = &mut self.runs[place];
        (run.request, run.under_way, run.heard) = (self.requests, true, false);
        let command = host::run_command(&run.id, run.offset, run.length, run.lines, &run.lacking());
        let seq = format!("{}.{}", self.seq, self.requests);
        let line = Request::Here { command: &command }.line(self.channel.sum, &seq);
        self.output.push_back(Output::Transmit(Transmit::plain(line)));
        self.expect_within(now, self.patience);
    }

    fn request_again(&mut self, now: Instant, place: usize) {
        let lacking = self.runs[place].lacking().len();
        self.summary.frames_again += lacking as u64;
        self.output.push_back(Output::Event(TextEvent::AskedAgain { frames: lacking }));
        self.request(now, place);
    }

    fn handle_frame(&mut self, now: Instant, frame: Frame) {
        // Whole or hit: the host speaks.
        self.patience = self.channel.gap();
        match frame {
            Frame::Transfer(body) => {
                if let Some(frame) = RunFrame::parse(&body, self.channel.sum) {
                    self.handle_run_frame(now, frame);
                }
            }
            Frame::Nak { last } => self.handle_nak(now, &last),
            // The end of what the shell did before, or a frame that will be missed.
            Frame::Loader | Frame::Ack { .. } | Frame::Block { .. } | Frame::Damaged => {}
        }
    }

    fn handle_run_frame(&mut self, now: Instant, frame: RunFrame) {
        let Some(place) = self.runs.iter().position(|run| run.id == frame.run) else { return };
        let run = &mut self.runs[place];
        run.heard = true;
        run.first_heard_at.get_or_insert(now);
        let request = run.request;
        let is_new = match frame.body {
            RunBody::Text { index, text } => run.keep(index, text),
            RunBody::Last { count } => run.end(count),
        };
        if is_new {
            self.progress_at = Some(now);
        }
        self.expect_within(now, self.channel.gap());
        // Runs come in the order of their requests: what was asked for earlier has gone by, and of
        // those still under way the end was lost.
        for earlier in 0..self.runs.len() {
            if self.runs[earlier].under_way && self.runs[earlier].request < request {
                self.try_again(now, earlier);
            }
        }
        let run = &self.runs[place];
        if is_new && run.is_whole() {
            self.tries = 0;
            self.adapt(now, place);
            self.deliver(now);
        } else if !run.under_way && !run.is_whole() {
            self.try_again(now, place);
        }
    }

    /// Gives out what is whole, in the order of the file, and asks for more.
    fn deliver(&mut self, now: Instant) {
        while self.runs.front().is_some_and(Run::is_whole) {
            let Some(run) = self.runs.pop_front() else { return };
            let offset = run.offset;
            let Some(bytes) = run.bytes(self.channel.hex, self.gzipped) else {
                return self.end(Err(TextError::Changed { offset }));
            };
            self.summary.bytes += bytes.len() as u64;
            self.output.push_back(Output::Event(TextEvent::Data { offset, bytes }));
        }
        self.ask_for_more(now);
    }

    /// Sizes the next runs for the line: a run takes about [`RUN_TIME`], a frame is short where many
    /// are hit.
    fn adapt(&mut self, now: Instant, place: usize) {
        let run = &self.runs[place];
        let took = run.first_heard_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let fitting = match took.as_millis() {
            0 => RUN_BYTES_MAX,
            millis => (u128::from(run.length) * RUN_TIME.as_millis() / millis) as u64,
        };
        self.run_bytes = fitting.clamp(RUN_BYTES_MIN, RUN_BYTES_MAX).min(2 * run.length.max(RUN_BYTES_MIN));
        self.lines = match run.lost_percent {
            Some(lost) if lost >= LOST_PERCENT_MANY => (run.lines / 2).max(1),
            Some(0) => (run.lines + 2).min(LINES_MAX),
            Some(_) | None => run.lines,
        };
    }

    /// A line of ours was damaged: the first that was sent after the last the host took.
    fn handle_nak(&mut self, now: Instant, last: &str) {
        let taken = last
            .split_once('.')
            .filter(|(seq, _)| seq.parse() == Ok(self.seq))
            .and_then(|(_, request)| request.parse().ok())
            .unwrap_or(0);
        let lost = self.runs.iter().position(|run| run.under_way && !run.heard && run.request == taken + 1);
        if let Some(place) = lost {
            self.try_again(now, place);
        }
    }

    fn try_again(&mut self, now: Instant, place: usize) {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            let doing = "carrying the mailbox";
            return self.end(Err(ShellError::TooNoisy { tries: TRIES_MAX, doing }.into()));
        }
        self.request_again(now, place);
    }

    fn expect_within(&mut self, now: Instant, wait: Duration) {
        self.wake = Some(now + wait);
    }

    fn end(&mut self, outcome: Result<TextSummary, TextError>) {
        if !matches!(self.state, State::Over) {
            self.state = State::Over;
            self.output.retain(|output| matches!(output, Output::Event(_)));
            self.output.push_back(Output::Done(outcome));
        }
    }

    fn poll_load(&mut self, now: Instant) -> Option<Output<TextEvent, Result<TextSummary, TextError>>> {
        let State::Load(load) = &mut self.state else { return None };
        match load.poll_output(now) {
            Output::Transmit(transmit) => return Some(Output::Transmit(transmit)),
            Output::Control(control) => return Some(Output::Control(control)),
            Output::Event(_) => return self.poll_load(now),
            Output::Wait(until) => return Some(Output::Wait(until)),
            Output::Done(Ok(reply)) if reply.status == 0 => self.state = State::Stream,
            Output::Done(Ok(_)) => self.end(Err(TextError::Unreadable)),
            Output::Done(Err(error)) => self.end(Err(error.into())),
        }
        None
    }
}

impl Machine for TextReceive {
    type Event = TextEvent;
    type Outcome = Result<TextSummary, TextError>;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        if let State::Load(load) = &mut self.state {
            return load.handle_input(now, bytes);
        }
        // Whoever speaks is not silent: a long frame takes seconds on a slow line.
        self.wake = self.wake.map(|wake| wake.max(now + self.channel.gap()));
        for (position, &byte) in bytes.iter().enumerate() {
            if matches!(self.state, State::Over) {
                return position;
            }
            remember(&mut self.said, byte);
            for frame in self.reader.push(byte) {
                self.handle_frame(now, frame);
            }
        }
        bytes.len()
    }

    fn handle_hangup(&mut self, _now: Instant) {
        self.end(Err(ShellError::CarrierLost { doing: "carrying the mailbox" }.into()));
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let State::Load(load) = &mut self.state {
            return load.handle_timeout(now);
        }
        if matches!(self.state, State::Over) || self.wake.is_none_or(|wake| now < wake) {
            return;
        }
        if self.progress_at.is_some_and(|at| now >= at + SILENCE_MAX) {
            let last = last_words(&self.said);
            return self.end(Err(ShellError::Silent { doing: "carrying the mailbox", last }.into()));
        }
        self.patience = (2 * self.patience).min(PATIENCE_MAX);
        for place in 0..self.runs.len() {
            if self.runs[place].under_way {
                self.try_again(now, place);
            }
        }
    }

    fn poll_output(&mut self, now: Instant) -> Output<TextEvent, Result<TextSummary, TextError>> {
        if let Some(output) = self.poll_load(now) {
            return output;
        }
        if self.progress_at.is_none() && matches!(self.state, State::Stream) {
            self.progress_at = Some(now);
            self.wake = Some(now + self.patience);
            self.ask_for_more(now);
        }
        let give_up_at = self.progress_at.unwrap_or(now) + SILENCE_MAX;
        self.wake = self.wake.map(|wake| wake.min(give_up_at));
        self.output.pop_front().unwrap_or(Output::Wait(self.wake))
    }
}

/// What one run should take on the line; who cancels waits for two of them.
pub const RUN_TIME: Duration = Duration::from_secs(8);

/// A run's length before the line is known, and its bounds, in bytes of the file. Shorter ones pack
/// badly, and at 2,400 bit/s that is where the time goes.
const RUN_BYTES_FIRST: u64 = 4 * 1024;
const RUN_BYTES_MIN: u64 = 4 * 1024;
const RUN_BYTES_MAX: u64 = 64 * 1024;

/// Runs that the host is told to send, so that the line does not idle between two.
const RUNS_UNDER_WAY_MAX: usize = 2;
/// Runs in memory, while one of them waits for what was hit.
const RUNS_KEPT_MAX: usize = 4;

/// Lines of the encoder (76 characters of base64) in a frame: at first and at most.
const LINES_FIRST: usize = 8;
const LINES_MAX: usize = 10;
/// From this share of hit frames on, frames are made shorter.
const LOST_PERCENT_MANY: usize = 15;

/// How long the host may take over loading.
const LOAD_MAX: Duration = Duration::from_secs(45);
/// Nothing new for this long ends it.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// Time for the host to begin, beyond the line's own.
const PATIENCE_BEYOND_GAP: Duration = Duration::from_secs(2);
const PATIENCE_MAX: Duration = Duration::from_secs(30);
/// Repetitions without a whole run in between.
const TRIES_MAX: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::fake_host::FakeHost;
    use crate::shell::{Open, OpenOptions};
    use crate::sim::converse::{Conversation, converse, epoch};
    use crate::sim::wire::LineQuality;

    const LIMIT: Duration = Duration::from_secs(3_600);

    fn opened(host: &mut FakeHost) -> Shell {
        let mut open = Open::new(7, OpenOptions::default());
        let talk = converse(&mut open, host, LineQuality::PERFECT, 1, LIMIT);
        talk.outcome.expect("an end").expect("a shell")
    }

    fn line(bps: u32, latency_ms: u64, bit_error_rate: f64) -> LineQuality {
        LineQuality { bps: Some(bps), latency: Duration::from_millis(latency_ms), bit_error_rate }
    }

    type Talk = Conversation<TextEvent, Result<TextSummary, TextError>>;

    fn receive(host: &mut FakeHost, quality: LineQuality, seed: u64, from: u64, to: u64) -> Talk {
        let mut shell = opened(host);
        converse(&mut TextReceive::new(&mut shell, "x", from, to), host, quality, seed, LIMIT)
    }

    fn data(talk: &Talk, from: u64) -> Vec<u8> {
        let mut file = Vec::new();
        for event in &talk.events {
            if let TextEvent::Data { offset, bytes } = event {
                assert_eq!(*offset, from + file.len() as u64, "in order and without gaps");
                file.extend_from_slice(bytes);
            }
        }
        file
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut rng = fastrand::Rng::with_seed(3);
        std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
    }

    #[test]
    fn a_clean_line_is_kept_full() {
        for (bps, latency_ms, percent) in [(57_600, 50, 92), (33_600, 100, 92), (2_400, 600, 88)] {
            let mut host = FakeHost::new(7);
            host.prints = noise(if bps == 2_400 { 30_000 } else { 300_000 });
            let to = host.prints.len() as u64;
            let talk = receive(&mut host, line(bps, latency_ms, 0.0), 1, 0, to);
            assert_eq!(talk.outcome, Some(Ok(TextSummary { bytes: to, frames_again: 0 })));
            assert!(data(&talk, 0) == host.prints);
            let least = to as f64 * 4.0 / 3.0 * 10.0 / f64::from(bps);
            let share = 100.0 * least / talk.elapsed.as_secs_f64();
            assert!(share > f64::from(percent), "{bps} bit/s: {share:.1} % of base64's best");
        }
    }

    #[test]
    fn noise_costs_the_frames_it_hits_and_damages_nothing() {
        for (bit_error_rate, percent) in [(1e-5, 80.0), (1e-4, 50.0)] {
            for seed in 0..8 {
                let mut host = FakeHost::new(7);
                host.prints = noise(100_000);
                let talk = receive(&mut host, line(9_600, 100, bit_error_rate), seed, 11, 99_999);
                assert!(matches!(talk.outcome, Some(Ok(_))), "seed {seed}: {:?}", talk.outcome);
                assert!(data(&talk, 11) == host.prints[11..99_999], "seed {seed}");
                let least = 100_000.0 * 4.0 / 3.0 * 10.0 / 9_600.0;
                let share = 100.0 * least / talk.elapsed.as_secs_f64();
                assert!(share > percent, "{bit_error_rate}, seed {seed}: {share:.1} %");
            }
        }
    }

    #[test]
    fn a_wall_costs_one_frame() {
        for wall_after in (900..24_000).step_by(1_117) {
            let mut host = FakeHost::new(7);
            host.prints = noise(12_000);
            host.wall_after = Some(wall_after);
            let talk = receive(&mut host, line(9_600, 100, 0.0), 1, 0, 12_000);
            assert!(data(&talk, 0) == host.prints, "wall after {wall_after}: {:?}", talk.outcome);
            assert!(talk.outcome.is_some_and(|end| end.is_ok_and(|summary| summary.frames_again <= 2)));
        }
    }

    #[test]
    fn a_host_that_falls_silent_ends_it_and_what_came_is_kept() {
        let mut host = FakeHost::new(7);
        host.prints = noise(100_000);
        host.mute_after = Some(60_000);
        let talk = receive(&mut host, line(57_600, 50, 0.0), 1, 0, 100_000);
        assert!(
            matches!(talk.outcome, Some(Err(TextError::Shell(ShellError::Silent { .. })))),
            "{:?}",
            talk.outcome
        );
        let came = data(&talk, 0);
        assert!(came.len() > 20_000 && came == host.prints[..came.len()]);
        assert!(talk.elapsed < Duration::from_secs(120), "{:?}", talk.elapsed);
    }

    #[test]
    fn a_file_that_became_shorter_is_noticed() {
        let mut host = FakeHost::new(7);
        host.prints = noise(5_000);
        let talk = receive(&mut host, LineQuality::PERFECT, 1, 0, 6_000);
        assert_eq!(talk.outcome, Some(Err(TextError::Changed { offset: 4_096 })));
    }

    #[test]
    fn who_cancels_hears_no_more_than_two_runs() {
        let mut host = FakeHost::new(7);
        host.prints = noise(2_000_000);
        let mut shell = opened(&mut host);
        let mut receive = TextReceive::new(&mut shell, "x", 0, 2_000_000);
        let quality = line(9_600, 100, 0.0);
        let limit = Duration::from_secs(60);
        assert!(converse(&mut receive, &mut host, quality, 1, limit).outcome.is_none(), "still going");
        receive.cancel();
        let cancelled = std::iter::repeat_with(|| receive.poll_output(epoch()))
            .find_map(|output| if let Output::Done(outcome) = output { Some(outcome) } else { None });
        assert_eq!(cancelled, Some(Err(TextError::Cancelled)));
        let after = converse(&mut shell.run("print", LIMIT), &mut host, quality, 1, LIMIT);
        assert!(after.outcome.is_some());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_from_the_line_cause_a_panic_or_an_endless_loop(pieces in crate::shell::fake_host::pieces()) {
            let mut shell = opened(&mut FakeHost::new(7));
            let receive = |shell: &mut Shell| TextReceive::new(shell, "x", 0, 100_000);
            crate::shell::fake_host::feed(receive(&mut shell), &pieces);
            let mut streaming = receive(&mut shell);
            streaming.state = State::Stream;
            crate::shell::fake_host::feed(streaming, &pieces);
        }
    }
}
