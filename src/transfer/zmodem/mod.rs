//! ZMODEM with whatever `sz` and `rz` the host has.
//!
//! After Chuck Forsberg, "The ZMODEM Inter Application File Transfer Protocol", revision of
//! 10-27-87; the sections cited in this room are that document's. Where the peers in use (lrzsz above
//! all) do otherwise than the document, the place says so.
//!
//! ```text
//! bytes -> codec::Decoder -> Header | Subpacket | Damage | Cancel -> Receive, ReceiveFiles -> events
//!                                                                    Send <- the files' bytes
//! ```
//!
//! [`codec`], [`encode`] and [`frame`] know how things are written, [`receive`] and [`send`] what to
//! answer. [`detect`] finds in what a host prints that a transfer begins.

pub mod codec;
mod crc;
pub mod detect;
pub mod encode;
pub mod frame;
mod marker;
pub mod options;
pub mod receive;
pub mod report;
pub mod send;
#[cfg(test)]
mod tests;

pub use options::ReceiveOptions;
pub use receive::{FilesEvent, Offer, Receive, ReceiveFiles};
pub use report::{Received, Stats, ZmodemError, ZmodemEvent};
pub use send::Send;
pub use send::report::{FileEnd, SendError, SendEvent, SendOptions, SendStats, Sent, Want, WantCrc};
