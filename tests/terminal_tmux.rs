//! `mailcall terminal` as a person uses it: a screen in tmux, looked at as it is shown.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::*;

/// A screen with a shell of this machine behind the program.
struct Tmux {
    socket: PathBuf,
    home: Home,
    _dir: tempfile::TempDir,
}

impl Tmux {
    /// `None`, said loudly, where a program is missing.
    fn start() -> Option<Self> {
        if !["tmux", "bash", "vi", "sz", "rz"].iter().all(|program| have(program)) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let home = Home::with_line(
            &format!(
                "kind = \"exec\"\ncommand = [\"bash\", \"--norc\", \"--noprofile\"]\nterm = \"screen\"\n\
                 env = {{ PS1 = \"host$ \" }}\nfolder = {:?}",
                dir.path().display().to_string()
            ),
            "",
        );
        let tmux = Self { socket: dir.path().join("tmux"), home, _dir: dir };
        let file = tmux.home.dir.path().join(".config/mailcall/config.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let downloads = tmux.downloads().display().to_string();
        std::fs::write(&file, format!("[terminal]\ndownloads = {downloads:?}\n{text}")).unwrap();
        let person = format!(
            "env HOME={} {} terminal home; echo ended-$?; exec sleep 600",
            tmux.home.dir.path().display(),
            program()
        );
        tmux.tell(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", &person]);
        Some(tmux)
    }

    fn downloads(&self) -> PathBuf {
        self.home.dir.path().join("in")
    }

    fn on_host(&self, name: &str) -> PathBuf {
        self._dir.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        tmux.arg("-u").arg("-S").arg(&self.socket).args(words);
        tmux.env_remove("TMUX").env_remove("MAILCALL_CONFIG").env_remove("XDG_CONFIG_HOME").output().unwrap()
    }

    fn tell(&self, words: &[&str]) {
        let told = self.command(words);
        assert!(told.status.success(), "{words:?}: {told:?}");
    }

    fn types(&self, text: &str) {
        self.tell(&["send-keys", "-l", text]);
    }

    fn presses(&self, keys: &[&str]) {
        self.tell(&[&["send-keys"], keys].concat());
    }

    /// The rows that are not empty.
    fn screen(&self) -> Vec<String> {
        let shown = self.command(&["capture-pane", "-p"]).stdout;
        let text = String::from_utf8_lossy(&shown).into_owned();
        text.lines().map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }

    /// Waits until the last rows of the screen are these.
    fn ends_with(&self, rows: &[&str]) {
        wait_for(&format!("{rows:?} at the end of the screen"), || {
            let screen = self.screen();
            screen.len() >= rows.len() && screen[screen.len() - rows.len()..] == *rows
        });
    }

    fn shows(&self, text: &str) {
        wait_for(&format!("{text:?} on the screen"), || self.screen().iter().any(|row| row.contains(text)));
    }

    fn clear(&self) {
        self.presses(&["C-l"]);
        self.ends_with(&["host$"]);
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the screen:\n{}\n---", self.screen().join("\n"));
        }
        self.command(&["kill-server"]);
    }
}

fn written(file: &Path, text: &[u8]) {
    wait_for(&format!("{}", file.display()), || std::fs::read(file).is_ok_and(|found| found == text));
}

#[test]
fn a_person_types_resizes_edits_carries_files_and_leaves() {
    let Some(tmux) = Tmux::start() else { return };
    tmux.ends_with(&["[home: connected. Ctrl-] q hangs up]", "host$"]);

    // The window's size is the host's.
    tmux.types("stty size\r");
    tmux.ends_with(&["host$ stty size", "30 100", "host$"]);
    tmux.tell(&["resize-window", "-x", "90", "-y", "25"]);
    tmux.types("stty size\r");
    tmux.ends_with(&["host$ stty size", "25 90", "host$"]);

    // An editor has the whole screen.
    tmux.types("vi note\r");
    wait_for("the editor", || tmux.screen().iter().filter(|row| *row == "~").count() > 20);
    tmux.types("ihello from vi");
    wait_for("its first row", || tmux.screen()[0] == "hello from vi");
    tmux.presses(&["Escape"]);
    tmux.types(":wq\r");
    tmux.shows("host$");
    written(&tmux.on_host("note"), b"hello from vi\n");
    tmux.clear();

    // The host's sz begins a transfer by itself, and what is there already stays.
    for name in ["note", "note.1"] {
        tmux.types("sz note\r");
        written(&tmux.downloads().join(name), b"hello from vi\n");
        tmux.shows(&format!("/in/{name}: 14 bytes]"));
        tmux.types("\r");
        wait_for("the prompt", || tmux.screen().last().is_some_and(|row| row == "host$"));
    }
    tmux.clear();

    // A file is sent from the menu, with its name completed.
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let file = tmux.home.dir.path().join("sent by me");
    std::fs::write(&file, &every_byte).unwrap();
    tmux.presses(&["C-]"]);
    tmux.types("s");
    tmux.shows("[send (Ctrl-C: nothing):");
    tmux.types(&format!("{}/sent\t", tmux.home.dir.path().display()));
    tmux.shows("sent\\ by\\ me");
    tmux.types("\r");
    written(&tmux.on_host("sent by me"), &every_byte);
    tmux.shows("100000 bytes sent]");

    // Where the host waits for a file, and none is wanted.
    tmux.types("\r");
    tmux.clear();
    tmux.types("rz\r");
    tmux.shows("[send (Ctrl-C: nothing):");
    tmux.presses(&["C-c"]);
    wait_for("the question to go", || !tmux.screen().iter().any(|row| row.contains("[send (")));
    tmux.types("\recho $((6*7))-goes-on\r");
    tmux.shows("42-goes-on");
    tmux.clear();

    // The menu stands below the cursor, and what the host says meanwhile above it.
    tmux.types("read -t 600 x; echo behind; read y\r");
    tmux.presses(&["C-]"]);
    tmux.shows("[send recv break echo");
    tmux.ends_with(&[
        "host$ read -t 600 x; echo behind; read y",
        "[send recv break echo n/m ends x hex log port hangup dial keep quit ? help]",
    ]);
    tmux.presses(&["C-]"]); // which sends itself, so that the line is not empty
    tmux.types("\r");
    tmux.ends_with(&["host$ read -t 600 x; echo behind; read y", "^]", "behind"]);
    tmux.types("\r");
    tmux.ends_with(&["behind", "host$"]);

    tmux.presses(&["C-]"]);
    tmux.types("?");
    tmux.shows("leaves, and keeps the call up");
    tmux.presses(&["C-]"]);
    tmux.types("q");
    tmux.shows("you have hung up");
    tmux.shows("ended-0");
}
