//! The system's login(1) with other PAM modules in front of it: codes, locks, limits, nologin. Its file in
//! `/etc/pam.d` is covered by another in a mount namespace of its own, so the system's stays as it is. Needs root.

mod common;

use std::path::Path;
use std::process::Command;

use common::*;

/// What the modules share that tells codes, in hexadecimal and base 32.
const KEY_HEX: &str = "3132333435363738393031323334353637383930";
const KEY_BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// A user, and a login whose PAM file is `stack`; `{dir}` in it is a folder for its modules' files.
struct Host {
    user: User,
    dir: tempfile::TempDir,
}

impl Host {
    fn new(suffix: &str, stack: &str) -> Option<Self> {
        if !have("unshare") || !may_mount() {
            return None;
        }
        let host = Self { user: User::new(suffix, "/bin/sh", &sample())?, dir: tempfile::tempdir().unwrap() };
        let stack = stack.replace("{dir}", &host.dir.path().display().to_string());
        host.file(
            "stack",
            &format!("{stack}\naccount required pam_unix.so\nsession optional pam_permit.so\n"),
        );
        Some(host)
    }

    fn file(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// A home with a line to it; `more` is for the account.
    fn home(&self, more: &str) -> Home {
        let stack = self.dir.path().join("stack");
        let script = format!("mount --bind {} /etc/pam.d/login && exec login", stack.display());
        Home::with_line(
            &format!("kind = \"exec\"\ncommand = [\"unshare\", \"-m\", \"sh\", \"-c\", {script:?}]"),
            &format!("user = {:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\n{more}", self.user.name),
        )
    }
}

fn may_mount() -> bool {
    let may = Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|ran| ran.status.success());
    if !may {
        missing("only root with the right to mount can give login(1) another PAM file");
    }
    may
}

const UNIX: &str = "auth required pam_unix.so";

#[test]
fn google_authenticator_gets_its_code_from_the_account_s_command() {
    if !have("oathtool") || !have("google-authenticator") {
        return;
    }
    let module =
        "auth required pam_google_authenticator.so secret={dir}/key user=root no_increment_hotp nullok";
    let Some(host) = Host::new("g", &format!("{UNIX}\n{module}")) else { return };
    host.file("key", &format!("{KEY_BASE32}\n\" WINDOW_SIZE 17\n\" TOTP_AUTH\n"));
    let home =
        host.home(&format!("otp = {{ command = [\"oathtool\", \"--totp\", \"-b\", \"{KEY_BASE32}\"] }}\n"));
    home.fetch().ended(0, "done");
    assert_eq!(home.mail(), messages(&sample()));
    // The code may be asked for first.
    let Some(host) = Host::new("h", &format!("{module}\n{UNIX}")) else { return };
    host.file("key", &format!("{KEY_BASE32}\n\" WINDOW_SIZE 17\n\" TOTP_AUTH\n"));
    let home =
        host.home(&format!("otp = {{ command = [\"oathtool\", \"--totp\", \"-b\", \"{KEY_BASE32}\"] }}\n"));
    home.fetch().ended(0, "done");
}

#[test]
fn a_wrong_code_is_refused_once_and_shown_nowhere_and_a_missing_one_says_what_to_add() {
    if !have("google-authenticator") {
        return;
    }
    let module = "auth required pam_google_authenticator.so secret={dir}/key user=root nullok";
    let Some(host) = Host::new("k", &format!("{UNIX}\n{module}")) else { return };
    host.file("key", &format!("{KEY_BASE32}\n\" TOTP_AUTH\n"));
    let home = host.home("otp = { command = [\"echo\", \"918273\"] }\n");
    let mut command = home.command(&["-vv", "fetch", "--json"]);
    let ran = Ran::new(command.env("TEST_PASSWORD", PASSWORD).output().unwrap());
    ran.ended(77, "login-refused");
    assert!(!ran.err.contains("918273") && !ran.out.contains("918273"), "{}", ran.err);
    assert_eq!(ran.err.matches("> ********").count(), 2, "password and code: {}", ran.err);
    assert!(ran.err.contains("what `otp` prints"), "{}", ran.err);
    let ran = host.home("").fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("otp = { command"), "{}", ran.err);
    let ran = host.home("otp = { command = [\"false\"] }\n").fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("false ended with"), "{}", ran.err);
}

#[test]
fn oath_gets_its_code_too() {
    let folders =
        ["/usr/lib/x86_64-linux-gnu/security", "/usr/lib/aarch64-linux-gnu/security", "/lib/security"];
    if !folders.iter().any(|folder| Path::new(folder).join("pam_oath.so").exists()) || !have("oathtool") {
        println!("SKIPPED (optional): no pam_oath here");
        return;
    }
    let module = "auth required pam_oath.so usersfile={dir}/users window=20 digits=6";
    let Some(host) = Host::new("o", &format!("{UNIX}\n{module}")) else { return };
    host.file("users", &format!("HOTP/T30 {} - {KEY_HEX}\n", host.user.name));
    let home = host.home(&format!("otp = {{ command = [\"oathtool\", \"--totp\", \"{KEY_HEX}\"] }}\n"));
    home.fetch().ended(0, "done");
    assert_eq!(home.mail(), messages(&sample()));
}

#[test]
fn an_account_that_failed_logins_have_locked_is_account_locked() {
    let lock = "pam_faillock.so dir={dir} deny=1 unlock_time=600";
    let stack = format!(
        "auth required {lock} preauth\nauth [success=1 default=ignore] pam_unix.so\n\
         auth [default=die] {lock} authfail\nauth required pam_permit.so"
    );
    let Some(host) = Host::new("l", &stack) else { return };
    let home = host.home("");
    let mut command = home.command(&["fetch", "--json"]);
    Ran::new(command.env("TEST_PASSWORD", "wr0ng-secret").output().unwrap()).ended(77, "login-refused");
    let ran = home.fetch();
    ran.ended(77, "account-locked");
    assert!(ran.err.contains("locked due to 1 failed"), "{}", ran.err);
}

#[test]
fn an_account_that_has_run_out_is_account_locked() {
    let Some(host) = Host::new("e", UNIX) else { return };
    assert!(Command::new("usermod").args(["-e", "2020-01-01", &host.user.name]).status().unwrap().success());
    host.home("").fetch().ended(77, "account-locked");
}

#[test]
fn a_host_with_nologin_or_without_room_is_to_be_called_again_later() {
    for control in ["requisite", "required"] {
        let Some(host) =
            Host::new(&control[..4], &format!("auth {control} pam_nologin.so file={{dir}}/no\n{UNIX}"))
        else {
            return;
        };
        host.file("no", "System is going down. Unprivileged users are not permitted to log in anymore.\n");
        host.home("").fetch().ended(75, "logins-closed");
    }
    let Some(host) = Host::new("m", &format!("{UNIX}\nsession required pam_limits.so conf={{dir}}/limits"))
    else {
        return;
    };
    host.file("limits", &format!("{} - maxlogins 0\n", host.user.name));
    host.home("").fetch().ended(75, "too-many-sessions");
}
