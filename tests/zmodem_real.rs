//! The ZMODEM receiver against the real `sz` of lrzsz, on a PTY in raw mode and in real time, with
//! the line model between them where a test asks for noise.
#![allow(clippy::disallowed_methods)] // a real peer runs in real time

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mailcall::machine::{LineClock, Machine, Output};
use mailcall::sim::wire::{LineQuality, Wire};
use mailcall::transfer::zmodem::{Receive, ReceiveOptions, Received, ZmodemError, ZmodemEvent};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

type Outcome = Result<Received, ZmodemError>;

/// What a run of `sz` against our receiver came to.
struct Talk {
    outcome: Outcome,
    data: Vec<u8>,
    started: Option<(String, Option<u64>)>,
    elapsed: Duration,
    /// Bytes that had arrived and were left for whoever speaks next.
    left: Vec<u8>,
    /// How `sz` exited; `None` if it had to be killed in the end.
    exit: Option<i32>,
}

/// One run: this command sends a file to a receiver with these options.
struct Run<'a> {
    /// Goes to `sh -c`, with the file as `$0`.
    command: String,
    options: ReceiveOptions,
    quality: LineQuality,
    seed: u64,
    on_event: Box<OnEvent<'a>>,
}

type OnEvent<'a> = dyn FnMut(&ZmodemEvent, &mut Receive, &mut Child) + 'a;

impl Default for Run<'_> {
    fn default() -> Self {
        Self::flags("")
    }
}

impl Run<'_> {
    fn flags(flags: &str) -> Self {
        Self {
            command: format!("exec sz -b -q {flags} \"$0\""),
            options: ReceiveOptions { rtt: Duration::from_millis(200), ..ReceiveOptions::default() },
            quality: LineQuality::PERFECT,
            seed: 1,
            on_event: Box::new(|_, _, _| {}),
        }
    }

    fn talk(mut self, file: &Path) -> Talk {
        let pty = nix::pty::openpty(None, None).expect("a PTY");
        let mut raw = tcgetattr(&pty.slave).expect("termios");
        cfmakeraw(&mut raw);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).expect("raw mode");
        let slave = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .arg(file)
            .stdin(slave(&pty.slave))
            .stdout(slave(&pty.slave))
            .stderr(slave(&pty.slave))
            .spawn()
            .expect("sh");
        drop(pty.slave);
        let mut master = std::fs::File::from(pty.master);
        let mut talk = self.pump(&mut master, &mut child);
        let deadline = Instant::now() + Duration::from_secs(5);
        talk.exit = loop {
            if let Some(status) = child.try_wait().expect("wait") {
                break Some(status.code().unwrap_or(-1));
            }
            if Instant::now() > deadline {
                child.kill().expect("kill");
                child.wait().expect("wait");
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        talk
    }

    fn pump(&mut self, master: &mut std::fs::File, child: &mut Child) -> Talk {
        let mut receive = Receive::new(self.options.clone());
        let (mut down, mut up) = (Wire::new(self.quality, self.seed), Wire::new(self.quality, !self.seed));
        let mut clock = LineClock::default();
        let mut input = Vec::new();
        let (mut eof, mut hung_up) = (false, false);
        let begin = Instant::now();
        let mut talk = Talk {
            outcome: Ok(Received::default()),
            data: Vec::new(),
            started: None,
            elapsed: Duration::ZERO,
            left: Vec::new(),
            exit: None,
        };
        loop {
            let now = Instant::now();
            assert!(now - begin < RUN_MAX, "{} goes on for ever", self.command);
            clock.set_sending(now, up.sending_until(now).is_some());
            let line_now = clock.line_time(now);
            input.extend(down.poll(now));
            let wait = loop {
                let taken = if input.is_empty() { 0 } else { receive.handle_input(line_now, &input) };
                input.drain(..taken);
                if eof && input.is_empty() && down.next_arrival().is_none() && !hung_up {
                    hung_up = true;
                    receive.handle_hangup(line_now);
                }
                match self.poll(&mut receive, child, &mut talk, &mut up, line_now, now) {
                    Ok(wait) if taken == 0 || input.is_empty() => break wait,
                    Ok(_) => {}
                    Err(outcome) => {
                        // Our last word still goes out, unless nobody is there.
                        let _ = master.write_all(&up.poll(now + RUN_MAX));
                        (talk.outcome, talk.left, talk.elapsed) = (outcome, input, now - begin);
                        return talk;
                    }
                }
            };
            // Nobody may be there to hear it; what was said before is still to be read.
            let _ = master.write_all(&up.poll(now));
            if wait.is_some_and(|at| at <= line_now) {
                receive.handle_timeout(line_now);
                continue;
            }
            // A modem takes no more than it can send within a moment.
            let full = down.sending_until(now).is_some_and(|until| until > now + MODEM_BUFFER);
            let timers = [wait.map(|at| clock.wall_time(at)), down.next_arrival(), up.next_arrival()];
            let next = timers.into_iter().flatten().min().unwrap_or(now + NAP_MAX);
            let nap = next.saturating_duration_since(now).min(NAP_MAX);
            if eof || full {
                std::thread::sleep(nap);
            } else if is_readable(master, nap) {
                let mut buffer = [0; 4_096];
                match master.read(&mut buffer) {
                    Ok(0) | Err(_) => eof = true,
                    Ok(count) => down.push(Instant::now(), &buffer[..count]),
                }
            }
        }
    }

    fn poll(
        &mut self,
        receive: &mut Receive,
        child: &mut Child,
        talk: &mut Talk,
        up: &mut Wire,
        line_now: Instant,
        now: Instant,
    ) -> Result<Option<Instant>, Outcome> {
        loop {
            match receive.poll_output(line_now) {
                Output::Transmit(transmit) => up.push(now, &transmit.bytes),
                Output::Control(control) => panic!("sz asks for no {control:?}"),
                Output::Event(event) => {
                    (self.on_event)(&event, receive, child);
                    match event {
                        ZmodemEvent::Started { name, size } => talk.started = Some((name, size)),
                        ZmodemEvent::Data { offset, bytes } => {
                            assert_eq!(offset, self.options.resume_at + talk.data.len() as u64);
                            talk.data.extend(bytes);
                        }
                    }
                }
                Output::Wait(at) => return Ok(at),
                Output::Done(outcome) => return Err(outcome),
            }
        }
    }
}

fn is_readable(master: &std::fs::File, wait: Duration) -> bool {
    let mut fds = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
    let millis = wait.as_micros().div_ceil(1_000) as u16;
    poll(&mut fds, PollTimeout::from(millis)).expect("poll") > 0
}

/// A run that takes longer fails.
const RUN_MAX: Duration = Duration::from_secs(150);
const NAP_MAX: Duration = Duration::from_millis(20);
/// What the model's modem holds, in line time.
const MODEM_BUFFER: Duration = Duration::from_millis(200);

fn sz_is_here() -> bool {
    let version = Command::new("sz").arg("--version").stdout(Stdio::null()).status();
    let here = version.is_ok_and(|status| status.success());
    if !here {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have sz (lrzsz)");
        println!("SKIPPED: no sz (lrzsz) here");
    }
    here
}

/// Bytes of all values, no two places alike.
fn binary(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(length as u64);
    (0..length).map(|_| rng.u8(..)).collect()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn file(dir: &tempfile::TempDir, content: &[u8]) -> PathBuf {
    let path = dir.path().join("mail box");
    std::fs::write(&path, content).expect("a file");
    path
}

fn is_whole(talk: &Talk, content: &[u8]) -> Received {
    let received = talk.outcome.clone().expect("success");
    assert!(talk.data == content, "{} bytes of {}: {received:?}", talk.data.len(), content.len());
    assert_eq!(talk.exit, Some(0), "sz is content, too");
    assert!(received.complete);
    received
}

#[test]
fn text_binary_and_an_empty_file_arrive() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let text = b"From a@b\nSubject: hi\n\nhello\n".to_vec();
    let all: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    for content in [text, all, Vec::new(), binary(1), b"*\x18C".repeat(500)] {
        let talk = Run::default().talk(&file(&dir, &content));
        let received = is_whole(&talk, &content);
        assert_eq!(talk.started, Some(("mail box".into(), Some(content.len() as u64))));
        assert_eq!((received.stats.zrpos_sent, received.stats.timeouts), (0, 0), "{received:?}");
        assert!(talk.elapsed < Duration::from_secs(3), "{:?}", talk.elapsed);
        assert_eq!(talk.left, b"", "OO was taken, and nothing is left");
    }
}

#[test]
fn a_megabyte_arrives_whatever_the_flags() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let content = binary(1_000_000);
    let path = file(&dir, &content);
    for flags in ["", "-o", "-8", "-w 2048", "-e", "-L 256", "-e -o -w 1024", "-l 2048"] {
        let talk = Run::flags(flags).talk(&path);
        let received = is_whole(&talk, &content);
        println!("sz {flags}: {:?}", talk.elapsed);
        assert_eq!((received.stats.zrpos_sent, received.stats.timeouts), (0, 0), "{flags}: {received:?}");
    }
    for options in [
        ReceiveOptions { crc16_only: true, ..Run::default().options },
        ReceiveOptions { escape_controls: true, ..Run::default().options },
    ] {
        let talk = Run { options, ..Run::default() }.talk(&path);
        is_whole(&talk, &content);
    }
}

#[test]
fn it_resumes_in_the_middle_and_at_the_end() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let content = binary(100_000);
    let path = file(&dir, &content);
    for resume_at in [1, 50_000, 65_536, 99_999, 100_000] {
        let options = ReceiveOptions { resume_at: resume_at as u64, ..Run::default().options };
        let talk = Run { options, ..Run::default() }.talk(&path);
        let received = is_whole(&talk, &content[resume_at..]);
        assert_eq!(received.end, 100_000);
        assert!(talk.elapsed < Duration::from_secs(3), "{resume_at}: {:?}", talk.elapsed);
    }
}

#[test]
fn it_stops_at_the_limit_and_sz_exits() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let content = binary(300_000);
    let path = file(&dir, &content);
    for limit in [0, 1_000, 150_000] {
        let options = ReceiveOptions { limit: Some(limit), ..Run::default().options };
        let talk = Run { options, ..Run::default() }.talk(&path);
        let received = talk.outcome.expect("success");
        println!("limit {limit}: {:?} exit {:?} {received:?}", talk.elapsed, talk.exit);
        assert_eq!((received.end, received.complete), (limit, false));
        assert_eq!(talk.data, content[..limit as usize]);
        assert!(talk.exit.is_some(), "sz is gone");
        assert!(talk.elapsed < Duration::from_secs(3), "{limit}: {:?}", talk.elapsed);
    }
}

#[test]
fn noise_costs_time_and_nothing_else() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let content = binary(200_000);
    for (bit_error_rate, length, flags) in [
        (1e-5, 200_000, ""),
        (1e-5, 200_000, "-w 2048"),
        (1e-5, 200_000, "-o -8"),
        (1e-4, 30_000, ""),
        (1e-4, 30_000, "-w 2048"),
        (1e-4, 30_000, "-w 1024"),
    ] {
        let quality = LineQuality { bit_error_rate, ..LineQuality::PERFECT };
        let path = file(&dir, &content[..length]);
        for seed in 1..4 {
            let talk = Run { quality, seed, ..Run::flags(flags) }.talk(&path);
            let received = talk.outcome.unwrap_or_else(|error| panic!("sz {flags} seed {seed}: {error}"));
            println!("{bit_error_rate} {flags} {seed}: {:?} {:?}", talk.elapsed, received.stats);
            assert!(talk.data == content[..length], "sz {flags} seed {seed}");
        }
    }
}

#[test]
fn a_line_with_a_rate_and_a_latency_carries_it_at_that_rate() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let content = binary(50_000);
    let quality = LineQuality { bps: Some(230_400), latency: Duration::from_millis(50), bit_error_rate: 0.0 };
    let talk = Run { quality, ..Run::flags("-w 8192") }.talk(&file(&dir, &content));
    is_whole(&talk, &content);
    println!("{:?}", talk.elapsed);
    assert!(talk.elapsed < Duration::from_secs(10), "{:?}", talk.elapsed);
}

#[test]
fn our_cancel_ends_sz_soon() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let content = binary(3_000_000);
    let run = Run {
        on_event: Box::new(|event, receive, _| {
            if matches!(event, ZmodemEvent::Data { offset, .. } if *offset > 100_000) {
                receive.cancel();
            }
        }),
        ..Run::default()
    };
    let talk = run.talk(&file(&dir, &content));
    let Err(ZmodemError::Cancelled { end }) = talk.outcome else { panic!("{:?}", talk.outcome) };
    assert_eq!(end, talk.data.len() as u64);
    assert!(talk.data == content[..talk.data.len()]);
    assert!(talk.exit.is_some(), "sz is gone");
    assert!(talk.elapsed < Duration::from_secs(8), "{:?}", talk.elapsed);
}

#[test]
fn a_killed_sz_is_a_stated_end_and_loses_nothing() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let content = binary(3_000_000);
    let path = file(&dir, &content);
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let run = Run {
            on_event: Box::new(move |event, _, child| {
                if matches!(event, ZmodemEvent::Data { offset, .. } if *offset > 100_000) {
                    let _ = kill(nix::unistd::Pid::from_raw(child.id() as i32), signal); // once is enough
                }
            }),
            ..Run::default()
        };
        let talk = run.talk(&path);
        let error = talk.outcome.expect_err("it was killed");
        println!("{signal}: {error}");
        assert!(
            matches!(error, ZmodemError::CarrierLost { .. } | ZmodemError::PeerCancelled { .. }),
            "{signal}: {error:?}"
        );
        assert!(talk.data == content[..talk.data.len()]);
        assert!(talk.elapsed < Duration::from_secs(5), "{:?}", talk.elapsed);
    }
}

#[test]
fn behind_a_shell_the_end_marker_tells_of_a_killed_sz_and_stays() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let content = binary(3_000_000);
    let marker = b"\nEND-8842-";
    let mut run = Run {
        command: "exec 3<&0; sz -b -q \"$0\" <&3 & pid=$!; (sleep 0.3; kill -9 $pid) & wait $pid; \
                  printf '\\nEND-%s-%s\\n' 8842 $?; sleep 1"
            .into(),
        quality: LineQuality { bps: Some(1_000_000), ..LineQuality::PERFECT },
        ..Run::default()
    };
    run.options.end_marker = Some(marker.to_vec());
    let talk = run.talk(&file(&dir, &content));
    assert!(matches!(talk.outcome, Err(ZmodemError::SenderGone { .. })), "{:?}", talk.outcome);
    assert!(talk.left.starts_with(marker), "{:?}", talk.left.escape_ascii().to_string());
    assert!(!talk.data.is_empty() && talk.data == content[..talk.data.len()]);
    assert!(talk.elapsed < Duration::from_secs(6), "{:?}", talk.elapsed);
}

#[test]
fn a_file_that_is_not_there_ends_with_the_words_of_sz() {
    if !sz_is_here() {
        return;
    }
    // Behind a pipe: on its way out sz discards what its terminal has not handed on yet (TCFLSH), and
    // with it, when the reader is a moment late, its own last words.
    let run = Run { command: "sz -b -q \"$0\" </dev/null 2>&1 | cat".to_owned(), ..Run::default() };
    let talk = run.talk(Path::new("/nonexistent/mbox"));
    let Err(ZmodemError::PeerCancelled { said }) = talk.outcome else { panic!("{:?}", talk.outcome) };
    assert!(said.contains("/nonexistent/mbox"), "{said:?}");
    assert!(talk.elapsed < Duration::from_secs(3), "{:?}", talk.elapsed);
}

#[test]
fn a_file_that_grows_meanwhile_arrives_as_far_as_asked() {
    if !sz_is_here() {
        return;
    }
    let dir = directory();
    let content = binary(300_000);
    for limit in [None, Some(200_000)] {
        let path = file(&dir, &content[..200_000]);
        let mut run =
            Run { quality: LineQuality { bps: Some(4_000_000), ..LineQuality::PERFECT }, ..Run::default() };
        run.options.limit = limit;
        let (path_again, more) = (path.clone(), &content[200_000..]);
        let mut grown = false;
        run.on_event = Box::new(move |event, _, _| {
            if !grown && matches!(event, ZmodemEvent::Data { offset, .. } if *offset > 20_000) {
                grown = true;
                let mut file = std::fs::OpenOptions::new().append(true).open(&path_again).expect("the file");
                file.write_all(more).expect("a longer file");
            }
        });
        let talk = run.talk(&path);
        let received = talk.outcome.expect("success");
        println!("{limit:?}: {:?} {received:?}", talk.elapsed);
        assert_eq!(received.announced, Some(200_000));
        assert!(talk.data == content[..talk.data.len()]);
        match limit {
            None => assert!(received.complete && received.end >= 200_000, "{received:?}"),
            Some(limit) => assert_eq!(received.end, limit),
        }
        assert!(talk.elapsed < Duration::from_secs(10), "{:?}", talk.elapsed);
    }
}
