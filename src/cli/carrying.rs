//! What `get` and `put` share: the account that is called, and the report of the files.

use serde::Serialize;

use super::fetch::{Call, ask_password, in_call, runtime};
use super::report::off_hook;
use super::{Global, accounts_of, config_failure};
use crate::config::{AccountConfig, Config};
use crate::session::by_path::spool;
use crate::session::call::{CallReport, Session};
use crate::session::{Ending, Failure, Stage};

/// One file in the report.
#[derive(Debug, Serialize)]
pub(super) struct Carried {
    /// Where it came from.
    pub(super) from: String,
    /// Where it is now.
    pub(super) to: String,
    /// Its length.
    pub(super) bytes: u64,
}

/// What became of the files, beside how the call went.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) files: Vec<Carried>,
    pub(super) transfer: Option<&'static str>,
    pub(super) retries: u64,
}

/// The object of `--json`. The keys are a promise to scripts, and those of `fetch` mean the same here.
#[derive(Serialize)]
struct Report<'a> {
    account: &'a str,
    line: Option<&'a str>,
    outcome: Ending,
    error: Option<String>,
    files: &'a [Carried],
    bytes_down: u64,
    bytes_up: u64,
    call_seconds: f64,
    dials: u32,
    connect: Option<&'a str>,
    transfer: Option<&'static str>,
    retries: u64,
}

/// The account, which must be behind a line: on a path there is nobody to carry anything.
pub(super) fn called(config: &Config, name: &str, instead: &str) -> Result<AccountConfig, Failure> {
    accounts_of(config, &[name.to_owned()])?;
    let account = config.account(name).map_err(config_failure)?.clone();
    if spool(&account).is_some() {
        let message = format!(
            "account {name:?} is reached by a path of this machine, not by a line: copy with {instead} instead"
        );
        return Err(usage(&message));
    }
    Ok(account)
}

pub(super) fn usage(message: &str) -> Failure {
    Failure::new(Ending::Usage, Stage::Preparing, message)
}

/// Calls, does `work`, and tells what became of it: `files` sees that in `done`, also where a signal
/// ended the work.
pub(super) fn carry<D>(
    global: &Global,
    name: &str,
    prepared: Result<(Config, AccountConfig), Failure>,
    done: &mut D,
    work: impl AsyncFnOnce(&mut Session<'_>, &mut D) -> Result<(), Failure>,
    files: impl FnOnce(&D) -> Files,
) -> Result<Ending, Failure> {
    let (went, report) = match prepared.and_then(|(config, account)| {
        let password = ask_password(&account, name)?;
        Ok((config, account, password, runtime()?))
    }) {
        Ok((config, account, password, runtime)) => {
            let call = Call { global, config: &config, name, account: &account, password };
            runtime.block_on(in_call(call, async |session: &mut Session<'_>| work(session, done).await))
        }
        Err(failure) => (Err(failure), CallReport::default()),
    };
    tell(global, name, &went, &report, &files(done));
    went.map(|()| Ending::Done)
}

fn tell(global: &Global, name: &str, went: &Result<(), Failure>, call: &CallReport, files: &Files) {
    if global.json {
        let failure = went.as_ref().err();
        let report = Report {
            account: name,
            line: call.line.as_deref(),
            outcome: failure.map_or(Ending::Done, |failure| failure.ending),
            error: failure.map(ToString::to_string).or_else(|| call.off_hook.as_deref().map(off_hook)),
            files: &files.files,
            bytes_down: call.bytes_down,
            bytes_up: call.bytes_up,
            call_seconds: (call.call_time.as_secs_f64() * 1_000.0).round() / 1_000.0,
            dials: call.dials,
            connect: call.connect.as_ref().map(|connect| connect.text.as_str()),
            transfer: files.transfer,
            retries: files.retries,
        };
        println!("{}", serde_json::to_string(&report).unwrap_or_default()); // texts and numbers: cannot fail
    } else if !global.quiet {
        for file in &files.files {
            let to = crate::mailbox::display::safe_line(&file.to);
            eprintln!("{name}: {to}, {} bytes", file.bytes);
        }
    }
}
