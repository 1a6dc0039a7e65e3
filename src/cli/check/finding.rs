//! What a check finds, as lines for people or objects for scripts, and what it means for the exit code.

use serde::Serialize;

use crate::cli::{COLUMNS_DEFAULT, Global, columns};
use crate::mailbox::display;
use crate::session::Ending;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was looked at, in a word or two.
    pub(super) what: &'static str,
    pub(super) state: State,
    /// What is there.
    pub(super) found: String,
    /// What to do; empty where nothing has to be done.
    pub(super) remedy: String,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    /// A call may do all the same.
    Warning,
    /// A call would end so.
    Wrong(Ending),
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong(_) => "wrong",
        }
    }
}

/// What is looked at belongs to an account, to a line, to both or to neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) account: Option<String>,
    pub(super) line: Option<String>,
}

/// Takes findings as they are made, shows each at once, and counts.
pub(super) struct Sheet {
    layout: Layout,
    quiet: bool,
    about: About,
    /// Shown in front of the next finding that is shown.
    heading: Option<String>,
    shown_any: bool,
    tally: Tally,
}

/// How findings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Json,
    /// On a terminal so wide.
    Wrapped(usize),
    /// One line each: for grep.
    Whole,
}

/// How many there are of each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    ok: usize,
    warnings: usize,
    wrong: usize,
    first_wrong: Option<Ending>,
}

impl Sheet {
    pub(super) fn new(global: &Global) -> Self {
        use std::io::IsTerminal;
        let layout = match (global.json, std::io::stdout().is_terminal()) {
            (true, _) => Layout::Json,
            (false, true) => Layout::Wrapped(columns().min(COLUMNS_DEFAULT)),
            (false, false) => Layout::Whole,
        };
        Self {
            layout,
            quiet: global.quiet,
            about: About::default(),
            heading: None,
            shown_any: false,
            tally: Tally::default(),
        }
    }

    /// What follows is about this.
    pub(super) fn begin(&mut self, about: About, heading: String) {
        self.about = about;
        self.heading = Some(heading);
    }

    pub(super) fn ok(&mut self, what: &'static str, found: impl Into<String>) {
        self.push(Finding { what, state: State::Ok, found: found.into(), remedy: String::new() });
    }

    pub(super) fn warning(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Finding { what, state: State::Warning, found: found.into(), remedy: remedy.into() });
    }

    pub(super) fn wrong(
        &mut self,
        ending: Ending,
        what: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let state = State::Wrong(ending);
        self.push(Finding { what, state, found: found.into(), remedy: remedy.into() });
    }

    /// Shows the heading at once: what comes next takes its time.
    pub(super) fn show_heading(&mut self) {
        if !self.quiet && self.layout != Layout::Json {
            self.put_heading();
        }
    }

    fn put_heading(&mut self) {
        let Some(heading) = self.heading.take() else { return };
        if self.shown_any {
            println!();
        }
        println!("{}", headline(&heading, self.layout));
        self.shown_any = true;
    }

    fn push(&mut self, finding: Finding) {
        self.tally.count(finding.state);
        if self.quiet && finding.state == State::Ok {
            return;
        }
        if self.layout == Layout::Json {
            println!("{}", json(&self.about, &finding));
            return;
        }
        self.put_heading();
        for line in lines(&finding, self.layout) {
            println!("{line}");
        }
    }

    /// How many findings were wrong so far: to see whether a part of the check was.
    pub(super) fn wrong_so_far(&self) -> usize {
        self.tally.wrong
    }

    /// Closes with a sentence, and says how the program ends.
    pub(super) fn finish(self) -> Ending {
        if self.layout != Layout::Json && !self.quiet {
            println!("\n{}", self.tally.sentence());
        }
        self.tally.first_wrong.unwrap_or(Ending::Done)
    }
}

impl Tally {
    fn count(&mut self, state: State) {
        match state {
            State::Ok => self.ok += 1,
            State::Warning => self.warnings += 1,
            State::Wrong(ending) => {
                self.wrong += 1;
                self.first_wrong.get_or_insert(ending);
            }
        }
    }

    fn sentence(self) -> String {
        let warnings = match self.warnings {
            0 => String::new(),
            1 => ", 1 warning".to_owned(),
            many => format!(", {many} warnings"),
        };
        match self.wrong {
            0 => format!("Nothing is wrong{warnings}."),
            1 => format!("1 thing is wrong{warnings}."),
            many => format!("{many} things are wrong{warnings}."),
        }
    }
}

/// The keys are a promise to scripts.
#[derive(Serialize)]
struct FindingJson<'a> {
    account: Option<&'a str>,
    line: Option<&'a str>,
    what: &'a str,
    state: &'a str,
    found: &'a str,
    remedy: Option<&'a str>,
}

fn json(about: &About, finding: &Finding) -> String {
    let object = FindingJson {
        account: about.account.as_deref(),
        line: about.line.as_deref(),
        what: finding.what,
        state: finding.state.word(),
        found: &finding.found,
        remedy: Some(finding.remedy.as_str()).filter(|remedy| !remedy.is_empty()),
    };
    serde_json::to_string(&object).unwrap_or_default() // texts only: cannot fail
}

fn headline(heading: &str, layout: Layout) -> String {
    let heading = display::safe_line(heading);
    match layout {
        Layout::Json | Layout::Whole => heading,
        Layout::Wrapped(width) => display::cut(&heading, width),
    }
}

/// A finding as a person reads it. What a modem, a host or a path says must not steer the terminal.
fn lines(finding: &Finding, layout: Layout) -> Vec<String> {
    let found = display::safe_line(&finding.found);
    let remedy = display::safe_line(&finding.remedy);
    let remedy = if remedy.is_empty() { remedy } else { format!("-> {remedy}") };
    let head = format!("  {:<STATE_COLUMNS$}{:<WHAT_COLUMNS$}", finding.state.word(), finding.what);
    let Layout::Wrapped(width) = layout else {
        let gap = if remedy.is_empty() { "" } else { " " };
        return vec![format!("{head}{found}{gap}{remedy}")];
    };
    // Where there is no room for a column of its own, text goes on below its heading.
    let (head, indent) = match width < WIDE {
        true => (format!("  {:<STATE_COLUMNS$}{}: ", finding.state.word(), finding.what), INDENT_NARROW),
        false => (head.clone(), head.len()),
    };
    let mut wrapped = broken(&found, width - head.len().min(width), width.saturating_sub(indent));
    if !remedy.is_empty() {
        let room = width.saturating_sub(indent);
        wrapped.extend(broken(&remedy, room, room));
    }
    let mut wrapped = wrapped.into_iter();
    let mut lines = vec![format!("{head}{}", wrapped.next().unwrap_or_default()).trim_end().to_owned()];
    lines.extend(wrapped.map(|line| {
        // A path that is too long for its column has the whole line.
        let indent = indent.min(width.saturating_sub(display::width(&line)));
        format!("{:indent$}{line}", "")
    }));
    lines
}

/// Breaks a text at its blanks: `first` columns for its first line, `room` for the others.
fn broken(text: &str, first: usize, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room_now = first;
    for word in text.split(' ') {
        let is_first = lines.len() == 1;
        let line = lines.last_mut().expect("there is always one");
        let needed = display::width(line) + usize::from(!line.is_empty()) + display::width(word);
        if needed > room_now && (is_first || !line.is_empty()) {
            lines.push(word.to_owned());
            room_now = room;
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Columns of the state and of what was looked at.
const STATE_COLUMNS: usize = 9;
const WHAT_COLUMNS: usize = 12;
/// From this width on, text stands in a column of its own.
const WIDE: usize = 72;
/// Columns in front of what goes on in the next line of a narrow terminal.
const INDENT_NARROW: usize = 2 + STATE_COLUMNS;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(state: State, found: &str, remedy: &str) -> Finding {
        Finding { what: "device", state, found: found.to_owned(), remedy: remedy.to_owned() }
    }

    #[test]
    fn a_finding_is_one_line_in_a_pipe_and_wrapped_on_a_terminal() {
        let wrong = finding(
            State::Wrong(Ending::NoSuchPort),
            "there is no /dev/ttyUSB7 on this machine",
            "plug it in; `mailcall modem list` shows the ports",
        );
        let fine = finding(State::Ok, "/dev/ttyS0", "");
        let shown = |finding, layout| lines(finding, layout).join("\n");
        for (finding, layout, expected) in [
            (&fine, Layout::Whole, "  ok       device      /dev/ttyS0"),
            (&fine, Layout::Wrapped(80), "  ok       device      /dev/ttyS0"),
            (
                &wrong,
                Layout::Whole,
                "  wrong    device      there is no /dev/ttyUSB7 on this machine \
                 -> plug it in; `mailcall modem list` shows the ports",
            ),
            (
                &wrong,
                Layout::Wrapped(72),
                "  wrong    device      there is no /dev/ttyUSB7 on this machine\n\
                 \u{20}                      -> plug it in; `mailcall modem list` shows the\n\
                 \u{20}                      ports",
            ),
            (
                &wrong,
                Layout::Wrapped(50),
                "  wrong    device: there is no /dev/ttyUSB7 on\n\
                 \u{20}          this machine\n\
                 \u{20}          -> plug it in; `mailcall modem list`\n\
                 \u{20}          shows the ports",
            ),
        ] {
            assert_eq!(shown(finding, layout), expected);
        }
    }

    #[test]
    fn whatever_is_found_fits_the_width_and_no_word_is_cut() {
        let long = "/var/spool/a/very/long/path/that/has/no/blank/in/it";
        let found = format!("{long} is {long} and that is that, said \x1b[2J the modem");
        let finding = finding(State::Warning, &found, "look at it again, and then once more");
        for width in 56..=80 {
            let lines = lines(&finding, Layout::Wrapped(width));
            assert!(lines.iter().all(|line| display::width(line) <= width), "{width}: {lines:#?}");
            assert!(lines.iter().any(|line| line.contains(long)), "{width}: {lines:#?}");
            assert!(!lines.concat().contains('\x1b'));
        }
        assert!(!lines(&finding, Layout::Wrapped(1)).is_empty());
    }

    #[test]
    fn the_first_that_is_wrong_decides_the_end() {
        let cases: [(&[State], Option<Ending>, &str); 4] = [
            (&[State::Ok], None, "Nothing is wrong."),
            (&[State::Ok, State::Warning], None, "Nothing is wrong, 1 warning."),
            (
                &[State::Warning, State::Wrong(Ending::Config)],
                Some(Ending::Config),
                "1 thing is wrong, 1 warning.",
            ),
            (
                &[State::Wrong(Ending::PortLocked), State::Wrong(Ending::Config)],
                Some(Ending::PortLocked),
                "2 things are wrong.",
            ),
        ];
        for (states, first, says) in cases {
            let mut tally = Tally::default();
            states.iter().for_each(|&state| tally.count(state));
            assert_eq!((tally.first_wrong, tally.sentence().as_str()), (first, says));
        }
    }

    #[test]
    fn a_finding_is_an_object_with_the_documented_keys() {
        let about = About { account: Some("home".to_owned()), line: None };
        let told = json(&about, &finding(State::Ok, "a \"b\"", ""));
        assert_eq!(
            told,
            r#"{"account":"home","line":null,"what":"device","state":"ok","found":"a \"b\"","remedy":null}"#
        );
        let page = include_str!("../../../docs/configuration.md");
        let object: serde_json::Value = serde_json::from_str(&told).unwrap();
        let (_, section) = page.split_once("`mailcall --json check`").expect("the section");
        for key in object.as_object().unwrap().keys() {
            assert!(
                section.contains(&format!("| `{key}`")) || section.contains(&format!(", `{key}`")),
                "{key}"
            );
        }
    }
}
