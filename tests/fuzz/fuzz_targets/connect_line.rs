//! Any line from a modem is read, the same however it is cut, and what it tells of a connection is shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailcall::modem::codec::{Heard, Reader, ResultCodes};
use mailcall::modem::{ConnectInfo, ConnectRate};

fuzz_target!(|data: &[u8]| {
    let [at, rest @ ..] = data else { return };
    let text = String::from_utf8_lossy(rest);
    for meaning in [ConnectRate::Carrier, ConnectRate::Port, ConnectRate::Either] {
        let info = ConnectInfo::read(&text).settle(meaning, Some(57_600), None);
        assert!(text.is_empty() || !info.sentence().is_empty());
    }
    let codes = ResultCodes::from([("13".into(), "CONNECT 9600/ARQ".into()), ("11".into(), "RINGING".into())]);
    let whole = hear(&mut Reader::new(codes.clone()), rest);
    let (first, second) = rest.split_at(usize::from(*at).min(rest.len()));
    let mut reader = Reader::new(codes);
    let mut halves = hear(&mut reader, first);
    halves.extend(hear(&mut reader, second));
    assert_eq!(whole, halves);
    for heard in &whole {
        // What is shown on a terminal holds no control characters.
        assert!(!heard.text.chars().any(char::is_control));
        assert_ne!(heard.glued().as_ref(), Some(&heard.response));
    }
});

fn hear(reader: &mut Reader, mut bytes: &[u8]) -> Vec<Heard> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (taken, heard) = reader.hear(bytes);
        assert!(taken > 0);
        bytes = &bytes[taken..];
        all.extend(heard);
    }
    all
}
