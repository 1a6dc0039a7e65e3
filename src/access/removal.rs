//! One command that removes messages from the host's mailbox, under its lock and in place.
//!
//! The mailbox is never half rewritten for long, whatever happens on the way:
//!
//! 1. The command is deaf to the hangup that a lost carrier brings, so what it began it ends.
//! 2. It takes the lock, proves by a digest that the mailbox still begins with what is known here,
//!    and looks for a From_ line at each edge of what is removed.
//! 3. What stays behind the first message removed, with what came in meanwhile, is copied to the home
//!    directory, then a plan, one line that says where the copy belongs. With both on the
//!    disk, the copy is written over the mailbox from the first change on, and the mailbox is cut.
//! 4. A host that crashed in between finds plan and copy at the next call, and the command ends what
//!    it had begun ([`Order::finish`]). When all that follows goes away there is nothing to copy,
//!    and cutting is one step.
//!
//! Locks are fcntl, by perl or python, and a dotlock; each is tried without waiting, and whoever has
//! one and not the other gives it back before it tries again. So no order of locks can deadlock.

use std::fmt::Write;
use std::ops::Range;

use super::survey::DigestTool;
use crate::shell::quote::quote;

/// What can take an fcntl lock on the host: sh cannot, and a lock outlives the `exec` of a sh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fcntl {
    /// perl, with the modules that every perl has.
    Perl,
    /// Python 3.
    Python3,
}

/// What to remove, and from what.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// The mailbox, a word of sh.
    pub path: &'a str,
    /// Proves it.
    pub digest_tool: DigestTool,
    /// For the lock that sh cannot take.
    pub fcntl: Option<Fcntl>,
    /// The mailbox must begin with this many bytes ..
    pub known: u64,
    /// .. of which the digest tool prints this.
    pub digest: &'a str,
    /// What goes away: in order, not empty, within the bytes known.
    pub ranges: &'a [Range<u64>],
}

impl<'a> Order<'a> {
    /// Only brings to its end what an earlier removal has left behind.
    pub fn finish(path: &'a str, digest_tool: DigestTool, fcntl: Option<Fcntl>) -> Self {
        Self { path, digest_tool, fcntl, known: 0, digest: "", ranges: &[] }
    }

    /// The commands: all but the last define variables in the host's sh, where they stay, and are
    /// there only if one line of `longest` bytes does not hold it all.
    pub fn commands(&self, longest: usize) -> Vec<String> {
        let merged = merged(self.ranges);
        let removed: u64 = merged.iter().map(|range| range.end - range.start).sum();
        let work = self.work(removed);
        let mut steps = vec![format!("mf={}", self.path), format!("mw={}", quote(work.as_bytes()))];
        steps.extend(lists(&merged));
        steps.push(self.run());
        let mut commands: Vec<String> = Vec::new();
        for step in steps {
            match commands.last_mut() {
                Some(last) if last.len() + 1 + step.len() <= longest => {
                    last.push(';');
                    last.push_str(&step);
                }
                Some(_) | None => commands.push(step),
            }
        }
        commands
    }

    fn work(&self, removed: u64) -> String {
        WORK.replace("@DIGEST", self.digest_tool.program())
            .replace("@KNOWN", &self.known.to_string())
            .replace("@PROOF", self.digest)
            .replace("@REMOVED", &removed.to_string())
            .replace("@FRESH", if self.known > QUICK_BYTES { FRESH } else { "" })
            .replace("@BLOCK", &BLOCK.to_string())
    }

    fn run(&self) -> String {
        let with_fcntl = match self.fcntl {
            Some(Fcntl::Perl) => format!("F=fcntl $s perl -e {} \"$f\"", quote(PERL.as_bytes())),
            Some(Fcntl::Python3) => format!("F=fcntl $s python3 -c {} \"$f\"", quote(PYTHON.as_bytes())),
            None => "$s".to_owned(),
        };
        RUN.replace("@FCNTL", &with_fcntl).replace("@TRIES", &(4 * LOCK_SECONDS).to_string())
    }
}

/// Ranges that touch are one.
fn merged(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        match merged.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(_) | None => merged.push(range.clone()),
        }
    }
    merged
}

/// How many bytes stay and how many go, in turns, as a variable made in several steps.
fn lists(ranges: &[Range<u64>]) -> Vec<String> {
    let mut lists = vec!["mr=".to_owned()];
    let mut end = 0;
    for chunk in ranges.chunks(LIST_RANGES) {
        let mut list = String::from("mr=\"$mr");
        for range in chunk {
            let _ = write!(list, " {} {}", range.start - end, range.end - range.start); // to a String
            end = range.end;
        }
        list.push('"');
        lists.push(list);
    }
    lists
}

/// How a removal on the host ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The messages are gone.
    Removed,
    /// The mailbox does not begin with what is known, or other than a From_ line stands at an edge.
    Changed,
    /// Nothing was asked for beyond finishing what was left.
    Finished,
    /// The mailbox is as it was, or [`Obstacle::Unwritten`].
    Failed(Obstacle),
}

/// Why a removal failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Another program has the lock.
    Locked,
    /// There is no way to lock it.
    NoLock,
    /// It may not be written.
    NoPermission,
    /// There is no room for the copy, or the home directory cannot be written. Nothing was touched.
    NoRoom,
    /// Writing the mailbox itself failed: the copy is there, and the next call goes on.
    Unwritten,
    /// The command broke off with this status.
    Broken(i32),
}

/// What the host says of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// Which locks were taken.
    pub locks: Vec<String>,
    /// What an earlier removal had left was brought to its end.
    pub mended: bool,
    /// An earlier removal's copy does not fit the mailbox any more; it is kept here.
    pub kept: Option<String>,
}

impl Answer {
    /// Reads the reply; `None` when it is none.
    pub fn parse(reply: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(reply);
        let mut answer = Self {
            outcome: Outcome::Failed(Obstacle::Broken(0)),
            locks: Vec::new(),
            mended: false,
            kept: None,
        };
        let mut said = None;
        let mut status = None;
        for line in text.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("y", locks) => answer.locks = locks.split_whitespace().map(str::to_owned).collect(),
                ("r", "") => answer.mended = true,
                ("l", place) => answer.kept = Some(place.to_owned()),
                ("e", number) => status = Some(number.parse().ok()?),
                (word, "") => said = Some(outcome(word)?),
                (_, _) => return None,
            }
        }
        answer.outcome = match (status?, said) {
            (0, Some(outcome)) => outcome,
            (BUSY, _) => Outcome::Failed(Obstacle::Locked),
            (status, _) => Outcome::Failed(Obstacle::Broken(status)),
        };
        Some(answer)
    }
}

fn outcome(word: &str) -> Option<Outcome> {
    Some(match word {
        "o" => Outcome::Removed,
        "c" => Outcome::Changed,
        "k" => Outcome::Finished,
        "n" => Outcome::Failed(Obstacle::NoLock),
        "p" => Outcome::Failed(Obstacle::NoPermission),
        "t" => Outcome::Failed(Obstacle::NoRoom),
        "w" => Outcome::Failed(Obstacle::Unwritten),
        _ => return None,
    })
}

/// Gets the locks and does the work. `mf` is the mailbox, `mw` the work, `mr` the list.
///
/// Signals 1, 2, 3, 13 and 15: nothing that a lost carrier brings ends it half-way; and where there is setsid,
/// the work is not in the process group that some terminals' programs kill at last. The dotlock comes
/// first, as procmail, exim and Dovecot have it, and is given back if the fcntl lock is not free. `k NAME COMMAND`
/// tries a way to the dotlock, `m` is the one as NFS wants it, by the count of links; `u` unlocks; `c` becomes 9
/// if another has it (`b`).
const RUN: &str = "trap '' 1 2 3 13 15;f=$mf;[ -h \"$f\" ]&&f=$(readlink -f \"$f\"||echo \"$f\");l=$f.lock;export f l y;s=$(command -v setsid);\
u(){ [ ! \"$y\" ]||rm -f \"$l\"||dotlockfile -u \"$l\"||mutt_dotlock -u -p \"$f\"||{ [ \"$f\" = \"$MAIL\" ]&&lockfile -mu;};};\
b(){ [ -e \"$l\" ]&&c=9;};k(){ y=$1;shift;\"$@\"||{ case $? in 3|4|73)c=9;esac;y=;b;return 1;};};\
m(){ q=$l.$(uname -n).$$;echo 0 >\"$q\"||return 1;ln \"$q\" \"$l\"||b||ln \"$q\" \"$l\"||b;set -- $(ls -ld \"$q\");rm -f \"$q\";[ \"$2\" = 2 ];};\
if [ ! -f \"$f\" ];then echo c;c=0;elif [ ! -w \"$f\" ];then echo p;c=0;else i=0;while c=0;\
[ \"$(find \"$l\" -prune -mmin +5)\" ]&&y=1&&u;\
k dotlockfile dotlockfile -l -r 0 \"$l\"||k lockfile lockfile -r0 \"$l\"||{ [ \"$f\" = \"$MAIL\" ]&&k lockfile lockfile -r0 -ml;}||\
k mutt_dotlock mutt_dotlock -p -r0 \"$f\"||k ln m;\
if [ \"$y\" ]||[ $c = 0 ];then @FCNTL sh -c \"$mw\" x $mr;c=$?;case $c in 0|9);;*)$s sh -c \"$mw\" x $mr;c=$?;esac;u;fi;\
i=$((i+1));[ $c = 9 ]&&[ $i -lt @TRIES ];do [ $((i%4)) != 0 ]||sleep 1;done;fi;echo e $c";

/// Ends with 9 if another has the lock and with 8 if there are no locks here; else becomes the sh that
/// does the work, which then is the process that holds it. In `struct flock` all is zero but the type, which
/// stands first, and on the BSDs behind start, length and process.
const PERL: &str = "use Fcntl;$^F=99;open F,\"+<\",shift or exit 8;\
fcntl(F,F_SETLK,pack($^O=~/bsd|darwin|dragonfly/?\"x20sx40\":\"sx60\",F_WRLCK))or exit($!{EAGAIN}||$!{EACCES}?9:8);\
exec@ARGV";

/// The same. The descriptor must live on: closing any of the file's gives up the lock.
const PYTHON: &str = "exec(\"import os,sys,fcntl;f=os.open(sys.argv[1],2);os.set_inheritable(f,True)\\n\
try:fcntl.lockf(f,6)\\nexcept OSError as e:os._exit(9 if e.errno in(11,13,35)else 8)\\n\
os.execvp(sys.argv[2],sys.argv[2:])\")";

/// The work, in a sh of its own that must never open the mailbox itself: closing it would give up the
/// fcntl lock. Programs that it starts may; but a redirection is opened by some shells before they
/// fork (ksh93), so the mailbox is always named as an operand.
///
/// `z` size; `h` digest; `g FILE OFFSET LENGTH` prints a range; `x` says how it ended; `c` wants a From_ line; `T LENGTH` cuts; `F` writes the plan, writes the copy over the mailbox, and cuts.
/// In `$J.m`, the plan: where the copy `$J.t` belongs, the size before, the copy's length, a digest
/// of what lies behind it as long as the mailbox is not cut, and one of the copy.
const WORK: &str = "z(){ wc -c \"$f\"|{ read v v1;echo $v;};};h(){ @DIGEST|{ read v v1;echo $v;};};s(){ (sync \"$@\"||sync);};\
d(){ [ $4 -lt 1 ]||dd if=\"$1\" bs=$2 skip=$3 count=$4;};\
g(){ q=$(($2+$3));b=$((($2+@BLOCK-1)/@BLOCK));t=$((q/@BLOCK));if [ $b -lt $t ];then \
d \"$1\" 1 $2 $((b*@BLOCK-$2))&&d \"$1\" @BLOCK $b $((t-b))&&d \"$1\" 1 $((t*@BLOCK)) $((q%@BLOCK));else d \"$1\" 1 $2 $3;fi;};\
J=$HOME/.mailcall-removal-$(printf %s \"$f\"|h);\
x(){ [ -f \"$J.m\" ]||rm -f \"$J\".?;echo $1;exit 0;};\
[ \"$y$F\" ]||x n;echo y $y $F;@FRESH\
c(){ [ \"$(dd if=\"$f\" bs=1 skip=$1 count=5)\" = \"From \" ]||x c;};\
T(){ dd if=/dev/null of=\"$f\" bs=1 seek=$1||x w;s \"$f\";rm -f \"$J\".?;};\
F(){ while z=$(z);g \"$f\" $S $((z-S)) >>\"$J.t\"||x t;S=$z;n=$(($(wc -c <\"$J.t\")));[ $((S-a-n)) = $m ]||x c;\
echo $a $S $n $(g \"$f\" $((a+n)) $m|h) $(g \"$J.t\" 0 $n|h) >\"$J.n\"&&s \"$J.t\" \"$J.n\"&&mv \"$J.n\" \"$J.m\"||x t;s \"$HOME\";\
dd if=\"$J.t\" of=\"$f\" bs=@BLOCK seek=$((a/@BLOCK)) conv=notrunc||x w;s \"$f\";[ $(z) != $S ];do :;done;T $((a+n));};\
z=$(z);if read a S n r w <\"$J.m\";then m=$((S-a-n));\
if [ $z -ge $S ]&&[ \"$(g \"$f\" $((a+n)) $m|h) $(g \"$J.t\" 0 $n|h)\" = \"$r $w\" ];then \
dd if=/dev/null of=\"$J.t\" bs=1 seek=$n;F;echo r;z=$(z);elif [ \"$(g \"$f\" $a $n|h)\" = \"$w\" ];then echo r;\
else q=$HOME/mailcall-kept.$$;mv \"$J.t\" \"$q\"&&echo l \"$q\";fi;rm -f \"$J.m\";fi;\
[ $# -gt 0 ]||x k;[ $z -ge @KNOWN ]&&[ \"$(g \"$f\" 0 @KNOWN|h)\" = @PROOF ]||x c;\
if [ $# = 2 ]&&[ $(($1+$2)) = $z ];then c $1;T $1;x o;fi;\
m=@REMOVED;a=$(($1/@BLOCK*@BLOCK));S=$a;o=0;printf \"\" >\"$J.t\"||x t;\
while [ $# -gt 0 ];do p=$((o+$1));g \"$f\" $S $((p-S)) >>\"$J.t\"||x t;c $p;o=$((p+$2));S=$o;[ $o = $z ]||c $o;shift 2;done;\
F;x o";

/// Keeps the dotlock from looking stale while a large mailbox is read: others take it away after five minutes.
const FRESH: &str =
    "(while sleep 60&&kill -0 $$;do touch \"$l\"||dotlockfile -t \"$l\";done)>/dev/null </dev/null&";

/// What the work ends with when another program has the lock.
const BUSY: i32 = 9;
/// For how long the locks are tried: four times at once for each second slept, for to sleep less is not
/// possible everywhere, and what delivers a batch lets go for an instant only.
pub const LOCK_SECONDS: u32 = 30;
/// What `dd` reads and writes at a time, in bytes; the copy begins at a multiple of it.
const BLOCK: u64 = 4096;
/// Mailboxes up to this many bytes are done long before a dotlock is stale.
const QUICK_BYTES: u64 = 256 * 1024 * 1024;
/// Ranges in one step of the list: a few hundred bytes of the command.
const LIST_RANGES: usize = 16;

#[cfg(test)]
mod tests;
