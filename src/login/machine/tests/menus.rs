//! Menus in front of a login and behind it.

use super::*;

fn start() -> Vec<Step> {
    vec![say("login: "), hear("mary\r"), say("mary\r\nPassword: "), hear("sesame-42\r")]
}

const MENU: &str =
    "\x1b[2J\x1b[H   MAIN MENU\r\n\r\n 1) Mail\r\n 2) Unix shell\r\n 3) Logout\r\n\r\nYour choice: ";

#[test]
fn the_shell_is_chosen_from_a_menu_behind_the_login() {
    let log = run(start().into_iter().chain([say(MENU), hear("2\r"), say("2\r\nmary@host:~$ ")]));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(sent(&log), format!("{LOGIN_KEYS}2\r"));
    assert!(log.events.contains(&LoginEvent::Chose("2".into())));
}

#[test]
fn a_menu_that_asks_in_a_line_of_its_own_or_with_a_mark_is_one() {
    let items = "\r\n1) Mail 2) Shell 3) Logout\r\n";
    for question in ["Enter your choice\r\n", "Choose one:\r\n==> ", "Enter your choice and press RETURN: "] {
        let menu = format!("{items}{question}");
        let log = run(start().into_iter().chain([say(menu), hear("2\r"), say("2\r\n$ ")]));
        assert_eq!(logged_in(&log).look, PromptLook::Shell, "{question:?}");
        assert_eq!(sent(&log), format!("{LOGIN_KEYS}2\r"), "{question:?}");
    }
}

#[test]
fn a_menu_behind_a_menu_and_one_in_front_of_the_login_are_gone_through() {
    let log = run([
        say("\r\nTerminal server\r\n1. Login\r\n2. Help\r\nEnter selection (1-2): "),
        hear("1\r"),
        say("1\r\nlogin: "),
        hear("mary\r"),
        say("mary\r\nPassword: "),
        hear("sesame-42\r"),
        say("\r\nM) Mail\r\nS) System commands\r\nC) Command line\r\nSelect: "),
        hear("C\r"),
        say("C\r\n$ "),
    ]);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(sent(&log), "1\rmary\rsesame-42\rC\r");
}

#[test]
fn where_no_single_item_gives_a_shell_the_end_shows_the_menu_and_names_the_remedy() {
    for items in ["1) Mail\r\n2) News", "1) bash shell\r\n2) tcsh shell"] {
        let log = run(start().into_iter().chain([say(format!("\r\n{items}\r\nChoice: "))]));
        let LoginError::Menu { last, prompt, .. } = error(&log) else { panic!("{:?}", log.outcome) };
        assert_eq!(prompt, "Choice:");
        assert!(last.lines().iter().any(|line| line.starts_with("2) ")), "{last}");
        let remedy = "login = [ { expect = 'ogin:', send = '{user}' }, { expect = 'ssword:', send = '{password}' }, \
                      { expect = 'Choice:', send = '..' } ]";
        assert!(error(&log).to_string().contains(remedy), "{}", error(&log));
        assert_eq!(sent(&log), LOGIN_KEYS);
    }
}

#[test]
fn the_remedy_for_a_menu_is_toml_and_does_the_whole_login() {
    for question in ["Choice: ", "Your \"choice\": ", "C:\\'choice': "] {
        let menu = format!("\r\n1) Mail\r\n2) News\r\n{question}");
        let log = run([say(menu)]); // in front of the login, which is left to do behind it
        let told = error(&log).to_string();
        let script = told.split_once("login = ").expect("a script").1.strip_suffix(" in the account");
        let read: toml::Table = format!("login = {}", script.expect("an end")).parse().expect("TOML");
        assert_eq!(read["login"][0]["expect"].as_str(), Some(question.trim_end()));
        assert_eq!(read["login"][1]["automatic"].as_bool(), Some(true));
    }
}

#[test]
fn the_same_item_is_never_chosen_twice() {
    let again = (0..20).flat_map(|_| [hear("\r"), say("2\r\nNot now."), say(MENU)]);
    let log = run(start().into_iter().chain([say(MENU)]).chain(again));
    assert!(matches!(error(&log), LoginError::Menu { .. }), "{:?}", log.outcome);
    assert_eq!(sent(&log), format!("{LOGIN_KEYS}2\r"));
}

#[test]
fn rules_with_numbers_in_the_news_are_no_menu() {
    let rules = "\r\nRules:\r\n1) Choose a good password.\r\n2) Leave no shell alone.\r\n\r\nmary@host:~> ";
    let log = run(start().into_iter().chain([say(rules)]));
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
    assert_eq!(sent(&log), LOGIN_KEYS);
    let rules = "\r\n1. Select nothing.\r\n2. Shell users: be brief.\r\n\r\nhost login: ";
    let log = run([say(rules), hear("mary\r"), say("mary\r\nPassword: "), hear("\r"), say("\r\n$ ")]);
    assert_eq!(sent(&log), LOGIN_KEYS);
    assert_eq!(logged_in(&log).look, PromptLook::Shell);
}
