//! Passwords that never print: no `Debug`, `Display` or serialisation shows them, they are wiped when
//! dropped, and [`Masks`] hides them in what others say.

use zeroize::Zeroizing;

mod masks;
mod wiped;
pub use masks::Masks;
pub use wiped::WipedQueue;

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

/// From now on the kernel keeps this process to itself: it dumps no core, and no other process of the same
/// user reads its memory or its environment. To be called before a secret is there.
///
/// Whatever is started by us is as before (execve(2) lifts it). A kernel that does not know it leaves the
/// secret no worse off than without.
pub fn keep_out_of_dumps() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
    #[cfg(not(target_os = "linux"))]
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
}

/// What stands in the place of a secret.
pub const MASK: &str = "********";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:#?}", Secret::new("hunter2".into()), Some(Secret::new("hunter2".into())));
        assert!(!shown.contains("hunter2"));
    }
}
