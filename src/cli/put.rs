//! `mailcall put`: take files to the host.

use std::path::PathBuf;

use super::Global;
use super::carrying::{Carried, Files, called, carry, usage};
use crate::session::call::Session;
use crate::session::files::Gone;
use crate::session::put::{Put, PutDone, put};
use crate::session::{Ending, Failure};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
mailcall put home letter.txt               into the home directory there
mailcall put home letter.txt outbox/new    under another name
mailcall put home *.txt outbox/            into a folder

By ZMODEM where the host has rz, else as text, which is slower. A file has its
name there only once it is whole and proven.")]
pub(super) struct Args {
    /// Account to call
    account: String,
    /// Files here; of several names the last is where they go on the host
    ///
    /// The last of several is a folder or, for one file, a name on the host.
    /// What does not begin with / is below the home directory.
    #[arg(required = true, value_name = "LOCAL... [REMOTE]")]
    names: Vec<String>,
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let (local, remote) = match args.names.split_last() {
        Some((remote, local @ [_, ..])) => (local, Some(remote.as_str())),
        Some(_) | None => (args.names.as_slice(), None),
    };
    let paths: Vec<PathBuf> = local.iter().map(PathBuf::from).collect();
    let prepared = global.read_config().and_then(|config| {
        let account = called(&config, &args.account, "cp")?;
        // Before line time is paid for.
        for path in &paths {
            match path.metadata() {
                Ok(found) if found.is_file() => {}
                Ok(_) => return Err(usage(&format!("{} is not a file", path.display()))),
                Err(error) => return Err(usage(&format!("{}: {error}", path.display()))),
            }
        }
        Ok((config, account))
    });
    let choice = prepared.as_ref().map(|(_, account)| account.transfer).unwrap_or_default();
    let what = Put { files: &paths, to: remote, force: args.force, choice };
    let mut done = PutDone::default();
    let work = async |session: &mut Session<'_>, done: &mut PutDone| put(session, &what, done).await;
    carry(global, &args.account, prepared, &mut done, work, |done| Files {
        files: done.files.iter().map(carried).collect(),
        transfer: done.transfer,
        retries: done.retries,
    })
}

fn carried((gone, to): &(Gone, String)) -> Carried {
    Carried { from: gone.path.display().to_string(), to: to.clone(), bytes: gone.bytes }
}
