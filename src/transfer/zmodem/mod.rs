//! ZMODEM receive, from whatever `sz` the host has.
//!
//! After Chuck Forsberg, "The ZMODEM Inter Application File Transfer Protocol", revision of
//! 10-27-87; the sections cited in this room are that document's. Where the peers in use (lrzsz above
//! all) do otherwise than the document, the place says so.
//!
//! ```text
//! bytes -> codec::Decoder -> Header | Subpacket | Damage | Cancel -> receive::Receive -> events
//! ```
//!
//! [`codec`] and [`frame`] know how things are written, [`receive`] knows what to answer.

pub mod codec;
mod crc;
pub mod encode;
pub mod frame;
pub mod options;
pub mod receive;
pub mod report;
#[cfg(test)]
mod tests;

pub use options::ReceiveOptions;
pub use receive::Receive;
pub use report::{Received, Stats, ZmodemError, ZmodemEvent};
