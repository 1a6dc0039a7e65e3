//! Quoting for a POSIX shell: any bytes become one word, in printable ASCII.

/// One shell word that stands for exactly these bytes.
///
/// Printable text goes between single quotes. What a 7-bit line cannot carry is written by the
/// host's `printf`. NUL, which no argument and no file name can hold, vanishes.
///
/// ```
/// # use mailcall::shell::quote::quote;
/// assert_eq!(quote(b"/var/mail/mary"), "/var/mail/mary");
/// assert_eq!(quote(b"it's $(date)"), r#"'it'"'"'s $(date)'"#);
/// assert_eq!(quote(b"caf\xc3\xa9"), r#"'caf'"$(printf '\303\251')""#);
/// ```
pub fn quote(bytes: &[u8]) -> String {
    if !bytes.is_empty() && bytes.iter().all(|&byte| is_plain(byte)) {
        return bytes.iter().map(|&byte| char::from(byte)).collect();
    }
    let mut word = String::new();
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let kind = Kind::of(first);
        let run = rest.iter().take_while(|&&byte| Kind::of(byte) == kind).count();
        let (piece, behind) = rest.split_at(run);
        rest = behind;
        match kind {
            Kind::Literal => push_wrapped(&mut word, "'", piece, "'"),
            Kind::Quote => push_wrapped(&mut word, "\"", piece, "\""),
            Kind::Octal => {
                word.push_str("\"$(printf '");
                word.extend(piece.iter().map(|&byte| octal(byte)));
                word.push_str("')\"");
            }
        }
    }
    if word.is_empty() { "''".into() } else { word }
}

/// One shell word that names this file, also where the name begins with a dash.
///
/// ```
/// # use mailcall::shell::quote::quote_path;
/// assert_eq!(quote_path(b"-rf"), "./-rf");
/// ```
pub fn quote_path(path: &[u8]) -> String {
    if path.starts_with(b"-") { format!("./{}", quote(path)) } else { quote(path) }
}

/// A command as one line of printable ASCII, ready for the host's `eval`.
///
/// A command that already is one stays as it is; in any other the host's `printf` writes what a
/// line cannot carry (newlines above all).
pub fn one_line(command: &str) -> String {
    let trimmed = command.trim_matches(|c| matches!(c, ' ' | '\t' | '\n'));
    // A backslash at the end may guard the blank behind it: then nothing is cut off.
    if trimmed.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !trimmed.ends_with('\\') {
        return trimmed.into();
    }
    let mut format = String::new();
    for byte in command.bytes() {
        match byte {
            b'%' => format.push_str("%%"),
            b'\\' => format.push_str("\\\\"),
            b' '..=b'~' if byte != b'\'' => format.push(char::from(byte)),
            _ => format.push_str(&octal(byte)),
        }
    }
    format!("eval \"$(printf '{format}')\"")
}

#[derive(PartialEq, Eq)]
enum Kind {
    Literal,
    Quote,
    Octal,
}

impl Kind {
    fn of(byte: u8) -> Self {
        match byte {
            b'\'' => Self::Quote,
            // A newline stays: command substitution would cut it off, and `one_line` carries it.
            b' '..=b'~' | b'\n' => Self::Literal,
            _ => Self::Octal,
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+:,@%".contains(&byte)
}

fn octal(byte: u8) -> String {
    format!("\\{byte:03o}")
}

fn push_wrapped(word: &mut String, open: &str, piece: &[u8], close: &str) {
    word.push_str(open);
    word.extend(piece.iter().map(|&byte| char::from(byte)));
    word.push_str(close);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What the system's sh makes of a word.
    fn sh_prints(word: &str) -> Vec<u8> {
        let script = one_line(&format!("printf '%s.' {word}"));
        let output = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
        output.stdout.strip_suffix(b".").expect("the full stop").to_vec()
    }

    #[test]
    fn names_that_try_to_be_commands_stay_names() {
        for name in
            [&b"$(touch x)"[..], b"`id`", b"a'b", b"''", b"\"", b"a\nb\n", b"\\", b"x\\\n", b"*", b"~", b""]
        {
            assert_eq!(sh_prints(&quote(name)), name, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn a_command_on_several_lines_runs_as_one() {
        let line = one_line("if true\nthen printf '%s\\n' \"it's\"\nfi\n");
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let output = Command::new("sh").arg("-c").arg(&line).output().expect("sh runs");
        assert_eq!(output.stdout, b"it's\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_but_nul_come_through_a_real_sh(bytes in prop::collection::vec(1u8.., 0..40)) {
            prop_assert_eq!(sh_prints(&quote(&bytes)), bytes);
        }
    }
}
