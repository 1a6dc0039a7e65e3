//! A person at a terminal of their own, with the program on it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use mailcall::line::pty::PtyPair;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, tcgetattr};

/// The program on a terminal of its own.
pub struct AtTerminal {
    pub pty: PtyPair,
    pub screen: File,
    pub child: Child,
}

impl AtTerminal {
    pub fn start(mut command: Command) -> Self {
        let pty = PtyPair::open().unwrap();
        pty.set_window(30, 100).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let screen = File::from(pty.master.try_clone().unwrap());
        Self { pty, screen, child }
    }

    /// Reads the screen until `text` has come: what came.
    pub fn sees(&mut self, text: &str) -> Vec<u8> {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut screen = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
            let said = poll(&mut screen, PollTimeout::from(PATIENCE_MS)).unwrap() > 0;
            assert!(said, "{text:?} is not on the screen: {}", String::from_utf8_lossy(&seen));
            let mut byte = [0];
            self.screen.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        seen
    }

    pub fn types(&mut self, keys: &[u8]) {
        self.screen.write_all(keys).unwrap();
    }

    /// How the program ended, and whether the terminal is as it was before.
    pub fn ended(mut self) -> i32 {
        // What it says while leaving must be read, or it waits for ever.
        let mut screen = self.screen.try_clone().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while matches!(screen.read(&mut bytes), Ok(1..)) {}
        });
        let code = self.child.wait().unwrap().code().unwrap();
        let flags = tcgetattr(self.pty.slave.as_fd()).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "{flags:?}");
        drop(self.pty); // ends the reader
        drop(self.screen);
        reader.join().unwrap();
        code
    }
}

/// How long a screen may stand still.
const PATIENCE_MS: u16 = 40_000;
