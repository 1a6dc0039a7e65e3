//! The servers that others wrote, as the tests start them: telnetd, ser2net, pyserial's, sshd, a getty at
//! the end of a null-modem cable, socat. Each listens on the loopback only and ends when it is dropped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use mailcall::line::pty::PtyPair;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Home, User, have, have_python, missing, wait_for};

/// Whose TELNET server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Inetutils,
    Busybox,
}

/// inetd with one service, TELNET, on a port of its own: each connection gets a server of its own.
pub struct Inetd {
    pub address: SocketAddr,
    pub children: Arc<Mutex<Vec<Child>>>,
}

impl Inetd {
    /// A server that starts `login`; `None`, said loudly, where there is none.
    pub fn start(whose: Whose, login: &str) -> Option<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), whose, login)
    }

    pub fn start_at(ip: IpAddr, whose: Whose, login: &str) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            missing("telnetd can only be tried as root");
            return None;
        }
        if !have(if whose == Whose::Inetutils { "telnetd" } else { "busybox" }) {
            return None;
        }
        let login = login.to_owned();
        let command = move || match whose {
            Whose::Inetutils => {
                let mut command = Command::new("/usr/sbin/telnetd");
                command.args(["-h", "-E", &login]);
                command
            }
            Whose::Busybox => {
                let mut command = Command::new("busybox");
                command.args(["telnetd", "-i", "-l", &login]);
                command
            }
        };
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let inetd = Self { address: listener.local_addr().unwrap(), children: Arc::default() };
        let children = Arc::clone(&inetd.children);
        std::thread::spawn(move || {
            // The listener lives as long as the test's process.
            for socket in listener.incoming().map_while(Result::ok) {
                let stdio = || Stdio::from(OwnedFd::from(socket.try_clone().unwrap()));
                let child = command().stdin(stdio()).stdout(stdio()).stderr(Stdio::null()).spawn();
                children.lock().unwrap().push(child.unwrap());
            }
        });
        Some(inetd)
    }
}

impl Drop for Inetd {
    fn drop(&mut self) {
        for child in self.children.lock().unwrap().iter_mut() {
            end(child);
        }
    }
}

/// `ser2net` with one port.
pub struct Ser2net {
    pub child: Child,
    pub port: u16,
    _dir: tempfile::TempDir,
}

impl Ser2net {
    /// What RFC 2217 is called in its configuration; `""` is a raw port.
    pub const RFC2217: &str = "telnet(rfc2217),";

    /// Starts one for `device`, spoken to as `accepter` says; `None`, said loudly, where that cannot be.
    pub fn start(accepter: &str, device: &Path) -> Option<Self> {
        Self::start_on(free_port(), accepter, device)
    }

    pub fn start_on(port: u16, accepter: &str, device: &Path) -> Option<Self> {
        if !have("ser2net") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let configuration = dir.path().join("ser2net.yaml");
        let text = format!(
            "connection: &one\n  accepter: {accepter}tcp,127.0.0.1,{port}\n  \
             connector: serialdev,{},9600n81,local\n",
            device.display()
        );
        fs::write(&configuration, text).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("ser2net")
            .env("PATH", "/usr/sbin:/usr/bin:/bin")
            .args(["-n", "-u", "-c"]) // in the foreground, without lock files
            .arg(&configuration)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { child, port, _dir: dir };
        wait_for("ser2net's port", || is_listening(port));
        Some(server)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Ser2net {
    fn drop(&mut self) {
        end(&mut self.child); // it does not always heed SIGTERM
    }
}

/// The server around pyserial (`tests/rfc2217_real/server.py`).
pub struct PySerial {
    child: Child,
    stdin: ChildStdin,
    log: Arc<Mutex<Vec<String>>>,
    port: u16,
}

impl PySerial {
    /// Starts one for `device` that refuses these rates; `None`, said loudly, where that cannot be.
    pub fn start(device: &Path, refused: &[&str]) -> Option<Self> {
        let package = have_python("serial")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rfc2217_real/server.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(device)
            .args(refused)
            .env("PYTHONPATH", package)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let port = first.strip_prefix("port ").and_then(|port| port.parse().ok()).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        let stdin = child.stdin.take().unwrap();
        Some(Self { child, stdin, log, port })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn said(&self, line: &str) -> usize {
        self.log().iter().filter(|said| *said == line).count()
    }

    /// Turns a lead on or off: `dcd off`.
    pub fn work(&mut self, lead: &str) {
        writeln!(self.stdin, "{lead}").unwrap();
    }
}

impl Drop for PySerial {
    fn drop(&mut self) {
        end(&mut self.child);
        if std::thread::panicking() {
            eprintln!("--- the server said:\n{}\n---", self.log().join("\n"));
        }
    }
}

/// socat with a command on a terminal of its own for each connection.
pub struct Socat {
    child: Child,
    pub address: SocketAddr,
}

impl Socat {
    /// On a free port; `None`, said loudly, where there is no socat.
    pub fn start(command: &str) -> Option<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, free_port()).into(), command)
    }

    pub fn start_on(address: SocketAddr, command: &str) -> Option<Self> {
        if !have("socat") {
            return None;
        }
        let (kind, ip) = match address {
            SocketAddr::V4(four) => ("TCP4-LISTEN", four.ip().to_string()),
            SocketAddr::V6(six) => ("TCP6-LISTEN", format!("[{}]", six.ip())),
        };
        let listen = format!("{kind}:{},bind={ip},reuseaddr,fork", address.port());
        let exec = format!("EXEC:{command},pty,stderr,setsid,ctty");
        let child = Command::new("socat").args([listen, exec]).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, address };
        wait_for("socat's port", || is_listening(address.port()));
        Some(server)
    }
}

impl Drop for Socat {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// How sshd asks for the password.
#[derive(Clone, Copy)]
pub enum Asks {
    /// `mary@host's password:`, by ssh itself.
    Ssh,
    /// `(mary@host) Password:`, by PAM on the host.
    Pam,
    /// Not at all: it wants a key.
    Never,
}

/// An sshd of our own on a port of its own, with one user.
pub struct Sshd {
    child: Child,
    pub user: User,
    pub port: u16,
    pub dir: tempfile::TempDir,
}

impl Sshd {
    /// `None`, said loudly, where there is no sshd.
    pub fn start(user: User, asks: Asks) -> Option<Self> {
        if !["sshd", "ssh", "ssh-keygen"].iter().all(|program| have(program)) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let _ = fs::create_dir("/run/sshd"); // a service manager may have made it
        let port = free_port();
        let sshd = Self { child: Self::serve(&user, dir.path(), port, asks), user, port, dir };
        wait_for("sshd", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(sshd)
    }

    fn serve(user: &User, dir: &Path, port: u16, asks: Asks) -> Child {
        keygen(&dir.join("host_key"), "");
        let yes_no = |yes| if yes { "yes" } else { "no" };
        let settings = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\nAllowUsers {name}\n\
             PasswordAuthentication {password}\nUsePAM {pam}\nKbdInteractiveAuthentication {pam}\n\
             StrictModes no\nAuthorizedKeysFile {keys}\nLogLevel VERBOSE\nPrintMotd yes\n\
             Subsystem sftp internal-sftp\n",
            host_key = dir.join("host_key").display(),
            name = user.name,
            password = yes_no(matches!(asks, Asks::Ssh)),
            pam = yes_no(matches!(asks, Asks::Pam)),
            keys = dir.join("authorized_keys").display(),
        );
        fs::write(dir.join("sshd_config"), settings).unwrap();
        let log = File::create(dir.join("log")).unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.arg("-D").arg("-e").arg("-f").arg(dir.join("sshd_config"));
        sshd.stdin(Stdio::null()).stderr(log).spawn().unwrap()
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// What ssh has written down of the host.
    pub fn known(&self) -> String {
        fs::read_to_string(self.known_hosts()).unwrap_or_default()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// A key that opens the user's account.
    pub fn key(&self, passphrase: &str) -> PathBuf {
        let key = self.dir.path().join("key");
        keygen(&key, passphrase);
        fs::copy(key.with_extension("pub"), self.dir.path().join("authorized_keys")).unwrap();
        key
    }

    /// A home whose line is `ssh -tt` to here, with more options of ssh.
    pub fn home(&self, options: &[&str], account: &str) -> Home {
        self.home_through(self.port, options, account)
    }

    /// The same through another port.
    pub fn home_through(&self, port: u16, options: &[&str], account: &str) -> Home {
        let mut command = vec!["ssh".to_owned(), "-tt".into(), "-F".into(), "none".into()];
        command.extend(["-p".into(), port.to_string()]);
        let known = format!("UserKnownHostsFile={}", self.known_hosts().display());
        let own = [known.as_str(), "GlobalKnownHostsFile=none", "IdentityAgent=none"];
        for option in own.iter().chain(options) {
            command.extend(["-o".into(), (*option).to_owned()]);
        }
        command.push(format!("{}@127.0.0.1", self.user.name));
        let password = "password = { env = \"TEST_PASSWORD\" }\n";
        Home::with_line(&format!("kind = \"exec\"\ncommand = {command:?}\n"), &format!("{password}{account}"))
    }

    pub fn user(&self) -> String {
        format!("user = {:?}\n", self.user.name)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        end(&mut self.child);
        if std::thread::panicking() {
            eprintln!("--- sshd said:\n{}\n---", self.log());
        }
    }
}

/// The home of a user on another machine, mounted here by sshfs.
pub struct Sshfs {
    pub at: PathBuf,
    pub sshd: Sshd,
    /// The folder that is mounted, where it is.
    pub below: PathBuf,
    /// A connection that was lost is made anew by sshfs itself.
    reconnects: bool,
    relay: Relay,
    key: PathBuf,
    _dir: tempfile::TempDir,
}

impl Sshfs {
    /// `None`, said loudly, where this machine cannot mount. The first connection breaks as that of a
    /// [`Relay`].
    pub fn mount(user: User, cut_after: Option<u64>, reconnects: bool) -> Option<Self> {
        if !have("sshfs") || !have("fusermount3") {
            return None;
        }
        let sshd = Sshd::start(user, Asks::Never)?;
        let (relay, key) = (Relay::to(sshd.port, cut_after), sshd.key(""));
        let below = nix::unistd::User::from_name(&sshd.user.name).unwrap().unwrap().dir;
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("mnt");
        fs::create_dir(&at).unwrap();
        let mount = Self { at, sshd, below, reconnects, relay, key, _dir: dir };
        match mount.connect() {
            Ok(()) => Some(mount),
            Err(said) => {
                missing(&format!("sshfs cannot mount here: {said} (is there a /dev/fuse?)"));
                None
            }
        }
    }

    fn connect(&self) -> Result<(), String> {
        let mut command = Command::new("sshfs");
        command.arg(format!("{}@127.0.0.1:", self.sshd.user.name)).arg(&self.at);
        command.args(["-p", &self.relay.port.to_string(), "-F", "none"]);
        if self.reconnects {
            command.args(["-o", "reconnect"]);
        }
        let known = format!("UserKnownHostsFile={}", self.sshd.known_hosts().display());
        let key = format!("IdentityFile={}", self.key.display());
        for option in [&known, &key, TRUSTING, "GlobalKnownHostsFile=none", "IdentityAgent=none"] {
            command.args(["-o", option]);
        }
        let mounted = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&mounted.stderr).trim().to_owned();
        mounted.status.success().then_some(()).ok_or(said)
    }

    /// Mounts again what was cut off.
    pub fn again(&self) {
        self.leave();
        self.connect().unwrap();
    }

    fn leave(&self) {
        let _ = Command::new("fusermount3").args(["-u", "-z"]).arg(&self.at).stderr(Stdio::null()).status();
    }
}

impl Drop for Sshfs {
    fn drop(&mut self) {
        self.leave();
    }
}

pub fn keygen(file: &Path, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// As a person would after having compared the key.
pub const TRUSTING: &str = "StrictHostKeyChecking=accept-new";
pub const NO_KEYS: &str = "PubkeyAuthentication=no";

/// The system's getty at the other end of a null-modem cable, started again after each logout, as init does.
/// The cable is between two PTYs.
pub struct Getty {
    /// Our end of the cable.
    pub device: PathBuf,
    stop: Arc<AtomicBool>,
    cable: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Getty {
    /// `None`, said loudly, where there is none. The first cable is pulled out, adapter and all, once
    /// `cut_after` bytes have come from the host; then there is another in its place.
    pub fn start(cut_after: Option<u64>) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            missing("a getty can only be tried as root");
            return None;
        }
        if !have("agetty") || !have("login") {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("ttyUSB0");
        let stop = Arc::new(AtomicBool::new(false));
        let (at, stopped) = (device.clone(), Arc::clone(&stop));
        let cable = std::thread::spawn(move || {
            let mut limit = cut_after.unwrap_or(u64::MAX);
            while !stopped.load(Ordering::Relaxed) {
                Cable::lay(&at).carry(limit, &stopped);
                limit = u64::MAX;
            }
        });
        wait_for("the cable", || device.exists());
        Some(Self { device, stop, cable: Some(cable), _dir: dir })
    }
}

impl Drop for Getty {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.cable.take().map(JoinHandle::join);
    }
}

/// One cable, with the program at its far end.
struct Cable {
    near: File,
    far: File,
    /// The far end's terminal, by which a getty is told where it is.
    terminal: PathBuf,
    /// With nobody at them the PTYs would hang up, as a cable without leads does not.
    _held: [OwnedFd; 2],
    getty: Child,
}

impl Cable {
    fn lay(device: &Path) -> Self {
        let (near, far) = (PtyPair::open().unwrap(), PtyPair::open().unwrap());
        near.make_raw().unwrap();
        let getty = Self::getty(&far.path);
        let new = device.with_extension("new");
        std::os::unix::fs::symlink(&near.path, &new).unwrap();
        fs::rename(&new, device).unwrap();
        Self {
            near: near.master.into(),
            far: far.master.into(),
            terminal: far.path,
            _held: [near.slave, far.slave],
            getty,
        }
    }

    fn getty(terminal: &Path) -> Child {
        let mut command = Command::new("setsid"); // init gives each a session
        command.args(["agetty", "--noclear", "115200"]).arg(terminal.strip_prefix("/dev").unwrap());
        command.arg("vt100").env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Carries bytes both ways, until `limit` have come from the far end or there is no more need.
    fn carry(&mut self, limit: u64, stop: &AtomicBool) {
        let mut left = limit;
        while left > 0 && !stop.load(Ordering::Relaxed) {
            if self.getty.try_wait().unwrap().is_some() {
                self.getty = Self::getty(&self.terminal);
            }
            let mut ends = [&self.near, &self.far].map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN));
            poll(&mut ends, PollTimeout::from(50u8)).unwrap();
            let [from_near, from_far] = ends.map(|end| end.any().unwrap_or(false));
            let mut bytes = [0; 256];
            if from_far {
                let count = self.far.read(&mut bytes).unwrap();
                self.near.write_all(&bytes[..count]).unwrap();
                left = left.saturating_sub(count as u64);
            }
            if from_near {
                let count = self.near.read(&mut bytes).unwrap();
                self.far.write_all(&bytes[..count]).unwrap();
            }
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        end(&mut self.getty);
    }
}

/// A network between a client and a server, whose first connection breaks in the middle.
pub struct Relay {
    pub port: u16,
}

impl Relay {
    /// Leads to the loopback's port `to`; the first connection ends once `cut_after` bytes have come from
    /// the server.
    pub fn to(to: u16, cut_after: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            // The listener lives as long as the test's process.
            let mut limit = cut_after.unwrap_or(u64::MAX);
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                pump(near.try_clone().unwrap(), far.try_clone().unwrap(), u64::MAX);
                pump(far, near, limit);
                limit = u64::MAX;
            }
        });
        Self { port }
    }
}

/// Carries one direction of a connection, and ends both behind the last byte.
fn pump(mut from: TcpStream, mut to: TcpStream, limit: u64) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut (&mut from).take(limit), &mut to);
        for end in [from, to] {
            let _ = end.shutdown(Shutdown::Both);
        }
    });
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether somebody listens, without connecting: the one client that a port takes would be us.
pub fn is_listening(port: u16) -> bool {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines()).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.rsplit(':').next());
        local == Some(&format!("{port:04X}")) && fields.nth(1) == Some("0A") // TCP_LISTEN
    })
}
