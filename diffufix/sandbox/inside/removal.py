# mypy: ignore-errors
"""Remove what code under test left. Touches what it is told to remove and, while it does, names
beside that.

Python 3.8 and later, standard library only: sent with the agent of a container and with the fork
server, and used on the host.
"""

import contextlib
import itertools
import os

STEM = 60  # characters of a name that are kept when a number is put behind it


def remove(path):
    """A file, a link, or a folder with all below it, however deep and however closed.

    Raises OSError for the first thing that cannot be removed, after all that can be has been.
    """
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    stem = os.path.join(os.path.dirname(path), os.path.basename(path)[:STEM])
    names = (stem + "." + str(number) for number in itertools.count())
    pending, problem = [path], None
    while pending:
        folder = pending.pop()
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(_moved_up(entry.path, names))
                        else:
                            os.unlink(entry.path)
                    except OSError as error:
                        problem = problem or error
            os.rmdir(folder)
        except OSError as error:
            problem = problem or error
    if problem is not None:
        raise problem


def _moved_up(path, names):
    """Its new name: no path grows longer than the system allows."""
    with contextlib.suppress(OSError):
        os.chmod(path, 0o700)  # else it cannot be moved
    other = next(name for name in names if not os.path.lexists(name))
    os.rename(path, other)
    return other
