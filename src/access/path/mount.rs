//! Which file system a mailbox is on: whether another machine's, and whether it is still mounted.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::PathError;

/// Where a mailbox was last seen. When a file system goes, what is left is the empty folder that it was
/// mounted on, where a missing mailbox is taken for one without mail.
#[derive(Debug, Default)]
pub(super) struct Place {
    folder: Mutex<Option<u64>>,
}

impl Place {
    /// Fails if the mailbox has gone together with the file system that its folder was on.
    pub(super) fn holds(&self, path: &Path) -> Result<(), PathError> {
        let mailbox = || std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
        let folder = || folder_of(path).metadata().ok().map(|folder| folder.dev());
        let (found, device) = looked_at(mailbox, folder);
        let mut seen = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(_) => *seen = device.or(*seen),
            Err(error) if error.kind() == io::ErrorKind::NotFound && seen.is_some() && *seen != device => {
                return Err(PathError::Unmounted { path: path.to_owned() });
            }
            Err(_) => {} // told by whoever opens it
        }
        Ok(())
    }
}

/// What the mailbox is, and the device of its folder while it was that: the file system may go between the
/// two looks.
fn looked_at(
    mailbox: impl Fn() -> io::Result<(u64, u64)>,
    folder: impl Fn() -> Option<u64>,
) -> (io::Result<(u64, u64)>, Option<u64>) {
    let mut found = mailbox(); // first: looking below a folder is what has it mounted (autofs)
    for _ in 0..LOOKS_MAX {
        let device = folder();
        let again = mailbox();
        if again.as_ref().ok() == found.as_ref().ok() {
            return (again, device);
        }
        found = again;
    }
    (found, None)
}

/// Whether the folder that the mailbox should be in has nothing in it, as one that nothing is mounted on.
pub(super) fn is_bare(path: &Path) -> bool {
    folder_of(path).read_dir().is_ok_and(|mut files| files.next().is_none())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether what lies at `path` comes from another machine. Where that is not known it does not. The kernel's
/// list of mounts is asked, because a file system whose server is gone has no answer.
pub(super) fn is_remote(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    kind_at(&path, &mounts)
        .is_some_and(|kind| REMOTE.contains(&kind) || kind.split('.').next() == Some("fuse"))
}

/// The kind of file system at `path`, from the text of `/proc/self/mountinfo` (proc(5)).
fn kind_at<'m>(path: &Path, mounts: &'m str) -> Option<&'m str> {
    let mounted = mounts.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        Some((plain(mount.split(' ').nth(4)?), source.split(' ').next()?))
    });
    let above = mounted.filter(|(at, _)| path.starts_with(at));
    // Of several at one place the last covers the others, and is what `max_by_key` gives.
    above.max_by_key(|(at, _)| at.components().count()).map(|(_, kind)| kind)
}

/// A mount point as it is: blanks, tabs, line ends and backslashes are three octal digits there.
fn plain(escaped: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = escaped.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let octal = behind.get(..3).filter(|_| byte == b'\\').and_then(|digits| str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(meant) => {
                bytes.push(meant);
                rest = &behind[3..];
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

/// Looks at a mailbox that is another each time.
const LOOKS_MAX: usize = 4;
/// What Linux calls file systems of other machines; those of FUSE (sshfs, rclone, ..) are taken for such.
const REMOTE: &[&str] = &["nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "afs", "ceph", "coda"];

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:40 / /net/mail rw - nfs4 box:/mail rw
41 22 0:41 / /home/mary/my\\040mail rw,nosuid shared:2 master:7 - fuse.sshfs mary@box: rw
42 40 0:42 / /net/mail/here rw - tmpfs none rw
43 22 0:43 / /twice rw - nfs box:/a rw
44 22 0:44 / /twice rw - ext4 /dev/sdb1 rw
";

    #[test]
    fn the_innermost_mount_counts_and_of_two_at_one_place_the_last() {
        for (path, kind) in [
            ("/var/mail/mary", "ext4"),
            ("/net/mail/mary", "nfs4"),
            ("/net/mail", "nfs4"),
            ("/net/mailbox", "ext4"),
            ("/net/mail/here/mary", "tmpfs"),
            ("/home/mary/my mail/box", "fuse.sshfs"),
            ("/twice/mary", "ext4"),
        ] {
            assert_eq!(kind_at(Path::new(path), MOUNTS), Some(kind), "{path}");
        }
        assert_eq!(kind_at(Path::new("/var/mail/mary"), "nonsense\n- -\n"), None);
    }

    #[test]
    fn what_is_no_octal_number_stands_for_itself() {
        assert_eq!(plain("/a\\134b\\04\\999\\"), Path::new("/a\\b\\04\\999\\"));
    }

    #[test]
    fn a_file_system_that_goes_between_two_looks_is_not_taken_for_the_one_below_it() {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let looks = std::cell::Cell::new(0);
        let mailbox = || {
            looks.set(looks.get() + 1);
            if looks.get() == 1 { Ok((40, 7)) } else { Err(gone()) }
        };
        let (found, device) = looked_at(mailbox, || Some(1));
        assert_eq!((found.is_err(), device), (true, Some(1)));
    }

    #[test]
    fn a_mailbox_that_is_gone_with_its_file_system_is_told_from_one_that_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mary");
        let place = Place::default();
        assert!(place.holds(&path).is_ok(), "never seen: no mail yet");
        assert!(is_bare(&path));
        std::fs::write(&path, "").unwrap();
        assert!(place.holds(&path).is_ok() && !is_bare(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(place.holds(&path).is_ok(), "as mail programs do with an empty mailbox");
        *place.folder.lock().unwrap() = Some(u64::MAX); // as if seen on a device that is no more
        assert!(matches!(place.holds(&path), Err(PathError::Unmounted { .. })));
        std::fs::write(&path, "").unwrap();
        assert!(place.holds(&path).is_ok(), "mounted again");
    }

    #[test]
    fn this_machine_s_own_processes_are_no_remote_file_system() {
        assert!(!is_remote(Path::new("/proc/self/maps")));
    }
}
