//! One command that tells what kind of host it is and how it stands with the mailbox there, for a
//! person who wants to know. A fetch does without it.

use super::Location;
use crate::shell::HostFacts;

/// What a host says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The login shell (`$SHELL`), where the host says it.
    pub shell: Option<String>,
    /// System, release and machine (`uname -srm`).
    pub system: Option<String>,
    /// Those of [`PROGRAMS`] that it has.
    pub programs: Vec<&'static str>,
    /// The mailbox.
    pub mailbox: MailboxState,
}

/// The mailbox's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailboxState {
    /// What stands there.
    pub kind: Kind,
    /// The path, as the host's sh has it.
    pub path: String,
    /// Bytes, as far as the host says.
    pub bytes: Option<u64>,
    /// We may read it.
    pub readable: bool,
    /// We may write to it.
    pub writable: bool,
    /// A lock file may be made beside it.
    pub folder_writable: bool,
    /// A lock file stands beside it now.
    pub locked: bool,
}

/// What stands at the mailbox's path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// The host's answer was none.
    #[default]
    Unknown,
    /// A file.
    File,
    /// Nothing, in a folder where mail may come: there is none yet.
    Nothing,
    /// Neither file nor folder.
    NoFolder,
    /// A Maildir.
    Maildir,
    /// Anything else.
    Other,
}

impl Inspection {
    /// The command, for a host with these facts.
    pub fn command(location: &Location, facts: &HostFacts) -> String {
        format!(
            "m={};d=`dirname \"$m\"`;printf '%s\\n' \"$SHELL\" \"`uname -srm`\" \
             \"`for t in {};do command -v $t >/dev/null 2>&1&&printf '%s ' $t;done`\" \"$m\";\
             if [ -f \"$m\" ];then k=f;elif [ -d \"$m/cur\" ]&&[ -d \"$m/new\" ];then k=m;\
             elif [ -e \"$m\" ];then k=o;elif [ -d \"$d\" ];then k=n;else k=x;fi;\
             for t in r w;do [ -$t \"$m\" ]&&k=$k$t;done;[ -w \"$d\" ]&&[ -x \"$d\" ]&&k=${{k}}d;\
             [ -e \"$m.lock\" ]&&k=${{k}}l;echo $k;ls -lnLd \"$m\" 2>/dev/null|\
             (read a b c e f g;echo $f)",
            location.word(facts),
            PROGRAMS.join(" ")
        )
    }

    /// Reads the reply. What a line lacks counts as not there.
    pub fn parse(reply: &[u8]) -> Self {
        let text = String::from_utf8_lossy(reply);
        let mut lines = text.lines().map(|line| line.trim().chars().take(SHOWN_MAX).collect::<String>());
        let mut value = || lines.next().filter(|line| !line.is_empty());
        let (shell, system) = (value(), value());
        let found = value().unwrap_or_default();
        let path = value().unwrap_or_default();
        let marks = value().unwrap_or_default();
        let bytes = value().and_then(|size| size.parse().ok());
        let (kind, marks) = match marks.split_at_checked(1) {
            Some(("f", marks)) => (Kind::File, marks),
            Some(("m", marks)) => (Kind::Maildir, marks),
            Some(("o", marks)) => (Kind::Other, marks),
            Some(("n", marks)) => (Kind::Nothing, marks),
            Some(("x", marks)) => (Kind::NoFolder, marks),
            Some(_) | None => (Kind::Unknown, ""),
        };
        let mailbox = MailboxState {
            kind,
            path,
            bytes: bytes.filter(|_| kind == Kind::File),
            readable: marks.contains('r'),
            writable: marks.contains('w'),
            folder_writable: marks.contains('d'),
            locked: marks.contains('l'),
        };
        let words: Vec<&str> = found.split(' ').collect();
        let programs = PROGRAMS.into_iter().filter(|program| words.contains(program)).collect();
        Self { shell, system, programs, mailbox }
    }

    /// Whether the host has this program.
    pub fn has(&self, program: &str) -> bool {
        self.programs.contains(&program)
    }

    /// The programs of the host that make lock files in a mail spool.
    pub fn lockers(&self) -> impl Iterator<Item = &'static str> {
        self.programs.iter().copied().filter(|program| LOCKERS.contains(program))
    }
}

/// What the host is asked for: what carries, packs, reads and proves mail, and what locks a mailbox.
pub const PROGRAMS: [&str; 26] = [
    "sz",
    "lsz",
    "rz",
    "lrz",
    "kermit",
    "gkermit",
    "gzip",
    "xz",
    "zstd",
    "bzip2",
    "base64",
    "awk",
    "sed",
    "od",
    "perl",
    "python3",
    "sha256sum",
    "md5sum",
    "cksum",
    "openssl",
    "flock",
    "dotlockfile",
    "lockfile",
    "mutt_dotlock",
    "procmail",
    "formail",
];

/// Those that are set-group-ID mail where they are installed as meant, and lock where we may not write:
/// liblockfile's, procmail's and mutt's.
const LOCKERS: [&str; 3] = ["dotlockfile", "lockfile", "mutt_dotlock"];
/// Characters of a line that are kept.
const SHOWN_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// What the shells of this machine answer about a mailbox.
    fn inspected(mailbox: &Path) -> Vec<Inspection> {
        let location = Location::Path(mailbox.display().to_string());
        let command = Inspection::command(&location, &HostFacts::default());
        assert!(command.len() < 1_500, "{} bytes", command.len());
        let shells = ["sh", "bash", "busybox"].into_iter().filter_map(|shell| {
            let mut run = Command::new(shell);
            run.args((shell == "busybox").then_some("sh")).arg("-c").arg(&command).env("SHELL", "/bin/tcsh");
            Some(run.output().ok()?.stdout)
        });
        shells.map(|reply| Inspection::parse(&reply)).collect()
    }

    #[test]
    fn a_host_tells_what_it_is_and_how_it_stands_with_the_mailbox() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("it's mail");
        std::fs::write(&file, "From a\n\n").unwrap();
        std::fs::write(dir.path().join("it's mail.lock"), "").unwrap();
        for host in inspected(&file) {
            assert_eq!(host.shell.as_deref(), Some("/bin/tcsh"));
            assert!(host.system.as_ref().is_some_and(|system| system.contains("Linux")), "{host:?}");
            assert!(host.has("sed") && host.has("awk"), "{host:?}");
            let path = file.display().to_string();
            let expected = MailboxState {
                kind: Kind::File,
                path,
                bytes: Some(8),
                readable: true,
                writable: true,
                folder_writable: true,
                locked: true,
            };
            assert_eq!(host.mailbox, expected);
        }
        std::fs::create_dir_all(dir.path().join("maildir/cur")).unwrap();
        std::fs::create_dir_all(dir.path().join("maildir/new")).unwrap();
        for (name, kind) in [
            ("none", Kind::Nothing),
            ("no/where", Kind::NoFolder),
            ("maildir", Kind::Maildir),
            (".", Kind::Other),
        ] {
            for host in inspected(&dir.path().join(name)) {
                assert_eq!((host.mailbox.kind, host.mailbox.bytes), (kind, None), "{name}");
            }
        }
    }

    #[test]
    fn a_reply_cut_short_or_strange_claims_nothing() {
        assert_eq!(Inspection::parse(b""), Inspection::default());
        assert_eq!(Inspection::parse(b"\xff\n\n\n\n\xff\xffrw\nbig\n").mailbox.kind, Kind::Unknown);
        let cut = Inspection::parse(b"/bin/sh\nLinux\nsz awk sznot");
        assert_eq!(cut.programs, ["sz", "awk"]);
        assert_eq!(cut.mailbox, MailboxState::default());
    }
}
