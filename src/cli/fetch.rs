//! `mailcall fetch`: call the host and bring new mail home.

use std::time::SystemTime;

use super::interrupt::Signals;
use super::progress::Display;
use super::report::{Report, off_hook};
use super::{Global, accounts_of, config_failure, dry_run, redial, tell, unshown};
use crate::access::Location;
use crate::config::{AccountConfig, Config, Deliver, Redial};
use crate::login::script::Script;
use crate::secret::Secret;
use crate::session::by_path::spool;
use crate::session::call::{CallPlan, CallReport, Session, call};
use crate::session::fetch::store_failure;
use crate::session::{Ending, Failure, Progress, Stage};
use crate::store::dials::Dials;
use crate::store::troubles::Troubles;
use crate::store::{Delivery, Store};

#[derive(Debug, clap::Args)]
#[command(after_help = "Only what is new is carried. A call that was cut off goes on where it stopped.")]
pub(super) struct Args {
    /// Accounts to fetch [default: the only one there is]
    #[arg(value_name = "ACCOUNT")]
    accounts: Vec<String>,
    /// Dial again when it is busy or the call is lost, for a while
    ///
    /// At most 12 dials or 3 connections: 3 minutes after busy, 5 after no answer,
    /// once more only after no carrier, 5 seconds and more after a lost call. The
    /// account's `redial` sets other numbers, and needs no --redial.
    #[arg(long)]
    redial: bool,
    /// Print what would be sent to the modem, and send nothing
    ///
    /// Each command with its time limit, the number as it is dialled from here, and
    /// what is remembered of earlier dials. No port is opened, no password read.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(global: &Global, args: &Args) -> Result<Ending, Failure> {
    let config = global.read_config();
    let names = config.as_ref().map_err(Clone::clone).and_then(|config| accounts_of(config, &args.accounts));
    let (config, names) = match (config, names) {
        (Ok(config), Ok(names)) => (config, names),
        (Err(failure), _) | (_, Err(failure)) => {
            // A script that asked for JSON gets it, whatever is wrong.
            if global.json {
                let account = args.accounts.first().map_or("", String::as_str);
                println!("{}", Report::new(account, &Err(failure.clone()), &CallReport::default()).json());
            }
            return Err(failure);
        }
    };
    let patience = |own: Option<Redial>| own.or_else(|| args.redial.then(Redial::default));
    if args.dry_run {
        return dry_run::run(global, &config, &names, patience);
    }
    // Passwords are asked for before the first call, not while a line is being paid for.
    let prepared: Vec<_> = names.iter().map(|name| (name, prepare(global, &config, name))).collect();
    let mut worst = Ending::Done;
    for (name, ready) in prepared {
        let (went, report) = match ready {
            Ok(ready) => {
                let patience = patience(ready.account.redial);
                redial::fetch_account(global, &config, name, ready, patience)
            }
            Err(failure) => (Err(failure), CallReport::default()),
        };
        let told = Report::new(name, &went, &report);
        if global.json {
            println!("{}", told.json());
        }
        let failure = match went {
            Ok(fetched) => {
                if !global.json && !global.quiet {
                    println!("{}", told.sentence());
                }
                fetched.not_removed
            }
            Err(failure) => Some(failure),
        };
        match failure {
            None => {}
            Some(failure) => {
                tell(Some(name), &failure);
                // The first failure decides the exit code; the other accounts are fetched all the same.
                if worst == Ending::Done {
                    worst = failure.ending;
                }
                if failure.ending == Ending::Interrupted {
                    break;
                }
            }
        }
    }
    Ok(worst)
}

/// What a call needs that is not in the configuration.
pub(super) struct Ready {
    pub(super) account: AccountConfig,
    pub(super) password: Option<Secret>,
    pub(super) store: Store,
}

/// All that can be wrong before line time is paid for.
pub(super) fn prepare(global: &Global, config: &Config, name: &str) -> Result<Ready, Failure> {
    let account = config.account(name).map_err(config_failure)?.clone();
    refuse_itself(&account, name)?;
    let store = open_store(global, &account, name)?;
    let password = ask_password(&account, name)?;
    Ok(Ready { account, password, store })
}

/// Mail that is delivered to the mailbox which it was read from is new mail there, for ever.
pub(super) fn refuse_itself(account: &AccountConfig, name: &str) -> Result<(), Failure> {
    let (Some(spool), Some(Deliver::Maildir(target) | Deliver::Mbox(target))) =
        (spool(account), &account.deliver)
    else {
        return Ok(());
    };
    if !spool.is_at(target) {
        return Ok(());
    }
    let message = format!(
        "account {name:?} would deliver to {}, which is the very mailbox that it reads: every message would \
         come again and again. Let `deliver` name another",
        target.display()
    );
    Err(Failure::new(Ending::Config, Stage::Preparing, message))
}

pub(super) fn open_store(global: &Global, account: &AccountConfig, name: &str) -> Result<Store, Failure> {
    let delivery = match &account.deliver {
        Some(Deliver::Maildir(path)) => Delivery::Maildir(path.clone()),
        Some(Deliver::Mbox(path)) => Delivery::Mbox(path.clone()),
        None => {
            let message = format!(
                "account {name:?} does not say where its mail goes: add \
                 deliver = {{ maildir = \"~/Mail/{name}\" }} or deliver = {{ mbox = \"~/mail/{name}\" }}"
            );
            return Err(Failure::new(Ending::Config, Stage::Preparing, message));
        }
    };
    let key = match spool(account) {
        Some(spool) => spool.key(),
        None => Location::new(account.mailbox.as_deref()).key().to_owned(),
    };
    #[allow(clippy::disallowed_methods)] // the ledger's recovery needs the age of what a crash left
    let now = SystemTime::now();
    Store::open(&global.state_dir()?, name, &key, delivery, now)
        .map_err(|error| store_failure(Stage::Preparing, &error))
}

/// The password from its source, or from the person: before the call, not during it.
pub(super) fn ask_password(account: &AccountConfig, name: &str) -> Result<Option<Secret>, Failure> {
    if account.login.as_ref().is_some_and(|script| !script.wants_password()) {
        return Ok(None);
    }
    if let Some(source) = &account.password {
        // Also without a user: `ssh` names one in its command, and asks for a password all the same.
        return source.read(name).map(Some).map_err(config_failure);
    }
    let types_it = account.login.as_ref().is_some_and(Script::types_password);
    let question = match &account.user {
        Some(user) => format!("Password for {user} ({name}): "),
        None if types_it => format!("Password ({name}): "),
        None => return Ok(None),
    };
    match unshown::ask(&question) {
        Ok(secret) if secret.expose().is_empty() && account.otp.is_some() => Ok(None), // a code is all that is needed
        Ok(secret) => Ok(Some(secret)),
        Err(_) if account.otp.is_some() => Ok(None),
        Err(error) => {
            let message = format!(
                "no password for account {name:?}, and no terminal to ask on ({error}): add \
                 password = {{ command = [..] }}, {{ env = \"..\" }} or {{ file = \"..\" }}"
            );
            Err(Failure::new(Ending::Config, Stage::Preparing, message))
        }
    }
}

/// What calls run on.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::new(Ending::Bug, Stage::Preparing, error))
}

/// Whose call it is.
pub(super) struct Call<'a> {
    pub(super) global: &'a Global,
    pub(super) config: &'a Config,
    pub(super) name: &'a str,
    pub(super) account: &'a AccountConfig,
    pub(super) password: Option<Secret>,
}

/// Makes a call with progress shown and signals heeded.
pub(super) async fn in_call<T>(
    call: Call<'_>,
    work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, Failure>,
) -> (Result<T, Failure>, CallReport) {
    match Signals::install() {
        Ok(mut signals) => in_call_heeding(&mut signals, call, work).await,
        Err(error) => (Err(Failure::new(Ending::Bug, Stage::Preparing, error)), CallReport::default()),
    }
}

/// The same for who heeds signals between calls too.
pub(super) async fn in_call_heeding<T>(
    signals: &mut Signals,
    call: Call<'_>,
    work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, Failure>,
) -> (Result<T, Failure>, CallReport) {
    let (went, report) = in_call_watched(signals, call, &mut |_| true, work).await;
    if let Some(why) = &report.off_hook {
        eprintln!("mailcall: {}", off_hook(why));
    }
    (went, report)
}

/// The same for who watches its progress too, answers whether it is to be shown, and says by himself when
/// the modem may still be off-hook.
pub(super) async fn in_call_watched<T>(
    signals: &mut Signals,
    call_of: Call<'_>,
    observe: &mut dyn FnMut(&Progress) -> bool,
    work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, Failure>,
) -> (Result<T, Failure>, CallReport) {
    let Call { global, config, name, account, password } = call_of;
    let state = match global.state_dir() {
        Ok(state) => state,
        Err(failure) => return (Err(failure), CallReport::default()),
    };
    let display = Display::new(global, name);
    #[allow(clippy::disallowed_methods)] // the one draw from the system: marks this call's replies
    let nonce = fastrand::Rng::new().u32(..);
    let plan = CallPlan {
        dials: Some(Dials::new(&state)),
        troubles: Some(Troubles::new(&state)),
        ask: display.person(),
        ..CallPlan::new(config, account, password, nonce)
    };
    let transcript = display.transcript(global);
    let mut watch = |progress| {
        if observe(&progress) {
            display.show(progress);
        }
    };
    let (went, report) = call(&plan, transcript, &mut watch, async || signals.next().await, work).await;
    display.finish();
    (went, report)
}
