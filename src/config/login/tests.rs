//! Login scripts as the file has them: what is understood, and what is refused with line and reason.

use std::path::Path;

use super::*;
use crate::config::Config;
use crate::login::script::ScriptProblem;

fn account(login: &str) -> String {
    format!(
        "[line.a]\nkind = \"exec\"\ncommand = [\"sh\"]\n[account.home]\nline = \"a\"\nuser = \"mary\"\n{login}\n"
    )
}

fn script(login: &str) -> Script {
    let config = Config::parse(&account(login), Path::new("config.toml"));
    config.unwrap_or_else(|error| panic!("{login}: {error}")).accounts["home"]
        .login
        .clone()
        .expect("a script")
}

fn refused(login: &str) -> String {
    match Config::parse(&account(login), Path::new("config.toml")) {
        Ok(_) => panic!("{login} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn both_forms_are_understood() {
    let steps = script(
        r#"login = [
  { abort = ["BUSY", "refused"] },
  { expect = "menu>", else = ["", "\u0003"], timeout = 2.5, optional = true, send = "3", carriage = false },
  { break = true, pause = 0.5, send = "" },
  { expect = "ogin:", send = "{user}{{x}}" },
  { expect = "ssword:", send = "{password}", abort = "busy" },
  { regex = "[$#>] ?$" },
  { automatic = true },
]"#,
    );
    assert_eq!(steps.len(), 7);
    assert!(steps.types_user() && steps.types_password() && steps.ends_automatic());
    assert_eq!(steps.secrets().count(), 0);
    let chat = script("login = 'ABORT BUSY TIMEOUT 30 ogin:--ogin: \\L ssword: \\P'");
    assert_eq!(chat.len(), 2);
    assert!(chat.types_password() && !chat.ends_automatic());
}

#[test]
fn a_return_is_put_behind_a_text_unless_it_ends_a_line_or_shall_have_none() {
    let typed =
        |step: &str| format!("{:?}", script(&format!("login = [{step}]"))).matches("Byte(13)").count();
    assert_eq!(typed("{ send = 'ls' }"), 1);
    assert_eq!(typed("{ send = \"ls\\r\" }"), 0);
    assert_eq!(typed("{ send = 'ls', carriage = false }"), 0);
    assert_eq!(typed("{ expect = 'a', else = '' }"), 1);
    assert_eq!(typed("{ break = { ms = 500 } }"), 0);
}

#[test]
fn what_is_wrong_is_told_with_line_step_and_remedy() {
    let cases = [
        ("{ expect = 'a', regex = 'b' }", "one is enough"),
        ("{ regex = '[a' }", "unclosed"),
        ("{ regex = '(a{1,500}b){1,500}' }", "too large"),
        ("{ expect = '' }", "nothing in it"),
        ("{ }", "nothing in it to do"),
        ("{ send = 'a', timeout = 3 }", "belong to"),
        ("{ send = 'a', optional = true }", "belong to"),
        ("{ expect = 'a', timeout = 0 }", "above 0"),
        ("{ expect = 'a', timeout = nan }", "above 0"),
        ("{ expect = 'a', timeout = 1e9 }", "at most 600"),
        ("{ pause = -1 }", "above 0"),
        ("{ break = { ms = 60000 } }", "1 to 2000 ms"),
        ("{ break = { s = 6 } }", "expected true or { ms = 300 }"),
        ("{ send = '{usr}' }", "neither {user} nor {password}"),
        ("{ send = 'a}b' }", "neither {user} nor {password}"),
        ("{ send = '{otp}' }", "automatic"),
        ("{ send = ['a', 'b'] }", "one text"),
        ("{ carriage = false, expect = 'a' }", "belongs to"),
        ("{ secret = true, expect = 'a' }", "belongs to"),
        ("{ automatic = true, send = 'a' }", "stands alone"),
        ("{ automatic = false }", "left out"),
        ("{ expct = 'a' }", "unknown key"),
        ("{ expect = 5 }", "expected a string"),
        ("{ automatic = true }, { send = 'a' }", "last step"),
    ];
    for (steps, says) in cases {
        let message = refused(&format!("login = [{steps}]"));
        assert!(message.starts_with("config.toml:7: "), "{steps}: {message}");
        assert!(message.contains(says), "{steps}: {message}");
    }
    let message = refused("login = [\n  { expect = 'a' },\n  { expect = 'b', regex = 'c' },\n]");
    assert!(message.starts_with("config.toml:9: step 2"), "{message}");
    assert!(refused("login = []").contains("automatic login"));
    assert!(refused("login = 5").contains("a list of steps"));
    assert!(refused("login = 'ogin: x'\npasword = 1").contains("unknown key"));
    assert!(refused("login = 'a \\T'").contains("word 2"));
    assert!(Script::new(Vec::new()).is_err_and(|problem| problem == ScriptProblem::Empty));
}

#[test]
fn no_error_and_no_debug_shows_what_is_typed() {
    for steps in [
        "{ send = 4711 }",
        "{ send = { hunter2 = 'hunter2' } }",
        "{ send = ['hunter2', 4711] }",
        "{ send = 'hunter2{hunter2}' }",
        "{ else = 4711, expect = 'a' }",
    ] {
        let message = refused(&format!("login = [{steps}]"));
        assert!(!message.contains("4711") && !message.contains("hunter2"), "{message}");
    }
    let debug = format!("{:?}", script("login = [{ expect = 'a', send = 'hunter2' }]"));
    assert!(!debug.contains("hunter2"), "{debug}");
}

#[test]
fn a_password_in_the_file_is_taken_only_from_a_file_that_nobody_else_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let read = |login: &str, mode: u32| {
        std::fs::write(&path, account(login)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Config::read(&path).map(drop).map_err(|error| error.to_string())
    };
    for login in [
        "login = 'ogin: \\L ssword: \\qhunter2'",
        "login = 'ogin: \\L ssword: hunter2'",
        "login = [{ expect = 'Passcode', send = 'hunter2' }]",
        "login = [{ expect = 'Answer', send = 'hunter2', secret = true }]",
    ] {
        assert_eq!(read(login, 0o600), Ok(()));
        for mode in [0o644, 0o640, 0o604] {
            let message = read(login, mode).unwrap_err();
            assert!(message.contains("chmod 600") && message.contains("\\P"), "{message}");
            assert!(message.contains("config.toml:7: ") && !message.contains("hunter2"), "{message}");
        }
    }
    assert_eq!(read("login = 'ogin: \\L ssword: \\P'", 0o644), Ok(()));
    assert_eq!(read("login = [{ expect = 'ssword:', send = '{password}' }]", 0o644), Ok(()));
}

#[test]
fn a_script_that_types_the_user_needs_one() {
    let text = account("login = 'ogin: \\L'").replace("user = \"mary\"\n", "");
    let message = Config::parse(&text, Path::new("config.toml")).unwrap_err().to_string();
    assert!(message.contains("add user"), "{message}");
}
