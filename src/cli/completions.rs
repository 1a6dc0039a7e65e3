//! `mailcall completions`: a script that completes commands and options in the user's shell.

use clap::CommandFactory;

use super::Cli;
use crate::session::{Ending, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell: bash, zsh, fish, elvish or powershell
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args) -> Result<Ending, Failure> {
    clap_complete::generate(args.shell, &mut Cli::command(), "mailcall", &mut std::io::stdout());
    Ok(Ending::Done)
}
