//! The simulated world: a noisy line with a rate and a latency ([`wire`]), a driver in virtual time
//! ([`converse`]), a Hayes modem and a host. `mailcall sim`, the demo and the tests use it; nothing
//! on the way of a real call does.

pub mod converse;
pub mod getty;
pub mod wire;
