//! What modems say, line by line: words, numbers, what is glued together, and any bytes.

use super::*;
use proptest::prelude::*;

fn hear_all(reader: &mut Reader, mut bytes: &[u8]) -> Vec<Heard> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (taken, heard) = reader.hear(bytes);
        assert!(taken > 0);
        bytes = &bytes[taken..];
        all.extend(heard);
    }
    all
}

fn responses(bytes: &[u8]) -> Vec<Response> {
    hear_all(&mut Reader::default(), bytes).into_iter().map(|heard| heard.response).collect()
}

fn one(line: &str) -> Response {
    let verbose = responses(format!("\r\n{line}\r\n").as_bytes());
    assert_eq!(verbose.len(), 1, "{line}");
    verbose[0].clone()
}

#[test]
fn every_result_in_words_is_told_apart_in_any_case() {
    let table = [
        ("OK", Response::Ok),
        ("RING", Response::Ring),
        ("+CRING: ASYNC", Response::Ring),
        ("NO CARRIER", Response::Failed(CallFailure::NoCarrier)),
        ("ERROR", Response::Error),
        ("+CME ERROR: 10", Response::Error),
        ("+CME ERROR: SIM not inserted", Response::Error),
        ("NO DIALTONE", Response::Failed(CallFailure::NoDialtone)),
        ("NO DIAL TONE", Response::Failed(CallFailure::NoDialtone)),
        ("NO PROMPTTONE", Response::Failed(CallFailure::NoDialtone)),
        ("NO MSN/EAZ", Response::Error),
        ("BUSY", Response::Failed(CallFailure::Busy)),
        ("NO ANSWER", Response::Failed(CallFailure::NoAnswer)),
        ("VOICE", Response::Failed(CallFailure::Voice)),
        ("FAX", Response::Failed(CallFailure::Fax)),
        ("BLACKLISTED", Response::Failed(CallFailure::Blacklisted)),
        ("BLACKLISTED 02:00:00", Response::Failed(CallFailure::Blacklisted)),
        ("DELAYED", Response::Failed(CallFailure::Delayed(None))),
        ("DELAYED 01:01:30", Response::Failed(CallFailure::Delayed(Some(Duration::from_secs(3_690))))),
        ("DELAYED soon", Response::Text),
        ("RINGING", Response::Ringing),
        ("RRING", Response::Ringing),
        ("NMBR = 5551212", Response::CallerId),
        ("DATE=0412", Response::CallerId),
        ("CARRIER 31200", Response::Report(Report::Carrier { up: None, down: 31_200 })),
        ("CARRIER 1200/75", Response::Report(Report::Carrier { up: Some(75), down: 1_200 })),
        ("+MRR: 28800, 48000", Response::Report(Report::Carrier { up: Some(28_800), down: 48_000 })),
        ("+MRR: 33600", Response::Report(Report::Carrier { up: None, down: 33_600 })),
        ("+ILRR: 57600", Response::Report(Report::Port(57_600))),
        ("+CR: REL ASYNC", Response::Report(Report::Protocol(Some("RLP".into())))),
        ("+CR: ASYNC", Response::Report(Report::Protocol(None))),
        ("CALL REJECTED", Response::Failed(CallFailure::Rejected)),
        ("NO SERVICE", Response::Failed(CallFailure::NoService)),
        ("PROTOCOL: LAP-M", Response::Report(Report::Protocol(Some("LAPM".into())))),
        ("PROTOCOL: ERROR-CONTROL/LAP-M", Response::Report(Report::Protocol(Some("LAPM".into())))),
        ("PROTOCOL: NONE", Response::Report(Report::Protocol(None))),
        ("+ER: LAPM", Response::Report(Report::Protocol(Some("LAPM".into())))),
        ("COMPRESSION: V.42BIS", Response::Report(Report::Compression(Some("V42BIS".into())))),
        ("+DR: NONE", Response::Report(Report::Compression(None))),
        ("+MCR: V34", Response::Report(Report::Modulation("V34".into()))),
        ("ATDT5551212", Response::Echo),
        ("login: ", Response::Text),
    ];
    for (line, response) in table {
        assert_eq!(one(line), response, "{line}");
        assert_eq!(one(&line.to_lowercase()), response, "{line}");
    }
}

#[test]
fn words_that_only_begin_like_a_result_are_text() {
    for line in ["OKAY", "OK then", "CONNECTING", "CONNECTED", "BUSY as a bee", "NO CARRIERS", "RINGWORLD"] {
        assert_eq!(one(line), Response::Text, "{line}");
    }
}

#[test]
fn a_makers_own_numbers_are_read_by_his_list() {
    let own = [
        ("13", "CONNECT 9600/ARQ"),
        ("34", "FAX"),
        ("CONNECT FAST", "CONNECT/PEP"),
        ("PAS DE TONALITE", "NO DIALTONE"),
    ];
    let codes = own.map(|(code, words)| (code.to_owned(), words.to_owned())).into();
    let mut reader = Reader::new(codes);
    let mut heard = |line: &[u8]| reader.hear(line).1.map(|heard| heard.response);
    let Some(Response::Connect(info)) = heard(b"13\r") else { panic!("13 is CONNECT") };
    assert_eq!(info.text, "13 (CONNECT 9600/ARQ)");
    assert_eq!((info.rate, info.protocol.as_deref()), (Some(9_600), Some("ARQ")));
    assert_eq!(heard(b"34\r"), Some(Response::Failed(CallFailure::Fax)));
    let Some(Response::Connect(info)) = heard(b"13LC\r") else { panic!("13LC is CONNECT") };
    assert_eq!((info.protocol.as_deref(), info.compression.as_deref()), (Some("LAPM"), Some("COMPRESSED")));
    assert_eq!(heard(b"7\r"), Some(Response::Failed(CallFailure::Busy)), "the common ones stay");
    assert_eq!(heard(b"99\r"), Some(Response::Text), "and others are none of his");
    assert_eq!(heard(b"Pas de tonalite\r\n"), Some(Response::Failed(CallFailure::NoDialtone)));
    let Some(Response::Connect(info)) = heard(b"CONNECT FAST\r\n") else { panic!("it is CONNECT") };
    assert_eq!((info.text.as_str(), info.modulation.as_deref()), ("CONNECT FAST", Some("PEP")));
}

#[test]
fn a_result_glued_to_other_text_is_found_at_the_lines_end() {
    let glued = |line: &str| {
        hear_all(&mut Reader::default(), format!("{line}\r\n").as_bytes())
            .pop()
            .and_then(|heard| heard.glued())
    };
    for (line, result) in [
        ("ATDT5551212BUSY", Response::Failed(CallFailure::Busy)),
        ("RINGNO CARRIER", Response::Failed(CallFailure::NoCarrier)),
        ("RINGBUSY", Response::Failed(CallFailure::Busy)),
        ("ATE0OK", Response::Ok),
        ("~{NO DIALTONE", Response::Failed(CallFailure::NoDialtone)),
        ("ATX4ERROR", Response::Error),
        ("ERROR unknown command", Response::Error),
        ("\u{fffd}VOICE", Response::Failed(CallFailure::Voice)),
    ] {
        assert_eq!(glued(line), Some(result), "{line}");
    }
    let Some(Response::Connect(info)) = glued("RINGCONNECT 2400/ARQ") else { panic!("CONNECT is found") };
    assert_eq!((info.text.as_str(), info.rate), ("CONNECT 2400/ARQ", Some(2_400)));
    for line in ["BUSY", "ATDT5551212", "hello", "RING", "CONNECTING", "NOTEBOOK", "no carrier pigeon"] {
        assert_eq!(glued(line), None, "{line}");
    }
}

#[test]
fn the_kind_of_a_call_and_a_callers_name_are_no_results() {
    for line in ["+CRING: VOICE", "+CRING: FAX", "NAME = FAX", "NAME=J SMITH OK"] {
        let heard = hear_all(&mut Reader::default(), format!("{line}\r\n").as_bytes()).pop();
        assert_eq!(heard.and_then(|heard| heard.glued()), None, "{line}");
    }
}

#[test]
fn gsm_errors_say_whether_there_is_a_network() {
    for (line, response, words) in [
        ("+CME ERROR: 30", Response::Failed(CallFailure::NoService), Some("no network service")),
        ("+CME ERROR: no network service", Response::Failed(CallFailure::NoService), None),
        ("+CME ERROR: 11", Response::Error, Some("SIM PIN required")),
        ("+CME ERROR: 999", Response::Error, None),
    ] {
        assert_eq!(one(line), response, "{line}");
        assert_eq!(error_words(line), words, "{line}");
    }
}

#[test]
fn numbers_are_results_only_alone_on_a_line_that_cr_ends() {
    let numeric = |line: &[u8]| hear_all(&mut Reader::default(), line).pop().map(|h| (h.numeric, h.response));
    let results = [Response::Ok, Response::Ring, Response::Failed(CallFailure::NoCarrier), Response::Error]
        .into_iter()
        .chain([
            Response::Failed(CallFailure::NoDialtone),
            Response::Failed(CallFailure::Busy),
            Response::Failed(CallFailure::NoAnswer),
        ]);
    for (code, response) in [0, 2, 3, 4, 6, 7, 8].into_iter().zip(results) {
        assert_eq!(numeric(format!("{code}\r").as_bytes()), Some((true, response)));
    }
    for (code, rate) in [(1, None), (5, Some(1_200)), (10, Some(2_400)), (12, Some(9_600)), (155, None)] {
        let Some((true, Response::Connect(info))) = numeric(format!("{code}\r").as_bytes()) else {
            panic!("{code} is CONNECT");
        };
        assert_eq!((info.text, info.rate), (code.to_string(), rate));
    }
    assert_eq!(numeric(b"1\n"), Some((false, Response::Text)));
    assert_eq!(numeric(b"5551212\r"), Some((false, Response::Text)));
    assert_eq!(numeric(b"ATDT1\r"), Some((false, Response::Echo)));
    assert_eq!(numeric(b"3 messages\r"), Some((false, Response::Text)));
}

#[test]
fn a_number_right_behind_the_echo_of_what_was_asked_is_a_result() {
    let mut reader = Reader::default();
    let mut heard = |asked: &str, line: &str| {
        reader.asked(asked);
        reader.hear(format!("{line}\r").as_bytes()).1.map(|heard| (heard.numeric, heard.response))
    };
    assert_eq!(heard("ATE0", "ATE00"), Some((true, Response::Ok)));
    assert_eq!(heard("ATDT5551212", "ATDT55512127"), Some((true, Response::Failed(CallFailure::Busy))));
    assert_eq!(heard("AT", "AT4"), Some((true, Response::Error)));
    assert_eq!(heard("ATE0", "ATE0"), Some((false, Response::Echo)));
    assert_eq!(heard("ATDT555", "ATDT5551212"), Some((false, Response::Echo)), "four digits are no result");
    assert_eq!(heard("ATE0", "0"), Some((true, Response::Ok)), "not echoed");
}

#[test]
fn what_follows_the_end_of_a_line_is_left() {
    let bytes = b"\r\nCONNECT 2400\r\nlogin: ";
    let (taken, heard) = Reader::default().hear(bytes);
    assert_eq!(&bytes[taken..], b"\nlogin: ");
    assert_eq!(heard.map(|h| (h.numeric, h.ended_by)), Some((false, CR)));
    let (taken, heard) = Reader::default().hear(b"1\rlogin: ");
    assert_eq!((taken, heard.map(|h| h.numeric)), (2, Some(true)));
}

#[test]
fn a_transcript_reads_the_same_split_at_every_byte() {
    let transcript =
        b"ATE1\r\r\nOK\r\nAT\r0\r\0\r\nCARRIER 31200\r\nRING\r\n\r\nNMBR = 1\r\n\x11\r\nCONNECT 9600/ARQ\r\n";
    let whole = hear_all(&mut Reader::default(), transcript);
    assert_eq!(whole.len(), 8);
    for at in 0..=transcript.len() {
        let mut reader = Reader::default();
        let mut halves = hear_all(&mut reader, &transcript[..at]);
        halves.extend(hear_all(&mut reader, &transcript[at..]));
        assert_eq!(halves, whole, "split at {at}");
    }
}

#[test]
fn an_overlong_line_is_text_and_takes_no_more_memory() {
    let mut reader = Reader::default();
    reader.hear(b"CONNECT ");
    for _ in 0..1_000 {
        reader.hear(&[b'x'; 1_000]);
    }
    assert!(reader.line.capacity() <= 2 * RESPONSE_LINE_MAX);
    let (_, heard) = reader.hear(b"\r");
    assert_eq!(heard.map(|h| h.response), Some(Response::Text));
    assert_eq!(reader.hear(b"OK\r").1.map(|h| h.response), Some(Response::Ok));
}

proptest! {
    #[test]
    fn any_bytes_split_anywhere_read_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..600), at in 0usize..600) {
        let at = at.min(bytes.len());
        let whole = hear_all(&mut Reader::default(), &bytes);
        let mut reader = Reader::default();
        let mut halves = hear_all(&mut reader, &bytes[..at]);
        halves.extend(hear_all(&mut reader, &bytes[at..]));
        prop_assert_eq!(halves, whole);
    }

    #[test]
    fn any_line_is_read_as_something(line in "[ -~]{1,80}") {
        let heard = hear_all(&mut Reader::default(), format!("{line}\r").as_bytes());
        prop_assert_eq!(heard.len(), usize::from(!line.trim().is_empty()));
    }
}
