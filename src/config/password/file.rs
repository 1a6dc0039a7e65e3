//! A password in a file: read only if nobody else can read it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;
use nix::unistd::geteuid;

use super::{first_line, line_buffer};
use crate::secret::Secret;

/// The first line of a file that only its owner can read, the owner being us or root. What a symbolic
/// link leads to is what counts.
pub(super) fn read(path: &Path) -> Result<Secret, String> {
    let shown = path.display();
    let cannot = |error: io::Error| format!("cannot read {shown}: {error}");
    let mut file = open(path).map_err(cannot)?;
    // Of the file that is open, so that it cannot be another by now.
    let found = file.metadata().map_err(cannot)?;
    if !found.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    refusal(found.mode(), found.uid(), geteuid().as_raw())
        .map_or(Ok(()), |why| Err(format!("{shown} {why}{shown}")))?;
    let mut buffer = line_buffer();
    let read = read_some(&mut file, &mut buffer).map_err(cannot)?;
    match first_line(&buffer[..read]) {
        Some(line) => line.map_err(|_| format!("{shown} holds no text (UTF-8)")),
        None => Err(format!("{shown} is empty, or its first line is")),
    }
}

/// Without waiting for whoever is to write into a pipe of that name.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// What is wrong with a file of this mode and owner, with the remedy, which lacks the file's name only.
fn refusal(mode: u32, owner: u32, us: u32) -> Option<String> {
    if mode & 0o077 != 0 {
        let what = if mode & 0o044 != 0 { "read" } else { "changed or run" };
        return Some(format!("can be {what} by others; run: chmod 600 "));
    }
    // Whoever owns it can read it whatever its mode, and change it.
    (owner != us && owner != 0)
        .then(|| format!("belongs to another user (uid {owner}), who can read it; run: chown {us} "))
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn refused(path: &Path) -> String {
        read(path).expect_err("it was read")
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy_also_behind_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("password"), dir.path().join("link"));
        std::fs::write(&path, "hunter2\nsecond\n").unwrap();
        symlink(&path, &link).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o610, 0o620] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            for path in [&path, &link] {
                assert!(refused(path).ends_with(&format!("chmod 600 {}", path.display())), "{mode:o}");
            }
        }
        for mode in [0o600, 0o400] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(read(&link).unwrap().expose(), "hunter2");
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused_unless_that_is_root() {
        assert_eq!(refusal(0o100_600, 1000, 1000), None);
        assert_eq!(refusal(0o100_600, 0, 1000), None);
        let why = refusal(0o100_600, 1001, 1000).unwrap();
        assert!(why.contains("uid 1001") && why.ends_with("chown 1000 "), "{why}");
    }

    #[test]
    fn what_is_no_file_or_holds_no_line_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refused(dir.path()).ends_with("is not a file"));
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        assert!(refused(&pipe).ends_with("is not a file"));
        let path = dir.path().join("password");
        for (bytes, says) in
            [(&b""[..], "empty"), (b"\nhunter2\n", "first line"), (b"hunter2\xff\n", "no text")]
        {
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            let why = refused(&path);
            assert!(why.contains(says) && !why.contains("hunter2"), "{why}");
        }
    }
}
