//! What a host says to a loader that it does not run: a restricted shell that names what it forbids,
//! a host without `sh`, or a program that is no shell at all.

use super::last_words;

/// What came since a line was ended: the beginning of it, for a refusal is the first that is said.
#[derive(Debug, Default)]
pub(super) struct Answer {
    bytes: Vec<u8>,
}

/// Why the loader did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The shell may not be replaced: `rbash: exec: restricted`. Running `sh` in it may be allowed.
    Exec {
        /// The shell's own words.
        said: String,
    },
    /// There is no `sh` to be run: `rbash: sh: command not found`.
    Sh {
        /// The shell's own words.
        said: String,
    },
}

impl Answer {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn push(&mut self, byte: u8) {
        if self.bytes.len() < ANSWER_BYTES_MAX {
            self.bytes.push(byte);
        }
    }

    /// Whether the shell waits to hear if it has read a word right: `zsh: correct 'sh' to 'ssh' [nyae]? `.
    pub(super) fn asks_whether_it_is_right(&self) -> bool {
        [&b"[nyae]? "[..], b"(y|n|e|a)? "].iter().any(|question| self.bytes.ends_with(question))
    }

    /// What the host has said against the line, if it is done saying it.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        // The last piece is unfinished: a prompt, or the rest of it is under way.
        let end = self.bytes.iter().rposition(|&byte| byte == b'\n')?;
        let lines = self.bytes[..end].split(|&byte| byte == b'\n').map(last_words);
        lines.filter(|line| !is_ours(line)).find_map(|line| read(&line))
    }
}

/// What one line says about `exec sh` or `sh`.
fn read(line: &str) -> Option<Refusal> {
    let text = line.to_ascii_lowercase();
    // In `sh: 1: stty: not found` sh is who speaks, and not what is missing.
    let of_sh = |complaints: &[&str]| {
        let mut said = complaints.iter().filter_map(|words| text.split_once(words));
        said.any(|(before, after)| ends_with_sh(before) || ends_with_sh(after))
    };
    let is_forbidden = FORBIDDEN.iter().any(|words| text.contains(words));
    let said = line.to_owned();
    if of_sh(MISSING) {
        Some(Refusal::Sh { said })
    } else if is_forbidden && (text.contains("exec") || text.contains("histfile")) {
        Some(Refusal::Exec { said })
    } else if of_sh(FORBIDDEN) {
        Some(Refusal::Sh { said })
    } else {
        None
    }
}

/// Whether the last word of a text, but for what stands around a command's name, is `sh`:
/// `bash: exec: sh: `, `sh: Command `, `: sh`.
fn ends_with_sh(text: &str) -> bool {
    let between = [' ', ':', '.', '\'', '"', '`'];
    let text = text.trim_end_matches(between);
    let text = text.strip_suffix("command").or_else(|| text.strip_suffix("inaccessible or")).unwrap_or(text);
    text.trim_end_matches(between).rsplit(between).next() == Some("sh")
}

/// An editor may show the line again that it was given.
fn is_ours(line: &str) -> bool {
    line.contains("savehist") || line.contains("stty raw")
}

/// How shells say that there is no such command.
const MISSING: &[&str] = &["not found", "no such file", "unknown command", "can't find", "cannot find"];
/// How they say that there is one, but not for us.
const FORBIDDEN: &[&str] = &["restricted", "not allowed", "not permitted", "permission denied", "forbidden"];
/// As much as a refusal may have in front of it.
const ANSWER_BYTES_MAX: usize = 2_048;

/// What a login says that ends at once because no shell is given: the host's own words.
///
/// `lines` are the last that were said, of which the host's refusal is one.
pub fn no_shell_given<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    lines.into_iter().find(|line| {
        let text = line.to_ascii_lowercase();
        NO_SHELL.iter().any(|words| text.contains(words))
    })
}

/// git-shell(1), scponly(8), rssh(1), sshd's `internal-sftp`, and hosting services.
const NO_SHELL: &[&str] = &[
    "interactive git shell is not enabled",
    "what do you think i am? a shell?",
    "does not provide shell access",
    "shell access is disabled",
    "shell access is not enabled",
    "this account is restricted by rssh",
    "scponly: ",
    "this service allows sftp connections only",
    "interactive logins are not allowed",
    "interactive login is not allowed",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Option<Refusal> {
        let mut answer = Answer::default();
        text.bytes().for_each(|byte| answer.push(byte));
        answer.refusal()
    }

    #[test]
    fn restricted_shells_are_understood_in_their_own_words() {
        for (shell, said) in [
            (
                "bash -r",
                "\r\n\x1b[?2004l\rrbash: unset: HISTFILE: cannot unset: readonly variable\r\nrbash: exec: restricted\r\n",
            ),
            ("ksh93 -r", "\r\nrksh93: exec: sh: restricted\r\n# "),
            ("zsh -r", "\r\r\nunset: HISTFILE: restricted\r\n"),
        ] {
            assert!(matches!(answer(said), Some(Refusal::Exec { .. })), "{shell}: {:?}", answer(said));
        }
        for (shell, said) in [
            ("bash -r", "\r\nrbash: sh: command not found\r\nexit\r\n"),
            ("dash", "\r\n-dash: 1: exec: sh: not found\r\n$ "),
            ("bash", "bash: exec: sh: not found\r\n$ "),
            ("zsh", "\r\nzsh: command not found: sh\r\n"),
            ("tcsh", "sh: Command not found.\r\n> "),
            ("fish", "\r\nfish: Unknown command: sh\r\n"),
            ("ksh93 -r", "\r\n-rksh93: sh: restricted\r\n"),
            ("mksh", "mksh: sh: inaccessible or not found\r\n"),
        ] {
            let Some(Refusal::Sh { said: words }) = answer(said) else {
                panic!("{shell}: {:?}", answer(said))
            };
            assert!(words.contains("sh"), "{shell}: {words}");
        }
    }

    #[test]
    fn the_line_itself_shown_again_and_other_words_are_no_refusal() {
        for said in [
            "\r\n unset HISTFILE savehist;exec sh -c 'restricted not found'\r\n",
            "\r\nInvalid choice.\r\nYour choice: ",
            "rbash: exec: restric",
            "Broadcast message: the lab is restricted today\r\n",
            "sh: 1: stty: not found\r\n",
            "-sh: stty: not found\r\n",
            "sh: 1: stty: Permission denied\r\n",
        ] {
            assert_eq!(answer(said), None, "{said:?}");
        }
    }

    #[test]
    fn accounts_that_are_given_no_shell_are_told_from_lost_lines() {
        let git = ["Last login: yesterday", "fatal: Interactive git shell is not enabled."];
        assert_eq!(no_shell_given(git), Some(git[1]));
        assert_eq!(no_shell_given(["Last login: yesterday", "You have mail."]), None);
    }
}
