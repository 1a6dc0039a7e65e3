//! Real gettys, logins and shells on a PTY: from the first prompt to the exact bytes of a command and
//! back to the hang-up, as a user whose login shell it is. Needs root, for the users.
#![allow(clippy::disallowed_methods)] // real programs run by the real clock

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mailcall::shell::{Left, Nonce};

mod common;
use common::on_pty::{NONCE, OnPty};
use common::*;

/// Who asks for the name, and who for the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Getty {
    /// util-linux, with the system's login.
    Agetty,
    Busybox,
}

/// A login shell: what it is called, the packages' name for it, and where it may be.
struct LoginShell {
    name: &'static str,
    places: &'static [&'static str],
}

const fn of(name: &'static str, places: &'static [&'static str]) -> LoginShell {
    LoginShell { name, places }
}

const SHELLS: &[LoginShell] = &[
    of("bash", &["/bin/bash"]),
    of("dash", &["/bin/dash"]),
    of("ksh93", &["/bin/ksh93", "/bin/ksh"]),
    of("mksh", &["/bin/mksh"]),
    of("zsh", &["/bin/zsh"]),
    of("fish", &["/usr/bin/fish"]),
    of("tcsh", &["/bin/tcsh"]),
    of("bsd-csh", &["/bin/bsd-csh"]),
    of("ash", &["/bin/busybox", "/usr/bin/busybox"]),
    of("rbash", &["/bin/rbash"]),
    of("rksh", &["/bin/rksh93", "/bin/rksh"]),
];

impl LoginShell {
    /// A path for `/etc/passwd`; BusyBox is the shell that it is called by, below `folder`.
    fn path(&self, folder: &Path) -> Option<PathBuf> {
        let Some(found) = self.places.iter().map(PathBuf::from).find(|path| path.is_file()) else {
            missing(&format!("{} is not installed", self.name));
            return None;
        };
        Some(if found.ends_with("busybox") { linked(&found, folder, "ash") } else { found })
    }
}

/// A link by which a program knows what it is to be.
fn linked(program: &Path, folder: &Path, name: &str) -> PathBuf {
    let link = folder.join(name);
    if !link.exists() {
        std::os::unix::fs::symlink(program, &link).unwrap();
    }
    link
}

/// A folder that every user may enter.
fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Somebody with this login shell, whom this getty lets in.
fn somebody(suffix: &str, shell: &Path, getty: Getty) -> Option<User> {
    let user = User::new(suffix, shell.to_str()?, b"")?;
    if getty == Getty::Busybox {
        // BusyBox has its own crypt(3), which does not know what Debian encrypts by.
        let mut chpasswd =
            Command::new("chpasswd").args(["-c", "SHA512"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(
            &mut chpasswd.stdin.take().unwrap(),
            format!("{}:{PASSWORD}\n", user.name).as_bytes(),
        )
        .unwrap();
        assert!(chpasswd.wait().unwrap().success());
    }
    Some(user)
}

/// A getty on a PTY; BusyBox's login is made a link in `folder`.
fn getty(getty: Getty, folder: &Path) -> Option<OnPty> {
    let command = match getty {
        Getty::Agetty => {
            have("agetty").then_some(())?;
            let mut command = Command::new("/sbin/agetty");
            command.args(["-", "vt100"]);
            command
        }
        Getty::Busybox => {
            have("busybox").then_some(())?;
            let busybox =
                ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).is_file())?;
            let login = linked(Path::new(busybox), folder, "login");
            let mut command = Command::new(busybox);
            command.args(["getty", "-l"]).arg(login).args(["0", "-", "vt100"]);
            command
        }
    };
    // A serial line knows no size; a PTY of ssh or telnet does.
    let (rows, columns) = if getty == Getty::Agetty { (0, 0) } else { (24, 80) };
    Some(OnPty::start(command, rows, columns))
}

/// What a command prints and how it ends, as its text and what comes of it.
fn awkward() -> Vec<(String, Vec<u8>, i32)> {
    let nonce = Nonce::new(NONCE);
    let frames = format!(
        "~{nonce}\n~{nonce}-0\n~{nonce}-3\n~{nonce}+2\n~{nonce}1 1/1 IDAK 0 0\n~{nonce}:1 1 QQ== 1\n"
    );
    let every: Vec<u8> = (0..=255).collect();
    let octal: String = every.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let printf = |text: &str| format!("printf '{}'", text.replace('\n', "\\n"));
    vec![
        (format!("printf '{octal}'"), every, 0),
        ("printf 'no newline at the end'; exit 1".into(), b"no newline at the end".to_vec(), 1),
        (printf(&frames), frames.into_bytes(), 0),
        (
            "printf '\\033[2J\\033[6n\\033]0;title\\007\\033[1;31m\\016\\033Z\\005\\021\\023'".into(),
            b"\x1b[2J\x1b[6n\x1b]0;title\x07\x1b[1;31m\x0e\x1bZ\x05\x11\x13".to_vec(),
            0,
        ),
        ("no-such-command-at-all".into(), Vec::new(), 127),
        ("printf '\\n\\n 7\\n'; exit 255".into(), b"\n\n 7\n".to_vec(), 255),
        (
            "echo gone; kill -KILL $$; sh -c 'kill -TERM $$'".replace("kill -KILL $$; ", ""),
            b"gone\n".to_vec(),
            143,
        ),
        ("sh -c 'kill -KILL $$'".into(), Vec::new(), 137),
    ]
}

#[test]
fn every_login_shell_behind_either_getty_gives_exact_bytes_and_status() {
    let cells = SHELLS.iter().enumerate().flat_map(|(n, shell)| {
        [(Getty::Agetty, format!("g{n}"), shell), (Getty::Busybox, format!("b{n}"), shell)]
    });
    at_once(cells, |(with, suffix, shell)| {
        let folder = open_folder();
        let Some(path) = shell.path(folder.path()) else { return };
        let Some(user) = somebody(&suffix, &path, with) else { return };
        let Some(mut host) = getty(with, folder.path()) else { return };
        let what = format!("{} behind {with:?}", shell.name);
        let started = std::time::Instant::now();
        let mut shell = host.reach(&user.name);
        assert_eq!(host.run(&mut shell, "echo $LOGNAME").bytes, format!("{}\n", user.name).into_bytes());
        for (command, bytes, status) in awkward() {
            let reply = host.run(&mut shell, &command);
            assert_eq!(reply.bytes, bytes, "{what}: {command}");
            assert_eq!(reply.status, status, "{what}: {command}");
        }
        println!("{what}: {:?}", started.elapsed());
        assert_eq!(host.leave(&mut shell), Left::HungUp, "{what}: one hang-up");
    });
}

#[test]
fn a_hundred_thousand_lines_come_back_exactly() {
    let expected: String = (1..=100_000).map(|line| format!("{line}\n")).collect();
    for (with, suffix) in [(Getty::Agetty, "ga"), (Getty::Busybox, "gb")] {
        let folder = open_folder();
        let shell = &SHELLS[if with == Getty::Agetty { 0 } else { 8 }];
        let Some(path) = shell.path(folder.path()) else { return };
        let Some(user) = somebody(suffix, &path, with) else { return };
        let Some(mut host) = getty(with, folder.path()) else { return };
        let mut shell = host.reach(&user.name);
        let started = std::time::Instant::now();
        let reply = host.run(&mut shell, "seq 100000");
        println!("{with:?}: {:?}", started.elapsed());
        assert_eq!(reply.status, 0);
        assert!(reply.bytes == expected.as_bytes(), "{with:?}: not what was printed");
        assert_eq!(host.leave(&mut shell), Left::HungUp);
    }
}
