//! `check --dial`: the call itself, up to the shell, and what the host has.

use std::time::{Duration, Instant};

use super::account::Whose;
use super::finding::{About, Sheet};
use super::password::Held;
use crate::access::Location;
use crate::access::inspection::{Inspection, Kind, MailboxState};
use crate::cli::exit::advice;
use crate::cli::fetch::{Asking, Call, in_call_watched};
use crate::cli::interrupt::Signals;
use crate::cli::report::off_hook;
use crate::config::{AccountConfig, TransferChoice};
use crate::modem::ConnectInfo;
use crate::session::call::{CallReport, Session};
use crate::session::{Ending, Failure, Progress, Stage};
use crate::shell::HostFacts;
use crate::shell::probe::Tool;

/// Makes the call if it can come about; the error is a signal.
pub(super) async fn look(
    of: Whose<'_>,
    password: Held,
    may_call: bool,
    signals: &mut Signals,
    sheet: &mut Sheet,
) -> Result<(), Failure> {
    let about = About { account: Some(of.name.to_owned()), line: None };
    sheet.begin(about, format!("call of account {}", of.name));
    if !may_call {
        sheet.warning("call", "not made: what it needs is not fit", "mend what is wrong above first");
        return Ok(());
    }
    sheet.show_heading();
    let Whose { global, config, name, account, .. } = of;
    let password = match password {
        Held::Given(secret) => Some(secret),
        Held::NotNeeded | Held::Asked | Held::Refused(_) => None,
    };
    let location = Location::new(account.mailbox.as_deref());
    let mut stages = Stages::default();
    let call = Call { global, config, name, account, password };
    // The finding says what the modem said.
    let told_later =
        |progress: &Progress| matches!(progress, Progress::Note(note) if note.starts_with("CONNECT"));
    let mut observe = |progress: &Progress| {
        stages.watch(progress);
        global.verbose > 0 || !told_later(progress)
    };
    let (went, report) = in_call_watched(signals, call, Asking::Anew, &mut observe, async |session| {
        inspect(session, &location).await
    })
    .await;
    stages.end();
    match &went {
        Err(failure) if failure.ending == Ending::Interrupted => return Err(failure.clone()),
        Err(failure) => {
            let remedy = advice(failure).unwrap_or("-v shows what was said");
            sheet.wrong(failure.ending, "call", failure.to_string(), remedy);
        }
        Ok(_) => connection(&report, sheet),
    }
    sheet.ok("times", stages.told());
    if let Ok((facts, host)) = went {
        told(account, &facts, &host, sheet);
    }
    if let Some(why) = &report.off_hook {
        sheet.warning("hang-up", off_hook(why), "see to it at once: the call may cost money");
    }
    Ok(())
}

/// Asks the host.
async fn inspect(session: &mut Session<'_>, location: &Location) -> Result<(HostFacts, Inspection), Failure> {
    session.tell(Progress::Stage(Stage::Survey, "asking what the host has".to_owned()));
    let facts = session.facts.clone();
    let reply = session.run(&Inspection::command(location, &facts), Stage::Survey, 0).await?;
    Ok((facts, Inspection::parse(&reply.bytes)))
}

fn connection(report: &CallReport, sheet: &mut Sheet) {
    let found = report.connect.as_ref().map(ConnectInfo::sentence);
    let found = found.unwrap_or_else(|| "up, without a modem".to_owned());
    sheet.ok("call", found);
}

/// What the host has, and how it stands with the mailbox.
fn told(account: &AccountConfig, facts: &HostFacts, host: &Inspection, sheet: &mut Sheet) {
    let unknown = || "unknown".to_owned();
    let system = host.system.clone().unwrap_or_else(unknown);
    let shell = host.shell.clone().unwrap_or_else(unknown);
    let user = facts.logname.as_ref().map_or_else(unknown, |name| String::from_utf8_lossy(name).into_owned());
    sheet.ok("host", format!("{system}; we are {user} there, with the login shell {shell}"));
    sheet.ok(
        "programs",
        match host.programs.is_empty() {
            true => "none of those that help".to_owned(),
            false => host.programs.join(" "),
        },
    );
    transfer(account, facts, sheet);
    mailbox(&host.mailbox, sheet);
    if host.mailbox.kind == Kind::File {
        lock_file(host, sheet);
    }
}

fn transfer(account: &AccountConfig, facts: &HostFacts, sheet: &mut Sheet) {
    const WHAT: &str = "transfer";
    if ![Tool::Sha256sum, Tool::Md5sum, Tool::Cksum].into_iter().any(|tool| facts.has(tool)) {
        let found = "the host has none of sha256sum, md5sum and cksum: nothing can be proven";
        return sheet.wrong(Ending::HostLacks, WHAT, found, "ask the host's keeper for one of them");
    }
    if !facts.has(Tool::Awk) {
        sheet.warning(WHAT, "the host has no awk: `list` cannot work there", "`fetch` works without it");
    }
    match (facts.zmodem_sender(), account.transfer) {
        (None, TransferChoice::Zmodem) => {
            let found = "transfer = \"zmodem\", and the host has no sz";
            sheet.wrong(Ending::HostLacks, WHAT, found, "leave `transfer` out of the account");
        }
        (_, TransferChoice::Auto) if facts.gzips => sheet.ok(WHAT, "mail comes as text, packed by gzip"),
        (None, TransferChoice::Auto | TransferChoice::Text) | (Some(_), TransferChoice::Text) => {
            sheet.ok(WHAT, "mail comes as text");
        }
        (Some(sz), TransferChoice::Auto | TransferChoice::Zmodem) => {
            sheet.ok(WHAT, format!("mail comes by ZMODEM ({sz})"));
        }
    }
}

fn mailbox(mailbox: &MailboxState, sheet: &mut Sheet) {
    const WHAT: &str = "mailbox";
    let path = &mailbox.path;
    let elsewhere = "set `mailbox` in the account to the path on the host";
    match mailbox.kind {
        Kind::File if mailbox.readable => {
            let bytes = mailbox.bytes.map_or_else(String::new, |bytes| format!("{bytes} bytes, "));
            let write = if mailbox.writable { "read and written" } else { "read, not written" };
            sheet.ok(WHAT, format!("{path}: {bytes}may be {write}"));
        }
        Kind::File => {
            let found = format!("the host does not let us read {path}");
            sheet.wrong(Ending::NoPermission, WHAT, found, "ask the host's keeper for the right to read it");
        }
        Kind::Nothing => sheet.ok(WHAT, format!("{path}: no mail yet, its folder is there")),
        Kind::NoFolder => {
            let found = format!("the host has no {path}, nor its folder");
            sheet.wrong(Ending::NoMailbox, WHAT, found, elsewhere);
        }
        Kind::Maildir => {
            let found = format!("{path} on the host is a Maildir and no file");
            sheet.wrong(Ending::NoMailbox, WHAT, found, elsewhere);
        }
        Kind::Other => {
            let found = format!("{path} on the host is not a file");
            sheet.wrong(Ending::NoMailbox, WHAT, found, elsewhere);
        }
        Kind::Unknown => {
            sheet.warning(WHAT, "the host gave no answer about it", "-v shows what was said");
        }
    }
}

fn lock_file(host: &Inspection, sheet: &mut Sheet) {
    const WHAT: &str = "lock file";
    let lockers: Vec<&str> = host.lockers().collect();
    if host.mailbox.locked {
        let found = format!("{}.lock is there: a program has the mailbox locked now", host.mailbox.path);
        sheet.warning(WHAT, found, "reading does not mind it; if it stays for hours, tell the host's keeper");
    } else if host.mailbox.folder_writable {
        sheet.ok(WHAT, "could be made beside the mailbox: its folder may be written to");
    } else if !lockers.is_empty() {
        sheet.ok(WHAT, format!("could be made beside the mailbox by {}", lockers.join(", ")));
    } else {
        sheet.ok(WHAT, "could not be made beside the mailbox; reading needs none");
    }
}

/// How long each stage of the call took.
#[derive(Debug, Default)]
struct Stages {
    done: Vec<(Stage, Duration)>,
    now: Option<(Stage, Instant)>,
}

impl Stages {
    #[allow(clippy::disallowed_methods)] // a person waits by this clock
    fn watch(&mut self, progress: &Progress) {
        if let Progress::Stage(stage, _) = progress {
            let now = Instant::now();
            self.close(now);
            self.now = Some((*stage, now));
        }
    }

    #[allow(clippy::disallowed_methods)] // as above
    fn end(&mut self) {
        self.close(Instant::now());
    }

    fn close(&mut self, now: Instant) {
        let Some((stage, since)) = self.now.take() else { return };
        let took = now.saturating_duration_since(since);
        match self.done.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, sum)) => *sum += took,
            None => self.done.push((stage, took)),
        }
    }

    fn told(&self) -> String {
        let each = self.done.iter().map(|(stage, took)| format!("{stage} {:.1} s", took.as_secs_f64()));
        each.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // a point to count from
    fn the_times_of_a_stage_that_comes_twice_are_added() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut stages = Stages { now: Some((Stage::Dialling, start)), ..Stages::default() };
        stages.close(at(3));
        stages.now = Some((Stage::Shell, at(3)));
        stages.close(at(4));
        stages.now = Some((Stage::Dialling, at(4)));
        stages.close(at(6));
        stages.close(at(9));
        assert_eq!(stages.told(), "dialling 5.0 s, setting up the shell 1.0 s");
    }
}
