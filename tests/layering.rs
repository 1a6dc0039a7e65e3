//! The house stands as drawn: every import goes down, every file says what it is, nothing is left unbuilt.
//!
//! Rooms are the modules right below the crate. An edge is any `crate::room` path, in a `use` or in
//! the middle of code, and any `super::super::room` that climbs to the crate's root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import. A room that is not here fails the test: draw it in first.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "access", "config", "line", "login", "machine", "mailbox", "modem", "secret", "session", "shell",
            "sim", "store", "transfer",
        ],
    ),
    (
        "session",
        &[
            "access", "config", "line", "login", "machine", "mailbox", "modem", "secret", "shell", "store",
            "transfer",
        ],
    ),
    ("sim", &["line", "login", "machine", "mailbox", "modem", "secret", "shell", "transfer"]),
    ("access", &["machine", "mailbox", "shell"]),
    ("store", &["mailbox"]),
    ("config", &["line", "login", "modem", "secret"]),
    ("login", &["machine", "secret"]),
    ("line", &["machine"]),
    ("modem", &["machine"]),
    ("shell", &["machine"]),
    ("transfer", &["machine"]),
    ("mailbox", &[]),
    ("machine", &[]),
    ("secret", &[]),
];

/// What one part of a room may import beyond its room.
const PART_MAY_IMPORT: &[(&str, &[&str])] = &[
    // The text transfer speaks through the shell's agent on the host.
    ("transfer::text", &["shell"]),
    // A removal that is killed at any disk operation is tried on the store's disk.
    ("access::path", &["store"]),
];

/// What any `#[cfg(test)]` code may import beyond its room: the driver in virtual time.
const TESTS_MAY_IMPORT: &[&str] = &["sim"];

#[test]
fn no_import_runs_upwards() {
    let files: Vec<(PathBuf, String, String)> =
        rust_files("src").into_iter().map(|file| (file.clone(), module_path(&file), read(&file))).collect();
    let tests: Vec<String> =
        files.iter().flat_map(|(_, module, source)| test_modules(module, source)).collect();
    let mut forbidden = Vec::new();
    for (file, module, source) in &files {
        let is_test = tests.iter().any(|test| module == test || module.starts_with(&format!("{test}::")));
        forbidden.extend(forbidden_edges(module, source, is_test).into_iter().map(|edge| {
            format!("{}:{}: {} may not import {}", file.display(), edge.line, edge.from, edge.to)
        }));
    }
    assert!(forbidden.is_empty(), "imports against the flow:\n{}", forbidden.join("\n"));
}

#[test]
fn the_allowed_flow_has_no_circle() {
    let mut rest: BTreeMap<&str, BTreeSet<&str>> =
        MAY_IMPORT.iter().map(|(room, down)| (*room, down.iter().copied().collect())).collect();
    for (part, down) in PART_MAY_IMPORT {
        let room = part.split("::").next().unwrap_or(part);
        rest.entry(room).or_default().extend(down.iter().copied());
    }
    while !rest.is_empty() {
        let bottom: Vec<&str> =
            rest.iter().filter(|(_, down)| down.is_empty()).map(|(room, _)| *room).collect();
        assert!(!bottom.is_empty(), "a circle among {:?}", rest.keys());
        rest.retain(|room, _| !bottom.contains(room));
        rest.values_mut().for_each(|down| down.retain(|room| !bottom.contains(room)));
    }
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let silent: Vec<String> = rust_files("src")
        .into_iter()
        .chain(rust_files("tests"))
        .filter(|file| !read(file).starts_with("//! "))
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "first line is not a `//! ` comment: {silent:?}");
}

#[test]
fn nothing_is_left_unbuilt() {
    for file in rust_files("src") {
        for word in ["todo!", "unimplemented!", "FIXME"] {
            assert!(!read(&file).contains(word), "{} says {word}", file.display());
        }
    }
}

#[test]
fn a_forbidden_import_is_found_in_every_form() {
    let samples = [
        ("modem", "use crate::session::Link;"),
        ("modem", "use crate::{machine::Machine, cli::{self, exit}};"),
        ("modem", "use crate::{\n    machine::{Machine, Output},\n    store as s,\n};"),
        ("modem", "pub(crate) use crate::sim;"),
        ("modem", "fn f() { crate::cli::main() }"),
        ("modem::dial", "use super::super::cli::exit;"),
        ("modem::dial", "mod inner { use super::super::super::{machine::Output, cli::exit}; }"),
        ("modem", "use super::{session, machine};"),
        ("session", "use crate::sim::wire;"),
        ("transfer::zmodem", "use crate::shell::Agent;"),
        ("modem", "#[cfg(not(test))] mod t { use crate::sim::wire; }"),
        ("modem", "#[cfg(test)] mod tests {} use crate::sim::wire;"),
        ("modem", "#[cfg(test)] mod tests; use crate::sim::wire;"),
        ("modem", "#[cfg(test)] use crate::cli::exit;"),
        ("modem", "const C: char = '\"'; use crate::cli; const D: char = '\"';"),
        ("modem", "fn f<'a>(s: &'a str) { crate::cli::f(s) }"),
        ("attic", "use crate::machine::Machine;"),
    ];
    for (module, source) in samples {
        let edges = forbidden_edges(module, source, false);
        assert_eq!(edges.len(), 1, "{module}: {source}: {edges:?}");
    }
}

#[test]
fn an_allowed_import_is_left_alone() {
    let samples = [
        ("modem", "use crate::machine::{Machine, Output};"),
        ("modem::dial", "use super::profile::Profile; use super::super::machine::Output;"),
        ("modem::dial", "mod tests { use super::*; use super::super::profile; }"),
        ("modem", "pub(crate) struct X; // use crate::cli;"),
        ("modem", "/* /* use crate::cli; */ crate::cli */ struct X;"),
        ("modem", "const A: &str = \"crate::cli\\\" crate::cli\"; const B: &str = r#\"\" crate::cli \"#;"),
        ("modem", "/// [`crate::session`]\nstruct X;"),
        ("modem", "#[cfg(test)]\nmod tests { mod a { use crate::sim::wire; } use crate::sim::converse; }"),
        ("modem", "#[cfg(all(test, unix))] #[allow(x)] use crate::sim::wire;"),
        ("transfer::text", "use crate::shell::Agent;"),
        ("transfer::text::codec", "use crate::shell::Agent;"),
        ("", "use crate::cli::run;"),
    ];
    for (module, source) in samples {
        let edges = forbidden_edges(module, source, false);
        assert!(edges.is_empty(), "{module}: {source}: {edges:?}");
    }
}

#[test]
fn a_file_of_tests_may_use_the_driver_in_virtual_time() {
    let declared = test_modules("modem", "mod a; #[cfg(test)]\nmod tests; #[cfg(not(test))] mod b; mod c {}");
    assert_eq!(declared, ["modem::tests"]);
    assert!(forbidden_edges("modem::tests", "use crate::sim::wire;", true).is_empty());
    assert_eq!(forbidden_edges("modem::tests", "use crate::cli::exit;", true).len(), 1);
}

/// One import that the drawing does not allow.
#[derive(Debug)]
struct Edge {
    line: usize,
    from: String,
    to: String,
}

/// All imports in `source`, the text of `module`, that lead where they may not. `is_test` for a file that
/// is test code from its first line on.
fn forbidden_edges(module: &str, source: &str, is_test: bool) -> Vec<Edge> {
    let Some(room) = module.split("::").next().filter(|room| !room.is_empty()) else {
        return Vec::new(); // lib.rs and main.rs stand above every room
    };
    let drawn = MAY_IMPORT.iter().find(|(name, _)| *name == room);
    let mut allowed: BTreeSet<&str> =
        drawn.map(|(_, down)| down.iter().copied().collect()).unwrap_or_default();
    for (part, down) in PART_MAY_IMPORT {
        if module == *part || module.starts_with(&format!("{part}::")) {
            allowed.extend(down.iter());
        }
    }
    imports(module, source)
        .into_iter()
        .filter(|import| {
            let name = import.room.as_str();
            let in_test = (is_test || import.in_test) && TESTS_MAY_IMPORT.contains(&name);
            name != room && !allowed.contains(name) && !in_test
        })
        .map(|import| Edge { line: import.line, from: module.to_owned(), to: import.room })
        .collect()
}

/// The modules in files of their own that `source` declares as test code: `#[cfg(test)] mod name;`.
fn test_modules(module: &str, source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let words: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    let mut found = Vec::new();
    for (at, window) in words.windows(3).enumerate() {
        let behind = words[..at].rsplit(|word| matches!(*word, ";" | "}" | "{")).next().unwrap_or_default();
        if let ["mod", name, ";"] = window
            && behind.windows(4).any(|attribute| attribute == ["cfg", "(", "test", ")"])
        {
            found.push(if module.is_empty() { (*name).to_owned() } else { format!("{module}::{name}") });
        }
    }
    found
}

struct Import {
    line: usize,
    room: String,
    in_test: bool,
}

/// Finds every path from the crate's root, and whether it stands in test code.
fn imports(module: &str, source: &str) -> Vec<Import> {
    let tokens = tokens(source);
    let depth_of_file = module.split("::").filter(|name| !name.is_empty()).count();
    let mut found = Vec::new();
    // For each open brace: whether it opened a `mod`, and whether test code ends with it.
    let mut braces: Vec<(bool, bool)> = Vec::new();
    let mut test_item = false; // behind #[cfg(test)], up to the item's `;` or `}`
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let word = token.text.as_str();
        let next = |n: usize| tokens.get(at + n).map_or("", |token| token.text.as_str());
        match word {
            "#" if next(1) == "[" && next(2) == "cfg" => {
                let words: Vec<&str> = tokens[at..]
                    .iter()
                    .map(|token| token.text.as_str())
                    .take_while(|text| *text != "]")
                    .collect();
                test_item |= words.contains(&"test") && !words.contains(&"not");
                at += words.len();
            }
            "{" => {
                let opens_mod = at >= 2 && tokens[at - 2].text == "mod";
                braces.push((opens_mod, std::mem::take(&mut test_item)));
            }
            "}" => drop(braces.pop()),
            ";" => test_item = false,
            "crate" | "super" if next(1) == "::" && (at == 0 || tokens[at - 1].text != "::") => {
                let mut end = at;
                let mut climbs = 0;
                while tokens.get(end).is_some_and(|token| token.text == "super") {
                    climbs += 1;
                    end += 2; // past the `::`
                }
                let depth = depth_of_file + braces.iter().filter(|(is_mod, _)| *is_mod).count();
                if word == "crate" || climbs == depth {
                    let start = if word == "crate" { at + 2 } else { end };
                    let in_test = test_item || braces.iter().any(|(_, is_test)| *is_test);
                    let (rooms, past) = first_names(&tokens, start);
                    found.extend(rooms.into_iter().map(|room| Import { line: token.line, room, in_test }));
                    at = past.max(at + 1) - 1;
                } else {
                    at = end - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The first names of the path or `{tree}` that begins at `at`, and where it ends.
fn first_names(tokens: &[Token], mut at: usize) -> (Vec<String>, usize) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    if text(at) != "{" {
        return (vec![text(at).to_owned()], at + 1);
    }
    let mut names = Vec::new();
    let mut depth = 0;
    let mut fresh = true; // a new path begins here
    loop {
        match text(at) {
            "{" => {
                depth += 1;
                fresh = depth == 1;
            }
            "}" => depth -= 1,
            "," => fresh = depth == 1,
            "" => return (names, at),
            name if fresh => {
                names.push(name.to_owned());
                fresh = false;
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return (names, at);
        }
    }
}

struct Token {
    text: String,
    line: usize,
}

/// Words and signs of Rust source, without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => quoted(rest, '"'),
            ['r' | 'b' | 'c', ..] if raw_string(rest).is_some() => raw_string(rest).unwrap_or(1),
            // 'x' and '\n' are characters; 'a without a closing quote is a lifetime.
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
            ['\'', ..] => 1 + word(&rest[1..]),
            [':', ':', ..] => 2,
            _ => word(rest).max(1),
        };
        let text: String = rest[..length].iter().collect();
        let is_text = text.starts_with(['"', '\'']) || text.starts_with("//") || text.starts_with("/*");
        if !is_text && !text.contains('"') && !text.trim().is_empty() {
            tokens.push(Token { text, line });
        }
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    tokens
}

fn word(rest: &[char]) -> usize {
    rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count()
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    if rest[prefix..].get(hashes) != Some(&'"') || rest[prefix - 1] != 'r' {
        return None;
    }
    let open = prefix + hashes + 1;
    let end = (open..rest.len())
        .find(|at| rest[*at] == '"' && rest[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes);
    Some(end.map_or(rest.len(), |at| at + 1 + hashes))
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
            }
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

/// `src/transfer/text/mod.rs` is `transfer::text`; `src/lib.rs` and `src/main.rs` are the root.
fn module_path(file: &Path) -> String {
    let below = file.strip_prefix(root().join("src")).unwrap_or(file).with_extension("");
    let mut names: Vec<String> = below.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| matches!(name.as_str(), "mod" | "lib" | "main")) {
        names.pop();
    }
    names.join("::")
}

fn rust_files(below: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "no Rust files below {below}");
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
