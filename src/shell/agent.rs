//! What is typed at the host: the loader, the agent it loads, and the requests the agent takes.
//!
//! Everything here is sh as POSIX has it, and no more of it than is needed: at 2,400 bit/s 240 bytes
//! are a second. The loader stands inside single quotes that Bourne shells, csh and fish read alike,
//! so it has no `!`, no backslash and no quote of its own.

use super::checksum::Checksum;
use super::frame::Nonce;

/// The one line typed at the login shell's prompt, without its line end.
///
/// The blank in front keeps it out of histories that ignore such lines; the `unset` keeps bash
/// (`HISTFILE`) and tcsh (`savehist`) from writing theirs when they are replaced. zsh with
/// INC_APPEND_HISTORY but without HIST_IGNORE_SPACE, ksh93, and mksh where HISTFILE is set, write
/// each line as it is read: no line typed there can avoid it.
///
/// One bit makes CR of `-` and LF of `*`, and an early end of the line cannot be taken back: so both
/// stand inside the quotes, where a line end only leads to a continuation prompt. The one `-` that
/// does not follows `exec sh`, which by itself is harmless.
pub fn loader(nonce: Nonce) -> String {
    format!("{}'{}'", EXEC_SH, loading_loop(nonce))
}

/// The same in two lines, for an editor that scrolls long lines sideways and so shows no honest
/// echo: the first is short, and the second is echoed by the terminal driver itself.
pub fn loader_in_two(nonce: Nonce) -> (String, String) {
    (format!("{EXEC_SH}'read a;eval \"$a\"'"), format!(" :;{}", loading_loop(nonce)))
}

/// The same where the login shell may not be replaced, or `exec` is an alias of its user's: it waits,
/// and leaves when the loader is done.
///
/// A restricted bash keeps its HISTFILE too, so it is told to remember nothing; and a PATH made for it
/// may lack what the loader needs. All shells but fish, which never needs this line, know `\sh` for what
/// is no alias.
pub fn loader_without_exec(nonce: Nonce) -> String {
    format!(
        " :;(set +o history)&&set +o history;unset savehist;\\sh -c 'PATH=$PATH:/bin:/usr/bin;{}';exit",
        loading_loop(nonce)
    )
}

/// For whatever shell tmux takes to run a command.
pub fn loader_for_tmux(nonce: Nonce) -> String {
    format!("exec sh -c '{}'", loading_loop(nonce))
}

/// The `:` is for what is no shell but takes lines: a menu may take the first letter for its answer,
/// and no menu has a `:`.
const EXEC_SH: &str = " :;unset HISTFILE savehist;exec sh -c ";

/// Says that it waits, takes `<checksum> <text>` and evaluates the text if the checksum proves it.
/// `k` prints the checksum with the first command there is; where there is neither, `dd` prints the
/// text itself and the "checksum" is a pattern for all of it ([`adler_definition`]).
fn loading_loop(nonce: Nonce) -> String {
    format!(
        "stty raw -echo;k(){{ cksum||md5sum||dd;}};while echo {};\
         do read c a||exit;case `echo \"$a\"|k` in $c\" \"*)eval \"$a\";esac;done",
        nonce.split_for_shell()
    )
}

/// A line for a loader that may not be the one that was typed: noise may have hit it, since nobody looked
/// at its echo before it was run. In its place comes one that a checksum has proven.
pub fn loader_again(nonce: Nonce, sum: Checksum) -> Vec<u8> {
    proven(sum, &format!("exec sh -c '{}'", loading_loop(nonce)))
}

/// The agent, as a line for the loader.
///
/// It takes `<checksum> <number> <kind> <text>` lines. `n` is the last number taken, `r` the blocks
/// of its reply, kept until the next command so that they can be sent again:
/// - a damaged line, or none, is answered with `-n`;
/// - number `n` again sends the reply again and runs nothing: kind `g` the blocks listed, else all;
/// - any other number is a new command. Kind `-` is evaluated in the agent itself with the line as
///   its input and output; any other kind is the number of blocks to keep of its output.
///
/// `e` encodes with the first encoder there is; a reply's last line is the exit status.
pub fn agent(nonce: Nonce, sum: Checksum) -> Vec<u8> {
    let text = format!(
        "exec 2>/dev/null;mesg n;umask 077;LC_ALL=C;export LC_ALL;n=0;r=;\
         e(){{ base64||openssl base64||uuencode -m x||od -An -v -tx1;}};\
         p(){{ set -- $r;i=0;for b do i=$((i+1));b=\"$n $i/$# $b\";\
         case \" $a \" in *\" $i \"*|\"  \")echo \"~{nonce}$b `printf %s \"$b\"|k`\";esac;done;}};\
         while read -r c q l a;do case `printf %s \"$q $l $a\"|k`:$q:$l in \
         \"$c \"*:$n:g)p;;\"$c \"*:$n:*)a=;p;;\
         \"$c \"*[!g])n=$q;case $l in -)eval \"$a\";r=`echo \" $?\"|e`;r=`printf %s $r`;stty raw -echo;;\
         *)r=`{{ (eval \"$a\")</dev/null;echo \" $?\";}}|e|{{ i=0;while [ $i -lt $l ]&&read -r w;\
         do read -r x;read -r y;read -r z;printf %s $w $x $y $z;echo;i=$((i+1));done;}}`;esac;a=;p;;\
         *)echo \"~{nonce}-$n\";esac;done;exit"
    );
    proven(sum, &text)
}

/// A line for the loader of a host with neither `cksum` nor `md5sum`: from here on `k` is Adler-32.
///
/// The loader compares what it read with the pattern in front of it, so the text travels twice.
pub fn adler_definition() -> Vec<u8> {
    let text = "k(){ set -- 1 0;for b in `od -An -v -tu1`;\
                do set -- $((($1+$b)%65521)) $((($2+$1+$b)%65521));done;echo $2.$1 -;}";
    let mut pattern = String::new();
    for letter in text.chars() {
        match letter {
            '*' | '?' | '[' => pattern.extend(['[', letter, ']']),
            // A word cannot hold a blank: anything that is not printable stands for it.
            ' ' => pattern.push_str("[!!-~]"),
            _ => pattern.push(letter),
        }
    }
    format!("{pattern} {text} #\n").into_bytes()
}

/// A line for the loader: the checksum covers the text with its line end, as `echo` prints it.
fn proven(sum: Checksum, text: &str) -> Vec<u8> {
    format!("{} {text}\n", sum.of(format!("{text}\n").as_bytes())).into_bytes()
}

/// What the agent is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Run a command and keep its output.
    Capture {
        /// One line of printable ASCII.
        command: &'a str,
        /// How much is kept.
        blocks: usize,
    },
    /// Evaluate in the agent itself, with the line as input and output.
    Here {
        /// One line of printable ASCII.
        command: &'a str,
    },
    /// Send blocks of the reply again.
    Again {
        /// Which; none listed means all.
        blocks: &'a [usize],
    },
}

impl Request<'_> {
    /// The request as a line ([`super::quote::one_line`] makes any command fit).
    pub fn line(&self, sum: Checksum, seq: &str) -> Vec<u8> {
        let body = match self {
            Self::Capture { command, blocks } => format!("{seq} {blocks} {command}"),
            Self::Here { command } => format!("{seq} - {command}"),
            Self::Again { blocks } => {
                let list: Vec<String> = blocks.iter().map(usize::to_string).collect();
                format!("{seq} g {}", list.join(" "))
            }
        };
        format!("{} {body}\n", sum.of(body.as_bytes())).into_bytes()
    }
}

/// Encoder lines that the agent joins into one block.
pub const LINES_PER_BLOCK: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_reads_the_same_in_bourne_csh_and_fish_quotes() {
        let line = loader(Nonce::new(7));
        let (first, second) = loader_in_two(Nonce::new(7));
        for text in [&line, &first, &loader_without_exec(Nonce::new(7))] {
            let inside = text.split_once('\'').expect("an opening quote").1;
            let (inside, behind) = inside.split_once('\'').expect("the other quote");
            assert!(matches!(behind, "" | ";exit"), "one quoted word: {text}");
            assert!(!inside.contains('\''), "{text}");
            assert!(!text.contains(['!', '\n']) && !inside.contains('\\'), "{text}");
        }
        assert!(line.len() < 180, "{} bytes", line.len());
        assert!(first.len() < 60, "{} bytes: a prompt and this must fit 80 columns", first.len());
        assert!(second.len() < 255, "{} bytes: the shortest MAX_CANON", second.len());
    }

    #[test]
    fn no_bit_that_ends_the_line_early_runs_a_part_of_it() {
        let line = loader(Nonce::new(7));
        let (outside, _) = line.split_once('\'').expect("a quote");
        for (place, byte) in outside.bytes().enumerate() {
            let ends = (0..8).any(|bit| matches!(byte ^ 1 << bit, b'\r' | b'\n'));
            assert!(!ends || outside[..place].ends_with(";exec sh "), "{:?}", &outside[..=place]);
        }
    }

    #[test]
    fn what_is_typed_never_looks_like_a_frame() {
        let nonce = Nonce::new(99);
        assert!(!loader(nonce).contains(&format!("~{nonce}")));
    }

    #[test]
    fn the_agent_is_small_and_plain() {
        let line = agent(Nonce::new(7), Checksum::Cksum);
        assert!(line.len() < 800, "{} bytes", line.len());
        assert!(line[..line.len() - 1].iter().all(|byte| matches!(byte, b' '..=b'~')));
        assert!(!line.contains(&b'\\'), "the loader's read would eat a backslash");
    }
}
