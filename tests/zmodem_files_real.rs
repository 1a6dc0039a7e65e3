//! The ZMODEM sender against the real `rz` of lrzsz, and the receive of batches against its `sz`, on a
//! PTY in raw mode and in real time, with the line model between them where a test asks for noise.
#![allow(clippy::disallowed_methods)] // a real peer runs in real time

mod common;

use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::have;
use mailcall::machine::{Inner, LineClock, Machine, Output};
use mailcall::sim::wire::{LineQuality, Wire};
use mailcall::transfer::zmodem::frame::FileInfo;
use mailcall::transfer::zmodem::{
    FilesEvent, ReceiveFiles, ReceiveOptions, Received, Send, SendError, SendEvent, SendOptions, Sent,
    ZmodemError,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// A command on a PTY in raw mode, in a folder.
struct Peer {
    child: Child,
    master: std::fs::File,
}

impl Peer {
    fn start(command: &str, folder: &Path) -> Self {
        let pty = nix::pty::openpty(None, None).expect("a PTY");
        let mut raw = tcgetattr(&pty.slave).expect("termios");
        cfmakeraw(&mut raw);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).expect("raw mode");
        let slave = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let mut sh = Command::new("sh");
        sh.args(["-c", command]).current_dir(folder).stdin(slave()).stdout(slave()).stderr(slave());
        let child = sh.spawn().expect("sh");
        // A terminal that nobody reads would stand still in the middle of a write.
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a flag");
        Self { child, master: pty.master.into() }
    }

    /// Pumps the machine to its end; `event` is told everything, with the peer at hand.
    fn talk<M: Machine>(
        &mut self,
        machine: &mut M,
        quality: LineQuality,
        mut event: impl FnMut(M::Event, &mut Child) -> Result<(), Infallible>,
    ) -> M::Outcome {
        let (mut down, mut up) = (Wire::new(quality, 1), Wire::new(quality, 2));
        let mut clock = LineClock::default();
        let (mut input, mut eof, mut told) = (Vec::new(), false, false);
        let begin = Instant::now();
        loop {
            let now = Instant::now();
            assert!(now - begin < RUN_MAX, "it goes on for ever");
            clock.set_sending(now, up.sending_until(now).is_some());
            let line_now = clock.line_time(now);
            input.extend(down.poll(now));
            let wait = loop {
                let taken = if input.is_empty() { 0 } else { machine.handle_input(line_now, &input) };
                input.drain(..taken);
                if eof && input.is_empty() && down.next_arrival().is_none() && !told {
                    told = true;
                    machine.handle_hangup(line_now);
                }
                let wait = loop {
                    match machine.poll_output(line_now).passed_on::<(), ()>() {
                        Ok(Output::Transmit(transmit)) => up.push(now, &transmit.bytes),
                        Ok(Output::Control(_)) => {}
                        Ok(Output::Wait(until)) => break until,
                        Ok(Output::Event(()) | Output::Done(())) => unreachable!("these are not passed on"),
                        Err(Inner::Event(told)) => {
                            let Ok(()) = event(told, &mut self.child);
                        }
                        Err(Inner::Done(outcome)) => {
                            let _ = self.master.write_all(&up.poll(now + RUN_MAX)); // or nobody is there
                            return outcome;
                        }
                    }
                };
                if taken == 0 || input.is_empty() {
                    break wait;
                }
            };
            self.write(&up.poll(now), &mut down);
            if wait.is_some_and(|at| at <= clock.line_time(Instant::now())) {
                machine.handle_timeout(clock.line_time(Instant::now()));
                continue;
            }
            let timers = [wait.map(|at| clock.wall_time(at)), down.next_arrival(), up.next_arrival()];
            let next = timers.into_iter().flatten().min().unwrap_or(now + NAP_MAX);
            let nap = next.saturating_duration_since(now).min(NAP_MAX);
            if eof {
                std::thread::sleep(nap);
            } else {
                eof = self.read(&mut down, nap);
            }
        }
    }

    /// Writes without ever standing still: what the peer says meanwhile is read.
    fn write(&mut self, bytes: &[u8], down: &mut Wire) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLOUT)];
            if poll(&mut fds, PollTimeout::from(20u16)).expect("poll") == 0 {
                if self.read(down, Duration::ZERO) {
                    return;
                }
                continue;
            }
            match self.master.write(&rest[..rest.len().min(1_024)]) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.read(down, NAP_MAX) {
                        return;
                    }
                }
                Err(_) => return, // nobody is there
            }
        }
    }

    /// Reads what is there, waiting for it a moment; true at the end.
    fn read(&mut self, down: &mut Wire, wait: Duration) -> bool {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let millis = wait.as_micros().div_ceil(1_000) as u16;
        if poll(&mut fds, PollTimeout::from(millis)).expect("poll") == 0 {
            return false;
        }
        let mut buffer = [0; 4_096];
        match self.master.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Ok(0) | Err(_) => true,
            Ok(count) => {
                down.push(Instant::now(), &buffer[..count]);
                false
            }
        }
    }

    /// How the command ended; it is killed if it does not.
    fn exit(mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return Some(status.code().unwrap_or(-1));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
        None
    }
}

/// A run that takes longer fails.
const RUN_MAX: Duration = Duration::from_secs(120);
const NAP_MAX: Duration = Duration::from_millis(20);

fn info(name: &str, content: &[u8]) -> FileInfo {
    FileInfo {
        name: name.into(),
        name_bytes: name.as_bytes().to_vec(),
        size: Some(content.len() as u64),
        mtime: Some(1_000_000_000),
        mode: Some(0o100_640),
    }
}

fn options() -> SendOptions {
    SendOptions::for_line(None, Duration::from_millis(200))
}

/// Sends files to `command` in `folder`.
fn send(
    command: &str,
    folder: &Path,
    files: &[(String, Vec<u8>)],
    options: SendOptions,
    quality: LineQuality,
    mut also: impl FnMut(&SendEvent, &mut Child),
) -> (Result<Sent, SendError>, Option<i32>) {
    let mut peer = Peer::start(command, folder);
    let mut machine = Send::new(files.iter().map(|(name, content)| info(name, content)).collect(), options);
    let outcome = peer.talk(&mut machine, quality, |event, child| {
        also(&event, child);
        match event {
            SendEvent::Wants(want) => {
                let content = &files[want.file].1;
                want.answer.give(content[want.offset as usize..][..want.length].to_vec());
            }
            SendEvent::WantsCrc(want) => {
                want.answer.give(crc32fast::hash(&files[want.file].1[..want.length as usize]));
            }
            SendEvent::Offered { .. } | SendEvent::Received { .. } | SendEvent::Finished { .. } => {}
        }
        Ok(())
    });
    (outcome, peer.exit())
}

/// Bytes of all values, no two places alike.
fn binary(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| rng.u8(..)).collect()
}

fn batch() -> Vec<(String, Vec<u8>)> {
    let all: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let contents = [Vec::new(), binary(1), all, binary(1_024), b"*\x18C\r@\r".repeat(500), binary(70_000)];
    let names = ["empty", "one byte", "caf\u{e9}", "quote'\"$(x)", "new\nline", "long.name.with.dots"];
    names.iter().map(ToString::to_string).zip(contents).collect()
}

#[test]
fn rz_takes_a_batch_with_odd_names_whatever_its_flags() {
    if !have("rz") {
        return;
    }
    for (flags, escape) in [("", false), ("-e", false), ("", true), ("-e", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let files = batch();
        let options = SendOptions { escape_controls: escape, ..options() };
        let command = format!("exec rz -b -q {flags}");
        let (outcome, exit) = send(&command, folder.path(), &files, options, LineQuality::PERFECT, |_, _| {});
        let sent = outcome.unwrap_or_else(|error| panic!("{flags} {escape}: {error:?}"));
        assert_eq!((sent.files, sent.skipped, exit), (files.len(), 0, Some(0)), "{flags} {escape}");
        assert_eq!((sent.stats.went_back, sent.stats.timeouts), (0, 0), "{sent:?}");
        for (name, content) in &files {
            let path = folder.path().join(name);
            assert!(std::fs::read(&path).expect(name) == *content, "{flags} {escape} {name:?}");
        }
    }
}

#[test]
fn a_megabyte_reaches_rz_with_long_and_short_blocks() {
    if !have("rz") {
        return;
    }
    for block_max in [1_024, 8_192, 128] {
        let folder = tempfile::tempdir().expect("a folder");
        let files = vec![("big".to_owned(), binary(1 << 20))];
        let options = SendOptions { block_max, ..options() };
        let (outcome, exit) =
            send("exec rz -b -q", folder.path(), &files, options, LineQuality::PERFECT, |_, _| {});
        assert!(outcome.is_ok() && exit == Some(0), "{block_max}: {outcome:?} {exit:?}");
        assert!(std::fs::read(folder.path().join("big")).expect("it") == files[0].1);
    }
}

#[test]
fn noise_on_the_way_to_rz_costs_time_and_nothing_else() {
    if !have("rz") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let files = vec![("a".to_owned(), binary(30_000)), ("b".to_owned(), binary(500))];
    let quality = LineQuality { bps: Some(230_400), latency: Duration::from_millis(5), bit_error_rate: 3e-5 };
    let options = SendOptions { window: 4_096, ..options() };
    let (outcome, _) = send("exec rz -b -q", folder.path(), &files, options, quality, |_, _| {});
    let sent = outcome.expect("success");
    println!("{sent:?}");
    assert!(sent.stats.went_back > 0, "the line was not noisy: {sent:?}");
    for (name, content) in &files {
        assert!(std::fs::read(folder.path().join(name)).expect(name) == *content);
    }
}

#[test]
fn a_file_that_rz_has_is_skipped_or_gone_on_with() {
    if !have("rz") {
        return;
    }
    let content = binary(50_000);
    for (flags, here, files, skipped) in [("", &content[..10], 0, 1), ("-r", &content[..20_480], 1, 0)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        std::fs::write(&path, here).expect("a file");
        let mut first = None;
        let (outcome, _) = send(
            &format!("exec rz -b -q {flags}"),
            folder.path(),
            &[("a".to_owned(), content.clone())],
            options(),
            LineQuality::PERFECT,
            |event, _| {
                if let SendEvent::Wants(want) = event {
                    first.get_or_insert(want.offset);
                }
            },
        );
        let sent = outcome.expect("success");
        assert_eq!((sent.files, sent.skipped), (files, skipped), "rz {flags}");
        let now = std::fs::read(&path).expect("it");
        assert!(now == if files == 1 { &content[..] } else { here }, "rz {flags}");
        assert_eq!(first, (files == 1).then_some(20_480), "rz {flags}");
    }
}

#[test]
fn an_rz_that_is_killed_or_cannot_write_ends_it_soon() {
    if !have("rz") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let files = vec![("big".to_owned(), binary(3_000_000))];
    let quality = LineQuality { bps: Some(2_000_000), ..LineQuality::PERFECT };
    let began = Instant::now();
    let (outcome, _) = send("exec rz -b -q", folder.path(), &files, options(), quality, |event, child| {
        if matches!(event, SendEvent::Received { offset, .. } if *offset > 50_000) {
            child.kill().expect("kill");
        }
    });
    assert_eq!(outcome, Err(SendError::CarrierLost));
    // It interrupts itself as a person would, with five CANs.
    let mut peer = Peer::start("exec rz -b -q", folder.path());
    let mut machine = Send::new(vec![info("big2", &files[0].1)], options());
    let outcome = peer.talk(&mut machine, quality, |event, child| {
        match event {
            SendEvent::Wants(want) if want.offset < 500_000 => {
                want.answer.give(files[0].1[want.offset as usize..][..want.length].to_vec());
            }
            SendEvent::Received { offset, .. } if offset > 50_000 => {
                let pid = nix::unistd::Pid::from_raw(child.id() as i32);
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("kill");
            }
            _ => {}
        }
        Ok(())
    });
    let ended = matches!(outcome, Err(SendError::PeerCancelled { .. } | SendError::CarrierLost));
    assert!(ended, "{outcome:?}");
    peer.exit();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// A file that came: what was said of it, its bytes, and from which of them on they were sent.
type Came = (FileInfo, Vec<u8>, u64);

/// What a batch from `sz` came to.
fn receive(
    command: &str,
    folder: &Path,
    parts: &[(&str, &[u8])],
    quality: LineQuality,
) -> (Result<Received, ZmodemError>, Vec<Came>, Option<i32>) {
    let mut peer = Peer::start(command, folder);
    let rtt = Duration::from_millis(200);
    let mut machine = ReceiveFiles::new(ReceiveOptions { rtt, ..ReceiveOptions::default() });
    let (mut files, mut coming) = (Vec::new(), None);
    let outcome = peer.talk(&mut machine, quality, |event, _| {
        match event {
            FilesEvent::Offered(offer) => {
                let here = parts.iter().find(|(name, _)| *name == offer.info.name);
                let here = here.map_or(Vec::new(), |(_, here)| here.to_vec());
                coming = Some((offer.info.clone(), here.clone(), 0));
                offer.resume(here.len() as u64, crc32fast::hash(&here));
            }
            FilesEvent::Begins { offset } => {
                let (_, content, begun) = coming.as_mut().expect("it was offered");
                content.truncate(offset as usize);
                *begun = offset;
            }
            FilesEvent::Data { offset, bytes } => {
                let (_, content, _) = coming.as_mut().expect("it was offered");
                assert_eq!(offset, content.len() as u64);
                content.extend(bytes);
            }
            FilesEvent::Finished => files.push(coming.take().expect("it was offered")),
        }
        Ok(())
    });
    (outcome, files, peer.exit())
}

#[test]
fn a_batch_of_sz_arrives_with_times_and_modes_whatever_its_flags() {
    if !have("sz") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in batch() {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    for flags in ["", "-e", "-o", "-w 2048", "-8", "-e -o -L 256"] {
        let (outcome, files, exit) =
            receive(&format!("exec sz -b -q {flags} -- *"), folder.path(), &[], LineQuality::PERFECT);
        outcome.unwrap_or_else(|error| panic!("{flags}: {error:?}"));
        assert_eq!((files.len(), exit), (batch().len(), Some(0)), "{flags}");
        for (info, content, _) in files {
            let name = String::from_utf8(info.name_bytes).expect("as written");
            let (_, expected) = batch().into_iter().find(|(there, _)| *there == name).expect("one of them");
            assert!(content == expected, "{flags} {name:?}");
            assert!(info.mtime.is_some_and(|mtime| mtime > 1_000_000_000), "{flags} {name:?}");
            assert_eq!(info.mode.map(|mode| mode & 0o170_000), Some(0o100_000), "{flags} {name:?}");
        }
    }
}

#[test]
fn sz_proves_what_is_here_and_what_it_does_not_prove_comes_again() {
    if !have("sz") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let content = binary(40_000);
    let mut wrong = content[..30_000].to_vec();
    wrong[17] ^= 1;
    for name in ["a", "b", "c"] {
        std::fs::write(folder.path().join(name), &content).expect("a file");
    }
    let parts = [("a", &content[..30_000]), ("b", &wrong[..]), ("c", &content[..])];
    let (outcome, files, _) = receive("exec sz -b -q a b c", folder.path(), &parts, LineQuality::PERFECT);
    outcome.expect("success");
    let begun: Vec<u64> = files.iter().map(|(_, _, begun)| *begun).collect();
    assert_eq!(begun, [30_000, 0, 40_000]);
    assert!(files.iter().all(|(_, now, _)| *now == content));
}
