//! Any chat string, or any regular expression, against any bytes of a host, at any time and cut anywhere: it
//! is refused or ends in time.
//!
//! The first byte chooses the form, the second the length of the script; then come the arrivals.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mailcall::login::Credentials;
use mailcall::login::script::{Action, Expect, Keys, Pattern, Script, ScriptLogin, Step, Stroke, Try, chat};
use mailcall::secret::Secret;
use mailcall_fuzz::{arrivals, drive};

fuzz_target!(|data: &[u8]| {
    let [form, length, rest @ ..] = data else { return };
    let (text, rest) = rest.split_at(usize::from(*length).min(rest.len()));
    let Ok(text) = std::str::from_utf8(text) else { return };
    let script = if form & 1 == 0 { chat::parse(text).ok() } else { by_regex(text, form & 2 == 0) };
    let Some(script) = script else { return };
    let credentials = Credentials { user: Some("mary".into()), password: Some(Secret::new("sesame-42".into())) };
    drive(&mut ScriptLogin::new(script, credentials), &arrivals(rest), LIMIT);
});

/// Waits for an expression, types the password, and waits for it again.
fn by_regex(text: &str, optional: bool) -> Option<Script> {
    let pattern = Pattern::regex(text).ok()?;
    let expect = |first: Keys| {
        let tries = vec![Try { first, pattern: Some(pattern.clone()), wait: Duration::from_secs(20) }];
        Action::Expect(Expect { tries, aborts: Vec::new(), optional })
    };
    let typed = Keys { strokes: vec![Stroke::Password, Stroke::Byte(b'\r')], hidden: false };
    let actions = [expect(Keys::default()), Action::Send(typed.clone()), expect(typed)];
    Script::new(actions.into_iter().enumerate().map(|(n, action)| Step { number: n + 1, action }).collect()).ok()
}

/// 15 minutes, and the arrivals' own pauses between two looks at the clock.
const LIMIT: Duration = Duration::from_secs(900);
