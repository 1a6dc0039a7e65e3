//! Mailbox formats, and nothing that touches a disk or a line.
//!
//! [`from_line`] knows what a From_ line is, [`mbox`] finds the messages between them however the
//! bytes arrive, [`quoting`] undoes mboxrd's `>From `, [`identity`] names a message by what it says
//! whatever mail programs wrote into its Status headers, and [`digest`] proves that two ends hold the
//! same first so-many bytes. [`message`] reads one message, and [`display`] makes what its sender
//! wrote safe for a terminal.

pub mod digest;
pub mod display;
pub mod from_line;
pub mod identity;
pub mod mbox;
pub mod message;
pub mod quoting;
