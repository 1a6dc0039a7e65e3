//! Whole calls, each as a user makes them: the program on one side, a simulated modem with a real
//! shell behind it on the other.

mod common;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::*;

/// A mailbox on the host, with a simulator in front of it.
fn host(mailbox: &[u8], args: &[&str]) -> (Sim, PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    std::fs::write(&path, mailbox).unwrap();
    let mut all = vec!["--user", "mary", "--password", PASSWORD, "--ring", "0"];
    let shown = path.display().to_string();
    all.extend(["--mailbox", &shown]);
    all.extend(args);
    (Sim::start(&all), path, dir)
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_first_call_brings_everything_and_a_second_nothing() {
    let mailbox = sample();
    let (sim, path, _dir) = host(&mailbox, &["--bps", "57600", "--latency", "20ms"]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let first = home.fetch();
    first.ended(0, "done");
    assert_eq!(home.mail(), messages(&mailbox));
    assert_eq!(first.number("messages_new") as usize, messages(&mailbox).len());
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 0);
    assert!(second.number("bytes_down") < 2_000, "{}", second.out);
    sim.on_hook_after(2);
}

#[test]
fn only_what_was_appended_is_carried() {
    let (old, new) = match (real_mail("asterix.mbox"), real_mail("newer.mbox")) {
        (Some(old), Some(new)) => (old, new),
        _ => return,
    };
    let (sim, path, _dir) = host(&old, &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    home.fetch().ended(0, "done");
    assert_eq!(home.mail(), messages(&old));
    append(&path, &new);
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 20);
    assert!(second.number("bytes_down") < new.len() as u64 * 11 / 10 + 2_000, "{}", second.out);
    assert_eq!(home.mail(), messages(&std::fs::read(&path).unwrap()));
}

#[test]
fn a_host_without_sz_is_fetched_from_as_text_and_an_mbox_is_byte_identical() {
    let mailbox = sample();
    let (sim, path, _dir) = host(&mailbox, &[]);
    let dir = tempfile::tempdir().unwrap();
    let mbox = dir.path().join("home.mbox");
    let more = format!("transfer = \"text\"\ndeliver = {{ mbox = {:?} }}\n", mbox.display().to_string());
    let home = Home::new(&sim.device, "mary", &path, &more);
    let first = home.fetch();
    first.ended(0, "done");
    assert_eq!(first.json("transfer"), "text");
    assert_eq!(std::fs::read(&mbox).unwrap(), mailbox);
    append(&path, b"From eve@example.org Mon Nov 23 10:00:00 2026\nSubject: more\n\n>From home\n\n");
    home.fetch().ended(0, "done");
    assert_eq!(std::fs::read(&mbox).unwrap(), std::fs::read(&path).unwrap());
}

#[test]
fn carrier_lost_half_way_is_75_and_the_next_call_brings_the_rest_only() {
    at_once(["zmodem", "text"], |transfer| {
        let mailbox = sample();
        let half = (mailbox.len() / 2 + 1_500).to_string();
        let (sim, path, _dir) = host(&mailbox, &["--drop-after", &half, "--bps", "115200"]);
        let home = Home::new(&sim.device, "mary", &path, &format!("transfer = \"{transfer}\"\n"));
        home.fetch().ended(75, "carrier-lost");
        assert!(home.mail().len() < messages(&mailbox).len());
        let second = home.fetch();
        second.ended(0, "done");
        assert_eq!(home.mail(), messages(&mailbox), "by {transfer}");
        let whole = if transfer == "text" { mailbox.len() * 4 / 3 } else { mailbox.len() } as u64;
        assert!(
            second.number("bytes_down") < whole * 3 / 4,
            "the first half was carried again: {}",
            second.out
        );
        let third = home.fetch();
        third.ended(0, "done");
        assert_eq!(third.number("messages_new"), 0);
    });
}

#[test]
fn noise_on_the_line_harms_no_mail() {
    let cases = [("zmodem", "1e-5"), ("text", "1e-5"), ("zmodem", "1e-4"), ("text", "1e-4")];
    at_once(cases, |(transfer, ber)| {
        let mailbox = sample();
        let (sim, path, _dir) = host(&mailbox, &["--ber", ber, "--seed", "7", "--bps", "115200"]);
        let home = Home::new(&sim.device, "mary", &path, &format!("transfer = \"{transfer}\"\n"));
        let mut ran = home.fetch();
        // A login over a noisy line may fail; no harm may come of it, and a later call succeeds.
        for _ in 0..4 {
            if ran.code == 0 {
                break;
            }
            ran = home.fetch();
        }
        ran.ended(0, "done");
        assert_eq!(home.mail(), messages(&mailbox), "{transfer} at {ber}");
        // A damaged block costs what is under way, which is to be little.
        assert!(ran.number("bytes_down") < 5 * mailbox.len() as u64, "{}", ran.out);
    });
}

#[test]
fn a_wrong_password_is_77_and_is_shown_nowhere() {
    let (sim, path, _dir) = host(&sample(), &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let ran = Ran::new(
        home.command(&["-vv", "fetch", "--json"]).env("TEST_PASSWORD", "wr0ng-secret").output().unwrap(),
    );
    ran.ended(77, "login-refused");
    assert!(!ran.err.contains("wr0ng-secret") && !ran.out.contains("wr0ng-secret"), "{}", ran.err);
    sim.on_hook_after(1);
    assert_eq!(sim.log().matches("dialled").count(), 1, "a refusal is never retried by itself");
}

#[test]
fn each_way_a_dial_fails_has_its_own_outcome() {
    let cases = [
        ("busy", 75, "busy"),
        ("no-answer", 75, "no-answer"),
        ("no-carrier", 75, "no-carrier"),
        ("no-dialtone", 75, "no-dialtone"),
        ("voice", 75, "voice"),
        ("delayed", 75, "delayed"),
        ("blacklisted", 77, "blacklisted"),
    ];
    at_once(cases, |(answer, code, outcome)| {
        let (sim, path, _dir) = host(&sample(), &["--answer", answer]);
        let home = Home::new(&sim.device, "mary", &path, "");
        let ran = home.fetch();
        ran.ended(code, outcome);
        assert_eq!(ran.number("dials"), 1);
    });
}

#[test]
fn a_device_that_is_not_there_is_69() {
    let home = Home::new(Path::new("/dev/no-such-port"), "mary", Path::new("/var/mail/mary"), "");
    let ran = home.fetch();
    ran.ended(69, "no-such-port");
    assert!(ran.err.contains("/dev/no-such-port"), "{}", ran.err);
}

#[test]
fn an_unknown_key_is_78_and_is_named_with_its_line() {
    let home = Home::with_line("kind = \"exec\"\ncommand = [\"sh\"]\n", "");
    home.configure("[line.usr]\nkind = \"exec\"\ncomand = [\"sh\"]\n");
    let ran = home.fetch();
    ran.ended(78, "config");
    assert!(ran.err.contains("config.toml:3") && ran.err.contains("comand"), "{}", ran.err);
}

#[test]
fn a_signal_in_mid_transfer_hangs_up_and_keeps_the_part() {
    use nix::sys::signal::{Signal, kill};
    at_once([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP], |signal| {
        let mailbox = sample();
        let (sim, path, _dir) = host(&mailbox, &["--bps", "19200"]);
        let home = Home::new(&sim.device, "mary", &path, "transfer = \"zmodem\"\n");
        let mut child = home.command(&["fetch", "home"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = child.stderr.take().unwrap();
        for _ in 0..4 {
            read_until(&mut err, " bytes\n"); // enough to see that it is not carried again
        }
        kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).unwrap();
        let mut last = String::new();
        err.read_to_string(&mut last).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(75), "after {signal}");
        assert!(last.contains("carrying the mail: ended by"), "{last}");
        sim.on_hook_after(1);
        let rest = home.fetch();
        rest.ended(0, "done");
        assert!(rest.number("bytes_down") < mailbox.len() as u64, "{signal}: {}", rest.out);
        assert_eq!(home.mail(), messages(&mailbox));
    });
}

#[test]
fn a_host_that_falls_silent_ends_the_call() {
    at_once(["0", "700", "6000"], |after| {
        let (sim, path, _dir) = host(&sample(), &["--silent-after", after, "--bps", "57600"]);
        let home = Home::new(&sim.device, "mary", &path, "");
        let ran = home.fetch();
        assert_eq!(ran.code, 75, "silent after {after}: {} {}", ran.out, ran.err);
        sim.on_hook_after(1);
    });
}

#[test]
fn a_local_shell_is_a_line_too() {
    let mailbox = sample();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("box");
    std::fs::write(&path, &mailbox).unwrap();
    for shell in ["sh", "bash", "dash", "tcsh", "busybox sh"] {
        if !have(shell.split(' ').next().unwrap()) {
            continue;
        }
        let command: Vec<String> = shell.split(' ').map(|word| format!("{word:?}")).collect();
        let line = format!("kind = \"exec\"\ncommand = [{}]\n", command.join(", "));
        let home = Home::with_line(&line, &format!("mailbox = {:?}\n", path.display().to_string()));
        let ran = home.fetch();
        ran.ended(0, "done");
        assert_eq!(home.mail(), messages(&mailbox), "through {shell}");
    }
}

#[test]
fn a_mailbox_is_named_from_the_home_directory_on_the_host() {
    let sim = Sim::start(&["--password", PASSWORD, "--ring", "0"]);
    for name in ["mailbox", "~/mailbox"] {
        let home = Home::new(&sim.device, "mary", Path::new(name), "");
        home.fetch().ended(0, "done");
        assert_eq!(home.mail(), messages(&sample()), "{name}");
    }
}

#[test]
fn list_shows_what_is_there_and_show_prints_it() {
    let mailbox = sample();
    let (sim, path, _dir) = host(&mailbox, &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let before = home.run(&["list", "home", "--json"]);
    assert_eq!(before.code, 0, "{}", before.err);
    assert_eq!(before.out.lines().count(), messages(&mailbox).len());
    assert!(before.out.lines().all(|line| line.contains("\"state\":\"new\"")), "{}", before.out);
    home.fetch().ended(0, "done");
    let after = home.run(&["list", "home"]);
    let rows: Vec<_> = after.out.lines().skip(1).collect(); // the first is the heading
    assert_eq!(rows.len(), messages(&mailbox).len());
    assert!(rows.iter().all(|row| row.contains("here")), "{}", after.out);
    let shown = home.run(&["show", "home", "1"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out.contains("Subject:"), "{}", shown.out);
    let raw = home.run(&["show", "1", "--raw"]);
    assert!(messages(&mailbox).contains(&raw.out.into_bytes()));
    assert_eq!(home.run(&["show", "999"]).code, 64);
    home.run(&["list", "nobody", "--json"]).ended(78, "config");
}

#[test]
fn a_mailbox_rewritten_between_calls_loses_and_doubles_nothing() {
    let mailbox = sample();
    let (sim, path, _dir) = host(&mailbox, &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    home.fetch().ended(0, "done");
    // The first message is deleted by another program, a new one comes in.
    let second = mailbox.windows(7).position(|w| w == b"\n\nFrom ").unwrap() + 2;
    let mut rewritten = mailbox[second..].to_vec();
    rewritten.extend_from_slice(b"From eve@example.org Mon Nov 23 10:00:00 2026\nSubject: more\n\nhello\n\n");
    std::fs::write(&path, rewritten).unwrap();
    let ran = home.fetch();
    ran.ended(0, "done");
    assert_eq!(ran.number("messages_new"), 1, "{}", ran.err);
    assert_eq!(home.mail().len(), messages(&mailbox).len() + 1);
}

#[test]
fn a_mailbox_rewritten_during_the_transfer_makes_no_torn_message() {
    for transfer in ["zmodem", "text"] {
        let mailbox = sample();
        let (sim, path, _dir) = host(&mailbox, &["--bps", "57600"]);
        let home = Home::new(&sim.device, "mary", &path, &format!("transfer = \"{transfer}\"\n"));
        let mut command = home.command(&["-v", "fetch", "home", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = child.stderr.take().unwrap();
        read_until(&mut err, " bytes\n");
        // In place and of the same length: what has come already is no longer so.
        let mut rewritten = mailbox.clone();
        let at = mailbox.windows(9).position(|w| w == b"Subject: ").unwrap();
        rewritten[at + 9] ^= 1;
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&rewritten).unwrap();
        std::io::copy(&mut err, &mut std::io::sink()).unwrap();
        Ran::new(child.wait_with_output().unwrap()).ended(0, "done");
        assert_eq!(home.mail(), messages(&rewritten), "by {transfer}");
    }
}

#[test]
fn a_message_still_being_written_waits_even_where_a_paragraph_ends() {
    let mut mailbox = sample();
    let whole = messages(&mailbox).len();
    mailbox.extend_from_slice(b"From eve@example.org Mon Nov 23 10:00:00 2026\nSubject: half\n\none\n\n");
    let (sim, path, dir) = host(&mailbox, &[]);
    let lock = dir.path().join("mary.lock");
    std::fs::write(&lock, "").unwrap();
    let home = Home::new(&sim.device, "mary", &path, "");
    let first = home.fetch();
    first.ended(0, "done");
    assert_eq!((first.number("messages_new") as usize, first.number("messages_left")), (whole, 1));
    append(&path, b"two\n\n");
    std::fs::remove_file(&lock).unwrap();
    let second = home.fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 1);
    assert_eq!(home.mail(), messages(&std::fs::read(&path).unwrap()));
}

#[test]
fn of_a_mailbox_that_grows_during_the_transfer_only_the_last_message_waits() {
    for transfer in ["zmodem", "text"] {
        let (sim, path, _dir) = host(&sample(), &["--bps", "57600"]);
        let home = Home::new(&sim.device, "mary", &path, &format!("transfer = \"{transfer}\"\n"));
        let mut command = home.command(&["-v", "fetch", "home", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = child.stderr.take().unwrap();
        read_until(&mut err, " bytes\n");
        append(&path, b"From eve@example.org Mon Nov 23 10:00:00 2026\nSubject: late\n\nhello\n\n");
        std::io::copy(&mut err, &mut std::io::sink()).unwrap();
        let first = Ran::new(child.wait_with_output().unwrap());
        first.ended(0, "done");
        assert_eq!(first.number("messages_left"), 1, "by {transfer}: {}", first.out);
        assert_eq!(home.mail(), messages(&sample()), "by {transfer}");
        append(&path, b"and more\n\n");
        home.fetch().ended(0, "done");
        assert_eq!(home.mail(), messages(&std::fs::read(&path).unwrap()), "by {transfer}");
    }
}

#[test]
fn an_empty_or_missing_mailbox_is_no_mail_and_a_missing_folder_is_78() {
    let (sim, path, dir) = host(b"", &[]);
    let home = Home::new(&sim.device, "mary", &path, "");
    home.fetch().ended(0, "done");
    std::fs::remove_file(&path).unwrap();
    home.fetch().ended(0, "done");
    let nowhere = Home::new(&sim.device, "mary", &dir.path().join("no/folder"), "");
    nowhere.fetch().ended(78, "no-mailbox");
    let a_folder = Home::new(&sim.device, "mary", dir.path(), "");
    a_folder.fetch().ended(78, "no-mailbox");
}

#[test]
fn a_host_with_few_tools_is_good_enough() {
    if !have("busybox") {
        return;
    }
    let mailbox = sample();
    // What is there, beside sh: ever less, down to what POSIX has had for ever.
    let hosts: [&[&str]; 4] = [
        &["stty", "cksum", "base64", "head", "tail", "wc", "cat", "dd", "gzip", "od", "awk", "id"],
        &["stty", "md5sum", "base64", "head", "tail", "wc", "dd"],
        &["stty", "cksum", "od", "dd", "wc"],
        &["cksum", "od", "dd", "wc"],
    ];
    at_once(hosts, |tools| {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for tool in tools.iter().copied().chain(["sh"]) {
            // A host's own program, not an applet that any BusyBox sh would find without PATH.
            let path = ["/usr/bin", "/bin"]
                .map(|dir| Path::new(dir).join(tool))
                .into_iter()
                .find(|path| path.exists());
            std::os::unix::fs::symlink(path.unwrap(), bin.join(tool)).unwrap();
        }
        let path = dir.path().join("box");
        std::fs::write(&path, &mailbox).unwrap();
        let line =
            format!("kind = \"exec\"\ncommand = [\"env\", \"-i\", \"PATH={}\", \"sh\"]\n", bin.display());
        let home = Home::with_line(&line, &format!("mailbox = {:?}\n", path.display().to_string()));
        let ran = home.fetch();
        ran.ended(0, "done");
        assert_eq!(ran.json("transfer"), "text");
        assert_eq!(home.mail(), messages(&mailbox), "with {tools:?}");
        let again = home.fetch();
        assert_eq!(again.ended(0, "done").number("messages_new"), 0);
    });
}

#[test]
fn under_nohup_a_hangup_of_the_terminal_does_not_end_the_call() {
    use nix::sys::signal::{Signal, kill};
    if !have("nohup") {
        return;
    }
    let mailbox = sample();
    let (sim, path, _dir) = host(&mailbox, &["--bps", "38400"]);
    let home = Home::new(&sim.device, "mary", &path, "");
    let mut command = home.command(&["fetch", "home"]);
    let mut nohup = std::process::Command::new("nohup");
    nohup.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nohup.env(name, value),
            None => nohup.env_remove(name),
        };
    }
    command = nohup;
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = child.stderr.take().unwrap();
    read_until(&mut err, " bytes\n");
    kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGHUP).unwrap();
    let mut last = String::new();
    err.read_to_string(&mut last).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{last}");
    assert_eq!(home.mail(), messages(&mailbox));
}

#[test]
fn after_kill_9_in_mid_transfer_the_next_call_frees_the_modem_and_finishes() {
    at_once(["maildir", "mbox"], |delivery| {
        let mailbox = sample();
        let (sim, path, _dir) = host(&mailbox, &["--bps", "38400"]);
        let kept = tempfile::tempdir().unwrap();
        let mbox = kept.path().join("home.mbox");
        let more = match delivery {
            "mbox" => format!("deliver = {{ mbox = {:?} }}\n", mbox.display().to_string()),
            _ => String::new(),
        };
        let home = Home::new(&sim.device, "mary", &path, &more);
        let mut child = home.command(&["fetch", "home"]).stderr(Stdio::piped()).spawn().unwrap();
        read_until(child.stderr.as_mut().unwrap(), " bytes\n");
        child.kill().unwrap();
        child.wait().unwrap();
        // Nothing could hang up: the modem has no leads here, and is still on-line.
        let next = home.fetch();
        next.ended(0, "done");
        sim.on_hook_after(2);
        if delivery == "mbox" {
            assert_eq!(std::fs::read(&mbox).unwrap(), mailbox);
        } else {
            assert_eq!(home.mail(), messages(&mailbox));
        }
    });
}
