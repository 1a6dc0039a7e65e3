//! What the host runs for a text transfer: two functions, loaded into the agent for one file.

use super::{LINES_FIRST, RUN_BYTES_FIRST};
use crate::shell::{HostFacts, Nonce};

/// The functions, as one command for the agent. `path` is a word of sh.
///
/// `d OFFSET LENGTH` prints a range of the file. `t RUN OFFSET LENGTH LINES LIST` sends it in
/// frames: each is `LINES` lines of the encoder joined, numbered from 1, proved by `k`. With a list
/// only the frames listed are sent. The last frame says how many there are: `RUN . COUNT`.
/// The command's status is 0 if the file can be read.
pub fn functions(nonce: Nonce, path: &str, facts: &HostFacts) -> String {
    // POSIX dd cuts at bytes everywhere, one byte at a time; head and tail are faster.
    let range = if facts.cuts_bytes {
        "tail -c +$(($1+1)) \"$f\"|head -c $2"
    } else {
        "dd bs=1 skip=$1 count=$2 <\"$f\""
    };
    let squeeze = if facts.gzips { "gzip -c|" } else { "" };
    format!(
        "f={path};d(){{ {range};}};o(){{ s=`printf %s \"$1\"|k`;echo \"~{nonce}:$1 ${{s%% *}}\";}};\
         t(){{ d $2 $3|{squeeze}e|{{ i=0;while read -r w;do j=1;\
         while [ $j -lt $4 ]&&read -r x;do w=\"$w $x\";j=$((j+1));done;i=$((i+1));\
         case \" $5 \" in *\" $i \"*|\"  \")o \"$1 $i `printf %s $w`\";esac;done;o \"$1 . $i\";}};}};\
         [ -r \"$f\" ]"
    )
}

/// Sends the first run of what is there from `offset` on, if there is anything; `$2` is the file's length.
/// Which is asked for before the file's length is known here, so the host sees to where the run ends.
pub fn first_run(seq: u32, offset: u64) -> String {
    let run = run_command(&format!("{seq}.1"), offset, 0, LINES_FIRST, &[]);
    let run = run.replacen(&format!(" {offset} 0 "), &format!(" {offset} $m "), 1);
    format!("m=$(($2-{offset}));[ $m -gt {RUN_BYTES_FIRST} ]&&m={RUN_BYTES_FIRST};[ $m -gt 0 ]&&{{ {run}; }}")
}

/// Asks for a run, or for some of its frames, as a command for the agent.
pub(super) fn run_command(run: &str, offset: u64, length: u64, lines: usize, list: &[usize]) -> String {
    let list: Vec<String> = list.iter().map(usize::to_string).collect();
    // The run speaks for itself: `continue` keeps the agent from replying as well.
    format!("t {run} {offset} {length} {lines} '{}';continue", list.join(" "))
}
