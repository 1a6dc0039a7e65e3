//! One JSON object an account, and the same in a sentence. The keys are a promise to scripts.

use serde::Serialize;

use crate::modem::{ConnectInfo, Said};
use crate::session::call::CallReport;
use crate::session::fetch::Fetched;
use crate::session::{Ending, Failure};

/// What became of one account's call.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    account: String,
    /// The line that was used; null if none could be.
    line: Option<String>,
    outcome: Ending,
    /// What went wrong, in words; null when nothing did.
    error: Option<String>,
    messages_new: u64,
    /// 1 if a message was still being written on the host and waits for the next call.
    messages_left: u64,
    /// Messages removed from the mailbox on the host.
    messages_deleted: u64,
    bytes_mail: u64,
    bytes_down: u64,
    bytes_up: u64,
    call_seconds: f64,
    dials: u32,
    connect: Option<String>,
    connection: Option<ConnectInfo>,
    statistics: Vec<Said>,
    transfer: Option<&'static str>,
    retries: u64,
}

/// How the mail came, as words behind a number of messages.
pub(super) fn carried(transfer: Option<&str>) -> &'static str {
    match transfer {
        Some("zmodem") => " by ZMODEM",
        Some("path") => " from the file",
        Some(_) => " as text",
        None => "",
    }
}

/// The warning that costs money when it is missed.
pub(super) fn off_hook(why: &str) -> String {
    format!("the modem may still be off-hook ({why}): switch it off, or unplug its line")
}

impl Report {
    pub(super) fn new(account: &str, went: &Result<Fetched, Failure>, call: &CallReport) -> Self {
        let nothing = Fetched::default();
        let fetched = went.as_ref().unwrap_or(&nothing);
        // What was fetched may be here, and yet not all be done that was asked for.
        let failure = went.as_ref().err().or(fetched.not_removed.as_ref());
        Self {
            account: account.to_owned(),
            line: call.line.clone(),
            outcome: failure.map_or(Ending::Done, |failure| failure.ending),
            error: failure.map(ToString::to_string).or_else(|| call.off_hook.as_deref().map(off_hook)),
            messages_new: fetched.messages,
            messages_left: u64::from(fetched.left > 0),
            messages_deleted: fetched.removed,
            bytes_mail: fetched.bytes_mail,
            bytes_down: call.bytes_down,
            bytes_up: call.bytes_up,
            call_seconds: (call.call_time.as_secs_f64() * 1_000.0).round() / 1_000.0,
            dials: call.dials,
            connect: call.connect.as_ref().map(|connect| connect.text.clone()),
            connection: call.connect.clone(),
            statistics: call.statistics.clone(),
            transfer: fetched.transfer,
            retries: fetched.retries,
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // texts and numbers only: cannot fail
    }

    /// The line that a person reads at the end.
    pub(super) fn sentence(&self) -> String {
        let messages = match self.messages_new {
            0 => "no new mail".to_owned(),
            1 => format!("1 new message ({} bytes)", self.bytes_mail),
            many => format!("{many} new messages ({} bytes)", self.bytes_mail),
        };
        let by = carried(self.transfer);
        let mended = match self.retries {
            0 => String::new(),
            1 => ", 1 damaged piece carried again".to_owned(),
            many => format!(", {many} damaged pieces carried again"),
        };
        let deleted = match self.messages_deleted {
            0 => String::new(),
            many => format!(", {many} deleted there"),
        };
        let left = if self.messages_left > 0 {
            "; one more was still being written, the next fetch brings it"
        } else {
            ""
        };
        // A mailbox on a path, where there is no line.
        if self.transfer == Some("path") || (self.bytes_down, self.bytes_up) == (0, 0) {
            return format!("{}: {messages}{by}{deleted}{mended}{left}", self.account);
        }
        format!(
            "{}: {messages}{by}{deleted}; {:.1} s on the line, {} bytes down, {} up{mended}{left}",
            self.account, self.call_seconds, self.bytes_down, self.bytes_up
        )
    }
}
