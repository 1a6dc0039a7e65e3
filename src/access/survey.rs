//! One command that tells how long the mailbox is and whether the part already here is unchanged.
//!
//! The proof is a digest that the host computes over the first bytes of its file and that is
//! compared with ours. It costs one round trip and a line of text, whatever the mailbox's size.

use std::fmt::Write;

use crate::shell::HostFacts;
use crate::shell::quote::{quote, quote_path};

/// Where the mailbox is on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// What the host calls `$MAIL`, or the usual spool file.
    Default,
    /// A path; `~/` is the home directory there.
    Path(String),
    /// A file by the name that the host itself has said, whatever is in it.
    Named(Vec<u8>),
}

impl Location {
    /// As configured.
    pub fn new(mailbox: Option<&str>) -> Self {
        mailbox.map_or(Self::Default, |path| Self::Path(path.to_owned()))
    }

    /// The name under which the ledger knows it.
    pub fn key(&self) -> &str {
        match self {
            Self::Default => "$MAIL",
            Self::Path(path) => path,
            Self::Named(_) => "", // no mailbox of any account
        }
    }

    /// For people: with what the host calls `$MAIL`, made harmless to print.
    pub fn shown(&self, facts: &HostFacts) -> String {
        match (self, &facts.mail) {
            (Self::Path(path), _) => path.clone(),
            (Self::Named(name), _) => name.escape_ascii().to_string(),
            (Self::Default, Some(mail)) => format!("{} ($MAIL)", mail.escape_ascii()),
            (Self::Default, None) => "in /var/mail or /var/spool/mail".to_owned(),
        }
    }

    /// One word of sh that names the file, on a host with these facts.
    pub fn word(&self, facts: &HostFacts) -> String {
        match (self, &facts.mail) {
            (Self::Path(path), _) => match path.strip_prefix("~/") {
                Some(rest) => format!("\"$HOME\"/{}", quote(rest.as_bytes())),
                None => quote_path(path.as_bytes()),
            },
            (Self::Named(name), _) => quote_path(name),
            (Self::Default, Some(mail)) => quote_path(mail),
            (Self::Default, None) => {
                // Debian and the BSDs have /var/mail, older systems /var/spool/mail.
                let user = quote(facts.logname.as_deref().unwrap_or(b"root"));
                format!("\"$(for d in /var/mail /var/spool/mail;do [ -d $d ]&&break;done;echo $d/{user})\"")
            }
        }
    }
}

/// A program on the host that digests its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestTool {
    /// `sha256sum`: SHA-256 in hexadecimal.
    Sha256sum,
    /// `md5sum`: MD5 in hexadecimal.
    Md5sum,
    /// `cksum`: the POSIX CRC in decimal, then the length.
    Cksum,
}

impl DigestTool {
    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Sha256sum => "sha256sum",
            Self::Md5sum => "md5sum",
            Self::Cksum => "cksum",
        }
    }
}

/// How to read the first bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadTool {
    /// `head -c N`.
    HeadC,
    /// Two runs of `dd` on one open file, for hosts whose `head` counts lines only.
    Dd,
}

impl HeadTool {
    fn first(self, length: u64) -> String {
        match self {
            Self::HeadC => format!("head -c {length} <\"$f\""),
            Self::Dd => {
                let (blocks, rest) = (length / DD_BLOCK, length % DD_BLOCK);
                let mut parts = String::new();
                if blocks > 0 {
                    let _ = write!(parts, "dd bs={DD_BLOCK} count={blocks};"); // writing to a String cannot fail
                }
                if rest > 0 {
                    let _ = write!(parts, "dd bs={rest} count=1;");
                }
                format!("{{ {parts}:; }} <\"$f\" 2>/dev/null")
            }
        }
    }
}

/// What the host is asked to compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tools {
    /// For digests.
    pub digest: DigestTool,
    /// For the first bytes of a file.
    pub head: HeadTool,
}

/// The host's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Survey {
    /// The file is there.
    There {
        /// Its length in bytes.
        size: u64,
        /// Digests of the first bytes, for those lengths asked for that it reaches.
        proofs: Vec<Proof>,
        /// Another program holds its dotlock: mail may be coming in.
        locked: bool,
        /// A removal was cut off and left its plan behind ([`super::removal`]).
        unfinished: bool,
    },
    /// No file, but its folder: a mailbox that has had no mail, or was emptied.
    Empty,
    /// Not even the folder.
    NoFolder,
    /// Something else than a file.
    NotAFile,
    /// It may not be read.
    NoPermission,
}

/// A digest of the first `length` bytes of the host's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// How many bytes.
    pub length: u64,
    /// As the tool prints it: the first word.
    pub digest: String,
}

impl Survey {
    /// The command for the file that `path`, a word of sh, names: asks for the size and for a digest at each of `lengths`.
    pub fn command(path: &str, tools: Tools, lengths: &[u64]) -> String {
        let mut command = format!("f={path}");
        command.push_str(
            ";if [ -d \"$f\" ];then echo d;elif [ ! -e \"$f\" ];then case $f in */*)d=${f%/*};;*)d=.;;esac;\
             [ -d \"${d:-/}\" ]&&echo e||echo n;\
             elif [ ! -f \"$f\" ];then echo d;elif [ ! -r \"$f\" ];then echo p;else \
             s=$(($(wc -c <\"$f\")));echo s $s;",
        );
        for &length in lengths {
            let digest = tools.digest.program();
            let first = tools.head.first(length);
            let _ = write!(command, "[ $s -ge {length} ]&&echo k {length} $({first}|{digest});"); // to a String
        }
        command.push_str("[ -e \"$f.lock\" ]&&echo l;set -- ~/.mailcall-removal*;[ -f \"$1\" ]&&echo j;:;fi");
        command
    }

    /// Reads the reply; `None` when it is none.
    pub fn parse(reply: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(reply).ok()?;
        let mut size = None;
        let mut proofs = Vec::new();
        let mut locked = false;
        let mut unfinished = false;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("e"), None, None) => return Some(Self::Empty),
                (Some("n"), None, None) => return Some(Self::NoFolder),
                (Some("d"), None, None) => return Some(Self::NotAFile),
                (Some("p"), None, None) => return Some(Self::NoPermission),
                (Some("l"), None, None) => locked = true,
                (Some("j"), None, None) => unfinished = true,
                (Some("s"), Some(bytes), None) => size = Some(bytes.parse().ok()?),
                (Some("k"), Some(length), Some(digest)) => {
                    proofs.push(Proof { length: length.parse().ok()?, digest: digest.to_owned() });
                }
                (None, ..) => {}
                (Some(_), ..) => return None,
            }
        }
        Some(Self::There { size: size?, proofs, locked, unfinished })
    }
}

/// Block size for `dd`: large enough to be quick, small enough for any host.
const DD_BLOCK: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(script: &str) -> Survey {
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        Survey::parse(&output.stdout).unwrap_or_else(|| panic!("{output:?} from {script}"))
    }

    const TOOLS: Tools = Tools { digest: DigestTool::Cksum, head: HeadTool::HeadC };

    #[test]
    fn a_real_sh_answers_with_size_and_digests_however_the_path_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["plain", "two words", "it's", "$(reboot)", "new\nline", "-n"] {
            let path = dir.path().join(name);
            std::fs::write(&path, "From here on\n").unwrap();
            let path = quote_path(path.to_str().unwrap().as_bytes());
            for tools in [TOOLS, Tools { head: HeadTool::Dd, ..TOOLS }] {
                let survey = ask(&Survey::command(&path, tools, &[4, 13, 14]));
                let Survey::There { size, proofs, locked, .. } = survey else { panic!("{survey:?}") };
                assert_eq!((size, locked), (13, false));
                // `printf From | cksum`; and it is not as long as 14.
                assert_eq!(proofs[0], Proof { length: 4, digest: "306937594".into() });
                assert_eq!(proofs.iter().map(|proof| proof.length).collect::<Vec<_>>(), [4, 13]);
            }
        }
    }

    #[test]
    fn dd_and_head_read_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box");
        std::fs::write(&path, vec![b'x'; 200_000]).unwrap();
        let location = quote_path(path.to_str().unwrap().as_bytes());
        let lengths = [0, 1, 65_536, 65_537, 131_072, 200_000];
        let with = |head| ask(&Survey::command(&location, Tools { head, ..TOOLS }, &lengths));
        assert_eq!(with(HeadTool::HeadC), with(HeadTool::Dd));
    }

    #[test]
    fn what_is_no_mailbox_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| quote_path(dir.path().join(name).to_str().unwrap().as_bytes());
        let ask = |name: &str| ask(&Survey::command(&at(name), TOOLS, &[]));
        assert_eq!(ask(""), Survey::NotAFile);
        assert_eq!(ask("none-yet"), Survey::Empty);
        assert_eq!(ask("no/folder"), Survey::NoFolder);
        std::fs::write(dir.path().join("box"), "x").unwrap();
        std::fs::write(dir.path().join("box.lock"), "").unwrap();
        assert_eq!(ask("box"), Survey::There { size: 1, proofs: vec![], locked: true, unfinished: false });
    }

    #[test]
    fn the_home_directory_is_the_host_s() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("my mail"), "xyz").unwrap();
        let command =
            Survey::command(&Location::new(Some("~/my mail")).word(&HostFacts::default()), TOOLS, &[]);
        let command = format!("HOME={};{command}", quote(dir.path().to_str().unwrap().as_bytes()));
        let there = |unfinished| Survey::There { size: 3, proofs: vec![], locked: false, unfinished };
        assert_eq!(ask(&command), there(false));
        std::fs::write(dir.path().join(".mailcall-removal-1.m"), "").unwrap();
        assert_eq!(ask(&command), there(true));
    }

    #[test]
    fn a_reply_that_is_none_is_refused() {
        for reply in ["", "hello", "s", "s twelve", "s 1\nk 2", "\u{fffd}"] {
            assert_eq!(Survey::parse(reply.as_bytes()), None, "{reply:?}");
        }
    }
}
