//! `mailcall show`: print a message that was fetched, decoded and safe for the terminal.

use super::{Global, accounts_of};
use crate::mailbox::message::{self, Headers, RenderOptions};
use crate::session::fetch::store_failure;
use crate::session::{Ending, Failure, Stage};
use crate::store::Archive;

#[derive(Debug, clap::Args)]
#[command(after_help = "Numbers are those of `list`. No call is made.")]
pub(super) struct Args {
    /// Account and number, or the number alone if there is one account
    #[arg(value_name = "[ACCOUNT] NUMBER", num_args = 1..=2, required = true)]
    which: Vec<String>,
    /// Print the message's bytes as they are
    #[arg(long)]
    raw: bool,
    /// Print every header, not only the usual ones
    #[arg(long, conflicts_with = "raw")]
    headers: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let (account, number) = match args.which.as_slice() {
        [number] => (None, number),
        [account, number] => (Some(account.clone()), number),
        _ => (None, &args.which[0]), // clap takes one or two
    };
    let number: usize = number.parse().map_err(|_| {
        Failure::new(
            Ending::Usage,
            Stage::Preparing,
            format!("{number:?} is no message number; see: mailcall list"),
        )
    })?;
    let config = global.read_config()?;
    let names = accounts_of(&config, account.as_slice())?;
    let [name] = names.as_slice() else {
        return Err(Failure::new(Ending::Usage, Stage::Preparing, "show takes one account"));
    };
    let failed = |error| store_failure(Stage::Preparing, &error);
    let Some(archive) = Archive::open(&global.state_dir()?, name).map_err(failed)? else {
        let message = format!("nothing was fetched for account {name:?} yet; run: mailcall fetch {name}");
        return Err(Failure::new(Ending::Usage, Stage::Preparing, message));
    };
    let raw = archive.read(number).map_err(failed)?;
    let printed = if args.raw {
        raw
    } else {
        let headers = if args.headers { Headers::All } else { Headers::Brief };
        message::render(&raw, RenderOptions { width: Some(super::columns()), headers }).into_bytes()
    };
    super::print::out(&printed);
    Ok(Ending::Done)
}
