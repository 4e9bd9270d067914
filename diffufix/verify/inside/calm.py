# mypy: ignore-errors
"""Make every run of a suite comparable with every other; touches pytest's arguments and sys.path.

One process, the same order, no early stop, no coverage of somebody else, no debugger prompt.
"""

import os
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


def calm_arguments(config, args, temporary):
    """Change `args` in place, before pytest parses them for good."""
    args[:] = [argument for argument in args if argument not in UNWANTED]
    wanted = ["--maxfail=0", "--continue-on-collection-errors", "--color=no"]
    wanted.append("--basetemp=" + os.path.join(temporary, "pytest"))
    for plugin, options in ASIDE.items():
        if config.pluginmanager.hasplugin(plugin):
            wanted.extend(options)
    place = args.index("--") if "--" in args else len(args)
    args[place:place] = wanted
    # pytest-cov decides before that.
    config.known_args_namespace.no_cov = True
    config.known_args_namespace.cov_source = []


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
