//! The line against servers of our own, in virtual time: obedient, half deaf, hostile, gone.
#![allow(clippy::disallowed_methods)] // virtual time is measured

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::codec::{ModemState, PortFlow, Side as Speaker, StopSize};
use super::*;
use crate::line::nvt::Verb;
use crate::line::{DataBits, Framing, Parity, StopBits};

const SETTINGS: RemoteSettings = RemoteSettings {
    speed: 57_600,
    flow: Flow::RtsCts,
    framing: Framing { data_bits: DataBits::Eight, parity: Parity::None, stop_bits: StopBits::One },
};

/// A server at the other end of a pipe: it writes down what it hears, and answers as it is told.
struct Server {
    stream: DuplexStream,
    decoder: Decoder,
    /// What came and was no data.
    heard: Vec<Item>,
    data: Vec<u8>,
    manner: Manner,
    speed: u32,
}

/// How a server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As pyserial's: each request has its answer.
    Obedient,
    /// As ser2net's on a PTY: what its device does not take has no answer, and no lead is ever on.
    HalfDeaf,
    /// It refuses all options.
    Refusing,
    /// It agrees to all options and answers no request.
    Mute,
    /// It says nothing of rates, as a port that has none.
    Rateless,
}

impl Server {
    fn new(manner: Manner) -> (DuplexStream, Self) {
        let (ours, theirs) = duplex(256 * 1024);
        let server = Self {
            stream: theirs,
            decoder: Decoder::default(),
            heard: Vec::new(),
            data: Vec::new(),
            manner,
            speed: 9_600,
        };
        (ours, server)
    }

    /// Reads what there is and answers it, until the client is silent for a second or has gone.
    async fn serve(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match timeout(Duration::from_secs(1), self.stream.read(&mut buffer)).await {
                Err(_elapsed) => return true,
                Ok(Ok(0) | Err(_)) => return false,
                Ok(Ok(count)) => self.take(&buffer[..count]).await,
            }
        }
    }

    async fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, item) = self.decoder.decode(bytes, &mut self.data);
            bytes = &bytes[taken..];
            if let Some(item) = item {
                self.react(&item).await;
                self.heard.push(item);
            }
        }
    }

    async fn react(&mut self, item: &Item) {
        match item {
            Item::Negotiate(verb @ (Verb::Will | Verb::Do), code) => {
                let verb = match (verb, self.manner) {
                    (Verb::Will, Manner::Refusing) => Verb::Dont,
                    (Verb::Will, _) => Verb::Do,
                    (_, Manner::Refusing) => Verb::Wont,
                    (_, _) => Verb::Will,
                };
                self.say(&Item::Negotiate(verb, *code)).await;
                if *code == option::BINARY && verb == Verb::Do {
                    self.decoder.set_mode(Mode::Binary);
                }
            }
            Item::Subnegotiation { option: option::COM_PORT, parameters } => {
                let (speaker, request) = ComPort::decode(parameters).expect("we write what can be read");
                assert_eq!(speaker, Speaker::Client);
                if let Some(answer) = self.answer_to(request) {
                    self.tell(&answer).await;
                }
            }
            Item::Negotiate(..) | Item::Command(_) | Item::Subnegotiation { .. } => {}
        }
    }

    fn answer_to(&mut self, request: ComPort) -> Option<ComPort> {
        match (request, self.manner) {
            (_, Manner::Mute | Manner::Refusing) => None,
            (ComPort::Signature(text), Manner::Obedient) if text.is_empty() => {
                Some(ComPort::Signature(b"a rack\x1b[2J".to_vec()))
            }
            (ComPort::Signature(_), _) => None,
            (ComPort::Baud(_), Manner::Rateless) => None,
            (ComPort::Baud(0), _) => Some(ComPort::Baud(self.speed)),
            (ComPort::Baud(1_200), Manner::HalfDeaf) => None,
            (ComPort::Baud(1_200), Manner::Obedient) => Some(ComPort::Baud(self.speed)),
            (ComPort::Baud(bits), _) => {
                self.speed = bits;
                Some(ComPort::Baud(bits))
            }
            (ComPort::Control(Control::Dtr(_)), Manner::HalfDeaf) => None,
            (ComPort::ModemStateMask(_) | ComPort::ModemState(_), Manner::HalfDeaf) => {
                Some(ComPort::ModemState(ModemState(0)))
            }
            (ComPort::ModemState(_), Manner::Obedient) => Some(ComPort::ModemState(ModemState(0x30))),
            (ComPort::DataSize(None), _) => Some(ComPort::DataSize(Some(DataBits::Eight))),
            (ComPort::Parity(None), _) => Some(ComPort::Parity(Some(Parity::None))),
            (ComPort::StopSize(None), _) => Some(ComPort::StopSize(Some(StopSize::One))),
            (ComPort::Control(Control::AskFlow), _) => {
                Some(ComPort::Control(Control::Flow(PortFlow::Hardware)))
            }
            (request, _) => Some(request),
        }
    }

    async fn say(&mut self, item: &Item) {
        let mut bytes = Vec::new();
        item.encode(&mut bytes);
        let _ = self.stream.write_all(&bytes).await; // the client may have gone
    }

    async fn tell(&mut self, said: &ComPort) {
        let parameters = said.encode(Speaker::Server);
        self.say(&Item::Subnegotiation { option: option::COM_PORT, parameters }).await;
    }

    /// The requests that came, in order.
    fn requests(&self) -> Vec<ComPort> {
        let requests = self.heard.iter().filter_map(|item| match item {
            Item::Subnegotiation { option: option::COM_PORT, parameters } => {
                ComPort::decode(parameters).ok().map(|(_, request)| request)
            }
            Item::Subnegotiation { .. } | Item::Negotiate(..) | Item::Command(_) => None,
        });
        requests.collect()
    }
}

/// A line opened at a server that behaves so.
async fn opened(manner: Manner) -> (Rfc2217Line<DuplexStream>, Server) {
    let (stream, mut server) = Server::new(manner);
    let (line, _) = tokio::join!(Rfc2217Line::open(stream, "rack:7001".to_owned(), SETTINGS), server.serve());
    (line.unwrap(), server)
}

async fn refused(manner: Manner, settings: RemoteSettings) -> OpenError {
    let (stream, mut server) = Server::new(manner);
    let (line, _) = tokio::join!(
        async {
            let line = Rfc2217Line::open(stream, "rack:7001".to_owned(), settings).await;
            line.map(|_| ()).unwrap_err()
        },
        async { while server.serve().await {} }
    );
    line
}

/// Takes in what the server has said by now.
async fn hear(line: &mut Rfc2217Line<DuplexStream>) {
    let mut buffer = [0; 64];
    let nothing = timeout(Duration::from_millis(10), line.read(&mut buffer)).await;
    assert!(nothing.is_err(), "the port has said nothing: {nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_port_is_set_up_read_back_and_left_with_dtr_low() {
    let (line, mut server) = opened(Manner::Obedient).await;
    let asked = server.requests();
    for request in [
        ComPort::Baud(57_600),
        ComPort::DataSize(Some(DataBits::Eight)),
        ComPort::Control(Control::Flow(PortFlow::Hardware)),
        ComPort::Control(Control::Dtr(true)),
        ComPort::ModemStateMask(0xff),
    ] {
        assert!(asked.contains(&request), "{request:?} in {asked:?}");
    }
    assert!(!asked.contains(&ComPort::Control(Control::Rts(true))), "flow control works RTS");
    assert!(line.leads_known() && line.warnings().is_empty() && line.eight_bit());
    assert_eq!(line.speed(), Some(57_600));
    server.heard.clear();
    drop(line);
    assert!(!server.serve().await);
    assert_eq!(server.requests(), [ComPort::Control(Control::Dtr(false)), ComPort::Purge(Purge::ToSend)]);
}

#[tokio::test(start_paused = true)]
async fn both_ends_say_what_they_are_and_we_only_once() {
    let (mut line, mut server) = opened(Manner::Obedient).await;
    assert_eq!(line.peer().as_deref(), Some("a rack\\x1b[2J"), "harmless to print");
    server.heard.clear();
    for _ in 0..100 {
        server.tell(&ComPort::Signature(Vec::new())).await;
    }
    hear(&mut line).await;
    server.serve().await;
    let told = concat!("mailcall ", env!("CARGO_PKG_VERSION")).as_bytes().to_vec();
    assert_eq!(server.requests(), [ComPort::Signature(told)]);
    assert_eq!(opened(Manner::HalfDeaf).await.0.peer(), None);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_leads_is_used_without_them() {
    let before = Instant::now();
    let (mut line, _server) = opened(Manner::HalfDeaf).await;
    assert!(before.elapsed() <= Duration::from_secs(1), "what is not answered is not waited for");
    assert!(!line.leads_known());
    assert_eq!((line.leads().unwrap(), line.carrier().unwrap()), (None, None));
    assert!(!line.set_dtr(false).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_know_the_option_is_told_apart_from_one_that_is_no_telnet() {
    for manner in [Manner::Refusing, Manner::Mute] {
        let error = refused(manner, SETTINGS).await;
        match manner {
            Manner::Refusing => {
                assert!(error.to_string().contains("TELNET but not RFC 2217"), "{error}");
                assert!(error.to_string().contains("kind = \"tcp\" or \"telnet\""), "{error}");
            }
            Manner::Mute | Manner::Obedient | Manner::HalfDeaf | Manner::Rateless => {
                assert!(matches!(error, OpenError::NoAnswer { .. }), "{error}");
            }
        }
    }
    let (stream, mut login) = duplex(1024);
    login.write_all(b"Debian GNU/Linux\r\nhost login: ").await.unwrap();
    let error = Rfc2217Line::open(stream, "host:23".to_owned(), SETTINGS).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::NotTelnet { .. }), "{error}");
    // Of one that says nothing, nobody knows what it speaks.
    let (stream, _silent) = duplex(1024);
    let error = Rfc2217Line::open(stream, "host:23".to_owned(), SETTINGS).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Silent { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_the_port_does_not_take_is_told_with_the_one_it_has() {
    // One answers with the rate it keeps, the other not at all: then the question at the end tells.
    for manner in [Manner::Obedient, Manner::HalfDeaf] {
        let error = refused(manner, RemoteSettings { speed: 1_200, ..SETTINGS }).await;
        assert_eq!(
            error.to_string(),
            "rack:7001 does not take 1200 bit/s: its port has 9600; try another speed"
        );
    }
    let seven = Framing { data_bits: DataBits::Seven, parity: Parity::Even, stop_bits: StopBits::One };
    let error = refused(Manner::Obedient, RemoteSettings { framing: seven, ..SETTINGS }).await;
    assert_eq!(error.to_string(), "rack:7001 does not take 7E1: its port has 8N1");
}

#[tokio::test(start_paused = true)]
async fn a_port_in_use_is_told_in_the_servers_words() {
    for (said, words) in [
        (&b"\xff\xfb\x03\xff\xfd\x2cPort already in use\r\n"[..], "Port already in use"),
        (b"Port's device already in use\r\n", "Port's device already in use"),
        (b"\r\n\r\nAll ports BUSY\r\nsorry\r\n", "All ports BUSY sorry"),
    ] {
        let error = hung_up_on(said).await;
        let OpenError::Busy { said, .. } = error else { panic!("{error}") };
        assert_eq!(said, words);
    }
    let error = hung_up_on(b"Access denied\r\n").await;
    assert_eq!(error.to_string(), "rack:7001 closed the connection: it says \"Access denied\"");
    let error = hung_up_on(b"").await;
    assert!(error.to_string().contains("is the port in use?"), "{error}");
}

/// What becomes of a server that says this and hangs up.
async fn hung_up_on(said: &[u8]) -> OpenError {
    let (stream, mut server) = duplex(1024);
    server.write_all(said).await.unwrap();
    drop(server);
    Rfc2217Line::open(stream, "rack:7001".to_owned(), SETTINGS).await.map(|_| ()).unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn requests_go_between_the_data_in_order() {
    let (mut line, mut server) = opened(Manner::Obedient).await;
    server.heard.clear();
    line.write_all(b"AT\xff\r").await.unwrap();
    assert!(line.set_speed(9_600).unwrap());
    line.write_all(b"\xff\xff").await.unwrap();
    assert_eq!(line.speed(), Some(9_600));
    let mut wire = vec![0; 1024];
    let count = server.stream.read(&mut wire).await.unwrap();
    let expected: &[u8] = &[
        &b"AT\xff\xff\r"[..],
        &[255, 250, 44, 1, 0, 0, 0x25, 0x80, 255, 240],
        &[255, 250, 44, 1, 0, 0, 0, 0, 255, 240],
        b"\xff\xff\xff\xff",
    ]
    .concat();
    assert_eq!(&wire[..count], expected);
    assert_eq!(line.set_speed(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_refused_in_mid_life_is_the_servers_again() {
    let (mut line, mut server) = opened(Manner::HalfDeaf).await;
    assert!(line.set_speed(1_200).unwrap());
    assert_eq!(line.speed(), Some(1_200), "until the server says otherwise");
    server.serve().await;
    hear(&mut line).await;
    assert_eq!(line.speed(), Some(57_600));
    // A rate that its chip makes 19231 of is the one that was asked for.
    line.set_speed(19_200).unwrap();
    server.serve().await;
    server.tell(&ComPort::Baud(19_231)).await;
    hear(&mut line).await;
    assert_eq!(line.speed(), Some(19_200));
}

#[tokio::test(start_paused = true)]
async fn a_lost_carrier_shows_at_once_and_even_if_it_comes_back() {
    let (mut line, mut server) = opened(Manner::Obedient).await;
    let state = |bits| ComPort::ModemState(ModemState(bits));
    assert_eq!(line.carrier().unwrap(), Some(false));
    server.tell(&state(0xb8)).await;
    hear(&mut line).await;
    assert_eq!(line.carrier().unwrap(), Some(true));
    let leads = line.leads().unwrap().unwrap();
    assert_eq!(leads, Leads { dtr: true, rts: true, cts: true, dsr: true, dcd: true, ri: false });
    server.tell(&state(0x38)).await;
    server.tell(&state(0xb8)).await;
    hear(&mut line).await;
    assert_eq!(line.carrier().unwrap(), Some(false), "it was off for a moment");
    assert_eq!(line.carrier().unwrap(), Some(true));
    server.tell(&state(0x38)).await;
    hear(&mut line).await;
    assert_eq!((line.carrier().unwrap(), line.carrier().unwrap()), (Some(false), Some(false)));
    server.say(&Item::Negotiate(Verb::Dont, option::COM_PORT)).await;
    hear(&mut line).await;
    assert_eq!(line.leads().unwrap(), None, "nobody tells any more");
}

#[tokio::test(start_paused = true)]
async fn dtr_and_break_are_worked_at_once_and_a_modem_that_holds_cts_gets_no_break() {
    let (mut line, mut server) = opened(Manner::Obedient).await;
    server.heard.clear();
    assert!(line.set_dtr(false).unwrap());
    assert!(line.set_break(true).unwrap() && line.set_break(false).unwrap());
    server.serve().await; // though the line was not polled
    assert_eq!(
        server.requests(),
        [
            ComPort::Control(Control::Dtr(false)),
            ComPort::Purge(Purge::ToSend),
            ComPort::Control(Control::Break(true)),
            ComPort::Control(Control::Break(false)),
        ]
    );
    assert_eq!(line.leads().unwrap().map(|leads| leads.dtr), Some(false));
    server.tell(&ComPort::ModemState(ModemState(0x21))).await;
    hear(&mut line).await;
    assert!(!line.set_break(true).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_suspended_line_takes_no_data_and_all_commands_until_it_is_resumed() {
    let (mut line, mut server) = opened(Manner::Obedient).await;
    server.tell(&ComPort::Suspend).await;
    hear(&mut line).await;
    server.heard.clear();
    let held = timeout(Duration::from_secs(5), line.write_all(b"mail")).await;
    assert!(held.is_err());
    line.set_dtr(false).unwrap();
    server.serve().await;
    assert_eq!(server.requests(), [ComPort::Control(Control::Dtr(false))]);
    assert!(server.data.is_empty());
    server.tell(&ComPort::Resume).await;
    // Reader and writer are one task, as in a session.
    let mut buffer = [0; 16];
    let (mut reader, mut writer) = tokio::io::split(line);
    let wrote = timeout(Duration::from_secs(5), async {
        tokio::select! {
            wrote = writer.write_all(b"mail") => wrote,
            read = reader.read(&mut buffer) => panic!("{read:?}"),
        }
    });
    wrote.await.unwrap().unwrap();
    server.serve().await;
    assert_eq!(server.data, b"mail");
}

#[tokio::test(start_paused = true)]
async fn data_that_has_not_left_is_thrown_away_and_requests_are_not() {
    let (mut line, mut server) = opened(Manner::Obedient).await;
    // The pipe holds 256 KiB; then what is written stays here.
    let filled = timeout(Duration::from_secs(1), line.write_all(&vec![b'x'; 400 * 1024])).await;
    assert!(filled.is_err());
    line.discard_output().unwrap();
    server.heard.clear();
    let (_, went) = tokio::join!(async { hear(&mut line).await }, server.serve());
    assert!(went);
    hear(&mut line).await;
    server.serve().await;
    assert!(server.data.len() <= 260 * 1024, "{}", server.data.len());
    assert_eq!(server.requests(), [ComPort::Purge(Purge::ToSend)]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_and_one_that_stays_silent_is_gone() {
    let (mut line, mut server) = opened(Manner::Obedient).await;
    server.heard.clear();
    let mut buffer = [0; 16];
    // It answers: the line stays for as long as it does.
    let serving = async {
        loop {
            server.serve().await;
        }
    };
    let read = tokio::select! {
        read = timeout(Duration::from_secs(300), line.read(&mut buffer)) => read,
        () = serving => unreachable!("it serves for ever"),
    };
    assert!(read.is_err(), "{read:?}");
    let asked = server.requests();
    assert!(asked.len() >= 10 && asked.iter().all(|request| *request == ComPort::Baud(0)), "{asked:?}");
    // Now nobody is there.
    let before = Instant::now();
    let read = timeout(Duration::from_secs(300), line.read(&mut buffer)).await;
    assert_eq!(read.unwrap().unwrap(), 0);
    assert!(before.elapsed() <= SILENT_ASK + SILENT_MAX + Duration::from_secs(1));
    assert!(line.why_ended().unwrap().contains("does not answer"));
    assert_eq!(line.read(&mut buffer).await.unwrap(), 0, "and it stays so");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_ends_the_line_behind_its_last_words() {
    let (mut line, mut server) = opened(Manner::Obedient).await;
    server.stream.write_all(b"\r\nNO CARRIER\r\n").await.unwrap();
    drop(server);
    let mut all = Vec::new();
    line.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"\r\nNO CARRIER\r\n");
    assert_eq!(line.why_ended().as_deref(), Some("the server closed the connection"));
    assert!(line.write_all(b"x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn opening_ends_in_time_though_the_server_sends_and_sends() {
    let host = tokio::io::join(tokio::io::repeat(b'y'), tokio::io::sink());
    let opening = tokio::spawn(Rfc2217Line::open(host, "rack:19".to_owned(), SETTINGS));
    for _ in 0..NEGOTIATION_WAIT.as_secs() + 5 {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(opening.is_finished(), "it reads and reads");
    let error = opening.await.unwrap().map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::NotTelnet { .. }), "{error}");
}

/// As somebody before a screen who reads for an hour: silence proves nothing where no answer was due.
#[tokio::test(start_paused = true)]
async fn a_silent_server_is_not_gone_if_it_never_answers_or_cannot_be_asked() {
    let (mut rateless, mut server) = opened(Manner::Rateless).await;
    let hour = async |line: &mut Rfc2217Line<DuplexStream>, server: &mut Server| {
        let mut buffer = [0; 16];
        let serving = async {
            loop {
                server.serve().await;
            }
        };
        let read = tokio::select! {
            read = timeout(Duration::from_secs(3600), line.read(&mut buffer)) => read,
            () = serving => unreachable!("it serves for ever"),
        };
        assert!(read.is_err(), "{:?}", line.why_ended());
    };
    hour(&mut rateless, &mut server).await;
    let (mut ended, mut server) = opened(Manner::Obedient).await;
    server.say(&Item::Negotiate(Verb::Dont, option::COM_PORT)).await;
    hour(&mut ended, &mut server).await;
}

#[tokio::test(start_paused = true)]
async fn negotiation_with_a_server_that_toggles_for_ever_ends() {
    let (mut line, mut server) = opened(Manner::Obedient).await;
    let mut said = 0;
    for round in 0..400_u32 {
        for code in [option::BINARY, option::SGA, option::ECHO, option::COM_PORT, 200] {
            for verb in [Verb::Dont, Verb::Wont, Verb::Do, Verb::Will] {
                server.say(&Item::Negotiate(verb, code)).await;
            }
        }
        hear(&mut line).await;
        server.heard.clear();
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(Ok(count)) = timeout(Duration::from_millis(1), server.stream.read(&mut buffer)).await {
            said = if count > 0 { round } else { break };
        }
    }
    assert!(said < 100, "it still answers in round {said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a server sends and however it is cut: nothing panics, nothing is sent but answers to
    /// negotiations, and data is what the codec makes of it.
    #[test]
    fn any_bytes_of_a_server_are_borne(
        pieces in prop::collection::vec(piece(), 0..40),
        cut in 1_usize..50,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (mut line, mut server) = opened(Manner::Obedient).await;
            let bytes = pieces.concat();
            for part in bytes.chunks(cut) {
                server.stream.write_all(part).await.unwrap();
                let mut buffer = [0; 64];
                let _ = timeout(Duration::from_millis(1), line.read(&mut buffer)).await;
                let _ = (line.leads(), line.carrier(), line.speed(), line.leads_known());
            }
            server.stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            timeout(Duration::from_secs(1), line.read_to_end(&mut rest)).await.unwrap().unwrap();
            drop(line);
            let mut answers = Vec::new();
            server.stream.read_to_end(&mut answers).await.unwrap();
            prop_assert!(answers.len() < 64 * 1024);
            Ok(())
        })?;
    }
}

/// Bytes as a server might send them, and others.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        (100_u8..114, prop::collection::vec(any::<u8>(), 0..6)).prop_map(|(code, value)| {
            let parameters = [&[code][..], &value].concat();
            let mut bytes = Vec::new();
            Item::Subnegotiation { option: option::COM_PORT, parameters }.encode(&mut bytes);
            bytes
        }),
        (251_u8..=254, any::<u8>()).prop_map(|(verb, code)| vec![255, verb, code]),
        Just(vec![255, 250, 44]),
        Just(vec![255, 240]),
        Just(vec![255]),
    ]
}
