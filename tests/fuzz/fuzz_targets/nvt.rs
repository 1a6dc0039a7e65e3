//! Any bytes from a TELNET peer: the same items however they are cut, bounded answers, and what is written is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailcall::line::nvt::{ANSWERS_MAX, Decoder, Item, Mode, Options, Side, Verb, encode_data, option};

fuzz_target!(|data: &[u8]| {
    let [at, rest @ ..] = data else { return };
    let whole = hear(&[rest]);
    let (first, second) = rest.split_at(usize::from(*at).min(rest.len()));
    assert_eq!(whole, hear(&[first, second]));
    for mode in [Mode::Nvt, Mode::Binary] {
        let mut written = Vec::new();
        encode_data(mode, rest, &mut written);
        let mut decoder = Decoder::default();
        decoder.set_mode(mode);
        let mut read = Vec::new();
        assert_eq!(decoder.decode(&written, &mut read), (written.len(), None));
        assert_eq!(read, rest);
    }
});

/// Data, items and answers, as a client that agrees to BINARY has them.
fn hear(chunks: &[&[u8]]) -> (Vec<u8>, Vec<Item>, usize) {
    let (mut decoder, mut options) = (Decoder::default(), Options::default());
    options.allow(Side::Us, option::BINARY);
    options.allow(Side::Him, option::BINARY);
    let (mut data, mut items) = (Vec::new(), Vec::new());
    let mut answers = [[0; 256]; 2];
    for mut bytes in chunks.iter().copied() {
        while !bytes.is_empty() {
            let (taken, item) = decoder.decode(bytes, &mut data);
            assert!(taken > 0);
            bytes = &bytes[taken..];
            if let Some(Item::Negotiate(verb, option)) = item {
                let reply = options.hear(verb, option);
                if let Some((verb, option)) = reply.send {
                    let side = usize::from(matches!(verb, Verb::Will | Verb::Wont));
                    answers[side][usize::from(option)] += 1;
                    assert!(answers[side][usize::from(option)] <= ANSWERS_MAX);
                }
                if options.is_on(Side::Him, option::BINARY) != (decoder.mode() == Mode::Binary) {
                    let on = options.is_on(Side::Him, option::BINARY);
                    decoder.set_mode(if on { Mode::Binary } else { Mode::Nvt });
                }
            }
            // Its bytes are written and read again.
            if let Some(item) = &item {
                let mut written = Vec::new();
                item.encode(&mut written);
                let mut none = Vec::new();
                assert_eq!(Decoder::default().decode(&written, &mut none), (written.len(), Some(item.clone())));
                assert!(none.is_empty());
            }
            items.extend(item);
        }
    }
    let answered = answers.as_flattened().iter().map(|&count| usize::from(count)).sum();
    (data, items, answered)
}
