//! Base64 (RFC 4648) as it arrives after relays and list managers have been at it.

use data_encoding::BASE64_MIME_PERMISSIVE;

/// Decodes what base64 there is and counts the bytes that are none. `=` ends a run; another may begin
/// behind it.
pub(super) fn forgiving_base64(body: &[u8]) -> (Vec<u8>, usize) {
    let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut decoded = Vec::with_capacity(body.len() / 4 * 3);
    let mut bad = 0;
    for run in body.split(|byte| *byte == b'=') {
        let mut clean: Vec<u8> = run.iter().copied().filter(in_alphabet).collect();
        bad += run.iter().filter(|byte| !in_alphabet(byte) && !byte.is_ascii_whitespace()).count();
        if clean.len() % 4 == 1 {
            clean.pop(); // six bits make no byte
            bad += 1;
        }
        clean.resize(clean.len().next_multiple_of(4), b'=');
        // Every character is of the alphabet and the padding is right: this decodes.
        decoded.extend(BASE64_MIME_PERMISSIVE.decode(&clean).unwrap_or_default());
    }
    (decoded, bad)
}

#[cfg(test)]
mod tests {
    use super::forgiving_base64;

    fn decoded(text: &str) -> (String, usize) {
        let (bytes, bad) = forgiving_base64(text.as_bytes());
        (String::from_utf8_lossy(&bytes).into_owned(), bad)
    }

    #[test]
    fn padding_may_be_missing_wrong_or_in_the_middle() {
        for text in ["aGVsbG8=", "aGVsbG8", "aGVsbG8====", "aGU=bGxv", "aGVs\r\n bG8=\n"] {
            assert_eq!(decoded(text), ("hello".into(), 0), "{text}");
        }
    }

    #[test]
    fn what_is_no_base64_is_left_out_and_counted() {
        assert_eq!(decoded("aG!Vs-bG8=*"), ("hello".into(), 3));
        assert_eq!(decoded("aGVsbG8=Q"), ("hello".into(), 1));
        assert_eq!(decoded(""), (String::new(), 0));
    }
}
