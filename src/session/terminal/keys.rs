//! The keys of a person's session: what is typed is the host's, but for one key, and for what is typed
//! behind it. Bytes in, meanings out; no I/O.
//!
//! ```text
//! Open --- escape key ---> Menu --- a key of the menu ---> Open, with a command
//!                          Menu --- escape key ----------> Open, and it is sent
//!                          Menu --- p --> Port --- d, t -> Port, with a command
//!                          Menu, Port --- a question ----> Asking --- RETURN, Ctrl-C --> Open
//! ```

use super::editor::{Edited, Editor};
use crate::config::EscapeKey;

/// What is typed, and what it means.
#[derive(Debug)]
pub struct Keys {
    escape: EscapeKey,
    state: State,
    /// The next key is the first of a line, as far as the keys tell.
    at_line_start: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Keys are the host's.
    Open,
    /// The escape key was pressed; the menu is shown once nothing follows for a while.
    Menu { shown: bool },
    /// The port's keys are waited for.
    Port,
    /// An answer is typed.
    Asking(Question, Editor),
}

/// What a byte means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pressed {
    /// Nothing yet; what is to be shown may have changed.
    Nothing,
    /// It is for the host.
    Byte(u8),
    /// The escape key was none, so both are for the host.
    Bytes([u8; 2]),
    /// A key of the menu.
    Command(Command),
    /// The answer to a question, as typed.
    Answer(Question, String),
    /// There is no answer.
    Cancelled(Question),
    /// The path that is being typed is to be completed; see [`Keys::completed`].
    Complete(String),
}

/// What can be asked for behind the escape key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Send a BREAK.
    Break,
    /// Show what is typed, or no more.
    LocalEcho,
    /// RETURN sends another line end.
    Return,
    /// Received line ends show otherwise.
    Received,
    /// Show bytes in hex, or no more.
    Hex,
    /// End the log; there is none: ask for its name.
    Log,
    /// Ask for files to send.
    Send,
    /// Receive files.
    Receive,
    /// Raise or drop DTR.
    Dtr,
    /// Raise or drop RTS.
    Rts,
    /// Hang up, and stay on the port.
    HangUp,
    /// Dial again.
    Dial,
    /// Leave, and let the call stay up.
    Leave,
    /// Hang up and leave.
    Quit,
    /// Stop, until the shell here lets us go on.
    Suspend,
    /// Show all keys.
    Help,
}

/// What a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The log's name.
    Log,
    /// Files to send.
    Files,
    /// The port's rate.
    Speed,
}

/// What stands below the cursor meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    None,
    /// The menu.
    Menu,
    /// How the port is, and its keys.
    Port,
    /// A question, with what is typed so far.
    Question(Question, String),
}

impl Keys {
    /// Keys with this escape key.
    pub fn new(escape: EscapeKey) -> Self {
        Self { escape, state: State::Open, at_line_start: true }
    }

    /// The escape key.
    pub fn escape(&self) -> EscapeKey {
        self.escape
    }

    /// Takes one byte.
    pub fn press(&mut self, byte: u8) -> Pressed {
        match std::mem::replace(&mut self.state, State::Open) {
            State::Open if self.is_escape(byte) => {
                self.state = State::Menu { shown: false };
                Pressed::Nothing
            }
            State::Open => self.for_the_host(byte),
            State::Menu { shown } => self.behind_escape(byte, shown),
            State::Port => self.at_the_port(byte),
            State::Asking(question, mut editor) => match editor.press(byte) {
                Edited::Done(answer) => Pressed::Answer(question, answer),
                Edited::Cancelled => Pressed::Cancelled(question),
                Edited::Changed => {
                    self.state = State::Asking(question, editor);
                    Pressed::Nothing
                }
                Edited::Complete => {
                    let text = editor.text().to_owned();
                    self.state = State::Asking(question, editor);
                    if question == Question::Speed { Pressed::Nothing } else { Pressed::Complete(text) }
                }
            },
        }
    }

    /// What is to be shown below the cursor.
    pub fn line(&self) -> Line {
        match &self.state {
            State::Open | State::Menu { shown: false } => Line::None,
            State::Menu { shown: true } => Line::Menu,
            State::Port => Line::Port,
            State::Asking(question, editor) => Line::Question(*question, editor.shown()),
        }
    }

    /// Whether the menu is to be shown if nothing follows.
    pub fn hesitates(&self) -> bool {
        self.state == State::Menu { shown: false }
    }

    /// Nothing has followed.
    pub fn show_menu(&mut self) {
        if self.hesitates() {
            self.state = State::Menu { shown: true };
        }
    }

    /// Asks for a line of text.
    pub fn ask(&mut self, question: Question, proposed: &str) {
        self.state = State::Asking(question, Editor::with(proposed));
    }

    /// The path that is being typed is now this, and there is something to say about it.
    pub fn completed(&mut self, text: String, hint: String) {
        if let State::Asking(_, editor) = &mut self.state {
            editor.completed(text, hint);
        }
    }

    /// What was begun is over: a call ended in the middle of a question.
    pub fn begin_anew(&mut self) {
        (self.state, self.at_line_start) = (State::Open, true);
    }

    fn is_escape(&self, byte: u8) -> bool {
        match self.escape {
            EscapeKey::Anywhere(key) => byte == key,
            EscapeKey::LineStart(key) => byte == key && self.at_line_start,
            EscapeKey::Never => false,
        }
    }

    fn for_the_host(&mut self, byte: u8) -> Pressed {
        // What a terminal driver ends or empties a line with, as ssh and cu see it.
        self.at_line_start = matches!(byte, b'\r' | b'\n');
        Pressed::Byte(byte)
    }

    fn behind_escape(&mut self, byte: u8, shown: bool) -> Pressed {
        let command = match (byte, self.escape) {
            (byte, EscapeKey::Anywhere(key) | EscapeKey::LineStart(key)) if byte == key => {
                return self.for_the_host(byte);
            }
            (b'q' | b'Q' | b'.' | CTRL_Q, _) => Command::Quit,
            (b's' | b'S', _) => Command::Send,
            (b'r' | b'R', _) => Command::Receive,
            (b'b' | b'B', _) => Command::Break,
            (b'e' | b'E', _) => Command::LocalEcho,
            (b'n' | b'N', _) => Command::Return,
            (b'm' | b'M', _) => Command::Received,
            (b'x' | b'X', _) => Command::Hex,
            (b'l' | b'L', _) => Command::Log,
            (b'h' | b'H', _) => Command::HangUp,
            (b'd' | b'D', _) => Command::Dial,
            (b'k' | b'K', _) => Command::Leave,
            (CTRL_Z, _) => Command::Suspend,
            (b'?', _) => Command::Help,
            (b'p' | b'P', _) => {
                self.state = State::Port;
                return Pressed::Nothing;
            }
            (byte, EscapeKey::LineStart(key)) if !shown => {
                self.at_line_start = matches!(byte, b'\r' | b'\n');
                return Pressed::Bytes([key, byte]);
            }
            // Ours, and no key of the menu: what else could it mean than that the menu is not known?
            (_, EscapeKey::Anywhere(_)) if !shown => {
                self.state = State::Menu { shown: true };
                return Pressed::Nothing;
            }
            (_, _) => return Pressed::Nothing,
        };
        Pressed::Command(command)
    }

    fn at_the_port(&mut self, byte: u8) -> Pressed {
        match byte {
            b's' | b'S' => {
                self.ask(Question::Speed, "");
                Pressed::Nothing
            }
            b'd' | b'D' | b't' | b'T' => {
                self.state = State::Port;
                Pressed::Command(if matches!(byte, b'd' | b'D') { Command::Dtr } else { Command::Rts })
            }
            _any_other => Pressed::Nothing,
        }
    }
}

/// The menu, in one line of 80 columns.
pub const MENU: &str = "[send recv break echo n/m ends x hex log port hangup dial keep quit ? help]";

/// All keys, with what they do.
pub fn help(escape: EscapeKey) -> String {
    let (place, twice) = match escape {
        EscapeKey::Anywhere(_) => ("", "sends it"),
        EscapeKey::LineStart(_) => (", at the start of a line", "sends one"),
        EscapeKey::Never => return "[no key is kept back: all go to the host]".to_owned(),
    };
    format!("[behind {escape}{place}:]\n{KEYS}  {escape}  {twice}")
}

const KEYS: &str = "  q .     hangs up and leaves
  s       sends files by ZMODEM       r  receives files
  b       sends BREAK                 e  shows what is typed, or no more
  n       what RETURN sends           m  what a received line end shows
  x       shows bytes in hex          l  begins or ends a log
  p       speed and leads of the port
  h       hangs up and stays          d  dials again
  k       leaves, and keeps the call up
  Ctrl-Z  stops; fg goes on           ?  shows this
";
const CTRL_Q: u8 = 0x11;
const CTRL_Z: u8 = 0x1a;

#[cfg(test)]
mod tests {
    use super::*;

    const CTRL: EscapeKey = EscapeKey::Anywhere(0x1d);
    const TILDE: EscapeKey = EscapeKey::LineStart(b'~');

    fn pressed(keys: &mut Keys, bytes: &[u8]) -> Vec<Pressed> {
        bytes.iter().map(|&byte| keys.press(byte)).filter(|pressed| *pressed != Pressed::Nothing).collect()
    }

    /// What the host gets.
    fn sent(keys: &mut Keys, bytes: &[u8]) -> Vec<u8> {
        let pressed = pressed(keys, bytes).into_iter();
        pressed
            .flat_map(|pressed| match pressed {
                Pressed::Byte(byte) => vec![byte],
                Pressed::Bytes(both) => both.to_vec(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn only_the_escape_key_is_kept_from_the_host() {
        let all: Vec<u8> = (0..=255).collect();
        let without: Vec<u8> = all.iter().copied().filter(|&byte| byte != 0x1d).collect();
        assert_eq!(sent(&mut Keys::new(CTRL), &without), without);
        assert_eq!(sent(&mut Keys::new(EscapeKey::Never), &all), all);
        assert_eq!(sent(&mut Keys::new(CTRL), b"\x1d\x1d"), [0x1d], "typed twice it is sent once");
    }

    #[test]
    fn each_key_of_the_menu_means_its_command_and_counts_once() {
        for (key, command) in [
            (b'q', Command::Quit),
            (b'.', Command::Quit),
            (b's', Command::Send),
            (b'r', Command::Receive),
            (b'b', Command::Break),
            (b'e', Command::LocalEcho),
            (b'n', Command::Return),
            (b'm', Command::Received),
            (b'x', Command::Hex),
            (b'l', Command::Log),
            (b'h', Command::HangUp),
            (b'd', Command::Dial),
            (b'k', Command::Leave),
            (0x1a, Command::Suspend),
            (b'?', Command::Help),
        ] {
            for escape in [CTRL, TILDE] {
                for key in [key, key.to_ascii_uppercase()] {
                    let mut keys = Keys::new(escape);
                    let kept = if escape == CTRL { 0x1d } else { b'~' };
                    assert_eq!(pressed(&mut keys, &[kept, key]), [Pressed::Command(command)]);
                    assert_eq!(keys.press(key), Pressed::Byte(key), "it counts for one key only");
                }
            }
        }
    }

    #[test]
    fn a_sign_is_an_escape_key_at_the_start_of_a_line_only() {
        let mut keys = Keys::new(TILDE);
        assert_eq!(sent(&mut keys, b"a~.b\n~~.~c\r~/x"), b"a~.b\n~.~c\r~/x");
        assert_eq!(pressed(&mut keys, b"\r~."), [Pressed::Byte(b'\r'), Pressed::Command(Command::Quit)]);
        assert_eq!(
            pressed(&mut Keys::new(TILDE), b"~?"),
            [Pressed::Command(Command::Help)],
            "a session begins with a line"
        );
    }

    #[test]
    fn the_menu_is_shown_when_nothing_follows_or_what_follows_is_no_key_of_it() {
        let mut keys = Keys::new(CTRL);
        keys.press(0x1d);
        assert!(keys.hesitates() && keys.line() == Line::None);
        keys.show_menu();
        assert!(!keys.hesitates() && keys.line() == Line::Menu);
        assert_eq!(keys.press(b'z'), Pressed::Nothing);
        assert_eq!(keys.line(), Line::None, "any other key leaves it");
        keys.press(0x1d);
        assert_eq!(keys.press(b'z'), Pressed::Nothing);
        assert_eq!(keys.line(), Line::Menu);
        keys.press(0x1d);
        keys.show_menu();
        assert_eq!(keys.line(), Line::None);
    }

    #[test]
    fn an_answer_is_edited_and_none_of_it_goes_to_the_host() {
        let mut keys = Keys::new(CTRL);
        keys.ask(Question::Log, "call.log");
        assert_eq!(keys.line(), Line::Question(Question::Log, "call.log".into()));
        assert_eq!(keys.press(b'\t'), Pressed::Complete("call.log".into()));
        keys.completed("call.log.1".into(), "2 of them".into());
        assert_eq!(keys.line(), Line::Question(Question::Log, "call.log.1   2 of them".into()));
        assert_eq!(pressed(&mut keys, b"2\r"), [Pressed::Answer(Question::Log, "call.log.12".into())]);
        assert_eq!(keys.press(b'x'), Pressed::Byte(b'x'));
        keys.ask(Question::Speed, "");
        let cancelled = [Pressed::Cancelled(Question::Speed), Pressed::Byte(b'x')];
        assert_eq!(pressed(&mut keys, b"96\x03x"), cancelled);
    }

    #[test]
    fn the_port_s_keys_stay_until_another_is_pressed() {
        let mut keys = Keys::new(CTRL);
        let commands = [Command::Dtr, Command::Rts, Command::Dtr].map(Pressed::Command);
        assert_eq!(pressed(&mut keys, b"\x1dpdtd"), commands);
        assert_eq!(keys.line(), Line::Port);
        assert_eq!(pressed(&mut keys, b"\rx"), [Pressed::Byte(b'x')]);
        assert_eq!(pressed(&mut keys, b"\x1dps9600\r"), [Pressed::Answer(Question::Speed, "9600".into())]);
    }

    #[test]
    fn the_menu_and_the_help_fit_a_screen() {
        let help = [CTRL, TILDE, EscapeKey::Never].map(help).join("\n");
        assert!(help.lines().chain([MENU]).all(|line| line.chars().count() < 80), "{help}");
    }
}
