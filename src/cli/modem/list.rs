//! `mailcall modem list` and `modem profiles`: what there is, without speaking to any of it.

use std::path::Path;

use serde::Serialize;

use super::folders;
use crate::cli::Global;
use crate::line::lock::holder_of;
use crate::line::ports::{self, PortEntry};
use crate::session::{Ending, Failure, Stage};

#[derive(Debug, clap::Args)]
#[command(after_help = "Nothing is opened and nothing is sent: `modem probe` asks what answers on a port.")]
pub(in crate::cli) struct Args {}

#[derive(Debug, clap::Args)]
#[command(after_help = "Your own are NAME.toml in the folder `modems` beside the configuration.")]
pub(in crate::cli) struct ProfilesArgs {}

/// One port in `modem list --json`.
#[derive(Serialize)]
struct PortJson<'a> {
    port: &'a Path,
    stable_names: &'a [std::path::PathBuf],
    driver: Option<&'a str>,
    usb: Option<String>,
    what: String,
    interface: Option<u8>,
    in_use_by: Option<String>,
}

pub(super) fn run(global: &Global, _args: &Args) -> Result<Ending, Failure> {
    let ports = ports::list().map_err(|error| {
        Failure::new(Ending::NoSuchPort, Stage::Preparing, format!("cannot list the ports: {error}"))
    })?;
    if global.json {
        for port in &ports {
            println!("{}", serde_json::to_string(&json(port)).unwrap_or_default()); // texts: cannot fail
        }
        return Ok(Ending::Done);
    }
    if ports.is_empty() {
        println!(
            "This machine has no serial port. A USB adapter or modem shows up here once it is plugged in."
        );
        return Ok(Ending::Done);
    }
    for port in &ports {
        let in_use = holder_of(&port.device).map(|holder| format!("  in use by {holder}"));
        println!("{}  {}{}", port.device.display(), what(port), in_use.unwrap_or_default());
        if let Some(stable) = port.stable_names.first() {
            println!("    {}", stable.display());
        }
    }
    Ok(Ending::Done)
}

pub(super) fn profiles(global: &Global, _args: &ProfilesArgs) -> Result<Ending, Failure> {
    let folders = folders(global);
    let names = folders.names();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut worst = Ending::Done;
    for name in names {
        match folders.load(&name) {
            Ok(profile) if global.json => {
                let object = serde_json::json!({ "profile": name, "description": profile.description });
                println!("{object}");
            }
            Ok(profile) => println!("{name:width$} {}", profile.description),
            Err(error) => {
                eprintln!("mailcall: {error}");
                worst = Ending::Config;
            }
        }
    }
    Ok(worst)
}

fn json(port: &PortEntry) -> PortJson<'_> {
    let usb = port.usb.as_ref();
    PortJson {
        port: &port.device,
        stable_names: &port.stable_names,
        driver: port.driver.as_deref(),
        usb: usb.map(|usb| format!("{:04x}:{:04x}", usb.vendor_id, usb.product_id)),
        what: what(port),
        interface: usb.and_then(|usb| usb.interface),
        in_use_by: holder_of(&port.device).map(|holder| holder.to_string()),
    }
}

/// What hangs on a port, in words: `FTDI FT232R USB UART (USB 0403:6001, ftdi_sio)`.
pub(in crate::cli) fn what(port: &PortEntry) -> String {
    let driver = port.driver.as_deref().unwrap_or("no driver");
    let Some(usb) = &port.usb else { return format!("({driver})") };
    let ids = format!("USB {:04x}:{:04x}, {driver}", usb.vendor_id, usb.product_id);
    let names: Vec<&str> =
        [&usb.manufacturer, &usb.product].into_iter().filter_map(|name| name.as_deref()).collect();
    // What a device says of itself may hold anything.
    crate::mailbox::display::safe_line(&format!("{} ({ids})", names.join(" "))).trim_start().to_owned()
}
