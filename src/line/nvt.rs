//! The codec of TELNET (RFC 854): what arrives becomes data, commands, negotiations and subnegotiations.
//!
//! Pure: bytes in, bytes out, cut anywhere. [`Options`] answers negotiations without loops (RFC 1143).
//! Data goes in one of two modes, each direction in its own: as an NVT, where CR is followed by NUL or LF
//! (RFC 854, page 12), or in BINARY (RFC 856), where only IAC is special. A mode holds from the very
//! command on that brings it about, so [`Decoder::decode`] stops behind each item: whoever reads it
//! sets the mode and goes on.

use memchr::{memchr, memchr2};

mod options;

pub use options::{ANSWERS_MAX, Change, Options, Reply, Side};

/// How data goes in one direction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As the NVT has it: a CR that is only a CR goes as CR NUL.
    #[default]
    Nvt,
    /// Each byte as it is, IAC doubled (RFC 856).
    Binary,
}

/// The four verbs of negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// The sender offers to do it, or says that it does.
    Will,
    /// The sender refuses to do it, or ends it.
    Wont,
    /// The receiver is asked to do it, or confirmed.
    Do,
    /// The receiver shall not, or no more.
    Dont,
}

impl Verb {
    fn read(byte: u8) -> Option<Self> {
        match byte {
            251 => Some(Self::Will),
            252 => Some(Self::Wont),
            253 => Some(Self::Do),
            254 => Some(Self::Dont),
            _ => None,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Will => 251,
            Self::Wont => 252,
            Self::Do => 253,
            Self::Dont => 254,
        }
    }
}

/// What stands alone behind an IAC. It never holds SB, SE, IAC or one of the verbs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command(u8);

impl Command {
    /// No operation.
    pub const NOP: Self = Self(241);
    /// The data mark of a SYNCH.
    pub const DM: Self = Self(242);
    /// BREAK.
    pub const BRK: Self = Self(243);
    /// Interrupt process.
    pub const IP: Self = Self(244);
    /// Abort output.
    pub const AO: Self = Self(245);
    /// Are you there?
    pub const AYT: Self = Self(246);
    /// Erase character.
    pub const EC: Self = Self(247);
    /// Erase line.
    pub const EL: Self = Self(248);
    /// Go ahead.
    pub const GA: Self = Self(249);

    /// Its byte.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = ["NOP", "DM", "BRK", "IP", "AO", "AYT", "EC", "EL", "GA"];
        match self.0.checked_sub(Self::NOP.0).and_then(|n| names.get(usize::from(n))) {
            Some(name) => f.write_str(name),
            None => write!(f, "Command({})", self.0),
        }
    }
}

/// Whatever is not data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A command, known or not.
    Command(Command),
    /// WILL, WONT, DO or DONT, and the option's code.
    Negotiate(Verb, u8),
    /// Parameters of an option, each IAC single again.
    Subnegotiation {
        /// The option's code.
        option: u8,
        /// What stood between it and IAC SE.
        parameters: Vec<u8>,
    },
}

impl Item {
    /// Appends it as it goes over the network.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Command(command) => out.extend([IAC, command.0]),
            Self::Negotiate(verb, option) => out.extend([IAC, verb.code(), *option]),
            Self::Subnegotiation { option, parameters } => {
                out.extend([IAC, SB]);
                double_iac(&[*option], out);
                double_iac(parameters, out);
                out.extend([IAC, SE]);
            }
        }
    }
}

/// Appends data as it goes over the network in this mode.
///
/// Each CR of an NVT goes as CR NUL, also in front of a LF. CR LF would be shorter, but it means "new
/// line", and servers hand only a CR of it to their terminal: the LF would be lost.
pub fn encode_data(mode: Mode, bytes: &[u8], out: &mut Vec<u8>) {
    match mode {
        Mode::Binary => double_iac(bytes, out),
        Mode::Nvt => {
            for &byte in bytes {
                match byte {
                    IAC => out.extend([IAC, IAC]),
                    CR => out.extend([CR, NUL]),
                    _ => out.push(byte),
                }
            }
        }
    }
}

fn double_iac(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(IAC, bytes) {
        out.extend_from_slice(&bytes[..=at]);
        out.push(IAC);
        bytes = &bytes[at + 1..];
    }
    out.extend_from_slice(bytes);
}

/// Reads what arrives.
#[derive(Debug, Default, Clone)]
pub struct Decoder {
    mode: Mode,
    state: State,
    /// A CR was the last data, so a NUL that follows belongs to it.
    after_cr: bool,
    /// The option's code and its parameters so far.
    parameters: Vec<u8>,
    /// There were more than are held.
    too_long: bool,
    malformed: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Data,
    /// Behind IAC.
    Iac,
    /// Behind IAC and a verb.
    Verb(Verb),
    /// Behind IAC SB.
    Parameters,
    /// Behind IAC in a subnegotiation.
    ParametersIac,
}

impl Decoder {
    /// How data is read from here on.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.after_cr = false;
    }

    /// How data is read.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How often the peer broke the rules so that something had to be left out.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Reads up to the end of the next item and returns how many bytes that took. Data that stands in
    /// front of it is appended to `data`, never more than there were bytes. Without an item all of
    /// `bytes` is taken.
    pub fn decode(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> (usize, Option<Item>) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.state == State::Data && !self.after_cr {
                let plain = self.plain_run(&bytes[at..]);
                data.extend_from_slice(&bytes[at..at + plain]);
                if plain > 0 {
                    at += plain;
                    continue;
                }
            }
            at += 1;
            if let Some(item) = self.take(byte, data) {
                return (at, Some(item));
            }
        }
        (at, None)
    }

    /// How many bytes stand in front of the first that means something.
    fn plain_run(&self, bytes: &[u8]) -> usize {
        let special = match self.mode {
            Mode::Nvt => memchr2(IAC, CR, bytes),
            Mode::Binary => memchr(IAC, bytes),
        };
        special.unwrap_or(bytes.len())
    }

    fn take(&mut self, byte: u8, data: &mut Vec<u8>) -> Option<Item> {
        match self.state {
            State::Data if byte == IAC => self.state = State::Iac,
            State::Data => self.take_data(byte, data),
            State::Iac => return self.take_behind_iac(byte, data),
            State::Verb(verb) => {
                self.state = State::Data;
                return Some(Item::Negotiate(verb, byte));
            }
            State::Parameters if byte == IAC => self.state = State::ParametersIac,
            State::Parameters => self.take_parameter(byte),
            State::ParametersIac if byte == IAC => {
                self.take_parameter(IAC);
                self.state = State::Parameters;
            }
            State::ParametersIac if byte == SE => {
                self.state = State::Data;
                return self.finish_parameters();
            }
            // An IAC that was not doubled, or an end that was left out: none can be told from the other.
            // What came so far is dropped, and the command is one.
            State::ParametersIac => {
                self.malformed += 1;
                return self.take_behind_iac(byte, data);
            }
        }
        None
    }

    fn take_behind_iac(&mut self, byte: u8, data: &mut Vec<u8>) -> Option<Item> {
        self.state = State::Data;
        match (byte, Verb::read(byte)) {
            (IAC, _) => self.take_data(IAC, data),
            (SB, _) => {
                self.parameters.clear();
                self.too_long = false;
                self.state = State::Parameters;
            }
            (SE, _) => self.malformed += 1, // of nothing
            (_, Some(verb)) => self.state = State::Verb(verb),
            (_, None) => return Some(Item::Command(Command(byte))),
        }
        None
    }

    /// A command between a CR and its NUL does not part them.
    fn take_data(&mut self, byte: u8, data: &mut Vec<u8>) {
        let belongs_to_cr = byte == NUL && self.after_cr;
        self.after_cr = byte == CR && self.mode == Mode::Nvt;
        if !belongs_to_cr {
            data.push(byte);
        }
    }

    fn take_parameter(&mut self, byte: u8) {
        if self.parameters.len() <= PARAMETERS_MAX {
            self.parameters.push(byte);
        } else {
            self.too_long = true;
        }
    }

    fn finish_parameters(&mut self) -> Option<Item> {
        match self.parameters.split_first() {
            Some((&option, parameters)) if !self.too_long => {
                Some(Item::Subnegotiation { option, parameters: parameters.to_vec() })
            }
            Some(_) | None => {
                self.malformed += 1;
                None
            }
        }
    }
}

/// The codes of options that are known here (RFC 855: IANA's list of TELNET options).
pub mod option {
    /// Eight bits, each as it is (RFC 856).
    pub const BINARY: u8 = 0;
    /// The sender echoes what it receives (RFC 857).
    pub const ECHO: u8 = 1;
    /// No go-aheads (RFC 858).
    pub const SGA: u8 = 3;
    /// What each side thinks was agreed (RFC 859).
    pub const STATUS: u8 = 5;
    /// A mark that comes back once all before it was processed (RFC 860).
    pub const TIMING_MARK: u8 = 6;
    /// The terminal's name (RFC 1091).
    pub const TERMINAL_TYPE: u8 = 24;
    /// The window's size (RFC 1073).
    pub const NAWS: u8 = 31;
    /// The terminal's bit rates (RFC 1079).
    pub const TERMINAL_SPEED: u8 = 32;
    /// Flow control by XON and XOFF (RFC 1372).
    pub const TOGGLE_FLOW_CONTROL: u8 = 33;
    /// Lines are edited by the client (RFC 1184).
    pub const LINEMODE: u8 = 34;
    /// The X display (RFC 1096).
    pub const XDISPLOC: u8 = 35;
    /// Variables, with codes that peers took in two ways (RFC 1408).
    pub const ENVIRON: u8 = 36;
    /// Variables (RFC 1572).
    pub const NEW_ENVIRON: u8 = 39;
    /// A serial port's settings and leads (RFC 2217).
    pub const COM_PORT: u8 = 44;
}

/// Interpret as command.
pub const IAC: u8 = 255;
/// Subnegotiation begins.
pub const SB: u8 = 250;
/// Subnegotiation ends.
pub const SE: u8 = 240;
const CR: u8 = b'\r';
const NUL: u8 = 0;
/// Parameters held of one subnegotiation, in bytes: a list of variables has some hundred.
pub const PARAMETERS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
