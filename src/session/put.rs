//! Takes files to the host: carried under a name of their own, proven there, and only then called as
//! they are to be called.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::by_shell::{printed, tools};
use super::call::Session;
use super::fetch::store_failure;
use super::files::{FilesError, Gone, Outbound, Outgoing, REACH_MAX};
use super::{Ending, Failure, Progress, Stage};
use crate::config::TransferChoice;
use crate::mailbox::digest::PrefixDigest;
use crate::shell::COMMAND_BYTES_MAX;
use crate::shell::probe::Tool;
use crate::shell::quote::{one_line, quote_path};
use crate::transfer::zmodem::{FileEnd, SendError, SendOptions};

/// What is to be taken.
#[derive(Debug)]
pub struct Put<'a> {
    /// The files here.
    pub files: &'a [PathBuf],
    /// Where on the host: a folder, or for one file its name; nothing is the home directory.
    pub to: Option<&'a str>,
    /// Files that are there already are replaced.
    pub force: bool,
    /// How the bytes are carried.
    pub choice: TransferChoice,
}

/// What was taken, and how.
#[derive(Debug, Default)]
pub struct PutDone {
    /// The files, with the names that the host has for them.
    pub files: Vec<(Gone, String)>,
    /// The protocol of the last of them.
    pub transfer: Option<&'static str>,
    /// Damaged pieces that were carried again.
    pub retries: u64,
}

/// Takes the files. What was taken before a failure is in `done`.
pub async fn put(session: &mut Session<'_>, put: &Put<'_>, done: &mut PutDone) -> Result<(), Failure> {
    for (place, path) in put.files.iter().enumerate() {
        let file = Outgoing::open(path).map_err(|error| store_failure(Stage::Files, &error))?;
        session.tell(Progress::Stage(Stage::Files, format!("sending {}", path.display())));
        let there = look(session, put, path, place).await?;
        if place == 0 {
            sweep_at_the_end(session, &there).await?;
        }
        let went = take(session, put, (path, file), &there, done).await;
        if went.is_err() && session.is_up() {
            let _ = session.run(&format!("rm -f {}*", there.temporary), Stage::Files, 0).await;
        }
        went.map_err(|failure| Failure { stage: Stage::Files, ..failure })?;
    }
    Ok(())
}

/// Whatever ends the session (a signal here, a lost carrier, a kill), nothing that is half here stays on
/// the host: its own shell takes it away when it is hung up.
async fn sweep_at_the_end(session: &mut Session<'_>, there: &There) -> Result<(), Failure> {
    let temporary = format!("{}/{}", there.folder, temporary_names(session));
    let mut load = session.shell.load(&sweep_command(&temporary), START_WAIT);
    let loaded = session.drive(&mut load).await;
    loaded.map(|_| ()).map_err(|error| session.failure(Stage::Files, &error))
}

fn sweep_command(temporary: &str) -> String {
    // Not every sh heeds the trap for its end when a signal ends it, and a second signal must not stop it.
    let sweep = format!("trap '' 1 15;rm -f {temporary}*;exit");
    format!("trap {} 0 1 15", crate::shell::quote::quote(sweep.as_bytes()))
}

/// How the names of this call's files begin while they come.
fn temporary_names(session: &Session<'_>) -> String {
    format!("mailcall-{}-{}-", session.shell.channel().nonce, std::process::id())
}

/// Where a file goes on the host.
#[derive(Debug)]
struct There {
    /// The folder, as a word of sh.
    folder: String,
    /// The name while it comes, without its folder.
    temporary_name: String,
    /// The same with its folder, as a word of sh.
    temporary: String,
    /// The name that it is to have, as a word of sh.
    path: String,
    /// The same for people.
    shown: String,
    /// The host's receiver.
    rz: Option<&'static str>,
}

/// Asks where the file goes: the folder must be there, and the name free.
async fn look(session: &mut Session<'_>, put: &Put<'_>, path: &Path, place: usize) -> Result<There, Failure> {
    let name = path.file_name().unwrap_or_default();
    let command = look_command(put, std::os::unix::ffi::OsStrExt::as_bytes(name));
    let reply = session.run(&command, Stage::Files, 0).await?;
    let mut parts = reply.bytes.split(|&byte| byte == 0);
    let (kind, folder, full) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let shown = String::from_utf8_lossy(full).into_owned();
    let (ending, message) = match kind {
        b"g" => {
            let rz = match parts.next() {
                Some(b"rz") => Some("rz"),
                Some(b"lrz") => Some("lrz"),
                Some(_) | None => None,
            };
            let temporary_name = format!("{}{place}", temporary_names(session));
            let temporary = format!("{}/{temporary_name}", quote_path(folder));
            let (folder, path) = (quote_path(folder), quote_path(full));
            return Ok(There { folder, temporary_name, temporary, path, shown, rz });
        }
        b"x" => (Ending::Usage, format!("{shown} is there already; --force replaces it")),
        b"d" => (Ending::Usage, format!("{shown} on the host is a folder")),
        b"n" => (Ending::Usage, format!("the host has no folder for {shown}")),
        b"m" => {
            (Ending::Usage, format!("{shown} on the host is no folder, and more files than one go there"))
        }
        b"p" => (Ending::NoPermission, format!("the host does not let us write {shown}")),
        _ => {
            (Ending::PeerMisbehaved, "the question for a folder was answered with something else".to_owned())
        }
    };
    Err(Failure::new(ending, Stage::Files, message))
}

/// Tells, NUL behind each: a letter, the folder, the whole name, and what receives ZMODEM.
fn look_command(put: &Put<'_>, name: &[u8]) -> String {
    let to = match put.to {
        None => "\"$HOME\"/".to_owned(),
        Some(to) => match to.strip_prefix("~/") {
            Some(rest) => format!("\"$HOME\"/{}", crate::shell::quote::quote(rest.as_bytes())),
            None => quote_path(to.as_bytes()),
        },
    };
    let taken = if put.force { "false" } else { "[ -e \"$f\" ]||[ -h \"$f\" ]" };
    let alone = if put.files.len() == 1 { "false" } else { "true" };
    format!(
        "f={to};n={};s=g;case $f in */)f=$f$n;;*)if [ -d \"$f\" ];then f=$f/$n;elif {alone};then s=m;fi;;esac;\
         case $f in /*)p=${{f%/*}};;*/*)p=${{f%/*}};;*)p=.;f=./$f;;esac;p=${{p:-/}};\
         if [ $s = m ];then :;elif [ ! -d \"$p\" ];then s=n;elif [ -d \"$f\" ];then s=d;elif {taken};then s=x;\
         elif [ ! -w \"$p\" ];then s=p;fi;\
         r=-;for t in lrz rz;do command -v $t >/dev/null&&r=$t;done;\
         printf '%s\\000%s\\000%s\\000%s' $s \"$p\" \"$f\" $r",
        crate::shell::quote::quote(name)
    )
}

/// Carries one file, proves it, and gives it its name.
async fn take(
    session: &mut Session<'_>,
    put: &Put<'_>,
    (path, file): (&Path, Outgoing),
    there: &There,
    done: &mut PutDone,
) -> Result<(), Failure> {
    let size = file.size();
    session.tell(Progress::Bytes { done: 0, total: size, rate: session.rate_up() });
    let mode = file.info.mode.unwrap_or(0o600) & 0o777;
    let digest = digest(path, &file)?;
    let by_zmodem = carries_zmodem(session, put, there, size).await?;
    let mut how = "text";
    let mut file = file;
    if by_zmodem {
        match send_zmodem(session, file, there, done).await {
            (_, Ok(())) => {
                how = "zmodem";
                done.transfer = Some(how);
                prove(session, there, &digest).await?;
                return name(session, put, there, (path, size, mode), done).await;
            }
            (back, Err(failure))
                if failure.ending == Ending::TransferFailed && put.choice == TransferChoice::Auto =>
            {
                let note = format!("ZMODEM gave up ({}); going on as text", failure.message);
                session.tell(Progress::Note(note));
                file = back;
            }
            (_, Err(failure)) => return Err(failure),
        }
    }
    done.transfer = Some(how);
    send_text(session, &file, path, there).await?;
    prove(session, there, &digest).await?;
    name(session, put, there, (path, size, mode), done).await
}

fn digest(path: &Path, file: &Outgoing) -> Result<PrefixDigest, Failure> {
    let mut digest = PrefixDigest::new();
    file.each_piece(file.size(), &mut |piece| digest.update(piece))
        .map_err(|error| unreadable(path, &error))?;
    Ok(digest)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Ending::LocalDisk, Stage::Files, format!("cannot read {}: {error}", path.display()))
}

async fn carries_zmodem(
    session: &mut Session<'_>,
    put: &Put<'_>,
    there: &There,
    size: u64,
) -> Result<bool, Failure> {
    match put.choice {
        TransferChoice::Text => Ok(false),
        TransferChoice::Zmodem if there.rz.is_none() => {
            let message = "the account says transfer = \"zmodem\", but the host has no rz";
            Err(Failure::new(Ending::HostLacks, Stage::Files, message))
        }
        TransferChoice::Zmodem => Ok(true),
        TransferChoice::Auto if there.rz.is_some() && size <= REACH_MAX => {
            session.passes_eight_bits(Stage::Files).await
        }
        TransferChoice::Auto => Ok(false),
    }
}

/// By the host's `rz`. Gives the file back, should it have to go another way.
async fn send_zmodem(
    session: &mut Session<'_>,
    mut file: Outgoing,
    there: &There,
    done: &mut PutDone,
) -> (Outgoing, Result<(), Failure>) {
    let rz = there.rz.unwrap_or("rz");
    let command = format!("CDPATH= cd {}&&{rz} -b -q 2>/dev/null", there.folder);
    let mut start = session.shell.start(&command, START_WAIT);
    if let Err(error) = session.drive(&mut start).await {
        let failure = session.failure(Stage::Files, &error);
        return (file, Err(failure));
    }
    let rtt = session.shell.round_trip() + BEYOND_ROUND_TRIP;
    let end_marker = Some(session.shell.end_mark());
    let rate = session.rate_up();
    let options = SendOptions { end_marker, ..SendOptions::for_line(rate, rtt) };
    let own_name = std::mem::replace(&mut file.info.name_bytes, there.temporary_name.clone().into_bytes());
    // Only its owner may read it before it is what it is to be.
    let own_mode = file.info.mode.replace(0o100_600);
    let mut quiet = |_: Progress| {};
    let mut outbound = Outbound { files: vec![file], watch: &mut quiet, rate, gone: Vec::new() };
    let mut machine = outbound.machine(options);
    let outcome = session
        .carry(&mut machine, |watch, event| {
            if let crate::transfer::zmodem::SendEvent::Received { offset, .. } = &event {
                let total = outbound.files[0].size();
                watch(Progress::Bytes { done: *offset, total, rate });
            }
            outbound.handle(event)
        })
        .await;
    let Ok(outcome) = outcome;
    done.retries += machine.sent().stats.went_back;
    let skipped = outbound.gone.first().is_some_and(|gone| gone.how != FileEnd::Sent);
    let mut file = outbound.files.remove(0);
    (file.info.name_bytes, file.info.mode) = (own_name, own_mode);
    if let Err(SendError::CarrierLost) = outcome {
        return (file, Err(session.carrier_lost(Stage::Files)));
    }
    let mut finish = session.shell.finish(START_WAIT);
    let finished = session.drive(&mut finish).await;
    let went = match (outcome, finished) {
        (_, Err(error)) => Err(session.failure(Stage::Files, &error)),
        (Err(error), Ok(_)) => Err(FilesError::from(error).failure()),
        (Ok(_), Ok(_)) if skipped => {
            Err(Failure::new(Ending::TransferFailed, Stage::Files, "the host's rz does not want the file"))
        }
        (Ok(_), Ok(_)) => Ok(()),
    };
    (file, went)
}

/// As text: each command adds a piece, is proven before it is run, and is run once.
async fn send_text(
    session: &mut Session<'_>,
    file: &Outgoing,
    path: &Path,
    there: &There,
) -> Result<(), Failure> {
    let way =
        if session.facts.has(Tool::Base64) { Way::Base64 { gzip: session.facts.gzips } } else { Way::Octal };
    let room = COMMAND_BYTES_MAX.saturating_sub(there.temporary.len() + COMMAND_ROOM);
    let piece = way.piece(room);
    if piece == 0 {
        return Err(Failure::new(Ending::Usage, Stage::Files, "the name on the host is too long"));
    }
    session.run(&format!(":>{0};:>{0}.t", there.temporary), Stage::Files, 0).await?;
    let (size, rate) = (file.size(), session.rate_up());
    let mut packed = Vec::new();
    let mut at = 0;
    while at < size {
        let length = usize::try_from(size - at).map_or(SEGMENT, |left| left.min(SEGMENT));
        let bytes = file
            .read(at, length)
            .ok_or_else(|| unreadable(path, &std::io::ErrorKind::UnexpectedEof.into()))?;
        at += length as u64;
        packed.extend(way.pack(bytes));
        while packed.len() >= piece || (at == size && !packed.is_empty()) {
            let rest = packed.split_off(packed.len().min(piece));
            let text = way.write(&packed, &there.temporary);
            packed = rest;
            append(session, &text, size).await?;
        }
        session.tell(Progress::Bytes { done: at, total: size, rate });
    }
    if let Way::Base64 { gzip } = way {
        let unpack = if gzip { "|gzip -dc" } else { "" };
        // gzip of nothing is nothing, and no gzip.
        let command = format!("[ ! -s {0}.t ]||base64 -d <{0}.t{unpack} >{0};rm -f {0}.t", there.temporary);
        session.run(&command, Stage::Files, size).await?;
    }
    Ok(())
}

async fn append(session: &mut Session<'_>, command: &str, size: u64) -> Result<(), Failure> {
    let reply = session.run(command, Stage::Files, size).await?;
    if reply.status == 0 {
        return Ok(());
    }
    let message = "the host could not write the file; look at the host's disk";
    Err(Failure::new(Ending::TransferFailed, Stage::Files, message))
}

/// How bytes are written in a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Decoded at the end by the host's `base64`.
    Base64 { gzip: bool },
    /// By sh's own `printf`.
    Octal,
}

impl Way {
    /// Bytes that fit into so much text. Of base64 whole groups, so that pieces can be joined.
    fn piece(self, room: usize) -> usize {
        match self {
            Self::Base64 { .. } => room / 4 * 3,
            Self::Octal => room / 4,
        }
    }

    fn pack(self, bytes: Vec<u8>) -> Vec<u8> {
        if self != (Self::Base64 { gzip: true }) {
            return bytes;
        }
        // Members of a gzip file may stand one behind the other (RFC 1952, section 2.2).
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let written = gzip.write_all(&bytes).and_then(|()| gzip.finish());
        written.unwrap_or_default() // into memory, which does not fail; the proof would show it
    }

    fn write(self, piece: &[u8], path: &str) -> String {
        match self {
            Self::Base64 { .. } => format!("echo {}>>{path}.t", data_encoding::BASE64.encode(piece)),
            Self::Octal => {
                let octal: String = piece.iter().map(|byte| format!("\\{byte:03o}")).collect();
                format!("printf '{octal}'>>{path}")
            }
        }
    }
}

/// The host's digest of what it has must be ours.
async fn prove(session: &mut Session<'_>, there: &There, ours: &PrefixDigest) -> Result<(), Failure> {
    let tool = tools(&session.facts)?.digest;
    let command = format!("{} <{}", tool.program(), there.temporary);
    let reply = session.run(&command, Stage::Files, ours.len()).await?;
    let said = String::from_utf8_lossy(&reply.bytes);
    if said.split_ascii_whitespace().next() == Some(printed(ours, tool).as_str()) {
        return Ok(());
    }
    let message = "what the host has is not what was sent: it changed meanwhile, or the host's disk is full";
    Err(Failure::new(Ending::TransferFailed, Stage::Files, message))
}

/// Gives the file its name on the host, and its mode.
async fn name(
    session: &mut Session<'_>,
    put: &Put<'_>,
    there: &There,
    (path, size, mode): (&Path, u64, u32),
    done: &mut PutDone,
) -> Result<(), Failure> {
    let reply = session.run(&name_command(put.force, there, mode), Stage::Files, 0).await?;
    if reply.status != 0 {
        let message =
            format!("{} cannot be made on the host: it is there by now, or the disk is full", there.shown);
        return Err(Failure::new(Ending::TransferFailed, Stage::Files, message));
    }
    let gone = Gone { path: path.to_owned(), bytes: size, how: FileEnd::Sent };
    done.files.push((gone, there.shown.clone()));
    Ok(())
}

/// Without a word from the user nothing is written over, also what came to be there meanwhile: `ln`
/// fails then. Where there are no links, `mv` does it, as safely as can be.
fn name_command(force: bool, there: &There, mode: u32) -> String {
    let (t, f) = (&there.temporary, &there.path);
    let place = if force {
        format!("mv -f {t} {f}")
    } else {
        format!("{{ ln {t} {f}&&rm -f {t}; }}||{{ [ ! -e {f} ]&&[ ! -h {f} ]&&mv {t} {f}; }}")
    };
    one_line(&format!("chmod {mode:o} {t};{place}"))
}

/// What queues in modems and a loaded host add to the round trip that the shell measured.
const BEYOND_ROUND_TRIP: std::time::Duration = std::time::Duration::from_millis(500);
/// The longest that rz may take to be gone, and a loaded host to begin.
const START_WAIT: std::time::Duration = std::time::Duration::from_secs(45);
/// Bytes packed at once.
const SEGMENT: usize = 32_768;
/// What stands in a command beside a piece and the file's name, and what number and checksum take.
const COMMAND_ROOM: usize = 120;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sh(folder: &Path, command: &str) -> (bool, Vec<u8>) {
        let output =
            Command::new("sh").arg("-c").arg(command).current_dir(folder).env("HOME", folder).output();
        let output = output.expect("sh runs");
        (output.status.success(), output.stdout)
    }

    fn looked(folder: &Path, to: Option<&str>, force: bool, many: bool) -> (String, String) {
        let files = vec![PathBuf::from("x"); if many { 2 } else { 1 }];
        let put = Put { files: &files, to, force, choice: TransferChoice::Auto };
        let (_, said) = sh(folder, &look_command(&put, b"my file"));
        let mut parts = said.split(|&byte| byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
        let (kind, _, full) = (parts.next(), parts.next(), parts.next());
        (kind.unwrap_or_default(), full.unwrap_or_default())
    }

    #[test]
    fn where_a_file_goes_is_what_cp_would_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::create_dir(folder.join("dir")).expect("a folder");
        std::fs::write(folder.join("old"), b"").expect("a file");
        std::os::unix::fs::symlink("nowhere", folder.join("dangling")).expect("a link");
        let home = folder.display();
        for (to, force, many, kind, full) in [
            (None, false, false, "g", format!("{home}/my file")),
            (Some("dir"), false, true, "g", "dir/my file".into()),
            (Some("dir/"), false, false, "g", "dir/my file".into()),
            (Some("~/dir"), false, false, "g", format!("{home}/dir/my file")),
            (Some("new"), false, false, "g", "./new".into()),
            (Some("-new"), false, false, "g", "./-new".into()),
            (Some("new"), false, true, "m", "./new".into()),
            (Some("old"), false, false, "x", "./old".into()),
            (Some("dangling"), false, false, "x", "./dangling".into()),
            (Some("old"), true, false, "g", "./old".into()),
            (Some("none/x"), false, false, "n", "none/x".into()),
            (Some("none/"), false, false, "n", "none/my file".into()),
            (Some("/x$(id)"), false, false, "g", "/x$(id)".into()),
        ] {
            assert_eq!(looked(folder, to, force, many), (kind.to_owned(), full), "{to:?}");
        }
    }

    #[test]
    fn the_name_is_given_at_the_end_and_never_over_another_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let there = There {
            folder: ".".into(),
            temporary_name: "t".into(),
            temporary: "./t".into(),
            path: "'./new one'".into(),
            shown: String::new(),
            rz: None,
        };
        let new = folder.join("new one");
        std::fs::write(folder.join("t"), b"1").expect("a file");
        assert!(sh(folder, &name_command(false, &there, 0o640)).0);
        assert_eq!(std::fs::read(&new).expect("it"), b"1");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&new).expect("it"));
        assert_eq!(mode & 0o777, 0o640);
        std::fs::write(folder.join("t"), b"2").expect("a file");
        assert!(!sh(folder, &name_command(false, &there, 0o640)).0);
        assert_eq!(std::fs::read(&new).expect("it"), b"1");
        assert!(sh(folder, &name_command(true, &there, 0o600)).0);
        assert_eq!(std::fs::read(&new).expect("it"), b"2");
    }

    #[test]
    fn a_shell_that_ends_or_is_hung_up_sweeps() {
        for end in ["exit 3", "kill -HUP $$;exit", "kill -TERM $$;exit"] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::create_dir(folder.path().join("it's")).expect("a folder");
            for name in ["it's/t-0", "it's/t-0.t", "it's/mine"] {
                std::fs::write(folder.path().join(name), b"x").expect("a file");
            }
            let sweep = sweep_command(&format!("{}/t-", quote_path(b"it's")));
            sh(folder.path(), &format!("{sweep};{end}"));
            let left = std::fs::read_dir(folder.path().join("it's")).expect("it");
            let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
            assert_eq!(left, ["mine"], "{end}");
        }
    }

    #[test]
    fn any_bytes_are_written_by_a_real_sh() {
        let all: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        for way in [Way::Base64 { gzip: true }, Way::Base64 { gzip: false }, Way::Octal] {
            let folder = tempfile::tempdir().expect("a folder");
            let packed: Vec<u8> = all.chunks(2_000).flat_map(|part| way.pack(part.to_vec())).collect();
            for piece in packed.chunks(way.piece(3_000)) {
                let command = way.write(piece, "f");
                assert!(command.len() < 3_100 && command.bytes().all(|byte| matches!(byte, b' '..=b'~')));
                assert!(sh(folder.path(), &command).0);
            }
            if let Way::Base64 { gzip } = way {
                let unpack = if gzip { "|gzip -dc" } else { "" };
                assert!(sh(folder.path(), &format!("base64 -d <f.t{unpack} >f")).0);
            }
            assert_eq!(std::fs::read(folder.path().join("f")).expect("it"), all, "{way:?}");
        }
    }
}
