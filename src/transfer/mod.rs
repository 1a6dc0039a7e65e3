//! transfer

pub mod text;
