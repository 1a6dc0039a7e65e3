//! In-band file transfers: how bytes come over the very line that the shell speaks on.

pub mod zmodem;
