//! One command that lists the mailbox: for each message its place, length, sender, date and subject.
//!
//! awk on the host reads the headers, so that bodies are not carried to show a list. The text of a
//! header comes as it stands; decoding and making it safe for a terminal are done here.

/// One message as the host lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position in the mailbox, from 1.
    pub number: u64,
    /// Where its From_ line begins.
    pub offset: u64,
    /// Bytes up to the next From_ line.
    pub length: u64,
    /// The From header, undecoded.
    pub from: Vec<u8>,
    /// The Date header.
    pub date: Vec<u8>,
    /// The Subject header, undecoded.
    pub subject: Vec<u8>,
}

/// The command for a host that has awk; `path` is a word of sh.
pub fn command(path: &str) -> String {
    format!("LC_ALL=C awk '{INDEX_AWK}' <{path}")
}

/// Reads the reply; lines that are none of ours are an error, told with the line.
pub fn parse(reply: &[u8]) -> Result<Vec<Entry>, String> {
    reply.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(entry).collect()
}

fn entry(line: &[u8]) -> Result<Entry, String> {
    let bad = || format!("the host's list has a line that is no entry: {}", line.escape_ascii());
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b'\t').collect();
    let [number, offset, length, from, date, subject] = fields[..] else { return Err(bad()) };
    let count =
        |field: &[u8]| std::str::from_utf8(field).ok().and_then(|text| text.parse().ok()).ok_or_else(bad);
    Ok(Entry {
        number: count(number)?,
        offset: count(offset)?,
        length: count(length)?,
        from: from.trim_ascii().to_vec(),
        date: date.trim_ascii().to_vec(),
        subject: subject.trim_ascii().to_vec(),
    })
}

/// POSIX awk. A From_ line counts at the file's start or after a blank line, and has a time in it
/// (RFC 4155, appendix A; bodies may say "From here on"). Header text is cut at 200 bytes, folded
/// lines joined (RFC 5322, 2.2.3), control characters made blanks.
const INDEX_AWK: &str = r#"
function clean(t){gsub(/[\001-\037]/," ",t);return substr(t,1,200)}
function tell(){if(n)printf "%d\t%.0f\t%.0f\t%s\t%s\t%s\n",n,b,o-b,clean(f),clean(d),clean(s)}
/^From /&&(NR==1||blank)&&/[0-9]:[0-9][0-9]/{tell();n++;b=o;head=1;c=f=d=s="";blank=0;o+=length($0)+1;next}
head{if($0==""||$0=="\r")head=0
else if(/^[ \t]/){if(c=="f")f=f $0;if(c=="d")d=d $0;if(c=="s")s=s $0}
else{c="";k=tolower(substr($0,1,8))
if(k~/^from:/){c="f";f=substr($0,6)}
if(k~/^date:/){c="d";d=substr($0,6)}
if(k=="subject:"){c="s";s=substr($0,9)}}}
{blank=($0==""||$0=="\r");o+=length($0)+1}
END{tell()}"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn index(mailbox: &[u8], awk: &str) -> Vec<Entry> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box");
        std::fs::write(&path, mailbox).unwrap();
        let command = command(path.to_str().unwrap()).replace(" awk ", awk);
        let output = std::process::Command::new("sh").arg("-c").arg(command).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        parse(&output.stdout).unwrap()
    }

    const TWO: &[u8] = b"From a@example.org Sun Nov  1 10:00:00 2026\nSubject: one\n  folded\x07\nFROM: A <a@example.org>\n\
\nFrom here on it is text\n\nFrom this line too\n\nFrom b@example.org Sun Nov  1 11:00:00 2026\nDate: Sun, 1 Nov\nFrom: B\xe9\n\nx\n";

    #[test]
    fn messages_are_found_with_their_place_and_headers() {
        let entries = index(TWO, " awk ");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].subject, b"one  folded");
        assert_eq!(entries[0].from, b"A <a@example.org>");
        assert_eq!(entries[1].from, b"B\xe9");
        assert_eq!(entries[0].length, entries[1].offset);
        assert_eq!(entries[1].offset + entries[1].length, TWO.len() as u64);
    }

    #[test]
    fn busybox_awk_says_the_same() {
        if std::process::Command::new("busybox").arg("true").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "busybox is needed in CI");
            println!("SKIPPED: no busybox here");
            return;
        }
        assert_eq!(index(TWO, " busybox awk "), index(TWO, " awk "));
    }

    #[test]
    fn a_line_that_is_no_entry_is_told() {
        assert!(parse(b"awk: not found\n").unwrap_err().contains("awk: not found"));
        assert_eq!(parse(b"").unwrap(), []);
    }
}
