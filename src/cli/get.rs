//! `mailcall get`: bring files from the host.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Global;
use super::carrying::{Carried, Files, called, carry, usage};
use crate::session::call::Session;
use crate::session::files::Arrived;
use crate::session::get::{Get, Got, To, get};
use crate::session::{Ending, Failure, Stage};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
mailcall get home notes.txt          into this folder
mailcall get home 'src/*.c' old/     the host's sh finds them; into old/
mailcall get home notes.txt -        to standard output

By ZMODEM where the host has sz, else as text. What was cut off is kept as
NAME.mailcall-part, and getting it again brings the rest.")]
pub(super) struct Args {
    /// Account to call
    account: String,
    /// Files on the host; of several names the last is where they go
    ///
    /// A name with *, ? or [ is a pattern that the host's sh expands. The last
    /// of several is a folder or a name here, or - for standard output.
    #[arg(required = true, value_name = "REMOTE... [LOCAL]")]
    names: Vec<String>,
    /// Replace files that are here already
    #[arg(long)]
    force: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let (remote, local) = match args.names.split_last() {
        Some((local, remote @ [_, ..])) => (remote, local.as_str()),
        Some(_) | None => (args.names.as_slice(), "."),
    };
    let prepared = global.read_config().and_then(|config| {
        let account = called(&config, &args.account, "cp")?;
        Ok((config, account))
    });
    let mut spooled = None;
    let to = match local {
        "-" if global.json => Err(usage("- and --json both want standard output; name a file")),
        "-" if remote.len() > 1 => Err(usage("several files do not go to standard output; name a folder")),
        "-" => standard_output(&mut spooled),
        local => destination(remote, local),
    };
    let (to, prepared) = match to {
        Ok(to) => (to, prepared),
        Err(failure) => (To::Folder(PathBuf::new()), prepared.and(Err(failure))),
    };
    let choice = prepared.as_ref().map(|(_, account)| account.transfer).unwrap_or_default();
    let what = Get { names: remote, to: &to, force: args.force || spooled.is_some(), choice };
    let mut got = Got::default();
    let work = async |session: &mut Session<'_>, got: &mut Got| get(session, &what, got).await;
    let is_printed = spooled.is_some();
    let went = carry(global, &args.account, prepared, &mut got, work, |got| {
        let carried = |file: &Arrived| Carried {
            from: file.from.clone(),
            to: if is_printed { "-".to_owned() } else { file.path.display().to_string() },
            bytes: file.bytes,
        };
        let files = got.files.iter().map(carried).collect();
        Files { files, transfer: got.transfer, retries: got.retries }
    });
    if let Some(part) = got.part.as_deref().filter(|_| !is_printed) {
        tell_part(global, &args.account, part);
    }
    if let (Some(spooled), Ok(_)) = (spooled, &went) {
        print(&spooled)?;
    }
    went
}

/// What a file that was cut off has left, so that nobody has to look for it.
fn tell_part(global: &Global, account: &str, part: &Path) {
    let length = part.metadata().map_or(0, |found| found.len());
    if length > 0 && !global.quiet {
        let shown = part.display().to_string();
        let shown = crate::mailbox::display::safe_line(&shown);
        eprintln!("{account}: {length} bytes are in {shown}; getting it again goes on there");
    }
}

/// Where the files go, checked before line time is paid for.
fn destination(remote: &[String], local: &str) -> Result<To, Failure> {
    let path = PathBuf::from(local);
    if local.ends_with('/') || path.is_dir() {
        return Ok(To::Folder(path));
    }
    if remote.len() > 1 {
        return Err(usage(&format!(
            "{local} is no folder, and several files go there; make it, or end it with /"
        )));
    }
    Ok(To::File(path))
}

/// A file that goes to standard output is proven first, and so waits in a folder of its own.
struct Spooled {
    folder: PathBuf,
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn standard_output(spooled: &mut Option<Spooled>) -> Result<To, Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let folder = std::env::temp_dir().join(format!("mailcall-{}", std::process::id()));
    // Not one that somebody else has put there.
    let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|error| {
        Failure::new(
            Ending::LocalDisk,
            Stage::Preparing,
            format!("cannot make {}: {error}", folder.display()),
        )
    })?;
    let file = folder.join("file");
    *spooled = Some(Spooled { folder });
    Ok(To::File(file))
}

fn print(spooled: &Spooled) -> Result<(), Failure> {
    let path: &Path = &spooled.folder.join("file");
    let failed = |error: std::io::Error| {
        Failure::new(Ending::LocalDisk, Stage::Files, format!("cannot read {}: {error}", path.display()))
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece).map_err(failed)?;
        if count == 0 {
            return Ok(());
        }
        super::print::out(&piece[..count]);
    }
}

/// Bytes printed at once.
const PIECE: usize = 65_536;
