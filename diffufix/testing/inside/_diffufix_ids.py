"""The same names for the same tests in every copy and every run; runs inside the project's
interpreter.

PYTEST_DONT_REWRITE. Python 3.9 and later, no dependency; touches nothing. Parametrised tests may
carry the path of the copy, a time or a random part in their ids.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence


def stable_ids(found: Sequence[str], known: Iterable[str], tree: str, root: str) -> dict[str, str]:
    """What each id in `found` is to be called: {id: name}.

    Paths in the copy `tree` are led back to `root`. Of the ids that are not among `known`, those
    of an earlier run, the ones of one test function take the names that it had then, in order,
    where their number is the same.
    """
    names = {id: lead_back(id, tree, root) for id in found}
    known = list(dict.fromkeys(known))
    missing = set(known) - set(names.values())
    if not missing:
        return names
    strange, wanted, old = defaultdict(list), defaultdict(list), set(known)
    for id, name in names.items():
        if name not in old:
            strange[_function(name)].append(id)
    for name in known:
        if name in missing:
            wanted[_function(name)].append(name)
    for function, ids in strange.items():
        if len(ids) == len(wanted[function]):
            names.update(zip(ids, wanted[function]))  # noqa: B905 (Python 3.9)
    return names


def lead_back(id: str, tree: str, root: str) -> str:
    """The id without the path of the copy, also where pytest has escaped its letters."""
    for path in dict.fromkeys((tree, os.path.realpath(tree))):
        for old, new in ((path, root), (_escaped(path), _escaped(root))):
            id = id.replace(old, new)
    return id


def _escaped(path: str) -> str:
    return path.encode("unicode_escape", "surrogatepass").decode("ascii")


def _function(id: str) -> str:
    """The id without its parameters, whatever brackets these hold."""
    path, separator, rest = id.partition("::")
    return path + separator + rest.partition("[")[0]
