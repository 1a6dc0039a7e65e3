//! What the keys behind the escape key do to the line and to the desk, as far as the loop can do it.

use nix::sys::signal::{Signal, raise};

use super::{BREAK, Carrying, Wish, stamp};
use crate::config::{Return, Shows, expand_home};
use crate::machine::Control;
use crate::session::link::Link;
use crate::session::terminal::keys::{self, Command, Question};
use crate::session::terminal::{Left, paths};

impl Carrying<'_, '_> {
    pub(super) fn obey(&mut self, link: &mut Link, command: Command) -> Option<Wish> {
        let view = &mut self.desk.view;
        let on_off = |on: bool| if on { "on" } else { "off" };
        match command {
            Command::Quit => return Some(Wish::Leave(Left::ByKey)),
            Command::HangUp => return Some(Wish::HangUp),
            Command::Dial => return Some(Wish::Dial),
            Command::Leave => {
                if link.keep_up() {
                    return Some(Wish::Leave(Left::StaysUp));
                }
                self.told("closing this line ends what is on it: it cannot be left up");
            }
            Command::Break => {
                let has_break = link.send_break(BREAK);
                self.told(if has_break { "BREAK" } else { "there is no BREAK on this line, or not now" });
            }
            Command::LocalEcho => {
                view.local_echo = !view.local_echo;
                let words = format!("local echo is {}", on_off(view.local_echo));
                self.told(&words);
            }
            Command::Return => {
                let (sends, name) = match view.sends {
                    Return::Cr => (Return::Lf, "LF"),
                    Return::Lf => (Return::CrLf, "CR LF"),
                    Return::CrLf => (Return::Cr, "CR"),
                };
                view.sends = sends;
                self.told(&format!("RETURN sends {name}"));
            }
            Command::Received => {
                let (shows, words) = match view.shows {
                    Shows::AsIs => (Shows::Lf, "a lone LF begins a new line"),
                    Shows::Lf => (Shows::Cr, "a lone CR begins a new line"),
                    Shows::Cr => (Shows::AsIs, "line ends are shown as they come"),
                };
                view.shows = shows;
                self.told(words);
            }
            Command::Hex => {
                view.toggle_hex();
                let words = format!("hex view is {}", on_off(view.is_hex()));
                self.told(&words);
            }
            Command::Log => self.toggle_log(),
            Command::Send => self.desk.keys.ask(Question::Files, ""),
            Command::Receive => return Some(Wish::Receive),
            Command::Dtr | Command::Rts => self.toggle_lead(link, command),
            Command::Suspend => drop(raise(Signal::SIGTSTP)), // whoever has the terminal gives it back first
            Command::Help => {
                let help = keys::help(self.desk.keys.escape());
                self.desk.screen.say(&help);
            }
        }
        None
    }

    fn toggle_log(&mut self) {
        if self.desk.log.is_none() {
            let proposed = self.desk.log_name.display().to_string();
            return self.desk.keys.ask(Question::Log, &proposed);
        }
        self.log_note("the log is over");
        let error = self.desk.log.take().and_then(|mut log| log.end(&stamp()));
        self.told(&match error {
            None => "the log is over".to_owned(),
            Some(error) => format!("the log is over, and its end is missing: {error}"),
        });
    }

    fn toggle_lead(&mut self, link: &mut Link, command: Command) {
        let Some(leads) = link.leads() else {
            return self.told("this line has no leads, or they are not known");
        };
        if command == Command::Dtr {
            link.control(Control::Dtr(!leads.dtr));
        } else if !link.set_rts(!leads.rts) {
            self.told("RTS is not ours: flow control works it");
        }
    }

    pub(super) fn answered(&mut self, link: &mut Link, question: Question, answer: &str) {
        let answer = answer.trim();
        if answer.is_empty() {
            return;
        }
        match question {
            Question::Log => {
                let name = paths::names(answer).join(" ");
                let opened = self.desk.open_log(&expand_home(&name));
                match opened {
                    Ok(()) => self.told(&format!("log in {name}")),
                    Err(error) => self.told(&format!("no log: {name}: {error}")),
                }
            }
            Question::Files => {} // see `send`
            Question::Speed => match answer.parse() {
                Ok(bits) if link.port_speed().is_some() => {
                    link.control(Control::Speed(bits));
                    let now = link.port_speed().unwrap_or_default();
                    let refused = if now == bits { "" } else { ": the port does not take the other" };
                    self.told(&format!("{now} bit/s{refused}"));
                }
                Ok(_) => self.told("this line has no rate"),
                Err(_) => self.told("a rate is a number of bits a second: 9600"),
            },
        }
    }
}
