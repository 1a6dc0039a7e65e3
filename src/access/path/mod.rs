//! The mailbox as a path: for someone on the server itself, or with the server's file system mounted.

mod dotlock;
mod error;
mod journal;
pub mod lock;
pub mod remove;
pub mod rewrite;

pub use error::PathError;
pub use lock::{FileId, Patience, Purpose, SpoolLock};
