//! mailcall brings a mailbox home over a phone line: it dials a Unix host through a modem, logs in
//! as a person would, and carries the mail back through the very terminal session it logged in on.
//!
//! A call is a chain of conversations over one line. Each is a [`machine`]: told the time and what
//! arrived, it answers with what to send and when to wake it, and does no I/O. [`session::link`]
//! pumps one after the other, so the same code runs over a serial port, over `ssh` on a PTY, over TELNET,
//! and in virtual time over a simulated line. A mailbox on a path needs no call: the same work is done
//! over [`access::path`].
//!
//! ```text
//!    cli  ── what the user asked for ──  config ── password: secret
//!     │  ▲
//!     │  └ progress, outcome, exit code
//!     ▼
//!  session ── call: open, dial, log in, shell, work, leave, hang up
//!     │
//!     │ link: bytes ⇅ one machine at a time, the line's clock, loss of carrier, transcript
//!     │
//!     ├── line ······ serial, a command on a PTY, tcp, telnet, rfc2217  bytes ⇅ the world
//!     ├── modem ····· AT commands ─────────────▶ CONNECT, or why not
//!     ├── login ····· banners, prompts ────────▶ a prompt
//!     ├── shell ····· a loader, an agent ──────▶ commands run once, exact bytes back
//!     ├── access ···· a mailbox, by shell or path ▶ how long it is, what is in it, digests, removal
//!     ├── transfer ·· zmodem, text ────────────▶ the mailbox's bytes, in order, proven
//!     ▼                                                    │
//!   store ◀────────────────────────────────────────────────┘
//!     │  part on disk ── digest equal to the host's? ── messages, each fsynced before it counts
//!     │  mailbox: From_ lines, quoting, identity, what a message says
//!     ▼
//!   Maildir or mbox, and a ledger of what is here
//!
//!   sim: a noisy line, a Hayes modem and a host, for `mailcall sim`, `demo` and the tests
//! ```
//!
//! Imports run downwards only; `tests/layering.rs` fails on one that does not. `docs/architecture.md`
//! says why things are as they are, `docs/protocols.md` what goes over the line.
#![warn(missing_docs)]

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
