//! Taking our own line back out of a history that is written as each line is read: zsh with
//! INC_APPEND_HISTORY, ksh93, mksh. No line typed there can avoid it, so its last record is cut off
//! again, once the agent runs and if it is byte for byte what was typed on this call.

use super::checksum::Checksum;

/// Whether a login shell may have written what was typed at it, going by `$SHELL`. bash writes when it is
/// left, which it never is with a history; but a restricted one that is told so by its own prompt has
/// written a line that it refused.
pub fn writes_each_line(shell: Option<&[u8]>) -> bool {
    let name = shell.unwrap_or_default().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    [&b"zsh"[..], b"ksh", b"rbash"].iter().any(|known| memchr::memmem::find(name, known).is_some())
}

/// For the host's sh: looks at the ends of the usual history files below the home and cuts `lines`
/// off, the latest first. It prints 1 for each that was there.
///
/// `dd` from nothing cuts its output where it seeks to (POSIX, dd: without `conv=notrunc`).
pub fn command(lines: &[String], sum: Checksum) -> String {
    let mut looks = String::new();
    for line in lines.iter().rev() {
        let look = |end: &str, cut: String| {
            let record = [line.as_bytes(), end.as_bytes()].concat();
            format!("h {} {} {cut};", record.len(), sum.of(&record))
        };
        // zsh, bash: a line of text; before it may stand `: 1700000000:0;`.
        looks.push_str(&look("\n", "`tail -n 1 \"$f\"|wc -c`".into()));
        // mksh: a mark, the number in four bytes, the text, NUL.
        looks.push_str(&look("\0", (line.len() + MKSH_BEFORE + 1).to_string()));
        // ksh93: the text, a line end, and NUL up to an even place.
        looks.push_str(&look("\n\0", (line.len() + 2).to_string()));
        looks.push_str(&look("\n\0\0", (line.len() + 3).to_string()));
    }
    format!(
        "h(){{ case `tail -c $1 \"$f\"|k` in \"$2 \"*)dd if=/dev/null of=\"$f\" bs=1 seek=$((`wc -c <\"$f\"`-$3))\
         &&echo 1;;esac;}};for f in {FILES};do [ -f \"$f\" ]&&{{ {looks}}};done"
    )
}

/// Where shells keep histories unless told otherwise, and where people tell zsh to.
const FILES: &str = "~/.*hist* ~/.*/zsh/*hist* ~/.*/*/zsh/*hist*";
/// In front of the text of a record of mksh's.
const MKSH_BEFORE: usize = 5;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What is left of a history file after our line was looked for.
    fn left_of(before: &[u8], lines: &[&str]) -> (Vec<u8>, String) {
        let home = tempfile::tempdir().expect("a home");
        let file = home.path().join(".history");
        std::fs::write(&file, before).expect("a file");
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let script = format!("k(){{ cksum;}};{}", command(&lines, Checksum::Cksum));
        let mut sh = Command::new("sh");
        let ran = sh.arg("-c").arg(script).env("HOME", home.path()).output().expect("sh runs");
        (std::fs::read(file).expect("the file"), String::from_utf8_lossy(&ran.stdout).trim().to_owned())
    }

    #[test]
    fn our_record_is_cut_off_in_each_shell_s_own_form() {
        for (shell, before, record) in [
            ("zsh", &b"ls\n"[..], &b" ours 'x'\n"[..]),
            ("zsh, alone", b"", b" ours 'x'\n"),
            ("zsh, extended", b": 1700000000:0;ls\n", b": 1700000001:0; ours 'x'\n"),
            ("ksh93", b"\x81\x01ls\n\0\0", b" ours 'x'\n\0"),
            ("ksh93, odd", b"\x81\x01ls\n\0\0", b" ours 'x'\n\0\0"),
            ("mksh", b"\xab\xcd\xff\0\0\0\x01ls\0", b"\xff\0\0\0\x02 ours 'x'\0"),
        ] {
            let (left, found) = left_of(&[before, record].concat(), &[" ours 'x'"]);
            assert_eq!(
                (left.escape_ascii().to_string(), &*found),
                (before.escape_ascii().to_string(), "1"),
                "{shell}"
            );
        }
        assert_eq!(left_of(b"ls\n one\n two\n", &[" one", " two"]).0, b"ls\n");
    }

    #[test]
    fn the_shells_that_write_each_line_are_known_by_their_names() {
        for shell in ["/bin/zsh", "/usr/local/bin/zsh-5.9", "/bin/ksh93", "/bin/mksh", "/bin/rbash"] {
            assert!(writes_each_line(Some(shell.as_bytes())), "{shell}");
        }
        for shell in ["/bin/bash", "/bin/dash", "/usr/bin/fish", "/bin/tcsh", "/home/zsh/sh", ""] {
            assert!(!writes_each_line(Some(shell.as_bytes())), "{shell}");
        }
        assert!(!writes_each_line(None));
    }

    #[test]
    fn what_is_not_byte_for_byte_ours_or_not_the_last_stays() {
        for before in [&b"ls\n ours 'y'\n"[..], b" ours 'x'\nls\n", b"ls\n ours 'x'", b"", b"\n"] {
            assert_eq!(left_of(before, &[" ours 'x'"]), (before.to_vec(), String::new()));
        }
    }
}
