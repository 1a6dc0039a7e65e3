//! Any parameters of COM-PORT-OPTION are read or refused, and what is read is written as it stood.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailcall::line::nvt::{Decoder, Item, option};
use mailcall::line::rfc2217::codec::{ComPort, Control};

fuzz_target!(|data: &[u8]| {
    let Ok((side, command)) = ComPort::decode(data) else { return };
    let written = command.encode(side);
    assert!(data.starts_with(&written));
    assert_eq!(ComPort::decode(&written), Ok((side, command.clone())));
    if let ComPort::Control(control) = command {
        assert_eq!(Control::from_value(control.value()), Ok(control));
    }
    // And over the network, where each IAC is doubled.
    let item = Item::Subnegotiation { option: option::COM_PORT, parameters: written };
    let (mut wire, mut data) = (Vec::new(), Vec::new());
    item.encode(&mut wire);
    let (taken, read) = Decoder::default().decode(&wire, &mut data);
    if let Some(read) = read {
        assert_eq!((taken, read), (wire.len(), item));
    } else {
        assert!(wire.len() > mailcall::line::nvt::PARAMETERS_MAX); // a signature may be too long
    }
    assert!(data.is_empty());
});
