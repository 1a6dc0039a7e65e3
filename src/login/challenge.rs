//! What a host wants a one-time code computed from: `otp-md5 487 dehoks` (RFC 2289), `s/key 97 fw13894`
//! (RFC 1760), `Challenge: 12345678` of a calculator.

/// A challenge. It goes into the words of a command, so whatever host sent it, it consists of letters, digits,
/// `-`, `/` and single spaces, and does not begin with `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    text: String,
    is_required: bool,
}

impl Challenge {
    /// The challenge in a line, if there is one.
    pub(super) fn find(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(is_between).filter(|word| !word.is_empty()).collect();
        let found =
            (0..words.len()).rev().find_map(|at| one_time(&words[at..]).or_else(|| asked(&words[at..])));
        let is_required = words.iter().any(|word| word.eq_ignore_ascii_case("required"));
        found.map(|text| Self { text, is_required })
    }

    /// As a program that computes the answer takes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True if the host says that it takes nothing else.
    pub(super) fn is_required(&self) -> bool {
        self.is_required
    }
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || "[](){}<>\"'`,;:=".contains(c)
}

/// RFC 2289, 6.0 (Form of Output): the algorithm, a number, a seed; `ext` (RFC 2243) may follow.
fn one_time(words: &[&str]) -> Option<String> {
    let [method, number, seed, rest @ ..] = words else { return None };
    let method = method.to_ascii_lowercase();
    let is_method = matches!(method.as_str(), "s/key" | "skey")
        || method.strip_prefix("otp-").is_some_and(|algorithm| is_plain(algorithm, ALGORITHM_MAX));
    let is_number = number.len() <= NUMBER_MAX && number.bytes().all(|b| b.is_ascii_digit());
    if !is_method || !is_number || !is_plain(seed, SEED_MAX) {
        return None;
    }
    let is_extended = rest.first().is_some_and(|word| word.eq_ignore_ascii_case("ext"));
    Some(format!("{method} {number} {seed}{}", if is_extended { " ext" } else { "" }))
}

/// `Challenge: 12345678`, `SNK Challenge "12345"`.
fn asked(words: &[&str]) -> Option<String> {
    let [challenge, rest @ ..] = words else { return None };
    let said = rest
        .iter()
        .find(|word| !matches!(word.to_ascii_lowercase().as_str(), "is" | "#" | "no" | "number"))?;
    let is_one = challenge.eq_ignore_ascii_case("challenge")
        && is_plain(said, CHALLENGE_MAX)
        && said.len() >= CHALLENGE_MIN
        && said.bytes().any(|b| b.is_ascii_digit());
    is_one.then(|| (*said).to_owned())
}

fn is_plain(word: &str, max: usize) -> bool {
    (1..=max).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Characters of an algorithm's name: `md4`, `md5`, `sha1`, and what may come.
const ALGORITHM_MAX: usize = 12;
/// Digits of the sequence number.
const NUMBER_MAX: usize = 9;
/// Characters of a seed: RFC 2289 has 16, and some hosts more.
const SEED_MAX: usize = 32;
/// Characters of a challenge for a calculator.
const CHALLENGE_MIN: usize = 4;
const CHALLENGE_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<String> {
        Challenge::find(line).map(|challenge| challenge.text().to_owned())
    }

    #[test]
    fn challenges_are_read_as_hosts_write_them() {
        for (line, text) in [
            ("otp-md5 487 dehoks", "otp-md5 487 dehoks"),
            ("otp-md5 498 gr4269 ext", "otp-md5 498 gr4269 ext"), // FreeBSD
            ("otp-sha1 99 host12345 ext, Response: ", "otp-sha1 99 host12345 ext"), // OPIE by sshd
            ("s/key 97 fw13894", "s/key 97 fw13894"),
            ("s/key 97 fw13894 (s/key required)", "s/key 97 fw13894"),
            ("Password [ otp-md4 99 host12345 ]:", "otp-md4 99 host12345"), // NetBSD
            ("[s/key 12 ab34567]", "s/key 12 ab34567"),
            ("Challenge: 12345678", "12345678"),
            ("SNK Challenge \"12345\":", "12345"),
            ("Your challenge is A1B2C3", "A1B2C3"),
        ] {
            assert_eq!(found(line).as_deref(), Some(text), "{line:?}");
        }
        assert!(Challenge::find("s/key 97 fw13894 (s/key required)").is_some_and(|c| c.is_required()));
        assert!(Challenge::find("s/key 97 fw13894").is_some_and(|c| !c.is_required()));
    }

    #[test]
    fn what_could_be_a_command_of_a_shell_is_no_challenge() {
        for line in [
            "otp-md5 487 $(reboot)",
            "otp-md5 487 `id`x;y",
            "otp-md5 487 -rf",
            "otp-md5 4a7 dehoks",
            "otp-m$5 487 dehoks",
            "otp-md5 487",
            "Challenge: ;reboot1",
            "Challenge: --help1",
            "A challenge for everybody",
            "Challenge-response is in use",
            "",
        ] {
            let found = found(line).unwrap_or_default();
            let is_harmless = found.bytes().all(|b| b.is_ascii_alphanumeric() || b" -/".contains(&b));
            assert!(is_harmless && !found.starts_with('-'), "{line:?}: {found:?}");
        }
        assert_eq!(found("otp-md5 487 $(reboot)"), None);
        assert_eq!(found("A challenge for everybody"), None);
    }
}
