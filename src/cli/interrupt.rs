//! The signals that end a call: it is hung up, what had arrived is kept, and the word is `interrupted`.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, as something to wait for.
#[derive(Debug)]
pub(super) struct Signals {
    int: Signal,
    term: Signal,
    /// `None` under nohup, which is there so that SIGHUP does nothing, and once it has come: the kernel,
    /// the shell and the session each send one when a terminal goes, and only a person asks twice.
    hup: Option<Signal>,
}

impl Signals {
    /// From now on these signals do not end the process by themselves.
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: if is_ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// Waits for the next one and says which it was.
    pub(super) async fn next(&mut self) -> &'static str {
        let hup = async {
            match &mut self.hup {
                Some(hup) => hup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.int.recv() => "Ctrl-C (SIGINT)",
            _ = self.term.recv() => "SIGTERM",
            _ = hup => {
                self.hup = None; // its handler stays, so the next ones do nothing
                "SIGHUP"
            }
        }
    }
}

/// Whether whoever started us wants this signal ignored: bit N-1 of `SigIgn` in proc(5).
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
