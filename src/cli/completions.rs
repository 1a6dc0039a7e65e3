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
    // Into memory first: clap panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mailcall", &mut script);
    super::print::out(script);
    Ok(Ending::Done)
}
