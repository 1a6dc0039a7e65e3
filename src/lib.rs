//! mailcall brings a mailbox home over a phone line.
#![allow(missing_docs)] // until the first call goes through

pub mod access;
pub mod cli;
pub mod config;
pub mod line;
pub mod login;
pub mod machine;
pub mod mailbox;
pub mod modem;
pub mod secret;
pub mod session;
pub mod shell;
pub mod sim;
pub mod store;
pub mod transfer;
