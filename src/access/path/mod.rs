//! A mailbox reached by its path.

mod journal;
pub mod rewrite;
