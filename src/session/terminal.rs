//! The line in a person's hands: what is typed goes out, what arrives is shown, and one key is kept back
//! for us.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::call::{CallPlan, CallReport, OnLine, now, on_a_line};
use super::calling::connect;
use super::link::{LineEnd, Link};
use super::logging_in::log_in;
use super::transcript::Transcript;
use super::{Ending, Failure, Progress, Stage, Watch};
use crate::login::LoginEvent;
use crate::machine::Control;

/// Whoever sits before the screen.
pub struct Person<'a> {
    /// What is typed, each byte as it comes.
    pub keyboard: &'a mut (dyn AsyncRead + Unpin),
    /// What is shown, all bytes as they come.
    pub screen: &'a mut (dyn AsyncWrite + Unpin),
    /// Rows and columns, now and each time they change.
    pub window: &'a mut tokio::sync::watch::Receiver<(u16, u16)>,
    /// What is shown first.
    pub greeting: Vec<u8>,
}

/// How a session in a person's hands ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The person asked for it.
    ByKey,
    /// Nothing more can be typed or shown: the terminal is gone.
    KeyboardGone,
    /// The line is gone, and why.
    LineEnded(String),
}

/// A line that is ready for a person.
pub struct Ready<'a> {
    link: &'a mut Link,
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
        if connect(&mut on).await?.is_some() {
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
        *on.begun = true;
        (on.watch)(Progress::Stage(Stage::Terminal, String::new()));
        seat(Ready { link: on.link, said, prompt }).await
    };
    on_a_line(plan, transcript, watch, interrupted, what).await
}

impl Ready<'_> {
    /// Carries both ways until one side ends it.
    pub async fn hand_over(self, person: Person<'_>) -> std::io::Result<Left> {
        // The dialogue is on the screen already.
        self.link.transcript.begin_payload(now());
        let left = hand_over(self.link, person).await;
        self.link.transcript.end_payload(now());
        left
    }
}

/// Carries both ways until one side ends it. Nothing here waits for one thing alone: a screen that stands
/// still (Ctrl-S, a network that hangs) or a host that takes nothing must not keep the escape key from us.
async fn hand_over(link: &mut Link, person: Person<'_>) -> std::io::Result<Left> {
    let Person { keyboard, screen, window, greeting } = person;
    let mut keys = Keys::default();
    let mut typed = [0; KEYS_READ];
    let mut shown = greeting;
    let (rows, cols) = *window.borrow_and_update();
    link.set_window(rows, cols);
    loop {
        if shown.is_empty() {
            shown = link.take_arrived();
        }
        if let (Some(end), true) = (link.end(), shown.is_empty()) {
            return Ok(Left::LineEnded(match end {
                LineEnd::CarrierLost => "the other end has hung up".to_owned(),
                LineEnd::PortGone(why) => why.clone(),
            }));
        }
        let may_type = link.queued() < QUEUED_MAX;
        let is_up = link.end().is_none();
        tokio::select! {
            wrote = screen.write(&shown), if !shown.is_empty() => {
                match wrote {
                    Ok(count) => drop(shown.drain(..count)),
                    // Keyboard and screen are one terminal.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                        return Ok(Left::KeyboardGone);
                    }
                    Err(error) => return Err(error),
                }
            }
            read = keyboard.read(&mut typed), if may_type => {
                let count = read?;
                if count == 0 {
                    return Ok(Left::KeyboardGone);
                }
                for &byte in &typed[..count] {
                    match keys.press(byte) {
                        Pressed::Nothing => {}
                        Pressed::Byte(byte) => link.type_out(&[byte]),
                        Pressed::Break => link.control(Control::Break(BREAK)),
                        Pressed::HangUp => return Ok(Left::ByKey),
                        Pressed::Help => shown.extend_from_slice(HELP.as_bytes()),
                    }
                }
            }
            changed = window.changed() => {
                if changed.is_ok() {
                    let (rows, cols) = *window.borrow_and_update();
                    link.set_window(rows, cols);
                }
            }
            // What no screen takes stays on the line; see `Link`.
            () = link.stir(), if is_up => {}
        }
    }
}

/// The key that is kept back, and what was pressed behind it.
#[derive(Debug, Default)]
struct Keys {
    escaped: bool,
}

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pressed {
    /// Wait for the next one.
    Nothing,
    /// It is for the host.
    Byte(u8),
    /// Send a BREAK.
    Break,
    /// Hang up and leave.
    HangUp,
    /// Show the keys.
    Help,
}

impl Keys {
    fn press(&mut self, byte: u8) -> Pressed {
        match (std::mem::take(&mut self.escaped), byte) {
            (false, ESCAPE) => {
                self.escaped = true;
                Pressed::Nothing
            }
            (false, byte) | (true, byte @ ESCAPE) => Pressed::Byte(byte),
            (true, b'q' | b'Q' | b'.' | CTRL_Q) => Pressed::HangUp,
            (true, b'b' | b'B') => Pressed::Break,
            (true, _) => Pressed::Help,
        }
    }
}

/// Ctrl-], as telnet has it.
pub const ESCAPE: u8 = 0x1d;
const CTRL_Q: u8 = 0x11;
/// What the keys behind the escape key do, in one line.
const HELP: &str = "\r\n[behind Ctrl-]: q hangs up and leaves, b sends BREAK, Ctrl-] sends itself]\r\n";
/// A BREAK that a getty takes for one: longer than a character at 50 bit/s.
const BREAK: Duration = Duration::from_millis(300);
/// Keys read at once.
const KEYS_READ: usize = 256;
/// Keys that may wait for the line: more than anybody pastes. They are read ahead of what the line takes,
/// because the escape key may stand behind them.
const QUEUED_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_escape_key_is_kept_from_the_host() {
        let mut keys = Keys::default();
        for byte in (0..=255).filter(|&byte| byte != ESCAPE) {
            assert_eq!(keys.press(byte), Pressed::Byte(byte));
        }
        for (behind, means) in [
            (ESCAPE, Pressed::Byte(ESCAPE)),
            (b'q', Pressed::HangUp),
            (b'b', Pressed::Break),
            (b'x', Pressed::Help),
        ] {
            assert_eq!(keys.press(ESCAPE), Pressed::Nothing);
            assert_eq!(keys.press(behind), means);
        }
        assert_eq!(keys.press(b'q'), Pressed::Byte(b'q'), "the escape key counts for one key only");
    }
}
