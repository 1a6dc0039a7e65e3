//! Passwords that never print: no `Debug`, `Display` or serialisation shows them, and they are wiped
//! when dropped.

use zeroize::Zeroizing;

/// A password or other secret text.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text over; the caller keeps no copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:#?}", Secret::new("hunter2".into()), Some(Secret::new("hunter2".into())));
        assert!(!shown.contains("hunter2"));
    }
}
