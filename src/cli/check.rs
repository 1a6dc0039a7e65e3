//! `mailcall check`: whether all that a call needs is fit, without making one. Each thing that was
//! looked at is one line, with its remedy where it is not fit.
//!
//! A port that nobody uses is opened and its modem spoken to: that raises DTR, hangs up what an earlier
//! call may have left, and dials nothing. A host over a network is connected to and let go at once. A
//! command is looked for and not run, because it may log in somewhere.

use std::collections::BTreeSet;

use self::account::Whose;
use self::finding::{About, Sheet};
use self::password::Held;
use super::dry_run::line_told;
use super::fetch::runtime;
use super::interrupt::Signals;
use super::{Global, config_failure};
use crate::config::Config;
use crate::line::permission::own_name;
use crate::session::{Ending, Failure, Stage};

mod account;
mod dial;
mod finding;
mod line;
mod network;
mod password;
mod path;
mod place;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each finding is ok, a warning or wrong, with what to do. The exit code is that
of the first thing that is wrong. -q shows only what is not ok.")]
pub(super) struct Args {
    /// The account [default: all accounts, and the lines that none uses]
    account: Option<String>,
    /// Make the call too, up to the shell, and tell what the host has
    ///
    /// Without it nothing is dialled: ports that nobody uses are opened and their modems
    /// asked what they are, hosts on a network are connected to and let go.
    #[arg(long)]
    dial: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let mut sheet = Sheet::new(global);
    let host = nix::unistd::gethostname().unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let heading = format!("mailcall {version} on {}, as {}", host.to_string_lossy(), own_name());
    sheet.begin(About::default(), heading);
    if let Some(config) = place::config(global, args.account.as_deref(), &mut sheet) {
        let state = place::state(global, &mut sheet);
        with_config(global, args, &config, state, &mut sheet)?;
    }
    Ok(sheet.finish())
}

/// Everything that the configuration names. `state`: the state folder is fit.
fn with_config(
    global: &Global,
    args: &Args,
    config: &Config,
    state: bool,
    sheet: &mut Sheet,
) -> Result<(), Failure> {
    let names: Vec<&String> = match &args.account {
        Some(name) => config.accounts.keys().filter(|known| *known == name).collect(),
        None => config.accounts.keys().collect(),
    };
    // Whatever asks the person does so before a port is opened.
    let mut passwords = Vec::new();
    for name in &names {
        let account = config.account(name).map_err(config_failure)?;
        let of = Whose { global, config, name, account, state };
        let needed = account::is_called(of);
        passwords.push(if needed { password::look(account, name, args.dial) } else { Held::NotNeeded });
    }
    runtime()?.block_on(async {
        let failed = |error| Failure::new(Ending::Bug, Stage::Preparing, error);
        let mut signals = Signals::install().map_err(failed)?;
        let mut seen = BTreeSet::new();
        let mut unfit = BTreeSet::new();
        for (name, password) in names.into_iter().zip(passwords) {
            let account = config.account(name).map_err(config_failure)?;
            for line in account.lines.iter().filter(|line| seen.insert((*line).clone())) {
                if !look_at_line(global, config, Some(name), line, &mut signals, sheet).await? {
                    unfit.insert(line.clone());
                }
            }
            let about = About { account: Some(name.clone()), line: None };
            sheet.begin(about, format!("account {name}"));
            let of = Whose { global, config, name, account, state };
            let usable = account::look(of, &password, args.account.is_some(), sheet);
            if args.dial && account::is_called(of) {
                let lines = account.lines.iter().any(|line| !unfit.contains(line));
                dial::look(of, password, usable && lines, &mut signals, sheet).await?;
            }
        }
        if args.account.is_none() {
            for line in config.lines.keys().filter(|line| !seen.contains(*line)) {
                look_at_line(global, config, None, line, &mut signals, sheet).await?;
            }
        }
        Ok(())
    })
}

/// Whether the line may serve for a call.
async fn look_at_line(
    global: &Global,
    config: &Config,
    account: Option<&String>,
    name: &str,
    signals: &mut Signals,
    sheet: &mut Sheet,
) -> Result<bool, Failure> {
    let line = config.line(name).map_err(config_failure)?;
    let unused = if account.is_none() { ", which no account uses" } else { "" };
    let about = About { account: account.cloned(), line: Some(name.to_owned()) };
    sheet.begin(about, format!("line {name}{unused}: {}", line_told(line)));
    let before = sheet.wrong_so_far();
    line::look(global, name, line, signals, sheet).await?;
    Ok(sheet.wrong_so_far() == before)
}
