//! A line over a network: what its name stands for, and whether somebody listens there.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::finding::Sheet;
use crate::config::Remote;
use crate::session::Ending;

/// Connects and lets go at once. Answers whether it could.
pub(super) async fn look(remote: &Remote, sheet: &mut Sheet) -> bool {
    let address = &remote.address;
    let asked = timeout(remote.connect_wait, lookup_host((address.host.as_str(), address.port))).await;
    let addresses: Vec<SocketAddr> = match asked {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => {
            let found = format!("{:?} leads nowhere: {error}", address.host);
            sheet.wrong(Ending::NoSuchPort, "address", found, "check `address`, and this machine's network");
            return false;
        }
        Err(_) => {
            let seconds = remote.connect_wait.as_secs();
            let found = format!("the name {:?} was not found within {seconds} s", address.host);
            sheet.wrong(Ending::NoSuchPort, "address", found, "is this machine on the network?");
            return false;
        }
    };
    let numbers: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    if addresses.iter().any(|found| found.to_string() == address.to_string()) {
        sheet.ok("address", address.to_string());
    } else {
        sheet.ok("address", format!("{} is {}", address.host, numbers.join(", ")));
    }
    connects(remote, &addresses, sheet).await
}

async fn connects(remote: &Remote, addresses: &[SocketAddr], sheet: &mut Sheet) -> bool {
    let wait: Duration = remote.connect_wait;
    match timeout(wait, TcpStream::connect(addresses)).await {
        Ok(Ok(stream)) => {
            let peer =
                stream.peer_addr().map_or_else(|_| remote.address.to_string(), |peer| peer.to_string());
            sheet.ok("connect", format!("{peer} takes connections"));
            true
        }
        Ok(Err(error)) => {
            let found = format!("cannot connect to {}: {error}", remote.address);
            let remedy = "is its server running, the port right, and no firewall in between?";
            sheet.wrong(Ending::NoSuchPort, "connect", found, remedy);
            false
        }
        Err(_) => {
            let found = format!("{} does not answer within {} s", remote.address, wait.as_secs());
            sheet.wrong(
                Ending::NoSuchPort,
                "connect",
                found,
                "is it switched on, and no firewall in between?",
            );
            false
        }
    }
}
