//! `mailcall modem probe`, `info`, `dial` and `hangup`: the modem is spoken to.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{Chosen, How, Which, choose, failed_json, folders};
use crate::cli::dry_run::{dialogue, refuse_json};
use crate::cli::interrupt::Signals;
use crate::cli::progress::Display;
use crate::cli::report::off_hook;
use crate::cli::{Global, duration};
use crate::config::{LineConfig, LineKind, SPEED_DEFAULT};
use crate::line::Leads;
use crate::line::lock::holder_of;
use crate::line::ports::{self, PortEntry};
use crate::modem::{Profile, Said, identity};
use crate::session::bench::{self, Attempt, Found};
use crate::session::dialling::plan;
use crate::session::transcript::Transcript;
use crate::session::{Ending, Failure, Progress, Stage};
use crate::store::dials::Dials;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sends AT and asks the modem what it is; dials nothing. A port without a modem
gets these bytes too, so name the port where something else is on others.")]
pub(in crate::cli) struct ProbeArgs {
    /// A line of the configuration, or a port [default: all ports that nobody uses]
    #[arg(value_name = "LINE|PORT")]
    line: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The profile's settings are sent first, as for a call: those that the modem does
not know are named. Nothing is dialled.")]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DialArgs {
    /// The number, as an account's `phone` has it
    #[arg(value_name = "NUMBER", allow_hyphen_values = true)]
    number: String,
    #[command(flatten)]
    which: Which,
    /// Show what the host says for so long before hanging up: 10s
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    listen: Duration,
    /// Print what would be sent; open nothing, dial nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "DTR is dropped where the port has it, else the modem is escaped from with +++.")]
pub(in crate::cli) struct HangupArgs {
    #[command(flatten)]
    which: Which,
}

/// A modem in `probe --json` and `info --json`.
#[derive(Serialize)]
struct FoundJson<'a> {
    port: &'a str,
    speed: Option<u32>,
    profiles: Vec<&'a str>,
    leads: Option<LeadsJson>,
    said: &'a [Said],
}

#[derive(Serialize)]
struct LeadsJson {
    dtr: bool,
    rts: bool,
    cts: bool,
    dsr: bool,
    dcd: bool,
    ri: bool,
}

pub(super) fn probe(global: &Global, args: &ProbeArgs) -> Result<Ending, Failure> {
    let targets = match &args.line {
        Some(line) => vec![choose(global, Some(line), &args.how)?],
        None => free_ports(global, &args.how)?,
    };
    let profiles = all_profiles(global);
    let mut answered = false;
    let mut without = Vec::new();
    for target in targets {
        match asked(global, &target, false, |profile| profile.identify.clone()) {
            Ok(found) => {
                answered = true;
                let fitting = identity::suggest(&found.said, &profiles);
                if global.json {
                    print_json(&found, fitting);
                } else {
                    print_probe(&target, &found, &fitting, &profiles);
                }
            }
            Err(failure) if args.line.is_some() || failure.ending == Ending::Interrupted => {
                return Err(failure);
            }
            // One port of several without a modem is no failure.
            Err(failure) => {
                if global.json {
                    println!("{}", failed_json(Some(&target.name), &failure));
                } else {
                    println!("{}", failure.message); // it names the port
                }
                without.push(failure.ending);
            }
        }
    }
    match without.first() {
        _ if answered => Ok(Ending::Done),
        Some(&first) => {
            let all_alike = without.iter().all(|&ending| ending == first);
            let ending = if all_alike { first } else { Ending::ModemSilent };
            Err(Failure::new(ending, Stage::Preparing, "no modem answers on any free port"))
        }
        None => {
            let message =
                "there is no free serial port; `mailcall modem list` shows the ports and who uses them";
            Err(Failure::new(Ending::NoSuchPort, Stage::Preparing, message))
        }
    }
}

pub(super) fn info(global: &Global, args: &InfoArgs) -> Result<Ending, Failure> {
    let chosen = args.which.choose(global)?;
    let found = asked(global, &chosen, true, |profile| {
        let mut questions = profile.identify.clone();
        for more in [&profile.signal, &profile.statistics, &profile.cause] {
            questions.extend(more.iter().cloned());
        }
        questions.push("&V".to_owned());
        questions
    })?;
    let profiles = all_profiles(global);
    let fitting = identity::suggest(&found.said, &profiles);
    if global.json {
        print_json(&found, fitting);
        return Ok(Ending::Done);
    }
    println!("{}", heading(&found));
    println!("leads: {}", leads_shown(found.leads));
    print_said(&found.said);
    Ok(Ending::Done)
}

pub(super) fn dial(global: &Global, args: &DialArgs) -> Result<Ending, Failure> {
    let mut object = serde_json::json!({ "port": null, "connection": null, "statistics": [], "heard": "" });
    let went = dial_telling(global, args, &mut object);
    if global.json && !args.dry_run {
        let failure = went.as_ref().err();
        object["outcome"] = serde_json::json!(failure.map_or(Ending::Done, |failure| failure.ending));
        object["error"] = serde_json::json!(failure.map(ToString::to_string));
        println!("{object}");
    }
    went
}

fn dial_telling(global: &Global, args: &DialArgs, object: &mut serde_json::Value) -> Result<Ending, Failure> {
    let chosen = args.which.choose(global)?;
    if args.dry_run {
        return dry_run(global, &chosen, &args.number);
    }
    object["port"] = serde_json::json!(chosen.name);
    if let Some(profile) = &chosen.line.modem {
        // A number that cannot be dialled is known before the port is touched.
        plan(profile, &chosen.line, &args.number)
            .map_err(|failure| Failure { ending: Ending::Usage, ..failure })?;
    }
    let dials = Dials::new(&global.state_dir()?);
    let mut heard = Vec::new();
    let display = Display::new(global, &chosen.name);
    let (went, report) = in_runtime(global, async |signals, transcript| {
        let mut watch = |progress| display.show(progress);
        bench::dial_and_hang_up(
            Attempt { line: &chosen.line, dials: &dials, number: &args.number, listen: args.listen },
            transcript(&display),
            &mut watch,
            async || signals.next().await,
            |bytes| {
                if global.json {
                    let room = HEARD_MAX - heard.len();
                    heard.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    return;
                }
                // Standard output is the host's; a terminal is not to be steered by it.
                let text = crate::mailbox::display::safe_text(&String::from_utf8_lossy(bytes));
                crate::cli::print::out(text);
            },
        )
        .await
    })?;
    display.finish();
    object["dials"] = serde_json::json!(report.dials);
    if let Some(why) = &report.off_hook {
        eprintln!("mailcall: {}", off_hook(why));
    }
    if let Some(connect) = &report.connect {
        if global.json {
            object["connection"] = serde_json::json!(connect);
            object["statistics"] = serde_json::json!(report.statistics);
            object["heard"] = serde_json::json!(String::from_utf8_lossy(&heard));
        } else {
            println!("{}: {}", chosen.name, connect.sentence());
            print_said(&report.statistics);
        }
    }
    went.map(|()| Ending::Done)
}

pub(super) fn hangup(global: &Global, args: &HangupArgs) -> Result<Ending, Failure> {
    let chosen = args.which.choose(global)?;
    let display = Display::new(global, &chosen.name);
    let hung_up = in_runtime(global, async |signals, transcript| {
        let mut watch = |progress| display.show(progress);
        bench::hang_up_only(&chosen.line, transcript(&display), &mut watch, async || signals.next().await)
            .await
    })?;
    display.finish();
    hung_up?;
    if global.json {
        println!("{}", serde_json::json!({ "port": chosen.name, "outcome": Ending::Done, "error": null }));
    } else if !global.quiet {
        println!("{}: the modem is on-hook", chosen.name);
    }
    Ok(Ending::Done)
}

/// What would be sent to the modem, line by line.
fn dry_run(global: &Global, chosen: &Chosen, number: &str) -> Result<Ending, Failure> {
    refuse_json(global)?;
    let Some(profile) = chosen.line.modem.clone() else {
        let message = "this line has no modem (modem = \"none\", or a profile without `dial`): nothing is dialled there";
        return Err(Failure::new(Ending::Config, Stage::Preparing, message));
    };
    dialogue(&profile, &chosen.line, number, &Dials::new(&global.state_dir()?))?;
    Ok(Ending::Done)
}

/// Speaks to the modem within a runtime, with signals heeded.
fn in_runtime<T>(
    global: &Global,
    work: impl AsyncFnOnce(&mut Signals, &dyn Fn(&Display) -> Transcript) -> T,
) -> Result<T, Failure> {
    let failed = |error: std::io::Error| Failure::new(Ending::Bug, Stage::Preparing, error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let mut signals = Signals::install().map_err(failed)?;
        Ok(work(&mut signals, &|display: &Display| display.transcript(global)).await)
    })
}

fn asked(
    global: &Global,
    target: &Chosen,
    with_settings: bool,
    questions: impl Fn(&Profile) -> Vec<String>,
) -> Result<Found, Failure> {
    let display = Display::new(global, &target.name);
    let questions = target.line.modem.as_ref().map(questions).unwrap_or_default();
    let found = in_runtime(global, async |signals, transcript| {
        let mut watch = |progress| display.show(progress);
        watch(Progress::Stage(Stage::Opening, String::new()));
        let transcript = transcript(&display);
        bench::ask(&target.line, &questions, with_settings, transcript, &mut watch, async || {
            signals.next().await
        })
        .await
    })?;
    display.finish();
    found
}

/// The ports that `list` shows and nobody uses, the configuration's lines among them as it has them.
fn free_ports(global: &Global, how: &How) -> Result<Vec<Chosen>, Failure> {
    let ports = ports::list().map_err(|error| {
        Failure::new(Ending::NoSuchPort, Stage::Preparing, format!("cannot list the ports: {error}"))
    })?;
    let free = ports.iter().filter(|port| holder_of(&port.device).is_none());
    free.map(|port| choose(global, Some(&port.device.display().to_string()), how)).collect()
}

pub(in crate::cli) fn all_profiles(global: &Global) -> Vec<Profile> {
    let folders = folders(global);
    // A profile of the user's that is wrong fits nothing; `modem profiles` says what is wrong.
    folders.names().iter().filter_map(|name| folders.load(name).ok()).collect()
}

fn print_json(found: &Found, profiles: Vec<&str>) {
    let leads =
        found.leads.map(|Leads { dtr, rts, cts, dsr, dcd, ri }| LeadsJson { dtr, rts, cts, dsr, dcd, ri });
    let object = FoundJson { port: &found.port, speed: found.speed, profiles, leads, said: &found.said };
    println!("{}", serde_json::to_string(&object).unwrap_or_default()); // texts and numbers: cannot fail
}

fn heading(found: &Found) -> String {
    match found.speed {
        Some(speed) => format!("{}: a modem answers at {speed} bit/s", found.port),
        None => format!("{}: a modem answers", found.port),
    }
}

fn print_probe(target: &Chosen, found: &Found, fitting: &[&str], profiles: &[Profile]) {
    println!("{}", heading(found));
    print_said(&found.said);
    let profile = fitting.first().copied().unwrap_or("generic");
    let described = profiles.iter().find(|known| known.name == profile);
    let description = described.map(|profile| profile.description.as_str()).unwrap_or_default();
    match fitting {
        [] => println!("It does not say what it is; the profile `generic` is a good first try."),
        [_] => println!("It looks like `{profile}`: {description}"),
        [_, others @ ..] => {
            println!("It looks like `{profile}`: {description} (or {})", others.join(", "));
        }
    }
    println!("\nFor your configuration:\n\n{}", config_lines(&target.line, found, profile));
}

/// The lines to paste.
fn config_lines(line: &LineConfig, found: &Found, profile: &str) -> String {
    let (kind, place) = match &line.kind {
        LineKind::Serial(port) => ("serial", format!("device = {:?}", stable_name(&port.device))),
        LineKind::Tcp(remote) => ("tcp", format!("address = {:?}", remote.address.to_string())),
        LineKind::Rfc2217(port) => ("rfc2217", format!("address = {:?}", port.remote.address.to_string())),
        LineKind::Exec(exec) => ("exec", format!("command = {:?}", exec.command)),
        LineKind::Telnet(_) | LineKind::File => ("serial", format!("device = {:?}", found.port)), // no modem there
    };
    let speed = match (&line.kind, found.speed.unwrap_or(SPEED_DEFAULT)) {
        (LineKind::Serial(_) | LineKind::Rfc2217(_), speed) => format!("speed  = {speed}\n"),
        (LineKind::Tcp(_) | LineKind::Telnet(_) | LineKind::Exec(_) | LineKind::File, _) => String::new(),
    };
    format!(
        "[line.modem]\nkind   = \"{kind}\"\n{place}\n{speed}modem  = {profile:?}\n\n\
         [account.home]\nline   = \"modem\"\nphone  = \"+1 555 1212\"   # the host's number"
    )
}

/// A name for the port that stays the same when it is plugged in elsewhere.
fn stable_name(device: &Path) -> String {
    let known = ports::list().unwrap_or_default();
    let same = |port: &&PortEntry| std::fs::canonicalize(device).ok().as_deref() == Some(&port.device);
    let stable = known.iter().find(same).and_then(|port| port.stable_names.first());
    stable.map_or(device, |stable| stable).display().to_string()
}

fn print_said(said: &[Said]) {
    for said in said.iter().filter(|said| !said.lines.is_empty()) {
        for (index, line) in said.lines.iter().enumerate() {
            let command = if index == 0 { said.command.as_str() } else { "" };
            println!("  {command:8} {line}");
        }
    }
}

pub(in crate::cli) fn leads_shown(leads: Option<Leads>) -> String {
    let Some(leads) = leads else { return "unknown on this port".to_owned() };
    [
        ("DTR", leads.dtr),
        ("RTS", leads.rts),
        ("CTS", leads.cts),
        ("DSR", leads.dsr),
        ("DCD", leads.dcd),
        ("RI", leads.ri),
    ]
    .map(|(name, on)| format!("{name} {}", if on { "on" } else { "off" }))
    .join(", ")
}

/// Bytes of what the host says that stand in the JSON object.
const HEARD_MAX: usize = 64 * 1024;
