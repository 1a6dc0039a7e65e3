//! The command line: one file a subcommand, and what they share: where files are, how progress and
//! failures are told.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, ConfigError};
use crate::session::{Ending, Failure, Stage};

#[macro_use] // first: what follows prints by its macros
mod print;

mod at_mailbox;
mod carrying;
mod check;
mod completions;
mod delete;
mod demo;
mod dry_run;
mod exit;
mod fetch;
mod get;
mod interrupt;
mod list;
mod modem;
mod person;
mod progress;
mod put;
mod redial;
mod report;
mod show;
mod sim;
mod terminal;
mod unshown;

/// Brings a mailbox home over a phone line.
#[derive(Debug, Parser)]
#[command(name = "mailcall", version, about, after_help = AFTER_HELP, max_term_width = 80)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// Configuration file [default: ~/.config/mailcall/config.toml]
    ///
    /// The default follows XDG_CONFIG_HOME. docs/configuration.md explains every key.
    #[arg(long, global = true, value_name = "FILE", env = "MAILCALL_CONFIG")]
    config: Option<PathBuf>,
    /// Folder for the ledger and unfinished parts [default: ~/.local/state/mailcall]
    ///
    /// The default follows XDG_STATE_HOME. What is fetched is recorded here: without it the next
    /// call would not know what you already have.
    #[arg(long, global = true, value_name = "DIR", env = "MAILCALL_STATE")]
    state: Option<PathBuf>,
    /// Show the dialogue with modem and host, time-stamped, secrets masked
    ///
    /// Lines go to standard error: seconds since the call began, > for what is sent, < for what
    /// arrives. During a transfer bytes are counted, not shown. Twice (-vv), what
    /// the login does stands between them.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print JSON on standard output: one object an account, port or finding
    ///
    /// The keys are stable; docs/configuration.md lists them with the words of `outcome`.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Call the host and bring new mail home
    Fetch(fetch::Args),
    /// Call the host and list what is in the mailbox
    List(list::Args),
    /// Print a message that was fetched
    Show(show::Args),
    /// Call the host, log in, and leave the line to me
    Terminal(terminal::Args),
    /// Call the host and bring files from it
    Get(get::Args),
    /// Call the host and take files to it
    Put(put::Args),
    /// Say whether all that a call needs is fit, and what mends it
    Check(check::Args),
    /// Remove messages that are here from the mailbox on the host
    Delete(delete::Args),
    /// Look after modems: list ports, probe, dial, hang up
    Modem(modem::Args),
    /// Pretend to be a modem with a host behind it, on a PTY
    Sim(Box<sim::Args>),
    /// Watch a whole call: dial, log in, fetch, hang up; needs nothing
    Demo(demo::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Parses the command line, runs it, and says how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print(); // nowhere is left to say that standard error is gone
            return if error.use_stderr() { ExitCode::from(exit::EX_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let ran = match cli.command {
        Command::Fetch(args) => fetch::run(&cli.global, &args),
        Command::List(args) => list::run(&cli.global, &args),
        Command::Show(args) => show::run(&cli.global, &args),
        Command::Terminal(args) => terminal::run(&cli.global, &args),
        Command::Get(args) => get::run(&cli.global, &args),
        Command::Put(args) => put::run(&cli.global, &args),
        Command::Check(args) => check::run(&cli.global, &args),
        Command::Delete(args) => delete::run(&cli.global, &args),
        Command::Modem(args) => modem::run(&cli.global, &args),
        Command::Sim(args) => sim::run(&cli.global, &args),
        Command::Demo(args) => demo::run(&cli.global, &args),
        Command::Completions(args) => completions::run(&args),
    };
    // What ignores SIGHUP would outlive us.
    crate::line::exec::wait_for_all();
    let ran = match (ran, print::lost()) {
        (Ok(Ending::Done), Some(error)) => {
            let message = format!("standard output: {error}; not all of what was asked for could be printed");
            Err(Failure::new(Ending::LocalDisk, Stage::Preparing, message))
        }
        (ran, _) => ran,
    };
    match ran {
        Ok(ending) => exit::exit(ending),
        Err(failure) => {
            tell(None, &failure);
            exit::exit(failure.ending)
        }
    }
}

/// Says what happened, to which account and where, and what to do.
fn tell(account: Option<&str>, failure: &Failure) {
    let account = account.map(|account| format!("{account}: ")).unwrap_or_default();
    eprintln!("mailcall: {account}{failure}");
    if let Some(advice) = exit::advice(failure) {
        eprintln!("          {advice}");
    }
}

impl Global {
    fn read_config(&self) -> Result<Config, Failure> {
        let path = self.config.clone().or_else(config::default_path).ok_or_else(|| {
            Failure::new(
                Ending::Config,
                Stage::Preparing,
                "HOME is not set: say where the configuration is (--config)",
            )
        })?;
        Config::read(&path).map_err(config_failure)
    }

    fn state_dir(&self) -> Result<PathBuf, Failure> {
        self.state.clone().or_else(config::default_state).ok_or_else(|| {
            Failure::new(
                Ending::Config,
                Stage::Preparing,
                "HOME is not set: say where state is kept (--state)",
            )
        })
    }
}

/// The accounts named, or the only one there is.
fn accounts_of(config: &Config, named: &[String]) -> Result<Vec<String>, Failure> {
    for name in named {
        config.account(name).map_err(config_failure)?;
    }
    match (named, config.accounts.keys().collect::<Vec<_>>().as_slice()) {
        ([], []) => {
            let message = "the configuration has no account: add [account.NAME]";
            Err(Failure::new(Ending::Config, Stage::Preparing, message))
        }
        ([], [only]) => Ok(vec![(*only).clone()]),
        ([], several) => {
            let names = several.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::new(Ending::Usage, Stage::Preparing, format!("name an account: there are {names}")))
        }
        (named, _) => {
            let mut once: Vec<String> = Vec::new();
            for name in named {
                if !once.contains(name) {
                    once.push(name.clone());
                }
            }
            Ok(once)
        }
    }
}

/// A text for people, wrapped at blanks to the terminal's width; its own line ends stay.
fn wrapped(text: &str) -> String {
    let width = columns().min(COLUMNS_DEFAULT);
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut full = String::new();
        // What is indented is a table of ours, and narrow enough.
        let words = if line.starts_with(' ') { vec![line] } else { line.split(' ').collect() };
        for word in words {
            if !full.is_empty() && full.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut full));
            }
            if !full.is_empty() {
                full.push(' ');
            }
            full.push_str(word);
        }
        lines.push(full);
    }
    lines.join("\n")
}

/// A time on the command line: `600ms`, `0.6s`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "ms"),
    };
    let number: f64 =
        number.trim().parse().map_err(|_| "use a number with a unit: 600ms, 0.6s".to_owned())?;
    let seconds = match unit {
        "ms" => number / 1_000.0,
        "s" => number,
        _ => return Err(format!("{unit:?} is no unit of time here; use ms or s")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// How wide the terminal is; what is piped on is made for one of the usual width.
fn columns() -> usize {
    terminal_size::terminal_size().map_or(COLUMNS_DEFAULT, |(width, _)| width.0.into())
}

fn config_failure(error: ConfigError) -> Failure {
    Failure::new(Ending::Config, Stage::Preparing, error)
}

const AFTER_HELP: &str = "\
Try it without a modem:  mailcall demo
Configuration:           docs/configuration.md
Exit codes:              0 done, 64 usage, 65 bad data, 69 no such port or
                         modem silent, 70 a bug, 74 local disk,
                         75 try again later, 76 host misbehaved, 77 refused,
                         78 configuration";

/// Columns of a terminal that does not say how wide it is.
const COLUMNS_DEFAULT: usize = 80;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Characters; longer ones are no line any more.
    const HELP_CHARS_MAX: usize = 100;

    /// Every command of the tree, with the words that lead to it.
    fn all(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
        let path = format!("{path} {}", command.get_name()).trim_start().to_owned();
        let below = command.get_subcommands().flat_map(|sub| all(sub, &path));
        std::iter::once((path.clone(), command.clone())).chain(below).collect()
    }

    #[test]
    fn every_command_and_argument_says_in_one_line_what_it_is() {
        let mut tree = Cli::command();
        tree.build();
        let told = |what: &str, help: Option<&clap::builder::StyledStr>| {
            let help = help.map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty(), "{what} has no help");
            assert!(!help.contains('\n') && help.chars().count() <= HELP_CHARS_MAX, "{what}: {help}");
        };
        for (path, command) in all(&tree, "") {
            told(&path, command.get_about());
            for argument in command.get_arguments() {
                told(&format!("{path} {}", argument.get_id()), argument.get_help());
            }
        }
    }

    #[test]
    fn the_help_of_every_command_fits_a_terminal() {
        let mut tree = Cli::command();
        tree.build();
        for (path, mut command) in all(&tree, "") {
            for help in [command.render_help(), command.render_long_help()] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= COLUMNS_DEFAULT, "{path}: {line}");
                }
            }
        }
    }
}
