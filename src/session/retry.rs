//! Whether a number may be dialled, and when it is dialled again: rules without I/O, as a table.
//!
//! Two sets of rules, and they are apart on purpose.
//!
//! - [`may_dial`] protects whoever owns the telephone at the other end. It looks at what all runs
//!   remember of a number, holds for each of them, and no configuration turns it off; only a person who
//!   knows the number ([`crate::store::dials::Dials::release`]) lifts what it says.
//! - [`next`] is the patience of one run that was asked to redial.
//!
//! The numbers are those that dialling programs have converged on, and what approval rules for modems
//! ask of automatic calling equipment: a pause that grows, and an end.

use std::time::Duration;

use super::Ending;
use crate::config::Redial;
use crate::store::dials::{Dialled, History, HowEnded};

/// Seconds since 1970.
pub type UnixSeconds = u64;

/// What the memory says about dialling a number now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be dialled.
    Dial,
    /// Not before this time.
    Rest {
        /// When it may be dialled again.
        until: UnixSeconds,
        /// Why not now.
        why: Why,
    },
    /// Not until a person says so: this answered, and it was no modem, or so ended the last of too many
    /// dials that reached none.
    Barred(HowEnded),
}

/// What a call of this kind reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Any telephone.
    Telephones,
    /// No telephone, says the modem's profile: a data bearer. A profile may be the wrong one for its
    /// modem, so such a number is trusted as one that has connected before, and no more.
    Bearer,
    /// A host on a network, by its name or address.
    Host,
}

/// Why a number rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// So many dials met no carrier, at a number that was never a modem's.
    NeverAModem(u32),
    /// So many dials met no carrier, at a number that is a modem's.
    NoCarrier(u32),
    /// So many dials were not answered, at a number that was never a modem's.
    Unanswered(u32),
    /// Somebody answered, or a fax did, at a number that is a modem's.
    Answered(HowEnded),
    /// So many dials of any kind have not connected.
    TooMany(u32),
}

/// Whether the number with this history may be dialled at `now`.
///
/// A host on a network is never held back here.
pub fn may_dial(history: &History, reach: Reach, now: UnixSeconds) -> Verdict {
    if reach == Reach::Host {
        return Verdict::Dial;
    }
    if let Some(how) = history.barred {
        return Verdict::Barred(how);
    }
    let history = settled(history.clone(), now);
    let is_a_modem = history.connected.is_some() || reach == Reach::Bearer;
    let of = |is: fn(HowEnded) -> bool| {
        let found = history.recent.iter().filter(|dialled| is(dialled.how));
        found.fold((0, 0), |(count, _), dialled| (count + 1, dialled.at))
    };
    // A run that was killed while it rang may have been answered: it counts like one that was.
    let (silent, silent_at) = of(|how| matches!(how, HowEnded::NoCarrier | HowEnded::Unknown));
    let (answered, answered_at) = of(|how| matches!(how, HowEnded::Voice | HowEnded::Fax));
    let (unanswered, unanswered_at) = of(|how| matches!(how, HowEnded::NoAnswer | HowEnded::Interrupted));
    let (rang, _) = of(may_have_rung);
    if rang >= if is_a_modem { KNOWN_RINGS_MAX } else { UNKNOWN_RINGS_MAX } {
        let last = history.recent.iter().rev().map(|dialled| dialled.how).find(|&how| may_have_rung(how));
        return Verdict::Barred(last.unwrap_or(HowEnded::Unknown));
    }
    let last_at = history.last().map_or(0, |last| last.at);
    let rests = [
        if is_a_modem {
            let rest = doubled(KNOWN_REST, silent, KNOWN_NO_CARRIERS, KNOWN_REST_MAX);
            (Why::NoCarrier(silent), silent_at, rest)
        } else {
            let rest = doubled(UNKNOWN_REST, silent, UNKNOWN_NO_CARRIERS, UNKNOWN_REST_MAX);
            (Why::NeverAModem(silent), silent_at, rest)
        },
        (Why::Answered(last_answer(&history)), answered_at, if answered > 0 { ANSWERED_REST } else { 0 }),
        (
            Why::TooMany(history.unconnected),
            last_at,
            match doubled(TOO_MANY_REST, rang, DIALS_IN_A_ROW, TOO_MANY_REST_MAX) {
                // A busy line rings nobody: its rest does not grow.
                0 if history.unconnected >= DIALS_IN_A_ROW => TOO_MANY_REST,
                rest => rest,
            },
        ),
        (
            Why::Unanswered(unanswered),
            unanswered_at,
            if !is_a_modem && unanswered >= UNKNOWN_UNANSWERED { UNANSWERED_REST } else { 0 },
        ),
    ];
    let rests = rests.into_iter().map(|(why, at, rest)| (at.saturating_add(rest), why));
    match rests.filter(|(until, _)| *until > now).max_by_key(|(until, _)| *until) {
        Some((until, why)) => Verdict::Rest { until, why },
        None => Verdict::Dial,
    }
}

/// Whether a dial that ended so may have rung a telephone.
fn may_have_rung(how: HowEnded) -> bool {
    match how {
        HowEnded::Unknown
        | HowEnded::NoAnswer
        | HowEnded::NoCarrier
        | HowEnded::Voice
        | HowEnded::Fax
        | HowEnded::Interrupted => true,
        HowEnded::Busy
        | HowEnded::NoDialtone
        | HowEnded::Delayed
        | HowEnded::Blacklisted
        | HowEnded::Failed => false,
    }
}

/// The history with no dial in the future: a clock that went backwards makes a rest last as long as
/// it is, and not until that time comes again.
pub fn settled(mut history: History, now: UnixSeconds) -> History {
    for dialled in &mut history.recent {
        dialled.at = dialled.at.min(now);
    }
    history.connected = history.connected.map(|at| at.min(now));
    history
}

/// The history with a dial that is about to begin. To be written down before it does.
pub fn begun(history: History, now: UnixSeconds) -> History {
    let mut history = settled(history, now);
    history.unconnected = history.unconnected.saturating_add(1);
    history.recent.push(Dialled { at: now, how: HowEnded::Unknown });
    history
}

/// The history with the end of the dial that began at `begun`, and did not connect.
pub fn failed(mut history: History, begun: UnixSeconds, how: HowEnded) -> History {
    let open = |dialled: &&mut Dialled| dialled.how == HowEnded::Unknown && dialled.at == begun;
    match history.recent.iter_mut().rev().find(open) {
        Some(dialled) => dialled.how = how,
        // Another run connected in between, and the row began anew.
        None => history.recent.push(Dialled { at: begun, how }),
    }
    let is_answer = |how| matches!(how, HowEnded::Voice | HowEnded::Fax);
    let answers = history.recent.iter().filter(|dialled| is_answer(dialled.how)).count();
    if is_answer(how) && (history.connected.is_none() || answers > 1) {
        history.barred = Some(how);
    }
    history
}

/// The history with a carrier: the number is a modem's.
pub fn connected(history: History, now: UnixSeconds) -> History {
    History { connected: Some(now), barred: history.barred, ..History::default() }
}

fn last_answer(history: &History) -> HowEnded {
    let answers = history.recent.iter().rev().map(|dialled| dialled.how);
    answers
        .into_iter()
        .find(|how| *how == HowEnded::Fax || *how == HowEnded::Voice)
        .unwrap_or(HowEnded::Voice)
}

/// `first` seconds at `from` times, twice as long with each further one, never more than `max`.
fn doubled(first: u64, times: u32, from: u32, max: u64) -> u64 {
    let Some(more) = times.checked_sub(from) else { return 0 };
    first.checked_mul(1 << more.min(u64::BITS / 2)).map_or(max, |rest| rest.min(max))
}

/// How one pass over an account's numbers ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Its end.
    pub ending: Ending,
    /// Numbers that were dialled in it.
    pub dials: u32,
    /// Whether it got a carrier, or a line that needs none.
    pub connected: bool,
    /// How long the call was.
    pub call_time: Duration,
    /// For how long the modem refuses the number, where it said so.
    pub delayed: Option<Duration>,
}

/// What a run has tried so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    /// Numbers dialled.
    pub dials: u32,
    /// Passes that connected.
    pub connects: u32,
    /// NO CARRIERs in this run at the number that has had fewest.
    pub no_carriers: u32,
    /// Calls in a row that were lost before they were long.
    pub short_calls: u32,
}

/// Whether to dial again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// No, and this is why.
    Stop(Stop),
    /// Yes, when so much time has passed.
    After(Duration),
}

/// Why a run does not dial again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// All is done, or dialling again would change nothing.
    Final,
    /// Whoever answers is no modem, or the number rests.
    Protected,
    /// The number was dialled as often as is allowed.
    DialsUsed,
    /// So many calls connected and were lost.
    ConnectsUsed,
}

impl Tries {
    /// With one more pass. `no_carriers` is counted by the caller, who knows the numbers.
    pub fn with(self, last: &Last, no_carriers: u32) -> Self {
        let short_calls = match (last.connected, last.call_time >= LONG_CALL) {
            (true, false) => self.short_calls.saturating_add(1),
            (true, true) | (false, _) => 0,
        };
        Self {
            dials: self.dials.saturating_add(last.dials),
            connects: self.connects.saturating_add(u32::from(last.connected)),
            no_carriers,
            short_calls,
        }
    }
}

/// What comes after a pass that ended like `last`; `tries` has it counted.
pub fn next(policy: &Redial, tries: Tries, last: &Last) -> Next {
    let wait = match (worth(last), last.ending) {
        (Worth::Nothing, _) => return Next::Stop(Stop::Final),
        (Worth::Protected, _) => return Next::Stop(Stop::Protected),
        (Worth::Another, _) if last.connected => {
            let shift = tries.short_calls.saturating_sub(1).min(u32::BITS / 2);
            LOST_WAIT.saturating_mul(1 << shift).min(LOST_WAIT_MAX)
        }
        // By then no number is left that may be dialled in this run.
        (Worth::Another, _) if tries.no_carriers > NO_CARRIER_AGAIN => {
            return Next::Stop(Stop::Protected);
        }
        (Worth::Another, Ending::Busy) => policy.busy_wait,
        (Worth::Another, _) => last.delayed.unwrap_or(policy.wait),
    };
    if tries.connects >= policy.connects {
        Next::Stop(Stop::ConnectsUsed)
    } else if tries.dials >= policy.dials {
        Next::Stop(Stop::DialsUsed)
    } else {
        Next::After(wait.max(Redial::WAIT_MIN))
    }
}

enum Worth {
    /// Dialling again may do better.
    Another,
    /// It would not, or must not: a person has to look at it first.
    Nothing,
    /// It would ring somebody's telephone.
    Protected,
}

/// Every end, and whether it is retried by itself.
fn worth(last: &Last) -> Worth {
    match last.ending {
        Ending::Busy | Ending::NoAnswer | Ending::NoCarrier => Worth::Another,
        // The modem says for how long; our own memory says hours.
        Ending::Delayed if last.dials > 0 => Worth::Another,
        Ending::Delayed | Ending::Blacklisted | Ending::Voice | Ending::Fax => Worth::Protected,
        Ending::CarrierLost
        | Ending::LoginTimeout
        | Ending::TooManySessions
        | Ending::LoginsClosed
        | Ending::TransferFailed
            if last.connected =>
        {
            Worth::Another
        }
        Ending::MailboxLocked if last.connected => Worth::Another,
        Ending::Done
        | Ending::Usage
        | Ending::BadData
        | Ending::NoSuchPort
        | Ending::ModemSilent
        | Ending::Bug
        | Ending::LocalDisk
        | Ending::NoDialtone
        | Ending::CarrierLost
        | Ending::LoginTimeout
        | Ending::TooManySessions
        | Ending::LoginsClosed
        | Ending::TransferFailed
        | Ending::PortLocked
        | Ending::MailboxLocked
        | Ending::Interrupted
        | Ending::PeerMisbehaved
        | Ending::Rejected
        | Ending::HostLacks
        | Ending::LoginRefused
        | Ending::LoginExpired
        | Ending::AccountLocked
        | Ending::NoPermission
        | Ending::Config
        | Ending::NoMailbox => Worth::Nothing,
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// NO CARRIERs after which a number that never connected rests: it may be a person's.
const UNKNOWN_NO_CARRIERS: u32 = 2;
/// How long it rests first, in seconds, and at most.
const UNKNOWN_REST: u64 = HOUR;
const UNKNOWN_REST_MAX: u64 = 24 * HOUR;
/// The same for a number that is a modem's: there it is the line.
const KNOWN_NO_CARRIERS: u32 = 6;
const KNOWN_REST: u64 = 15 * MINUTE;
/// A number may have become somebody else's since.
const KNOWN_REST_MAX: u64 = 24 * HOUR;
/// Seconds that a modem's number rests when a person or a fax answered.
const ANSWERED_REST: u64 = HOUR;
/// Dials in a row without a connection after which any number rests, and how long, in seconds.
const DIALS_IN_A_ROW: u32 = 12;
const TOO_MANY_REST: u64 = HOUR;
const TOO_MANY_REST_MAX: u64 = 24 * HOUR;
/// Dials without an answer after which a number that never connected is left alone for a while, and
/// how long, in seconds, whatever wait the account has.
const UNKNOWN_UNANSWERED: u32 = 3;
const UNANSWERED_REST: u64 = 5 * MINUTE;
/// Dials in a row that may have rung a telephone, after which a number is barred: one that never
/// connected, and one that did. The memory holds no fewer of a row.
const UNKNOWN_RINGS_MAX: u32 = 16;
const KNOWN_RINGS_MAX: u32 = 24;
const _: () = assert!(KNOWN_RINGS_MAX as usize <= crate::store::dials::RECENT_MAX);
/// NO CARRIERs in one run that are followed by another dial.
pub const NO_CARRIER_AGAIN: u32 = 1;
/// The wait after a call that was lost, doubling from the first to the second.
const LOST_WAIT: Duration = Duration::from_secs(5);
const LOST_WAIT_MAX: Duration = Duration::from_secs(600);
/// A call of this length was worth it: the wait behind it begins anew.
const LONG_CALL: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests;
