//! The mailbox as a path: for someone on the server itself, or with the server's file system mounted.

mod dotlock;
mod error;
pub mod lock;

pub use error::PathError;
pub use lock::{FileId, Patience, Purpose, SpoolLock};
