//! Any bytes as a modem's output, at any time, cut anywhere: dialling, asking and hanging up end in time.
//!
//! The first byte chooses the profile, the second the machine and its options; then come the arrivals.

#![no_main]

use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mailcall::modem::dial::DIAL_OVERHEAD_MAX;
use mailcall::modem::hangup::HANG_UP_MAX;
use mailcall::modem::ready::READY_MAX;
use mailcall::modem::answer::ANSWER_OVERHEAD_MAX;
use mailcall::modem::{Answer, Answering, Ask, Dial, DialRules, HangUp, Profile, SetUp};
use mailcall_fuzz::{arrivals, drive};

fuzz_target!(|data: &[u8]| {
    let [profile, options, rest @ ..] = data else { return };
    let profiles = profiles();
    let profile = &profiles[usize::from(*profile) % profiles.len()];
    let has_dtr = options & 1 != 0;
    let set_up = SetUp { speed: Some(57_600), tries_speeds: options & 2 != 0, has_dtr, ..SetUp::default() };
    let arrivals = arrivals(rest);
    match options >> 2 & 3 {
        0 => {
            let answering = Answering { wait: Duration::from_secs(20), rings: 2, by_modem: options & 16 != 0 };
            let mut answer = Answer::new(profile.clone(), &set_up, answering);
            drive(&mut answer, &arrivals, ANSWER_OVERHEAD_MAX + answering.wait);
        }
        1 => {
            let wait = Duration::from_secs(20);
            let mut dial = Dial::new(profile.clone(), &set_up, &DialRules::default(), "5551212", wait).expect("a sound number");
            drive(&mut dial, &arrivals, DIAL_OVERHEAD_MAX + wait);
        }
        2 => {
            let questions = ["I0", "I6", "+CEER"].map(str::to_owned);
            let answers = 3 * (profile.command_wait + Duration::from_secs(4));
            drive(&mut Ask::new(profile, &set_up, &questions), &arrivals, READY_MAX + answers);
        }
        _ => drive(&mut HangUp::new(profile, has_dtr), &arrivals, HANG_UP_MAX),
    }
});

fn profiles() -> &'static [Profile] {
    static PROFILES: OnceLock<Vec<Profile>> = OnceLock::new();
    PROFILES.get_or_init(|| Profile::names().filter_map(Profile::builtin).filter(Profile::dials).collect())
}
