//! The loop between a line, a keyboard and a screen. Nothing in it waits for one thing alone: a screen that
//! stands still (Ctrl-S, a network that hangs) or a host that takes nothing must not keep the escape key
//! from us.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dialogue::{Dialogue, Next};
use super::keys::{self, Line, Pressed, Question};
use super::{Desk, Input, Left, Person, paths};
use crate::config::{EscapeKey, expand_home};
use crate::machine::Control;
use crate::mailbox::display::safe_line;
use crate::session::call::now;
use crate::session::link::{LineEnd, Link};
use crate::session::{Ending, Failure, Progress, Stage};
use crate::transfer::zmodem::detect::{Detector, Fed, Found};

mod obeying;

/// A line in a person's hands.
pub(super) struct Carrying<'a, 'p> {
    person: &'a mut Person<'p>,
    desk: &'a mut Desk,
    dialogue: Dialogue,
    /// Until when the dialogue waits.
    dialogue_until: Option<Instant>,
    /// Typed, and not looked at yet.
    typed: VecDeque<u8>,
    /// Since when the menu's key is waited for.
    hesitating_since: Option<Instant>,
    /// Since when something of ours waits for the host to end a sequence.
    held_since: Option<Instant>,
    input_ended: bool,
    moved_at: Instant,
    detector: Detector,
    /// The host's `sz` or `rz` has begun to speak, and is to be answered.
    found: Option<Found>,
    /// The host's `rz` waits for what the person is asked for.
    host_receives: bool,
    /// What goes as soon as the host's `rz` speaks.
    to_send: Vec<PathBuf>,
}

/// What the loop itself cannot do.
pub(super) enum Wish {
    /// It is over.
    Leave(Left),
    /// Hang up and stay.
    HangUp,
    /// Dial again.
    Dial,
    /// Send these to the host's `rz`, which waits.
    Send(Vec<PathBuf>),
    /// Tell the host's `rz` that nothing comes.
    Refuse,
    /// Receive what the host's `sz` sends.
    Receive,
}

/// What has happened.
enum Moved {
    Shown(io::Result<usize>),
    ShownApart(io::Result<usize>),
    Typed(io::Result<usize>),
    Window,
    Line,
    Time,
}

impl<'a, 'p> Carrying<'a, 'p> {
    pub(super) fn begin(link: &mut Link, person: &'a mut Person<'p>, desk: &'a mut Desk) -> Self {
        if let Some(dtr) = desk.dtr {
            link.control(Control::Dtr(dtr));
        }
        desk.keys.begin_anew();
        desk.hide_by(link.transcript.masks());
        let (dialogue, moved_at) = (Dialogue::new(desk.steps.clone(), desk.patience), now());
        let (hesitating_since, held_since, dialogue_until) = (None, None, None);
        let mut carrying = Self {
            person,
            desk,
            dialogue,
            dialogue_until,
            typed: VecDeque::new(),
            hesitating_since,
            held_since,
            input_ended: false,
            moved_at,
            detector: Detector::new(),
            found: None,
            host_receives: false,
            to_send: Vec::new(),
        };
        carrying.follow_window(link);
        carrying.log_note("connected");
        carrying
    }

    /// What we say first.
    pub(super) fn greet(&mut self, greeting: &str) {
        self.desk.screen.ours(greeting.replace('\n', "\r\n").as_bytes());
    }

    /// What the host has said to the login, of which nothing may be missed here either.
    pub(super) fn hear_again(&mut self, said: &[String], prompt: &str) {
        let mut text: String = said.iter().map(|line| format!("{line}\r\n")).collect();
        if !prompt.is_empty() {
            text += &format!("{prompt} "); // its blank was cut off
        }
        self.show(text.as_bytes());
    }

    /// Words of ours on a line of their own, for the person and for the log.
    pub(super) fn told(&mut self, words: &str) {
        self.log_note(words);
        self.desk.screen.say(&format!("[{}]", safe_line(words)));
    }

    pub(super) fn escape(&self) -> EscapeKey {
        self.desk.keys.escape()
    }

    /// Whether the call is to stay up, and does.
    pub(super) fn stays_up(&self, link: &mut Link) -> bool {
        self.desk.stays_up && link.keep_up()
    }

    /// The log's last lines, and what there is of ours to show.
    pub(super) async fn end(&mut self) {
        self.log_note("the session is over");
        if let Some(log) = &mut self.desk.log {
            let _ = log.end(&stamp()); // a log that fails has been told of
        }
        self.desk.screen.set_line(None);
        let Person { screen, aside, .. } = &mut *self.person;
        let (shown, apart) = (self.desk.screen.unshown(), self.desk.screen.unshown_apart());
        // A screen that stands still must not keep the modem off-hook.
        let _ = tokio::time::timeout(SCREEN_WAIT, async {
            let _ = screen.write_all(shown).await;
            if let Some(aside) = aside {
                let _ = aside.write_all(apart).await;
            }
        })
        .await;
        self.desk.screen.clear();
    }

    /// Carries both ways until there is something else to do.
    pub(super) async fn run(&mut self, link: &mut Link) -> Result<Wish, Failure> {
        loop {
            self.take_in(link);
            if let Some(wish) = self.take_found() {
                return Ok(wish);
            }
            self.speak(link)?;
            while let Some(byte) = self.typed.pop_front() {
                if let Some(wish) = self.take_typed(link, byte) {
                    return Ok(wish);
                }
            }
            self.show_line(link);
            if let Some(left) = self.is_over(link) {
                self.none_expected(&left)?;
                return Ok(Wish::Leave(left));
            }
            let mut bytes = [0; TYPED_AT_ONCE];
            match self.moved(link, &mut bytes).await {
                Moved::Shown(Ok(count)) => self.desk.screen.shown(count),
                Moved::ShownApart(Ok(count)) => self.desk.screen.shown_apart(count),
                Moved::Shown(Err(error)) | Moved::ShownApart(Err(error)) => {
                    return self.unshown(&error).map(Wish::Leave);
                }
                Moved::Typed(Ok(0)) => match self.desk.input {
                    Input::Keyboard => return Ok(Wish::Leave(Left::KeyboardGone)),
                    Input::Stream { .. } => self.input_ended = true,
                },
                Moved::Typed(Ok(count)) => self.typed.extend(&bytes[..count]),
                Moved::Typed(Err(error)) => return Err(failed("standard input", &error)),
                Moved::Window => self.follow_window(link),
                Moved::Line => {}
                Moved::Time => self.time_has_come(),
            }
        }
    }

    /// What has arrived, as soon as there is room for it on the screen. What no screen takes stays on the
    /// line; see `Link`.
    fn take_in(&mut self, link: &mut Link) {
        if self.desk.screen.unshown().is_empty() {
            let arrived = link.take_arrived();
            if !arrived.is_empty() {
                self.moved_at = now();
                self.look_through(link, &arrived);
            }
        }
        if link.queued() > 0 {
            self.moved_at = now();
        }
    }

    /// Shows what is for the screen, and keeps what is for a transfer.
    fn look_through(&mut self, link: &mut Link, arrived: &[u8]) {
        if !self.desk.zmodem {
            return self.show(arrived);
        }
        let Fed { show, begins } = self.detector.feed(now(), arrived);
        self.show(&show);
        let Some((found, rest)) = begins else { return };
        if found == Found::HostReceives && self.host_receives {
            // It asks again while the person thinks. The rest may be anything.
            let behind = &rest[ZRINIT_BYTES.min(rest.len())..];
            let is_end = |byte: &&u8| matches!(*byte & 0x7f, b'\r' | b'\n' | XON);
            let end = behind.iter().take_while(is_end).count();
            return link.give_back(&behind[end..]);
        }
        self.found = Some(found);
        link.give_back(&rest);
    }

    /// What is to be done about a host that has begun to speak ZMODEM.
    fn take_found(&mut self) -> Option<Wish> {
        match self.found.take()? {
            Found::HostSends => Some(Wish::Receive),
            Found::HostReceives if !self.to_send.is_empty() => {
                Some(Wish::Send(std::mem::take(&mut self.to_send)))
            }
            Found::HostReceives => match self.desk.input {
                Input::Keyboard => {
                    self.host_receives = true;
                    self.desk.keys.ask(Question::Files, "");
                    None
                }
                Input::Stream { .. } => Some(Wish::Refuse), // nobody is there to be asked
            },
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        self.dialogue.hear(bytes);
        let error = self.desk.log.as_mut().and_then(|log| log.received(&stamp(), bytes));
        self.log_failed(error);
        let mut shown = Vec::with_capacity(bytes.len());
        self.desk.view.received(bytes, &mut shown);
        self.desk.screen.host(&shown);
    }

    /// What is said by itself.
    fn speak(&mut self, link: &mut Link) -> Result<(), Failure> {
        self.dialogue_until = None;
        loop {
            match self.dialogue.next(now()) {
                Next::Send(bytes) => link.type_out(&bytes),
                Next::Break => drop(link.send_break(BREAK)),
                Next::Wait(until) => {
                    self.dialogue_until = Some(until);
                    return Ok(());
                }
                Next::Late { expected, heard } => {
                    let (expected, heard) = (in_words(&expected), self.desk.masks.text(&in_words(&heard)));
                    let seconds = self.desk.patience.as_secs();
                    let message = format!("{expected} was not said within {seconds} s; the last was {heard}");
                    return Err(Failure::new(Ending::LoginTimeout, Stage::Terminal, message));
                }
                Next::Over => return Ok(()),
            }
        }
    }

    fn is_over(&mut self, link: &mut Link) -> Option<Left> {
        if !self.desk.screen.unshown().is_empty() {
            return None;
        }
        if let Some(end) = link.end() {
            let why = match end {
                LineEnd::CarrierLost => "the other end has hung up".to_owned(),
                LineEnd::PortGone(why) => why.clone(),
            };
            let well = link.ended_well();
            return Some(Left::LineEnded { why, well });
        }
        self.linger_until().filter(|&until| until <= now()).map(|_| Left::InputEnded)
    }

    /// A line that ends before what is waited for has come has failed.
    fn none_expected(&self, left: &Left) -> Result<(), Failure> {
        match (left, self.dialogue.expected()) {
            (Left::LineEnded { why, .. }, Some(expected)) => {
                let message = format!("{why}, before {} was said", in_words(expected));
                Err(Failure::new(Ending::CarrierLost, Stage::Terminal, message))
            }
            (_, _) => Ok(()),
        }
    }

    /// When a host is quiet for long enough behind the end of the input.
    fn linger_until(&self) -> Option<Instant> {
        match self.desk.input {
            Input::Stream { linger, .. } if self.input_ended => Some(self.moved_at + linger),
            Input::Stream { .. } | Input::Keyboard => None,
        }
    }

    /// Waits for whatever happens first.
    async fn moved(&mut self, link: &mut Link, typed: &mut [u8]) -> Moved {
        let wake = self.wake_at();
        let Self { person, desk, dialogue, .. } = self;
        let Person { keyboard, screen, aside, window } = &mut **person;
        let (shown, apart) = (desk.screen.unshown(), desk.screen.unshown_apart());
        // A pipe waits until it is its turn; a person may type ahead.
        let its_turn = desk.input == Input::Keyboard || dialogue.is_over() && !self.input_ended;
        let may_type = its_turn && link.queued() < QUEUED_MAX;
        let is_up = link.end().is_none();
        let write_apart = async {
            match aside {
                Some(aside) => aside.write(apart).await,
                None => std::future::pending().await,
            }
        };
        let resized = async {
            if window.changed().await.is_err() {
                std::future::pending::<()>().await; // nobody tells any more
            }
        };
        tokio::select! {
            wrote = screen.write(shown), if !shown.is_empty() => Moved::Shown(wrote),
            wrote = write_apart, if !apart.is_empty() => Moved::ShownApart(wrote),
            read = keyboard.read(typed), if may_type => Moved::Typed(read),
            () = resized => Moved::Window,
            () = link.stir(), if is_up => Moved::Line,
            () = until(wake) => Moved::Time,
        }
    }

    fn wake_at(&mut self) -> Option<Instant> {
        let now = now();
        let since = |is: bool, since: &mut Option<Instant>| {
            *since = is.then(|| since.unwrap_or(now));
            *since
        };
        let hesitating = since(self.desk.keys.hesitates(), &mut self.hesitating_since);
        let held = since(self.desk.screen.is_held(), &mut self.held_since);
        [
            hesitating.map(|since| since + MENU_AFTER),
            held.map(|since| since + HELD_MAX),
            self.dialogue_until,
            self.linger_until(),
            self.detector.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn time_has_come(&mut self) {
        let is_due = |since: Option<Instant>, after| since.is_some_and(|since| since + after <= now());
        if is_due(self.hesitating_since, MENU_AFTER) {
            self.desk.keys.show_menu();
        }
        let no_header = self.detector.release(now());
        self.show(&no_header);
        if is_due(self.held_since, HELD_MAX) && self.desk.screen.is_held() {
            self.desk.screen.break_off();
        }
    }

    /// Shows what there is to show, for a moment, and says whether the person wants to stop.
    pub(super) async fn wait_for_stop(&mut self) -> bool {
        let Person { keyboard, screen, aside, .. } = &mut *self.person;
        let (shown, apart) = (self.desk.screen.unshown(), self.desk.screen.unshown_apart());
        let mut typed = [0; TYPED_AT_ONCE];
        let write_apart = async {
            match aside {
                Some(aside) => aside.write(apart).await,
                None => std::future::pending().await,
            }
        };
        let moved = tokio::select! {
            wrote = screen.write(shown), if !shown.is_empty() => Moved::Shown(wrote),
            wrote = write_apart, if !apart.is_empty() => Moved::ShownApart(wrote),
            read = keyboard.read(&mut typed), if self.desk.input == Input::Keyboard => Moved::Typed(read),
            () = until(Some(now() + MOMENT)) => Moved::Time,
        };
        match moved {
            Moved::Shown(Ok(count)) => self.desk.screen.shown(count),
            Moved::ShownApart(Ok(count)) => self.desk.screen.shown_apart(count),
            Moved::Typed(Ok(count)) if count > 0 => {
                let is_stop =
                    |byte: &u8| *byte == CTRL_C || EscapeKey::Anywhere(*byte) == self.desk.keys.escape();
                return typed[..count].iter().any(is_stop);
            }
            Moved::Window | Moved::Line | Moved::Time => {}
            // The terminal is gone, which is found again, and told, once this is over.
            Moved::Typed(_) | Moved::Shown(Err(_)) | Moved::ShownApart(Err(_)) => return true,
        }
        false
    }

    fn follow_window(&mut self, link: &mut Link) {
        let (rows, cols) = *self.person.window.borrow_and_update();
        // Where there is no window, what the line is configured with stays.
        if rows > 0 && cols > 0 {
            self.desk.screen.set_columns(cols);
            link.set_window(rows, cols);
        }
    }

    fn take_typed(&mut self, link: &mut Link, byte: u8) -> Option<Wish> {
        if let Input::Stream { line_end, .. } = self.desk.input {
            match (byte, line_end) {
                (b'\n', Some(line_end)) => link.type_out(line_end.bytes()),
                (byte, _) => link.type_out(&[byte]),
            }
            return None;
        }
        match self.desk.keys.press(byte) {
            Pressed::Nothing => None,
            Pressed::Byte(byte) => {
                self.type_out(link, byte);
                None
            }
            Pressed::Bytes(bytes) => {
                bytes.into_iter().for_each(|byte| self.type_out(link, byte));
                None
            }
            Pressed::Command(command) => self.obey(link, command),
            Pressed::Answer(Question::Files, answer) => self.send(link, &answer),
            Pressed::Cancelled(Question::Files) => self.send(link, ""),
            Pressed::Cancelled(Question::Log | Question::Speed) => None,
            Pressed::Answer(question, answer) => {
                self.answered(link, question, &answer);
                None
            }
            Pressed::Complete(text) => {
                let (text, hint) = paths::complete(&text);
                self.desk.keys.completed(text, hint);
                None
            }
        }
    }

    fn type_out(&mut self, link: &mut Link, byte: u8) {
        let mut bytes = Vec::new();
        self.desk.view.sent(byte, &mut bytes);
        link.type_out(&bytes);
        bytes.clear();
        self.desk.view.echoed(byte, &mut bytes);
        self.desk.screen.host(&bytes);
    }

    /// Files for the host's `rz`. If it does not wait yet it is started, as `sz` does it.
    fn send(&mut self, link: &mut Link, answer: &str) -> Option<Wish> {
        let paths: Vec<PathBuf> = paths::names(answer).iter().map(|name| expand_home(name)).collect();
        match (paths.is_empty(), std::mem::take(&mut self.host_receives)) {
            (true, true) => Some(Wish::Refuse),
            (true, false) => None,
            (false, true) => Some(Wish::Send(paths)),
            (false, false) => {
                // A mistake in a name is better told before the host waits.
                let unreadable = paths.iter().find_map(|path| Some((path, std::fs::metadata(path).err()?)));
                if let Some((path, error)) = unreadable {
                    self.told(&format!("{}: {error}", path.display()));
                    return None;
                }
                self.to_send = paths;
                link.type_out(b"rz\r");
                None
            }
        }
    }

    /// Shows what is told of a transfer, until the person wants to stop it.
    pub(super) async fn until_stopped(&mut self, told: &RefCell<Vec<Progress>>) {
        loop {
            self.show_progress(told);
            if self.wait_for_stop().await {
                return;
            }
        }
    }

    /// Notes stay, the rest is a line below the cursor.
    pub(super) fn show_progress(&mut self, told: &RefCell<Vec<Progress>>) {
        let told = std::mem::take(&mut *told.borrow_mut());
        for progress in told {
            match progress {
                Progress::Note(note) => self.told(&note),
                Progress::Stage(..) => {}
                Progress::Bytes { done, total, rate: _ } => {
                    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
                    let line = format!("[{done} of {total} bytes, {percent} %; Ctrl-C stops]");
                    self.desk.screen.set_line(Some(line));
                }
            }
        }
    }

    /// A transfer is over, and the line the host's again.
    pub(super) fn carried(&mut self, went: Result<(), String>) {
        self.desk.screen.set_line(None);
        self.detector = Detector::new();
        self.host_receives = false;
        self.moved_at = now();
        if let Err(why) = went {
            self.told(&why);
        }
    }

    pub(super) fn downloads(&self) -> PathBuf {
        self.desk.downloads.clone()
    }

    /// Ends what is on a line without a modem that we know: one second without DTR.
    pub(super) async fn drop_dtr(&mut self, link: &mut Link) {
        if !link.leads_known() {
            return self.told("this line has no modem and no DTR by which it could be hung up");
        }
        link.control(Control::Dtr(false));
        let _ = tokio::time::timeout(DTR_LOW, async {
            loop {
                link.stir().await;
            }
        })
        .await; // which is how it ends
        link.control(Control::Dtr(true));
        self.told("DTR was low for a second");
    }

    /// The line below the cursor.
    fn show_line(&mut self, link: &mut Link) {
        let line = match self.desk.keys.line() {
            Line::None => None,
            Line::Menu => Some(keys::MENU.to_owned()),
            Line::Port => Some(port_in_words(link)),
            Line::Question(question, typed) => Some(match question {
                Question::Log => format!("[log to (Ctrl-C: none): {typed}"),
                Question::Files => format!("[send (Ctrl-C: nothing): {typed}"),
                Question::Speed => format!("[bit/s: {typed}"),
            }),
        };
        self.desk.screen.set_line(line);
    }

    /// What a screen's error means.
    fn unshown(&self, error: &io::Error) -> Result<Left, Failure> {
        match (error.kind(), self.desk.input) {
            // Keyboard and screen are one terminal.
            (io::ErrorKind::BrokenPipe, Input::Keyboard) => Ok(Left::KeyboardGone),
            (io::ErrorKind::BrokenPipe, Input::Stream { .. }) => Ok(Left::ScreenGone),
            (_, _) => Err(failed("standard output", error)),
        }
    }

    fn log_note(&mut self, words: &str) {
        let error = self.desk.log.as_mut().and_then(|log| log.note(&stamp(), words));
        self.log_failed(error);
    }

    fn log_failed(&mut self, error: Option<io::Error>) {
        if let Some(error) = error {
            self.desk.screen.say(&format!("[the log cannot be written, the session goes on: {error}]"));
        }
    }
}

fn port_in_words(link: &mut Link) -> String {
    let settings = link.port_settings().unwrap_or_else(|| "no port".to_owned());
    let Some(leads) = link.leads() else {
        return format!("[{settings}; leads unknown | s speed]");
    };
    let named = [
        ("DTR", leads.dtr),
        ("RTS", leads.rts),
        ("CTS", leads.cts),
        ("DSR", leads.dsr),
        ("DCD", leads.dcd),
        ("RI", leads.ri),
    ];
    let [on, off] = [true, false].map(|state| {
        let those = named.iter().filter(|(_, on)| *on == state).map(|(name, _)| *name);
        those.collect::<Vec<_>>().join(" ")
    });
    format!("[{settings}; on: {on}; off: {off} | speed, d DTR, t RTS]")
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(Ending::LocalDisk, Stage::Terminal, format!("{what}: {error}"))
}

/// Bytes of a host in a message.
fn in_words(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// The time in a log, to the millisecond.
fn stamp() -> String {
    let here = jiff::tz::TimeZone::system().to_datetime(jiff::Timestamp::now());
    here.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

const CTRL_C: u8 = 0x03;
const XON: u8 = 0x11;
/// `** ZDLE B`, and seven bytes in hexadecimal (Forsberg, 7.3.3).
const ZRINIT_BYTES: usize = 4 + 2 * 7;
/// A BREAK that a getty takes for one: longer than a character at 50 bit/s.
const BREAK: Duration = Duration::from_millis(300);
/// As a modem needs it to hang up.
const DTR_LOW: Duration = Duration::from_secs(1);
/// After which the menu is shown behind the escape key.
const MENU_AFTER: Duration = Duration::from_secs(1);
/// How long the host may take for the rest of an escape sequence while something of ours is to be shown.
const HELD_MAX: Duration = Duration::from_millis(500);
/// How often the person is looked at while we dial.
const MOMENT: Duration = Duration::from_millis(100);
/// How long the screen may take for what is left at the end.
const SCREEN_WAIT: Duration = Duration::from_millis(500);
/// Bytes read at once.
const TYPED_AT_ONCE: usize = 4096;
/// Keys that may wait for the line: more than anybody pastes. They are read ahead of what the line takes,
/// because the escape key may stand behind them.
const QUEUED_MAX: usize = 1 << 20;
