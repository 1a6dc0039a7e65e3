//! Menus in front of a shell: what there is to choose from, and which of it leads to a shell.
//!
//! A list with numbers alone is no menu, for news and rules have such lists too: the host must ask to
//! choose. Where more than one item could be meant, or none, nothing is chosen.

use super::prompts::{find, normalised};

/// What can be chosen, in the host's order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Menu {
    items: Vec<Item>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// What is typed for it.
    pub(super) key: String,
    /// What it is called.
    pub(super) text: String,
}

impl Menu {
    /// The menu that ends with `lines`, oldest first, if `open` asks to choose from one.
    pub(super) fn read(lines: &[&str], open: &str) -> Option<Self> {
        let mut items = Vec::new();
        let mut others = Vec::new();
        let mut since_item = 0;
        for line in lines.iter().rev().take(LINES_MAX) {
            let mut found = items_of(line);
            if found.is_empty() {
                since_item += 1;
                if since_item > OTHER_LINES_MAX {
                    break;
                }
                others.push(*line);
            } else {
                since_item = 0;
                found.append(&mut items);
                items = found;
            }
        }
        let asks = asks_to_choose(open) || is_bare(open) && others.iter().any(|line| asks_to_choose(line));
        (asks && items.len() >= ITEMS_MIN).then_some(Self { items })
    }

    /// The one item that gives a shell; in front of a login else the one that gives a login.
    pub(super) fn choice(&self, logs_in: bool) -> Option<&Item> {
        let one = |is_meant: fn(&[char]) -> bool| {
            let mut meant = self.items.iter().filter(|item| is_meant(&normalised(&item.text)));
            match (meant.next(), meant.next()) {
                (None, _) => Err(()),
                (Some(item), None) => Ok(Some(item)),
                (Some(_), Some(_)) => Ok(None),
            }
        };
        match one(gives_shell) {
            Ok(one) => one,
            Err(()) if logs_in => one(gives_login).unwrap_or_default(),
            Err(()) => None,
        }
    }
}

fn gives_shell(text: &[char]) -> bool {
    let says = |table: &[&str]| table.iter().any(|words| find(text, words).is_some());
    if says(NO_SHELL) {
        return false;
    }
    let text: String = text.iter().collect();
    let name = LEAD_INS.iter().fold(text.as_str(), |rest, words| rest.strip_prefix(words).unwrap_or(rest));
    says(SHELL) || SHELL_NAMES.contains(&name)
}

fn gives_login(text: &[char]) -> bool {
    let says = |table: &[&str]| table.iter().any(|words| find(text, words).is_some());
    LOGIN.iter().any(|words| find(text, words).is_some_and(|(start, _)| start == 0)) && !says(NO_LOGIN)
}

/// True if the words ask for a choice: `Your choice:`, `Select (1-5)`.
fn asks_to_choose(line: &str) -> bool {
    let text = normalised(line);
    let is_range = |window: &[char]| match window {
        [from, '-', to] => from.is_ascii_digit() && to.is_ascii_digit(),
        _longer => false,
    };
    text.len() <= PROMPT_CHARS_MAX
        && (CHOOSE.iter().any(|words| find(&text, words).is_some()) || text.windows(3).any(is_range))
}

/// True for a prompt without a word: `:`, `==>`.
fn is_bare(open: &str) -> bool {
    let open = open.trim();
    let is_mark = |c: char| c.is_ascii_punctuation();
    (1..=BARE_CHARS_MAX).contains(&open.len()) && open.chars().all(is_mark) && open.ends_with([':', '?', '>'])
}

/// The items on a line; there may be several in columns.
fn items_of(line: &str) -> Vec<Item> {
    let chars: Vec<char> = line.chars().collect();
    let mut marks = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let begins_word = at == 0 || is_gap(chars[at - 1]);
        match mark_at(&chars, at).filter(|_| begins_word) {
            Some(mark) => {
                at = mark.text_from;
                marks.push(mark);
            }
            None => at += 1,
        }
    }
    let ends = marks.iter().skip(1).map(|next| next.from).chain([chars.len()]);
    let texts = marks.iter().zip(ends).map(|(mark, end)| {
        let rest: String = chars[mark.text_from.min(end)..end].iter().collect();
        let text = format!("{}{rest}", mark.glued);
        Item { key: mark.key.clone(), text: text.trim_matches(is_gap).to_owned() }
    });
    texts.filter(|item| !item.text.is_empty()).collect()
}

/// How an item begins: `1)`, `[2]`, `(S)hell`, `S - Shell`.
struct Mark {
    key: String,
    from: usize,
    text_from: usize,
    /// The key, where it is the first letter of the text as well.
    glued: String,
}

fn mark_at(chars: &[char], from: usize) -> Option<Mark> {
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let closing = match at(from) {
        '(' => Some(')'),
        '[' => Some(']'),
        '<' => Some('>'),
        _none => None,
    };
    let key_from = from + usize::from(closing.is_some());
    let digits = (0..KEY_DIGITS_MAX).take_while(|&n| at(key_from + n).is_ascii_digit()).count();
    let length = if digits > 0 { digits } else { usize::from(at(key_from).is_ascii_alphabetic()) };
    let behind = key_from + length;
    let key: String = chars.get(key_from..behind)?.iter().collect();
    if key.is_empty() {
        return None;
    }
    // At the start of a line or of a column. `at 5. we close` is neither.
    let is_column = chars[..from].iter().all(|&c| is_gap(c))
        || from >= 2 && chars[from - 2..from].iter().all(|&c| c != '.' && is_gap(c));
    let mark = |text_from| Some(Mark { key: key.clone(), from, text_from, glued: String::new() });
    match (closing, at(behind)) {
        (Some(close), found) if found == close => {
            let is_glued = digits == 0 && at(behind + 1).is_alphanumeric();
            let glued = if is_glued { key.clone() } else { String::new() };
            let separators = usize::from(matches!(at(behind + 1), ')' | '.' | ':' | '-'));
            Some(Mark { key, from, text_from: behind + 1 + separators, glued })
        }
        (Some(_), _) => None,
        (None, ')' | ']') => mark(behind + 1),
        (None, '.' | ':' | '>' | '=') if is_column && (at(behind + 1) == ' ' || digits > 0) => {
            mark(behind + 1)
        }
        (None, ' ') if is_column => {
            let spaces = (behind..).take_while(|&n| at(n) == ' ').count();
            let separator = behind + spaces;
            let is_separated = matches!(at(separator), '-' | '=' | ':' | '–') && at(separator + 1) == ' ';
            if is_separated { mark(separator + 1) } else { None }
        }
        (None, _) => None,
    }
}

/// Blanks, and what boxes are drawn with.
fn is_gap(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '|' | '*' | '.' | '\u{2500}'..='\u{257f}')
        || c == char::REPLACEMENT_CHARACTER
}

/// Lines that are looked at for items.
const LINES_MAX: usize = 40;
/// Lines without an item, such as a title or an empty frame, before the menu is over.
const OTHER_LINES_MAX: usize = 3;
/// Fewer are no menu.
const ITEMS_MIN: usize = 2;
/// Digits of a number that is typed.
const KEY_DIGITS_MAX: usize = 2;
/// A longer line is a text.
const PROMPT_CHARS_MAX: usize = 100;
/// Characters of a prompt without words.
const BARE_CHARS_MAX: usize = 5;

/// Words that ask for a choice.
#[rustfmt::skip]
const CHOOSE: &[&str] = &[
    "choice", "choices", "choose", "select", "selection", "option", "options", "menu", "pick", "item", "command",
    "number", "which", "auswahl", "wahl", "wählen", "auswählen", "wählen sie", "menü", "choix", "choisissez",
    "votre choix", "opción", "elección", "elija", "seleccione", "scelta", "scegli", "opção", "escolha", "keuze",
    "kies", "val", "välj", "valg", "vælg", "velg", "wybór", "wybierz", "volba", "выбор", "выберите",
];

/// Words in an item that gives a shell.
#[rustfmt::skip]
const SHELL: &[&str] = &[
    "shell", "command line", "command prompt", "command interpreter", "command level", "command mode",
    "unix prompt", "unix command", "unix commands", "unix system prompt", "system prompt", "shell prompt",
    "linux prompt", "to unix", "to linux", "kommandozeile", "befehlszeile", "eingabeaufforderung",
    "ligne de commande", "línea de comandos", "riga di comando", "linha de comando", "opdrachtregel",
];

/// What an item that gives a shell may be called altogether.
#[rustfmt::skip]
const SHELL_NAMES: &[&str] = &[
    "unix", "linux", "bash", "sh", "csh", "tcsh", "ksh", "zsh", "ash", "dash", "fish", "cli", "unix access",
];

/// What may stand in front of that.
const LEAD_INS: &[&str] =
    &["exit to ", "go to ", "drop to ", "enter ", "start ", "run ", "use ", "the ", "a "];

/// Words in an item that has to do with shells, and gives none.
#[rustfmt::skip]
const NO_SHELL: &[&str] = &[
    "change", "changing", "chsh", "set", "choose", "select", "configure", "default", "about", "help", "info",
    "information", "explain", "secure shell", "ssh", "remote", "restart", "history", "script", "scripts", "learn",
    "tutorial", "exit shell", "exit the shell", "quit shell", "quit the shell", "leave shell", "leave the shell",
    "close shell", "close the shell", "log out", "logout", "no shell", "without shell", "shell settings",
];

/// Words with which an item begins that gives a login.
const LOGIN: &[&str] = &["login", "log in", "log on", "logon", "sign on", "sign in", "anmelden", "connexion"];

/// Words in an item that is no login of ours.
const NO_LOGIN: &[&str] = &["help", "new", "guest", "register", "info", "information", "as guest", "history"];

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str) -> Option<String> {
        let lines: Vec<&str> = text.lines().collect();
        let (open, lines) = lines.split_last().expect("a prompt at the end");
        Menu::read(lines, open)?.choice(false).map(|item| item.key.clone())
    }

    #[test]
    fn the_item_that_gives_a_shell_is_found_however_the_menu_is_drawn() {
        for (menu, key) in [
            ("1) Mail\n2) Shell\n3) Logout\nChoice:", "2"),
            ("1) Mail 2) Shell 3) Logout\nChoice:", "2"),
            ("  1. Read mail\n  2. Exit to Unix shell\n  9. Log off\nEnter selection (1-9):", "2"),
            ("[1] Mail\n[2] News\n[3] Unix\nYour choice?", "3"),
            ("[M]ail  [N]ews  [S]hell  [Q]uit\nSelect:", "S"),
            ("(m)ail (n)ews (u)nix prompt (q)uit\nCommand:", "u"),
            ("M - Mail\nC - Command line\nX - Exit\nYour option >", "C"),
            ("<1> Pine      <2> Command prompt\n<3> Logout\nWhich? ", "2"),
            ("Main Menu\n\n1: Mail\n2: Drop to bash\n==>", "2"),
            ("*  1) Mail     *\n*  2) Shell    *\nSelect an item:", "2"),
            ("│ 1. Courrier │ 2. Ligne de commande │\nVotre choix :", "2"),
            ("1) Change shell\n2) Shell\n3) Help on the shell\nChoice:", "2"),
            ("1) Secure shell to elsewhere\n2) bash\nNumber:", "2"),
        ] {
            assert_eq!(chosen(menu).as_deref(), Some(key), "{menu}");
        }
    }

    #[test]
    fn nothing_is_chosen_where_none_or_several_could_be_meant() {
        for menu in [
            "1) Mail\n2) News\n3) Logout\nChoice:",
            "1) bash\n2) tcsh\nWhich shell? ",
            "1) Unix shell\n2) VMS command line\nChoice:",
            "1) Change shell\n2) Mail\nChoice:",
            "1) Exit shell\n2) Mail\nChoice:",
        ] {
            assert_eq!(chosen(menu), None, "{menu}");
            let lines: Vec<&str> = menu.lines().collect();
            assert!(Menu::read(&lines[..lines.len() - 1], lines[lines.len() - 1]).is_some(), "{menu}");
        }
    }

    #[test]
    fn lists_in_the_news_are_no_menu() {
        for text in [
            "1) Do not smoke.\n2) Do not leave your shell alone.\nmary@host:~$",
            "1. Backups are made at 5.\n2. The shell server is back.\nhost>",
            "1. Only staff.\n2. Shell accounts are watched.\nlo?in:",
            "Mail us (a) by day (b) by night.\n$",
            "Rule 1) be kind\nlogin:",
            "Welcome.\nYour choice:",
            "",
        ] {
            let lines: Vec<&str> = text.lines().collect();
            let (open, lines) = lines.split_last().unwrap_or((&"", &[]));
            assert_eq!(Menu::read(lines, open), None, "{text}");
        }
    }

    #[test]
    fn a_menu_in_front_of_a_login_is_asked_for_the_login() {
        let lines = ["1) Login", "2) Help on login", "3) New user"];
        let menu = Menu::read(&lines, "Selection:").expect("a menu");
        assert_eq!(menu.choice(true).map(|item| item.key.as_str()), Some("1"));
        assert_eq!(menu.choice(false), None, "behind a login it would be another's");
    }
}
