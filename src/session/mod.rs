//! The only async code of a call: it opens a line, pumps one machine after the other over it, and
//! hangs up on every way out.
//!
//! [`link`] drives one machine over one line; [`transcript`] shows the dialogue; [`call`] strings the
//! machines together from dialling to a shell and back to a modem on-hook. [`hunt`] says which line is
//! taken, `opening` opens it, `calling` is how a call comes about, [`dialling`] the part with the modem,
//! `logging_in` the one with the login and what only a person can answer there, `second_factor` a code,
//! `by_script` is the login by the account's script.
//!
//! [`fetch`], [`list`] and [`delete`] are what is done with a mailbox, [`work`] is any of them;
//! [`by_shell`] is a mailbox behind a shell, [`by_path`] one on this machine. [`files`] carries
//! files in and out, [`get`] and [`put`] do so in a call of their own. [`terminal`] gives the line
//! to a person, [`bench`] speaks to a modem without an account. [`retry`] says when a number may be
//! dialled, [`memory`] asks it. [`ending`] names every way in which a call can end.

pub mod bench;
pub mod by_path;
mod by_script;
pub mod by_shell;
pub mod call;
mod calling;
pub mod delete;
pub mod dialling;
pub mod ending;
pub mod fetch;
pub mod files;
pub mod get;
pub mod hunt;
pub mod link;
pub mod list;
mod logging_in;
pub mod memory;
mod opening;
pub mod put;
pub mod retry;
mod second_factor;
pub mod terminal;
pub mod transcript;
pub mod work;

pub use dialling::reach;
pub use ending::{Ending, Failure, Stage};
pub use logging_in::AskPerson;

/// What a call tells whoever watches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A new stage has begun; the text says with whom or with what.
    Stage(Stage, String),
    /// Something worth a line: the modem's CONNECT, a setting passed over, a mailbox that changed.
    Note(String),
    /// Payload so far.
    Bytes {
        /// Bytes that are here and proven by the protocol.
        done: u64,
        /// Bytes that there will be, as far as the host has said.
        total: u64,
        /// Bits a second that the line carries, as far as the modem has said.
        rate: Option<u32>,
    },
}

/// Receives a call's progress.
pub type Watch<'a> = &'a mut (dyn FnMut(Progress) + 'a);
