//! mailbox

pub mod display;
pub mod message;
