# mypy: ignore-errors
"""The worker's copy of the project: lay a candidate over it, put it back. Touches that tree and
the sandbox's temporary directory."""

import itertools
import os
import shutil
import stat

REMEMBERED = 32 * 2**20  # bytes of content kept to undo what tests do to files
MANY = 3000  # files; beyond, only folders are looked at after each candidate


class Tree:
    """`remember` once, then `lay` and `restore` around every candidate."""

    def __init__(self, root, temporary):
        self.root = root
        self.temporary = temporary
        self.stamps = itertools.count(1)
        self.laid = []
        self.entries = {}
        self.contents = {}

    def drop_bytecode(self):
        """Bytecode that came with the copy may belong to other text of the same size."""
        for folder, names, _ in os.walk(self.root):
            if "__pycache__" in names:
                shutil.rmtree(os.path.join(folder, "__pycache__"), ignore_errors=True)
                names.remove("__pycache__")

    def remember(self):
        self.entries = dict(self._scan(files=True))
        files = [path for path, (mode, *_) in self.entries.items() if stat.S_ISREG(mode)]
        if len(files) > MANY:
            self.entries = dict(self._scan(files=False))
        total = 0
        for path in files:
            size = os.path.getsize(path)
            if total + size <= REMEMBERED:
                total += size
                with open(path, "rb") as file:
                    self.contents[path] = file.read()

    def _scan(self, files):
        stack = [self.root]
        while stack:
            folder = stack.pop()
            info = os.stat(folder)
            yield folder, (info.st_mode, info.st_ino, 0 if files else info.st_mtime_ns)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    elif files:
                        info = entry.stat(follow_symlinks=False)
                        yield (
                            entry.path,
                            (info.st_mode, info.st_ino, info.st_size, info.st_mtime_ns),
                        )

    def lay(self, files):
        """Write {relative path: text, latin-1 of the bytes}; a time of its own makes each text's
        bytecode its own, whatever its size."""
        for relative, text in files.items():
            path = os.path.join(self.root, relative)
            info = os.stat(path) if os.path.exists(path) else None
            if path not in self.contents and info is not None:
                with open(path, "rb") as file:
                    self.contents[path] = file.read()
            self.laid.append((path, info))
            with open(path, "wb") as file:
                file.write(text.encode("latin-1"))
            moment = (info.st_mtime_ns if info else 0) + next(self.stamps) * 2 * 10**9
            os.utime(path, ns=(moment, moment))

    def restore(self):
        """Undo `lay` and what the tests did to the tree: (all is as remembered, what they
        changed, as relative paths)."""
        while self.laid:
            path, info = self.laid.pop()
            if info is None:
                if os.path.lexists(path):
                    os.unlink(path)
            else:
                self._write_back(path, info.st_mtime_ns)
        self._empty_temporary()
        files = any(not stat.S_ISDIR(entry[0]) for entry in self.entries.values())
        try:
            seen = dict(self._scan(files))
            if seen == self.entries:
                return True, []
            changed = {path for path, _ in set(seen.items()) ^ set(self.entries.items())}
            touched = sorted(os.path.relpath(path, self.root) for path in changed)
            return self._repair(seen, files), touched[:100]
        except OSError:
            return False, []

    def _repair(self, seen, files):
        if not files:
            return False
        for path in sorted(set(seen) - set(self.entries), reverse=True):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            elif os.path.lexists(path):
                os.unlink(path)
        for path in sorted(self.entries):
            if seen.get(path) == self.entries[path]:
                continue
            mode = self.entries[path][0]
            if stat.S_ISDIR(mode):
                os.makedirs(path, exist_ok=True)
            elif path in self.contents:
                self._write_back(path, self.entries[path][3])
            else:
                return False
            os.chmod(path, stat.S_IMODE(mode))
        self.entries = dict(self._scan(files))
        return True

    def _write_back(self, path, moment):
        if os.path.islink(path) or not os.path.isfile(path):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(self.contents[path])
        os.utime(path, ns=(moment, moment))

    def _empty_temporary(self):
        with os.scandir(self.temporary) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)
