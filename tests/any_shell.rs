//! Real gettys, logins and shells on a PTY: from the first prompt to the exact bytes of a command and
//! back to the hang-up, as a user whose login shell it is. Needs root, for the users.
#![allow(clippy::disallowed_methods)] // real programs run by the real clock

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mailcall::login::{LoggedIn, PromptLook};
use mailcall::shell::agent::loader;
use mailcall::shell::{Left, Nonce, ShellError};

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
    at_once([(Getty::Agetty, "ga"), (Getty::Busybox, "gb")], |(with, suffix)| {
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
    });
}

/// A shell as its user has set it up: its name, its command, its files.
type SetUp = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

/// A home with these files, and the shell started in it.
fn at_home((_, command, files): &SetUp, rows: u16, columns: u16) -> Option<(tempfile::TempDir, OnPty)> {
    have(command[0]).then_some(())?;
    let home = tempfile::tempdir().unwrap();
    for (name, text) in *files {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut shell = Command::new(command[0]);
    shell.args(&command[1..]).env_clear().current_dir(home.path());
    shell.env("HOME", home.path()).env("PATH", std::env::var_os("PATH").unwrap());
    shell.env("SHELL", command[0]).env("TERM", "vt100").env("LANG", "C.UTF-8").env("USER", "mary");
    shell.env("TMUX_TMPDIR", home.path()).env("SCREENDIR", home.path().join("screens"));
    Some((home, OnPty::start(shell, rows, columns)))
}

/// A prompt of no known look: the most careful way in.
fn unknown_prompt() -> LoggedIn {
    LoggedIn { prompt: "?".into(), look: PromptLook::Unknown, login_needed: false, seven_bit: false }
}

const BASH: &[&str] = &["bash", "-l"];
const ZSH: &[&str] = &["zsh", "-l"];

const SET_UPS: &[SetUp] = &[
    (
        "aliases in bash",
        BASH,
        &[(".bash_profile", "alias ls='ls -F' cat='cat -v' printf=echo exec='echo no' sh=echo unset=echo")],
    ),
    (
        "aliases in zsh",
        ZSH,
        &[(".zshrc", "alias ls='ls -F' cat='cat -v' printf=echo exec='echo no' sh=echo")],
    ),
    (
        "aliases in tcsh",
        &["tcsh", "-l"],
        &[(".cshrc", "alias ls 'ls -F'\nalias exec 'echo no'\nalias sh echo\n")],
    ),
    ("aliases in fish", &["fish", "-l"], &[(".config/fish/config.fish", "alias sh echo\nalias stty echo\n")]),
    ("set -u, -e, -C, -f", BASH, &[(".bash_profile", "set -u\nset -e\nset -o noclobber\nset -f\n")]),
    ("vi keys in bash", BASH, &[(".inputrc", "set editing-mode vi\nset show-mode-in-prompt on\n")]),
    ("vi keys in zsh", ZSH, &[(".zshrc", "bindkey -v\n")]),
    ("vi keys in fish", &["fish", "-l"], &[(".config/fish/config.fish", "fish_vi_key_bindings\n")]),
    ("vi keys in ksh", &["ksh", "-l"], &[(".profile", "set -o vi\n")]),
    (
        "a prompt of three lines",
        BASH,
        &[(
            ".bash_profile",
            "PS1='\\n\\[\\e[1;36m\\]~/src\\[\\e[m\\] on main [!?]\\n\\[\\e[1;32m\\]❯\\[\\e[m\\] '\n",
        )],
    ),
    (
        "a prompt on the right too",
        ZSH,
        &[(
            ".zshrc",
            "PROMPT=$'\\n%F{cyan}~/src%f\\n%F{green}❯%f '\nRPROMPT='%T'\nsetopt transient_rprompt\n",
        )],
    ),
    (
        "an arrow for a prompt",
        ZSH,
        &[(".zshrc", "PROMPT='%(?:%{\x1b[01;32m%}➜ :%{\x1b[01;31m%}➜ )%{\x1b[36m%}%c%{\x1b[00m%} '\n")],
    ),
    (
        "titles and traps",
        BASH,
        &[(
            ".bash_profile",
            "PROMPT_COMMAND='printf \"\\033]0;%s\\007\" \"$PWD\"'\ntrap 'true' DEBUG\ntrap 'echo goodbye' EXIT\nTMOUT=5\nexport TMOUT\nulimit -n 32\n",
        )],
    ),
    ("no echo", BASH, &[(".bash_profile", "PS1='$ '\nstty -echo\n")]),
    ("corrections of zsh", ZSH, &[(".zshrc", "setopt correct_all\ntouch histfile savehist1 sh1\n")]),
    (
        "corrections of tcsh",
        &["tcsh", "-l"],
        &[(
            ".cshrc",
            "set ignoreeof autologout=60 correct=all autolist\nset prompt='%{\\033[1m%}%n%b:%~%# ' rprompt='%T'\n",
        )],
    ),
    (
        "a csh that ignores the end",
        &["bsd-csh", "-l"],
        &[(".cshrc", "set ignoreeof noclobber nonomatch filec\n")],
    ),
    (
        "an update that asks",
        ZSH,
        &[(
            ".zshrc",
            "echo -n 'Would you like to update? [Y/n] '\nread -r -k 1 answer\ncase $answer in ([yY$'\\n']) touch ~/chosen;; esac\n",
        )],
    ),
    (
        "a profile that asks",
        &["dash", "-l"],
        &[(".profile", "printf 'Start X? (y/n) '; read a; case $a in [yY]*) touch ~/chosen;; esac\n")],
    ),
    (
        "a profile that asks for the terminal",
        &["dash", "-l"],
        &[(".profile", "printf 'TERM = (vt100) '; read TERM\n")],
    ),
    (
        "suggestions of fish",
        &["fish", "-l"],
        &[(
            ".local/share/fish/fish_history",
            "- cmd: ; ls -la\n  when: 1700000000\n- cmd: unset HISTFILE\n  when: 1700000001\n",
        )],
    ),
    (
        "recorded by script",
        BASH,
        &[(".bash_profile", "test -z \"$SCRIPTED\" && { export SCRIPTED=1; exec script -q /dev/null; }\n")],
    ),
    ("inside of tmux", BASH, &[(".bash_profile", "test -z \"$TMUX\" && exec tmux new\n")]),
];

#[test]
fn shells_as_people_set_them_up_are_all_good_enough() {
    at_once(
        SET_UPS.iter().flat_map(|set_up| [(set_up, 0, 0), (set_up, 24, 80)]),
        |(set_up, rows, columns)| {
            let name = set_up.0;
            // tmux asks for a screen.
            if columns == 0 && name == "inside of tmux" {
                return;
            }
            let Some((home, mut host)) = at_home(set_up, rows, columns) else { return };
            // The one that shows no key is known by its prompt.
            let logged_in = if name == "no echo" {
                LoggedIn { prompt: "$ ".into(), look: PromptLook::Shell, ..unknown_prompt() }
            } else {
                unknown_prompt()
            };
            let opened = host.open(&logged_in);
            let mut shell = opened.unwrap_or_else(|error| panic!("{name}: {error}; {}", host.last_heard()));
            let reply = host.run(&mut shell, "printf 'a\\000b'; exit 3");
            assert_eq!((reply.status, &reply.bytes[..]), (3, &b"a\0b"[..]), "{name}");
            assert!(!home.path().join("chosen").exists(), "{name}: what asked was answered with yes");
            assert_eq!(host.leave(&mut shell), Left::HungUp, "{name}: one hang-up");
        },
    );
}

const HISTORIES: &[SetUp] = &[
    (
        "bash",
        BASH,
        &[
            (".bash_profile", "HISTCONTROL=\nshopt -s histappend\nPROMPT_COMMAND='history -a'\n"),
            (".bash_history", "echo earlier\n"),
        ],
    ),
    (
        "bash that saves at the end",
        BASH,
        &[(".bash_profile", "HISTCONTROL=\n"), (".bash_history", "echo earlier\n")],
    ),
    (
        "rbash",
        &["rbash", "-l"],
        &[
            (".bash_profile", "HISTCONTROL=\nPROMPT_COMMAND='history -a'\n"),
            (".bash_history", "echo earlier\n"),
        ],
    ),
    (
        "zsh",
        ZSH,
        &[
            (".zshrc", "HISTFILE=~/.zsh_history HISTSIZE=99 SAVEHIST=99\nsetopt inc_append_history\n"),
            (".zsh_history", "echo earlier\n"),
        ],
    ),
    (
        "zsh that shares",
        ZSH,
        &[
            (
                ".zshrc",
                "HISTFILE=~/.zsh_history HISTSIZE=99 SAVEHIST=99\nsetopt share_history extended_history\n",
            ),
            (".zsh_history", ": 1700000000:0;echo earlier\n"),
        ],
    ),
    (
        "zsh that saves at the end",
        ZSH,
        &[
            (".zshrc", "HISTFILE=~/.zsh_history HISTSIZE=99 SAVEHIST=99\n"),
            (".zsh_history", "echo earlier\n"),
        ],
    ),
    (
        "fish",
        &["fish", "-l"],
        &[(".local/share/fish/fish_history", "- cmd: echo earlier\n  when: 1700000000\n")],
    ),
    (
        "tcsh",
        &["tcsh", "-l"],
        &[
            (".cshrc", "set history=99 savehist=(99 merge) histfile=~/.history\n"),
            (".history", "#+1700000000\necho earlier\n"),
        ],
    ),
    (
        "bsd-csh",
        &["bsd-csh", "-l"],
        &[(".cshrc", "set history=99 savehist=99\n"), (".history", "echo earlier\n")],
    ),
    ("ksh", &["ksh", "-l"], &[(".sh_history", "\u{1}\u{1}echo earlier\n\0")]),
    (
        "mksh",
        &["mksh", "-l"],
        &[
            (".profile", "export ENV=~/.mkshrc\n"),
            (".mkshrc", "HISTFILE=~/.mksh_history\n"),
            (".mksh_history", "\u{1}\u{1}\u{1}\0\0\0\u{1}echo earlier\0"),
        ],
    ),
];

#[test]
fn no_history_has_a_line_of_ours_however_the_call_ends() {
    let ends = ["done", "cut off", "cut off while typing"];
    at_once(HISTORIES.iter().flat_map(|set_up| ends.map(|end| (set_up, end))), |(set_up, end)| {
        let name = format!("{}, {end}", set_up.0);
        let Some((home, mut host)) = at_home(set_up, 24, 80) else { return };
        let (file, before) = set_up.2.last().unwrap();
        // ksh93 and mksh know their files, and mksh its records, by bytes that are no text.
        let magic: &[u8] = match set_up.0 {
            "ksh" => &[0x81, 0x01],
            "mksh" => &[0xab, 0xcd, 0xff],
            _text => &[],
        };
        let mut earlier = before.as_bytes().to_vec();
        earlier[..magic.len()].copy_from_slice(magic);
        std::fs::write(home.path().join(file), &earlier).unwrap();
        if end == "cut off while typing" {
            host.hears("$#%> ");
            host.type_keys(&loader(Nonce::new(NONCE)).into_bytes()[..60]);
            host.hears("HISTFILE");
            host.hang_up();
        } else {
            let opened = host.open(&unknown_prompt());
            let mut shell = opened.unwrap_or_else(|error| panic!("{name}: {error}; {}", host.last_heard()));
            assert_eq!(host.run(&mut shell, "echo here").bytes, b"here\n", "{name}");
            if end == "done" {
                assert_eq!(host.leave(&mut shell), Left::HungUp, "{name}");
            }
            host.hang_up();
        }
        let ours = ["HISTFILE savehist", "stty raw", "set +o history", "#\n", "#\0"];
        let mut folders = vec![home.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(!ours.iter().any(|line| text.contains(line)), "{name}: {}: {text:?}", path.display());
            }
        }
        let left = std::fs::read(home.path().join(file)).unwrap();
        assert!(String::from_utf8_lossy(&left).contains("echo earlier"), "{name}: {}", left.escape_ascii());
    });
}

#[test]
fn gnu_screen_is_named_and_nothing_stays_in_it() {
    let set_up: SetUp = (
        "screen",
        BASH,
        &[(".bash_profile", "test -z \"$STY\" && exec screen\n"), (".screenrc", "startup_message off\n")],
    );
    if !have("screen") {
        return;
    }
    let Some((home, mut host)) = at_home(&set_up, 24, 80) else { return };
    let error = host.open(&unknown_prompt()).unwrap_err();
    assert_eq!(error, ShellError::Multiplexed { program: "screen".into() });
    host.hang_up();
    let sockets = || std::fs::read_dir(home.path().join("screens")).into_iter().flatten().count();
    wait_for("the session inside of screen to be over", || sockets() == 0);
}

/// A program that is somebody's login shell and no shell; what it was told it writes to a file.
const KEY_MENU: &str = "#!/bin/bash\nstty -echo -icanon\nwhile printf '\\r\\n(m)ail (d)elete all (q)uit\\r\\nCommand > '\ndo IFS= read -rN1 a || exit\nprintf '%q\\n' \"$a\" >> ~/told\ndone\n";
const LINE_MENU: &str = "#!/bin/sh\nwhile printf '\\n1) Mail 2) Delete all 9) Bye\\nYour choice: '\ndo read a || exit\nprintf '%s\\n' \"$a\" >> ~/told\necho No such choice.\ndone\n";

#[test]
fn what_is_no_shell_is_said_so_and_nothing_is_chosen_in_it() {
    let folder = open_folder();
    let program = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let vi = Path::new("/usr/bin/vi");
    let mut cases = vec![
        ("mk", program("keys", KEY_MENU), 78, "shows a menu"),
        ("ml", program("lines", LINE_MENU), 78, "shows a menu"),
        ("mf", "/bin/false".into(), 75, "login shell ends at once"),
        (
            "mg",
            program(
                "git-shell",
                "#!/bin/sh\necho 'fatal: Interactive git shell is not enabled.'\nexit 128\n",
            ),
            76,
            "not to a shell: \"fatal: Interactive git shell is not enabled.\"",
        ),
        ("mn", "/usr/sbin/nologin".into(), 77, "not available"),
    ];
    if vi.exists() {
        cases.push(("mv", vi.into(), 75, "does not offer a shell"));
    }
    at_once(cases, |(suffix, shell, code, says)| {
        let Some(user) = User::new(suffix, shell.to_str().unwrap(), b"") else { return };
        let command = "kind = \"exec\"\ncommand = [\"/sbin/agetty\", \"-\", \"vt100\"]\n";
        let account = format!("user = {:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\n", user.name);
        let ran = Home::with_line(command, &account).fetch();
        assert_eq!(ran.code, code, "{}: {}", shell.display(), ran.err);
        assert!(ran.err.contains(says), "{}: {}", shell.display(), ran.err);
        let home = nix::unistd::User::from_name(&user.name).unwrap().unwrap().dir;
        let told = std::fs::read_to_string(home.join("told")).unwrap_or_default();
        for line in told.lines() {
            assert!(
                matches!(line.trim_start().as_bytes().first(), Some(b';' | b':' | b'#' | b'\\')),
                "{told}"
            );
            assert!(line.len() > 3 || !line.contains(|c: char| c.is_ascii_alphanumeric()), "{told}");
        }
    });
}

#[test]
fn a_restricted_shell_whose_path_has_no_sh_is_named_as_what_it_is() {
    let Some(user) = User::new("rs", "/bin/rbash", b"") else { return };
    let home = nix::unistd::User::from_name(&user.name).unwrap().unwrap().dir;
    std::fs::write(home.join(".bash_profile"), "PATH=$HOME/bin\n").unwrap();
    let command = "kind = \"exec\"\ncommand = [\"/sbin/agetty\", \"-\", \"vt100\"]\n";
    let account = format!("user = {:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\n", user.name);
    let ran = Home::with_line(command, &account).fetch();
    ran.ended(76, "host-lacks");
    assert!(ran.err.contains("rbash: sh: command not found"), "{}", ran.err);
    assert!(ran.err.contains("ordinary shell"), "{}", ran.err);
}

const WALL: &str =
    "\r\n\x07Broadcast message from root@host (pts/1):\r\n\r\nThe system goes down at 5!\r\n\r\n";

#[test]
fn a_wall_at_each_prompt_and_in_mid_command_harms_neither_login_nor_reply() {
    let walls = ["login: ", "Password: ", "Last login", "savehist;", "AAAA"];
    at_once([Getty::Agetty, Getty::Busybox].into_iter().enumerate(), |(n, with)| {
        let folder = open_folder();
        let Some(user) = somebody(&format!("w{n}"), Path::new("/bin/bash"), with) else { return };
        let Some(mut host) = getty(with, folder.path()) else { return };
        host.walls = walls.map(|at| (at, WALL.to_owned())).into();
        let mut shell = host.reach(&user.name);
        // Three zero bytes are AAAA in base64: the wall falls into the reply.
        let reply = host.run(&mut shell, "head -c 40000 /dev/zero; exit 5");
        assert_eq!((reply.status, reply.bytes), (5, vec![0; 40_000]), "{with:?}");
        let left: Vec<&str> = host.walls.iter().map(|(at, _)| *at).collect();
        // A first login has no last one.
        assert!(left.iter().all(|at| *at == "Last login"), "{with:?}: {left:?}");
        assert_eq!(host.leave(&mut shell), Left::HungUp);
    });
}

#[test]
fn real_walls_in_a_call_and_raw_ones_in_the_text_transfer_harm_no_mail() {
    if !have("wall") {
        return;
    }
    let mailbox = sample();
    let Some(user) = User::new("wt", "/bin/bash", &mailbox) else { return };
    let folder = open_folder();
    let (tty, login) = (folder.path().join("tty"), folder.path().join("login"));
    std::fs::write(&login, format!("#!/bin/sh\ntty > {}\nexec /bin/login\n", tty.display())).unwrap();
    std::fs::set_permissions(&login, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let sim = Sim::start(&["--host", login.to_str().unwrap(), "--ring", "0", "--bps", "57600"]);
    let home = user.home(&sim, "transfer = \"text\"\n");
    let mut command = home.command(&["-vv", "fetch", "--json", "home"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let mut walls = 0;
    let mut said = String::new();
    let mut done = std::collections::BTreeSet::new();
    for line in lines.map_while(Result::ok) {
        said += &line;
        said += "\n";
        // Once each: who is shouted down again and again gives up, and may.
        let place =
            ["login: ", "Password: ", "carrying the mail"].iter().find(|place| line.contains(**place));
        if place.is_some_and(|place| done.insert(*place)) {
            let mut terminal = std::fs::File::options()
                .write(true)
                .open(std::fs::read_to_string(&tty).unwrap().trim())
                .unwrap();
            std::io::Write::write_all(&mut terminal, WALL.as_bytes()).unwrap();
            walls += 1;
        }
        // Only who is in the group of this user, whom nobody else is in, hears it.
        if line.contains("setting up the shell")
            || line.contains("looking at the mailbox")
            || line.contains("carrying the mail")
        {
            let wall = Command::new("wall").args(["-g", &user.name, "going down soon"]).status().unwrap();
            assert!(wall.success());
            walls += 1;
        }
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(home.mail(), messages(&mailbox));
    assert!(walls >= 4, "{walls}: {said}");
    sim.on_hook_after(1);
}
