//! How long a login waits, and how often it tries what.

use std::time::Duration;

pub(super) const RETURN: &[u8] = b"\r";
pub(super) const TERMINAL_TYPE: &[u8] = b"vt100\r";

/// For the first prompt that can be answered.
pub(super) const FIRST_PROMPT_WAIT_MAX: Duration = Duration::from_secs(100);
/// From the user name to the password prompt.
pub(super) const PASSWORD_PROMPT_WAIT_MAX: Duration = Duration::from_secs(75);
/// From the password to a shell prompt: news to read at 300 bit/s, quotas to check.
pub(super) const SHELL_WAIT_MAX: Duration = Duration::from_secs(90);

/// Quiet behind `login:` or `Password:` before it is believed: more text may be under way.
pub(super) const PROMPT_QUIET: Duration = Duration::from_millis(300);
/// Quiet behind `Password:` where `login:` was expected, and behind a wish for a code.
pub(super) const UNEXPECTED_QUIET: Duration = Duration::from_millis(1_500);
/// Quiet behind a wish for a key.
pub(super) const KEY_QUIET: Duration = Duration::from_millis(500);
/// The same where the line is finished, and the host may just go on.
pub(super) const KEY_LINE_QUIET: Duration = Duration::from_secs(2);
/// Quiet behind `$`, `#`, `%` or `>`, with which lines of text can begin as well.
pub(super) const SHELL_QUIET: Duration = Duration::from_secs(1);
/// Quiet behind text of no known look before it counts as a prompt.
pub(super) const UNKNOWN_QUIET: Duration = Duration::from_secs(4);
/// Quiet behind a finished line after the password: a shell without prompt, or a slow profile.
pub(super) const BLANK_QUIET: Duration = Duration::from_secs(10);
/// Quiet behind a menu before something is chosen.
pub(super) const MENU_QUIET: Duration = Duration::from_secs(2);
/// Quiet behind a code whose check takes a person's nod elsewhere.
pub(super) const NOD_QUIET: Duration = Duration::from_secs(60);
/// Quiet behind `checking quotas, please wait`.
pub(super) const PATIENCE_QUIET: Duration = Duration::from_secs(20);
/// Quiet behind `Login incorrect` before it counts without a new prompt.
pub(super) const REFUSAL_QUIET: Duration = Duration::from_secs(3);
/// Quiet behind it while a new prompt would be answered.
pub(super) const REPROMPT_QUIET: Duration = Duration::from_secs(15);

/// Silence before each RETURN that asks for the first prompt.
pub(super) const SILENCE_NUDGES_AFTER: [Duration; 5] = [
    Duration::from_secs(3),
    Duration::from_secs(5),
    Duration::from_secs(8),
    Duration::from_secs(12),
    Duration::from_secs(20),
];
/// Quiet behind an unknown unfinished line, perhaps a damaged prompt, before it is asked for again.
pub(super) const UNKNOWN_NUDGE_AFTER: Duration = Duration::from_secs(5);
/// Quiet behind the echo of the user name without a line end: noise took our RETURN.
pub(super) const ECHO_NUDGE_AFTER: Duration = Duration::from_secs(5);
/// The same on a line without echo, where a slow host looks no different.
pub(super) const NO_ECHO_NUDGE_AFTER: Duration = Duration::from_secs(15);
/// Quiet behind a user name that was taken: noise may have taken the password prompt whole.
pub(super) const PASSWORD_PROMPT_NUDGE_AFTER: Duration = Duration::from_secs(20);
/// Quiet after the password: PAM takes 3 s to say no, a loaded host 20 s to say yes.
pub(super) const PASSWORD_NUDGE_AFTER: Duration = Duration::from_secs(15);
/// Quiet after the last nudge before the host is given up.
pub(super) const LAST_NUDGE_QUIET: Duration = Duration::from_secs(20);
/// Nudges after the user name, and after the password.
pub(super) const NUDGES_MAX: usize = 2;

/// Quiet behind what cannot be read before a BREAK.
pub(super) const BREAK_AFTER: Duration = Duration::from_secs(2);
/// Long enough to be one at 50 bit/s, and what tcsendbreak(3) promises at least.
pub(super) const BREAK_LENGTH: Duration = Duration::from_millis(300);
/// BREAKs in one login: a getty with as many speeds as a line in gettydefs ever had goes round once.
pub(super) const BREAKS_MAX: u32 = 6;

/// User names typed in one login: one for each time a host may lose one.
pub(super) const USERS_TYPED_MAX: u32 = 3;
/// Passwords typed in one login: one, and one after a damaged user name.
pub(super) const PASSWORDS_TYPED_MAX: u32 = 2;
/// One-time codes typed in one login: some hosts want two, one to send the other by telephone.
pub(super) const CODES_TYPED_MAX: usize = 3;
/// Items chosen from menus in one login.
pub(super) const CHOICES_MAX: usize = 4;
/// Pages of a text that are read; then it is quit.
pub(super) const PAGES_MAX: u32 = 2;
/// Keys pressed for pagers, `Press RETURN` and terminal types.
pub(super) const KEYS_PRESSED_MAX: u32 = 40;
/// Answers to terminal queries.
pub(super) const QUERY_ANSWERS_MAX: u32 = 64;
/// Lines before the end of a line that may say why it has ended.
pub(super) const LAST_WORDS_MAX: usize = 8;
/// Lines before a prompt that may hold a challenge.
pub(super) const CHALLENGE_LINES_MAX: usize = 3;
/// Lines of somebody's message to all: nothing in them is about this login.
pub(super) const BROADCAST_LINES_MAX: usize = 24;
/// Lines before a prompt that may say why the login failed.
pub(super) const STATEMENT_LINES_MAX: usize = 3;
/// Bytes taken in one call, so that what they cause stays bounded.
pub(super) const INPUT_TAKEN_MAX: usize = 1024;
