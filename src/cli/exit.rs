//! From the kind of an end to an exit code (sysexits.h) and a word of advice: the only place that
//! knows either.

use std::process::ExitCode;

use crate::session::Ending;

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
        | Ending::MailboxLocked
        | Ending::Interrupted => EX_TEMPFAIL,
        Ending::PeerMisbehaved | Ending::TransferFailed | Ending::HostLacks => EX_PROTOCOL,
        Ending::LoginRefused | Ending::LoginExpired | Ending::Blacklisted | Ending::NoPermission => EX_NOPERM,
        Ending::Config | Ending::NoMailbox => EX_CONFIG,
    }
}

/// What to do next, in a sentence; `None` where the message says it all.
pub fn advice(ending: Ending) -> Option<&'static str> {
    match ending {
        Ending::Done | Ending::Usage | Ending::Bug => None,
        Ending::BadData => Some("look at the file on the host: is it the mailbox you meant?"),
        Ending::NoSuchPort => Some("check the cable and `device` in the configuration (ls /dev/tty*)"),
        Ending::ModemSilent => {
            Some("check that the modem is on and cabled, and `speed` in the configuration")
        }
        Ending::LocalDisk => Some("make room or mend the permissions, then fetch again; nothing is lost"),
        Ending::Busy | Ending::NoAnswer | Ending::NoCarrier | Ending::Delayed => Some("try again later"),
        Ending::NoDialtone => Some("check the phone cable between modem and wall"),
        Ending::Voice | Ending::Fax => Some("check the number before it is dialled again"),
        Ending::CarrierLost => Some("fetch again: it goes on where it stopped"),
        Ending::PortLocked => Some("wait until the other program is done with the port"),
        Ending::LoginTimeout => Some("see what the host says with -v"),
        Ending::MailboxLocked => Some("try again when the other program is done"),
        Ending::Interrupted => Some("what had arrived is kept; fetch again to go on"),
        Ending::PeerMisbehaved => Some("see what was said with -v"),
        Ending::TransferFailed => Some("fetch again; transfer = \"text\" stands the worst lines"),
        Ending::HostLacks => Some("leave `transfer` out of the account: then what the host has is used"),
        Ending::LoginRefused => {
            Some("check `user` and the password's source; it is not tried again by itself")
        }
        Ending::LoginExpired => Some("log in by hand once and set a new password"),
        Ending::Blacklisted => Some("the modem refuses this number now: reset it, and check the number"),
        Ending::NoPermission => Some("ask the host's keeper for the right to read the mailbox"),
        Ending::Config => Some("docs/configuration.md has a commented example"),
        Ending::NoMailbox => Some("set `mailbox` in the account to the path on the host"),
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
