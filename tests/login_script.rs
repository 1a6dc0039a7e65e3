//! Login scripts as users have them: over a simulated modem, at a terminal server with a menu, and at the
//! system's own login(1).

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::at_terminal::AtTerminal;
use common::*;

/// A terminal server: a menu, a login of its own, then a shell.
const SERVER: &str = r#"
printf '\033[1mTS-9\033[m\r\nPress any key'; read key
printf 'ervices: vms, unix\r\nService: '; read service
[ "$service" = unix ] || { printf 'No such service. Access denied\r\n'; exit 1; }
printf 'unix login: '; read user
stty -echo; printf 'Password: '; read password; stty echo
printf '\r\n%s is here\r\n' "$password"
[ "$user/$password" = "mary/PASSWORD" ] || { printf 'Login incorrect\r\n'; exit 1; }
PS1='host$ '; export PS1; exec sh -i
"#;

/// A home whose account reads `mailbox` behind the terminal server.
fn at_server(login: &str, account: &str) -> (Home, PathBuf) {
    let home = Home::with_line("kind = \"exec\"\ncommand = [\"sh\"]", "");
    let server = home.dir.path().join("server");
    std::fs::write(&server, SERVER.replace("PASSWORD", PASSWORD)).unwrap();
    let mailbox = home.dir.path().join("mary");
    std::fs::write(&mailbox, sample()).unwrap();
    home.configure(&format!(
        "[line.a]\nkind = \"exec\"\ncommand = [\"sh\", {server:?}]\n\
         [account.home]\nline = \"a\"\nmailbox = {mailbox:?}\ndeliver = {{ maildir = {:?} }}\n{account}\n\
         login = {login}\n",
        home.maildir()
    ));
    (home, mailbox)
}

const MARY: &str = "user = \"mary\"\npassword = { env = \"TEST_PASSWORD\" }";

/// To the login behind the menu.
const MENU: &str = r#"{ expect = "any key", send = "" }, { expect = "ervice:", send = "unix" }"#;

fn through_the_menu() -> String {
    format!(
        "[{MENU}, {{ expect = \"ogin:\", send = \"{{user}}\" }}, \
         {{ expect = \"ssword:\", send = \"{{password}}\" }}, {{ regex = '[$#>] ?$' }}]"
    )
}

fn all(ran: &Ran) -> String {
    format!("{}{}", ran.out, ran.err)
}

#[test]
fn both_forms_bring_the_mail_home_over_a_modem() {
    let chat = r"'ABORT BUSY TIMEOUT 30 ogin:--ogin: \L ssword: \P'";
    let steps = "[{ expect = \"ogin:\", else = \"\", timeout = 20, send = \"{user}\" }, \
                 { expect = \"ssword:\", send = \"{password}\" }, { regex = '[$#>] ?$' }]";
    at_once([chat, steps], |login| {
        let mailbox = tempfile::tempdir().unwrap();
        let path = mailbox.path().join("mary");
        std::fs::write(&path, sample()).unwrap();
        let shown = path.display().to_string();
        let sim = Sim::start(&["--user", "mary", "--password", PASSWORD, "--ring", "0", "--mailbox", &shown]);
        let home = Home::new(&sim.device, "mary", &path, &format!("login = {login}\n"));
        let ran = Ran::new(home.command(&["-vv", "fetch", "--json", "home"]).output().unwrap());
        ran.ended(0, "done");
        assert_eq!(home.mail(), messages(&sample()), "{login}");
        assert!(!all(&ran).contains(PASSWORD), "{}", all(&ran));
        sim.on_hook_after(1);
    });
}

#[test]
fn a_script_leads_past_a_menu_and_does_the_rest_or_leaves_it() {
    let automatic = format!("[{MENU}, {{ automatic = true }}]");
    at_once([through_the_menu(), automatic], |login| {
        let (home, _) = at_server(&login, MARY);
        let ran = Ran::new(home.command(&["-vv", "fetch", "--json", "home"]).output().unwrap());
        ran.ended(0, "done");
        assert_eq!(home.mail(), messages(&sample()), "{login}");
        assert!(!all(&ran).contains(PASSWORD), "{}", all(&ran));
    });
}

#[test]
fn a_password_in_a_chat_string_is_shown_nowhere_and_asked_for_nowhere() {
    let hidden = format!("'any\\skey x ervice: unix ogin: mary ssword: \\q{PASSWORD}'");
    let plain = format!("'any\\skey x ervice: unix ogin: mary ssword: {PASSWORD}'");
    at_once([hidden, plain], |login| {
        let (home, _) = at_server(&login, "");
        let file = home.dir.path().join(".config/mailcall/config.toml");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let ran = home.fetch();
        assert_eq!(ran.code, 78, "{}", all(&ran));
        assert!(ran.err.contains("chmod 600") && !all(&ran).contains(PASSWORD), "{}", all(&ran));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let ran = Ran::new(home.command(&["-vv", "fetch", "--json", "home"]).output().unwrap());
        ran.ended(0, "done");
        assert_eq!(home.mail(), messages(&sample()));
        // The server has shown it.
        assert!(ran.err.contains("******** is here"), "{}", ran.err);
        assert!(!all(&ran).contains(PASSWORD), "{}", all(&ran));
    });
}

#[test]
fn a_script_that_fails_says_at_which_step_and_what_the_host_said() {
    let wrong_service = through_the_menu().replace("\"unix\"", "\"tops\"");
    let aborts = wrong_service.replacen('[', "[{ abort = 'Access denied' }, ", 1);
    let waits = "[{ expect = 'nothing such', timeout = 0.5 }]".to_owned();
    let refused = through_the_menu()
        .replace("\"{password}\"", "'wr0ng-secret', secret = true")
        .replace(", { regex = '[$#>] ?$' }", "");
    let cases = [
        (wrong_service, 75, "carrier-lost", ["step 3", "ogin:"]),
        (aborts, 77, "login-refused", ["step 4", "Access denied"]),
        (waits, 75, "login-timeout", ["step 1", "Press any key"]),
        (refused, 77, "login-refused", ["Login incorrect", "***"]),
    ];
    at_once(cases, |(login, code, outcome, says)| {
        let (home, _) = at_server(&login, MARY);
        let file = home.dir.path().join(".config/mailcall/config.toml");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let ran = Ran::new(home.command(&["-vv", "fetch", "--json", "home"]).output().unwrap());
        ran.ended(code, outcome);
        for says in says {
            assert!(ran.err.contains(says), "{login}: {says}: {}", ran.err);
        }
        assert!(!all(&ran).contains("wr0ng-secret") && !all(&ran).contains(PASSWORD), "{}", all(&ran));
    });
}

#[test]
fn a_person_gets_the_line_behind_the_script() {
    let (home, _) = at_server(&through_the_menu(), MARY);
    let mut person = AtTerminal::start(home.command(&["terminal", "home"]));
    person.sees("host$");
    person.types(b"echo $((6*7))-is-it\r");
    person.sees("42-is-it");
    person.types(b"exit\r");
    assert_eq!(person.ended(), 0);
}

#[test]
fn a_check_tells_how_one_logs_in_and_refuses_a_broken_script() {
    let (home, _) = at_server(&through_the_menu(), MARY);
    let ran = home.run(&["check", "home"]);
    assert!(ran.out.contains("by a script of 5 steps"), "{}", all(&ran));
    let (home, _) = at_server(&format!("[{MENU}, {{ automatic = true }}]"), MARY);
    assert!(home.run(&["check", "home"]).out.contains("the last of which is the automatic login"));
    let (home, _) = at_server("'any\\skey x ogin: \\L'", MARY);
    let ran = home.run(&["check", "home"]);
    assert!(ran.out.contains("the login script does not type it"), "{}", all(&ran));
    let (home, _) = at_server("[{ regex = '[$#' }]", MARY);
    let ran = home.run(&["check", "home"]);
    assert_eq!(ran.code, 78);
    assert!(all(&ran).contains("unclosed character class"), "{}", all(&ran));
}

#[test]
fn the_system_s_login_takes_a_script() {
    let Some(user) = User::new("k", "/bin/bash", &sample()) else { return };
    let login = r"'ogin:--ogin: \L ssword:--ssword: \P'";
    let account = format!(
        "user = {:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\nlogin = {login}\nmailbox = {:?}",
        user.name, user.mailbox
    );
    let home = Home::with_line("kind = \"exec\"\ncommand = [\"/bin/login\"]", &account);
    let ran = Ran::new(home.command(&["-vv", "fetch", "--json", "home"]).output().unwrap());
    ran.ended(0, "done");
    assert_eq!(home.mail(), messages(&sample()));
    let mut command = home.command(&["-vv", "fetch", "--json", "home"]);
    let ran = Ran::new(command.env("TEST_PASSWORD", "wr0ng-secret").output().unwrap());
    ran.ended(77, "login-refused");
    assert!(!all(&ran).contains("wr0ng-secret"), "{}", all(&ran));
}

/// Bits are damaged now and then: a script's own subsends, and a second call, are what it has against that.
#[test]
fn on_a_noisy_line_a_script_comes_through_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    std::fs::write(&path, sample()).unwrap();
    let shown = path.display().to_string();
    let sim = Sim::start(&[
        "--user",
        "mary",
        "--password",
        PASSWORD,
        "--ring",
        "0",
        "--mailbox",
        &shown,
        "--ber",
        "4e-5",
        "--seed",
        "11",
        "--bps",
        "115200",
    ]);
    let login = r"'TIMEOUT 3 ogin:--ogin:--ogin: \L ssword:--ssword: \P'";
    let home = Home::new(&sim.device, "mary", &path, &format!("login = {login}\n"));
    let ran =
        (0..4).map(|_| home.fetch()).find(|ran| ran.code == 0).expect("one of four calls comes through");
    ran.ended(0, "done");
    assert_eq!(home.mail(), messages(&sample()));
}
