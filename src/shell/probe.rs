//! What the host has, found out with one command and one short reply.

/// A command that a host may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)] // each is named for its command
pub enum Tool {
    Sz,
    Lsz,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
    Base64,
    Openssl,
    Uuencode,
    Perl,
    Python3,
    Od,
    Awk,
    Cksum,
    Md5sum,
    Sha256sum,
    Shasum,
    Head,
    Tail,
    Dd,
    Stat,
    Mktemp,
    Stty,
    Sed,
}

impl Tool {
    /// All of them, in the order in which the host is asked.
    pub const ALL: [Self; 24] = [
        Self::Sz,
        Self::Lsz,
        Self::Gzip,
        Self::Bzip2,
        Self::Xz,
        Self::Zstd,
        Self::Base64,
        Self::Openssl,
        Self::Uuencode,
        Self::Perl,
        Self::Python3,
        Self::Od,
        Self::Awk,
        Self::Cksum,
        Self::Md5sum,
        Self::Sha256sum,
        Self::Shasum,
        Self::Head,
        Self::Tail,
        Self::Dd,
        Self::Stat,
        Self::Mktemp,
        Self::Stty,
        Self::Sed,
    ];

    /// The command's name.
    pub fn name(self) -> &'static str {
        const NAMES: &str = "sz lsz gzip bzip2 xz zstd base64 openssl uuencode perl python3 od awk cksum \
                             md5sum sha256sum shasum head tail dd stat mktemp stty sed";
        NAMES.split(' ').nth(self as usize).unwrap_or_default()
    }
}

/// What the host has and who we are on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    tools: Vec<Tool>,
    /// `head -c` and `tail -c +` cut at bytes.
    pub cuts_bytes: bool,
    /// `gzip -c` and back gives what went in.
    pub gzips: bool,
    /// Replies come in hexadecimal: no encoder for base64 works.
    pub hex: bool,
    /// `$MAIL`.
    pub mail: Option<Vec<u8>>,
    /// `$HOME`.
    pub home: Option<Vec<u8>>,
    /// `$LOGNAME`, or what `id` says.
    pub logname: Option<Vec<u8>>,
    /// `uname -s`.
    pub system: Option<Vec<u8>>,
    /// `$SHELL`, the login shell.
    pub shell: Option<Vec<u8>>,
    /// It had written our line into its history, where it is no more ([`super::forget`]).
    pub wrote_history: bool,
    /// `tmux` or `screen`, if the shell runs in one.
    pub inside: Option<Vec<u8>>,
}

impl HostFacts {
    /// Whether the host has this command.
    pub fn has(&self, tool: Tool) -> bool {
        self.tools.contains(&tool)
    }

    /// What the host calls its ZMODEM sender, if it has one.
    pub fn zmodem_sender(&self) -> Option<&'static str> {
        [Tool::Sz, Tool::Lsz].into_iter().find(|&tool| self.has(tool)).map(Tool::name)
    }

    /// What the host has that a call makes use of: when one of them is gone, what is known is worth nothing.
    fn in_use(&self) -> Vec<Tool> {
        let first_of = |tools: &[Tool]| tools.iter().copied().find(|&tool| self.has(tool));
        let mut tools = Vec::new();
        tools.extend(first_of(&[Tool::Base64, Tool::Openssl, Tool::Uuencode, Tool::Od]));
        tools.extend(first_of(&[Tool::Sha256sum, Tool::Md5sum, Tool::Cksum]));
        tools.extend(first_of(&[Tool::Sz, Tool::Lsz]));
        tools.extend(first_of(&[Tool::Perl, Tool::Python3]));
        tools.extend([Tool::Awk, Tool::Sed].into_iter().filter(|&tool| self.has(tool)));
        tools
    }

    /// One line for the host's sh that prints [`Self::proof`] on a host with these facts, and most likely
    /// something else on any other. It costs half of what [`probe_command`] does, and only its checksum has
    /// to come back.
    pub fn proof_command(&self) -> String {
        let names: Vec<&str> = self.in_use().into_iter().map(Tool::name).collect();
        let mut command = format!("for t in {};do command -v $t>/dev/null&&echo $t;done;", names.join(" "));
        if self.cuts_bytes {
            command.push_str("printf abc|head -c 2|tail -c +2;");
        }
        if self.gzips {
            command.push_str("printf z|gzip -c|gzip -dc;");
        }
        command + NAMES_COMMAND
    }

    /// What [`Self::proof_command`] prints on a host that is still as these facts say.
    pub fn proof(&self) -> Vec<u8> {
        let mut proof = Vec::new();
        for tool in self.in_use() {
            proof.extend_from_slice(tool.name().as_bytes());
            proof.push(b'\n');
        }
        proof.extend_from_slice(self.works().as_bytes());
        self.push_names(&mut proof);
        proof
    }

    /// The facts as the host told them: [`Self::parse`] makes the same of it again.
    pub fn reply(&self) -> Vec<u8> {
        let marks = Tool::ALL.into_iter().map(|tool| if self.has(tool) { b'1' } else { b'0' });
        let mut reply: Vec<u8> = marks.collect();
        reply.push(b'\n');
        reply.extend_from_slice(self.works().as_bytes());
        reply.push(b'\n');
        self.push_names(&mut reply);
        reply
    }

    /// The host's system and its commands, for people.
    pub fn told(&self) -> String {
        let system = self.system.as_deref().unwrap_or(b"an unknown system").escape_ascii();
        let names: Vec<&str> = self.tools.iter().map(|tool| tool.name()).collect();
        format!("{system} with {}", names.join(" "))
    }

    fn works(&self) -> &'static str {
        match (self.cuts_bytes, self.gzips) {
            (true, true) => "bz",
            (true, false) => "b",
            (false, true) => "z",
            (false, false) => "",
        }
    }

    fn push_names(&self, text: &mut Vec<u8>) {
        let (whoami, shell) =
            ([&self.system, &self.logname, &self.home, &self.mail], [&self.shell, &self.inside]);
        for name in whoami.into_iter().chain(shell) {
            text.extend_from_slice(name.as_deref().unwrap_or_default());
            text.push(b'\n');
        }
    }

    /// Reads the reply to [`probe_command`]. What a line lacks counts as not there.
    pub fn parse(reply: &[u8]) -> Self {
        let mut lines = reply.split(|&byte| byte == b'\n');
        let found = lines.next().unwrap_or_default();
        let tools = Tool::ALL.into_iter().zip(found).filter(|&(_, &mark)| mark == b'1').map(|(tool, _)| tool);
        let tools = tools.collect();
        let works = lines.next().unwrap_or_default();
        let mut value = || lines.next().filter(|line| !line.is_empty()).map(<[u8]>::to_vec);
        let (system, logname, home, mail) = (value(), value(), value(), value());
        let (shell, inside) = (value(), value());
        Self {
            tools,
            cuts_bytes: works.starts_with(b"b"),
            gzips: works.ends_with(b"z"),
            hex: false,
            mail,
            home,
            logname,
            system,
            shell,
            wrote_history: false,
            inside,
        }
    }
}

/// One line for the host's sh: a digit for each tool, what proved to work, and the names.
pub fn probe_command() -> String {
    let names: Vec<&str> = Tool::ALL.into_iter().map(Tool::name).collect();
    format!(
        "for t in {};do command -v $t >/dev/null&&printf 1||printf 0;done;\
         echo;echo \"`printf abc|head -c 2|tail -c +2``printf z|gzip -c|gzip -dc`\";{NAMES_COMMAND}",
        names.join(" ")
    )
}

/// Where and who we are.
const NAMES_COMMAND: &str = "printf '%s\\n' \"`uname -s`\" \"${LOGNAME:-`id -un`}\" \"$HOME\" \"$MAIL\" \
                             \"$SHELL\" \"${TMUX:+tmux}${STY:+screen}\"";

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn every_tool_is_asked_for_in_its_place() {
        for (place, tool) in Tool::ALL.into_iter().enumerate() {
            assert_eq!(tool as usize, place);
            assert_eq!(tool.name(), format!("{tool:?}").to_lowercase());
        }
    }

    #[test]
    fn a_reply_becomes_facts() {
        let mut found = [b'0'; 24];
        for tool in [Tool::Lsz, Tool::Od, Tool::Sed] {
            found[tool as usize] = b'1';
        }
        let facts =
            HostFacts::parse(&[&found[..], b"\nbz\nLinux\nmary\n/home/mary\n/var/mail/mary\n"].concat());
        assert_eq!(facts.zmodem_sender(), Some("lsz"));
        assert!(facts.has(Tool::Sed) && !facts.has(Tool::Base64));
        assert!(facts.cuts_bytes && facts.gzips);
        assert_eq!(facts.mail.as_deref(), Some(&b"/var/mail/mary"[..]));
        assert_eq!(facts.system.as_deref(), Some(&b"Linux"[..]));
    }

    #[test]
    fn a_reply_cut_short_claims_nothing() {
        assert_eq!(HostFacts::parse(b""), HostFacts::default());
        let facts = HostFacts::parse(b"1\n\n\n");
        assert!(facts.has(Tool::Sz) && !facts.cuts_bytes && facts.mail.is_none());
    }

    /// What the system's sh prints.
    fn sh(command: &str, path: &std::ffi::OsStr) -> Vec<u8> {
        let mut sh = Command::new("/bin/sh");
        sh.args(["-c", command]).env("MAIL", "/var/mail/mary").env("PATH", path);
        sh.output().expect("sh runs").stdout
    }

    #[test]
    fn a_host_proves_by_a_short_command_that_it_is_as_it_was() {
        let path = std::env::var_os("PATH").expect("a path");
        let facts = HostFacts::parse(&sh(&probe_command(), &path));
        assert_eq!(HostFacts::parse(&facts.reply()), facts);
        let same = sh(&facts.proof_command(), &path);
        assert_eq!(same.escape_ascii().to_string(), facts.proof().escape_ascii().to_string());
        assert!(facts.proof_command().len() < 320, "{} bytes", facts.proof_command().len());
        // Without its tools, as another user, or with its mail elsewhere it does not.
        assert_ne!(sh(&facts.proof_command(), "/nowhere".as_ref()), facts.proof());
        let other = |change: fn(&mut HostFacts)| {
            let mut other = facts.clone();
            change(&mut other);
            assert_ne!(same, other.proof());
        };
        other(|facts| facts.gzips = !facts.gzips);
        other(|facts| facts.logname = Some(b"eve".to_vec()));
        other(|facts| facts.mail = None);
    }

    #[test]
    fn the_reply_is_short() {
        let output = Command::new("sh").arg("-c").arg(probe_command()).env("MAIL", "/var/mail/mary").output();
        let reply = output.expect("sh runs").stdout;
        assert!(reply.len() < 150, "{} bytes", reply.len());
        assert_eq!(HostFacts::parse(&reply).mail.as_deref(), Some(&b"/var/mail/mary"[..]));
        assert!(probe_command().len() < 500, "{} bytes", probe_command().len());
    }
}
