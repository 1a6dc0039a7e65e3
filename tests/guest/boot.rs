//! The machine around the guest: a kernel as Debian ships it, booted by qemu with this test binary as
//! its only program, and what that said on the console.
//!
//! The guest's processor is emulated (TCG): it is there wherever qemu is, and its 8250 is a register
//! file that knows the loopback bit.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::initramfs::Initramfs;
use super::{common, inside};

/// Shows `name` in the guest: there `check` runs, here the guest's own word for it is looked up. All
/// tests share one boot.
pub fn shown(name: &str, check: impl FnOnce()) {
    if inside::is_guest() {
        inside::set_up();
        return check();
    }
    static GUEST: OnceLock<Guest> = OnceLock::new();
    match GUEST.get_or_init(boot) {
        Guest::Missing(what) => common::missing(what),
        Guest::Ran { console, took } => assert!(
            console.lines().any(|line| line.trim_end() == format!("test {name} ... ok")),
            "not so in the guest, which ran for {took:.1?}. Its console:\n{console}"
        ),
    }
}

enum Guest {
    Missing(String),
    Ran { console: String, took: Duration },
}

fn boot() -> Guest {
    if !cfg!(target_arch = "x86_64") {
        return Guest::Missing("the guest runs this binary, so it has to be one for x86_64".into());
    }
    if Command::new(QEMU).arg("--version").output().is_err() {
        return Guest::Missing(format!("{QEMU} is not installed"));
    }
    let kernel = kernel_folder();
    if !kernel.join("vmlinuz").is_file() {
        let folder = kernel.display();
        return Guest::Missing(format!("no guest kernel in {folder}: `tests/run` fetches one"));
    }
    let dir = tempfile::tempdir().unwrap();
    let initrd = dir.path().join("initrd");
    fs::write(&initrd, files(&kernel, dir.path()).unwrap()).unwrap();
    run(&kernel.join("vmlinuz"), &initrd, &dir.path().join("far-end"))
}

/// Where `tests/run` puts the kernel.
fn kernel_folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guest-kernel");
    std::env::var_os("MAILCALL_GUEST_KERNEL").map_or_else(beside, PathBuf::from)
}

/// Everything that the guest has: this binary for its first process, what it was linked with, and
/// the modules between a USB adapter and a ttyUSB.
fn files(kernel: &Path, scratch: &Path) -> io::Result<Vec<u8>> {
    let mut files = Initramfs::default();
    for folder in
        ["dev", "proc", "sys", "tmp", "lib", "lib64", "modules", "run", "run/lock", "var", "var/lock"]
    {
        files.folder(folder);
    }
    files.console();
    files.program("init", &fs::read(without_symbols(scratch))?);
    for library in libraries()? {
        let name = library.file_name().unwrap_or_default().to_string_lossy();
        let folder = if name.starts_with("ld-linux") { "lib64" } else { "lib" };
        files.program(&format!("{folder}/{name}"), &fs::read(&library)?);
    }
    for module in fs::read_dir(kernel.join("modules"))? {
        let module = module?;
        files.file(&format!("modules/{}", module.file_name().to_string_lossy()), &fs::read(module.path())?);
    }
    Ok(files.finish())
}

/// This binary without what only a debugger reads, which is nine tenths of it.
fn without_symbols(scratch: &Path) -> PathBuf {
    let whole = std::env::current_exe().expect("Linux knows it");
    let small = scratch.join("init");
    match Command::new("strip").arg("-o").arg(&small).arg(&whole).status() {
        Ok(status) if status.success() => small,
        Ok(_) | Err(_) => whole, // it boots as well, only slower
    }
}

/// The shared objects that this very process runs with, its loader among them.
fn libraries() -> io::Result<BTreeSet<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
    Ok(paths.filter(|path| path.to_string_lossy().contains(".so")).collect())
}

fn run(kernel: &Path, initrd: &Path, far_end: &Path) -> Guest {
    let started = now();
    let mut qemu = Command::new(QEMU);
    qemu.args(["-accel", "tcg", "-machine", "pc", "-m", MEMORY, "-nodefaults", "-no-reboot"]);
    qemu.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-serial", "null"]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd).args(["-append", &command_line()]);
    qemu.args(["-device", "qemu-xhci", "-device", "usb-serial,chardev=far-end", "-chardev"]);
    qemu.arg(format!("socket,id=far-end,server=on,wait=off,path={}", far_end.display()));
    qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut qemu = Reaped(qemu.spawn().expect("it answered --version"));
    let said = [read_apart(qemu.0.stdout.take()), read_apart(qemu.0.stderr.take())];
    let far_end = far_end.to_owned();
    let adapter = std::thread::spawn(move || plug_in_until_told(&far_end));
    let ended = qemu.within(BOOT_MAX);
    drop(qemu); // closes the pipes that the readers read
    let mut console: Vec<String> =
        said.into_iter().map(|reader| reader.join().expect("it cannot panic")).collect();
    let _ = adapter.join(); // a guest that never asked shows in its own words
    if !ended {
        console.push(format!("qemu was still running after {BOOT_MAX:?} and was ended\n"));
    }
    Guest::Ran { console: console.concat(), took: started.elapsed() }
}

/// What the kernel is told, and behind `--` what it hands to its first process.
fn command_line() -> String {
    let variable = inside::GUEST;
    format!(
        "console=ttyS0 loglevel=1 panic=-1 {variable}=1 LD_LIBRARY_PATH=/lib RUST_BACKTRACE=0 -- --test-threads=1"
    )
}

/// The far end of the USB adapter's wire. The adapter is plugged in as long as its far end is there,
/// and is pulled out when the guest asks for it.
fn plug_in_until_told(socket: &Path) -> io::Result<()> {
    let patience = now() + Duration::from_secs(20);
    let mut wire = loop {
        match UnixStream::connect(socket) {
            Ok(wire) => break wire,
            Err(error) if now() > patience => return Err(error),
            Err(_) => wait(Duration::from_millis(20)),
        }
    };
    let mut heard = Vec::new();
    let mut buffer = [0; 256];
    while !String::from_utf8_lossy(&heard).contains(inside::PULL_THE_PLUG) {
        match wire.read(&mut buffer)? {
            0 => break, // qemu has ended
            count => heard.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(())
}

fn read_apart(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut said); // what came before an error is worth showing
        }
        String::from_utf8_lossy(&said).into_owned()
    })
}

/// A process that does not outlive its test.
struct Reaped(Child);

impl Reaped {
    /// Whether it ended by itself in that time.
    fn within(&mut self, limit: Duration) -> bool {
        let until = now() + limit;
        while now() < until {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return true;
            }
            wait(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

#[allow(clippy::disallowed_methods)] // a machine boots in real time
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods)] // a machine boots in real time
fn wait(time: Duration) {
    std::thread::sleep(time);
}

const QEMU: &str = "qemu-system-x86_64";
/// The guest's memory in MiB: room for this binary twice, packed and unpacked, symbols and all.
const MEMORY: &str = "384";
/// A boot takes about five seconds and the checks twenty; a busy machine may be several times slower.
const BOOT_MAX: Duration = Duration::from_secs(180);
