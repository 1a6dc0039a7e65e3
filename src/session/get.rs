//! Brings files from the host: found, carried, proven, and only then given their names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::by_shell::{ByShell, is_proven, tools};
use super::call::Session;
use super::fetch::store_failure;
use super::files::{Arrived, clock};
use super::{Ending, Failure, Progress, Stage};
use crate::access::{Location, Mailbox, Survey};
use crate::config::TransferChoice;
use crate::mailbox::digest::PrefixDigest;
use crate::shell::quote::quote;
use crate::store::StoreError;
use crate::store::downloads::{Download, Taken, safe_name};

/// Where files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Into this folder, under their own names.
    Folder(PathBuf),
    /// Under this name. There may be one file only.
    File(PathBuf),
}

/// What is to be brought.
#[derive(Debug)]
pub struct Get<'a> {
    /// Names on the host. `*`, `?` and `[` stand for what they stand for in its sh.
    pub names: &'a [String],
    /// Where they go.
    pub to: &'a To,
    /// Files that are there already are replaced.
    pub force: bool,
    /// How the bytes are carried.
    pub choice: TransferChoice,
}

/// What was brought, and how.
#[derive(Debug, Default)]
pub struct Got {
    /// The files.
    pub files: Vec<Arrived>,
    /// The protocol of the last of them.
    pub transfer: Option<&'static str>,
    /// Damaged pieces that were carried again.
    pub retries: u64,
    /// What has come of the file that did not come whole.
    pub part: Option<PathBuf>,
}

/// Brings the files. What was brought before a failure stays, and is in `got`.
pub async fn get(session: &mut Session<'_>, get: &Get<'_>, got: &mut Got) -> Result<(), Failure> {
    let found = find(session, get.names).await?;
    if found.len() > 1 && matches!(get.to, To::File(_)) {
        let message = format!("{} files are called so; name a folder for them", found.len());
        return Err(Failure::new(Ending::Usage, Stage::Files, message));
    }
    for file in &found {
        bring(session, get, file, got).await.map_err(|failure| Failure { stage: Stage::Files, ..failure })?;
    }
    Ok(())
}

/// A file on the host.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    name: Vec<u8>,
    size: u64,
    mtime: Option<u64>,
    /// Its name is the host's word, not the user's.
    by_pattern: bool,
}

impl Found {
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// Asks what stands behind the names.
async fn find(session: &mut Session<'_>, names: &[String]) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for name in names {
        session.tell(Progress::Stage(Stage::Files, format!("looking for {name}")));
        let by_pattern = name.contains(PATTERN);
        let reply = session.run(&find_command(name), Stage::Files, 0).await?;
        let said = reply.bytes.strip_suffix(b"\0").unwrap_or(&reply.bytes);
        for line in said.split(|&byte| byte == 0) {
            found.push(read_found(line, by_pattern)?);
        }
    }
    Ok(found)
}

/// One command that tells of each file behind a name: what it is, and if it can be read how long it is
/// and of when. NUL ends each, for it is the one byte that no name has.
fn find_command(name: &str) -> String {
    format!(
        "for f in {};do case $f in -*)f=./$f;;esac;\
         if [ -d \"$f\" ];then s=d;elif [ ! -e \"$f\" ];then s=e;elif [ ! -f \"$f\" ];then s=o;\
         elif [ ! -r \"$f\" ];then s=p;\
         else s=\"s $(($(wc -c <\"$f\"))) `stat -c %Y \"$f\"||stat -f %m \"$f\"||echo 0`\";fi 2>/dev/null;\
         printf '%s %s\\000' \"$s\" \"$f\";done",
        word(name)
    )
}

/// A word of sh for a name: what makes a pattern stays one, all else stands for itself.
fn word(name: &str) -> String {
    let (home, rest) = match name.strip_prefix("~/") {
        Some(rest) => ("\"$HOME\"/", rest),
        None => ("", name),
    };
    let mut word = home.to_owned();
    let mut plain = String::new();
    let mut before = None;
    for c in rest.chars() {
        // Between quotes it would be one of the letters; `^` says the same and is a pipe to old shells.
        let negates = before == Some('[') && matches!(c, '!' | '^');
        // A dash is a range between brackets, and outside of them itself.
        if PATTERN.contains(&c) || negates || matches!(c, ']' | '-') && rest.contains('[') {
            if !plain.is_empty() {
                word.push_str(&quote(std::mem::take(&mut plain).as_bytes()));
            }
            word.push(if negates { '!' } else { c });
        } else {
            plain.push(c);
        }
        before = Some(c);
    }
    if !plain.is_empty() || word.is_empty() {
        word.push_str(&quote(plain.as_bytes()));
    }
    word
}

fn read_found(line: &[u8], by_pattern: bool) -> Result<Found, Failure> {
    let mut words = line.splitn(2, |&byte| byte == b' ');
    let (kind, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let shown = String::from_utf8_lossy(rest);
    let (ending, message) = match kind {
        b"s" => {
            let mut words = rest.splitn(3, |&byte| byte == b' ');
            let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
            if let (Some(size), Some(mtime), Some(name)) = (number(), number(), words.next()) {
                let mtime = Some(mtime).filter(|&mtime: &u64| mtime > 0);
                return Ok(Found { name: name.to_vec(), size, mtime, by_pattern });
            }
            (Ending::PeerMisbehaved, "the host's answer makes no sense".to_owned())
        }
        b"d" => (Ending::Usage, format!("{shown} is a folder; name the files in it, as {shown}/*")),
        b"e" => (Ending::Usage, format!("the host has no file {shown}")),
        b"o" => (Ending::Usage, format!("{shown} on the host is not a file")),
        b"p" => (Ending::NoPermission, format!("the host does not let us read {shown}")),
        _ => {
            let shown = line[..line.len().min(SHOWN_MAX)].escape_ascii();
            (Ending::PeerMisbehaved, format!("the question for files was answered with \"{shown}\""))
        }
    };
    Err(Failure::new(ending, Stage::Files, message))
}

async fn bring(session: &mut Session<'_>, get: &Get<'_>, file: &Found, got: &mut Got) -> Result<(), Failure> {
    let failed = |error: StoreError| store_failure(Stage::Files, &error);
    let (folder, name) = place(get.to, file);
    let taken = if get.force { Taken::Replace } else { Taken::Refuse };
    let path = folder.join(&name);
    // Said before line time is paid for.
    if let Some(message) = in_the_way(&path, get.force) {
        return Err(Failure::new(Ending::Usage, Stage::Files, message));
    }
    session.tell(Progress::Stage(Stage::Files, format!("bringing {}", file.shown())));
    let mut download = Download::begin(&folder, &name, taken).map_err(failed)?;
    // Also a signal may end it, and then nobody comes back here.
    got.part = Some(download.part().to_owned());
    if let Err(failure) = carried(session, get, file, &mut download, got).await {
        download.leave();
        return Err(failure);
    }
    let bytes = download.len();
    let path = download.finish(file.mtime, clock()).map_err(failed)?;
    got.part = None;
    got.files.push(Arrived { from: file.shown(), path, bytes });
    Ok(())
}

/// Why no file can get this name. `--force` replaces files, and neither folders nor what only looks like
/// a file: whoever names `/dev/null` wants it to stay one.
fn in_the_way(path: &Path, force: bool) -> Option<String> {
    path.symlink_metadata().ok()?;
    let shown = path.display();
    let is_file = path.metadata().map_or(true, |found| found.is_file()); // or a link to nothing
    match (is_file, force) {
        (true, true) => None,
        (true, false) => Some(format!("{shown} is there already; --force replaces it")),
        (false, _) => Some(format!("{shown} is there already, and is not a file")),
    }
}

/// Where a file goes. A name that the host has said is made harmless; one that the user has is his.
fn place(to: &To, file: &Found) -> (PathBuf, OsString) {
    match to {
        To::Folder(folder) if file.by_pattern => (folder.clone(), safe_name(&file.name)),
        To::Folder(folder) => {
            let name = Path::new(OsStr::from_bytes(&file.name)).file_name();
            (folder.clone(), name.map_or_else(|| safe_name(&file.name), OsStr::to_owned))
        }
        To::File(path) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let name = path.file_name().map_or_else(|| safe_name(&file.name), OsStr::to_owned);
            (folder.unwrap_or(Path::new(".")).to_owned(), name)
        }
    }
}

/// Carries what is not here yet, and proves all of it.
async fn carried(
    session: &mut Session<'_>,
    get: &Get<'_>,
    file: &Found,
    download: &mut Download,
    got: &mut Got,
) -> Result<(), Failure> {
    let location = Location::Named(file.name.clone());
    for _ in 0..ROUNDS_MAX {
        let mut ours = digest(download)?;
        let (size, proven) = prove(session, &location, &ours).await?;
        if !proven {
            download.cut_at(0).map_err(|error| store_failure(Stage::Files, &error))?;
            ours = PrefixDigest::new();
        }
        if proven && size == download.len() {
            return Ok(());
        }
        let from = download.len();
        let mut keep = |offset: u64, bytes: &[u8]| -> Result<(), Failure> {
            ours.update(bytes);
            download.append(offset, bytes).map_err(|error| store_failure(Stage::Files, &error))
        };
        let mut by_shell = ByShell::of_file(session, &location, get.choice);
        let carried = by_shell.carry::<Failure>(from, size, &mut keep).await?;
        got.transfer = Some(carried.how);
        got.retries += carried.retries;
        let (now, proven) = prove(session, &location, &ours).await?;
        if proven && now == download.len() {
            return Ok(());
        }
        let note = format!("{} changed while it was carried, or was damaged; once more", file.shown());
        session.tell(Progress::Note(note));
    }
    let message = format!("{} changes each time it is read; get it when nobody writes to it", file.shown());
    Err(Failure::new(Ending::TransferFailed, Stage::Files, message))
}

fn digest(download: &Download) -> Result<PrefixDigest, Failure> {
    let mut digest = PrefixDigest::new();
    download
        .each_piece(download.len(), &mut |piece| digest.update(piece))
        .map_err(|error| store_failure(Stage::Files, &error))?;
    Ok(digest)
}

/// How long the host's file is, and whether it begins with what is here.
async fn prove(
    session: &mut Session<'_>,
    location: &Location,
    ours: &PrefixDigest,
) -> Result<(u64, bool), Failure> {
    let tools = tools(&session.facts)?;
    let lengths: Vec<u64> = Some(ours.len()).filter(|&length| length > 0).into_iter().collect();
    let command = Survey::command(&location.word(&session.facts), tools, &lengths);
    let reply = session.run(&command, Stage::Files, ours.len()).await?;
    match Survey::parse(&reply.bytes) {
        Some(Survey::There { size, proofs, .. }) => {
            Ok((size, ours.is_empty() || is_proven(&proofs, ours, tools.digest)))
        }
        Some(Survey::Empty | Survey::NoFolder | Survey::NotAFile | Survey::NoPermission) | None => {
            let message = "the file on the host is gone, or can be read no more";
            Err(Failure::new(Ending::TransferFailed, Stage::Files, message))
        }
    }
}

/// What makes a name a pattern.
const PATTERN: [char; 3] = ['*', '?', '['];
/// How often a file that changes is read again.
const ROUNDS_MAX: usize = 3;
/// Bytes of a strange answer that are shown.
const SHOWN_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What the system's sh finds for a name, in a folder with these files.
    fn finds(files: &[&str], name: &str) -> Result<Vec<Found>, Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            std::fs::write(folder.path().join(file), file).expect("a file");
        }
        std::fs::create_dir(folder.path().join("folder")).expect("a folder");
        let output = Command::new("sh").arg("-c").arg(find_command(name)).current_dir(folder.path()).output();
        let said = output.expect("sh runs").stdout;
        let said = said.strip_suffix(b"\0").expect("NUL at the end");
        said.split(|&byte| byte == 0).map(|line| read_found(line, true)).collect()
    }

    #[test]
    fn a_pattern_is_the_hosts_and_all_else_stands_for_itself() {
        let odd = ["a b", "it's", "$(touch x)", "-rf", "new\nline", "c1", "c2", "c9"];
        for name in &odd[..5] {
            let found = finds(&odd, name).expect(name);
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0].size, name.len() as u64, "{name}");
            assert!(found[0].mtime.is_some_and(|mtime| mtime > 1_000_000_000));
        }
        let names = |pattern| -> Vec<String> {
            finds(&odd, pattern).expect(pattern).iter().map(Found::shown).collect()
        };
        assert_eq!(names("c?"), ["c1", "c2", "c9"]);
        assert_eq!(names("c[1-3]"), ["c1", "c2"]);
        assert_eq!(names("c[!2]"), ["c1", "c9"]);
        assert_eq!(names("c[^12]"), ["c9"]);
        assert_eq!(names("[[:alpha:]][[:digit:]]"), ["c1", "c2", "c9"]);
        assert_eq!(names("a *"), ["a b"]);
        assert_eq!(names("-*"), ["./-rf"], "never an option");
        assert_eq!(names("new*"), ["new\nline"]);
    }

    #[test]
    fn by_force_a_file_is_replaced_and_no_folder_and_no_device() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        assert_eq!(in_the_way(&file, false), None);
        std::fs::write(&file, b"x").expect("a file");
        assert!(in_the_way(&file, false).expect("it is there").contains("--force"));
        assert_eq!(in_the_way(&file, true), None);
        for other in [folder.path(), Path::new("/dev/null")] {
            assert!(in_the_way(other, true).expect("it is there").contains("not a file"));
        }
    }

    #[test]
    fn what_cannot_be_brought_is_said() {
        for (name, ending) in [("folder", Ending::Usage), ("nothing", Ending::Usage), ("x*", Ending::Usage)] {
            assert_eq!(finds(&["a"], name).expect_err(name).ending, ending);
        }
        assert_eq!(read_found(b"nonsense", false).expect_err("it").ending, Ending::PeerMisbehaved);
        assert_eq!(read_found(b"s x y z", false).expect_err("it").ending, Ending::PeerMisbehaved);
    }

    #[test]
    fn a_name_of_the_hosts_is_made_harmless_and_the_users_own_is_not() {
        let folder = To::Folder("/here".into());
        let found = |by_pattern| Found { name: b"dir/.profile".to_vec(), size: 1, mtime: None, by_pattern };
        assert_eq!(place(&folder, &found(true)), ("/here".into(), "_profile".into()));
        assert_eq!(place(&folder, &found(false)), ("/here".into(), ".profile".into()));
        assert_eq!(place(&To::File("x/y".into()), &found(true)), ("x".into(), "y".into()));
        assert_eq!(place(&To::File("y".into()), &found(true)), (".".into(), "y".into()));
    }
}
