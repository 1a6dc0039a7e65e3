//! `mailcall delete`: remove messages from the mailbox that are here already.

use std::ops::RangeInclusive;

use super::at_mailbox::at_mailbox;
use super::fetch::{Call, Ready, prepare};
use super::list::print_message;
use super::report::Report;
use super::{Global, accounts_of};
use crate::config::Config;
use crate::mailbox::display;
use crate::mailbox::message::Summary;
use crate::session::call::CallReport;
use crate::session::fetch::{Fetched, store_failure};
use crate::session::work::Delete;
use crate::session::{Ending, Failure, Stage};
use crate::store::Archive;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Numbers are those of `list`, which shows them as \"here\". What is not here yet
is not deleted: fetch it first. The copy on this machine stays.

  mailcall delete home 3 7-9     four messages of the account home
  mailcall delete --all-here     all that is here, of the only account")]
pub(super) struct Args {
    /// Account (unless there is only one), then numbers: 3 or 3,7-9
    #[arg(value_name = "[ACCOUNT] NUMBER", required_unless_present = "all_here")]
    which: Vec<String>,
    /// Delete every message that is here
    ///
    /// To have that done by each fetch, say `keep = false` in the account.
    #[arg(long)]
    all_here: bool,
    /// Print what would be deleted, and call nobody
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let mut account = args.which.first().filter(|word| parse(word).is_none()).cloned().unwrap_or_default();
    let ran = ready(global, args, &mut account).and_then(|(config, chosen)| match args.dry_run {
        true => {
            print(global, &account, &chosen, "would go");
            Ok(Ending::Done)
        }
        false => delete_chosen(global, &config, &account, &chosen),
    });
    if let (true, Err(failure)) = (global.json, &ran) {
        // A script that asked for JSON gets it, whatever is wrong: the object that `fetch` prints.
        println!("{}", Report::new(&account, &Err(failure.clone()), &CallReport::default()).json());
    }
    ran
}

/// A message that was chosen, with what its copy here says of it, unless a mail program has moved that.
struct Chosen {
    number: usize,
    len: u64,
    head: Vec<u8>,
}

/// Whose messages, and which: all that can be wrong is found before anybody is called.
fn ready(global: &Global, args: &Args, account: &mut String) -> Result<(Config, Vec<Chosen>), Failure> {
    let usage = |message: String| Failure::new(Ending::Usage, Stage::Preparing, message);
    let wrong = |word: &String| {
        usage(format!("{word:?} is no message number, nor the first and the last of some, as in 7-9"))
    };
    let config = global.read_config()?;
    let named =
        args.which.first().filter(|word| config.accounts.contains_key(*word) || parse(word).is_none());
    let numbers = &args.which[usize::from(named.is_some())..];
    if let Some(word) = named.filter(|word| !config.accounts.contains_key(*word) && is_meant_as_number(word))
    {
        return Err(wrong(word));
    }
    let names = accounts_of(&config, named.cloned().as_slice())?;
    *account = names.first().cloned().unwrap_or_default(); // it is one
    let ranges = numbers.iter().map(|word| parse(word).ok_or_else(|| wrong(word)));
    let ranges: Vec<_> = ranges.collect::<Result<Vec<_>, _>>()?.concat();
    match (args.all_here, ranges.is_empty()) {
        (false, true) => return Err(usage("say which: numbers as `list` shows them, or --all-here".into())),
        (true, false) => return Err(usage("give numbers or --all-here, not both".into())),
        (true, true) | (false, false) => {}
    }
    let failed = |error| store_failure(Stage::Preparing, &error);
    let archive = Archive::open(&global.state_dir()?, account).map_err(failed)?;
    let here = archive.as_ref().map_or(0, |archive| archive.messages().count());
    if let Some(far) = ranges.iter().find(|range| *range.start() == 0 || *range.end() > here) {
        let there = match here {
            0 => "none is".to_owned(),
            here => format!("1 to {here} are"),
        };
        let number = if *far.start() == 0 || *far.start() > here { far.start() } else { far.end() };
        return Err(usage(format!(
            "message {number} is not here, so it is not deleted: {there}. Fetch it first: \
             mailcall fetch {account}"
        )));
    }
    let is_meant = |number| args.all_here || ranges.iter().any(|range| range.contains(&number));
    let Some(archive) = archive else { return Ok((config, Vec::new())) };
    let meant: Vec<_> = archive.messages().filter(|message| is_meant(message.number)).collect();
    let numbers: Vec<usize> = meant.iter().map(|message| message.number).collect();
    let heads = archive.heads(&numbers, HEAD_MAX);
    let chosen = meant.iter().zip(heads);
    let chosen = chosen.map(|(message, head)| Chosen { number: message.number, len: message.len, head });
    let chosen = chosen.collect();
    Ok((config, chosen))
}

fn delete_chosen(global: &Global, config: &Config, name: &str, chosen: &[Chosen]) -> Result<Ending, Failure> {
    if chosen.is_empty() {
        if !global.json && !global.quiet {
            println!("{name}: nothing is here that could be deleted");
        }
        return Ok(Ending::Done);
    }
    let numbers: Vec<usize> = chosen.iter().map(|message| message.number).collect();
    let Ready { account, password, mut store } = prepare(global, config, name)?;
    let work = Delete { store: &mut store, numbers: &numbers };
    let call = Call { global, config, name, account: &account, password };
    let (deleted, report) = at_mailbox(call, work);
    let removed = deleted?;
    if global.json {
        let fetched = Fetched { removed, ..Fetched::default() };
        println!("{}", Report::new(name, &Ok(fetched), &report).json());
    } else if !global.quiet {
        print(global, name, chosen, "deleted");
        let messages = if removed == 1 { "1 message" } else { &format!("{removed} messages") };
        println!("{name}: {messages} deleted from the mailbox; what was fetched of them stays here");
    }
    Ok(Ending::Done)
}

fn print(global: &Global, account: &str, chosen: &[Chosen], state: &'static str) {
    if !global.json && !chosen.is_empty() {
        println!("{}", display::list_heading(super::columns()));
    }
    for Chosen { number, len, head } in chosen {
        print_message(global, account, (*number as u64, *len), &Summary::read(head, *len), state);
    }
}

/// `3`, `7-9`, or several with commas.
fn parse(word: &str) -> Option<Vec<RangeInclusive<usize>>> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range: RangeInclusive<usize> = number(first)?..=number(last)?;
        (!range.is_empty()).then_some(range)
    };
    word.split(',').map(range).collect()
}

/// `9-7`, `3,,4`: numbers that went wrong, rather than an account's name.
fn is_meant_as_number(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_digit() || b"-,.".contains(&byte))
}

/// Bytes of a message's head that are read for its sender and subject.
const HEAD_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_went_wrong_are_not_taken_for_an_account() {
        for word in ["9-7", "3-", "3,,4", "1..3", "99999999999999999999999", "2-99999999999999999999999"] {
            assert!(parse(word).is_none() && is_meant_as_number(word), "{word}");
        }
        for word in ["", "home", "3com", "-3", "work-2"] {
            assert!(!is_meant_as_number(word), "{word}");
        }
    }

    #[test]
    fn numbers_and_ranges_are_read_and_nothing_else() {
        for (word, ranges) in [("3", vec![3..=3]), ("3,7-9", vec![3..=3, 7..=9]), ("0", vec![0..=0])] {
            assert_eq!(parse(word), Some(ranges), "{word}");
        }
        for word in ["", "home", "3-", "-3", "9-7", "3,,4", "+3", "3 4", "99999999999999999999999"] {
            assert_eq!(parse(word), None, "{word}");
        }
    }
}
