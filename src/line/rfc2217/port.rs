//! What is known of a port that another machine has: what was asked of it, and what its server says.
//!
//! Pure: it takes the server's commands and answers questions. A server may leave a request without an
//! answer (ser2net does, of what its device does not take), so each setting is also asked for at the
//! end, and that answer counts.

use super::codec::{ComPort, Control, ModemState, PortFlow, StopSize};
use crate::line::serial::{Flow, is_near};
use crate::line::{DataBits, Framing, Leads, Parity, StopBits};

/// How the port is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteSettings {
    /// Bits a second between the port and its modem.
    pub speed: u32,
    /// Who tells whom to stop sending there, and how.
    pub flow: Flow,
    /// Data bits, parity, stop bits.
    pub framing: Framing,
}

/// The port, as far as its server has told.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) wanted: RemoteSettings,
    /// Anything at all was said about the port.
    answered: bool,
    speed: Option<u32>,
    /// It has told its rate once, so that it can be asked for it.
    rate_told: bool,
    data_bits: Option<DataBits>,
    parity: Option<Parity>,
    stop_size: Option<StopSize>,
    flow: Option<PortFlow>,
    /// The server works DTR: it has said so.
    dtr_works: bool,
    /// As we set them.
    dtr: bool,
    rts: bool,
    modem: Option<ModemState>,
    /// One of the modem's leads was on once. Servers without leads tell that all are off.
    lead_seen: bool,
    /// DCD has gone off since [`Port::take_carrier`] was last asked, if only for a moment.
    carrier_fell: bool,
    /// What the server says it is.
    signature: Option<Vec<u8>>,
    /// The server wants to know what we are.
    asked_who: bool,
    /// The server wants no data for now.
    pub(super) suspended: bool,
    reading_back: ReadingBack,
}

/// How far the answers to [`Port::requests`] have come, which come in the order of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadingBack {
    /// Those to what was set.
    Sets,
    /// One about the framing has come: the next rate is the one that was asked for.
    Framed,
    /// Those to what was asked.
    Asked,
    /// The last one.
    Done,
}

/// A setting that the port does not have as it was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    Speed(u32),
    Framing(String),
}

impl Port {
    pub(super) fn new(wanted: RemoteSettings) -> Self {
        Self {
            wanted,
            answered: false,
            speed: None,
            rate_told: false,
            data_bits: None,
            parity: None,
            stop_size: None,
            flow: None,
            dtr_works: false,
            dtr: false,
            rts: false,
            modem: None,
            lead_seen: false,
            carrier_fell: false,
            signature: None,
            asked_who: false,
            suspended: false,
            reading_back: ReadingBack::Sets,
        }
    }

    /// What the server is told and asked at first.
    pub(super) fn requests(&mut self) -> Vec<ComPort> {
        let RemoteSettings { speed, flow, framing } = self.wanted;
        (self.dtr, self.rts) = (true, true);
        let mut requests = vec![
            ComPort::Signature(Vec::new()),
            ComPort::ModemStateMask(u8::MAX),
            ComPort::Baud(speed),
            ComPort::DataSize(Some(framing.data_bits)),
            ComPort::Parity(Some(framing.parity)),
            ComPort::StopSize(Some(stop_size(framing.stop_bits))),
            ComPort::Control(Control::Flow(port_flow(flow))),
            ComPort::Control(Control::Dtr(true)),
        ];
        if flow != Flow::RtsCts {
            requests.push(ComPort::Control(Control::Rts(true))); // else flow control works it
        }
        requests.extend([
            // Of a client, pyserial's server takes it for a question, and others for nothing.
            ComPort::ModemState(ModemState(0)),
            ComPort::Baud(0),
            ComPort::DataSize(None),
            ComPort::Parity(None),
            ComPort::StopSize(None),
            ComPort::Control(Control::AskFlow),
        ]);
        requests
    }

    /// Takes what the server says.
    pub(super) fn hear(&mut self, said: &ComPort) {
        match said {
            ComPort::Baud(speed) if *speed > 0 => {
                self.speed = Some(*speed);
                self.rate_told = true;
                if self.reading_back == ReadingBack::Framed {
                    self.reading_back = ReadingBack::Asked;
                }
            }
            ComPort::DataSize(Some(bits)) => {
                self.data_bits = Some(*bits);
                self.framed();
            }
            ComPort::Parity(Some(parity)) => {
                self.parity = Some(*parity);
                self.framed();
            }
            ComPort::StopSize(Some(size)) => {
                self.stop_size = Some(*size);
                self.framed();
            }
            ComPort::Control(control) => self.hear_control(*control),
            ComPort::ModemState(state) => return self.hear_modem(*state),
            ComPort::Suspend => self.suspended = true,
            ComPort::Resume => self.suspended = false,
            // Without text it is a question (RFC 2217, section 3).
            ComPort::Signature(text) if text.is_empty() => self.asked_who = true,
            ComPort::Signature(text) => {
                self.signature = Some(text[..text.len().min(SIGNATURE_SHOWN_MAX)].to_vec());
            }
            // Nothing that a call needs; an answer all the same.
            ComPort::Baud(_)
            | ComPort::DataSize(None)
            | ComPort::Parity(None)
            | ComPort::StopSize(None)
            | ComPort::LineState(_)
            | ComPort::LineStateMask(_)
            | ComPort::ModemStateMask(_)
            | ComPort::Purge(_) => {}
        }
        self.answered = true;
    }

    /// What the server says it is, if it does, harmless to print.
    pub(super) fn signature(&self) -> Option<String> {
        self.signature.as_ref().map(|text| text.escape_ascii().to_string())
    }

    /// Our own signature, once, if the server has asked for it.
    pub(super) fn take_introduction(&mut self) -> Option<ComPort> {
        std::mem::take(&mut self.asked_who).then(|| ComPort::Signature(OUR_SIGNATURE.to_vec()))
    }

    fn framed(&mut self) {
        if self.reading_back == ReadingBack::Sets {
            self.reading_back = ReadingBack::Framed;
        }
    }

    fn hear_control(&mut self, control: Control) {
        match control {
            Control::Flow(flow) => {
                self.flow = Some(flow);
                if self.reading_back == ReadingBack::Asked {
                    self.reading_back = ReadingBack::Done;
                }
            }
            Control::Dtr(_) => self.dtr_works = true,
            // ser2net repeats a question to which it knows no answer.
            Control::AskFlow
            | Control::AskBreak
            | Control::AskDtr
            | Control::AskRts
            | Control::AskInboundFlow
            | Control::Break(_)
            | Control::Rts(_)
            | Control::InboundFlow(_)
            | Control::DcdFlow
            | Control::DtrFlow
            | Control::DsrFlow => {}
        }
    }

    fn hear_modem(&mut self, state: ModemState) {
        if self.modem.is_some_and(ModemState::dcd) && (!state.dcd() || state.dcd_changed()) {
            self.carrier_fell = true;
        }
        self.lead_seen |= state.any_on();
        self.modem = Some(state);
    }

    /// All that was asked at first has been answered, or will never be.
    pub(super) fn is_read_back(&self) -> bool {
        self.reading_back == ReadingBack::Done
    }

    /// The server has answered something; what it tells of the modem unasked does not count.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Whether the server answers where it is asked for the rate.
    pub(super) fn tells_rate(&self) -> bool {
        self.rate_told
    }

    /// Whether the port is as it was wanted, as far as its server says; else what it is.
    pub(super) fn as_wanted(&self) -> Result<(), Refused> {
        let wanted = self.wanted.framing;
        if let Some(speed) = self.speed.filter(|&speed| !is_near(speed, self.wanted.speed)) {
            return Err(Refused::Speed(speed));
        }
        let differs = self.data_bits.is_some_and(|bits| bits != wanted.data_bits)
            || self.parity.is_some_and(|parity| parity != wanted.parity)
            || self.stop_size.is_some_and(|size| size != stop_size(wanted.stop_bits));
        if differs { Err(Refused::Framing(self.framing_said())) } else { Ok(()) }
    }

    /// `8N1`, with the wanted ones for what was not told.
    fn framing_said(&self) -> String {
        let wanted = self.wanted.framing;
        let framing = |stop_bits| Framing {
            data_bits: self.data_bits.unwrap_or(wanted.data_bits),
            parity: self.parity.unwrap_or(wanted.parity),
            stop_bits,
        };
        match self.stop_size {
            Some(StopSize::OneAndHalf) => format!("{}.5", framing(StopBits::One)),
            Some(StopSize::One) => framing(StopBits::One).to_string(),
            Some(StopSize::Two) => framing(StopBits::Two).to_string(),
            None => framing(wanted.stop_bits).to_string(),
        }
    }

    /// What the user should know of a port that is as wanted otherwise.
    pub(super) fn warnings(&self, name: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.speed.is_none() {
            let asked = self.wanted.speed;
            warnings.push(format!("{name} does not say whether its port takes {asked} bit/s"));
        }
        let framing_told = self.data_bits.is_some() && self.parity.is_some() && self.stop_size.is_some();
        if !framing_told && self.wanted.framing != Framing::default() {
            let asked = self.wanted.framing;
            warnings.push(format!("{name} does not say whether its port takes {asked}"));
        }
        let flow = port_flow(self.wanted.flow);
        match self.wanted.flow {
            Flow::RtsCts if self.flow != Some(flow) => {
                warnings.push(format!("{name} has no RTS/CTS flow control: bytes may be lost"));
            }
            Flow::XonXoff if self.flow != Some(flow) => {
                warnings.push(format!("{name} has no XON/XOFF flow control: bytes may be lost"));
            }
            Flow::RtsCts | Flow::XonXoff | Flow::None => {}
        }
        warnings
    }

    /// The port's rate: as wanted, if the server makes about that of it.
    pub(super) fn speed(&self) -> u32 {
        let wanted = self.wanted.speed;
        self.speed.filter(|&speed| !is_near(speed, wanted)).unwrap_or(wanted)
    }

    /// Another rate is wanted; until the server says otherwise, the port has it.
    pub(super) fn want_speed(&mut self, bits: u32) -> [ComPort; 2] {
        self.wanted.speed = bits;
        self.speed = None;
        [ComPort::Baud(bits), ComPort::Baud(0)]
    }

    pub(super) fn want_dtr(&mut self, on: bool) -> ComPort {
        self.dtr = on;
        ComPort::Control(Control::Dtr(on))
    }

    /// Whether the server works DTR, so that the modem can be hung up by it.
    pub(super) fn dtr_works(&self) -> bool {
        self.dtr_works || self.lead_seen
    }

    /// The modem's leads, once the server has told them and has any to tell.
    pub(super) fn leads(&self) -> Option<Leads> {
        let state = self.modem.filter(|_| self.dtr_works())?;
        Some(Leads {
            dtr: self.dtr,
            rts: self.rts,
            cts: state.cts(),
            dsr: state.dsr(),
            dcd: state.dcd(),
            ri: state.ri(),
        })
    }

    /// DCD, and off once if it was off for a moment since this was asked last.
    pub(super) fn take_carrier(&mut self) -> Option<bool> {
        let fell = std::mem::take(&mut self.carrier_fell);
        self.leads().map(|leads| leads.dcd && !fell)
    }

    /// The server has ended COM-PORT-OPTION: what it said last does not stay true.
    pub(super) fn forget(&mut self) {
        self.modem = None;
        self.lead_seen = false;
        self.dtr_works = false;
        self.suspended = false;
    }
}

fn port_flow(flow: Flow) -> PortFlow {
    match flow {
        Flow::RtsCts => PortFlow::Hardware,
        Flow::XonXoff => PortFlow::XonXoff,
        Flow::None => PortFlow::None,
    }
}

fn stop_size(stop_bits: StopBits) -> StopSize {
    match stop_bits {
        StopBits::One => StopSize::One,
        StopBits::Two => StopSize::Two,
    }
}

/// What we say we are.
const OUR_SIGNATURE: &[u8] = concat!("mailcall ", env!("CARGO_PKG_VERSION")).as_bytes();
/// Bytes of a server's signature that are shown.
const SIGNATURE_SHOWN_MAX: usize = 80;
