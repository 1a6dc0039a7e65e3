//! Names of files here, as a person types them in one line: several with blanks between them, a blank in
//! one behind a `\`; and how Tab completes the last.

use std::path::Path;

use crate::config::expand_home;

/// The names in a line.
pub(super) fn names(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.extend(chars.next()),
            ' ' if name.is_empty() => {}
            ' ' => names.push(std::mem::take(&mut name)),
            c => name.push(c),
        }
    }
    if !name.is_empty() {
        names.push(name);
    }
    names
}

/// The line with its last name completed as far as there is no doubt, and what there is to say about it.
pub(super) fn complete(line: &str) -> (String, String) {
    complete_among(line, |folder| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .take(ENTRIES_MAX)
            .filter_map(|entry| {
                let is_folder = entry.path().is_dir();
                entry.file_name().into_string().ok().map(|name| (name, is_folder))
            })
            .collect()
    })
}

/// The same with the names in a folder, and which of them are folders, from elsewhere.
fn complete_among(line: &str, list: impl FnOnce(&Path) -> Vec<(String, bool)>) -> (String, String) {
    let begins = begin_of_last(line);
    let typed = names(&line[begins..]).pop().unwrap_or_default();
    let (folder, start) = typed.rfind('/').map_or(("", typed.as_str()), |at| typed.split_at(at + 1));
    let listed = list(&if folder.is_empty() { ".".into() } else { expand_home(folder) });
    let mut found: Vec<(String, bool)> = listed
        .into_iter()
        // Hidden ones only for who has typed their dot; and what cannot be typed cannot be completed.
        .filter(|(name, _)| name.starts_with(start) && (!name.starts_with('.') || start.starts_with('.')))
        .filter(|(name, _)| !name.chars().any(char::is_control))
        .collect();
    found.sort();
    let Some((first, is_folder)) = found.first() else {
        return (line.to_owned(), "(there is none)".to_owned());
    };
    let common = found.iter().fold(first.as_str(), |common, (name, _)| shared(common, name));
    let mut text = format!("{}{}", &line[..begins], escaped(&format!("{folder}{common}")));
    if found.len() == 1 {
        text.push_str(if *is_folder { "/" } else { "" });
        return (text, String::new());
    }
    let shown = found.iter().take(SHOWN_MAX).map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("  ");
    let more = if found.len() > SHOWN_MAX { " .." } else { "" };
    (text, format!("({shown}{more})"))
}

/// Where the last name begins.
fn begin_of_last(line: &str) -> usize {
    let mut begins = 0;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if c == ' ' && !escaped {
            begins = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    begins
}

fn shared<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b);
    &one[..same.map(|(c, _)| c.len_utf8()).sum()]
}

fn escaped(name: &str) -> String {
    name.chars().flat_map(|c| [matches!(c, ' ' | '\\').then_some('\\'), Some(c)]).flatten().collect()
}

/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 10_000;
/// Names that are shown.
const SHOWN_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> (String, String) {
        complete_among(line, |folder| match folder.to_str() {
            Some(".") => [
                ("notes", true),
                ("note one", false),
                ("report.txt", false),
                (".hidden", false),
                ("a\x1bb", false),
            ]
            .map(|(name, is_folder)| (name.to_owned(), is_folder))
            .to_vec(),
            Some("notes/") => vec![("x".to_owned(), false)],
            _ => Vec::new(),
        })
    }

    #[test]
    fn names_are_apart_by_blanks_that_are_not_escaped() {
        assert_eq!(names("  a b\\ c  \\\\d \\"), ["a", "b c", "\\d"]);
        assert_eq!(names("   "), [""; 0]);
    }

    #[test]
    fn the_last_name_is_completed_as_far_as_there_is_no_doubt() {
        for (line, text, hint) in [
            ("rep", "report.txt", ""),
            ("x rep", "x report.txt", ""),
            ("n", "note", "(note one  notes)"),
            ("notes", "notes/", ""),
            ("note\\ ", "note\\ one", ""),
            ("notes/", "notes/x", ""),
            (".", ".hidden", ""),
            ("a", "a", "(there is none)"),
            ("/nowhere/x", "/nowhere/x", "(there is none)"),
        ] {
            assert_eq!(completed(line), (text.to_owned(), hint.to_owned()), "{line:?}");
        }
    }
}
