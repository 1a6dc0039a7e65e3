//! A telephone exchange for `iaxmodem`: as much of IAX2 (RFC 5456) as it takes to be called and to
//! put no call through.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The number is engaged.
    Busy,
    /// There is no free line to it.
    Congestion,
    /// The exchange does not take the call.
    Reject,
    /// It rings, and nobody comes.
    Ringing,
    /// The exchange itself says nothing.
    Silence,
}

/// What the modem did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It called this number.
    Called(String),
    /// It hung up.
    HungUp,
}

/// An exchange on a port of the loopback, closed when dropped.
pub struct Exchange {
    port: u16,
    answer: Arc<Mutex<Answer>>,
    events: Arc<Mutex<Vec<Event>>>,
    closing: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Exchange {
    pub fn open(answer: Answer) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LOOK_UP)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new(answer));
        let events = Arc::new(Mutex::new(Vec::new()));
        let closing = Arc::new(AtomicBool::new(false));
        let mut trunk = Trunk { socket, answer: answer.clone(), events: events.clone(), last_call: None };
        let closed = closing.clone();
        let thread = std::thread::spawn(move || {
            while !closed.load(Ordering::Relaxed) {
                trunk.serve_one();
            }
        });
        Self { port, answer, events, closing, thread: Some(thread) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What becomes of calls from now on.
    pub fn will(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Everything that the modem did, in order.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's side of it.
struct Trunk {
    socket: UdpSocket,
    answer: Arc<Mutex<Answer>>,
    events: Arc<Mutex<Vec<Event>>>,
    last_call: Option<u16>,
}

impl Trunk {
    fn serve_one(&mut self) {
        let mut datagram = [0; 2_048];
        let Ok((length, from)) = self.socket.recv_from(&mut datagram) else { return };
        let Some(frame) = Frame::parse(&datagram[..length]) else { return };
        let answer = *self.answer.lock().unwrap();
        match (frame.kind, frame.subclass) {
            (IAX, ACK) => {}
            (IAX, NEW) if answer == Answer::Silence || self.last_call == Some(frame.source) => {}
            (IAX, NEW) => {
                self.last_call = Some(frame.source);
                self.note(Event::Called(frame.called_number()));
                self.put_through(answer, &frame, from);
            }
            (IAX, HANGUP) => {
                self.acknowledge(&frame, from);
                self.note(Event::HungUp);
            }
            _ => self.acknowledge(&frame, from),
        }
    }

    fn put_through(&self, answer: Answer, new: &Frame<'_>, to: SocketAddr) {
        // Our frames are numbered from 0, and have the caller's first one behind them (§6.10).
        let send = |sequence: u8, kind, subclass, elements: &[u8]| {
            let frame = Frame { sequence, expected: 1, kind, subclass, elements, ..new.back() };
            self.socket.send_to(&frame.to_bytes(), to).unwrap();
        };
        let (kind, subclass) = match answer {
            Answer::Reject => return send(0, IAX, REJECT, &[]),
            Answer::Busy => (CONTROL, CONTROL_BUSY),
            Answer::Congestion => (CONTROL, CONTROL_CONGESTION),
            Answer::Ringing => (CONTROL, CONTROL_RINGING),
            Answer::Silence => return,
        };
        send(0, IAX, ACCEPT, &FORMAT_SLINEAR);
        send(1, kind, subclass, &[]);
    }

    fn acknowledge(&self, frame: &Frame<'_>, to: SocketAddr) {
        let (sequence, expected) = (frame.expected, frame.sequence.wrapping_add(1));
        let ack = Frame { sequence, expected, kind: IAX, subclass: ACK, elements: &[], ..frame.back() };
        let _ = self.socket.send_to(&ack.to_bytes(), to);
    }

    fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

/// A full frame (§8.1.1).
struct Frame<'a> {
    source: u16,
    destination: u16,
    timestamp: u32,
    sequence: u8,
    expected: u8,
    kind: u8,
    subclass: u8,
    elements: &'a [u8],
}

impl<'a> Frame<'a> {
    /// `None` for a mini frame, which carries sound.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, elements) = bytes.split_first_chunk::<12>()?;
        let [s0, s1, d0, d1, t0, t1, t2, t3, sequence, expected, kind, subclass] = *header;
        let source = u16::from_be_bytes([s0, s1]);
        (source & FULL_FRAME != 0).then_some(Self {
            source: source & !FULL_FRAME,
            destination: u16::from_be_bytes([d0, d1]) & !FULL_FRAME, // the bit says: sent again
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            sequence,
            expected,
            kind,
            subclass,
            elements,
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((self.source | FULL_FRAME).to_be_bytes());
        bytes.extend(self.destination.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend([self.sequence, self.expected, self.kind, self.subclass]);
        bytes.extend(self.elements);
        bytes
    }

    /// A frame of the same call in the other direction. Our number for the call is made of theirs.
    fn back(&self) -> Frame<'static> {
        Frame {
            source: self.source ^ OUR_CALLS,
            destination: self.source,
            timestamp: self.timestamp,
            sequence: 0,
            expected: 0,
            kind: 0,
            subclass: 0,
            elements: &[],
        }
    }

    /// The information element CALLED NUMBER (§8.6.1).
    fn called_number(&self) -> String {
        let mut rest = self.elements;
        while let [name, length, tail @ ..] = rest {
            let (data, after) = tail.split_at_checked(usize::from(*length)).unwrap_or((tail, &[]));
            if *name == CALLED_NUMBER {
                return String::from_utf8_lossy(data).into_owned();
            }
            rest = after;
        }
        String::new()
    }
}

const FULL_FRAME: u16 = 0x8000;
/// What our numbers of calls have that the modem's have not.
const OUR_CALLS: u16 = 0x4000;
/// How often the thread looks whether the exchange is closed.
const LOOK_UP: Duration = Duration::from_millis(50);

// Frame types (§8.2) and their subclasses (§8.3, §8.4).
const CONTROL: u8 = 0x04;
const CONTROL_RINGING: u8 = 0x03;
const CONTROL_BUSY: u8 = 0x05;
const CONTROL_CONGESTION: u8 = 0x08;
const IAX: u8 = 0x06;
const NEW: u8 = 0x01;
const ACK: u8 = 0x04;
const HANGUP: u8 = 0x05;
const REJECT: u8 = 0x06;
const ACCEPT: u8 = 0x07;

// Information elements (§8.6).
const CALLED_NUMBER: u8 = 0x01;
/// FORMAT: 16-bit linear sound, which is what the modem offers.
const FORMAT_SLINEAR: [u8; 6] = [0x09, 4, 0, 0, 0, 0x40];
