# mypy: ignore-errors
"""The worker's copy of the project: lay a candidate over it, put it back. Touches that tree, the
sandbox's temporary directory and home, and what appears in the further `scratch` directories.

No link is followed where code under test could have made one. What it left is removed as its own
user (`code`) where that is another one.
"""

import itertools
import os
import shutil
import stat

from . import rights
from .removal import remove  # put beside this one by `verify.worker.inside_files`

REMEMBERED = 32 * 2**20  # bytes of content kept to undo what tests do to files
MANY = 3000  # files; beyond, only folders and code are looked at after each candidate
CODE = (".py", ".pth", ".pyc", ".so", ".toml", ".ini", ".cfg")


class Tree:
    """`remember` once, then `lay` and `restore` around every candidate."""

    def __init__(self, root, emptied=(), scratch=(), code=None):
        self.root = root
        self.emptied = [path for path in emptied if os.path.isdir(path)]
        self.scratch = [path for path in scratch if os.path.isdir(path)]
        self.code = code
        self.stamps = itertools.count(1)
        self.laid = {}  # path -> its entry as we left it
        self.entries = {}  # path -> (mode, inode, ...) as it must be
        self.times = {}
        self.contents = {}
        self.whole = True
        self.problem = ""  # why the tree could not be looked at, the last time

    def drop_bytecode(self):
        """Bytecode that came with the copy may belong to other text of the same size."""
        for folder, names, _ in os.walk(self.root):
            if "__pycache__" in names:
                shutil.rmtree(os.path.join(folder, "__pycache__"), ignore_errors=True)
                names.remove("__pycache__")

    def remember(self):
        self.entries = dict(self._scan())
        files = [path for path, (mode, *_) in self.entries.items() if stat.S_ISREG(mode)]
        if len(files) > MANY:
            self.whole, self.entries = False, {}
            self.entries = dict(self._scan())
        total = 0
        for path in sorted(files, key=lambda path: (not path.endswith(CODE), path)):
            size = os.path.getsize(path)
            if total + size <= REMEMBERED:
                total += size
                with open(path, "rb") as file:
                    self.contents[path] = file.read()
            self.times[path] = os.stat(path).st_mtime_ns
        self.scratched = {folder: set(os.listdir(folder)) for folder in self.scratch}

    def _scan(self):
        stack = [self.root]
        while stack:
            folder = stack.pop()
            yield folder, self._entry(os.lstat(folder))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if self.entries and entry.path not in self.entries:
                            # Goes as a whole; its paths may be longer than the system allows.
                            yield entry.path, self._entry(entry.stat(follow_symlinks=False))
                        else:
                            stack.append(entry.path)
                    elif self.whole or entry.name.endswith(CODE):
                        yield entry.path, self._entry(entry.stat(follow_symlinks=False))

    def _entry(self, info):
        """What tells that something changed; the time of the last change cannot be forged."""
        if stat.S_ISDIR(info.st_mode):
            return info.st_mode, info.st_ino, 0 if self.whole else info.st_mtime_ns
        times = info.st_mtime_ns, info.st_ctime_ns
        return (info.st_mode, info.st_ino, info.st_size, *times)

    # -- one candidate ---------------------------------------------------------------------

    def lay(self, files):
        """Write {relative path: text, latin-1 of the bytes}; a time of its own makes each text's
        bytecode its own, whatever its size. A link of the project's own is followed, as far as it
        stays in the tree. Raises OSError for what cannot be written, or leads outside."""
        for relative, text in files.items():
            path = os.path.join(self.root, relative)
            if os.path.islink(path):  # the project's own: what tests made is gone by now
                path = os.path.realpath(path)
            folder = os.path.dirname(path)
            if not self._within(folder):
                raise OSError("outside of the project: " + relative)
            if os.path.isdir(path):
                raise OSError("it is a folder: " + relative)
            os.makedirs(folder, exist_ok=True)
            if path not in self.contents and os.path.isfile(path):
                with open(path, "rb") as file:
                    self.contents[path] = file.read()
                self.times[path] = os.stat(path).st_mtime_ns
            moment = self.times.get(path, 0) + next(self.stamps) * 2 * 10**9
            _write(path, text.encode("latin-1"), moment)
            self.laid[path] = self._entry(os.lstat(path))

    def _within(self, folder):
        real, root = os.path.realpath(folder), os.path.realpath(self.root)
        return real == root or real.startswith(root + os.sep)

    def left(self):
        """Whether anything but what was laid is otherwise than remembered, or may be."""
        try:
            odd = {path for path, _ in set(dict(self._scan()).items()) ^ set(self.entries.items())}
            places = {os.path.join(top, "pytest") for top in self.emptied}  # pytest empties it
            held = {os.path.join(top, name) for top in self.emptied for name in os.listdir(top)}
            new = any(set(os.listdir(top)) - known for top, known in self.scratched.items())
        except (OSError, RecursionError):
            return True
        return bool(odd - set(self.laid)) or bool(held - places) or new

    def restore(self):
        """Undo `lay` and what the tests did: (all is as remembered, which files of the tree they
        changed, which they made; relative paths)."""
        laid, self.laid, self.problem = self.laid, {}, ""
        try:
            self._empty()
            seen = dict(self._scan())
            changed = {path for path, _ in set(seen.items()) ^ set(self.entries.items())}
            odd = [path for path in changed if path not in laid or laid[path] != seen.get(path)]
            touched = self._relative(path for path in odd if path in self.entries)
            added = self._relative(path for path in odd if path not in self.entries)
            whole = self.whole or all(path in laid for path in changed)
            return whole and self._repair(seen, changed), touched, added
        except (OSError, RecursionError) as error:
            self.problem = f"{type(error).__name__}: {error}"[:200]
            return False, [], []

    def _relative(self, paths):
        return sorted(os.path.relpath(path, self.root) for path in paths)[:1000]

    def _repair(self, seen, changed):
        """From the top down, so that no folder on the way is a link."""
        for path in sorted(changed):
            wanted = self.entries.get(path)
            if wanted is None:
                self._remove(path)
            elif stat.S_ISDIR(wanted[0]):
                if path not in seen or not stat.S_ISDIR(os.lstat(path).st_mode):
                    self._remove(path)
                    os.mkdir(path)
                os.chmod(path, stat.S_IMODE(wanted[0]))
            elif path in self.contents:
                if path in seen and seen[path][:2] != wanted[:2]:
                    self._remove(path)
                _write(path, self.contents[path], self.times[path])
                os.chmod(path, stat.S_IMODE(wanted[0]))
            else:
                return False
        for path in changed & set(self.entries):
            self.entries[path] = self._entry(os.lstat(path))
        return True

    def _empty(self):
        for folder in self.emptied:
            for name in os.listdir(folder):
                self._remove(os.path.join(folder, name))
        for folder, known in self.scratched.items():
            for name in set(os.listdir(folder)) - known:
                self._remove(os.path.join(folder, name))

    def _remove(self, path):
        try:
            info = os.lstat(path)
        except OSError:
            return
        theirs = self.code if info.st_uid == self.code else None
        with rights.acting_as(theirs):
            remove(path)


def _write(path, data, moment):
    """In place where there is a file of one name, else a new one; never through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o644)
    with open(fd, "wb") as file:
        file.write(data)
    os.utime(path, ns=(moment, moment))


def parents(path):
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path
