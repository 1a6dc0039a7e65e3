//! From the kind of an end to an exit code (sysexits.h) and a word of advice: the only place that
//! knows either.

use std::process::ExitCode;

use crate::session::{Ending, Failure, Stage};

/// The exit code of an end, as mailers use them.
pub fn code(ending: Ending) -> u8 {
    match ending {
        Ending::Done => 0,
        Ending::Usage => EX_USAGE,
        Ending::BadData => EX_DATAERR,
        Ending::NoSuchPort | Ending::ModemSilent => EX_UNAVAILABLE,
        Ending::Bug => EX_SOFTWARE,
        Ending::LocalDisk => EX_IOERR,
        Ending::Busy
        | Ending::NoAnswer
        | Ending::NoCarrier
        | Ending::NoDialtone
        | Ending::Delayed
        | Ending::Voice
        | Ending::Fax
        | Ending::CarrierLost
        | Ending::PortLocked
        | Ending::LoginTimeout
        | Ending::TooManySessions
        | Ending::LoginsClosed
        | Ending::MailboxLocked
        | Ending::Interrupted => EX_TEMPFAIL,
        Ending::PeerMisbehaved | Ending::TransferFailed | Ending::HostLacks => EX_PROTOCOL,
        Ending::LoginRefused
        | Ending::LoginExpired
        | Ending::AccountLocked
        | Ending::Blacklisted
        | Ending::Rejected
        | Ending::NoPermission => EX_NOPERM,
        Ending::Config | Ending::NoMailbox => EX_CONFIG,
    }
}

/// What to do next, in a sentence; `None` where the message says it already. A message knows its
/// particulars and says what mends them; what holds for every end of its kind is said here.
pub fn advice(failure: &Failure) -> Option<&'static str> {
    let carrying = matches!(failure.stage, Stage::Transfer | Stage::Delivery);
    let removing = failure.stage == Stage::Removal;
    if failure.stage == Stage::Files {
        return match failure.ending {
            Ending::CarrierLost | Ending::Interrupted => {
                Some("say it again; what get brought in part goes on, and put begins the file anew")
            }
            Ending::HostLacks => Some("leave `transfer` out of the account: then what the host has is used"),
            Ending::PeerMisbehaved => Some("-v shows what was said"),
            _ => None, // the message says what mends it
        };
    }
    match failure.ending {
        // What is deleted is here; what could not be is tried again.
        Ending::CarrierLost | Ending::Interrupted | Ending::TransferFailed if removing => {
            Some("no mail is lost: the next call finds out how far it came")
        }
        Ending::MailboxLocked if removing => Some("try again when that program is done"),
        Ending::NoPermission if removing => {
            Some("no mail is lost; to leave it on the host, say keep = true in the account")
        }
        Ending::LocalDisk | Ending::BadData if removing => None,
        Ending::BadData if failure.stage != Stage::Preparing => {
            Some("check `mailbox` in the account: is it the file you meant?")
        }
        Ending::ModemSilent if failure.stage == Stage::HangingUp => {
            Some("switch the modem off, or unplug its telephone line")
        }
        Ending::ModemSilent if failure.stage != Stage::Preparing => {
            Some("a line that is connected already needs modem = \"none\"")
        }
        Ending::LocalDisk if failure.stage != Stage::Preparing => {
            Some("nothing is lost: mend it, then fetch again")
        }
        Ending::Busy | Ending::NoAnswer | Ending::NoCarrier | Ending::Delayed | Ending::LoginsClosed => {
            Some("try again later")
        }
        Ending::TooManySessions => Some(
            "end another session of yours, or try again later: a call that was cut off may hang on there",
        ),
        Ending::Voice | Ending::Fax => {
            Some("mailcall fetch --dry-run says when the number may be dialled again")
        }
        Ending::CarrierLost if carrying => Some("fetch again: it goes on where it stopped"),
        Ending::CarrierLost => Some("call again; -v shows what was said"),
        Ending::LoginTimeout | Ending::PeerMisbehaved => Some("-v shows what was said"),
        Ending::MailboxLocked if carrying => Some("try again when that program is done"),
        Ending::Interrupted | Ending::TransferFailed if carrying => {
            Some("what had arrived is kept: fetch again to go on")
        }
        Ending::HostLacks if carrying => {
            Some("leave `transfer` out of the account: then what the host has is used")
        }
        Ending::LoginRefused => Some("it is never tried again by itself: hosts lock accounts"),
        Ending::NoPermission if !matches!(failure.stage, Stage::Preparing | Stage::Opening) => {
            Some("ask the host's keeper for the right to read it, or set `mailbox` to another file")
        }
        Ending::Config if failure.stage == Stage::Preparing => {
            Some("docs/configuration.md explains every key and has an example")
        }
        Ending::NoMailbox => Some("set `mailbox` in the account to the path on the host"),
        Ending::Done
        | Ending::Usage
        | Ending::BadData
        | Ending::NoSuchPort
        | Ending::ModemSilent
        | Ending::Bug
        | Ending::LocalDisk
        | Ending::NoDialtone
        | Ending::PortLocked
        | Ending::MailboxLocked
        | Ending::Interrupted
        | Ending::TransferFailed
        | Ending::HostLacks
        | Ending::LoginExpired
        | Ending::AccountLocked
        | Ending::Blacklisted
        | Ending::Rejected
        | Ending::NoPermission
        | Ending::Config => None,
    }
}

/// The code as the process ends with it.
pub fn exit(ending: Ending) -> ExitCode {
    ExitCode::from(code(ending))
}

/// sysexits.h: the command line is wrong. (clap says so itself, with this code.)
pub const EX_USAGE: u8 = 64;
const EX_DATAERR: u8 = 65;
const EX_UNAVAILABLE: u8 = 69;
const EX_SOFTWARE: u8 = 70;
const EX_IOERR: u8 = 74;
const EX_TEMPFAIL: u8 = 75;
const EX_PROTOCOL: u8 = 76;
const EX_NOPERM: u8 = 77;
const EX_CONFIG: u8 = 78;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_of_exit_codes_in_the_documentation_has_every_outcome_once() {
        let page = include_str!("../../docs/configuration.md");
        let (_, table) = page.split_once("| code | outcomes |\n| --- | --- |\n").expect("the table");
        let mut seen = BTreeSet::new();
        for row in table.lines().take_while(|line| line.starts_with('|')) {
            let mut cells = row.split('|').skip(1);
            let code_told: u8 = cells.next().expect("a code").trim().parse().expect("a number");
            for word in cells.next().expect("outcomes").split('`').skip(1).step_by(2) {
                let ending: Ending = serde_json::from_value(word.into()).expect(word);
                assert_eq!(code(ending), code_told, "{word}");
                assert!(seen.insert(word), "{word} stands there twice");
            }
        }
        assert_eq!(seen.len(), Ending::NoMailbox as usize + 1, "NoMailbox is the last of them");
    }
}
