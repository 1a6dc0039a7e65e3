//! Lines and the simulated modem in real time: PTYs, processes, signals.
#![allow(clippy::disallowed_methods)] // the real world is what is tested here

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mailcall::line::exec::{ExecError, ExecLine, ExecSettings};
use mailcall::line::serial::{Flow, OpenError, SerialLine, SerialSettings};
use mailcall::line::{Line, send_break};
use mailcall::sim::dce::{Answer, DceEvent, DceOptions, HangUpBy, Hook};
use mailcall::sim::host::Host;
use mailcall::sim::serve::{Sim, SimEvent, SimOptions};
use mailcall::sim::wire::LineQuality;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

fn port(device: &Path) -> SerialSettings {
    SerialSettings::new(device, 57_600, Flow::None)
}

fn sim(host: &str, modem: DceOptions) -> Sim {
    let modem = DceOptions { ring_delay: Duration::ZERO, ..modem };
    Sim::start(SimOptions { modem, host: Host::Command(host.into()), link: None }).expect("a PTY")
}

/// Reads until `text` has come, and gives all that came.
async fn expect<L: Line + ?Sized>(line: &mut L, text: &str) -> String {
    let mut heard = Vec::new();
    let found = timeout(PATIENCE, async {
        while !heard.windows(text.len()).any(|window| window == text.as_bytes()) {
            let mut byte = [0];
            match line.read(&mut byte).await {
                Ok(1) => heard.push(byte[0]),
                other => return Err(other),
            }
        }
        Ok(())
    });
    let found = found.await;
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(matches!(found, Ok(Ok(()))), "waited for {text:?}, heard {heard:?}: {found:?}");
    heard
}

async fn dial(sim: &Sim) -> SerialLine {
    let mut line = SerialLine::open(port(sim.device())).expect("the simulator's port");
    line.write_all(b"ATE0S12=10\r").await.unwrap(); // 200 ms of guard time
    expect(&mut line, "OK\r\n").await;
    line.write_all(b"ATDT5551212\r").await.unwrap();
    expect(&mut line, "CONNECT 33600\r\n").await;
    line
}

async fn hang_up(line: &mut SerialLine) {
    sleep(Duration::from_millis(300)).await;
    line.write_all(b"+++").await.unwrap();
    expect(line, "OK\r\n").await;
    line.write_all(b"ATH\r").await.unwrap();
    expect(line, "OK\r\n").await;
}

/// Whether a process is there, and not merely a zombie.
fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The first line of digits in what a shell printed.
fn pid_in(text: &str) -> String {
    let digits = text.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() > 1);
    digits.unwrap_or_else(|| panic!("no pid in {text:?}")).into()
}

#[tokio::test]
async fn a_call_through_the_simulator_reaches_a_host_and_is_hung_up() {
    let mut sim = sim("stty raw -echo; exec cat", DceOptions::default());
    let mut line = dial(&sim).await;
    sleep(Duration::from_millis(300)).await; // stty
    line.write_all(b"is anybody there\x00\xff\x11?").await.unwrap();
    let mut heard = [0; 20];
    timeout(PATIENCE, line.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"is anybody there\x00\xff\x11?");
    hang_up(&mut line).await;
    timeout(PATIENCE, sim.on_hook()).await.expect("on-hook");
    assert!(sim.is_on_hook());
    let dialled = SimEvent::Modem(DceEvent::Dialled { number: "5551212".into() });
    assert_eq!(sim.next_event().await, Some(dialled));
    let connected = SimEvent::Modem(DceEvent::Connected { call: 1, number: "5551212".into() });
    assert_eq!(sim.next_event().await, Some(connected));
    match sim.next_event().await {
        Some(SimEvent::Modem(DceEvent::HungUp { call: 1, by, bytes_down: 23, bytes_up: 23, damaged: 0 })) => {
            assert_eq!(by, HangUpBy::Command); // 20 bytes and +++, which cat sent back
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn hanging_up_ends_the_hosts_shell_and_the_next_call_gets_a_new_one() {
    let mut sim = sim("echo pid $$.; exec sleep 1000", DceOptions::default());
    let mut line = dial(&sim).await;
    let first = pid_in(&expect(&mut line, ".").await);
    assert!(alive(&first));
    hang_up(&mut line).await;
    eventually("host ended", || !Path::new(&format!("/proc/{first}")).exists()).await;
    drop(line);
    let mut line = dial(&sim).await;
    assert_ne!(pid_in(&expect(&mut line, ".").await), first);
    hang_up(&mut line).await;
    timeout(PATIENCE, sim.on_hook()).await.expect("on-hook");
}

#[tokio::test]
async fn hanging_up_ends_what_runs_in_the_foreground_of_an_interactive_shell() {
    let sim = sim("PS1='$ ' exec /bin/sh -i", DceOptions::default());
    let mut line = dial(&sim).await;
    expect(&mut line, "$ ").await;
    line.write_all(b"sh -c 'echo $$.; exec sleep 1000'\r").await.unwrap();
    expect(&mut line, "1000'\r\n").await;
    let pid = pid_in(&expect(&mut line, ".").await);
    assert!(alive(&pid));
    hang_up(&mut line).await;
    eventually("the job ended", || !alive(&pid)).await;
}

#[tokio::test]
async fn an_idle_call_and_a_finished_one_cost_no_processor_time() {
    let mut sim = sim("exec cat", DceOptions::default());
    let mut line = dial(&sim).await;
    let cpu = || {
        let used = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap();
        used.user_time().num_milliseconds() + used.system_time().num_milliseconds()
    };
    use nix::sys::time::TimeValLike;
    let before = cpu();
    sleep(Duration::from_millis(500)).await;
    hang_up(&mut line).await;
    drop(line);
    sleep(Duration::from_millis(500)).await;
    assert!(sim.is_on_hook());
    sim.on_hook().await;
    assert!(cpu() - before < 200, "{} ms of a thread that has nothing to do", cpu() - before);
}

#[tokio::test]
async fn the_hosts_end_is_no_carrier_behind_its_last_word() {
    let mut sim = sim("echo bye", DceOptions::default());
    let mut line = dial(&sim).await;
    assert_eq!(expect(&mut line, "CARRIER\r\n").await, "bye\r\n\r\nNO CARRIER\r\n");
    timeout(PATIENCE, sim.on_hook()).await.expect("on-hook");
}

#[tokio::test]
async fn a_planned_loss_of_carrier_says_no_carrier_and_spares_the_next_call() {
    let sim =
        sim("echo 0123456789abcdef; exec cat", DceOptions { drop_after: vec![10], ..DceOptions::default() });
    let mut line = dial(&sim).await;
    assert_eq!(expect(&mut line, "CARRIER\r\n").await, "0123456789\r\nNO CARRIER\r\n");
    assert!(sim.is_on_hook());
    line.write_all(b"ATDT1\r").await.unwrap();
    expect(&mut line, "abcdef").await;
    assert_eq!(sim.hook(), Hook::Online);
}

#[tokio::test]
async fn nobody_at_the_number_is_said_and_no_host_is_started() {
    let mut sim = sim("echo never", DceOptions { answers: vec![Answer::Busy], ..DceOptions::default() });
    let mut line = SerialLine::open(port(sim.device())).unwrap();
    line.write_all(b"ATDT1\r").await.unwrap();
    expect(&mut line, "BUSY\r\n").await;
    sim.next_event().await;
    assert_eq!(sim.next_event().await, Some(SimEvent::Modem(DceEvent::Refused { result: "BUSY" })));
}

#[tokio::test]
async fn a_line_of_9600_delivers_all_in_order_at_its_rate_and_holds_the_host_back() {
    let quality = LineQuality { bps: Some(9_600), latency: Duration::from_millis(50), bit_error_rate: 0.0 };
    let sim = sim(
        "stty -opost; i=1000; while [ $i -lt 1480 ]; do echo $i; i=$((i+1)); done",
        DceOptions { quality, ..DceOptions::default() },
    );
    let mut line = dial(&sim).await;
    let start = Instant::now();
    let heard = expect(&mut line, "CARRIER").await;
    let took = start.elapsed();
    let expected: String = (1000..1480).map(|i| format!("{i}\n")).collect();
    assert_eq!(heard.trim_end_matches("\r\nNO CARRIER"), expected);
    assert!(took >= Duration::from_millis(2_500), "2,400 bytes take 2.5 s, took {took:?}");
    assert!(took < Duration::from_secs(10), "took {took:?}");
}

#[tokio::test]
async fn a_fast_line_carries_a_megabyte_unharmed() {
    let sim = sim("stty raw; head -c 1000000 /dev/zero | tr '\\0' U; printf END", DceOptions::default());
    let mut line = dial(&sim).await;
    let mut heard = Vec::new();
    let mut chunk = vec![0; 65_536];
    timeout(PATIENCE, async {
        while !heard.ends_with(b"NO CARRIER\r\n") {
            let count = line.read(&mut chunk).await.unwrap();
            assert!(count > 0);
            heard.extend_from_slice(&chunk[..count]);
        }
    })
    .await
    .expect("a megabyte");
    assert_eq!(heard.iter().filter(|&&byte| byte == b'U').count(), 1_000_000);
    assert!(heard.ends_with(b"UUUEND\r\nNO CARRIER\r\n"));
}

#[tokio::test]
async fn a_host_that_cannot_start_is_reported_and_the_caller_loses_carrier() {
    let spawn = Box::new(|_: &str| Err(std::io::Error::other("no chair for the host")));
    let modem = DceOptions { ring_delay: Duration::ZERO, ..DceOptions::default() };
    let mut sim = Sim::start(SimOptions { modem, host: Host::Spawn(spawn), link: None }).unwrap();
    let mut line = dial(&sim).await;
    expect(&mut line, "NO CARRIER\r\n").await;
    let mut texts = Vec::new();
    for _ in 0..4 {
        texts.push(sim.next_event().await.unwrap().to_string());
    }
    assert!(texts.contains(&"host failed: no chair for the host".into()), "{texts:?}");
}

#[tokio::test]
async fn any_pipe_can_be_the_host() {
    let spawn = Box::new(|number: &str| {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let greeting = format!("you dialled {number}\r\n");
        tokio::spawn(async move { theirs.write_all(greeting.as_bytes()).await });
        Ok(Box::new(ours) as Box<dyn mailcall::sim::host::HostPipe>)
    });
    let modem = DceOptions { ring_delay: Duration::ZERO, ..DceOptions::default() };
    let sim = Sim::start(SimOptions { modem, host: Host::Spawn(spawn), link: None }).unwrap();
    let mut line = dial(&sim).await;
    assert_eq!(expect(&mut line, "CARRIER\r\n").await, "you dialled 5551212\r\n\r\nNO CARRIER\r\n");
}

#[tokio::test]
async fn stopping_lets_the_reader_finish_removes_the_link_and_then_the_port_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("modem");
    std::os::unix::fs::symlink("/nonexistent/left-behind", &link).unwrap();
    let modem = DceOptions { ring_delay: Duration::ZERO, ..DceOptions::default() };
    let options = SimOptions { modem, host: Host::Command("cat".into()), link: Some(link.clone()) };
    let sim = Sim::start(options).unwrap();
    let mut line = SerialLine::open(port(&link)).expect("by the link's name");
    line.write_all(b"ATE0\r").await.unwrap();
    expect(&mut line, "OK\r\n").await;
    line.write_all(b"ATI\r").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let stopping = tokio::spawn(sim.stop());
    sleep(Duration::from_millis(100)).await;
    expect(&mut line, "OK\r\n").await;
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
    assert!(!link.exists() && !link.is_symlink());
    let mut buf = [0; 10];
    for _ in 0..3 {
        let end = timeout(Duration::from_secs(1), line.read(&mut buf)).await.expect("no waiting at the end");
        assert_eq!(end.unwrap(), 0);
    }
    let gone = line.write_all(b"AT\r").await.unwrap_err();
    assert!(gone.to_string().contains("has gone"), "{gone}");
}

#[tokio::test]
async fn a_file_is_not_replaced_by_the_link() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("precious");
    std::fs::write(&link, "mail").unwrap();
    let options = SimOptions {
        modem: DceOptions::default(),
        host: Host::Command("cat".into()),
        link: Some(link.clone()),
    };
    assert!(Sim::start(options).is_err());
    assert_eq!(std::fs::read(&link).unwrap(), b"mail");
}

#[tokio::test]
async fn a_port_is_refused_by_name_and_reason() {
    let open = |device: &str| SerialLine::open(port(Path::new(device))).expect_err("no port");
    let missing = open("/dev/ttyNOSUCH7");
    assert!(matches!(missing, OpenError::NoSuchDevice { .. }), "{missing}");
    assert!(missing.to_string().contains("/dev/ttyNOSUCH7"));
    assert!(matches!(open("/dev/null"), OpenError::NotSerial { .. }));
    assert!(matches!(open("/tmp"), OpenError::NotSerial { .. }));
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(open(file.path().to_str().unwrap()), OpenError::NotSerial { .. }));
    let sim = sim("cat", DceOptions::default());
    let held = SerialLine::open(port(sim.device())).unwrap();
    let locked = open(sim.device().to_str().unwrap());
    assert!(matches!(locked, OpenError::Locked { .. }), "{locked}");
    assert!(locked.to_string().contains(&format!("(pid {})", std::process::id())), "{locked}");
    drop(held);
    SerialLine::open(port(sim.device())).expect("free again");
    let stopped = SerialSettings { speed: 0, ..port(sim.device()) };
    assert!(matches!(SerialLine::open(stopped), Err(OpenError::Settings { .. })));
}

#[tokio::test]
async fn a_pty_has_no_leads_and_says_so() {
    let sim = sim("cat", DceOptions::default());
    let mut line: Box<dyn Line> = Box::new(SerialLine::open(port(sim.device())).unwrap());
    assert!(!line.leads_known());
    assert!(!line.set_dtr(false).unwrap());
    assert_eq!(line.carrier().unwrap(), None);
    assert_eq!(line.unsent().unwrap(), None);
    assert!(!send_break(&mut *line, Duration::from_millis(1)).await.unwrap());
    assert_eq!(line.speed(), Some(57_600));
    assert_eq!(line.name(), sim.device().display().to_string());
    line.discard_output().unwrap();
}

#[tokio::test]
async fn a_port_gets_back_the_settings_it_had() {
    let pty = mailcall::line::pty::PtyPair::open().unwrap();
    let before = nix::sys::termios::tcgetattr(&pty.slave).unwrap();
    let line = SerialLine::open(SerialSettings { flow: Flow::RtsCts, ..port(&pty.path) }).unwrap();
    let during = nix::sys::termios::tcgetattr(&pty.slave).unwrap();
    assert_ne!(during, before);
    use nix::sys::termios::{ControlFlags, InputFlags};
    assert!(during.control_flags.contains(ControlFlags::CLOCAL | ControlFlags::CS8 | ControlFlags::CRTSCTS));
    assert!(!during.input_flags.intersects(InputFlags::IGNPAR | InputFlags::IXON | InputFlags::ICRNL));
    drop(line);
    assert_eq!(nix::sys::termios::tcgetattr(&pty.slave).unwrap(), before);
}

#[tokio::test]
async fn a_socat_pair_carries_all_bytes_both_ways_and_its_end_is_end_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b): (PathBuf, PathBuf) = (folder.path().join("a"), folder.path().join("b"));
    let address = |path: &Path| format!("pty,raw,echo=0,link={}", path.display());
    let socat = std::process::Command::new("socat").arg(address(&a)).arg(address(&b)).spawn();
    let Ok(mut socat) = socat else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI has to have socat");
        println!("SKIPPED: socat is not installed");
        return;
    };
    eventually("both ends", || a.exists() && b.exists()).await;
    let mut near = SerialLine::open(port(&a)).unwrap();
    let mut far = SerialLine::open(port(&b)).unwrap();
    let bytes: Vec<u8> = (0..20_000_u32).map(|i| (i % 256) as u8).collect();
    let mut heard = vec![0; bytes.len()];
    let both = async { tokio::try_join!(near.write_all(&bytes), far.read_exact(&mut heard)) };
    timeout(PATIENCE, both).await.expect("in time").expect("unharmed");
    assert_eq!(heard, bytes);
    far.write_all(b"back").await.unwrap();
    expect(&mut near, "back").await;
    socat.kill().unwrap();
    socat.wait().unwrap();
    let mut buf = [0; 1];
    for _ in 0..2 {
        assert_eq!(timeout(PATIENCE, near.read(&mut buf)).await.expect("an end").unwrap(), 0);
    }
}

#[tokio::test]
async fn a_command_has_a_terminal_of_its_own_and_its_status_is_known_after_end_of_file() {
    let script =
        "tty -s && stty size && echo $TERM && ps -o sid= -o pgid= -p $$ >/dev/null; read x </dev/tty; exit 3";
    let mut line = ExecLine::spawn(&ExecSettings::new(["/bin/sh", "-c", script])).unwrap();
    assert_eq!(line.why_ended(), None);
    expect(&mut line, "24 80\r\nvt100\r\n").await;
    line.write_all(b"go\n").await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, line.read_to_end(&mut rest)).await.expect("an end").unwrap();
    assert_eq!(line.read(&mut [0; 4]).await.unwrap(), 0, "and it stays the end");
    let status = timeout(PATIENCE, line.wait()).await.unwrap().expect("a status");
    assert_eq!(status.code(), Some(3));
    assert_eq!(line.exit_status().unwrap().code(), Some(3));
    assert!(line.why_ended().unwrap().ends_with("exit status 3"));
    assert!(line.write_all(b"x").await.is_err() || line.read(&mut [0; 1]).await.unwrap() == 0);
}

#[tokio::test]
async fn a_command_may_let_go_of_its_terminal_for_a_moment_as_login_does() {
    let script = "t=$(tty); echo before; exec <&- >&- 2>&-; sleep 0.2; exec <$t >$t 2>&1; \
                  echo behind; read x; echo got $x.";
    let mut line = ExecLine::spawn(&ExecSettings::new(["/bin/sh", "-c", script])).unwrap();
    expect(&mut line, "before").await;
    sleep(Duration::from_millis(100)).await;
    line.write_all(b"word\n").await.expect("waits until somebody is there to read");
    expect(&mut line, "got word.").await;
    let mut rest = Vec::new();
    timeout(PATIENCE, line.read_to_end(&mut rest)).await.expect("an end").unwrap();
    assert_eq!(line.exit_status().expect("known at the end of file").code(), Some(0));
}

#[tokio::test]
async fn a_command_that_let_go_of_its_terminal_for_good_is_at_its_end() {
    let script = "exec <&- >&- 2>&-; sleep 1000";
    let mut line = ExecLine::spawn(&ExecSettings::new(["/bin/sh", "-c", script])).unwrap();
    let start = Instant::now();
    assert_eq!(timeout(PATIENCE, line.read(&mut [0; 1])).await.expect("an end").unwrap(), 0);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(line.exit_status(), None);
    timeout(PATIENCE, line.close()).await.expect("bounded");
}

#[tokio::test]
async fn login_behind_the_simulator_asks_for_a_name_every_time() {
    if !nix::unistd::Uid::effective().is_root() || !Path::new("/bin/login").exists() {
        println!("SKIPPED: /bin/login works for root only");
        return;
    }
    let sim = sim("exec /bin/login", DceOptions::default());
    for _ in 0..10 {
        let mut line = dial(&sim).await;
        expect(&mut line, "login: ").await;
        hang_up(&mut line).await;
    }
}

#[tokio::test]
async fn the_environment_is_ours_or_clean_as_asked() {
    let mut settings = ExecSettings::new(["/bin/sh", "-c", "echo [$HOME][$GREETING][$TERM][$LINES]"]);
    settings.clean_env = true;
    settings.term = "dumb".into();
    settings.env = vec![("GREETING".into(), "hello".into())];
    let mut line = ExecLine::spawn(&settings).unwrap();
    expect(&mut line, "[][hello][dumb][]").await;
}

#[tokio::test]
async fn a_command_inherits_no_descriptors() {
    let sim = sim("cat", DceOptions::default());
    let _port = SerialLine::open(port(sim.device())).unwrap();
    let _other = ExecLine::spawn(&ExecSettings::new(["cat"])).unwrap();
    let mut line = ExecLine::spawn(&ExecSettings::new(["/bin/ls", "-l", "/proc/self/fd"])).unwrap();
    let mut listing = String::new();
    timeout(PATIENCE, line.read_to_string(&mut listing)).await.unwrap().unwrap();
    let terminals = listing.matches("/dev/pt").count();
    assert_eq!(terminals, 3, "three descriptors of its own terminal and no other:\n{listing}");
}

#[tokio::test]
async fn a_command_that_does_not_start_is_named() {
    let error = ExecLine::spawn(&ExecSettings::new(["/no/such/ssh", "host"])).unwrap_err();
    assert!(error.to_string().contains("/no/such/ssh host"), "{error}");
    assert!(matches!(ExecLine::spawn(&ExecSettings::new([""; 0])), Err(ExecError::NoCommand)));
}

#[tokio::test]
async fn dropping_a_command_hangs_up_on_its_shell_its_jobs_and_leaves_no_zombie() {
    let script = "trap 'echo gone > $0; exit' HUP; sleep 1000 & echo $$ $!.; wait";
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    let command = ["/bin/sh", "-c", script, note.to_str().unwrap()];
    let mut line = ExecLine::spawn(&ExecSettings::new(command)).unwrap();
    let said = expect(&mut line, ".").await;
    let pids: Vec<String> = said.split_whitespace().map(|pid| pid.trim_end_matches('.').into()).collect();
    assert!(pids.iter().all(|pid| alive(pid)), "{pids:?}");
    drop(line);
    eventually("the shell heard SIGHUP", || note.exists()).await;
    eventually("reaped", || !Path::new(&format!("/proc/{}", pids[0])).exists()).await;
    eventually("its job ended", || !alive(&pids[1])).await;
}

#[tokio::test]
async fn a_command_that_ignores_signals_is_killed_within_the_grace() {
    let script = "trap '' HUP TERM; echo $$.; while :; do sleep 1; done";
    let mut line = ExecLine::spawn(&ExecSettings::new(["/bin/sh", "-c", script])).unwrap();
    let pid = pid_in(&expect(&mut line, ".").await);
    let start = Instant::now();
    let status = timeout(PATIENCE, line.close()).await.expect("bounded");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(status.and_then(|status| status.signal()), Some(9));
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(line.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn closing_a_polite_command_is_quick() {
    let mut line = ExecLine::spawn(&ExecSettings::new(["cat"])).unwrap();
    let start = Instant::now();
    assert!(timeout(PATIENCE, line.close()).await.unwrap().is_some());
    assert!(start.elapsed() < Duration::from_secs(1));
}
