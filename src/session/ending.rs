//! How a call ends: one word for each kind of end, stable for scripts, with where it happened.

use serde::Serialize;

/// The kind of end, as `outcome` in the JSON report. `cli/exit.rs` gives each its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// All that was asked for is done; there may have been no mail.
    Done,
    /// The command line is wrong.
    Usage,
    /// What was written cannot be read as what it should be: the mailbox is no mbox.
    BadData,
    /// The port is not there or cannot be opened.
    NoSuchPort,
    /// Nothing answers AT commands.
    ModemSilent,
    /// A defect of this program.
    Bug,
    /// The local disk refuses.
    LocalDisk,
    /// The number is engaged.
    Busy,
    /// It rang and nobody answered.
    NoAnswer,
    /// It was answered, or not, and no modem was heard.
    NoCarrier,
    /// There is no dial tone.
    NoDialtone,
    /// It is too soon to dial this number again, says the modem or what is remembered of earlier dials.
    Delayed,
    /// A person answered.
    Voice,
    /// A fax machine answered.
    Fax,
    /// Connected, and then the line was lost.
    CarrierLost,
    /// Another program has the port.
    PortLocked,
    /// No prompt, or no shell, within the time allowed.
    LoginTimeout,
    /// The mailbox, or this account's state here, is in use by another program.
    MailboxLocked,
    /// A signal ended it.
    Interrupted,
    /// The host or the modem did what its protocol does not allow.
    PeerMisbehaved,
    /// The line or the host did not let the mail through.
    TransferFailed,
    /// The host lacks a program that is needed.
    HostLacks,
    /// Name or password refused.
    LoginRefused,
    /// The host wants a new password first.
    LoginExpired,
    /// The host has locked the account.
    AccountLocked,
    /// So many are logged in on the host that nobody more is let in.
    TooManySessions,
    /// The host lets nobody in for the time being.
    LoginsClosed,
    /// This number is not dialled any more: the modem refuses it, or a person has answered there.
    Blacklisted,
    /// The network or the other end does not want the call.
    Rejected,
    /// Logged in, and the mailbox may not be read.
    NoPermission,
    /// The configuration is not right.
    Config,
    /// There is no mailbox at that path.
    NoMailbox,
}

/// Where in the call it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before anything else: configuration, local folders.
    Preparing,
    /// Opening the port or starting the command.
    Opening,
    /// The modem's commands, up to CONNECT.
    Dialling,
    /// Until the host's call is there.
    AwaitingCall,
    /// From CONNECT to a shell prompt.
    LoggingIn,
    /// From the prompt to a quiet shell, and what the host has.
    Shell,
    /// The line is in a person's hands.
    Terminal,
    /// Carrying files in or out.
    Files,
    /// Looking at the mailbox.
    Survey,
    /// Carrying the mail.
    Transfer,
    /// Putting it into the folder.
    Delivery,
    /// Removing messages from the mailbox.
    Removal,
    /// Leaving.
    HangingUp,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Preparing => "preparing",
            Self::Opening => "opening the line",
            Self::Dialling => "dialling",
            Self::AwaitingCall => "waiting for a call",
            Self::LoggingIn => "logging in",
            Self::Shell => "setting up the shell",
            Self::Terminal => "in the terminal",
            Self::Files => "carrying files",
            Self::Survey => "looking at the mailbox",
            Self::Transfer => "carrying the mail",
            Self::Delivery => "delivering",
            Self::Removal => "removing mail from the mailbox",
            Self::HangingUp => "hanging up",
        })
    }
}

/// A call that did not do all it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", place(*stage))]
pub struct Failure {
    /// What kind of end.
    pub ending: Ending,
    /// Where in the call.
    pub stage: Stage,
    /// What happened, in one or two sentences.
    pub message: String,
}

/// Where it happened, in front of what happened. Before the call there is no place to name.
fn place(stage: Stage) -> String {
    if stage == Stage::Preparing { String::new() } else { format!("{stage}: ") }
}

impl Failure {
    /// A failure of this kind at this stage.
    pub fn new(ending: Ending, stage: Stage, message: impl ToString) -> Self {
        Self { ending, stage, message: message.to_string() }
    }
}
