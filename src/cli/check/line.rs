//! A line of any kind, up to the modem on it: port, right to use it, locks, the modem's answers and the
//! leads; or address, or program.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::finding::Sheet;
use super::network;
use crate::cli::Global;
use crate::cli::interrupt::Signals;
use crate::cli::modem::{all_profiles, what_hangs_on};
use crate::cli::progress::Display;
use crate::config::{ExecCommand, LineConfig, LineKind, Remote, RemotePort, SerialPort};
use crate::line::Leads;
use crate::line::exec::find_program;
use crate::line::holder::{HeldBy, in_use_by};
use crate::line::lock::{LockPlace, holder_in};
use crate::line::permission::{Permission, Through, own_name, permission};
use crate::line::ports;
use crate::modem::{FlowChoice, Profile, Said, identity};
use crate::session::bench::{self, Examined, Found};
use crate::session::transcript::Transcript;
use crate::session::{Ending, Failure, Progress, Stage};

/// Looks at a line; the error is a signal.
pub(super) async fn look(
    global: &Global,
    name: &str,
    line: &LineConfig,
    signals: &mut Signals,
    sheet: &mut Sheet,
) -> Result<(), Failure> {
    let has_modem = line.modem.is_some();
    let opens = match &line.kind {
        LineKind::Serial(port) => serial(port, line.lock_dir.as_deref(), sheet),
        LineKind::Tcp(remote) | LineKind::Rfc2217(RemotePort { remote, .. }) => {
            reached(remote, has_modem, signals, sheet).await? && has_modem
        }
        LineKind::Telnet(host) => {
            reached(&host.remote, false, signals, sheet).await?;
            false
        }
        LineKind::Exec(exec) => {
            program(exec, has_modem, sheet);
            false
        }
        LineKind::File => {
            sheet.ok("path", "the mailbox is a path on this machine; nothing is called");
            false
        }
    };
    if opens { open(global, name, line, signals, sheet).await } else { Ok(()) }
}

/// Whether a line's host is there; a host may take long to answer, and a signal does not wait for it.
async fn reached(
    remote: &Remote,
    opened_next: bool,
    signals: &mut Signals,
    sheet: &mut Sheet,
) -> Result<bool, Failure> {
    tokio::select! {
        reached = network::look(remote, opened_next, sheet) => Ok(reached),
        signal = signals.next() => {
            Err(Failure::new(Ending::Interrupted, Stage::Opening, format!("ended by {signal}")))
        }
    }
}

/// Looks at a port from outside. Answers whether it may be opened.
fn serial(port: &SerialPort, lock_dir: Option<&Path>, sheet: &mut Sheet) -> bool {
    if !device(&port.device, sheet) {
        return false;
    }
    let permitted = may_open(&port.device, sheet);
    let free = locks(&port.device, lock_dir, sheet);
    permitted && free
}

fn device(device: &Path, sheet: &mut Sheet) -> bool {
    const WHAT: &str = "device";
    let shown = device.display();
    let found = match std::fs::metadata(device) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let link = std::fs::read_link(device).ok();
            let leads = link.map(|to| format!(": it leads to {}", to.display())).unwrap_or_default();
            let found = format!("there is no {shown}{leads}");
            sheet.wrong(Ending::NoSuchPort, WHAT, found, plug_in());
            return false;
        }
        Err(error) => {
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            let ending = if denied { Ending::NoPermission } else { Ending::NoSuchPort };
            let found = format!("cannot look at {shown}: {error}");
            sheet.wrong(ending, WHAT, found, "name a port that may be looked at, such as /dev/ttyS0");
            return false;
        }
    };
    if !found.file_type().is_char_device() {
        let found = format!("{shown} is not a serial port");
        let remedy = "set `device` to a port; `mailcall modem list` shows this machine's";
        sheet.wrong(Ending::NoSuchPort, WHAT, found, remedy);
        return false;
    }
    sheet.ok(WHAT, format!("{shown}{}", described(device)));
    true
}

fn plug_in() -> String {
    let known = ports::list().unwrap_or_default();
    let names: Vec<String> = known.iter().map(|port| port.device.display().to_string()).collect();
    match names.is_empty() {
        true => "plug the adapter or modem in: this machine has no serial port now".to_owned(),
        false => format!("plug it in, or mend `device`: there are {}", names.join(", ")),
    }
}

/// What is known of the hardware.
fn described(device: &Path) -> String {
    let Ok(real) = std::fs::canonicalize(device) else { return String::new() };
    if is_pty(&real) {
        return format!(" is a pseudo-terminal, {}", real.display());
    }
    let known = ports::list().unwrap_or_default();
    let port = known.iter().find(|port| port.device == real);
    port.map_or_else(String::new, |port| format!(": {}", what_hangs_on(port)))
}

fn is_pty(real: &Path) -> bool {
    real.starts_with("/dev/pts")
}

fn may_open(device: &Path, sheet: &mut Sheet) -> bool {
    const WHAT: &str = "permission";
    let me = own_name();
    let shown = device.display();
    match permission(device) {
        Ok(Permission::Granted(through)) => {
            sheet.ok(
                WHAT,
                match through {
                    Through::Root => format!("{me} may use every port"),
                    Through::Owner => format!("it is {me}'s own"),
                    Through::Group(group) => format!("{me} is in its group, {group}"),
                    Through::Everybody => "everybody may use it".to_owned(),
                    Through::AccessList => format!("{me} is let in by its access list"),
                },
            );
            return true;
        }
        Ok(Permission::NotYet { group }) => sheet.wrong(
            Ending::NoPermission,
            WHAT,
            format!("{shown} is for the group {group}; {me} is in it, but this session began before that"),
            format!("log out and in again, or `newgrp {group}` in this shell"),
        ),
        Ok(Permission::NotInGroup { group }) => sheet.wrong(
            Ending::NoPermission,
            WHAT,
            format!("{shown} is for the group {group}, and {me} is not in it"),
            format!("`sudo usermod -aG {group} {me}`, then log in again"),
        ),
        Ok(Permission::Refused { owner, mode }) => sheet.wrong(
            Ending::NoPermission,
            WHAT,
            format!("{shown} belongs to {owner} and has the mode {mode:03o}: {me} may not use it"),
            format!("`sudo chgrp dialout {shown}` and `sudo chmod 660 {shown}`, by a udev rule to last"),
        ),
        Err(error) => {
            let found = format!("cannot look at {shown}: {error}");
            sheet.wrong(Ending::NoSuchPort, WHAT, found, "was it unplugged just now?");
        }
    }
    false
}

/// The lock directory, and who has the port. Answers whether it is free.
fn locks(device: &Path, dir: Option<&Path>, sheet: &mut Sheet) -> bool {
    lock_place(device, dir, sheet);
    const WHAT: &str = "in use";
    let on_pty = std::fs::canonicalize(device).is_ok_and(|real| is_pty(&real));
    match holder_in(device, dir) {
        None => {}
        // A simulator has its own PTY open.
        Some(holder) if holder.by == HeldBy::Descriptor && on_pty => {}
        // It may be a getty, which locks nothing.
        Some(holder) if holder.by == HeldBy::Descriptor => {
            let found = format!("{holder} has it open, without a lock");
            sheet.warning(WHAT, found, "end it first, if it speaks to the modem");
        }
        Some(holder) => {
            let (found, remedy) = in_use_by(device, Some(&holder));
            sheet.wrong(Ending::PortLocked, WHAT, found, remedy);
            return false;
        }
    }
    true
}

fn lock_place(device: &Path, dir: Option<&Path>, sheet: &mut Sheet) {
    const WHAT: &str = "lock";
    let Some(place) = LockPlace::look(device, dir) else {
        let found = "this machine has no lock directory: only programs that use flock see our lock";
        return sheet.warning(WHAT, found, "leave it, or make /var/lock");
    };
    let dir = place.dir.display();
    if let Some(stuck) = place.stale.iter().find(|stale| !stale.removable) {
        let found = format!("{} was left by {}, which has ended", stuck.path.display(), stuck.made_by);
        let remedy = format!("`sudo rm {}`: it is not ours to remove", stuck.path.display());
        return sheet.warning(WHAT, found, remedy);
    }
    match (&place.refused, place.stale.first()) {
        (Some(error), _) => {
            let found = format!("no lock file can be made in {dir} ({error}): only flock keeps others out");
            let remedy = format!("be in the group that may write there (ls -ld {dir}), or leave it");
            sheet.warning(WHAT, found, remedy);
        }
        (None, Some(stale)) => {
            let (path, by) = (stale.path.display(), &stale.made_by);
            sheet.ok(WHAT, format!("{path} was left by {by}, which has ended: it is taken over"));
        }
        (None, None) => sheet.ok(WHAT, format!("lock files are made in {dir}")),
    }
}

fn program(exec: &ExecCommand, has_modem: bool, sheet: &mut Sheet) {
    let program = exec.command.first().map_or("", String::as_str);
    if let Some(folder) = exec.folder.as_ref().filter(|folder| !folder.is_dir()) {
        let found = format!("the folder {} in which it is to begin is not there", folder.display());
        return sheet.wrong(Ending::NoSuchPort, "program", found, "make it, or mend `folder` of the line");
    }
    let path = exec.env.get("PATH").map(OsStr::new);
    match find_program(OsStr::new(program), path, exec.folder.as_deref()) {
        Ok(path) => {
            let modem = if has_modem { ", nor the modem behind it asked" } else { "" };
            let path = path.display();
            sheet.ok("program", format!("{path} is there; it was not run{modem}: that is for --dial"));
        }
        Err(why) => {
            let remedy = "install it, or mend `command`; its first word is the program";
            sheet.wrong(Ending::NoSuchPort, "program", why, remedy);
        }
    }
}

/// Opens the line, and speaks to the modem on it.
async fn open(
    global: &Global,
    name: &str,
    line: &LineConfig,
    signals: &mut Signals,
    sheet: &mut Sheet,
) -> Result<(), Failure> {
    // Lines of progress between findings would be in their way where there is no bar to take off.
    let shows = global.verbose > 0 || std::io::stderr().is_terminal();
    let display = shows.then(|| Display::new(global, name));
    let mut notes = Vec::new();
    let transcript = display.as_ref().map_or_else(Transcript::silent, |display| display.transcript(global));
    if let Some(display) = &display {
        display.show(Progress::Stage(Stage::Opening, name.to_owned()));
    }
    let mut watch = |progress| match progress {
        Progress::Note(note) => notes.push(note),
        other @ (Progress::Stage(..) | Progress::Bytes { .. }) => {
            if let Some(display) = &display {
                display.show(other);
            }
        }
    };
    let examined = bench::examine(line, transcript, &mut watch, async || signals.next().await).await;
    if let Some(display) = &display {
        display.finish();
    }
    match examined {
        Err(failure) if failure.ending == Ending::Interrupted => return Err(failure),
        Err(failure) if matches!(line.kind, LineKind::Tcp(_) | LineKind::Rfc2217(_)) => {
            network::refused("connect", &failure, sheet);
        }
        Err(failure) => sheet.wrong(failure.ending, "port", &failure.message, opening_remedy(&failure)),
        Ok(examined) => told(global, line, examined, &notes, sheet)?,
    }
    Ok(())
}

fn opening_remedy(failure: &Failure) -> &'static str {
    match failure.ending {
        Ending::PortLocked => "end what uses it, or wait",
        Ending::NoPermission => "be in the port's group, and log in again",
        Ending::Config => "mend the line: `speed`, `flow`",
        _ => "choose another port; `mailcall modem list` shows them", // whatever else opening may say
    }
}

fn told(
    global: &Global,
    line: &LineConfig,
    examined: Examined,
    notes: &[String],
    sheet: &mut Sheet,
) -> Result<(), Failure> {
    // What is said of locks was found from outside already.
    for warning in examined.warnings.iter().filter(|warning| !warning.contains("lock")) {
        let remedy = match warning.contains("flow control") {
            true => "use another port, or flow = \"xonxoff\" at a low speed",
            false => "none needed, unless calls fail",
        };
        sheet.warning("port", warning, remedy);
    }
    let answered = match (&line.modem, examined.modem) {
        (Some(profile), Some(Ok(found))) => {
            modem(global, profile, &found, sheet);
            true
        }
        (_, Some(Err(failure))) if failure.ending == Ending::Interrupted => return Err(failure),
        (_, Some(Err(failure))) => {
            let remedy = match failure.ending {
                Ending::ModemSilent => {
                    "power, cable; `mailcall modem probe` looks closer; a null-modem cable needs modem = \"none\""
                }
                _ => "-v shows what was said",
            };
            sheet.wrong(failure.ending, "modem", failure.message, remedy);
            false
        }
        (None, Some(Ok(_))) | (_, None) => {
            sheet.ok("modem", "none: the line is connected already");
            true
        }
    };
    for note in notes {
        noted(note, sheet);
    }
    leads(line, examined.leads, answered, sheet);
    Ok(())
}

fn modem(global: &Global, profile: &Profile, found: &Found, sheet: &mut Sheet) {
    let at = found.speed.map(|speed| format!(" at {speed} bit/s")).unwrap_or_default();
    sheet.ok("modem", format!("answers{at}{}", called(&found.said)));
    let profiles = all_profiles(global);
    let fitting = identity::suggest(&found.said, &profiles);
    let is_own = Profile::builtin(&profile.name).is_none();
    match fitting.first() {
        Some(best) if !is_own && !fitting.contains(&profile.name.as_str()) => {
            let found =
                format!("{:?} is used, and it says of itself what {best:?} is made for", profile.name);
            sheet.warning("profile", found, format!("modem = {best:?} in the line"));
        }
        _ => sheet.ok("profile", format!("{}: {}", profile.name, profile.description)),
    }
}

/// What it calls itself: the first answer with a word in it.
fn called(said: &[Said]) -> String {
    let mut lines = said.iter().flat_map(|said| &said.lines);
    let words = |line: &&String| line.chars().filter(|c| c.is_alphabetic()).count() >= LETTERS_OF_A_NAME;
    lines.find(words).map(|line| format!(": {}", line.trim())).unwrap_or_default()
}

/// What the modem did while it was set up as for a call.
fn noted(note: &str, sheet: &mut Sheet) {
    // The settings called `init` must hold, or a call ends with this.
    if note.starts_with("the modem passes over") && note.contains("(init") {
        let remedy = "take it out of the line's `init`, or mend its profile";
        return sheet.wrong(Ending::PeerMisbehaved, "settings", note, remedy);
    }
    let remedy = if note.contains("speed = ") {
        "set `speed` of the line to that"
    } else if note.contains("old call") {
        "none needed, if it answers now"
    } else {
        "none needed, unless calls fail; another profile may know better"
    };
    sheet.warning("settings", note, remedy);
}

fn leads(line: &LineConfig, leads: Option<Leads>, answered: bool, sheet: &mut Sheet) {
    const WHAT: &str = "leads";
    let flow = match &line.kind {
        LineKind::Serial(port) => port.settings.flow,
        LineKind::Rfc2217(port) => port.settings.flow,
        LineKind::Tcp(_) | LineKind::Telnet(_) | LineKind::Exec(_) | LineKind::File => return,
    };
    let Some(leads) = leads else {
        return sheet.ok(WHAT, "unknown on this port: loss of carrier is told by the modem's words");
    };
    if !leads.cts && flow == FlowChoice::RtsCts {
        let found = "CTS is off, and with flow = \"rtscts\" nothing is sent then";
        let remedy = "switch the modem on; a cable without RTS and CTS needs flow = \"none\"";
        return sheet.warning(WHAT, found, remedy);
    }
    if leads.dcd && answered && line.modem.is_some() {
        let found = "DCD is on without a call, so the loss of one will not be seen";
        let remedy = "the modem needs AT&C1 (`init` of the line), or the cable ties DCD to DTR";
        return sheet.warning(WHAT, found, remedy);
    }
    sheet.ok(WHAT, crate::cli::modem::leads_shown(Some(leads)));
}

/// Letters that make an answer a name: `5601` is a number, `OK` no name.
const LETTERS_OF_A_NAME: usize = 3;
