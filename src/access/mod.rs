//! A mailbox reached by shell or by path, behind one trait: [`Mailbox`].
//!
//! For the shell, commands are built and replies parsed here ([`survey`], [`index`],
//! [`removal`]); [`crate::session`] runs them. [`path`] reads the file itself. [`inspection`] tells
//! a person how it stands on the host.

pub mod index;
pub mod inspection;
pub mod mailbox;
pub mod path;
pub mod removal;
pub mod survey;

pub use mailbox::{Carried, Keep, Mailbox, Recovered, Removal, Surveyed, Telling};
pub use survey::{DigestTool, HeadTool, Location, Proof, Survey, Tools};
