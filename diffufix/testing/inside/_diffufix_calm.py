# mypy: ignore-errors
"""Make every run of a suite comparable with every other; touches pytest's arguments and sys.path.

PYTEST_DONT_REWRITE. Python 3.9 and later, no dependency. One process, the same order, no early
stop, no coverage of somebody else, no debugger prompt.
"""

import os
import re
import sys

# Options that stop early, wait for a person, need an earlier run or processes of their own. What
# failed last time is not all there is: the other tests say whether a repair is one.
UNWANTED = {
    *("--pdb", "--trace", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip"),
    *("--lf", "--last-failed", "--ff", "--failed-first", "--nf", "--new-first"),
    *("--testmon", "--forked", "--boxed"),
}
# Plugins, by the name pytest knows them under, and the options that make them stand aside.
ASIDE = {
    "xdist": ("-n0", "--dist=no"),
    "pytest_cov": ("--no-cov",),
    "randomly": ("--randomly-dont-reorganize", "--randomly-seed=0"),
    "random_order": ("--random-order-bucket=none",),
    "rerunfailures": ("--reruns=0",),
    "timeout": ("--timeout=0",),
    "testmon": ("--no-testmon",),
    "monitor": ("--no-monitor",),
    "benchmark": ("--benchmark-disable",),
}
_SEED = re.compile(r"--randomly-seed=\d+")


def calm(config, args, basetemp=""):
    """Change `args` in place, before pytest parses them for good; returns what that takes from the
    tests, in words."""
    missed = missed_by(config)
    args[:] = [argument for argument in without_ours(args) if argument not in UNWANTED]
    seeded = any(_SEED.fullmatch(argument) for argument in args)  # the project's own seed stays
    wanted = ["--maxfail=0", "--continue-on-collection-errors", "--color=no"]
    if basetemp:
        wanted.append("--basetemp=" + basetemp)
    for plugin, options in ASIDE.items():
        if config.pluginmanager.hasplugin(plugin):
            wanted.extend(o for o in options if not (seeded and _SEED.fullmatch(o)))
    place = args.index("--") if "--" in args else len(args)
    args[place:place] = wanted
    # pytest-cov decides before that.
    config.known_args_namespace.no_cov = True
    config.known_args_namespace.cov_source = []
    return missed


def without_ours(args):
    """`args` without those of `pytest --diffufix`: a repair inside of a repair."""
    found = []
    left = iter(args)
    for argument in left:
        if argument == "--diffufix-budget":
            next(left, None)
        elif not argument.startswith("--diffufix"):
            found.append(argument)
    return found


def missed_by(config):
    """What the project's plugins do for its tests and will not do now."""
    known = config.known_args_namespace
    found = []
    if getattr(known, "numprocesses", None):
        found.append("the workers of pytest-xdist")
    reruns = getattr(known, "reruns", None)
    if reruns is None and config.pluginmanager.hasplugin("rerunfailures"):
        reruns = config.inicfg.get("reruns")
    if reruns and str(getattr(reruns, "value", reruns)) != "0":
        found.append("the second tries of pytest-rerunfailures")
    return found


def move_imports(root, tree):
    """Let imports that an editable install points into `root` find the copy in `tree`."""

    def moved(path):
        inside = path == root or path.startswith(root + os.sep)
        there = tree + path[len(root) :] if inside else path
        return there if os.path.exists(there) else path

    if root == tree:
        return
    sys.path[:] = [moved(path) for path in sys.path]
    for name, module in list(sys.modules.items()):  # setuptools' import hooks
        mapping = getattr(module, "MAPPING", None)
        if name.startswith("__editable__") and isinstance(mapping, dict):
            mapping.update({package: moved(path) for package, path in mapping.items()})
