//! Answering in virtual time: a scripted modem that rings, and the simulated one.

use proptest::prelude::*;

use super::*;
use crate::machine::Control;
use crate::modem::ready::MODEM_SILENT_MAX;
use crate::modem::scripted::{Scripted, generic, ms};
use crate::sim::converse::{Conversation, Peer, PeerStep, converse, epoch};
use crate::sim::dce::{DceOptions, Incoming, Quirk, RingsWhen};
use crate::sim::dialled::DialledPeer;
use crate::sim::wire::LineQuality;

type Call = Conversation<AnswerEvent, Result<ConnectInfo, AnswerError>>;

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(1_000);
const AT_ONCE: Answering = Answering { wait: MINUTE, rings: 1, by_modem: false };

/// A scripted modem that says something by itself at times since the start.
struct Rung {
    modem: Scripted,
    says: VecDeque<(Duration, Vec<u8>)>,
}

impl Peer for Rung {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.modem.handle_input(now, bytes);
    }

    fn handle_control(&mut self, now: Instant, control: Control) {
        self.modem.handle_control(now, control);
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        if self.says.front().is_some_and(|&(at, _)| epoch() + at <= now) {
            let (_, bytes) = self.says.pop_front().expect("it was just seen");
            return PeerStep::Transmit(bytes);
        }
        let next = self.says.front().map(|&(at, _)| epoch() + at);
        match self.modem.poll(now) {
            PeerStep::Wait(at) => PeerStep::Wait([at, next].into_iter().flatten().min()),
            step => step,
        }
    }
}

/// A modem that answers ATA so, and says these things at these seconds.
fn rung(ata: &'static [u8], says: &[(u64, &str)]) -> Rung {
    let says = says.iter().map(|&(at, text)| (Duration::from_secs(at), text.as_bytes().to_vec())).collect();
    Rung { modem: Scripted { answers: vec![("A", ata)], ..Scripted::new() }, says }
}

fn answer(answering: Answering, peer: &mut dyn Peer) -> Call {
    let mut answer = Answer::new(generic(), &SetUp::default(), answering);
    converse(&mut answer, peer, LineQuality::PERFECT, 1, LONG)
}

fn error(call: &Call) -> AnswerError {
    match &call.outcome {
        Some(Err(error)) => error.clone(),
        other => panic!("answering ended as {other:?}, having sent {}", call.sent.escape_ascii()),
    }
}

fn text(call: &Call) -> &str {
    match &call.outcome {
        Some(Ok(info)) => &info.text,
        other => panic!("answering ended as {other:?}, having sent {}", call.sent.escape_ascii()),
    }
}

const RING: &str = "\r\nRING\r\n";

#[test]
fn a_call_is_answered_and_handed_over_with_what_the_host_said() {
    let mut modem = rung(b"\r\nCARRIER 31200\r\n\r\nCONNECT 57600\r\nlogin: ", &[(10, RING)]);
    let call = answer(AT_ONCE, &mut modem);
    assert_eq!(text(&call), "CONNECT 57600");
    assert_eq!(call.left, b"login: ");
    let Some(Ok(info)) = &call.outcome else { unreachable!("it was just looked at") };
    assert_eq!(info.rate, Some(31_200));
    assert!(modem.modem.commands.contains(&"S0=0".to_owned()), "{:?}", modem.modem.commands);
    assert_eq!(modem.modem.commands.last().map(String::as_str), Some("A"));
    let told = &call.events[call.events.len() - 3..];
    assert_eq!(told, [AnswerEvent::Waiting, AnswerEvent::Rings(1), AnswerEvent::Answers(Caller::default())]);
    assert!(call.elapsed < Duration::from_secs(11), "{:?}", call.elapsed);
}

#[test]
fn rings_are_counted_in_every_form_and_who_calls_is_told() {
    let id = "\r\nDATE = 1124\r\nTIME = 2055\r\nNMBR = 5551212\r\nNAME = STATION\r\n";
    let bellcore = Caller {
        number: Some("5551212".into()),
        name: Some("STATION".into()),
        date: Some("1124".into()),
        time: Some("2055".into()),
    };
    let gsm = Caller { number: Some("+4912345".into()), ..Caller::default() };
    let cases = [
        (false, [RING, id, RING], bellcore.clone()),
        (
            false,
            ["RING\r", "\nNMBR=5551212\r\n", "RING 2\r\n"],
            Caller { number: Some("5551212".into()), ..Caller::default() },
        ),
        (
            false,
            ["\r\n+CRING: REL ASYNC\r\n", "\r\n+CLIP: \"+4912345\",145\r\n", "\r\n+CRING: REL ASYNC\r\n"],
            gsm,
        ),
        (true, ["2\r", id, "2\r"], bellcore),
    ];
    for (numeric, [first, between, second], caller) in cases {
        let connect: &[u8] = if numeric { b"10\r" } else { b"\r\nCONNECT 2400\r\n" };
        let mut modem = rung(connect, &[(10, first), (12, between), (16, second)]);
        modem.modem.numeric = numeric;
        let call = answer(Answering { rings: 2, ..AT_ONCE }, &mut modem);
        text(&call);
        assert_eq!(call.events.last(), Some(&AnswerEvent::Answers(caller)), "{first:?}");
        assert!(call.elapsed >= Duration::from_secs(16), "{:?}", call.elapsed);
    }
}

#[test]
fn a_modem_that_answers_by_itself_is_told_when_and_told_to_stop_when_nobody_calls() {
    let by_modem = Answering { rings: 3, by_modem: true, ..AT_ONCE };
    let mut modem = rung(b"", &[(10, RING), (16, RING), (22, RING), (30, "\r\nCONNECT 2400\r\nlogin: ")]);
    let call = answer(by_modem, &mut modem);
    assert_eq!(text(&call), "CONNECT 2400");
    assert_eq!(call.left, b"login: ");
    assert_eq!(modem.modem.commands.last().map(String::as_str), Some("S0=3"), "no ATA");
    let mut modem = rung(b"", &[]);
    let call = answer(by_modem, &mut modem);
    assert_eq!(error(&call), AnswerError::NobodyCalled { wait: MINUTE });
    assert_eq!(modem.modem.commands.last().map(String::as_str), Some("H0S0=0"));
}

#[test]
fn nobody_calls_and_the_modem_is_left_on_hook_in_time() {
    let mut modem = rung(b"", &[]);
    let call = answer(AT_ONCE, &mut modem);
    assert_eq!(error(&call), AnswerError::NobodyCalled { wait: MINUTE });
    assert_eq!(modem.modem.commands.last().map(String::as_str), Some("H0"));
    assert!(call.elapsed > MINUTE && call.elapsed < MINUTE + Duration::from_secs(5), "{:?}", call.elapsed);
}

#[test]
fn a_caller_who_gives_up_is_missed_and_the_next_one_is_answered() {
    let three = Answering { rings: 3, ..AT_ONCE };
    let call = answer(three, &mut rung(b"", &[(10, RING), (16, RING)]));
    assert_eq!(error(&call), AnswerError::StoppedRinging);
    let again = [(10, RING), (16, RING), (40, RING), (46, RING), (52, RING)];
    let call = answer(three, &mut rung(b"\r\nCONNECT\r\n", &again));
    assert_eq!(text(&call), "CONNECT");
    let rings: Vec<_> =
        call.events.iter().filter(|event| matches!(event, AnswerEvent::Rings(_))).cloned().collect();
    assert_eq!(rings, [1, 2, 1, 2, 3].map(AnswerEvent::Rings));
}

#[test]
fn no_carrier_behind_an_answer_is_waited_out_while_there_is_time() {
    for refusal in ["NO CARRIER", "BUSY", "NO ANSWER", "VOICE", "FAX", "ERROR"] {
        let bytes: &'static [u8] = Box::leak(format!("\r\n{refusal}\r\n").into_bytes().into_boxed_slice());
        let mut modem = rung(bytes, &[(10, RING), (30, RING)]);
        let call = answer(AT_ONCE, &mut modem);
        match (refusal, error(&call)) {
            ("ERROR", AnswerError::Refused { command, .. }) => assert_eq!(command, "ATA"),
            (_, error) => assert_eq!(error, AnswerError::NoCarrier, "{refusal}"),
        }
        let said: Vec<_> = modem.modem.commands.iter().filter(|command| *command == "A").collect();
        assert_eq!(said.len(), 2, "both calls were answered: {:?}", modem.modem.commands);
        assert_eq!(modem.modem.commands.last().map(String::as_str), Some("H0"));
        assert!(call.elapsed > MINUTE, "{:?}", call.elapsed);
    }
    let mut modem = rung(b"\r\nERROR\r\n", &[(10, RING), (20, RING), (30, RING)]);
    let call = answer(AT_ONCE, &mut modem);
    assert!(matches!(error(&call), AnswerError::Refused { .. }));
    assert!(call.elapsed < MINUTE, "a profile that does not fit is not waited for: {:?}", call.elapsed);
}

#[test]
fn an_answer_that_leads_nowhere_is_broken_off() {
    let mut modem = rung(b"", &[(50, RING)]);
    let call = answer(AT_ONCE, &mut modem);
    assert_eq!(error(&call), AnswerError::NoCarrier);
    assert!(call.sent.ends_with(b"ATA\r\rATH0\rATH0\r"), "{}", call.sent.escape_ascii());
    let end = Duration::from_secs(50) + ANSWER_CARRIER_WAIT;
    assert!(call.elapsed > end && call.elapsed < end + Duration::from_secs(5), "{:?}", call.elapsed);
}

#[test]
fn a_deaf_modem_and_a_port_that_is_gone_end_it() {
    let call = answer(AT_ONCE, &mut Scripted { deaf: true, ..Scripted::new() });
    assert_eq!(error(&call), AnswerError::NotReady(ReadyError::Silent));
    assert!(call.elapsed < MODEM_SILENT_MAX, "{:?}", call.elapsed);
    let mut machine = waiting(AT_ONCE);
    machine.handle_hangup(epoch());
    assert!(matches!(drain(&mut machine, epoch()), Output::Done(Err(AnswerError::PortGone))));
}

#[test]
fn a_transcript_split_at_every_byte_is_answered_the_same() {
    let script = b"\r\nRING\r\n\r\nNMBR = 1\r\n\r\nRING\r\n";
    let end = b"\r\nCONNECT 2400\r\nlogin: ";
    for at in 0..=script.len() {
        let mut machine = waiting(Answering { rings: 2, ..AT_ONCE });
        let now = epoch();
        assert_eq!(offer(&mut machine, now, &script[..at]), b"");
        assert_eq!(offer(&mut machine, now, &script[at..]), b"");
        assert!(
            matches!(machine.state, State::Ringing { count: 2, answer_at: Some(_), .. }),
            "split at {at}"
        );
        assert_eq!(machine.caller.number.as_deref(), Some("1"));
    }
    for at in 0..=end.len() {
        let mut machine = waiting(AT_ONCE);
        machine.state = State::PickingUp { until: epoch() + MINUTE };
        let mut left = offer(&mut machine, epoch(), &end[..at]);
        left.extend_from_slice(&end[at..]);
        assert_eq!(offer(&mut machine, epoch(), &left), b"login: ", "split at {at}");
    }
}

#[test]
fn the_simulated_modem_is_answered_by_command_and_by_itself_with_each_quirk() {
    let quirks = [None, Some(Quirk::StuckEcho), Some(Quirk::Numeric), Some(Quirk::Glued)];
    for (quirk, by_modem) in quirks.into_iter().flat_map(|quirk| [(quirk, false), (quirk, true)]) {
        let incoming = Incoming {
            caller: vec!["NMBR = 5551212".into()],
            ..Incoming::new(RingsWhen::At(Duration::from_secs(20)))
        };
        let options = DceOptions {
            incoming: vec![incoming],
            quirks: quirk.into_iter().collect(),
            ..DceOptions::default()
        };
        let mut peer = DialledPeer::new(options, Box::new(|_| Box::new(Silent)));
        let call = answer(Answering { rings: 2, by_modem, ..AT_ONCE }, &mut peer);
        text(&call);
        let caller = Caller { number: Some("5551212".into()), ..Caller::default() };
        assert!(call.events.contains(&AnswerEvent::Answers(caller)), "{quirk:?}: {:?}", call.events);
        assert_eq!(call.elapsed.as_secs(), 28, "two rings and the carrier: {quirk:?}, {by_modem}");
    }
}

/// A host that says nothing.
struct Silent;

impl Peer for Silent {
    fn handle_input(&mut self, _now: Instant, _bytes: &[u8]) {}

    fn poll(&mut self, _now: Instant) -> PeerStep {
        PeerStep::Wait(None)
    }
}

/// A machine whose modem is ready.
fn waiting(answering: Answering) -> Answer {
    let mut machine = Answer::new(generic(), &SetUp::default(), answering);
    machine.wait(epoch());
    machine
}

/// Polls until the machine waits or is done.
fn drain(machine: &mut Answer, now: Instant) -> Output<AnswerEvent, Result<ConnectInfo, AnswerError>> {
    for _ in 0..1_000 {
        match machine.poll_output(now) {
            Output::Transmit(_) | Output::Control(_) | Output::Event(_) => {}
            end => return end,
        }
    }
    panic!("the machine never waits");
}

/// Offers bytes as a driver does and returns what is left.
fn offer(machine: &mut Answer, now: Instant, bytes: &[u8]) -> Vec<u8> {
    let taken = machine.handle_input(now, bytes);
    drain(machine, now);
    bytes[taken..].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_at_any_time_end_within_the_limit(
        by_modem in any::<bool>(),
        rings in 0u8..5,
        ready in any::<bool>(),
        chunks in proptest::collection::vec(
            (0u64..8_000, prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                proptest::sample::select(vec![&b"\r\nOK\r\n"[..], b"0\r", b"\r\nERROR\r\n", b"\r\nNO CARRIER\r\n",
                    b"CONNECT", b"\r", b"\n", b"2\r", b"\r\nRING\r\n", b"\r\nRING\r\nNMBR = 5\r\nRING\r\n"])
                    .prop_map(<[u8]>::to_vec),
            ]), 0..60),
    ) {
        let answering = Answering { wait: Duration::from_secs(20), rings, by_modem };
        let mut machine = if ready { waiting(answering) } else { Answer::new(generic(), &SetUp::default(), answering) };
        let mut now = epoch();
        let limit = now + ANSWER_OVERHEAD_MAX + answering.wait;
        let mut chunks = chunks.into_iter();
        let mut arrives = now;
        let mut next = chunks.next();
        let mut answered = 0;
        loop {
            let due = loop {
                match machine.poll_output(now) {
                    Output::Event(AnswerEvent::Answers(_)) => answered += 1,
                    Output::Transmit(_) | Output::Control(_) | Output::Event(_) => {}
                    Output::Wait(due) => break Some(due.expect("waiting always has a deadline")),
                    Output::Done(_) => break None,
                }
            };
            let Some(due) = due else { break };
            prop_assert!(now <= limit, "still going at {:?}", now - epoch());
            if let Some((after, bytes)) = next.take() {
                arrives += ms(after);
                now = now.max(arrives);
                let taken = machine.handle_input(now, &bytes);
                prop_assert!(taken <= bytes.len());
                next = chunks.next();
            } else {
                now = now.max(due);
                machine.handle_timeout(now);
            }
        }
        prop_assert!(answered < 60);
    }
}
