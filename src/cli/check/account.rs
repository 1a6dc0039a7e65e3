//! What an account needs beside its lines: who calls whom, numbers, name and password, and a place for
//! the mail.

use std::path::{Path, PathBuf};

use super::finding::Sheet;
use super::password::{self, Held};
use super::{path, place};
use crate::access::Location;
use crate::cli::Global;
use crate::cli::dry_run::{at_the_end, calling_told};
use crate::cli::fetch::refuse_itself;
use crate::config::{AccountConfig, Calling, Config, Deliver, LineConfig, LineKind, TransferChoice};
use crate::modem::{Profile, number_key};
use crate::session::by_path::spool;
use crate::session::dialling::plan;
use crate::session::memory::{self, HeldBack};
use crate::session::{Ending, reach};
use crate::store::dials::{Dials, History};
use crate::store::troubles::Troubles;
use crate::store::{Delivery, look};

/// An account, and where it comes from.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) global: &'a Global,
    pub(super) config: &'a Config,
    pub(super) name: &'a str,
    pub(super) account: &'a AccountConfig,
    /// The state folder is fit; if not, nothing below it is looked at.
    pub(super) state: bool,
}

/// Whether there is anything to call, or only a path.
pub(super) fn is_called(of: Whose<'_>) -> bool {
    let lines = of.account.lines.iter().filter_map(|line| of.config.lines.get(line));
    lines.into_iter().any(|line| !matches!(line.kind, LineKind::File))
}

/// `alone`: no other account is looked at. Answers whether a call may be made: there is a number that is not held back, and a password.
pub(super) fn look(of: Whose<'_>, password: &Held, alone: bool, sheet: &mut Sheet) -> bool {
    let Whose { config, account, .. } = of;
    let lines: Vec<&LineConfig> = account.lines.iter().filter_map(|line| config.lines.get(line)).collect();
    let called = is_called(of);
    if called {
        sheet.ok("calls", calling_told(account, account.redial));
    }
    order_of_lines(of, sheet);
    let dialled = numbers(of, &lines, sheet);
    if called {
        user(account, &lines, sheet);
        login(account, sheet);
        password::tell(account, password, sheet);
    }
    mailbox(of, sheet);
    delivery(of, alone, sheet);
    ledger(of, sheet);
    called && dialled && !matches!(password, Held::Refused(_))
}

/// Of several lines, those that failed lately are tried last.
fn order_of_lines(of: Whose<'_>, sheet: &mut Sheet) {
    const WHAT: &str = "lines";
    let Some(state) = state_of(of).filter(|_| of.account.lines.len() > 1) else { return };
    let remembered = match Troubles::new(&state).all() {
        Ok(remembered) => remembered,
        Err(error) => return place::refused(WHAT, &error, sheet),
    };
    for line in &of.account.lines {
        if let Some(told) = remembered.get(line).and_then(at_the_end) {
            let remedy = "mend it if it is told of as wrong; this passes by itself";
            sheet.warning(WHAT, format!("{line}: {told}"), remedy);
        }
    }
}

/// Each number as the modem gets it, and what is remembered of it. Answers whether one may be dialled,
/// or none has to be.
fn numbers(of: Whose<'_>, lines: &[&LineConfig], sheet: &mut Sheet) -> bool {
    let account = of.account;
    const WHAT: &str = "phone";
    let modems: Vec<(&LineConfig, &Profile)> =
        lines.iter().filter_map(|line| Some((*line, line.modem.as_ref()?))).collect();
    let dials = match &account.calling {
        Calling::WeCall | Calling::HostCallsBack { .. } => !modems.is_empty(),
        Calling::HostCalls { .. } => false,
    };
    if !dials {
        return true;
    }
    let remembered = match state_of(of).map(|state| Dials::new(&state).all()) {
        Some(Ok(all)) => all,
        Some(Err(error)) => {
            place::refused(WHAT, &error, sheet);
            return false;
        }
        None => Default::default(),
    };
    let mut told = Vec::new();
    for number in &account.phones {
        for (line, profile) in &modems {
            let history = remembered.get(&number_key(line.rules.location.as_ref(), number));
            let history = history.cloned().unwrap_or_default();
            let shown = dialled_as(profile, line, number);
            if !told.iter().any(|(_, known, _, _)| *known == shown) {
                let back = memory::held_back(number, &history, reach(profile, number));
                told.push((number, shown, history, back));
            }
        }
    }
    let another = told.iter().any(|(_, shown, _, back)| shown.is_ok() && back.is_none());
    for (number, shown, history, back) in told {
        match (shown, back) {
            (Err(failure), _) => {
                sheet.wrong(Ending::Config, WHAT, failure, "mend the number, or the modem's profile");
            }
            (Ok(_), Some(HeldBack { why, remedy, .. })) if another => sheet.warning(WHAT, why, remedy),
            (Ok(_), Some(HeldBack { ending, why, remedy })) => sheet.wrong(ending, WHAT, why, remedy),
            (Ok(commands), None) => {
                sheet.ok(WHAT, format!("{number} is dialled {commands}{}", past(&history)));
            }
        }
    }
    another
}

/// The state folder, unless it was told of already that it is not fit.
fn state_of(of: Whose<'_>) -> Option<PathBuf> {
    of.global.state_dir().ok().filter(|_| of.state)
}

/// The commands that dial it.
fn dialled_as(profile: &Profile, line: &LineConfig, number: &str) -> Result<String, String> {
    let planned = plan(profile, line, number).map_err(|failure| failure.message)?;
    let dials = planned.iter().map(|planned| planned.command.as_str());
    let dials: Vec<&str> =
        dials.filter(|command| crate::modem::commands::dials(command.trim_start_matches("AT"))).collect();
    Ok(dials.join(" "))
}

fn past(history: &History) -> String {
    let connected = history.connected.map(|at| format!("; last connected {}", memory::local_time(at)));
    let failed = match history.unconnected {
        0 => String::new(),
        1 => "; the last dial did not connect".to_owned(),
        many => format!("; the last {many} dials did not connect"),
    };
    format!("{}{failed}", connected.unwrap_or_default())
}

fn user(account: &AccountConfig, lines: &[&LineConfig], sheet: &mut Sheet) {
    // Behind a modem or TELNET there is a login nearly always.
    let asks = lines.iter().any(|line| line.modem.is_some() || matches!(line.kind, LineKind::Telnet(_)));
    match &account.user {
        Some(user) => sheet.ok("user", user),
        None if account.login.as_ref().is_some_and(|script| !script.ends_automatic()) => {
            sheet.ok("user", "none: the login script types what it needs");
        }
        None if asks => sheet.warning(
            "user",
            "none: right only if the host gives a shell without asking for a name",
            "add user = \"..\" to the account",
        ),
        None => sheet.ok("user", "none: the line ends at a shell"),
    }
}

/// Whether the host is known to the automatic login, or to a script.
fn login(account: &AccountConfig, sheet: &mut Sheet) {
    let told = match &account.login {
        None => "automatic".to_owned(),
        Some(script) => {
            let steps =
                if script.len() == 1 { "1 step".to_owned() } else { format!("{} steps", script.len()) };
            let rest =
                if script.ends_automatic() { ", the last of which is the automatic login" } else { "" };
            format!("by a script of {steps}{rest}")
        }
    };
    sheet.ok("login", told);
}

/// Where the mailbox is, and how it comes.
fn mailbox(of: Whose<'_>, sheet: &mut Sheet) {
    let account = of.account;
    if let Some(spool) = spool(account) {
        path::look(&spool, sheet);
    }
    if is_called(of) {
        let by = match account.transfer {
            TransferChoice::Auto => "by ZMODEM where the host has sz, else as text",
            TransferChoice::Zmodem => "by ZMODEM only",
            TransferChoice::Text => "as text",
        };
        let which = match Location::new(account.mailbox.as_deref()) {
            Location::Default => "what the host calls $MAIL".to_owned(),
            Location::Path(path) => format!("{path} on the host"),
            Location::Named(name) => format!("{} on the host", name.escape_ascii()),
        };
        sheet.ok("mailbox", format!("{which}; mail stays there, and comes {by}"));
    }
}

fn delivery(of: Whose<'_>, alone: bool, sheet: &mut Sheet) {
    let Whose { config, account, name, .. } = of;
    const WHAT: &str = "deliver";
    let Some(deliver) = &account.deliver else {
        let found = "the account does not say where its mail goes";
        let remedy = format!("add deliver = {{ maildir = \"~/Mail/{name}\" }} or {{ mbox = \"..\" }}");
        return sheet.wrong(Ending::Config, WHAT, found, remedy);
    };
    let (path, target) = match deliver {
        Deliver::Maildir(path) => (path, Delivery::Maildir(path.clone())),
        Deliver::Mbox(path) => (path, Delivery::Mbox(path.clone())),
    };
    if let Err(failure) = refuse_itself(account, name) {
        let found =
            format!("{} is the very mailbox that is read: mail would come again for ever", path.display());
        return sheet.wrong(failure.ending, WHAT, found, "let `deliver` name another");
    }
    place::written_to(WHAT, path, look::delivery(&target), sheet);
    let others = config.accounts.iter().filter(|(other, _)| other.as_str() != name);
    let others = others.filter(|(_, other)| other.deliver.as_ref().is_some_and(|to| same(to, path)));
    // Where all accounts are looked at, two that share a place are told of once.
    for (other, _) in others.filter(|(other, _)| alone || other.as_str() < name) {
        let found = format!("{} gets the mail of account {other} too", path.display());
        sheet.warning(WHAT, found, "fine if they may be mixed; else give each a place of its own");
    }
}

fn same(deliver: &Deliver, path: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (Deliver::Maildir(other) | Deliver::Mbox(other)) = deliver;
    real(other) == real(path)
}

/// What was delivered so far, and whether another run is at it.
fn ledger(of: Whose<'_>, sheet: &mut Sheet) {
    const WHAT: &str = "ledger";
    let Some(state) = state_of(of) else { return };
    let found = match look::account(&state, of.name) {
        Ok(found) => found,
        Err(error) => return place::refused(WHAT, &error, sheet),
    };
    if let Some(lock) = found.busy {
        let holder = crate::line::holder::flock_holder(&lock);
        let who = holder.map_or_else(String::new, |holder| format!(", {holder},"));
        let told = format!("another run{who} is working on this account (it holds {})", lock.display());
        return sheet.wrong(Ending::MailboxLocked, WHAT, told, "wait for it to end");
    }
    match found.messages {
        None => sheet.ok(WHAT, "nothing was fetched yet"),
        Some(0) => sheet.ok(WHAT, "no message was delivered yet"),
        Some(1) => sheet.ok(WHAT, "1 message of the mailbox is here"),
        Some(many) => sheet.ok(WHAT, format!("{many} messages of the mailbox are here")),
    }
}
