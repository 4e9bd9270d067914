# mypy: ignore-errors
"""The folders of a container, as its first process keeps them. Part of the agent (agent.py).

The tree's files belong to root; its folders are sticky, so that "code" may make files beside them
but not change or remove them. What "code" made can be removed under its own user only, for this
root has no right to override. No path is followed through a link that "code" may have made.
"""

import contextlib
import errno
import os
import stat
import tarfile

from removal import remove  # put beside this one by `sandbox.linked.agent_source`

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class FileRefused(Exception):
    """`kind`: outside, missing, large, failed."""

    def __init__(self, kind, message):
        Exception.__init__(self, message)
        self.kind = kind


class Folders:
    """The tree, the private folder, those open to "code"; `code` is its user and group id."""

    def __init__(self, tree, private, open_to_code, code):
        self.tree, self.private, self.open_to_code = tree, private, open_to_code
        self.code = code
        self.roots = [tree, private, *open_to_code]
        self.pristine = os.path.join(private, "pristine.tar")

    def create(self, name):
        """A descriptor to write a new file to, in the place of what has that name."""
        path = self.pristine if name is None else self.resolve(name)
        theirs = any(below(path, root) for root in self.open_to_code)
        with self.as_code() if theirs else contextlib.nullcontext():
            folder, last = self.open_folder(path)
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(last, dir_fd=folder)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                return os.open(last, flags, 0o600 if name is None else 0o644, dir_fd=folder)
            finally:
                os.close(folder)

    def open(self, name, largest):
        """A descriptor to read a plain file from."""
        path = self.resolve(name)
        try:
            fd = self.open_plain(path)
        except PermissionError:
            with self.as_code():
                fd = self.open_plain(path)
        info = os.fstat(fd)
        if stat.S_ISREG(info.st_mode) and info.st_size <= largest:
            return fd
        os.close(fd)
        raise FileRefused("large" if stat.S_ISREG(info.st_mode) else "missing", name)

    def open_plain(self, path):
        try:
            folder, name = self.open_folder(path, create=False)
            try:
                return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ELOOP):
                raise FileRefused("missing", path) from error
            raise

    def resolve(self, name):
        path = os.path.realpath(os.path.join(self.tree, name))
        if not any(below(path, root) for root in self.roots):
            raise FileRefused("outside", name)
        return path

    def open_folder(self, path, create=True):
        """(descriptor of the folder, name in it), no link followed on the way."""
        root = next(root for root in self.roots if below(path, root))
        *folders, name = os.path.relpath(path, root).split(os.sep)
        fd = os.open(root, DIRECTORY)
        for folder in folders:
            try:
                try:
                    inner = os.open(folder, DIRECTORY, dir_fd=fd)
                except FileNotFoundError:
                    if not create:
                        raise
                    os.mkdir(folder, 0o755 if root == self.private else 0o1777, dir_fd=fd)
                    inner = os.open(folder, DIRECTORY, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        return fd, name

    @contextlib.contextmanager
    def as_code(self):
        os.setegid(self.code)
        os.seteuid(self.code)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    def restore(self):
        """Empty what "code" may write to, lay the tree out anew."""
        places = [self.tree, *self.open_to_code]
        # "code" first: what it made in our folders, only it can empty.
        for user in (self.as_code, contextlib.nullcontext, self.as_code):
            left = [place for place in places if os.listdir(place)]
            with user():
                for place in left:
                    empty(place)
        left = [place for place in places if os.listdir(place)]
        if left:
            raise FileRefused("failed", f"{left[0]} cannot be emptied")
        self.lay_out()

    def lay_out(self):
        """Extract the pristine tree: files belong to us, folders let "code" add to them."""
        folders = []
        with tarfile.open(self.pristine) as archive:
            for member in archive:
                path = os.path.join(self.tree, member.name)
                if member.isdir():
                    os.makedirs(path, 0o1777, exist_ok=True)
                    os.chmod(path, 0o1777)
                    folders.append((path, member.mtime))
                elif member.issym():
                    os.symlink(member.linkname, path)
                elif member.isreg() or member.islnk():
                    mode = 0o755 if member.mode & 0o111 else 0o644
                    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
                    with open(fd, "wb") as file:
                        source = archive.extractfile(member)
                        while True:
                            data = source.read(1 << 20)
                            if not data:
                                break
                            file.write(data)
                    os.utime(path, (member.mtime, member.mtime))
        for path, moment in reversed(folders):
            os.utime(path, (moment, moment))


def below(path, root):
    return path == root or path.startswith(root + os.sep)


def empty(place):
    """Remove what may be removed below `place`."""
    for name in os.listdir(place):
        with contextlib.suppress(OSError):
            remove(os.path.join(place, name))
