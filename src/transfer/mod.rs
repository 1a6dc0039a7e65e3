//! In-band protocols: how a file's bytes come over the very line that the shell speaks on.
//!
//! [`zmodem`] receives from the host's own `sz`; [`text`] needs nothing on the host but a shell.

pub mod text;
pub mod zmodem;
