//! A line over a network: what its name stands for, and whether somebody listens there.

use std::net::SocketAddr;

use super::finding::Sheet;
use crate::config::Remote;
use crate::session::{Failure, bench};

/// Looks the name up, and unless the line is opened next, connects and lets go at once: a terminal server
/// that takes one caller might not have seen the first one go. Answers whether it could.
pub(super) async fn look(remote: &Remote, opened_next: bool, sheet: &mut Sheet) -> bool {
    let addresses = match bench::look_up(remote).await {
        Ok(addresses) => addresses,
        Err(failure) => return refused("address", &failure, sheet),
    };
    sheet.ok("address", named(remote, &addresses));
    if opened_next {
        return true;
    }
    match bench::connect_and_leave(remote).await {
        Ok(peer) => {
            sheet.ok("connect", format!("{peer} takes connections"));
            true
        }
        Err(failure) => refused("connect", &failure, sheet),
    }
}

fn named(remote: &Remote, addresses: &[SocketAddr]) -> String {
    let numbers: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    match numbers.as_slice() {
        [only] if *only == remote.address.host => format!("{}, a number", remote.address),
        several => format!("{} is {}", remote.address.host, several.join(", ")),
    }
}

/// Says why the host was not reached. The message has its remedy behind the last semicolon or colon.
pub(super) fn refused(what: &'static str, failure: &Failure, sheet: &mut Sheet) -> bool {
    let text = &failure.message;
    let halves = text.rsplit_once("; ").or_else(|| text.rsplit_once(": "));
    let (found, remedy) = halves.unwrap_or((text, "check `address`"));
    sheet.wrong(failure.ending, what, found, remedy);
    false
}
