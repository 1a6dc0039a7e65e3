//! The simulated world: a noisy line with a rate and a latency ([`wire`]), a driver in virtual time
//! ([`converse`]), a Hayes modem ([`dce`]) and a host ([`host`]). `mailcall sim`, the demo and the
//! tests use it; nothing on the way of a real call does.
//!
//! ```text
//!  program <-PTY-> serve( dce( at, call( wire, wire ) ) ) <-PTY-> host     in real time
//!  machine <-----> converse <-> DialledPeer( dce ) <-> Peer                in virtual time
//! ```

mod at;
mod call;
pub mod converse;
pub mod dce;
pub mod dialled;
pub mod front;
pub mod getty;
pub mod host;
pub mod misclocked;
pub mod serve;
pub mod wire;
