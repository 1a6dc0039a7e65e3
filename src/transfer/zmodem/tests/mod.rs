//! ZMODEM without a real peer: known answers, split input, any bytes, and a model sender over a
//! noisy line in virtual time.

mod both;
mod codec;
mod noise;
mod receive;
mod send;
mod sender;
