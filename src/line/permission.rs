//! Whether we may open a port, and who may: found by looking only, nothing is opened.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, Gid, Group, Uid, User, faccessat, getgroups};

/// Whether we may read and write a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// We may.
    Granted(Through),
    /// Its group may, and this session began before we were put into it.
    NotYet {
        /// The group: `dialout` on Debian, `uucp` on Arch.
        group: String,
    },
    /// Its group may, and we are not in it.
    NotInGroup {
        /// The group.
        group: String,
    },
    /// Neither we may nor a group that could be joined.
    Refused {
        /// Whose the port is.
        owner: String,
        /// Its mode, as `ls -l` shows it in octal.
        mode: u32,
    },
}

/// By what we may open a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Through {
    /// Root may everything.
    Root,
    /// It is ours.
    Owner,
    /// We are in its group.
    Group(String),
    /// Everybody may.
    Everybody,
    /// An access list, as logind gives to whoever sits at the machine.
    AccessList,
}

/// What the mode of the device says to us.
pub fn permission(device: &Path) -> io::Result<Permission> {
    let found = std::fs::metadata(device)?;
    let node = Node { owner: found.uid(), group: found.gid(), mode: found.mode() };
    let both = AccessFlags::R_OK | AccessFlags::W_OK;
    let opens = faccessat(AT_FDCWD, device, both, AtFlags::AT_EACCESS).is_ok();
    Ok(judge(node, &Who::now(), opens))
}

/// What we are called.
pub fn own_name() -> String {
    user_name(Uid::effective().as_raw())
}

#[derive(Debug, Clone, Copy)]
struct Node {
    owner: u32,
    group: u32,
    mode: u32,
}

/// Who we are: what this session has, and what the user database says now.
#[derive(Debug)]
struct Who {
    user: u32,
    session: Vec<u32>,
    listed: Vec<u32>,
}

impl Who {
    fn now() -> Self {
        let user = Uid::effective();
        let mut session = vec![Gid::effective().as_raw()];
        session.extend(getgroups().unwrap_or_default().into_iter().map(Gid::as_raw));
        Self { user: user.as_raw(), session, listed: listed_groups(user) }
    }
}

/// The groups that a session begun now would have.
fn listed_groups(user: Uid) -> Vec<u32> {
    let known = User::from_uid(user).ok().flatten();
    let groups = known.and_then(|user| {
        let name = std::ffi::CString::new(user.name).ok()?;
        nix::unistd::getgrouplist(&name, user.gid).ok()
    });
    groups.unwrap_or_default().into_iter().map(Gid::as_raw).collect()
}

/// `opens` is the kernel's own word, which knows access lists too.
fn judge(node: Node, who: &Who, opens: bool) -> Permission {
    let group = || group_name(node.group);
    let group_may = node.mode & GROUP_BOTH == GROUP_BOTH;
    if opens {
        return Permission::Granted(if who.user == 0 {
            Through::Root
        } else if who.user == node.owner {
            Through::Owner
        } else if group_may && who.session.contains(&node.group) {
            Through::Group(group())
        } else if node.mode & OTHERS_BOTH == OTHERS_BOTH {
            Through::Everybody
        } else {
            Through::AccessList
        });
    }
    // Nobody should be told to join `root`; and whoever is in the group and may not is kept out by
    // something else.
    if !group_may || node.group == 0 || who.session.contains(&node.group) {
        return Permission::Refused { owner: user_name(node.owner), mode: node.mode & MODE_BITS };
    }
    if who.listed.contains(&node.group) {
        Permission::NotYet { group: group() }
    } else {
        Permission::NotInGroup { group: group() }
    }
}

fn group_name(group: u32) -> String {
    let known = Group::from_gid(Gid::from_raw(group)).ok().flatten();
    known.map_or_else(|| group.to_string(), |group| group.name)
}

fn user_name(user: u32) -> String {
    let known = User::from_uid(Uid::from_raw(user)).ok().flatten();
    known.map_or_else(|| user.to_string(), |user| user.name)
}

const GROUP_BOTH: u32 = 0o060;
const OTHERS_BOTH: u32 = 0o006;
const MODE_BITS: u32 = 0o7777;

#[cfg(test)]
mod tests {
    use super::*;

    // Numbers that no user database has: they stand for their own names.
    const USER: u32 = 4_000_001;
    const OTHER: u32 = 4_000_002;
    const DIALOUT: u32 = 4_000_003;

    fn who(session: &[u32], listed: &[u32]) -> Who {
        Who { user: USER, session: session.to_vec(), listed: listed.to_vec() }
    }

    #[test]
    fn what_stands_in_the_way_is_told_apart() {
        let group = || DIALOUT.to_string();
        let port = |owner, mode: u32| Node { owner, group: DIALOUT, mode: 0o020_000 | mode };
        let refused = |owner: u32, mode| Permission::Refused { owner: owner.to_string(), mode };
        for (node, who, expected) in [
            (port(OTHER, 0o660), who(&[], &[]), Permission::NotInGroup { group: group() }),
            (port(OTHER, 0o660), who(&[], &[DIALOUT]), Permission::NotYet { group: group() }),
            (port(OTHER, 0o660), who(&[DIALOUT], &[DIALOUT]), refused(OTHER, 0o660)),
            (port(OTHER, 0o600), who(&[], &[]), refused(OTHER, 0o600)),
            (port(OTHER, 0o640), who(&[], &[DIALOUT]), refused(OTHER, 0o640)),
            (Node { group: 0, ..port(OTHER, 0o660) }, who(&[], &[]), refused(OTHER, 0o660)),
        ] {
            assert_eq!(judge(node, &who, false), expected, "{node:?} {who:?}");
        }
    }

    #[test]
    fn by_what_a_port_may_be_opened_is_told() {
        let port = |owner, mode| Node { owner, group: DIALOUT, mode };
        for (node, who, through) in [
            (port(OTHER, 0o660), who(&[DIALOUT], &[]), Through::Group(DIALOUT.to_string())),
            (port(USER, 0o600), who(&[], &[]), Through::Owner),
            (port(OTHER, 0o666), who(&[], &[]), Through::Everybody),
            (port(OTHER, 0o660), who(&[], &[]), Through::AccessList),
            (port(OTHER, 0o000), Who { user: 0, ..who(&[], &[]) }, Through::Root),
        ] {
            assert_eq!(judge(node, &who, true), Permission::Granted(through), "{node:?} {who:?}");
        }
    }
}
