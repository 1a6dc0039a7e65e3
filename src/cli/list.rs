//! `mailcall list`: what is in the mailbox on the host, and what of it is here.

use serde::Serialize;

use super::fetch::{prepare, with_call};
use super::{Global, accounts_of};
use crate::access::Location;
use crate::mailbox::display::{self, Row};
use crate::mailbox::message;
use crate::session::list::{Listed, list};
use crate::session::{Ending, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "The host's awk reads the headers; no body is carried.")]
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
    from: String,
    date: String,
    subject: String,
    state: &'static str,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let config = global.read_config()?;
    let names = accounts_of(&config, args.account.as_slice())?;
    for name in &names {
        let (account, password, store) = prepare(global, &config, name)?;
        let location = Location::new(account.mailbox.as_deref());
        let (listed, _) =
            with_call(global, &config, name, &account, password, async |session| list(session, &store, &location).await);
        print(global, name, &listed?);
    }
    Ok(Ending::Done)
}

/// A table as wide as the terminal, or one JSON object a message.
pub(super) fn print(global: &Global, account: &str, listed: &[Listed]) {
    if listed.is_empty() && !global.json {
        println!("{account}: no mail");
    }
    for message in listed {
        let entry = &message.entry;
        let text = |raw: &[u8]| message::decode_header(raw);
        let state = if message.here { "here" } else { "new" };
        if global.json {
            let line = Line {
                account,
                number: entry.number,
                bytes: entry.length,
                from: text(&entry.from),
                date: text(&entry.date),
                subject: text(&entry.subject),
                state,
            };
            println!("{}", serde_json::to_string(&line).unwrap_or_default()); // texts and numbers: cannot fail
        } else {
            let row = Row {
                number: entry.number,
                date: &text(&entry.date),
                from: &text(&entry.from),
                size: entry.length,
                subject: &text(&entry.subject),
                state,
            };
            println!("{}", display::list_row(&row, display::terminal_width()));
        }
    }
}
