//! A mailbox reached by shell: what is in it ([`survey`]), its index ([`index`]),
//! and for a person how it stands there ([`inspection`]). Commands are built
//! and replies parsed here; [`crate::session`] runs them.

pub mod index;
pub mod inspection;
pub mod survey;

pub use survey::{DigestTool, HeadTool, Location, Proof, Survey, Tools};
