"""A file system that shows the files of a folder, and fails as NFS does when it is told to.

faulty_fs.py BELOW MOUNT: as long as BELOW.stale has a number in it, so many reads more are answered with
ESTALE; as long as BELOW.hangs exists, reads are not answered at all.
"""

import errno
import os
import sys
import time

import mfusepy as fuse

below, mount = sys.argv[1:]


def left():
    try:
        with open(below + ".stale") as count:
            return int(count.read() or 0)
    except FileNotFoundError:
        return 0


class Faulty(fuse.Operations):
    use_ns = True

    def at(self, path):
        return below + path

    def getattr(self, path, fh=None):
        try:
            found = os.lstat(self.at(path))
        except OSError as error:
            raise fuse.FuseOSError(error.errno)
        keys = "st_mode st_nlink st_size st_uid st_gid".split()
        shown = {key: getattr(found, key) for key in keys}
        shown.update(st_atime=found.st_atime_ns, st_mtime=found.st_mtime_ns, st_ctime=found.st_ctime_ns)
        return shown

    def readdir(self, path, fh):
        return [".", ".."] + os.listdir(self.at(path))

    def open(self, path, flags):
        return os.open(self.at(path), flags & ~os.O_NOATIME)

    def create(self, path, mode, fi=None):
        return os.open(self.at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, path, size, offset, fh):
        if path.endswith("mary"):
            while os.path.exists(below + ".hangs"):
                time.sleep(0.1)
            if left():
                with open(below + ".stale", "r+") as count:
                    number = int(count.read())
                    count.seek(0)
                    count.truncate()
                    count.write(str(number - 1))
                raise fuse.FuseOSError(errno.ESTALE)
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def release(self, path, fh):
        os.close(fh)

    def link(self, target, source):
        os.link(self.at(source), self.at(target))

    def unlink(self, path):
        os.unlink(self.at(path))

    def utimens(self, path, times=None):
        os.utime(self.at(path), ns=times)

    def chmod(self, path, mode):
        os.chmod(self.at(path), mode)


# Without the kernel's cache: every read is asked for.
fuse.FUSE(Faulty(), mount, foreground=True, direct_io=True)
