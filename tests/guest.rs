//! Serial ports with leads: an 8250 and a USB adapter in a guest kernel under qemu.
//!
//! Each test runs there, in one boot of this very binary, and is looked up here ([`boot::shown`]). The
//! UART's loopback bit ties its outputs to its inputs, so a second descriptor plays the modem.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mailcall::line::serial::{Flow, OpenError, SerialLine, SerialSettings};
use mailcall::line::{DataBits, Framing, Line, Parity, StopBits, send_break};
use mailcall::machine::{Control, Machine, Output, Transmit};
use mailcall::modem::ConnectInfo;
use mailcall::session::link::{LineEnd, Link};
use mailcall::session::transcript::Transcript;
use nix::libc::{TIOCM_CTS, TIOCM_DSR, TIOCM_DTR, TIOCM_RTS};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::termios::ControlFlags;
use nix::sys::time::TimeValLike;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

#[path = "guest/boot.rs"]
mod boot;
mod common;
#[path = "guest/initramfs.rs"]
mod initramfs;
#[path = "guest/inside.rs"]
mod inside;

use boot::shown;
use inside::{OUT2, PORT, PULL_THE_PLUG, Register, Uart, now, pause, within};

#[test]
fn leads_of_an_8250_are_known_and_dcd_is_read() {
    shown("leads_of_an_8250_are_known_and_dcd_is_read", || {
        let uart = Uart::looped();
        let runtime = runtime();
        let mut line = open(&runtime, Flow::None);
        assert!(line.leads_known());
        assert_eq!(line.carrier().unwrap(), Some(true));
        uart.lower(OUT2);
        assert_eq!(line.carrier().unwrap(), Some(false));
        drop(line);
        let mut line = within(SOON, move || open(&runtime, Flow::None)); // not even without carrier it waits
        assert_eq!(line.carrier().unwrap(), Some(false));
        uart.raise(OUT2);
        assert_eq!(line.carrier().unwrap(), Some(true));
    });
}

#[test]
fn loss_of_dcd_ends_a_silent_call_at_once() {
    shown("loss_of_dcd_ends_a_silent_call_at_once", || dcd_falls(Duration::MAX));
}

#[test]
fn loss_of_dcd_ends_a_call_in_which_bytes_keep_coming() {
    shown("loss_of_dcd_ends_a_call_in_which_bytes_keep_coming", || dcd_falls(Duration::from_millis(10)));
}

#[test]
fn a_line_whose_dcd_was_never_on_is_not_lost() {
    shown("a_line_whose_dcd_was_never_on_is_not_lost", || {
        let uart = Uart::looped();
        uart.lower(OUT2); // as a cable with three wires has it
        let runtime = runtime();
        let mut link = Link::new(Box::new(open(&runtime, Flow::None)), Transcript::silent());
        link.connected(&ConnectInfo::default());
        let mut talk = Talk::for_a_time(Duration::from_secs(2));
        drive(&runtime, &mut link, &mut talk);
        assert_eq!((link.end(), talk.hung_up), (None, false));
    });
}

#[test]
fn dtr_is_up_while_a_line_is_open_and_down_behind_it() {
    shown("dtr_is_up_while_a_line_is_open_and_down_behind_it", || {
        let uart = Uart::looped();
        let runtime = runtime();
        let mut line = open(&runtime, Flow::None);
        assert!(uart.has(TIOCM_DTR | TIOCM_DSR));
        assert!(line.set_dtr(false).unwrap());
        assert!(!uart.has(TIOCM_DTR) && !uart.has(TIOCM_DSR));
        assert!(line.set_dtr(true).unwrap());
        assert!(uart.has(TIOCM_DTR | TIOCM_DSR));
        drop(line); // the port is still open in our hand: it is the line that lowers DTR
        assert!(!uart.has(TIOCM_DTR) && !uart.has(TIOCM_DSR));
    });
}

#[test]
fn a_machine_that_drops_dtr_for_a_second_does() {
    shown("a_machine_that_drops_dtr_for_a_second_does", || {
        let uart = Uart::looped();
        let runtime = runtime();
        let mut link = Link::new(Box::new(open(&runtime, Flow::RtsCts)), Transcript::silent());
        let modem = std::thread::spawn(move || {
            let down_since = wait_until(|| !uart.has(TIOCM_DSR));
            wait_until(|| uart.has(TIOCM_DSR)) - down_since
        });
        let mut talk = Talk::for_a_time(Duration::from_secs(1));
        talk.control = vec![Control::Dtr(false)];
        drive(&runtime, &mut link, &mut talk);
        let mut talk = Talk::for_a_time(Duration::from_millis(500));
        talk.control = vec![Control::Dtr(true)];
        drive(&runtime, &mut link, &mut talk);
        let down = modem.join().unwrap();
        assert!(down > Duration::from_millis(900) && down < Duration::from_secs(2), "{down:?}");
    });
}

#[test]
fn a_process_killed_in_mid_call_leaves_dtr_down() {
    const NAME: &str = "a_process_killed_in_mid_call_leaves_dtr_down";
    /// Set for the process that will be killed.
    const VICTIM: &str = "MAILCALL_GUEST_VICTIM";
    shown(NAME, || {
        if std::env::var_os(VICTIM).is_some() {
            let runtime = runtime();
            let _line = open(&runtime, Flow::RtsCts);
            println!("the port is open");
            pause(Duration::from_secs(60));
            return;
        }
        let mut uart = Uart::looped();
        let mut victim = Command::new("/proc/self/exe")
            .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
            .env(VICTIM, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(victim.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().contains("the port is open")));
        assert!(uart.has(TIOCM_DTR | TIOCM_DSR | TIOCM_RTS | TIOCM_CTS));
        uart.close(); // the victim's are the last descriptors now
        let before = [uart.register(Register::Mcr), uart.register(Register::Msr)];
        assert_eq!(before.map(|byte| byte & 0x30), [0x10, 0x30], "looped; DSR and CTS on");
        victim.kill().unwrap();
        victim.wait().unwrap();
        let after = [uart.register(Register::Mcr), uart.register(Register::Msr)];
        assert_eq!(after[0] & 0x13, 0x10, "DTR and RTS down, and the loop still there to see it by");
        assert_eq!(after[1] & 0x30, 0, "DSR and CTS down");
    });
}

#[test]
fn rts_falls_when_we_do_not_read_and_nothing_is_lost() {
    shown("rts_falls_when_we_do_not_read_and_nothing_is_lost", || {
        let uart = Uart::looped();
        let runtime = runtime();
        let mut line = open(&runtime, Flow::RtsCts);
        assert!(uart.has(TIOCM_RTS | TIOCM_CTS));
        let sent: Vec<u8> = (0..6_000u32).map(|at| (at * 7) as u8).collect();
        runtime.block_on(line.write_all(&sent)).unwrap();
        wait_until(|| !uart.has(TIOCM_RTS) && !uart.has(TIOCM_CTS));
        let mut came = vec![0; sent.len()];
        let reading = async { tokio::time::timeout(SOON, line.read_exact(&mut came)).await };
        runtime.block_on(reading).unwrap().unwrap();
        assert!(came == sent);
        wait_until(|| uart.has(TIOCM_RTS | TIOCM_CTS));
        drop(line);
        assert!(!uart.has(TIOCM_DTR));
    });
}

#[test]
fn a_break_is_held_and_ends() {
    shown("a_break_is_held_and_ends", || {
        let uart = Uart::looped();
        let runtime = runtime();
        let mut line = open(&runtime, Flow::RtsCts);
        let held = std::thread::spawn(move || {
            let since = wait_until(|| uart.register(Register::Lcr) & LCR_BREAK != 0);
            wait_until(|| uart.register(Register::Lcr) & LCR_BREAK == 0) - since
        });
        assert!(runtime.block_on(send_break(&mut line, Duration::from_millis(400))).unwrap());
        let held = held.join().unwrap();
        assert!(held > Duration::from_millis(300) && held < Duration::from_secs(1), "{held:?}");
    });
}

#[test]
fn a_break_does_not_wait_for_a_modem_that_takes_no_bytes() {
    shown("a_break_does_not_wait_for_a_modem_that_takes_no_bytes", || {
        let uart = Uart::looped();
        let runtime = runtime();
        let mut line = held_back(&uart, &runtime);
        within(SOON, move || {
            assert!(!line.set_break(true).unwrap(), "there is none just now");
            uart.raise(TIOCM_RTS); // comes back as CTS
            assert!(line.set_break(true).unwrap());
            assert!(uart.register(Register::Lcr) & LCR_BREAK != 0);
            assert_eq!(line.unsent().unwrap(), Some(0), "a BREAK does not wait for what is queued");
            assert!(line.set_break(false).unwrap());
            assert!(uart.register(Register::Lcr) & LCR_BREAK == 0);
        });
    });
}

#[test]
fn output_is_discarded_while_cts_is_low() {
    shown("output_is_discarded_while_cts_is_low", || {
        let uart = Uart::looped();
        let runtime = runtime();
        let mut line = held_back(&uart, &runtime);
        line.discard_output().unwrap();
        assert_eq!(line.unsent().unwrap(), Some(0));
    });
}

#[test]
fn closing_does_not_wait_for_a_modem_that_takes_no_bytes() {
    shown("closing_does_not_wait_for_a_modem_that_takes_no_bytes", || {
        let mut uart = Uart::looped();
        // As somebody before us left it: else going back to those settings lets the bytes out.
        uart.termios(|termios| termios.control_flags.insert(ControlFlags::CRTSCTS));
        let runtime = runtime();
        let line = held_back(&uart, &runtime);
        uart.close(); // the kernel waits when the last descriptor is closed, by default for 30 s
        let started = now();
        within(SOON, move || drop(line));
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        assert_eq!(uart.register(Register::Mcr) & 0x13, 0x10, "DTR and RTS down");
    });
}

#[test]
fn every_framing_is_set_in_the_uart_and_the_one_found_is_put_back() {
    shown("every_framing_is_set_in_the_uart_and_the_one_found_is_put_back", || {
        let uart = Uart::looped();
        uart.termios(|termios| {
            termios.control_flags.remove(ControlFlags::CSIZE);
            termios.control_flags.insert(
                ControlFlags::CS7 | ControlFlags::PARENB | ControlFlags::PARODD | ControlFlags::CSTOPB,
            );
        });
        let mut found = None;
        uart.termios(|termios| found = Some(termios.clone()));
        assert_eq!(uart.register(Register::Lcr), 0x0e, "7O2");
        let runtime = runtime();
        // Data sheet of the 16550, line control register: word length in bits 0 and 1, stop bits in 2,
        // parity in 3, even in 4, stick in 5.
        let (eight, seven, one, two) = (DataBits::Eight, DataBits::Seven, StopBits::One, StopBits::Two);
        for (data_bits, parity, stop_bits, register) in [
            (eight, Parity::None, one, 0x03),
            (eight, Parity::Odd, two, 0x0f),
            (seven, Parity::Even, one, 0x1a),
            (seven, Parity::Mark, one, 0x2a),
            (seven, Parity::Space, one, 0x3a),
            (DataBits::Six, Parity::None, one, 0x01),
            (DataBits::Five, Parity::None, one, 0x00),
        ] {
            let framing = Framing { data_bits, parity, stop_bits };
            let settings = SerialSettings { framing, ..SerialSettings::new(PORT, 2_400, Flow::None) };
            let line = runtime.block_on(async { SerialLine::open(settings) }).unwrap();
            assert_eq!((line.warnings(), line.settings().framing), (&[][..], framing));
            // Without parity it says nothing which one.
            let told = if parity == Parity::None { 0x0f } else { 0x3f };
            assert_eq!(uart.register(Register::Lcr) & told, register, "{framing}");
            assert_eq!((line.eight_bit(), line.bits_per_byte()), (data_bits == eight, framing.bits()));
            drop(line);
            assert_eq!(uart.register(Register::Lcr), 0x0e, "7O2 again");
            uart.termios(|termios| assert_eq!(Some(&*termios), found.as_ref(), "{framing}"));
        }
    });
}

#[test]
fn a_rate_that_the_uart_does_not_have_is_told_and_the_port_is_left_as_it_was() {
    shown("a_rate_that_the_uart_does_not_have_is_told_and_the_port_is_left_as_it_was", || {
        let uart = Uart::looped();
        let mut found = None;
        uart.termios(|termios| found = Some(termios.clone()));
        let runtime = runtime();
        // Its clock gives 115,200 bit/s at most.
        let settings = SerialSettings::new(PORT, 250_000, Flow::None);
        let refused = runtime.block_on(async { SerialLine::open(settings) }).unwrap_err();
        assert!(matches!(refused, OpenError::Settings { .. }), "{refused:?}");
        assert!(refused.to_string().contains("250000 bit/s 8N1"), "{refused}");
        uart.termios(|termios| assert_eq!(Some(&*termios), found.as_ref()));
        let settings = SerialSettings::new(PORT, 12_345, Flow::None);
        let line = runtime.block_on(async { SerialLine::open(settings) }).unwrap();
        assert_eq!(line.speed(), Some(12_345), "a divisor near enough it has");
    });
}

#[test]
#[allow(clippy::disallowed_methods)] // what else runs meanwhile has to wait, too
fn draining_waits_for_the_last_byte_and_not_for_a_modem_that_takes_none() {
    shown("draining_waits_for_the_last_byte_and_not_for_a_modem_that_takes_none", || {
        let uart = Uart::looped();
        let runtime = runtime();
        let mut link = Link::new(Box::new(held_back(&uart, &runtime)), Transcript::silent());
        let limit = Duration::from_secs(1);
        let (drained, took, ticks) = runtime.block_on(async {
            let started = now();
            let mut ticks = 0;
            let ticking = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    ticks += 1;
                }
            };
            let drained = tokio::select! {
                drained = link.drain(limit) => drained,
                () = ticking => unreachable!("it never ends"),
            };
            (drained, started.elapsed(), ticks)
        });
        assert!(!drained && took >= limit && took < limit + SOON, "{took:?}");
        assert!(ticks >= 5, "others run meanwhile: {ticks}");
        uart.let_the_sender_go();
        assert!(runtime.block_on(link.drain(SOON)));
        drop(link);

        // What was just written is not out yet, whatever is in the UART and no longer counted.
        let mut line = open(&runtime, Flow::None);
        line.set_speed(300).unwrap();
        let mut link = Link::new(Box::new(line), Transcript::silent());
        let started = now();
        drive(
            &runtime,
            &mut link,
            &mut Talk { say: Some("exit\r".into()), over: false, ..Talk::for_a_time(Duration::ZERO) },
        );
        assert!(runtime.block_on(link.drain(SOON)));
        assert!(started.elapsed() >= Duration::from_millis(160), "{:?} for five bytes", started.elapsed());
    });
}

#[test]
fn an_adapter_pulled_out_in_mid_call_ends_it_with_a_clear_word_and_no_spin() {
    shown("an_adapter_pulled_out_in_mid_call_ends_it_with_a_clear_word_and_no_spin", || {
        wait_until(|| Path::new(ADAPTER).exists());
        let runtime = runtime();
        let mut line = open_port(&runtime, ADAPTER, Flow::RtsCts).unwrap();
        assert!(line.leads_known());
        assert_eq!(line.carrier().unwrap(), Some(true));
        let mut link = Link::new(Box::new(line), Transcript::silent());
        link.connected(&ConnectInfo::default());
        let mut talk = Talk { say: Some(PULL_THE_PLUG.into()), ..Talk::default() };
        let started = now();
        drive(&runtime, &mut link, &mut talk);
        let took = started.elapsed();
        let Some(LineEnd::PortGone(why)) = link.end() else { panic!("{:?}", link.end()) };
        assert!(why.contains("unplugged"), "{why}");
        assert!(talk.hung_up && took < ADAPTER_GONE_MAX, "{took:?}");

        // A conversation that does not let go costs no processor time either.
        let before = processor_time();
        drive(&runtime, &mut link, &mut Talk { stubborn: true, ..Talk::for_a_time(Duration::from_secs(2)) });
        let spent = processor_time() - before;
        assert!(spent < Duration::from_millis(300), "{spent:?} of the processor in 2 s of nothing");

        within(SOON, move || drop(link));
        let again = open_port(&self::runtime(), ADAPTER, Flow::RtsCts);
        assert!(matches!(again, Err(OpenError::NoSuchDevice { .. })), "{again:?}");
    });
}

/// A call over the UART whose carrier falls after a second, with a byte arriving `every` so often
/// before and after.
fn dcd_falls(every: Duration) {
    let uart = Uart::looped();
    let runtime = runtime();
    let mut link = Link::new(Box::new(open(&runtime, Flow::RtsCts)), Transcript::silent());
    link.connected(&ConnectInfo::default());
    let modem = std::thread::spawn(move || {
        let (begun, mut fell, mut said) = (now(), None, now());
        while begun.elapsed() < Duration::from_secs(4) {
            if said.elapsed() >= every {
                uart.say(b"x");
                said = now();
            }
            if fell.is_none() && begun.elapsed() > Duration::from_secs(1) {
                uart.lower(OUT2);
                fell = Some(now());
            }
            pause(Duration::from_millis(5));
        }
        fell.expect("it fell after a second")
    });
    let mut talk = Talk::default();
    drive(&runtime, &mut link, &mut talk);
    let ended_at = link.ended_at().unwrap();
    assert_eq!(link.end(), Some(&LineEnd::CarrierLost));
    assert!(talk.hung_up);
    let fell = modem.join().unwrap();
    assert_eq!(link.bytes_down > 0, every != Duration::MAX);
    let seen = ended_at.saturating_duration_since(fell);
    assert!(ended_at >= fell && seen < Duration::from_millis(700), "{seen:?}");
}

/// A conversation that does what it is told and ends with the line, or after a time.
#[derive(Default)]
struct Talk {
    say: Option<Vec<u8>>,
    control: Vec<Control>,
    /// Does not end with the line.
    stubborn: bool,
    lasts: Option<Duration>,
    until: Option<Instant>,
    hung_up: bool,
    over: bool,
}

impl Talk {
    fn for_a_time(time: Duration) -> Self {
        Self { lasts: Some(time), ..Self::default() }
    }
}

impl Machine for Talk {
    type Event = Infallible;
    type Outcome = ();

    fn handle_input(&mut self, _now: Instant, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn handle_hangup(&mut self, _now: Instant) {
        self.hung_up = true;
        self.over = !self.stubborn;
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.over = self.until.is_some_and(|until| until <= now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<Infallible, ()> {
        if self.over {
            return Output::Done(());
        }
        if let Some(control) = self.control.pop() {
            return Output::Control(control);
        }
        if let Some(bytes) = self.say.take() {
            return Output::Transmit(Transmit::plain(bytes));
        }
        self.until = self.until.or(self.lasts.map(|lasts| now + lasts));
        Output::Wait(self.until)
    }
}

/// Drives the conversation to its end, which has to come.
fn drive(runtime: &Runtime, link: &mut Link, talk: &mut Talk) {
    runtime.block_on(async {
        let driving = link.drive(talk, |_, event| -> Result<(), Infallible> { match event {} });
        let outcome = tokio::time::timeout(Duration::from_secs(10), driving).await;
        outcome.expect("the conversation did not end").unwrap_or_else(|never| match never {});
    });
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn open(runtime: &Runtime, flow: Flow) -> SerialLine {
    open_port(runtime, PORT, flow).unwrap()
}

fn open_port(runtime: &Runtime, device: &str, flow: Flow) -> Result<SerialLine, OpenError> {
    let _inside = runtime.enter();
    SerialLine::open(SerialSettings::new(device, 57_600, flow))
}

/// A line whose modem holds CTS low, with bytes queued behind it.
fn held_back(uart: &Uart, runtime: &Runtime) -> SerialLine {
    let mut line = open(runtime, Flow::RtsCts);
    uart.hold_the_sender();
    runtime.block_on(line.write_all(&[b'x'; 600])).unwrap();
    pause(Duration::from_millis(200)); // long enough for 57,600 bit/s
    assert_eq!(line.unsent().unwrap(), Some(600));
    line
}

/// When it came to be so.
fn wait_until(so: impl Fn() -> bool) -> Instant {
    let patience = now() + Duration::from_secs(20);
    while !so() {
        assert!(now() < patience, "waited 20 s");
        pause(Duration::from_millis(5));
    }
    now()
}

/// What this process has used, in its own code and in the kernel.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let used = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(used.try_into().expect("no time is negative"))
}

/// The USB adapter's name in the guest.
const ADAPTER: &str = "/dev/ttyUSB0";
/// Mostly a tenth of a second. But who asks for DCD just when the plug is pulled waits for as long as
/// the kernel waits for an answer on USB, which is 5 s (WDR_TIMEOUT in its ftdi_sio).
const ADAPTER_GONE_MAX: Duration = Duration::from_secs(8);
/// What does not hang is done by then.
const SOON: Duration = Duration::from_secs(5);
/// Line control register, bit 6: the line is held in the spacing state.
const LCR_BREAK: u8 = 0x40;
