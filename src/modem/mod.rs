//! The modem: commands and result codes of ITU-T V.250, as machines without I/O.
//!
//! ```text
//! bytes -> codec::Reader -> Response -> Ready -> awake, at this rate, set up
//!               connect ------^          |-> Dial   -> ConnectInfo, or how the call failed
//!                                        |-> Answer -> ConnectInfo of a call that came in
//!                                        '-> Ask    -> what it says of itself or of the last call
//!                                     HangUp -> how sure it is that the line is free
//! profile (hardware/modems/*.toml, a user's own) -> commands for each purpose
//! number, location -> what is dialled from here   identity -> which profile fits an answer
//! ```
//!
//! Commands go out as `AT...<CR>`; answers come back as lines in words (`V1`) or as numbers (`V0`).
//! Both forms are understood at any time, with and without echo.

pub mod answer;
#[cfg(test)]
mod any_bytes;
pub mod ask;
mod carrier;
pub mod codec;
pub mod commands;
pub mod connect;
pub mod dial;
pub mod hangup;
pub mod identity;
pub mod location;
pub mod number;
pub mod profile;
pub mod ready;
#[cfg(test)]
mod scripted;

pub use answer::{Answer, AnswerError, AnswerEvent, Answering, Caller};
pub use ask::{Ask, AskError, Said};
pub use codec::{CallFailure, Response};
pub use connect::{ConnectInfo, ConnectRate};
pub use dial::{Dial, DialError, DialEvent, Planned};
pub use hangup::{HangUp, HangUpError, HangUpEvent, HungUp};
pub use location::Location;
pub use number::{BadNumber, DialRules, check_number, is_host, number_key};
pub use profile::{Choices, FlowChoice, Profile, ProfileError, Source, SpeakerChoice};
pub use ready::{Awake, Ready, ReadyError, ReadyEvent, SetUp};
