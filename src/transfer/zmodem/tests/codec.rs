//! The codec: known answers, every split, any bytes.

use proptest::prelude::*;

use super::super::codec::{Damage, Decoder, Item, SUBPACKET_MAX};
use super::super::encode;
use super::super::frame::{Encoding, FrameType, Header, SubpacketEnd};

/// Everything that `sz -b -q` of lrzsz 0.12.21 says to send "hello\n", with CRC-32, captured.
const SZ_CRC32: &[u8] = include_bytes!("sz-crc32.bin");
/// The same with `-o`: CRC-16.
const SZ_CRC16: &[u8] = include_bytes!("sz-crc16.bin");

fn decode_split(bytes: &[u8], splits: &[usize]) -> Vec<Item> {
    let mut decoder = Decoder::new();
    let mut items = Vec::new();
    let mut from = 0;
    for &to in splits.iter().chain([&bytes.len()]) {
        let mut rest = &bytes[from..to];
        loop {
            let (taken, item) = decoder.decode(rest);
            rest = &rest[taken..];
            match item {
                Some(item) => items.push(item),
                None => break,
            }
        }
        assert!(rest.is_empty(), "without an item, all is taken");
        from = to;
    }
    items
}

fn decode(bytes: &[u8]) -> Vec<Item> {
    decode_split(bytes, &[])
}

fn kinds(items: &[Item]) -> Vec<FrameType> {
    items
        .iter()
        .filter_map(|item| if let Item::Header(header) = item { Some(header.kind) } else { None })
        .collect()
}

#[test]
fn what_the_real_sz_says_is_understood() {
    for (capture, encoding) in [(SZ_CRC32, Encoding::Bin32), (SZ_CRC16, Encoding::Bin16)] {
        let items = decode(capture);
        use FrameType::*;
        assert_eq!(kinds(&items), [Zrqinit, Zfile, Zdata, Zeof, Zfin]);
        assert!(items.iter().all(|item| !matches!(item, Item::Damaged(_) | Item::Cancel)), "{items:?}");
        let data: Vec<&[u8]> = items
            .iter()
            .filter_map(|item| if let Item::Subpacket { data, .. } = item { Some(&data[..]) } else { None })
            .collect();
        assert!(data[0].starts_with(b"hello.txt\x006 "), "{data:?}");
        assert_eq!(data[1], b"hello\n");
        assert!(matches!(items[1], Item::Header(header) if header.encoding == encoding));
        assert!(matches!(items[5], Item::Header(header) if header.position() == 6), "ZEOF says 6: {items:?}");
    }
}

#[test]
fn input_split_at_every_byte_decodes_alike() {
    for capture in [SZ_CRC32, SZ_CRC16] {
        let whole = decode(capture);
        for at in 0..=capture.len() {
            assert_eq!(decode_split(capture, &[at]), whole, "split at {at}");
        }
        let everywhere: Vec<usize> = (0..capture.len()).collect();
        assert_eq!(decode_split(capture, &everywhere), whole);
    }
}

#[test]
fn every_byte_survives_every_encoding() {
    let data: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    for encoding in [Encoding::Hex, Encoding::Bin16, Encoding::Bin32] {
        for controls in [false, true] {
            let mut line = encode::header(&Header::with_position(FrameType::Zdata, 0x1118_1391), encoding);
            for end in [SubpacketEnd::Go, SubpacketEnd::Query, SubpacketEnd::Wait] {
                line.extend(encode::subpacket(&data, end, encoding, controls));
            }
            let items = decode(&line);
            assert_eq!(items.len(), 4);
            assert!(matches!(items[0], Item::Header(header) if header.position() == 0x1118_1391));
            for item in &items[1..] {
                assert!(matches!(item, Item::Subpacket { data: got, .. } if *got == data), "{encoding:?}");
            }
        }
    }
}

#[test]
fn data_behind_a_hex_header_may_begin_with_line_ends() {
    let mut line = Header::with_position(FrameType::Zdata, 0).to_hex();
    line.extend(encode::subpacket(b"\n\r\n", SubpacketEnd::EndFrame, Encoding::Hex, false));
    assert!(matches!(&decode(&line)[1], Item::Subpacket { data, .. } if data == b"\n\r\n"));
}

#[test]
fn flow_control_in_the_stream_is_not_data() {
    let line = encode::subpacket(b"abcdef", SubpacketEnd::Wait, Encoding::Bin32, false);
    let header = encode::header(&Header::with_position(FrameType::Zdata, 0), Encoding::Bin32);
    for flow in [0x11, 0x13, 0x91, 0x93] {
        let mut noisy = Vec::new();
        for &byte in header.iter().chain(&line) {
            noisy.extend([byte, flow]);
        }
        let items = decode(&noisy);
        assert!(matches!(&items[1], Item::Subpacket { data, .. } if data == b"abcdef"), "{items:?}");
    }
}

#[test]
fn shell_noise_around_a_header_is_skipped() {
    let line = b"$ sz *\r\n** *\x18 rz\r**\x18B00000000000000\r\x8a\x11";
    assert_eq!(kinds(&decode(line)), [FrameType::Zrqinit]);
}

#[test]
fn a_header_that_begins_inside_a_damaged_one_is_found() {
    let mut line = b"*\x18A\x01".to_vec(); // a binary header cut off
    line.extend(encode::header(&Header::with_position(FrameType::Zeof, 7), Encoding::Bin32));
    let items = decode(&line);
    assert_eq!(items[0], Item::Damaged(Damage::Header));
    assert_eq!(kinds(&items), [FrameType::Zeof]);
    let mut line = b"**\x18B0800".to_vec(); // and a hex one
    line.extend(Header::with_position(FrameType::Zfin, 0).to_hex());
    assert_eq!(kinds(&decode(&line)), [FrameType::Zfin]);
}

#[test]
fn every_single_bit_error_is_noticed() {
    let mut line = encode::header(&Header::with_position(FrameType::Zdata, 0), Encoding::Bin16);
    let header = line.len();
    line.extend(encode::subpacket(b"some data", SubpacketEnd::EndFrame, Encoding::Bin16, false));
    for bit in header * 8..line.len() * 8 {
        let mut hit = line.clone();
        hit[bit / 8] ^= 1 << (bit % 8);
        for item in decode(&hit) {
            if let Item::Subpacket { data, .. } = item {
                assert_eq!(data, b"some data", "bit {bit}"); // a stray XON may take nothing away
            }
        }
    }
}

#[test]
fn five_cans_cancel_anywhere_and_four_do_not() {
    let header = encode::header(&Header::with_position(FrameType::Zdata, 0), Encoding::Bin32);
    for before in [&b""[..], b"text", b"*", &header[..4], &header, b"*\x18C\x18"] {
        let mut line = before.to_vec();
        line.extend([0x18; 5]);
        assert!(decode(&line).contains(&Item::Cancel), "after {before:?}");
    }
    assert!(!decode(b"text\x18\x18\x18\x18text").contains(&Item::Cancel));
}

#[test]
fn a_subpacket_may_have_8_kib_and_no_more() {
    let header = encode::header(&Header::with_position(FrameType::Zdata, 0), Encoding::Bin32);
    for (length, fits) in [(SUBPACKET_MAX, true), (SUBPACKET_MAX + 1, false)] {
        for byte in [b'x', 0x18] {
            let mut line = header.clone();
            line.extend(encode::subpacket(&vec![byte; length], SubpacketEnd::Wait, Encoding::Bin32, false));
            let everywhere: Vec<usize> = (0..line.len()).step_by(3).collect();
            for items in [decode(&line), decode_split(&line, &everywhere)] {
                assert_eq!(matches!(items[1], Item::Subpacket { .. }), fits);
                assert_eq!(items[1] == Item::Damaged(Damage::Subpacket), !fits);
            }
        }
    }
}

#[test]
fn garbage_takes_no_memory() {
    let mut decoder = Decoder::new();
    for _ in 0..100 {
        let (taken, item) = decoder.decode(&[b'g'; 10_000]);
        assert_eq!((taken, item), (10_000, None));
    }
    assert_eq!(decoder.garbage(), 1_000_000);
    assert!(decoder.text().len() <= 256);
}

/// Bytes that are often ZMODEM's own, so that chance gets into every state.
fn line_bytes() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        Just(b"**\x18B".to_vec()),
        Just(b"*\x18A".to_vec()),
        Just(b"*\x18C".to_vec()),
        Just(SZ_CRC32.to_vec()),
        Just(encode::header(&Header::with_position(FrameType::Zdata, 0), Encoding::Bin32)),
        Just(b"\x18h".to_vec()),
        Just(vec![0x18; 4]),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(frame, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_bytes_split_anywhere_decode_alike(bytes in line_bytes(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut splits: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        splits.sort_unstable();
        prop_assert_eq!(decode_split(&bytes, &splits), decode(&bytes));
    }
}
