//! The receiver against the model sender over noisy lines in virtual time, over many seeds. The
//! bytes are right or the end is stated; both within stated time.

use std::time::Duration;

use super::super::{Receive, ReceiveOptions};
use super::receive::{Talk, delivered, file, options};
use super::sender::Sender;
use crate::sim::converse::converse;
use crate::sim::wire::LineQuality;

const DAY: Duration = Duration::from_secs(86_400);

fn line(bps: u32, latency_ms: u64, bit_error_rate: f64) -> LineQuality {
    LineQuality { bps: Some(bps), latency: Duration::from_millis(latency_ms), bit_error_rate }
}

fn run(sender: &mut Sender, quality: LineQuality, seed: u64, options: ReceiveOptions) -> Talk {
    converse(&mut Receive::new(options), sender, quality, seed, DAY)
}

fn whole(talk: &Talk, content: &[u8], seed: u64) {
    let outcome = talk.outcome.as_ref().expect("it ends");
    let received = outcome.as_ref().unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    assert_eq!(delivered(&talk.events, 0), content, "seed {seed}");
    assert!(received.complete);
}

#[test]
fn bit_errors_cost_time_and_nothing_else() {
    let content = file(20_000);
    for seed in 0..40 {
        let window = [None, Some(2_048)][seed as usize % 2];
        let mut sender = Sender::new(content.clone()).paced(33_600);
        (sender.block, sender.window) = (512, window);
        let talk = run(&mut sender, line(33_600, 50, 1e-4), seed, options());
        whole(&talk, &content, seed);
        assert!(talk.elapsed < Duration::from_secs(200), "seed {seed}: {:?}", talk.elapsed);
    }
}

#[test]
fn a_very_bad_line_is_not_given_up_while_something_comes_through() {
    let content = file(3_000);
    for seed in 0..30 {
        let mut sender = Sender::new(content.clone()).paced(9_600);
        sender.block = 64;
        let talk = run(&mut sender, line(9_600, 100, 1e-3), seed, options());
        whole(&talk, &content, seed);
    }
}

#[test]
fn dropped_bytes_are_asked_for_again() {
    let content = file(30_000);
    for every in [997, 1_511, 4_001, 7_919] {
        let mut sender = Sender::new(content.clone()).paced(33_600);
        (sender.block, sender.drop_every) = (256, Some(every));
        let talk = run(&mut sender, line(33_600, 50, 0.0), 1, options());
        whole(&talk, &content, every);
    }
}

#[test]
fn a_satellite_sees_no_storm_of_zrpos() {
    let content = file(20_000);
    for seed in 0..12 {
        let mut sender = Sender::new(content.clone()).paced(2_400);
        sender.block = 256;
        let rtt = Duration::from_secs(3);
        let talk = run(&mut sender, line(2_400, 1_500, 1e-5), seed, ReceiveOptions { rtt, ..options() });
        whole(&talk, &content, seed);
        let stats = talk.outcome.expect("an end").expect("success").stats;
        let damages = stats.damaged_headers + stats.damaged_subpackets + stats.timeouts;
        assert!(stats.zrpos_sent <= damages, "seed {seed}: {stats:?}");
        assert!(stats.zrpos_sent <= 12, "seed {seed}: {stats:?}");
    }
}

#[test]
fn any_noise_at_all_comes_to_a_stated_end() {
    for seed in 0..20 {
        let mut sender = Sender::new(file(5_000)).paced(9_600);
        let talk = run(&mut sender, line(9_600, 300, 1e-2), seed, options());
        let outcome = talk.outcome.unwrap_or_else(|| panic!("seed {seed} goes on for ever"));
        let got = delivered(&talk.events, 0);
        assert_eq!(got, file(5_000)[..got.len()], "seed {seed}");
        assert!(outcome.is_err() || got.len() == 5_000, "seed {seed}");
        assert!(talk.elapsed < Duration::from_secs(1_800), "seed {seed}: {:?}", talk.elapsed);
    }
}

#[test]
fn any_single_byte_of_the_dialogue_may_be_lost() {
    let content = file(600);
    let windowed = || {
        let mut sender = Sender::new(content.clone()).paced(33_600);
        (sender.block, sender.window) = (128, Some(256));
        sender
    };
    let mut clean = windowed();
    run(&mut clean, line(33_600, 50, 0.0), 1, options());
    let ours = (1..=clean.sent).map(|at| (Some(at), None));
    let theirs = (1..=clean.received).map(|at| (None, Some(at)));
    for (lose, miss) in ours.chain(theirs) {
        let mut sender = windowed();
        (sender.lose, sender.miss) = (lose, miss);
        let talk = run(&mut sender, line(33_600, 50, 0.0), 1, options());
        let outcome = talk.outcome.expect("it ends");
        assert!(outcome.is_ok(), "{lose:?} {miss:?}: {outcome:?}");
        assert_eq!(delivered(&talk.events, 0), content, "{lose:?} {miss:?}");
        assert!(talk.elapsed < Duration::from_secs(15), "{lose:?} {miss:?}: {:?}", talk.elapsed);
    }
}
