//! The memory of dials: no count is lost to a kill or a power cut, two runs do not get in each other's
//! way, and damage costs as little as can be.

use std::path::Path;
use std::sync::Arc;

use mailcall::session::memory::release;
use mailcall::session::retry::{self, Verdict, may_dial};
use mailcall::store::dials::{Dials, HowEnded};
use mailcall::store::disk::Disk;

#[path = "store/faulty_disk.rs"]
#[allow(dead_code)] // the store's own tests use the rest
mod faulty_disk;
#[path = "store/memory_disk.rs"]
#[allow(dead_code)]
mod memory_disk;

use faulty_disk::{Fault, FaultyDisk};
use memory_disk::{Dice, Fate, MemoryDisk};

/// Seconds since 1970 when the tests take place.
pub const NOW: u64 = 1_700_000_000;
const NUMBER: &str = "+493012345";

fn dial(dials: &Dials) -> Result<(), mailcall::store::StoreError> {
    dials.change(NUMBER, |history| *history = retry::begun(std::mem::take(history), NOW)).map(|_| ())
}

#[test]
fn a_dial_that_was_counted_stays_counted_wherever_the_run_is_killed_or_the_power_cut() {
    let random = (0..8).map(Fate::Random);
    for fate in [Fate::Lost, Fate::NamesOnly, Fate::Zeros, Fate::Kept].into_iter().chain(random) {
        killed_at_every_operation(fate);
    }
}

fn killed_at_every_operation(fate: Fate) {
    let mut struck = 0;
    for k in 0.. {
        let disk = MemoryDisk::new();
        dial(&Dials::on(Arc::new(disk.clone()), Path::new("/state"))).unwrap();
        let faulty = Arc::new(FaultyDisk::new(Arc::new(disk.clone()), k, Fault::Killed));
        let second = dial(&Dials::on(faulty.clone() as Arc<dyn Disk>, Path::new("/state")));
        disk.kill();
        disk.cut_power(fate);
        let dials = Dials::on(Arc::new(disk.clone()), Path::new("/state"));
        let counted = dials.look(NUMBER).unwrap().unconnected;
        // What was said to be on the disk is; what was not may be.
        assert!(counted > u32::from(second.is_ok()), "operation {k}, {fate:?}: {counted}");
        assert!(
            dials.change(NUMBER, |_| ()).unwrap().set_aside.is_none(),
            "operation {k}, {fate:?}: nothing is torn"
        );
        if !faulty.struck() {
            break;
        }
        struck += 1;
    }
    assert!(struck > 5, "the fault struck {struck} times only");
}

#[test]
fn runs_at_the_same_time_lose_no_count() {
    let state = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for account in 0..4 {
            let dials = Dials::new(state.path());
            scope.spawn(move || {
                for _ in 0..5 {
                    dial(&dials).unwrap();
                    let own = format!("+{account}");
                    dials.change(&own, |history| history.unconnected += 1).unwrap();
                }
            });
        }
    });
    let all = Dials::new(state.path()).all().unwrap();
    assert_eq!(all[NUMBER].unconnected, 20);
    assert!((0..4).all(|account| all[&format!("+{account}")].unconnected == 5), "{all:?}");
}

#[test]
fn a_damaged_line_costs_only_itself_and_the_file_is_set_aside() {
    let state = tempfile::tempdir().unwrap();
    let dials = Dials::new(state.path());
    dial(&dials).unwrap();
    dials
        .change("+1", |history| *history = retry::failed(std::mem::take(history), NOW, HowEnded::Voice))
        .unwrap();
    let path = state.path().join(".dials");
    let mut dice = Dice(1);
    let sound = std::fs::read(&path).unwrap();
    let first_line = sound.iter().position(|&byte| byte == b'\n').unwrap();
    let mut damaged = sound.clone();
    damaged[dice.roll(first_line)] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let looked = dials.all().unwrap();
    assert_eq!(looked.len(), 1, "the other number's line is whole: {looked:?}");
    let changed = dials.change(NUMBER, |history| history.unconnected).unwrap();
    let set_aside = changed.set_aside.expect("it was damaged");
    assert_eq!(std::fs::read(set_aside).unwrap(), damaged);
    assert!(dials.change(NUMBER, |_| ()).unwrap().set_aside.is_none(), "it is told once");
    for garbage in [&b"\xff\xfe\0\0"[..], b"", b"\n\n", &[0; 5000]] {
        std::fs::write(&path, garbage).unwrap();
        dial(&dials).unwrap();
        assert_eq!(dials.look(NUMBER).unwrap().unconnected, 1);
    }
}

#[test]
fn a_barred_number_is_dialled_again_once_a_person_says_so_in_any_way_of_writing_it() {
    let state = tempfile::tempdir().unwrap();
    let dials = Dials::new(state.path());
    let place =
        mailcall::modem::Location { area: "30".into(), ..mailcall::modem::Location::in_country("49") };
    for written in ["+49 30 12345", "030/12345", "12345"] {
        dial(&dials).unwrap();
        dials
            .change(NUMBER, |history| *history = retry::failed(std::mem::take(history), NOW, HowEnded::Voice))
            .unwrap();
        let barred = may_dial(&dials.look(NUMBER).unwrap(), retry::Reach::Telephones, NOW + 1_000_000);
        assert_eq!(barred, Verdict::Barred(HowEnded::Voice));
        assert!(release(&dials, Some(&place), written).unwrap(), "{written}");
        assert_eq!(may_dial(&dials.look(NUMBER).unwrap(), retry::Reach::Telephones, NOW), Verdict::Dial);
        assert!(!release(&dials, Some(&place), written).unwrap(), "nothing is left to release");
    }
    assert!(dials.all().unwrap().is_empty(), "and nothing is remembered for nothing");
}

#[test]
fn a_released_modem_s_number_is_still_known_to_be_one() {
    let state = tempfile::tempdir().unwrap();
    let dials = Dials::new(state.path());
    dials.change(NUMBER, |history| *history = retry::connected(std::mem::take(history), NOW)).unwrap();
    dial(&dials).unwrap();
    assert!(dials.release(NUMBER).unwrap());
    assert_eq!(dials.look(NUMBER).unwrap().connected, Some(NOW));
}

#[test]
fn looking_writes_nothing() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(Dials::new(state.path()).look(NUMBER).unwrap().unconnected, 0);
    assert!(!Dials::new(state.path()).release(NUMBER).unwrap(), "nor does releasing what is not there");
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}
