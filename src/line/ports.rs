//! The machine's serial ports, from sysfs: what they are called, and what hangs on USB behind them.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortEntry {
    /// Where it is opened: `/dev/ttyUSB0`.
    pub device: PathBuf,
    /// Links that lead to it and keep their names when it is plugged in elsewhere or later.
    pub stable_names: Vec<PathBuf>,
    /// The kernel's driver: `ftdi_sio`, `cdc_acm`, `serial`.
    pub driver: Option<String>,
    /// What the device says of itself, if it is on USB.
    pub usb: Option<UsbIds>,
}

/// A USB device's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbIds {
    /// The vendor's number (`idVendor`).
    pub vendor_id: u16,
    /// The vendor's number for the product (`idProduct`).
    pub product_id: u16,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// What it is.
    pub product: Option<String>,
    /// Which one it is; many cheap adapters have none.
    pub serial: Option<String>,
    /// Which of the device's interfaces: a modem with several ports has its AT commands on one.
    pub interface: Option<u8>,
}

/// The ports of this machine, in the order in which a person counts.
pub fn list() -> io::Result<Vec<PortEntry>> {
    list_in(Path::new("/sys"), Path::new("/dev"))
}

/// The ports as `sys` describes them and `dev` names them.
pub fn list_in(sys: &Path, dev: &Path) -> io::Result<Vec<PortEntry>> {
    let links = stable_links(dev);
    let mut ports = Vec::new();
    for entry in fs::read_dir(sys.join("class/tty"))? {
        let entry = entry?;
        // The kernel writes `!` where a name has a slash.
        let device = dev.join(entry.file_name().to_string_lossy().replace('!', "/"));
        if device.exists()
            && let Some(hardware) = hardware(&entry.path())
        {
            ports.push(describe(device, &hardware, &links));
        }
    }
    ports.sort_by(|a, b| natural(&a.device.to_string_lossy(), &b.device.to_string_lossy()));
    Ok(ports)
}

/// Where a terminal's hardware is described, or `None` where there is none: virtual consoles have no
/// device, and `/dev/ttyS3` on most machines has an 8250 driver that found no chip (type 0).
fn hardware(tty: &Path) -> Option<PathBuf> {
    let found = fs::canonicalize(tty.join("device")).ok()?;
    (text(&tty.join("type")).as_deref() != Some(NO_CHIP)).then_some(found)
}

fn describe(device: PathBuf, hardware: &Path, links: &[(PathBuf, PathBuf)]) -> PortEntry {
    let target = fs::canonicalize(&device).ok();
    let leads_here = |(_, to): &&(PathBuf, PathBuf)| Some(to) == target.as_ref();
    PortEntry {
        stable_names: links.iter().filter(leads_here).map(|(link, _)| link.clone()).collect(),
        driver: driver(hardware),
        usb: usb(hardware),
        device,
    }
}

/// The driver of the nearest device that has one. Kernels since 6.5 put two of the bus `serial-base`
/// in between, whose drivers are called `port` and `ctrl` on every UART.
fn driver(hardware: &Path) -> Option<String> {
    let devices = hardware.ancestors().take(CLIMB_MAX);
    devices
        .filter(|device| link_name(device, "subsystem").as_deref() != Some("serial-base"))
        .find_map(|device| link_name(device, "driver"))
}

/// The USB device that the port is part of: the first above it with a vendor's number.
fn usb(hardware: &Path) -> Option<UsbIds> {
    let number = |path: PathBuf| u16::from_str_radix(&text(&path)?, 16).ok();
    let mut interface = None;
    for device in hardware.ancestors().take(CLIMB_MAX) {
        let said = text(&device.join("bInterfaceNumber"));
        interface = interface.or_else(|| u8::from_str_radix(&said?, 16).ok());
        if let Some(vendor_id) = number(device.join("idVendor")) {
            return Some(UsbIds {
                vendor_id,
                product_id: number(device.join("idProduct"))?,
                manufacturer: text(&device.join("manufacturer")),
                product: text(&device.join("product")),
                serial: text(&device.join("serial")),
                interface,
            });
        }
    }
    None
}

/// udev's links and where each leads, those by name of the device before those by its place.
fn stable_links(dev: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut links = Vec::new();
    for folder in ["serial/by-id", "serial/by-path"] {
        let entries = fs::read_dir(dev.join(folder)).into_iter().flatten().filter_map(Result::ok);
        let mut names: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        names.sort();
        links.extend(names.into_iter().filter_map(|link| fs::canonicalize(&link).ok().map(|to| (link, to))));
    }
    links
}

fn link_name(device: &Path, link: &str) -> Option<String> {
    let target = fs::read_link(device.join(link)).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// One attribute's text. A USB device says what it likes: nothing of it may write on a terminal.
fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text: String = String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Digits count by their value: `ttyS2` comes before `ttyS10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (digits_a, digits_b) = (leading_digits(a), leading_digits(b));
        let order = if digits_a > 0 && digits_b > 0 {
            let (number_a, number_b) = (significant(&a[..digits_a]), significant(&b[..digits_b]));
            number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
        } else {
            a.chars().next().cmp(&b.chars().next())
        };
        if order.is_ne() || a.is_empty() {
            return order;
        }
        (a, b) = (rest(a, digits_a), rest(b, digits_b));
    }
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn significant(digits: &str) -> &str {
    digits.trim_start_matches('0')
}

/// What follows the digits, or the first character where there are none.
fn rest(text: &str, digits: usize) -> &str {
    let first = text.chars().next().map_or(0, char::len_utf8);
    &text[digits.max(first)..]
}

/// What sysfs says where an 8250 driver found no chip (`PORT_UNKNOWN`).
const NO_CHIP: &str = "0";
/// Devices between a port and the USB device that it is part of: the port, the interface; hubs are above.
const CLIMB_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A made-up machine: sysfs and /dev below one folder.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(machine.sys().join("class/tty")).unwrap();
            machine
        }

        fn sys(&self) -> PathBuf {
            self.0.path().join("sys")
        }

        fn dev(&self) -> PathBuf {
            self.0.path().join("dev")
        }

        fn file(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn link(&self, link: &str, to: &str) {
            let link = self.0.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(self.0.path().join(to), link).unwrap();
        }

        /// A terminal at `hardware`, with its node.
        fn tty(&self, name: &str, hardware: &str) {
            let tty = format!("sys/devices/{hardware}/tty/{name}");
            self.file(&format!("{tty}/dev"), "4:64\n");
            self.link(&format!("{tty}/device"), &format!("sys/devices/{hardware}"));
            self.link(&format!("sys/class/tty/{name}"), &tty);
            self.file(&format!("dev/{name}"), "");
        }

        fn list(&self) -> Vec<PortEntry> {
            list_in(&self.sys(), &self.dev()).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let name = |port: PortEntry| port.device.file_name().unwrap().to_string_lossy().into_owned();
            self.list().into_iter().map(name).collect()
        }
    }

    #[test]
    fn a_usb_adapter_is_described_with_its_ids_its_driver_and_its_stable_names() {
        let machine = Machine::new();
        let (device, interface) = ("pci0/usb1/1-1", "pci0/usb1/1-1/1-1:1.0");
        machine.tty("ttyUSB0", &format!("{interface}/ttyUSB0"));
        machine
            .link(&format!("sys/devices/{interface}/ttyUSB0/driver"), "sys/bus/usb-serial/drivers/ftdi_sio");
        machine.link(&format!("sys/devices/{interface}/driver"), "sys/bus/usb/drivers/usbfs");
        machine.file(&format!("sys/devices/{interface}/bInterfaceNumber"), "02\n");
        for (name, text) in [
            ("idVendor", "0403\n"),
            ("idProduct", "6001\n"),
            ("manufacturer", "FTDI\n"),
            ("product", "FT232R\x1b[2J USB UART\n"),
            ("serial", "A50285BI\n"),
        ] {
            machine.file(&format!("sys/devices/{device}/{name}"), text);
        }
        machine.file("sys/devices/pci0/usb1/idVendor", "1d6b\n"); // the hub above is not it
        machine.link("dev/serial/by-path/pci-0", "dev/ttyUSB0");
        machine.link("dev/serial/by-id/usb-FTDI", "dev/ttyUSB0");
        machine.link("dev/serial/by-id/usb-other", "dev/ttyUSB9");
        let expected = PortEntry {
            device: machine.dev().join("ttyUSB0"),
            stable_names: vec![
                machine.dev().join("serial/by-id/usb-FTDI"),
                machine.dev().join("serial/by-path/pci-0"),
            ],
            driver: Some("ftdi_sio".into()),
            usb: Some(UsbIds {
                vendor_id: 0x0403,
                product_id: 0x6001,
                manufacturer: Some("FTDI".into()),
                product: Some("FT232R[2J USB UART".into()),
                serial: Some("A50285BI".into()),
                interface: Some(2),
            }),
        };
        assert_eq!(machine.list(), [expected]);
    }

    #[test]
    fn a_modem_without_a_serial_number_is_described_as_far_as_it_goes() {
        let machine = Machine::new();
        machine.tty("ttyACM0", "usb1/1-2/1-2:1.0");
        machine.link("sys/devices/usb1/1-2/1-2:1.0/driver", "sys/bus/usb/drivers/cdc_acm");
        machine.file("sys/devices/usb1/1-2/idVendor", "0572\n");
        machine.file("sys/devices/usb1/1-2/idProduct", "1340\n");
        let port = machine.list().pop().unwrap();
        assert_eq!(port.driver.as_deref(), Some("cdc_acm"));
        let usb = port.usb.unwrap();
        assert_eq!((usb.vendor_id, usb.product_id, usb.serial, usb.interface), (0x0572, 0x1340, None, None));
        assert!(port.stable_names.is_empty());
    }

    #[test]
    fn ports_without_a_chip_consoles_and_ports_without_a_node_are_left_out() {
        let machine = Machine::new();
        for (name, chip) in [("ttyS0", "4\n"), ("ttyS1", "0\n"), ("ttyS2", "4\n")] {
            machine.tty(name, &format!("platform/serial8250/{name}"));
            machine.file(&format!("sys/devices/platform/serial8250/{name}/tty/{name}/type"), chip);
        }
        fs::remove_file(machine.dev().join("ttyS2")).unwrap();
        machine.file("sys/devices/virtual/tty/tty1/dev", "4:1\n");
        machine.link("sys/class/tty/tty1", "sys/devices/virtual/tty/tty1");
        machine.file("dev/tty1", "");
        assert_eq!(machine.names(), ["ttyS0"]);
    }

    #[test]
    fn the_driver_behind_the_serial_base_bus_is_named() {
        let machine = Machine::new();
        machine.tty("ttyS0", "pnp0/00:00/00:00:0/00:00:0.0");
        for (device, driver) in [("00:00:0/00:00:0.0", "port"), ("00:00:0", "ctrl")] {
            let device = format!("sys/devices/pnp0/00:00/{device}");
            machine.link(&format!("{device}/driver"), &format!("sys/bus/serial-base/drivers/{driver}"));
            machine.link(&format!("{device}/subsystem"), "sys/bus/serial-base");
        }
        machine.link("sys/devices/pnp0/00:00/driver", "sys/bus/pnp/drivers/serial");
        let port = machine.list().pop().unwrap();
        assert_eq!((port.driver.as_deref(), port.usb), (Some("serial"), None));
    }

    #[test]
    fn ports_come_in_the_order_in_which_a_person_counts() {
        let machine = Machine::new();
        for name in ["ttyS10", "ttyUSB1", "ttyS2", "ttyACM0", "ttyS02", "ttyS1"] {
            machine.tty(name, &format!("platform/{name}"));
        }
        let names = machine.names();
        assert_eq!(
            names.iter().filter(|name| *name != "ttyS02").collect::<Vec<_>>(),
            ["ttyACM0", "ttyS1", "ttyS2", "ttyS10", "ttyUSB1"]
        );
        let mut both = ["ttyS18446744073709551617", "ttyS9"];
        both.sort_by(|a, b| natural(a, b));
        assert_eq!(both, ["ttyS9", "ttyS18446744073709551617"], "however long the number");
    }

    #[test]
    fn a_machine_without_sysfs_says_so() {
        let machine = Machine::new();
        assert!(list_in(&machine.sys().join("nowhere"), &machine.dev()).is_err());
    }
}
