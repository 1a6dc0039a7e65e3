//! `mailcall get` and `mailcall put`: the whole program over a shell with `sz` and `rz`, over one that
//! has neither, and over the simulated modem.

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::*;

/// A host that is a shell in a folder of its own, and a home whose account leads to it.
struct Host {
    home: Home,
    folder: tempfile::TempDir,
    here: tempfile::TempDir,
}

impl Host {
    /// A shell whose PATH has no ZMODEM if `bare`.
    fn new(bare: bool, account: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = if bare { bare_path(folder.path()) } else { std::env::var("PATH").unwrap() };
        let there = folder.path().join("there");
        std::fs::create_dir(&there).unwrap();
        let shell = format!("cd {0} && HOME={0} PATH={path} exec /bin/sh -i", there.display());
        let line = format!("kind = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", {shell:?}]\n");
        Self { home: Home::with_line(&line, account), folder, here: tempfile::tempdir().unwrap() }
    }

    fn there(&self, name: &str) -> PathBuf {
        self.folder.path().join("there").join(name)
    }

    fn here(&self, name: &str) -> PathBuf {
        self.here.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::new(self.home.command(args).current_dir(self.here.path()).output().unwrap())
    }
}

/// A folder of links to what every host has, and neither `sz` nor `rz` among them.
fn bare_path(folder: &Path) -> String {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let wanted = [
        "sh",
        "cat",
        "stty",
        "cksum",
        "md5sum",
        "sha256sum",
        "base64",
        "gzip",
        "head",
        "tail",
        "dd",
        "od",
        "wc",
        "stat",
        "printf",
        "mesg",
        "uname",
        "id",
        "rm",
        "mv",
        "ln",
        "chmod",
        "tr",
        "sed",
        "awk",
    ];
    for tool in wanted {
        let found =
            ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(tool)).find(|path| path.exists());
        if let Some(found) = found {
            symlink(found, bin.join(tool)).unwrap();
        }
    }
    bin.display().to_string()
}

/// Bytes of all values, no two places alike.
fn binary(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| rng.u8(..)).collect()
}

#[test]
fn files_come_and_go_whole_by_zmodem_and_as_text() {
    if !have("rz") || !have("sz") {
        return;
    }
    at_once([(false, "zmodem"), (true, "text")], |(bare, how)| {
        let host = Host::new(bare, "");
        for (name, content) in
            [("big.bin", binary(60_000)), ("a 'b'\n", b"x".to_vec()), ("empty", Vec::new())]
        {
            std::fs::write(host.there(name), &content).unwrap();
            let got = host.run(&["--json", "get", "home", name]);
            got.ended(0, "done");
            assert!(std::fs::read(host.here(name)).unwrap() == content, "{how} {name:?}");
            let put = host.run(&["--json", "put", "home", name, "new"]);
            put.ended(0, "done");
            assert_eq!(put.json("transfer"), how, "{name:?}");
            assert!(std::fs::read(host.there("new")).unwrap() == content, "{how} {name:?}");
            std::fs::remove_file(host.there("new")).unwrap();
            if content.len() > 1 {
                assert_eq!(got.json("transfer"), how, "{name:?}"); // a little comes as text anyway
            }
        }
        let left: Vec<_> = std::fs::read_dir(host.there("")).unwrap().collect();
        assert_eq!(left.len(), 3, "nothing of ours is left: {left:?}");
    });
}

#[test]
fn nothing_is_overwritten_without_a_word() {
    let host = Host::new(true, "");
    std::fs::write(host.there("a"), b"theirs").unwrap();
    std::fs::write(host.here("a"), b"ours").unwrap();
    host.run(&["--json", "get", "home", "a"]).ended(64, "usage");
    host.run(&["--json", "put", "home", "a"]).ended(64, "usage");
    assert_eq!(std::fs::read(host.here("a")).unwrap(), b"ours");
    assert_eq!(std::fs::read(host.there("a")).unwrap(), b"theirs");
    std::fs::set_permissions(host.here("a"), PermissionsExt::from_mode(0o750)).unwrap();
    host.run(&["--json", "put", "--force", "home", "a"]).ended(0, "done");
    assert_eq!(std::fs::read(host.there("a")).unwrap(), b"ours");
    assert_eq!(host.there("a").metadata().unwrap().mode() & 0o777, 0o750, "the mode is kept");
    std::fs::write(host.there("a"), b"theirs").unwrap();
    host.run(&["--json", "get", "--force", "home", "a"]).ended(0, "done");
    assert_eq!(std::fs::read(host.here("a")).unwrap(), b"theirs");
}

#[test]
fn patterns_are_the_hosts_and_its_names_are_made_harmless() {
    let host = Host::new(true, "");
    for name in ["c1", "c2", "-x", "it's"] {
        std::fs::write(host.there(name), name).unwrap();
    }
    let got = host.run(&["--json", "get", "home", "*", "in/"]);
    got.ended(0, "done");
    for (name, content) in [("c1", "c1"), ("c2", "c2"), ("_x", "-x"), ("it's", "it's")] {
        assert_eq!(std::fs::read_to_string(host.here("in").join(name)).unwrap(), content);
    }
    host.run(&["--json", "get", "home", "c*", "one"]).ended(64, "usage");
    let printed = host.run(&["--quiet", "get", "home", "c1", "-"]);
    assert_eq!((printed.code, printed.out.as_str()), (0, "c1"));
    host.run(&["--json", "get", "home", "nothing"]).ended(64, "usage");
    host.run(&["--json", "put", "home", "nothing"]).ended(64, "usage");
}

#[test]
fn a_part_is_gone_on_with_only_if_the_host_proves_it() {
    for good in [true, false] {
        let host = Host::new(true, "");
        let content = binary(40_000);
        std::fs::write(host.there("a"), &content).unwrap();
        let mut part = content[..30_000].to_vec();
        part[9] ^= u8::from(!good);
        std::fs::write(host.here("a.mailcall-part"), part).unwrap();
        let got = host.run(&["--json", "get", "home", "a"]);
        got.ended(0, "done");
        assert!(std::fs::read(host.here("a")).unwrap() == content);
        assert_eq!(got.number("bytes_down") < 25_000, good, "{}", got.out);
        assert!(!host.here("a.mailcall-part").exists());
    }
}

/// The names in a folder of the files that are on their way.
fn on_their_way(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("mailcall-")).collect()
}

#[test]
fn several_files_come_as_text_each_as_itself() {
    let host = Host::new(true, "");
    for name in ["abc", "xyz"] {
        std::fs::write(host.there(name), name).unwrap();
    }
    host.run(&["--json", "get", "home", "abc", "xyz", "in/"]).ended(0, "done");
    for name in ["abc", "xyz"] {
        assert_eq!(std::fs::read_to_string(host.here("in").join(name)).unwrap(), name);
    }
}

#[test]
fn a_signal_leaves_nothing_on_the_host_and_tells_what_is_here() {
    at_once(["get", "put"], |command| {
        let host = Host::new(true, "");
        let (big, small) = (binary(20_000_000), b"small".to_vec());
        for (name, content) in [("a", &small), ("b", &big)] {
            let path = if command == "get" { host.there(name) } else { host.here(name) };
            std::fs::write(path, content).unwrap();
        }
        let mut run = host.home.command(&["--json", command, "home", "a", "b", "."]);
        let piped = std::process::Stdio::piped;
        let child = run.current_dir(host.here.path()).stdout(piped()).stderr(piped()).spawn().unwrap();
        let (coming, second) = match command {
            "get" => (host.here(""), "b.mailcall-part"),
            _ => (host.there(""), "-1.t"),
        };
        wait_for("the second file", || {
            let is_second = |path: &PathBuf| path.to_string_lossy().ends_with(second);
            let some = |path: &PathBuf| path.metadata().is_ok_and(|found| found.len() > 0);
            on_their_way(&coming).iter().any(|path| is_second(path) && some(path))
        });
        let id = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
        let ran = Ran::new(child.wait_with_output().unwrap());
        ran.ended(75, "interrupted");
        assert_eq!(ran.json("files").as_array().unwrap().len(), 1, "{}", ran.out);
        if command == "get" {
            assert!(ran.err.contains("b.mailcall-part; getting it again goes on"), "{}", ran.err);
        } else {
            wait_for("the host to sweep", || on_their_way(&coming).is_empty());
        }
    });
}

#[test]
fn standard_output_is_not_shared_with_a_report() {
    let host = Host::new(true, "");
    std::fs::write(host.there("a"), b"x").unwrap();
    host.run(&["--json", "get", "home", "a", "-"]).ended(64, "usage");
    assert_eq!(host.run(&["--quiet", "get", "home", "a", "a", "-"]).code, 64);
}

#[test]
fn on_a_path_there_is_nobody_to_carry_anything() {
    let home = Home::with_line("kind = \"file\"\n", "mailbox = \"/tmp/mbox\"\n");
    for command in ["get", "put"] {
        let ran = home.run(&["--json", command, "home", "a"]);
        ran.ended(64, "usage");
        assert!(ran.json("error").as_str().unwrap().contains("cp"), "{}", ran.out);
    }
}
