//! Lines that are a command: a real `sshd` behind `ssh -tt`, what a command finds around it, and what
//! is left of it on every way out.
#![allow(clippy::disallowed_methods)] // real programs run by the real clock

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mailcall::line::Line;
use mailcall::line::exec::{ExecLine, ExecSettings};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod common;
use common::servers::{Asks, NO_KEYS, Relay, Sshd, TRUSTING, keygen};
use common::*;

/// An sshd with a user whose mail this is.
fn sshd(suffix: &str, asks: Asks, mailbox: &[u8]) -> Option<Sshd> {
    Sshd::start(User::new(suffix, "/bin/bash", mailbox)?, asks)
}

#[test]
fn ssh_asks_for_the_password_on_the_way_and_the_mail_comes_home() {
    at_once([("p", Asks::Ssh), ("k", Asks::Pam)], |(suffix, asks)| {
        let mailbox = sample();
        let Some(sshd) = sshd(suffix, asks, &mailbox) else { return };
        for account in [sshd.user(), "transfer = \"text\"\n".into()] {
            let home = sshd.home(&[TRUSTING, NO_KEYS], &account);
            let ran = home.fetch();
            ran.ended(0, "done");
            assert_eq!(home.mail(), messages(&mailbox));
        }
        assert_eq!(sshd.log().matches("Accepted ").count(), 2);
        assert_eq!(sshd.log().matches("Failed ").count(), 0);
    });
}

#[test]
fn a_key_needs_no_password_and_none_is_typed() {
    let mailbox = sample();
    let Some(sshd) = sshd("y", Asks::Never, &mailbox) else { return };
    let key = sshd.key("");
    let home = sshd.home(&[TRUSTING, &format!("IdentityFile={}", key.display())], &sshd.user());
    home.fetch().ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
}

#[test]
fn a_wrong_password_is_refused_after_one_attempt() {
    at_once([("w", Asks::Ssh), ("v", Asks::Pam)], |(suffix, asks)| {
        let Some(sshd) = sshd(suffix, asks, b"") else { return };
        let home = sshd.home(&[TRUSTING, NO_KEYS], &sshd.user());
        let mut command = home.command(&["-vv", "fetch", "--json"]);
        let ran = Ran::new(command.env("TEST_PASSWORD", "wr0ng-secret").output().unwrap());
        ran.ended(77, "login-refused");
        assert!(!ran.err.contains("wr0ng-secret"), "{}", ran.err);
        let log = sshd.log();
        let failed =
            log.matches("Failed password").count() + log.matches("Failed keyboard-interactive").count();
        assert!(failed <= 1, "{log}");
    });
}

#[test]
fn a_host_that_takes_only_keys_refuses_the_login() {
    let Some(sshd) = sshd("o", Asks::Never, b"") else { return };
    let ran = sshd.home(&[TRUSTING], &sshd.user()).fetch();
    ran.ended(77, "login-refused");
    assert!(ran.err.contains("Permission denied (publickey)"), "{}", ran.err);
}

#[test]
fn a_connection_that_takes_long_costs_no_second_attempt() {
    let mailbox = sample();
    let Some(sshd) = sshd("s", Asks::Ssh, &mailbox) else { return };
    if !have("socat") {
        return;
    }
    // Longer than the silence in which a host is sent a RETURN: ssh must not take it for a password.
    let proxy = format!("ProxyCommand=sh -c 'sleep 5; exec socat - TCP:127.0.0.1:{}'", sshd.port);
    let home = sshd.home(&[TRUSTING, NO_KEYS, &proxy], &sshd.user());
    home.fetch().ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
    assert_eq!(sshd.log().matches("Failed ").count(), 0, "{}", sshd.log());
}

#[test]
fn an_unknown_host_key_is_never_taken_unasked() {
    let Some(sshd) = sshd("u", Asks::Ssh, b"") else { return };
    let ran = sshd.home(&[NO_KEYS], &sshd.user()).fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("SHA256:"), "the fingerprint is shown: {}", ran.err);
    assert!(ran.err.contains("StrictHostKeyChecking=accept-new"), "{}", ran.err);
    assert_eq!(sshd.known(), "");
    assert!(!sshd.log().contains("Accepted"));
}

#[test]
fn a_host_key_that_has_changed_ends_it_with_ssh_s_own_words() {
    let Some(sshd) = sshd("c", Asks::Ssh, b"") else { return };
    let other = sshd.dir.path().join("other_key");
    keygen(&other, "");
    let key = fs::read_to_string(other.with_extension("pub")).unwrap();
    fs::write(sshd.known_hosts(), format!("[127.0.0.1]:{} {key}", sshd.port)).unwrap();
    let ran = sshd.home(&[NO_KEYS], &sshd.user()).fetch();
    ran.ended(76, "peer-misbehaved");
    assert!(ran.err.contains("has changed and you have requested strict checking"), "{}", ran.err);
    assert!(!sshd.log().contains("Accepted"));
}

#[test]
fn a_locked_key_is_not_given_the_password() {
    let Some(sshd) = sshd("l", Asks::Never, b"") else { return };
    let key = sshd.key("open sesame");
    let ran = sshd.home(&[TRUSTING, &format!("IdentityFile={}", key.display())], &sshd.user()).fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("ssh-add"), "{}", ran.err);
}

#[test]
fn a_host_where_nobody_listens_is_told_with_ssh_s_status_and_words() {
    if !have("ssh") {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let command = format!("[\"ssh\", \"-tt\", \"-F\", \"none\", \"-p\", \"{port}\", \"127.0.0.1\"]");
    let ran = Home::with_line(&format!("kind = \"exec\"\ncommand = {command}\n"), "").fetch();
    ran.ended(75, "carrier-lost");
    assert!(ran.err.contains("Connection refused"), "{}", ran.err);
    assert!(ran.err.contains("exit status 255, which is ssh's own word for an error"), "{}", ran.err);
}

#[test]
fn a_connection_that_is_cut_in_mid_transfer_is_told_in_ssh_s_words_and_taken_up_again() {
    let mailbox = sample().repeat(40);
    let Some(sshd) = sshd("x", Asks::Ssh, &mailbox) else { return };
    let cut = Relay::to(sshd.port, Some(60_000));
    let account = format!("{}transfer = \"text\"\n", sshd.user());
    let home = sshd.home_through(cut.port, &[TRUSTING, NO_KEYS], &account);
    let ran = home.fetch();
    ran.ended(75, "carrier-lost");
    assert!(ran.err.contains("carrying the mail"), "{}", ran.err);
    assert!(
        ran.err.contains("exit status 255") && ran.err.contains("the last it said: \"Connection to"),
        "{}",
        ran.err
    );
    home.fetch().ended(0, "done");
    assert!(home.mail() == messages(&mailbox));
}

#[tokio::test]
async fn a_person_at_a_terminal_is_asked_about_the_key() {
    let mailbox = sample();
    let Some(sshd) = sshd("q", Asks::Ssh, &mailbox) else { return };
    let home = sshd.home(&[NO_KEYS], &sshd.user());
    for (answer, code) in [("no\n", 78), ("y\n", 78), ("yes\n", 0)] {
        assert_eq!(sshd.known(), "", "not before yes was said");
        let env = [("HOME", home.dir.path().as_os_str()), ("TEST_PASSWORD", PASSWORD.as_ref())];
        let settings = ExecSettings {
            env: env.map(|(name, value)| (name.into(), value.into())).into(),
            ..ExecSettings::new([program(), "fetch", "home"])
        };
        let mut terminal = ExecLine::spawn(&settings).unwrap();
        let asked = said_until(&mut terminal, "(yes/no) ").await;
        assert!(asked.contains("SHA256:") && asked.contains("authenticity of host"), "{asked}");
        terminal.write_all(answer.as_bytes()).await.unwrap();
        let rest = said_until(&mut terminal, "\0 there is none of that").await;
        let status = tokio::time::timeout(PATIENCE, terminal.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(code), "{answer}: {rest}");
    }
    assert!(sshd.known().contains("ssh-ed25519"), "{}", sshd.known());
    assert_eq!(home.mail(), messages(&mailbox));
}

#[tokio::test]
async fn ctrl_c_ends_the_question_about_the_key() {
    let Some(sshd) = sshd("i", Asks::Ssh, b"") else { return };
    let home = sshd.home(&[NO_KEYS], &sshd.user());
    let env = [("HOME", home.dir.path().as_os_str()), ("TEST_PASSWORD", PASSWORD.as_ref())];
    let env = env.map(|(name, value)| (name.into(), value.into())).into();
    let settings = ExecSettings { env, ..ExecSettings::new([program(), "fetch", "home"]) };
    let mut terminal = ExecLine::spawn(&settings).unwrap();
    said_until(&mut terminal, "(yes/no) ").await;
    let asked = Instant::now();
    terminal.write_all(b"\x03").await.unwrap();
    let status = tokio::time::timeout(PATIENCE, terminal.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(75));
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    assert_eq!(sshd.known(), "");
}

/// Reads until `text` has come, or the end.
async fn said_until(line: &mut ExecLine, text: &str) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&said).contains(text) {
        let read = tokio::time::timeout(PATIENCE, line.read(&mut buffer)).await.expect("not silent");
        match read.unwrap() {
            0 => break,
            count => said.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_command_finds_the_terminal_and_the_environment_that_the_line_gives_it() {
    let found = |more: &str| {
        let home = Home::with_line(
            &format!(
                "kind = \"exec\"\ncommand = [\"sh\", \"-c\", \"env > env; stty size >> env; exit 3\"]\n{more}"
            ),
            "password = { env = \"TEST_PASSWORD\" }\n",
        );
        let mut command = home.command(&["fetch"]);
        command.env("MAILCALL_STATE", home.dir.path().join("state")).env("OTHER", "x").env("LC_TIME", "C");
        command.env("LC_SECRET", "y").env("SSH_AUTH_SOCK", "/agent").env("LINES", "3");
        let output = command.current_dir(home.dir.path()).output().unwrap();
        let text = fs::read_to_string(home.dir.path().join("env"))
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |lines: &[String], text: &str| lines.iter().any(|line| line == text);
    let names = |lines: &[String], name: &str| lines.iter().any(|line| line.starts_with(&format!("{name}=")));

    let usual = found("");
    assert!(has(&usual, "TERM=vt100") && has(&usual, "24 80") && has(&usual, "LC_TIME=C"), "{usual:?}");
    assert!(has(&usual, "SSH_AUTH_SOCK=/agent") && names(&usual, "PATH") && names(&usual, "HOME"));
    for hidden in ["TEST_PASSWORD", "MAILCALL_STATE", "OTHER", "LINES", "COLUMNS"] {
        assert!(!names(&usual, hidden), "{hidden}: {usual:?}");
    }

    let all = found("clean_env = false\nenv = { GREETING = \"a b\" }\n");
    assert!(has(&all, "OTHER=x") && has(&all, "GREETING=a b"), "{all:?}");
    for hidden in ["TEST_PASSWORD", "MAILCALL_STATE", "LINES"] {
        assert!(!names(&all, hidden), "{hidden}: {all:?}");
    }

    let own = found(
        "term = \"dumb\"\nwindow = { rows = 50, columns = 132 }\nenv = { TEST_PASSWORD = \"ours\", TZ = \"UTC\" }\n",
    );
    assert!(has(&own, "TERM=dumb") && has(&own, "50 132") && has(&own, "TZ=UTC"), "{own:?}");
    assert!(has(&own, "TEST_PASSWORD=ours"), "what the line itself gives is meant: {own:?}");
}

#[test]
fn a_command_begins_in_its_folder() {
    let home = Home::with_line(
        "kind = \"exec\"\ncommand = [\"sh\", \"-c\", \"pwd > here; exit 3\"]\nfolder = \"~/below\"\n",
        "",
    );
    let ran = home.fetch();
    ran.ended(69, "no-such-port");
    assert!(ran.err.contains("there is no such folder"), "{}", ran.err);
    fs::create_dir(home.dir.path().join("below")).unwrap();
    let ran = home.fetch();
    assert!(ran.err.contains("exit status 3"), "{}", ran.err);
    let here = fs::read_to_string(home.dir.path().join("below/here")).unwrap();
    assert!(here.trim_end().ends_with("/below"), "{here}");
}

#[test]
fn how_a_command_ended_is_told_with_what_it_said_last() {
    for (script, status) in [
        ("echo the cable is unplugged; exit 3", "exit status 3"),
        ("no-such-program --at-all", "exit status 127, which says that a command was not found"),
        ("echo the cable is unplugged; kill -SEGV $$", "killed by signal 11 (SIGSEGV)"),
    ] {
        let command = format!("kind = \"exec\"\ncommand = [\"sh\", \"-c\", {script:?}]\n");
        let ran = Home::with_line(&command, "").fetch();
        ran.ended(75, "carrier-lost");
        assert!(ran.err.contains(status), "{script}: {}", ran.err);
        assert!(ran.err.contains("unplugged") || ran.err.contains("no-such-program"), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_window_that_changes_is_told_to_the_command() {
    let script = "trap 'stty size; exit' WINCH; echo ready.; while :; do read x || :; done";
    let mut line = ExecLine::spawn(&ExecSettings::new(["sh", "-c", script])).unwrap();
    said_until(&mut line, "ready.").await;
    assert!(line.set_window(43, 132).unwrap());
    line.write_all(b"\n").await.unwrap();
    let said = said_until(&mut line, "43 132").await;
    assert!(said.contains("43 132"), "{said}");
    line.close().await;
    assert!(!line.set_window(43, 132).unwrap(), "nobody is there to be told");
}

/// A command that ignores SIGHUP and SIGTERM, and has jobs that do so too: one in its own group, and one
/// in a group that its shell made for it. Their numbers are in the file `pids`.
const STUBBORN: &str = "trap '' HUP TERM; sleep 1000 <&- >&- 2>&- & echo $! > pids; set -m; \
                        sleep 1000 <&- >&- 2>&- & echo $! >> pids; set +m; echo $$ >> pids; ";

/// A home whose line is that command and then `then`.
fn stubborn(then: &str, account: &str) -> Home {
    let script = format!("{STUBBORN}{then}");
    Home::with_line(&format!("kind = \"exec\"\ncommand = [\"sh\", \"-c\", {script:?}]\n"), account)
}

fn pids(home: &Home) -> Vec<i32> {
    let text = fs::read_to_string(home.dir.path().join("pids")).unwrap_or_default();
    text.lines().map(|pid| pid.parse().unwrap()).collect()
}

/// Whether a process runs; one that only waits to be looked at does not.
fn runs(pid: &i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

#[test]
fn nothing_of_a_command_is_left_when_the_call_is_done_or_failed() {
    let mailbox = tempfile::NamedTempFile::new().unwrap();
    fs::write(mailbox.path(), sample()).unwrap();
    let path = mailbox.path().display().to_string();
    at_once([(path.as_str(), 0, "done"), ("/nowhere/at/all", 78, "no-mailbox")], |(mailbox, code, word)| {
        let home = stubborn("PS1='$ ' exec sh", &format!("mailbox = {mailbox:?}\n"));
        let ran = Ran::new(home.command(&["fetch", "--json"]).current_dir(home.dir.path()).output().unwrap());
        let left: Vec<i32> = pids(&home).into_iter().filter(runs).collect();
        ran.ended(code, word);
        assert_eq!((pids(&home).len(), left), (3, vec![]), "{word}");
    });
}

#[test]
fn nothing_of_a_command_is_left_when_a_signal_ends_the_call() {
    at_once([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP], |signal| {
        let home = stubborn("while :; do read x || sleep 1; done", "");
        let mut command = home.command(&["fetch", "--json"]);
        command.current_dir(home.dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mailcall = command.spawn().unwrap();
        wait_for("the command", || pids(&home).len() == 3);
        assert!(pids(&home).iter().all(runs));
        kill(Pid::from_raw(mailcall.id() as i32), signal).unwrap();
        let ran = Ran::new(mailcall.wait_with_output().unwrap());
        let left: Vec<i32> = pids(&home).into_iter().filter(runs).collect();
        ran.ended(75, "interrupted");
        assert_eq!(left, [0; 0], "{signal}");
    });
}

/// Nothing of ours runs any more then: the kernel closes the terminal's master, and tells its
/// foreground. What does not listen stays, as it would behind any terminal program.
#[test]
fn a_kill_leaves_only_what_ignores_a_hangup() {
    let polite = "sleep 1000 <&- >&- 2>&- & echo $! > pids; echo 0 >> pids; echo $$ >> pids; ";
    at_once([(polite, false), (STUBBORN, true)], |(script, stays)| {
        let script = format!("{script}while :; do read x || sleep 1; done");
        let home = Home::with_line(&format!("kind = \"exec\"\ncommand = [\"sh\", \"-c\", {script:?}]\n"), "");
        let mut command = home.command(&["fetch"]);
        command.current_dir(home.dir.path()).stderr(Stdio::null()).stdout(Stdio::null());
        let mut mailcall = command.spawn().unwrap();
        wait_for("the command", || pids(&home).len() == 3);
        mailcall.kill().unwrap();
        mailcall.wait().unwrap();
        let shell = pids(&home)[2];
        if stays {
            std::thread::sleep(Duration::from_secs(1));
            assert!(runs(&shell), "it ignores SIGHUP");
            for pid in pids(&home) {
                kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            }
        } else {
            wait_for("the shell to hear SIGHUP", || !runs(&shell));
        }
    });
}

/// A process that makes a session of its own means to stay: ssh with ControlPersist does.
#[test]
fn a_daemon_outlives_the_call() {
    let home = Home::with_line(
        "kind = \"exec\"\ncommand = [\"sh\", \"-c\", \
         \"setsid sleep 1000 <&- >&- 2>&- & echo $! > pids; sleep 0.3; exit 3\"]\n",
        "",
    );
    let ran = Ran::new(home.command(&["fetch", "--json"]).current_dir(home.dir.path()).output().unwrap());
    ran.ended(75, "carrier-lost");
    let daemon = pids(&home)[0];
    assert!(runs(&daemon));
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
}

/// As under cron: no terminal, no group of its own, and an ignored SIGHUP, which is not handed down.
#[test]
fn a_command_under_nohup_still_hears_a_hangup() {
    let home = Home::with_line(
        "kind = \"exec\"\ncommand = [\"sh\", \"-c\", \"echo $$ > pids; while :; do read x || sleep 1; done\"]\n",
        "",
    );
    let mut command = home.command(&["fetch"]);
    command.current_dir(home.dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: signal() is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            nix::libc::signal(nix::libc::SIGHUP, nix::libc::SIG_IGN);
            Ok(())
        });
    }
    let mut mailcall = command.spawn().unwrap();
    wait_for("the command", || pids(&home).len() == 1);
    mailcall.kill().unwrap();
    mailcall.wait().unwrap();
    let shell = pids(&home)[0];
    wait_for("the shell to hear SIGHUP", || !runs(&shell));
}

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
