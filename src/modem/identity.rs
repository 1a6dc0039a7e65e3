//! Which profile fits a modem, by what it says of itself.

use super::ask::Said;
use super::profile::Profile;

/// The profiles whose words stand in the answers, the one with the longest word first: `Courier V.34`
/// says more than `USR`.
pub fn suggest<'a>(said: &[Said], profiles: impl IntoIterator<Item = &'a Profile>) -> Vec<&'a str> {
    let answers: Vec<String> =
        said.iter().flat_map(|said| &said.lines).map(|line| line.to_lowercase()).collect();
    let longest = |profile: &Profile| {
        let known = |word: &&String| answers.iter().any(|answer| is_in(answer, &word.to_lowercase()));
        profile.identity.iter().filter(known).map(String::len).max()
    };
    let mut fitting: Vec<(usize, &str)> =
        profiles.into_iter().filter_map(|profile| Some((longest(profile)?, profile.name.as_str()))).collect();
    fitting.sort_by_key(|&(length, name)| (std::cmp::Reverse(length), name));
    fitting.into_iter().map(|(_, name)| name).collect()
}

/// Whether `word` stands in `answer`: `=2886` is the whole line, anything else a part of it that no
/// letter or digit continues.
fn is_in(answer: &str, word: &str) -> bool {
    if let Some(whole) = word.strip_prefix('=') {
        return answer == whole;
    }
    answer.match_indices(word).any(|(at, _)| {
        let before = answer[..at].chars().next_back();
        let behind = answer[at + word.len()..].chars().next();
        let goes_on = |c: Option<char>, edge: Option<char>| {
            c.is_some_and(char::is_alphanumeric) && edge.is_some_and(char::is_alphanumeric)
        };
        !goes_on(before, word.chars().next()) && !goes_on(behind, word.chars().next_back())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Vec<Said> {
        let lines = lines.iter().map(|&line| line.to_owned()).collect();
        vec![Said { command: "ATI3".into(), lines, ok: true }]
    }

    #[test]
    fn the_most_telling_word_comes_first_and_parts_of_words_do_not_count() {
        let profile = |name: &str, words: &str| {
            let text = format!("inherits = \"generic\"\nidentity = [{words}]\n");
            Profile::parse(name, &text).expect(name)
        };
        let profiles = [
            profile("usr", "\"USRobotics\", \"=2886\""),
            profile("courier", "\"USRobotics Courier\""),
            profile("zoom", "\"Zoom\""),
        ];
        let suggested = |lines: &[&str]| suggest(&said(lines), &profiles);
        assert_eq!(suggested(&["USRobotics Courier V.Everything"]), ["courier", "usr"]);
        assert_eq!(suggested(&["2886"]), ["usr"]);
        assert_eq!(suggested(&["12886"]), [""; 0]);
        assert_eq!(suggested(&["Zooming in", "V.90 ZOOM"]), ["zoom"]);
        assert_eq!(suggested(&["OK"]), [""; 0]);
    }
}
