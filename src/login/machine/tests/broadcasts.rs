//! Somebody writes to all terminals in the middle of a login.

use super::*;

/// A getty between whose bytes a message to all is put, once.
struct Interrupted {
    getty: Getty,
    after: usize,
    message: Option<&'static str>,
    late: Vec<u8>,
}

impl Peer for Interrupted {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        Peer::handle_input(&mut self.getty, now, bytes);
    }

    fn poll(&mut self, now: Instant) -> PeerStep {
        if !self.late.is_empty() {
            return PeerStep::Transmit(std::mem::take(&mut self.late));
        }
        match Peer::poll(&mut self.getty, now) {
            PeerStep::Transmit(mut bytes) => {
                if bytes.len() >= self.after
                    && let Some(message) = self.message.take()
                {
                    self.late = bytes.split_off(self.after);
                    bytes.extend_from_slice(message.as_bytes());
                } else {
                    self.after = self.after.saturating_sub(bytes.len());
                }
                PeerStep::Transmit(bytes)
            }
            step => step,
        }
    }
}

const MESSAGES: [&str; 3] = [
    // util-linux
    "\r                                                                               \r\nBroadcast message from \
     root@station (pts/0) (Tue Mar  3 09:14:02 2026):\r\n\r\nThe printer is on fire.\r\n\r\n",
    // Of shutdown: it says what a refusal says.
    "\r\n\x07\x07Broadcast message from root@station (Tue Mar  3 09:14:02 2026):\r\n\r\nThe system is going \
     down for reboot NOW! Logins are disabled.\r\n",
    "\r\n\x07\x07\x07Message from jim@station on pts/1 at 09:14 ...\r\nlunch?\r\nEOF\r\n",
];

#[test]
fn a_message_to_all_at_any_byte_keeps_nobody_out() {
    for message in MESSAGES {
        let mut shells = 0;
        for after in 0..140 {
            let accounts = vec![("mary".to_owned(), Secret::new(PASSWORD.into()))];
            let getty = Getty::new("station", "Field station\n", accounts);
            let mut host = Interrupted { getty, after, message: Some(message), late: Vec::new() };
            let mut login = Login::new(mary(), LoginLimits::default());
            let log = converse(&mut login, &mut host, LineQuality::PERFECT, 1, LOGIN_WAIT_MAX * 2);
            let Some(Ok(_)) = &log.outcome else {
                panic!("behind {after} bytes, {message:?}: {:?}; {:?}", log.outcome, log.events);
            };
            shells += 1;
            assert!(sent(&log).matches(PASSWORD).count() <= 2, "{after}");
        }
        assert_eq!(shells, 140);
    }
}
