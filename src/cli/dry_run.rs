//! `mailcall fetch --dry-run`: what would be sent to which modem, and what is remembered of the
//! numbers. No port is opened, no password read, nothing written.

use super::{Global, config_failure};
use crate::config::{Config, LineConfig, LineKind, Redial};
use crate::modem::{Profile, number_key};
use crate::session::fetch::store_failure;
use crate::session::{Ending, Failure, Stage, memory, reach};
use crate::store::dials::Dials;

/// Tells it for each of these accounts.
pub(super) fn run(
    global: &Global,
    config: &Config,
    names: &[String],
    patience: impl Fn(Option<Redial>) -> Option<Redial>,
) -> Result<Ending, Failure> {
    if global.json {
        let message = "--dry-run is for people and has no JSON: leave one of the two out";
        return Err(Failure::new(Ending::Usage, Stage::Preparing, message));
    }
    let dials = Dials::new(&global.state_dir()?);
    for name in names {
        let account = config.account(name).map_err(config_failure)?;
        println!("{name}: {}", patience_told(patience(account.redial)));
        for (index, line_name) in account.lines.iter().enumerate() {
            let Some(line) = config.lines.get(line_name) else { continue };
            let when = if index == 0 { "" } else { ", if another program has those before it" };
            println!("line {line_name}{when}: {}", line_told(line));
            let Some(profile) = &line.modem else { continue };
            for number in &account.phones {
                dialogue(profile, line, number, &dials)?;
            }
        }
    }
    println!("Nothing was sent, and no port was opened.");
    Ok(Ending::Done)
}

/// What a modem gets for one number, in order.
pub(super) fn dialogue(
    profile: &Profile,
    line: &LineConfig,
    number: &str,
    dials: &Dials,
) -> Result<(), Failure> {
    println!("  number {number}");
    for planned in crate::session::dialling::plan(profile, line, number)? {
        let optional = if planned.needed { "" } else { ", not needed" };
        println!("    {:<24} answered within {} s{optional}", planned.command, planned.wait.as_secs_f64());
    }
    let history = dials
        .look(&number_key(line.rules.location.as_ref(), number))
        .map_err(|error| store_failure(Stage::Preparing, &error))?;
    println!("    {}", memory::told(number, &history, reach(profile, number)));
    Ok(())
}

fn line_told(line: &LineConfig) -> String {
    let modem = match &line.modem {
        Some(profile) => format!("modem {}", profile.name),
        None => "no modem, nothing is dialled".to_owned(),
    };
    match &line.kind {
        LineKind::Serial { device, speed, .. } => {
            format!("port {} at {speed} bit/s, {modem}", device.display())
        }
        // Its arguments may hold what is nobody's business.
        LineKind::Exec { command } => {
            format!("the command {}, {modem}", command.first().map_or("", String::as_str))
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
