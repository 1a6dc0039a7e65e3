//! `mailcall fetch --dry-run`: what would be sent to which modem, and what is remembered of the
//! numbers. No port is opened, no password read, nothing written.

use std::collections::BTreeMap;

use super::{Global, config_failure};
use crate::access::path::Form;
use crate::config::{AccountConfig, Calling, Config, LineConfig, LineKind, Redial};
use crate::modem::{Planned, Profile, number_key};
use crate::session::by_path::spool;
use crate::session::dialling::{plan, plan_to_answer};
use crate::session::fetch::store_failure;
use crate::session::{Ending, Failure, Stage, hunt, memory, reach};
use crate::store::dials::Dials;
use crate::store::troubles::{Trouble, Troubles};

/// Tells it for each of these accounts.
pub(super) fn run(
    global: &Global,
    config: &Config,
    names: &[String],
    patience: impl Fn(Option<Redial>) -> Option<Redial>,
) -> Result<Ending, Failure> {
    refuse_json(global)?;
    let state = global.state_dir()?;
    let dials = Dials::new(&state);
    let troubles = Troubles::new(&state).all().map_err(|error| store_failure(Stage::Preparing, &error))?;
    for name in names {
        let account = config.account(name).map_err(config_failure)?;
        println!("{name}: {}", calling_told(account, patience(account.redial)));
        if let Some(spool) = spool(account) {
            let form = match spool.form {
                Form::Maildir => "the Maildir",
                Form::Either => "the mailbox",
            };
            println!("{form} is {}", spool.path.display());
        }
        for (index, (line_name, trouble)) in in_order(account, &troubles).into_iter().enumerate() {
            let Some(line) = config.lines.get(line_name) else { continue };
            let when = if index == 0 { "" } else { ", if those before it are in use or fail" };
            println!("line {line_name}{when}: {}", line_told(line));
            trouble.into_iter().for_each(|trouble| println!("  {trouble}"));
            let Some(profile) = &line.modem else { continue };
            for number in &account.phones {
                dialogue(profile, line, number, &dials)?;
            }
            if let Some(answering) = account.calling.answering() {
                println!("  a call, taken at ring {}", answering.rings);
                print_planned(&plan_to_answer(profile, line, answering));
            }
        }
    }
    println!("Nothing was sent, and no port was opened.");
    Ok(Ending::Done)
}

/// An account's lines as they are tried, each with what puts it at the end.
fn in_order<'a>(
    account: &'a AccountConfig,
    troubles: &BTreeMap<String, Trouble>,
) -> Vec<(&'a String, Option<String>)> {
    let of = |line| troubles.get(line).copied().unwrap_or_default();
    let of_each: Vec<Trouble> = account.lines.iter().map(of).collect();
    let places = hunt::order(&of_each, memory::now()).into_iter();
    places.map(|place| (&account.lines[place], at_the_end(&of_each[place]))).collect()
}

/// Why a line of several is tried last, for now.
pub(super) fn at_the_end(trouble: &Trouble) -> Option<String> {
    let until = hunt::at_the_end_until(trouble, memory::now())?;
    let (at, until) = (memory::local_time(trouble.at), memory::local_time(until));
    Some(format!("it failed at {at} ({}), so it goes to the end until {until}", trouble.how))
}

pub(super) fn refuse_json(global: &Global) -> Result<(), Failure> {
    if global.json {
        let message = "--dry-run is for people and has no JSON: leave one of the two out";
        return Err(Failure::new(Ending::Usage, Stage::Preparing, message));
    }
    Ok(())
}

/// What a modem gets for one number, in order.
pub(super) fn dialogue(
    profile: &Profile,
    line: &LineConfig,
    number: &str,
    dials: &Dials,
) -> Result<(), Failure> {
    println!("  number {number}");
    print_planned(&plan(profile, line, number)?);
    let history = dials
        .look(&number_key(line.rules.location.as_ref(), number))
        .map_err(|error| store_failure(Stage::Preparing, &error))?;
    println!("    {}", memory::told(number, &history, reach(profile, number)));
    Ok(())
}

fn print_planned(all: &[Planned]) {
    for Planned { command, wait, needed } in all {
        let optional = if *needed { "" } else { ", not needed" };
        println!("    {command:<24} answered within {} s{optional}", wait.as_secs_f64());
    }
}

/// Who calls whom, and how patiently.
pub(super) fn calling_told(account: &AccountConfig, patience: Option<Redial>) -> String {
    match &account.calling {
        Calling::HostCalls { wait, by_modem, .. } => {
            let by = if *by_modem { ", which the modem answers by itself" } else { "" };
            format!("nothing is dialled; the host's call is waited for, for {} s{by}", wait.as_secs())
        }
        Calling::HostCallsBack { wait, .. } => format!(
            "{}; then the host's call back is waited for, for {} s",
            patience_told(patience),
            wait.as_secs()
        ),
        Calling::WeCall if account.phones.is_empty() => "nothing is dialled".to_owned(),
        Calling::WeCall => patience_told(patience),
    }
}

/// What a line is, in a sentence.
pub(super) fn line_told(line: &LineConfig) -> String {
    let modem = match &line.modem {
        Some(profile) => format!("modem {}", profile.name),
        None => "no modem, nothing is dialled".to_owned(),
    };
    match &line.kind {
        LineKind::Serial(port) => {
            format!("port {} at {} bit/s, {modem}", port.device.display(), port.settings.speed)
        }
        LineKind::Rfc2217(port) => {
            format!("the port behind {} at {} bit/s, {modem}", port.remote.address, port.settings.speed)
        }
        LineKind::Tcp(remote) => format!("TCP to {}, {modem}", remote.address),
        LineKind::Telnet(host) => format!("TELNET to {}, {modem}", host.remote.address),
        LineKind::File => "a path on this machine; nothing is called".to_owned(),
        // Its arguments may hold what is nobody's business.
        LineKind::Exec(exec) => {
            format!("the command {}, {modem}", exec.command.first().map_or("", String::as_str))
        }
    }
}

fn patience_told(patience: Option<Redial>) -> String {
    match patience {
        None => "each number is dialled once".to_owned(),
        Some(redial) => format!(
            "at most {} dials and {} connections; {} s after busy, {} s after other failures",
            redial.dials,
            redial.connects,
            redial.busy_wait.as_secs(),
            redial.wait.as_secs()
        ),
    }
}
