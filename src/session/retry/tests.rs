//! The rules as tables: what a number has been through, and what may happen to it now.

use super::*;

const NOW: u64 = 1_800_000_000;

/// A number that ended so, one dial a second, the last one at [`NOW`].
fn after(connected: bool, ends: &[HowEnded]) -> History {
    let mut history = History { connected: connected.then_some(1), ..History::default() };
    for (back, &how) in (0..ends.len() as u64).rev().zip(ends) {
        history = failed(begun(history, NOW - back), NOW - back, how);
    }
    history
}

fn times(how: HowEnded, count: usize) -> Vec<HowEnded> {
    vec![how; count]
}

fn verdict(history: &History) -> Verdict {
    may_dial(history, Reach::Telephones, NOW)
}

fn rests(seconds: u64, why: Why) -> Verdict {
    Verdict::Rest { until: NOW + seconds, why }
}

#[test]
fn a_number_that_never_connected_gets_one_more_no_carrier_and_then_rests_ever_longer() {
    let hours = [(2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 24), (8, 24), (11, 24)];
    assert_eq!(verdict(&after(false, &times(HowEnded::NoCarrier, 1))), Verdict::Dial);
    for (count, hours) in hours {
        let history = after(false, &times(HowEnded::NoCarrier, count));
        let rest = rests(hours * HOUR, Why::NeverAModem(count as u32));
        assert_eq!(verdict(&history), rest, "{count} times");
        assert_eq!(
            may_dial(&history, Reach::Telephones, NOW + hours * HOUR),
            Verdict::Dial,
            "when the rest is over"
        );
    }
}

#[test]
fn what_comes_between_two_answers_proves_no_modem() {
    let history = after(false, &[HowEnded::NoCarrier, HowEnded::Busy, HowEnded::NoAnswer]);
    assert_eq!(verdict(&history), Verdict::Dial);
    let history = after(false, &[HowEnded::NoCarrier, HowEnded::Busy, HowEnded::NoCarrier]);
    assert_eq!(verdict(&history), rests(HOUR, Why::NeverAModem(2)));
}

#[test]
fn a_run_killed_while_it_rang_counts_as_answered() {
    let killed = begun(begun(History::default(), NOW), NOW);
    assert_eq!(verdict(&killed), rests(HOUR, Why::NeverAModem(2)));
    let broken_off = after(false, &times(HowEnded::Interrupted, 5));
    assert_eq!(verdict(&broken_off), rests(5 * MINUTE, Why::Unanswered(5)));
}

#[test]
fn a_modem_s_number_rests_only_when_its_line_is_bad_for_long() {
    assert_eq!(verdict(&after(true, &times(HowEnded::NoCarrier, 5))), Verdict::Dial);
    for (count, minutes) in [(6, 15), (7, 30), (8, 60), (9, 120), (12, 960), (13, 1_440), (14, 1_440)] {
        let history = after(true, &times(HowEnded::NoCarrier, count));
        assert_eq!(verdict(&history), rests(minutes * MINUTE, Why::NoCarrier(count as u32)));
    }
}

#[test]
fn a_voice_or_a_fax_bars_a_number_that_never_connected_for_good() {
    for how in [HowEnded::Voice, HowEnded::Fax] {
        let history = after(false, &[HowEnded::Busy, how]);
        assert_eq!(may_dial(&history, Reach::Telephones, NOW + 1_000 * HOUR), Verdict::Barred(how));
    }
}

#[test]
fn at_a_modem_s_number_a_voice_rests_it_and_a_second_one_bars_it() {
    let once = after(true, &[HowEnded::Voice]);
    assert_eq!(verdict(&once), rests(HOUR, Why::Answered(HowEnded::Voice)));
    assert_eq!(may_dial(&once, Reach::Telephones, NOW + HOUR), Verdict::Dial);
    let twice = after(true, &[HowEnded::Voice, HowEnded::Busy, HowEnded::Fax]);
    assert_eq!(verdict(&twice), Verdict::Barred(HowEnded::Fax));
    let between = after(true, &[HowEnded::Voice]);
    let between = failed(begun(connected(between, NOW), NOW), NOW, HowEnded::Voice);
    assert_eq!(verdict(&between), rests(HOUR, Why::Answered(HowEnded::Voice)), "a row ends at a carrier");
}

#[test]
fn twelve_dials_of_any_kind_without_a_connection_rest_an_hour_and_fewer_do_not() {
    for known in [false, true] {
        for how in [HowEnded::Busy, HowEnded::NoAnswer, HowEnded::NoDialtone, HowEnded::Failed] {
            for count in [1, 2, 11] {
                let history = after(known, &times(how, count));
                assert_eq!(may_dial(&history, Reach::Telephones, NOW + 300), Verdict::Dial, "{how} {count}");
            }
            assert_eq!(verdict(&after(known, &times(how, 12))), rests(HOUR, Why::TooMany(12)), "{how}");
        }
    }
    let again = failed(begun(after(true, &times(HowEnded::Busy, 12)), NOW), NOW, HowEnded::Busy);
    assert_eq!(verdict(&again), rests(HOUR, Why::TooMany(13)), "and so does each one after");
}

#[test]
fn a_connection_ends_the_row() {
    let history = connected(after(false, &times(HowEnded::NoCarrier, 12)), NOW);
    assert_eq!(verdict(&history), Verdict::Dial);
    assert_eq!((history.connected, history.unconnected), (Some(NOW), 0));
}

#[test]
fn a_telephone_that_nobody_answers_is_left_in_peace_for_ever_longer_and_at_last_for_good() {
    let unanswered = |count| after(false, &times(HowEnded::NoAnswer, count));
    assert_eq!(verdict(&unanswered(2)), Verdict::Dial);
    for (count, minutes) in [(3, 5), (11, 5)] {
        assert_eq!(verdict(&unanswered(count)), rests(minutes * MINUTE, Why::Unanswered(count as u32)));
    }
    for (count, hours) in [(12, 1), (13, 2), (15, 8)] {
        assert_eq!(verdict(&unanswered(count)), rests(hours * HOUR, Why::TooMany(count as u32)));
    }
    assert_eq!(verdict(&unanswered(16)), Verdict::Barred(HowEnded::NoAnswer));
    assert_eq!(verdict(&after(false, &times(HowEnded::NoCarrier, 16))), Verdict::Barred(HowEnded::NoCarrier));
    // A modem's number too is somebody else's some day.
    let known = |count| after(true, &times(HowEnded::NoAnswer, count));
    assert_eq!(verdict(&known(3)), Verdict::Dial);
    assert_eq!(verdict(&known(23)), rests(24 * HOUR, Why::TooMany(23)));
    assert_eq!(verdict(&known(24)), Verdict::Barred(HowEnded::NoAnswer));
    let busy = after(false, &times(HowEnded::Busy, 40));
    assert_eq!(verdict(&busy), rests(HOUR, Why::TooMany(40)), "rings nobody");
}

#[test]
fn a_host_is_never_held_back_and_a_data_bearer_only_as_a_modem_is() {
    let history = after(false, &[HowEnded::Voice, HowEnded::NoCarrier, HowEnded::NoCarrier]);
    assert_eq!(may_dial(&history, Reach::Host, NOW), Verdict::Dial);
    assert_eq!(may_dial(&history, Reach::Bearer, NOW), Verdict::Barred(HowEnded::Voice), "it rings people");
    let silent = |count| may_dial(&after(false, &times(HowEnded::NoCarrier, count)), Reach::Bearer, NOW);
    assert_eq!(silent(5), Verdict::Dial);
    assert_eq!(silent(6), rests(15 * MINUTE, Why::NoCarrier(6)));
}

#[test]
fn a_clock_that_went_backwards_makes_no_rest_longer_than_it_is() {
    let years = 10 * 365 * 24 * HOUR;
    let history = after(false, &times(HowEnded::NoCarrier, 2));
    let then = NOW - years;
    let rest = Verdict::Rest { until: then + HOUR, why: Why::NeverAModem(2) };
    assert_eq!(may_dial(&history, Reach::Telephones, then), rest);
    // What is written down at the first look begins the rest there, once.
    let written = settled(history, then);
    assert_eq!(may_dial(&written, Reach::Telephones, then + HOUR), Verdict::Dial);
}

#[test]
fn the_end_of_a_dial_finds_its_beginning_even_among_others() {
    let history = begun(begun(History::default(), NOW - 9), NOW);
    let history = failed(history, NOW - 9, HowEnded::Busy);
    let hows: Vec<_> = history.recent.iter().map(|dialled| dialled.how).collect();
    assert_eq!(hows, [HowEnded::Busy, HowEnded::Unknown]);
    let other_connected = connected(history, NOW);
    let history = failed(other_connected, NOW, HowEnded::NoCarrier);
    assert_eq!(history.recent, [Dialled { at: NOW, how: HowEnded::NoCarrier }]);
}

fn pass(ending: Ending) -> Last {
    Last { ending, dials: 1, connected: false, call_time: Duration::ZERO, delayed: None }
}

fn call(ending: Ending, seconds: u64) -> Last {
    Last { connected: true, call_time: Duration::from_secs(seconds), ..pass(ending) }
}

fn wait(seconds: u64) -> Next {
    Next::After(Duration::from_secs(seconds))
}

#[test]
fn each_end_has_its_wait_or_is_the_end() {
    let delayed = |seconds| Last { delayed: Some(Duration::from_secs(seconds)), ..pass(Ending::Delayed) };
    let resting = Last { dials: 0, ..pass(Ending::Delayed) };
    for (last, expected) in [
        (pass(Ending::Busy), wait(180)),
        (pass(Ending::NoAnswer), wait(300)),
        (pass(Ending::NoCarrier), wait(300)),
        (delayed(754), wait(754)),
        (delayed(1), wait(5)), // never sooner than that
        (pass(Ending::Delayed), wait(300)),
        (resting, Next::Stop(Stop::Protected)),
        (pass(Ending::Blacklisted), Next::Stop(Stop::Protected)),
        (pass(Ending::Voice), Next::Stop(Stop::Protected)),
        (pass(Ending::Fax), Next::Stop(Stop::Protected)),
        (pass(Ending::NoDialtone), Next::Stop(Stop::Final)),
        (call(Ending::CarrierLost, 10), wait(5)),
        (call(Ending::LoginTimeout, 100), wait(5)),
        (call(Ending::TooManySessions, 100), wait(5)),
        (call(Ending::LoginsClosed, 100), wait(5)),
        (call(Ending::TransferFailed, 100), wait(5)),
        (call(Ending::MailboxLocked, 100), wait(5)),
        (pass(Ending::MailboxLocked), Next::Stop(Stop::Final)),
        (pass(Ending::CarrierLost), Next::Stop(Stop::Final)),
    ] {
        let tries = Tries::default().with(&last, u32::from(last.ending == Ending::NoCarrier));
        assert_eq!(next(&Redial::default(), tries, &last), expected, "{last:?}");
    }
}

#[test]
fn what_a_person_has_to_look_at_is_never_retried() {
    for ending in [
        Ending::Done,
        Ending::Usage,
        Ending::BadData,
        Ending::NoSuchPort,
        Ending::ModemSilent,
        Ending::Bug,
        Ending::LocalDisk,
        Ending::PortLocked,
        Ending::Interrupted,
        Ending::PeerMisbehaved,
        Ending::HostLacks,
        Ending::LoginRefused,
        Ending::LoginExpired,
        Ending::AccountLocked,
        Ending::NoPermission,
        Ending::Config,
        Ending::NoMailbox,
        Ending::Voice,
        Ending::Fax,
        Ending::Blacklisted,
    ] {
        for last in [pass(ending), call(ending, 100)] {
            let next = next(&Redial::default(), Tries::default().with(&last, 0), &last);
            assert!(matches!(next, Next::Stop(_)), "{ending:?}");
        }
    }
}

#[test]
fn no_carrier_is_dialled_once_more_only() {
    let last = pass(Ending::NoCarrier);
    let first = Tries::default().with(&last, 1);
    assert_eq!(next(&Redial::default(), first, &last), wait(300));
    assert_eq!(next(&Redial::default(), first.with(&last, 2), &last), Next::Stop(Stop::Protected));
    let timed_out = pass(Ending::NoAnswer); // nothing was heard: it counts as one
    assert_eq!(next(&Redial::default(), first.with(&timed_out, 2), &timed_out), Next::Stop(Stop::Protected));
}

#[test]
fn a_run_ends_at_its_dials_and_at_its_connections() {
    let busy = pass(Ending::Busy);
    let mut tries = Tries::default();
    for dialled in 1..=12 {
        tries = tries.with(&busy, 0);
        let expected = if dialled < 12 { wait(180) } else { Next::Stop(Stop::DialsUsed) };
        assert_eq!(next(&Redial::default(), tries, &busy), expected, "{dialled}");
    }
    let lost = call(Ending::CarrierLost, 1);
    let mut tries = Tries::default();
    for expected in [wait(5), wait(10), Next::Stop(Stop::ConnectsUsed)] {
        tries = tries.with(&lost, 0);
        assert_eq!(next(&Redial::default(), tries, &lost), expected);
    }
}

#[test]
fn the_wait_after_lost_calls_doubles_up_to_ten_minutes_and_begins_anew_after_a_long_one() {
    let policy = Redial { dials: 100, connects: 100, ..Redial::default() };
    let mut tries = Tries::default();
    let mut lost = |seconds| {
        let last = call(Ending::CarrierLost, seconds);
        tries = tries.with(&last, 0);
        next(&policy, tries, &last)
    };
    for expected in [5, 10, 20, 40, 80, 160, 320, 600, 600] {
        assert_eq!(lost(44), wait(expected));
    }
    assert_eq!(lost(45), wait(5));
    assert_eq!(lost(1), wait(5));
    assert_eq!(lost(1), wait(10));
}
