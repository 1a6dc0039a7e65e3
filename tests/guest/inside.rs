//! Inside the guest: the first process's own work, and a UART as its registers tell of it.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Once;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::sys::termios::{ControlFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// Set where this binary runs in the guest. The kernel puts it into its first process's environment.
pub const GUEST: &str = "MAILCALL_GUEST";
/// What the USB adapter's far end takes as a word to pull it out.
pub const PULL_THE_PLUG: &str = "pull the plug";

/// Whether we are there.
pub fn is_guest() -> bool {
    std::env::var_os(GUEST).is_some()
}

/// What the first process does before anything else, once.
pub fn set_up() {
    static ONCE: Once = Once::new();
    if std::process::id() == 1 {
        ONCE.call_once(|| {
            mount("proc", "/proc");
            mount("devtmpfs", "/dev");
            mount("sysfs", "/sys");
            load_modules().unwrap();
            // SAFETY: the handler makes two system calls and touches no state of Rust's.
            unsafe { libc::atexit(power_off) };
        });
    }
}

fn mount(kind: &str, at: &str) {
    let name = |text: &str| CString::new(text).expect("there is no NUL in it");
    let (kind, at) = (name(kind), name(at));
    // SAFETY: strings that end in NUL and live on; these file systems take no data.
    let mounted = unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
    Errno::result(mounted).unwrap();
}

/// Loads every module there is, in whatever order they let themselves be loaded.
fn load_modules() -> io::Result<()> {
    let mut waiting = Vec::new();
    for module in std::fs::read_dir("/modules")? {
        waiting.push(module?.path());
    }
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|path| File::open(path).and_then(|module| load(&module)).is_err());
        assert!(waiting.len() < before, "these modules do not load: {waiting:?}");
    }
    Ok(())
}

fn load(module: &File) -> io::Result<()> {
    // SAFETY: finit_module takes a descriptor, parameters as a string, and flags.
    let loaded = unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), c"".as_ptr(), 0) };
    match Errno::result(loaded) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The first process has ended, and with it the guest: qemu was told not to boot it again.
extern "C" fn power_off() {
    // SAFETY: system calls that take numbers only.
    unsafe {
        libc::tcdrain(libc::STDOUT_FILENO);
        libc::reboot(libc::RB_AUTOBOOT);
    }
}

/// The UART behind [`PORT`], with its loopback bit set: DTR comes back as DSR, RTS as CTS, OUT1 as RI,
/// OUT2 as DCD, and what is sent is received (data sheet of the 16550, modem control register, bit 4).
///
/// Its own descriptor is not the one under test. It may be closed, because a port behaves otherwise
/// once its last descriptor is closed; then only the registers tell.
pub struct Uart {
    port: Option<File>,
    registers: File,
}

impl Uart {
    /// Looped, with DTR and RTS low, and with DCD on as in a call.
    pub fn looped() -> Self {
        let flags = libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let port = OpenOptions::new().read(true).write(true).custom_flags(flags).open(PORT).unwrap();
        let registers = File::open("/dev/port").unwrap();
        let uart = Self { port: Some(port), registers };
        uart.termios(|termios| {
            cfmakeraw(termios); // an echo would go round in the loop for ever
            termios.control_flags.insert(ControlFlags::CLOCAL);
            // The line under test has to ask for both by itself.
            termios.control_flags.remove(ControlFlags::CRTSCTS | ControlFlags::HUPCL);
        });
        uart.raise(LOOP | OUT2);
        uart.lower(libc::TIOCM_DTR | libc::TIOCM_RTS);
        assert_eq!(uart.leads() & SEEN, libc::TIOCM_CD, "the loop does not lead back");
        uart
    }

    /// Outputs high.
    pub fn raise(&self, leads: c_int) {
        nix::ioctl_write_ptr_bad!(tiocmbis, libc::TIOCMBIS, c_int);
        // SAFETY: TIOCMBIS reads one int from a pointer that is valid for the call.
        unsafe { tiocmbis(self.fd(), &leads) }.unwrap();
    }

    /// Outputs low.
    pub fn lower(&self, leads: c_int) {
        nix::ioctl_write_ptr_bad!(tiocmbic, libc::TIOCMBIC, c_int);
        // SAFETY: TIOCMBIC reads one int from a pointer that is valid for the call.
        unsafe { tiocmbic(self.fd(), &leads) }.unwrap();
    }

    /// All leads, outputs and inputs.
    pub fn leads(&self) -> c_int {
        nix::ioctl_read_bad!(tiocmget, libc::TIOCMGET, c_int);
        let mut leads = 0;
        // SAFETY: TIOCMGET writes one int to a pointer that is valid for the call.
        unsafe { tiocmget(self.fd(), &mut leads) }.unwrap();
        leads
    }

    /// Whether all of these leads are on.
    pub fn has(&self, leads: c_int) -> bool {
        self.leads() & leads == leads
    }

    /// Sends bytes past the line under test, which receives them through the loop.
    pub fn say(&self, bytes: &[u8]) {
        let mut port = self.port.as_ref().expect("not yet closed");
        port.write_all(bytes).unwrap();
    }

    /// Lowers RTS and with it CTS, and makes the kernel stop sending. The loop of this UART raises no
    /// interrupt when CTS falls; the kernel looks at it anew when settings change.
    pub fn hold_the_sender(&self) {
        self.lower(libc::TIOCM_RTS);
        self.look_anew();
        assert!(!self.has(libc::TIOCM_CTS));
    }

    /// Raises them again.
    pub fn let_the_sender_go(&self) {
        self.raise(libc::TIOCM_RTS);
        self.look_anew();
        assert!(self.has(libc::TIOCM_CTS));
    }

    fn look_anew(&self) {
        self.termios(|termios| termios.control_flags.insert(ControlFlags::CRTSCTS | ControlFlags::CSTOPB));
        self.termios(|termios| termios.control_flags.remove(ControlFlags::CSTOPB));
    }

    /// Changes the settings that the port has, whoever opened it.
    pub fn termios(&self, change: impl FnOnce(&mut Termios)) {
        let port = self.port.as_ref().expect("not yet closed");
        let mut termios = tcgetattr(port).unwrap();
        change(&mut termios);
        tcsetattr(port, SetArg::TCSANOW, &termios).unwrap();
    }

    /// Closes the descriptor: from now on only the registers tell.
    pub fn close(&mut self) {
        self.port = None;
    }

    /// A register, as a program finds it that goes past the kernel's driver.
    pub fn register(&self, register: Register) -> u8 {
        let mut byte = [0];
        self.registers.read_exact_at(&mut byte, PORT_BASE + register as u64).unwrap();
        byte[0]
    }

    fn fd(&self) -> c_int {
        self.port.as_ref().expect("not yet closed").as_raw_fd()
    }
}

/// Registers of a 16550, by their distance from the first.
#[derive(Debug, Clone, Copy)]
pub enum Register {
    /// Line control: bit 6 holds a BREAK.
    Lcr = 3,
    /// Modem control: bit 0 is DTR, bit 1 RTS, bit 4 the loop.
    Mcr = 4,
    /// Modem status: bit 4 is CTS, bit 5 DSR, bit 7 DCD.
    Msr = 6,
}

/// Runs `what` and fails if it takes longer than `limit`: what hangs in the kernel cannot be ended.
pub fn within<T: Send + 'static>(limit: Duration, what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waits) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let value = what();
        let _ = done.send(()); // nobody waits any more
        value
    });
    if waits.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        panic!("still not done after {limit:?}");
    }
    thread.join().expect("it failed; its own words stand above")
}

/// The clock of the guest.
#[allow(clippy::disallowed_methods)] // leads move in real time
pub fn now() -> Instant {
    Instant::now()
}

/// Waits in the guest's time.
#[allow(clippy::disallowed_methods)] // leads move in real time
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The UART under test: the second of a PC. The first is the console.
pub const PORT: &str = "/dev/ttyS1";
/// Where its registers begin.
const PORT_BASE: u64 = 0x2f8;
/// TIOCM_OUT2 and TIOCM_LOOP of `asm-generic/termios.h`, which the libc crate does not name.
pub const OUT2: c_int = 0x4000;
const LOOP: c_int = 0x8000;
/// The inputs.
const SEEN: c_int = libc::TIOCM_CTS | libc::TIOCM_DSR | libc::TIOCM_CD | libc::TIOCM_RI;
