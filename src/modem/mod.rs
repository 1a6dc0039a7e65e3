//! The modem: commands and result codes of ITU-T V.250, as machines without I/O.
//!
//! ```text
//! bytes -> codec::Reader -> Response -> Dial    -> ConnectInfo, or how the call failed
//!                                    -> HangUp  -> how sure it is that the line is free
//! profile (hardware/modems/*.toml) ----^
//! ```
//!
//! Commands go out as `AT...<CR>`; answers come back as lines in words (`V1`) or as numbers (`V0`).
//! Both forms are understood at any time, with and without echo.

pub mod codec;
pub mod dial;
pub mod hangup;
pub mod location;
pub mod number;
pub mod profile;
#[cfg(test)]
mod scripted;

pub use codec::{ConnectInfo, Response};
pub use dial::{Dial, DialError, DialEvent, Planned};
pub use hangup::{HangUp, HangUpError, HangUpEvent, HungUp};
pub use location::Location;
pub use number::{BadNumber, DialRules, check_number, number_key};
pub use profile::{Profile, ProfileError};
