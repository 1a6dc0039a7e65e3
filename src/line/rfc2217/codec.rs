//! The parameters of COM-PORT-OPTION (RFC 2217, section 3): a command's number, then its value.
//!
//! Pure: what stands between `IAC SB COM-PORT-OPTION` and `IAC SE`, with no IAC doubled. The client asks
//! with a command's number, and the server answers with that number and 100. The value 0 asks and sets
//! nothing.

use crate::line::{DataBits, Parity};

/// The telnet option's number.
pub const COM_PORT_OPTION: u8 = 44;

/// Who says it: both use the same commands, by numbers that are 100 apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Whoever wants to use the port.
    Client,
    /// The access server, which has the port.
    Server,
}

/// One command with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComPort {
    /// SIGNATURE: what the sender is, in its own words. Empty from a client, it asks.
    Signature(Vec<u8>),
    /// SET-BAUDRATE: bits a second; 0 asks.
    Baud(u32),
    /// SET-DATASIZE; `None` asks.
    DataSize(Option<DataBits>),
    /// SET-PARITY; `None` asks.
    Parity(Option<Parity>),
    /// SET-STOPSIZE; `None` asks.
    StopSize(Option<StopSize>),
    /// SET-CONTROL: flow control, BREAK, DTR, RTS.
    Control(Control),
    /// NOTIFY-LINESTATE: what the port's receiver and transmitter are at.
    LineState(LineState),
    /// NOTIFY-MODEMSTATE: the modem's leads. Some servers take it from a client, and tell the state.
    ModemState(ModemState),
    /// FLOWCONTROL-SUSPEND: send no data until told to.
    Suspend,
    /// FLOWCONTROL-RESUME.
    Resume,
    /// SET-LINESTATE-MASK: the changes of line state to be told of.
    LineStateMask(u8),
    /// SET-MODEMSTATE-MASK: the changes of modem state to be told of.
    ModemStateMask(u8),
    /// PURGE-DATA: throws away what waits in the server.
    Purge(Purge),
}

/// The mark at a character's end, with the length that only RFC 2217 can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSize {
    /// One bit.
    One,
    /// Two bits.
    Two,
    /// One bit and a half, for five data bits.
    OneAndHalf,
}

/// Flow control that can be chosen for both directions, or for what comes in alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortFlow {
    /// None.
    None,
    /// DC1 and DC3.
    XonXoff,
    /// RTS and CTS.
    Hardware,
}

/// A value of SET-CONTROL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Which flow control is there, outbound or both ways?
    AskFlow,
    /// Flow control outbound, or both ways.
    Flow(PortFlow),
    /// Is a BREAK under way?
    AskBreak,
    /// BREAK begins or ends.
    Break(bool),
    /// Is DTR on?
    AskDtr,
    /// DTR on or off.
    Dtr(bool),
    /// Is RTS on?
    AskRts,
    /// RTS on or off.
    Rts(bool),
    /// Which flow control is there inbound?
    AskInboundFlow,
    /// Flow control inbound.
    InboundFlow(PortFlow),
    /// DCD holds what goes out.
    DcdFlow,
    /// DTR holds what comes in.
    DtrFlow,
    /// DSR holds what goes out.
    DsrFlow,
}

/// What PURGE-DATA throws away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge {
    /// What came from the port and is not yet on its way to the client.
    Received,
    /// What came from the client and has not left the port.
    ToSend,
    /// Both.
    Both,
}

/// The modem's leads: four bits as they are, four that tell which have changed (a 16450's MSR).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ModemState(pub u8);

impl ModemState {
    /// Data Carrier Detect, by its older name Receive Line Signal Detect.
    pub fn dcd(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// Ring Indicator.
    pub fn ri(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// Data Set Ready.
    pub fn dsr(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// Clear To Send.
    pub fn cts(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// DCD is not what it was last.
    pub fn dcd_changed(self) -> bool {
        self.0 & 0x08 != 0
    }

    /// RI has gone off.
    pub fn ri_ended(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// DSR is not what it was last.
    pub fn dsr_changed(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// CTS is not what it was last.
    pub fn cts_changed(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Any of the four is on now.
    pub fn any_on(self) -> bool {
        self.0 & 0xf0 != 0
    }
}

/// A 16450's LSR.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LineState(pub u8);

impl LineState {
    /// Nothing is left to be sent, not even in the shift register.
    pub fn is_drained(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// The other end has sent a BREAK.
    pub fn break_detected(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// A byte came without its stop bit, with the wrong parity, or before the last one was read.
    pub fn damaged(self) -> bool {
        self.0 & 0x0e != 0
    }
}

/// Why the parameters say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There are none.
    #[error("no command")]
    Empty,
    /// RFC 2217 has no such command.
    #[error("no command has the number {0}")]
    Unknown(u8),
    /// The value is shorter than the command's.
    #[error("command {0} has no value, or too short a one")]
    Short(u8),
    /// The command has no such value.
    #[error("command {code} has no value {value}")]
    NoSuchValue {
        /// The command.
        code: u8,
        /// The value.
        value: u8,
    },
}

impl ComPort {
    /// Reads the parameters of one subnegotiation. What stands behind the value is passed over: some
    /// servers (sredird) pad a rate with zeros.
    pub fn decode(parameters: &[u8]) -> Result<(Side, Self), Malformed> {
        let (&number, value) = parameters.split_first().ok_or(Malformed::Empty)?;
        let (side, code) = match number.checked_sub(SERVER) {
            Some(code) => (Side::Server, code),
            None => (Side::Client, number),
        };
        let byte = || value.first().copied().ok_or(Malformed::Short(code));
        let no_such = |value| Malformed::NoSuchValue { code, value };
        let command = match code {
            SIGNATURE => Self::Signature(value.to_vec()),
            SET_BAUDRATE => {
                let rate = value.first_chunk().ok_or(Malformed::Short(code))?;
                Self::Baud(u32::from_be_bytes(*rate))
            }
            SET_DATASIZE => Self::DataSize(data_bits(byte()?).map_err(no_such)?),
            SET_PARITY => Self::Parity(parity(byte()?).map_err(no_such)?),
            SET_STOPSIZE => Self::StopSize(stop_size(byte()?).map_err(no_such)?),
            SET_CONTROL => Self::Control(Control::from_value(byte()?).map_err(no_such)?),
            NOTIFY_LINESTATE => Self::LineState(LineState(byte()?)),
            NOTIFY_MODEMSTATE => Self::ModemState(ModemState(byte()?)),
            FLOWCONTROL_SUSPEND => Self::Suspend,
            FLOWCONTROL_RESUME => Self::Resume,
            SET_LINESTATE_MASK => Self::LineStateMask(byte()?),
            SET_MODEMSTATE_MASK => Self::ModemStateMask(byte()?),
            PURGE_DATA => Self::Purge(purge(byte()?).map_err(no_such)?),
            _ => return Err(Malformed::Unknown(number)),
        };
        Ok((side, command))
    }

    /// The parameters of one subnegotiation.
    pub fn encode(&self, side: Side) -> Vec<u8> {
        let number = self.code()
            + match side {
                Side::Client => 0,
                Side::Server => SERVER,
            };
        let mut parameters = vec![number];
        match self {
            Self::Signature(text) => parameters.extend_from_slice(text),
            Self::Baud(rate) => parameters.extend_from_slice(&rate.to_be_bytes()),
            Self::DataSize(bits) => parameters.push(bits.map_or(ASK, DataBits::count)),
            Self::Parity(parity) => parameters.push(parity.map_or(ASK, parity_value)),
            Self::StopSize(size) => parameters.push(size.map_or(ASK, StopSize::value)),
            Self::Control(control) => parameters.push(control.value()),
            Self::LineState(LineState(value)) | Self::ModemState(ModemState(value)) => {
                parameters.push(*value);
            }
            Self::Suspend | Self::Resume => {}
            Self::LineStateMask(mask) | Self::ModemStateMask(mask) => parameters.push(*mask),
            Self::Purge(purge) => parameters.push(purge.value()),
        }
        parameters
    }

    fn code(&self) -> u8 {
        match self {
            Self::Signature(_) => SIGNATURE,
            Self::Baud(_) => SET_BAUDRATE,
            Self::DataSize(_) => SET_DATASIZE,
            Self::Parity(_) => SET_PARITY,
            Self::StopSize(_) => SET_STOPSIZE,
            Self::Control(_) => SET_CONTROL,
            Self::LineState(_) => NOTIFY_LINESTATE,
            Self::ModemState(_) => NOTIFY_MODEMSTATE,
            Self::Suspend => FLOWCONTROL_SUSPEND,
            Self::Resume => FLOWCONTROL_RESUME,
            Self::LineStateMask(_) => SET_LINESTATE_MASK,
            Self::ModemStateMask(_) => SET_MODEMSTATE_MASK,
            Self::Purge(_) => PURGE_DATA,
        }
    }
}

impl Control {
    /// As its value on the wire.
    pub fn value(self) -> u8 {
        let on_off = |on: bool, value| if on { value } else { value + 1 };
        match self {
            Self::AskFlow => 0,
            Self::Flow(flow) => 1 + flow.place(),
            Self::AskBreak => 4,
            Self::Break(on) => on_off(on, 5),
            Self::AskDtr => 7,
            Self::Dtr(on) => on_off(on, 8),
            Self::AskRts => 10,
            Self::Rts(on) => on_off(on, 11),
            Self::AskInboundFlow => 13,
            Self::InboundFlow(flow) => 14 + flow.place(),
            Self::DcdFlow => 17,
            Self::DtrFlow => 18,
            Self::DsrFlow => 19,
        }
    }

    /// Reads a value; one that has no meaning is given back.
    pub fn from_value(value: u8) -> Result<Self, u8> {
        Ok(match value {
            0 => Self::AskFlow,
            1 => Self::Flow(PortFlow::None),
            2 => Self::Flow(PortFlow::XonXoff),
            3 => Self::Flow(PortFlow::Hardware),
            4 => Self::AskBreak,
            5 | 6 => Self::Break(value == 5),
            7 => Self::AskDtr,
            8 | 9 => Self::Dtr(value == 8),
            10 => Self::AskRts,
            11 | 12 => Self::Rts(value == 11),
            13 => Self::AskInboundFlow,
            14 => Self::InboundFlow(PortFlow::None),
            15 => Self::InboundFlow(PortFlow::XonXoff),
            16 => Self::InboundFlow(PortFlow::Hardware),
            17 => Self::DcdFlow,
            18 => Self::DtrFlow,
            19 => Self::DsrFlow,
            undefined => return Err(undefined),
        })
    }
}

impl PortFlow {
    fn place(self) -> u8 {
        match self {
            Self::None => 0,
            Self::XonXoff => 1,
            Self::Hardware => 2,
        }
    }
}

impl StopSize {
    fn value(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::OneAndHalf => 3,
        }
    }
}

impl Purge {
    fn value(self) -> u8 {
        match self {
            Self::Received => 1,
            Self::ToSend => 2,
            Self::Both => 3,
        }
    }
}

fn data_bits(value: u8) -> Result<Option<DataBits>, u8> {
    Ok(Some(match value {
        ASK => return Ok(None),
        5 => DataBits::Five,
        6 => DataBits::Six,
        7 => DataBits::Seven,
        8 => DataBits::Eight,
        undefined => return Err(undefined),
    }))
}

fn parity(value: u8) -> Result<Option<Parity>, u8> {
    Ok(Some(match value {
        ASK => return Ok(None),
        1 => Parity::None,
        2 => Parity::Odd,
        3 => Parity::Even,
        4 => Parity::Mark,
        5 => Parity::Space,
        undefined => return Err(undefined),
    }))
}

fn parity_value(parity: Parity) -> u8 {
    match parity {
        Parity::None => 1,
        Parity::Odd => 2,
        Parity::Even => 3,
        Parity::Mark => 4,
        Parity::Space => 5,
    }
}

fn stop_size(value: u8) -> Result<Option<StopSize>, u8> {
    Ok(Some(match value {
        ASK => return Ok(None),
        1 => StopSize::One,
        2 => StopSize::Two,
        3 => StopSize::OneAndHalf,
        undefined => return Err(undefined),
    }))
}

fn purge(value: u8) -> Result<Purge, u8> {
    Ok(match value {
        1 => Purge::Received,
        2 => Purge::ToSend,
        3 => Purge::Both,
        undefined => return Err(undefined),
    })
}

/// A value that asks.
const ASK: u8 = 0;
/// What the server's numbers are higher by.
const SERVER: u8 = 100;

const SIGNATURE: u8 = 0;
const SET_BAUDRATE: u8 = 1;
const SET_DATASIZE: u8 = 2;
const SET_PARITY: u8 = 3;
const SET_STOPSIZE: u8 = 4;
const SET_CONTROL: u8 = 5;
const NOTIFY_LINESTATE: u8 = 6;
const NOTIFY_MODEMSTATE: u8 = 7;
const FLOWCONTROL_SUSPEND: u8 = 8;
const FLOWCONTROL_RESUME: u8 = 9;
const SET_LINESTATE_MASK: u8 = 10;
const SET_MODEMSTATE_MASK: u8 = 11;
const PURGE_DATA: u8 = 12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(command: &ComPort) -> Vec<u8> {
        command.encode(Side::Client)
    }

    /// The figures are those of section 3.
    #[test]
    fn commands_stand_on_the_wire_as_the_standard_has_them() {
        let known: [(ComPort, &[u8]); 18] = [
            (ComPort::Signature(Vec::new()), &[0]),
            (ComPort::Signature(b"mailcall".to_vec()), b"\0mailcall"),
            (ComPort::Baud(0), &[1, 0, 0, 0, 0]),
            (ComPort::Baud(57_600), &[1, 0, 0, 0xe1, 0]),
            (ComPort::Baud(115_200), &[1, 0, 1, 0xc2, 0]),
            (ComPort::DataSize(None), &[2, 0]),
            (ComPort::DataSize(Some(DataBits::Seven)), &[2, 7]),
            (ComPort::Parity(Some(Parity::Even)), &[3, 3]),
            (ComPort::StopSize(Some(StopSize::OneAndHalf)), &[4, 3]),
            (ComPort::Control(Control::Flow(PortFlow::Hardware)), &[5, 3]),
            (ComPort::Control(Control::Dtr(false)), &[5, 9]),
            (ComPort::LineState(LineState(0x60)), &[6, 0x60]),
            (ComPort::ModemState(ModemState(0xb0)), &[7, 0xb0]),
            (ComPort::Suspend, &[8]),
            (ComPort::Resume, &[9]),
            (ComPort::LineStateMask(0x10), &[10, 0x10]),
            (ComPort::ModemStateMask(0xff), &[11, 0xff]),
            (ComPort::Purge(Purge::ToSend), &[12, 2]),
        ];
        for (command, bytes) in known {
            assert_eq!(client(&command), bytes);
            assert_eq!(ComPort::decode(bytes), Ok((Side::Client, command.clone())));
            let mut answer = bytes.to_vec();
            answer[0] += 100;
            assert_eq!(command.encode(Side::Server), answer);
            assert_eq!(ComPort::decode(&answer), Ok((Side::Server, command)));
        }
    }

    #[test]
    fn every_control_value_has_one_meaning() {
        for value in 0..=19 {
            assert_eq!(Control::from_value(value).map(Control::value), Ok(value));
        }
        for value in 20..=u8::MAX {
            assert_eq!(Control::from_value(value), Err(value));
        }
        for (value, control) in [
            (5, Control::Break(true)),
            (6, Control::Break(false)),
            (8, Control::Dtr(true)),
            (11, Control::Rts(true)),
            (12, Control::Rts(false)),
            (15, Control::InboundFlow(PortFlow::XonXoff)),
            (17, Control::DcdFlow),
        ] {
            assert_eq!(Control::from_value(value), Ok(control));
        }
    }

    #[test]
    fn each_bit_of_a_state_is_one_lead() {
        let bits = |state: ModemState| {
            [
                state.dcd(),
                state.ri(),
                state.dsr(),
                state.cts(),
                state.dcd_changed(),
                state.ri_ended(),
                state.dsr_changed(),
                state.cts_changed(),
            ]
        };
        for (place, bit) in (0..8).rev().enumerate() {
            let read = bits(ModemState(1 << bit));
            assert!((0..8).all(|other| read[other] == (other == place)), "bit {bit}: {read:?}");
        }
        assert!(ModemState(0x80).any_on() && !ModemState(0x0f).any_on());
        assert!(LineState(0x40).is_drained() && LineState(0x10).break_detected() && LineState(8).damaged());
    }

    #[test]
    fn what_the_standard_does_not_have_is_told_apart() {
        for (bytes, wrong) in [
            (&b""[..], Malformed::Empty),
            (&[1, 0, 0, 0xe1], Malformed::Short(1)),
            (&[101, 13], Malformed::Short(1)), // an early Cisco's code for a rate
            (&[107], Malformed::Short(7)),
            (&[2, 9], Malformed::NoSuchValue { code: 2, value: 9 }),
            (&[105, 20], Malformed::NoSuchValue { code: 5, value: 20 }),
            (&[12, 0], Malformed::NoSuchValue { code: 12, value: 0 }),
            (&[13], Malformed::Unknown(13)),
            (&[113, 1], Malformed::Unknown(113)),
            (&[0xff, 0xff], Malformed::Unknown(0xff)),
        ] {
            assert_eq!(ComPort::decode(bytes), Err(wrong), "{bytes:?}");
        }
        // sredird pads its rates.
        assert_eq!(
            ComPort::decode(&[101, 0, 0, 0x25, 0x80, 0, 0, 0, 0]),
            Ok((Side::Server, ComPort::Baud(9_600)))
        );
    }

    proptest! {
        /// Whatever is read is written again as it stood, but for what stood behind the value.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok((side, command)) = ComPort::decode(&bytes) {
                let written = command.encode(side);
                prop_assert!(bytes.starts_with(&written));
                prop_assert_eq!(ComPort::decode(&written), Ok((side, command)));
            }
        }

        /// The first bytes are the interesting ones.
        #[test]
        fn any_command_is_read_or_refused(
            code in 0_u8..=13,
            server in any::<bool>(),
            value in prop::collection::vec(any::<u8>(), 0..6),
        ) {
            let mut bytes = vec![code + if server { 100 } else { 0 }];
            bytes.extend_from_slice(&value);
            match ComPort::decode(&bytes) {
                Ok((side, command)) => {
                    prop_assert_eq!(side == Side::Server, server);
                    prop_assert!(bytes.starts_with(&command.encode(side)));
                }
                Err(Malformed::Unknown(number)) => prop_assert_eq!(number % 100, 13),
                Err(Malformed::Short(of)) => prop_assert!(of == code && value.len() < 4),
                Err(Malformed::NoSuchValue { code: of, value: was }) => {
                    prop_assert!(of == code && value.first() == Some(&was));
                }
                Err(Malformed::Empty) => prop_assert!(false, "it is not empty"),
            }
        }
    }
}
