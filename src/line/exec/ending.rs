//! Ending a command with everything it has started: its session, politely first, and the child reaped.
//!
//! The child leads a session (setsid), and whatever it starts is in it, also jobs that a shell has put
//! into process groups of their own. Only what has made a session for itself has left: `ssh` with
//! ControlPersist, an agent. That is how a daemon says that it means to stay.

use std::process::{Child, ExitStatus};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::CHECK_EVERY;

/// Ends a session without waiting for it. SIGHUP goes out at once, even if this process ends before
/// the thread runs.
pub(super) fn end_session_apart(mut child: Child) {
    signal_session(&child, Signal::SIGHUP);
    if gone_within(&mut child, Duration::ZERO) {
        return;
    }
    let leader = leader(&child);
    let being_ended = BeingEnded::one_more();
    let spawned = std::thread::Builder::new().name("reaper".into()).spawn(move || {
        let _being_ended = being_ended;
        end_session(child)
    });
    if spawned.is_err() {
        // No thread to be had: no grace either.
        members(leader).iter().for_each(|member| send(member.pid, Signal::SIGKILL));
    }
}

/// Waits until every command has gone that was hung up without waiting. To be called before this
/// process ends: a command that ignores SIGHUP would outlive it. Bounded as each command's end is.
#[allow(clippy::disallowed_methods)] // a line is where the world begins: processes end in real time
pub fn wait_for_all() {
    let until = Instant::now() + HANGUP_GRACE + TERM_GRACE + KILL_GRACE + CHECK_EVERY;
    let mut count = BeingEnded::count();
    while *count > 0 {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        count = ENDED.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// A command that is being ended by a thread of its own, as long as this lives.
struct BeingEnded;

/// How many there are.
static BEING_ENDED: Mutex<usize> = Mutex::new(0);
/// One less.
static ENDED: Condvar = Condvar::new();

impl BeingEnded {
    fn count() -> MutexGuard<'static, usize> {
        BEING_ENDED.lock().unwrap_or_else(PoisonError::into_inner) // a number cannot be half written
    }

    fn one_more() -> Self {
        *Self::count() += 1;
        Self
    }
}

impl Drop for BeingEnded {
    fn drop(&mut self) {
        *Self::count() -= 1;
        ENDED.notify_all();
    }
}

/// Ends a session, politely first, and reaps its leader. Blocks for at most
/// `HANGUP_GRACE + TERM_GRACE` and the moment that SIGKILL takes.
pub(super) fn end_session(mut child: Child) -> Option<ExitStatus> {
    for (signal, grace) in [(Signal::SIGHUP, HANGUP_GRACE), (Signal::SIGTERM, TERM_GRACE)] {
        signal_session(&child, signal);
        if gone_within(&mut child, grace) {
            return child.try_wait().ok().flatten();
        }
    }
    // Again and again: what is forked between a look and the signal is in nobody's list.
    for _ in 0..KILL_GRACE.as_millis() / CHECK_EVERY.as_millis() {
        signal_session(&child, Signal::SIGKILL);
        if gone_within(&mut child, CHECK_EVERY) {
            break;
        }
    }
    child.try_wait().ok().flatten()
}

/// Whether leader and session have gone. A session outlives its leader as long as members are left,
/// and as long as it lives the kernel gives its number to nobody else.
#[allow(clippy::disallowed_methods)] // a line is where the world begins: processes end in real time
fn gone_within(child: &mut Child, grace: Duration) -> bool {
    let until = Instant::now() + grace;
    loop {
        let leader_gone = !matches!(child.try_wait(), Ok(None));
        if leader_gone && members(leader(child)).is_empty() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(CHECK_EVERY);
    }
}

/// The leader's group at one stroke, then whoever is in another.
fn signal_session(child: &Child, signal: Signal) {
    let leader = leader(child);
    let _ = killpg(leader, signal); // ESRCH: all have ended already
    let _ = killpg(leader, Signal::SIGCONT); // a stopped process hears nothing else
    for member in members(leader).iter().filter(|member| member.group != leader) {
        send(member.pid, signal);
    }
}

fn send(pid: Pid, signal: Signal) {
    let _ = kill(pid, signal); // it may have ended
    let _ = kill(pid, Signal::SIGCONT);
}

/// The child leads a session and a process group of the same number.
fn leader(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32) // a pid is positive and below 2^22
}

/// A process of a session.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    pid: Pid,
    group: Pid,
}

/// The processes of a session that run. One that has ended and only waits for its parent to look is
/// none, and cannot be signalled either.
fn members(session: Pid) -> Vec<Member> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        // Without proc(5) only the group is known.
        let alive = killpg(session, None).is_ok();
        return alive.then_some(Member { pid: session, group: session }).into_iter().collect();
    };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        // Read anew for each, so that a number that has changed hands meanwhile is not taken.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        member(Pid::from_raw(pid), &stat, session)
    })
    .collect()
}

/// From `/proc/PID/stat` (proc(5)): `PID (NAME) STATE PPID GROUP SESSION ..`; the name may hold anything.
fn member(pid: Pid, stat: &str, session: Pid) -> Option<Member> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let (state, _parent) = (fields.next()?, fields.next()?);
    let mut number = || fields.next()?.parse().ok().map(Pid::from_raw);
    let (group, its_session) = (number()?, number()?);
    (its_session == session && !matches!(state, "Z" | "X")).then_some(Member { pid, group })
}

/// How long a command may take to go after SIGHUP.
pub const HANGUP_GRACE: Duration = Duration::from_secs(2);
/// How long after SIGTERM.
pub const TERM_GRACE: Duration = Duration::from_secs(1);
/// How long SIGKILL may take; longer only if the kernel is stuck on a disk.
const KILL_GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_by_its_session_whatever_its_name_is() {
        let [pid, session, group] = [77, 40, 50].map(Pid::from_raw);
        let found = Some(Member { pid, group });
        assert_eq!(member(pid, "77 (sleep) S 1 50 40 34816 50 4194304", session), found);
        assert_eq!(member(pid, "77 (a) Z 1 9 (b) R 1 50 40 34816", session), found);
        assert_eq!(member(pid, "77 (sleep) Z 1 50 40 34816", session), None, "it has ended");
        assert_eq!(member(pid, "77 (sleep) S 1 50 41 34816", session), None);
        assert_eq!(member(pid, "77 (sleep", session), None);
    }
}
