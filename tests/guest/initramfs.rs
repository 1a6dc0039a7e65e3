//! An initramfs as the kernel unpacks it: a cpio archive in the `newc` format, not compressed
//! (Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's source).

/// An archive in the making.
#[derive(Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
}

impl Initramfs {
    /// A folder; its parents have to be there already.
    pub fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, (0, 0), &[]);
    }

    /// A file that can be run.
    pub fn program(&mut self, name: &str, content: &[u8]) {
        self.entry(name, 0o100_755, (0, 0), content);
    }

    /// A file.
    pub fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, 0o100_644, (0, 0), content);
    }

    /// `/dev/console`, which the kernel opens for its first process before anything is mounted.
    pub fn console(&mut self) {
        self.entry("dev/console", 0o020_600, (5, 1), &[]);
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("newc has 32 bits for a size");
        let name_size = u32::try_from(name.len()).expect("a short name") + 1; // and its NUL
        self.bytes.extend_from_slice(b"070701");
        // inode, mode, uid, gid, links, time, size, device of the file system (2), device (2), name, sum
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0]
            .map(|field| format!("{field:08X}"));
        self.bytes.extend_from_slice(fields.concat().as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Headers and contents begin at multiples of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
