//! `mailcall list`: what is in the mailbox on the host, and what of it is here.

use serde::Serialize;

use super::at_mailbox::at_mailbox;
use super::fetch::{Call, Ready, prepare};
use super::report::Report;
use super::{Global, accounts_of};
use crate::mailbox::display::{self, Row};
use crate::mailbox::message::Summary;
use crate::session::call::CallReport;
use crate::session::list::Listed;
use crate::session::work::List;
use crate::session::{Ending, Failure};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The host's awk reads the headers; no body is carried. On a line of kind \"file\"\nthey are read where they are."
)]
pub(super) struct Args {
    /// The account [default: the only one there is]
    account: Option<String>,
}

/// One message in `list --json`.
#[derive(Serialize)]
struct Line<'a> {
    account: &'a str,
    number: u64,
    bytes: u64,
    from: &'a str,
    date: &'a str,
    subject: &'a str,
    state: &'static str,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let ran = list_account(global, args);
    if let (true, Err(failure)) = (global.json, &ran) {
        // A script that asked for JSON gets it, whatever is wrong: the object that `fetch` prints.
        let account = args.account.as_deref().unwrap_or_default();
        println!("{}", Report::new(account, &Err(failure.clone()), &CallReport::default()).json());
    }
    ran
}

fn list_account(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let config = global.read_config()?;
    let names = accounts_of(&config, args.account.as_slice())?;
    for name in &names {
        let Ready { account, password, mut store } = prepare(global, &config, name)?;
        let call = Call { global, config: &config, name, account: &account, password };
        let (listed, _) = at_mailbox(call, List(&mut store));
        print(global, name, &listed?);
    }
    Ok(Ending::Done)
}

/// A table as wide as the terminal, or one JSON object a message.
pub(super) fn print(global: &Global, account: &str, listed: &[Listed]) {
    let columns = super::columns();
    if listed.is_empty() && !global.json {
        println!("{account}: no mail");
    }
    if !listed.is_empty() && !global.json {
        println!("{}", display::list_heading(columns));
    }
    for message in listed {
        let entry = &message.entry;
        let head =
            [b"From: ", &entry.from[..], b"\nDate: ", &entry.date, b"\nSubject: ", &entry.subject, b"\n\n"]
                .concat();
        let summary = Summary::read(&head, entry.length);
        let state = if message.here { "here" } else { "new" };
        print_message(global, account, (entry.number, entry.length), &summary, state);
    }
}

/// One message of this number and length, in the table or as an object.
pub(super) fn print_message(
    global: &Global,
    account: &str,
    (number, bytes): (u64, u64),
    summary: &Summary,
    state: &'static str,
) {
    if global.json {
        let Summary { from, date, subject, .. } = summary;
        let line = Line { account, number, bytes, from, date, subject, state };
        println!("{}", serde_json::to_string(&line).unwrap_or_default()); // texts and numbers: cannot fail
    } else {
        let date = display::day(summary.sent, &jiff::tz::TimeZone::system());
        let (sender, subject) = (summary.sender(), summary.subject.as_str());
        let row = Row { number, date: &date, sender, size: bytes, state, subject };
        println!("{}", display::list_row(&row, super::columns()));
    }
}
