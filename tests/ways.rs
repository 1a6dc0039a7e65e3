//! Every way to a mailbox by everything that is done with one: the table of docs/ways.md.
//!
//! A row of the table is a module here, named as the table names it, and a `yes` in it a test of that
//! module, named for the column. A way starts real servers; what is done is the same for all of them.
#![allow(clippy::disallowed_methods)] // real servers run by the real clock

mod common;

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::at_terminal::AtTerminal;
use common::servers::{
    Asks, Getty, Inetd, NO_KEYS, PySerial, Relay, Ser2net, Socat, Sshd, Sshfs, TRUSTING, Whose,
};
use common::*;

/// A way to a mailbox, ready to be used by the account `home`.
struct Way {
    home: Home,
    /// Where the mail is, for a look at it from behind: a file, or a Maildir.
    mailbox: PathBuf,
    cut: Cut,
    /// What runs meanwhile. It ends in this order.
    _servers: Vec<Box<dyn Any>>,
}

/// What is cut off in the middle of a call.
enum Cut {
    /// The line.
    Line,
    /// The program itself, because there is no line that could be lost.
    Program,
}

/// What a test wants of a way.
struct Cell {
    mail: Vec<u8>,
    /// The first call is cut off when so many bytes have come from the host.
    cut_after: Option<u64>,
}

impl Cell {
    fn of(mail: Vec<u8>) -> Self {
        Self { mail, cut_after: None }
    }
}

/// Makes a module for each row, with a test for each column.
macro_rules! ways {
    ($($row:ident: $($column:ident)*;)*) => {
        $(mod $row {
            $(#[test]
            fn $column() {
                super::$column(super::$row);
            })*
        })*

        /// The tests above, by row.
        const TESTS: &[(&str, &[&str])] = &[$((stringify!($row), &[$(stringify!($column)),*])),*];
    };
}

ways! {
    file_mbox: fetch list delete resume;
    file_maildir: fetch list delete resume;
    sshfs_mbox: fetch list delete resume;
    sshfs_maildir: fetch list delete resume;
    dial_up: fetch list delete resume terminal;
    null_modem: fetch list delete resume terminal;
    telnet_inetutils: fetch list delete resume terminal;
    telnet_busybox: fetch list delete resume terminal;
    rfc2217_ser2net: fetch list delete resume terminal;
    rfc2217_pyserial: fetch list delete resume terminal;
    tcp_modem: fetch list delete resume terminal;
    tcp_login: fetch list delete resume terminal;
    exec_shell: fetch list delete resume terminal;
    exec_ssh: fetch list delete resume terminal;
}

/// How a way is started; `None`, said loudly, where this machine cannot.
type Start = fn(&Cell) -> Option<Way>;

// What is done.

fn fetch(start: Start) {
    let Some(way) = start(&Cell::of(sample())) else { return };
    let before = way.held();
    let first = way.home.fetch();
    first.ended(0, "done");
    assert_eq!(first.number("messages_new") as usize, messages(&sample()).len());
    assert_eq!(way.home.mail(), messages(&sample()));
    let second = way.home.fetch();
    second.ended(0, "done");
    assert_eq!(second.number("messages_new"), 0);
    assert!(second.number("bytes_down") < 4_000, "{}", second.out);
    assert_eq!(way.home.mail(), messages(&sample()));
    assert_eq!(way.held(), before, "the mailbox is as it was");
}

fn list(start: Start) {
    let Some(way) = start(&Cell::of(sample())) else { return };
    let rows = way.listed();
    assert_eq!(rows.len(), messages(&sample()).len());
    for subject in ["The hut is open", "Grüße von der Wetterhütte – und ein Bär?"] {
        assert_eq!(rows.iter().filter(|row| row["subject"] == subject).count(), 1, "{subject}: {rows:?}");
    }
    assert!(rows.iter().all(|row| row["state"] == "new"), "{rows:?}");
    assert_eq!(way.home.mail(), Vec::<Vec<u8>>::new(), "nothing is delivered by looking");
}

fn delete(start: Start) {
    let Some(way) = start(&Cell::of(sample())) else { return };
    let early = way.home.run(&["delete", "home", "2"]);
    assert_eq!(early.code, 64, "what is not here yet is not deleted: {}", early.err);
    way.home.fetch().ended(0, "done");
    let before = way.held();
    let chosen = way.home.run(&["show", "--raw", "home", "2"]).out;
    let ran = way.home.run(&["delete", "--json", "home", "2"]);
    ran.ended(0, "done");
    assert_eq!(ran.number("messages_deleted"), 1);
    let after = way.held();
    let gone: Vec<_> = before.iter().filter(|message| !after.contains(message)).collect();
    assert_eq!((gone.len(), after.len()), (1, before.len() - 1));
    let subject = chosen.lines().find(|line| line.starts_with("Subject: ")).expect("it has one");
    assert!(String::from_utf8_lossy(gone[0]).contains(subject), "{subject} was meant");
    // And all the others by a fetch that is to leave nothing behind. What is here stays here.
    way.home.account_also("keep = false\n");
    let ran = way.home.fetch();
    ran.ended(0, "done");
    assert_eq!((ran.number("messages_new"), ran.number("messages_deleted")), (0, before.len() as u64 - 1));
    assert_eq!(way.held(), Vec::<Vec<u8>>::new());
    assert_eq!(way.home.mail(), messages(&sample()));
}

fn resume(start: Start) {
    let mail = many();
    let Some(way) = start(&Cell { mail: mail.clone(), cut_after: Some(mail.len() as u64 / 2) }) else {
        return;
    };
    match &way.cut {
        Cut::Line => _ = way.home.fetch().ended(75, "carrier-lost"),
        Cut::Program => {
            let mut child = way.home.command(&["-q", "fetch", "home"]).spawn().unwrap();
            wait_for("some mail", || way.home.mail().len() > 5);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    let here = way.home.mail();
    let kept = here.iter().map(Vec::len).sum::<usize>() + way.home.part_len();
    assert!(kept > mail.len() / 10 && here.len() < messages(&mail).len(), "{kept} bytes: not in the middle");
    let rest = way.home.fetch();
    rest.ended(0, "done");
    assert!(way.home.mail() == messages(&mail), "each message once: {}", rest.out);
    assert_eq!(rest.number("messages_new") as usize, messages(&mail).len() - here.len());
    // As text, three bytes are four. The call around it is short.
    let missing = mail.len().saturating_sub(kept); // delivered from the part, which is still there: twice
    let missing = if rest.json("transfer") == "text" { missing * 4 / 3 } else { missing };
    assert!(rest.number("bytes_down") < missing as u64 + 12_000, "{kept} bytes came again: {}", rest.out);
}

/// Mail that takes a while and cannot be packed, so that what is cut in its middle is half of it.
fn many() -> Vec<u8> {
    let mut seed = 1u32;
    let mut mail = Vec::new();
    for number in 0..100 {
        let head = format!("From eve@example.org Mon Jan  5 10:00:00 2026\nSubject: number {number}\n\n");
        mail.extend_from_slice(head.as_bytes());
        for _ in 0..50 {
            for _ in 0..70 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                mail.push(b'0' + (seed >> 26) as u8);
            }
            mail.push(b'\n');
        }
        mail.push(b'\n');
    }
    mail
}

fn terminal(start: Start) {
    let Some(way) = start(&Cell::of(sample())) else { return };
    let mut person = AtTerminal::start(way.home.command(&["terminal", "home"]));
    person.sees("Ctrl-] q hangs up");
    person.types(b"echo $((6*7))-is-it\r");
    person.sees("42-is-it");
    person.types(b"\x1dq");
    person.sees("you have hung up");
    assert_eq!(person.ended(), 0);
}

// The ways.

impl Way {
    /// One with a line that can be lost.
    fn by_line(line: &str, account: &str, mailbox: PathBuf, servers: Vec<Box<dyn Any>>) -> Self {
        Self { home: Home::with_line(line, account), mailbox, cut: Cut::Line, _servers: servers }
    }

    /// The messages that the mailbox holds, as they stand there.
    fn held(&self) -> Vec<Vec<u8>> {
        let mut held = Vec::new();
        if self.mailbox.is_file() {
            for line in std::fs::read(&self.mailbox).unwrap().split_inclusive(|byte| *byte == b'\n') {
                if line.starts_with(b"From ")
                    && held.last().is_none_or(|last: &Vec<u8>| last.ends_with(b"\n\n"))
                {
                    held.push(Vec::new());
                }
                held.last_mut().expect("an mbox begins with From_").extend_from_slice(line);
            }
            return held;
        }
        for folder in ["new", "cur"] {
            for file in std::fs::read_dir(self.mailbox.join(folder)).unwrap() {
                held.push(std::fs::read(file.unwrap().path()).unwrap());
            }
        }
        held.sort();
        held
    }

    fn listed(&self) -> Vec<serde_json::Value> {
        let listed = self.home.run(&["list", "--json", "home"]);
        assert_eq!(listed.code, 0, "{}", listed.err);
        listed.out.lines().map(|row| serde_json::from_str(row).unwrap()).collect()
    }
}

/// A user of this system, whose mail is in the system's spool.
fn user(cell: &Cell) -> Option<User> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let user = User::new(&format!("w{}", MADE.fetch_add(1, Ordering::Relaxed)), "/bin/bash", &cell.mail)?;
    at_rest(&user.mailbox);
    Some(user)
}

/// Whom the host asks for a name and a password, and finds the mailbox itself.
fn logs_in(user: &User) -> String {
    format!("user = {:?}\npassword = {{ env = \"TEST_PASSWORD\" }}\n", user.name)
}

/// The simulated modem. Its line is lost where the call is to be cut off.
fn modem(cell: &Cell, args: &[&str]) -> Sim {
    let bytes = cell.cut_after.map(|bytes| bytes.to_string());
    let drop: Vec<_> = bytes.iter().flat_map(|bytes| ["--drop-after", bytes]).collect();
    Sim::start(&[&["--ring", "0"], args, &drop].concat())
}

/// A simulated modem with the simulator's own host behind it, and the account there.
fn dialled(cell: &Cell) -> (Sim, PathBuf, String, tempfile::TempDir) {
    let (dir, path) = spool(cell);
    let shown = path.display().to_string();
    let sim = modem(cell, &["--user", "mary", "--password", PASSWORD, "--mailbox", &shown]);
    let account = format!(
        "phone = \"555 1212\"\nuser = \"mary\"\npassword = {{ env = \"TEST_PASSWORD\" }}\nmailbox = {shown:?}\n"
    );
    (sim, path, account, dir)
}

/// A folder with a mailbox in it.
fn spool(cell: &Cell) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mary");
    std::fs::write(&path, &cell.mail).unwrap();
    at_rest(&path);
    (dir, path)
}

/// As if nobody had touched it for an hour: what was just written is looked at twice.
fn at_rest(path: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3600)).unwrap();
}

fn file_mbox(cell: &Cell) -> Option<Way> {
    let (dir, path) = spool(cell);
    let home = Home::with_line("kind = \"file\"\n", &format!("mailbox = {:?}\n", path.display().to_string()));
    Some(Way { home, mailbox: path, cut: Cut::Program, _servers: vec![Box::new(dir)] })
}

fn file_maildir(cell: &Cell) -> Option<Way> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Maildir");
    maildir(&path, &cell.mail);
    let mailbox = format!("mailbox = {{ maildir = {:?} }}\n", path.display().to_string());
    let home = Home::with_line("kind = \"file\"\n", &mailbox);
    Some(Way { home, mailbox: path, cut: Cut::Program, _servers: vec![Box::new(dir)] })
}

/// Puts the messages of an mbox into a Maildir, as a delivery agent does.
fn maildir(path: &Path, mbox: &[u8]) {
    for folder in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(path.join(folder)).unwrap();
    }
    for (number, message) in messages(mbox).iter().enumerate() {
        std::fs::write(path.join(format!("new/{}.M{number}P1.host", 1_767_225_600 + number)), message)
            .unwrap();
    }
}

fn sshfs_mbox(cell: &Cell) -> Option<Way> {
    let mount = Sshfs::mount(user(cell)?, None, true)?;
    let (home, mailbox) = mbox_on(&mount, cell);
    Some(Way { home, mailbox, cut: Cut::Program, _servers: vec![Box::new(mount)] })
}

fn mbox_on(mount: &Sshfs, cell: &Cell) -> (Home, PathBuf) {
    let mailbox = mount.below.join("mary");
    std::fs::write(&mailbox, &cell.mail).unwrap();
    at_rest(&mailbox);
    mount.sshd.user.gets(&mailbox);
    let path = mount.at.join("mary").display().to_string();
    (Home::with_line("kind = \"file\"\n", &format!("mailbox = {path:?}\n")), mailbox)
}

fn sshfs_maildir(cell: &Cell) -> Option<Way> {
    let mount = Sshfs::mount(user(cell)?, None, true)?;
    let (home, mailbox) = maildir_on(&mount, cell);
    Some(Way { home, mailbox, cut: Cut::Program, _servers: vec![Box::new(mount)] })
}

fn maildir_on(mount: &Sshfs, cell: &Cell) -> (Home, PathBuf) {
    let mailbox = mount.below.join("Maildir");
    maildir(&mailbox, &cell.mail);
    mount.sshd.user.gets(&mailbox);
    let path = mount.at.join("Maildir").display().to_string();
    (Home::with_line("kind = \"file\"\n", &format!("mailbox = {{ maildir = {path:?} }}\n")), mailbox)
}

/// sshfs gives zeros for bytes that were under way when its connection broke, as if they had been read. And
/// when it is gone, its folder looks like one in which no mail has come yet.
#[test]
fn a_mount_that_is_lost_in_mid_call_tears_no_mail_and_is_not_taken_for_an_empty_mailbox() {
    let cell = Cell::of(many());
    let size = cell.mail.len() as u64;
    // A Maildir is read once for what is in it, and then for its mail.
    type Laid = fn(&Sshfs, &Cell) -> (Home, PathBuf);
    let kinds: [(Laid, _); 3] = [(mbox_on, size / 2), (maildir_on, size / 2), (maildir_on, size * 3 / 2)];
    let cases = kinds.iter().flat_map(|kind| [(kind, true), (kind, false)]);
    at_once(cases, |((laid, cut_after), reconnects)| {
        let Some(user) = user(&cell) else { return };
        let Some(mount) = Sshfs::mount(user, Some(*cut_after), reconnects) else { return };
        let (home, _) = laid(&mount, &cell);
        let ran = home.fetch();
        if reconnects {
            ran.ended(0, "done");
        } else {
            ran.ended(75, "carrier-lost");
            mount.again();
        }
        home.fetch().ended(0, "done"); // the rest, or one that seemed to be under way
        assert!(home.mail() == messages(&cell.mail), "{cut_after}, {reconnects}");
    });
}

fn dial_up(cell: &Cell) -> Option<Way> {
    let user = user(cell)?;
    let sim = modem(cell, &["--host", "/bin/login"]);
    let home = user.home(&sim, "");
    Some(Way {
        home,
        mailbox: user.mailbox.clone(),
        cut: Cut::Line,
        _servers: vec![Box::new(sim), Box::new(user)],
    })
}

fn null_modem(cell: &Cell) -> Option<Way> {
    let user = user(cell)?;
    let getty = Getty::start(cell.cut_after)?;
    let device = getty.device.display().to_string();
    let line = format!("kind = \"serial\"\ndevice = {device:?}\nspeed = 115200\nmodem = \"none\"\n");
    Some(Way::by_line(&line, &logs_in(&user), user.mailbox.clone(), vec![Box::new(getty), Box::new(user)]))
}

fn telnet_inetutils(cell: &Cell) -> Option<Way> {
    telnet(cell, Whose::Inetutils)
}

fn telnet_busybox(cell: &Cell) -> Option<Way> {
    telnet(cell, Whose::Busybox)
}

fn telnet(cell: &Cell, whose: Whose) -> Option<Way> {
    let user = user(cell)?;
    let inetd = Inetd::start(whose, "/bin/login")?;
    let relay = Relay::to(inetd.address.port(), cell.cut_after);
    let line = format!("kind = \"telnet\"\naddress = \"127.0.0.1:{}\"\n", relay.port);
    Some(Way::by_line(&line, &logs_in(&user), user.mailbox.clone(), vec![Box::new(inetd), Box::new(user)]))
}

fn rfc2217_ser2net(cell: &Cell) -> Option<Way> {
    let (sim, mailbox, account, dir) = dialled(cell);
    let server = Ser2net::start(Ser2net::RFC2217, &sim.device)?;
    let line = format!("kind = \"rfc2217\"\naddress = \"{}\"\n", server.address());
    Some(Way::by_line(&line, &account, mailbox, vec![Box::new(server), Box::new(sim), Box::new(dir)]))
}

fn rfc2217_pyserial(cell: &Cell) -> Option<Way> {
    let (sim, mailbox, account, dir) = dialled(cell);
    let server = PySerial::start(&sim.device, &[])?;
    let line = format!("kind = \"rfc2217\"\naddress = \"{}\"\n", server.address());
    Some(Way::by_line(&line, &account, mailbox, vec![Box::new(server), Box::new(sim), Box::new(dir)]))
}

fn tcp_modem(cell: &Cell) -> Option<Way> {
    let (sim, mailbox, account, dir) = dialled(cell);
    let server = Ser2net::start("", &sim.device)?;
    let line = format!("kind = \"tcp\"\naddress = \"{}\"\nmodem = \"generic\"\n", server.address());
    Some(Way::by_line(&line, &account, mailbox, vec![Box::new(server), Box::new(sim), Box::new(dir)]))
}

fn tcp_login(cell: &Cell) -> Option<Way> {
    let user = user(cell)?;
    let socat = Socat::start("/bin/login")?;
    let relay = Relay::to(socat.address.port(), cell.cut_after);
    let line = format!("kind = \"tcp\"\naddress = \"127.0.0.1:{}\"\n", relay.port);
    Some(Way::by_line(&line, &logs_in(&user), user.mailbox.clone(), vec![Box::new(socat), Box::new(user)]))
}

fn exec_shell(cell: &Cell) -> Option<Way> {
    let (dir, path) = spool(cell);
    let cut = dir.path().join("cut");
    let script = match cell.cut_after {
        None => "exec sh".to_owned(),
        Some(bytes) if have("socat") => {
            // The first shell ends in the middle of what it says.
            std::fs::write(&cut, "").unwrap();
            let shell = "socat - EXEC:sh,pty,setsid,ctty,stderr";
            let first = format!("stty raw -echo; {shell} | dd bs=1 count={bytes} 2>/dev/null");
            format!("if rm {cut:?} 2>/dev/null; then {first}; else exec sh; fi")
        }
        Some(_) => return None,
    };
    let line = format!("kind = \"exec\"\ncommand = [\"sh\", \"-c\", {script:?}]\n");
    let home = Home::with_line(&line, &format!("mailbox = {:?}\n", path.display().to_string()));
    Some(Way { home, mailbox: path, cut: Cut::Line, _servers: vec![Box::new(dir)] })
}

fn exec_ssh(cell: &Cell) -> Option<Way> {
    let sshd = Sshd::start(user(cell)?, Asks::Ssh)?;
    let relay = Relay::to(sshd.port, cell.cut_after);
    let home = sshd.home_through(relay.port, &[TRUSTING, NO_KEYS], "");
    Some(Way { home, mailbox: sshd.user.mailbox.clone(), cut: Cut::Line, _servers: vec![Box::new(sshd)] })
}

// The table.

/// The cells of a table in Markdown, by row and by column, as far as its first cell is a name in code.
fn table(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut heading = Vec::new();
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let row = cells(line);
        match row[0].strip_prefix('`').and_then(|name| name.strip_suffix('`')) {
            None if row.iter().any(|cell| cell == "fetch") => heading = row,
            Some(name) if row.len() == heading.len() => {
                rows.insert(name.to_owned(), heading.iter().cloned().zip(row.clone()).skip(1).collect());
            }
            None | Some(_) => {}
        }
    }
    rows
}

#[test]
fn every_yes_in_the_documented_table_has_a_test_and_every_other_cell_a_reason() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ways.md");
    let documented = table(&std::fs::read_to_string(docs).unwrap());
    let names: Vec<_> = documented.keys().map(String::as_str).collect();
    let mut tested: Vec<_> = TESTS.iter().map(|(row, _)| *row).collect();
    tested.sort_unstable();
    assert_eq!(names, tested, "the rows");
    for (row, tests) in TESTS {
        for column in COLUMNS {
            let cell = documented[*row].get(*column).unwrap_or_else(|| panic!("{row} has no {column}"));
            assert_eq!(cell == "yes", tests.contains(column), "{row}::{column} is {cell:?}");
            assert!(cell == "yes" || cell.split_whitespace().count() > 2, "{row}, {column}: why {cell:?}?");
        }
    }
}

/// What is done with a mailbox.
const COLUMNS: &[&str] = &["fetch", "list", "delete", "resume", "terminal"];
