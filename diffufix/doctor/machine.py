"""Python, torch, GPU, models, git: what is installed. Imports torch; runs `git --version`."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import diffufix
from diffufix.config import Settings
from diffufix.doctor.check import Health, HealthCheck

GB = 1e9


def python(settings: Settings) -> HealthCheck:
    """diffufix and the Python that it runs on."""
    version = platform.python_version()
    found = f"diffufix {diffufix.__version__} on Python {version}, {platform.platform(terse=True)}"
    data = {"diffufix": diffufix.__version__, "python": version, "system": sys.platform,
            "cores": os.cpu_count()}  # fmt: skip
    return HealthCheck("diffufix", Health.OK, f"{found}, {os.cpu_count()} cores", data=data)


def interpreter(settings: Settings) -> HealthCheck:
    """The interpreter that the project's tests run with, and how lines are recorded in it."""
    from diffufix.testing.interpreter import enclosing, find_interpreter

    path = find_interpreter(settings.root, settings.python or None, settings.folder)
    ask = (
        "import sys, importlib.metadata as m\n"
        "try:\n import coverage.tracer as t; c = hasattr(t, 'CTracer')\n"
        "except ImportError:\n c = False\n"
        "print(sys.version.split()[0], m.version('pytest'), hasattr(sys, 'monitoring'), c)"
    )
    done = subprocess.run(
        [*enclosing(path, settings.root), str(path), "-c", ask], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=60, check=True,
    )  # fmt: skip
    version, pytest, monitoring, tracer = done.stdout.split()
    core = "coverage.py's C tracer" if tracer == "True" else ""
    core = core or ("sys.monitoring" if monitoring == "True" else "")
    data = {"path": str(path), "python": version, "pytest": pytest, "coverage": core or "settrace"}
    found = f"{path}: Python {version}, pytest {pytest}; lines recorded by "
    if not core:
        return HealthCheck(
            "interpreter", Health.WARNING, f"{found}sys.settrace, which is slow",
            f"Install coverage there: {path} -m pip install coverage", data=data,
        )  # fmt: skip
    return HealthCheck("interpreter", Health.OK, found + core, data=data)


def torch(settings: Settings) -> HealthCheck:
    """The build of PyTorch and its threads."""
    import torch as library

    build = f"CUDA {library.version.cuda}" if library.version.cuda else "CPU only"
    found = f"torch {library.__version__} ({build}), {library.get_num_threads()} threads"
    return HealthCheck(
        "torch", Health.OK, found, data={"version": library.__version__, "build": build}
    )


def gpu(settings: Settings) -> HealthCheck:
    """Whether the large models can run here."""
    import torch as library

    if not library.cuda.is_available():
        mps = getattr(library.backends, "mps", None)
        if mps is not None and mps.is_available():
            return HealthCheck("gpu", Health.OK, "Apple's GPU (mps)", data={"devices": ["mps"]})
        nvidia = shutil.which("nvidia-smi") is not None
        remedy = "Install the CUDA build of torch: pytorch.org/get-started." if nvidia else ""
        return HealthCheck(
            "gpu", Health.WARNING if nvidia else Health.SKIPPED,
            "an NVIDIA GPU that this build of torch cannot use" if nvidia
            else "none; the model `mini` runs on the CPU", remedy, data={"devices": []},
        )  # fmt: skip
    names = []
    for index in range(library.cuda.device_count()):
        free, total = library.cuda.mem_get_info(index)
        names.append(f"{library.cuda.get_device_name(index)}, {free / GB:.0f} of {total / GB:.0f} "
                     "GB free")  # fmt: skip
    return HealthCheck("gpu", Health.OK, "; ".join(names), data={"devices": names})


def models(settings: Settings) -> HealthCheck:
    """Which models are here, under which licences."""
    from diffufix.registry.checkpoints import published
    from diffufix.registry.models import Registry

    every = published()
    here = [each for each in every if each.folder is not None]
    names = ", ".join(f"{each.name} ({each.licence})" for each in here)
    trained = Registry(settings.root).names()
    found = f"{names}; trained here: {', '.join(trained) or 'none'}"
    data = {"here": [each.name for each in here], "trained": list(trained),
            "licences": {each.name: each.licence for each in every}}  # fmt: skip
    if not here:
        return HealthCheck(
            "models", Health.ERROR, "none", "Reinstall diffufix: `mini` is a part of it."
        )
    return HealthCheck("models", Health.OK, found, data=data)


def git(settings: Settings) -> HealthCheck:
    """git, and whether the project is under version control."""
    program = shutil.which("git")
    if program is None:
        return HealthCheck(
            "git", Health.WARNING, "not installed",
            "Install git: without it uncommitted changes are not noticed, and --commit and "
            "--branch do not work.",
        )  # fmt: skip
    from diffufix.source.repository import git as ask

    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    said = version.stdout.strip()
    top = ask(settings.root, "rev-parse", "--show-toplevel")
    if top is None:
        return HealthCheck(
            "git", Health.WARNING, f"{said}; {settings.root} is in no repository",
            "`git init`, and commit: then what a patch changes can be seen and taken back.",
        )  # fmt: skip
    where = Path(os.fsdecode(top).strip())
    return HealthCheck(
        "git", Health.OK, f"{said}; repository {where}", data={"repository": str(where)}
    )
