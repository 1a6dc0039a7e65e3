//! What a step types, as keys that are pressed one after the other.

use std::collections::VecDeque;
use std::time::Duration;

use zeroize::Zeroizing;

use super::super::LoginEvent;
use super::{Keys, ScriptError, Stroke};
use crate::secret::Secret;

/// Keys as they are pressed.
pub(super) enum Key {
    Send { bytes: Zeroizing<Vec<u8>>, secret: bool },
    Echoed { byte: u8, secret: bool },
    Pause(Duration),
    Break(Duration),
    Told(LoginEvent),
}

/// The keys of a step, one after the other.
pub(super) fn pressed(
    keys: &Keys,
    step: usize,
    user: Option<&str>,
    password: Option<&Secret>,
) -> Result<VecDeque<Key>, ScriptError> {
    let (mut pressed, mut echoed) = (VecDeque::new(), false);
    for stroke in &keys.strokes {
        let (bytes, secret, event): (&[u8], bool, _) = match stroke {
            Stroke::Text(text) => (text.expose().as_bytes(), keys.hidden, None),
            // RETURN goes with what stands in front of it.
            Stroke::Byte(byte) => {
                let secret = keys.hidden || ends_secret(&pressed);
                add(&mut pressed, std::slice::from_ref(byte), secret, echoed);
                continue;
            }
            Stroke::User => {
                let user = user.ok_or(ScriptError::NoUser { step })?;
                (first_line(user).as_bytes(), keys.hidden, Some(LoginEvent::SentUser))
            }
            Stroke::Password => {
                let password = password.ok_or(ScriptError::NoPassword { step })?;
                (first_line(password.expose()).as_bytes(), true, Some(LoginEvent::SentPassword))
            }
            Stroke::Pause(length) => {
                pressed.push_back(Key::Pause(*length));
                continue;
            }
            Stroke::Break(length) => {
                // Bytes that are sent during a BREAK are lost.
                pressed.extend([Key::Break(*length), Key::Pause(*length + BEHIND_BREAK)]);
                pressed.push_back(Key::Told(LoginEvent::SentBreak));
                continue;
            }
            Stroke::Echo(on) => {
                echoed = *on;
                continue;
            }
        };
        add(&mut pressed, bytes, secret, echoed);
        pressed.extend(event.map(Key::Told));
    }
    Ok(pressed)
}

fn ends_secret(keys: &VecDeque<Key>) -> bool {
    keys.iter().rev().find_map(|key| match key {
        Key::Send { secret, .. } | Key::Echoed { secret, .. } => Some(*secret),
        Key::Pause(_) | Key::Break(_) | Key::Told(_) => None,
    }) == Some(true)
}

/// Adds bytes to the keys, to those before them where they may go together.
fn add(keys: &mut VecDeque<Key>, more: &[u8], more_secret: bool, echoed: bool) {
    if echoed {
        keys.extend(more.iter().map(|&byte| Key::Echoed { byte, secret: more_secret }));
        return;
    }
    if let Some(Key::Send { bytes, secret }) = keys.back_mut()
        && *secret == more_secret
    {
        // Into a vector of its own, wiped as well: one that grows leaves its old bytes behind.
        let mut longer = Zeroizing::new(Vec::with_capacity(bytes.len() + more.len()));
        longer.extend_from_slice(bytes);
        longer.extend_from_slice(more);
        *bytes = longer;
    } else if !more.is_empty() {
        keys.push_back(Key::Send { bytes: Zeroizing::new(more.to_vec()), secret: more_secret });
    }
}

pub(super) fn first_line(text: &str) -> &str {
    text.split(['\r', '\n']).next().unwrap_or_default()
}

/// Rest behind a BREAK.
const BEHIND_BREAK: Duration = Duration::from_millis(50);
