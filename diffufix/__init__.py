"""diffufix: repair failing tests with masked diffusion language models."""

import os as _os
from pathlib import Path as _Path

__version__ = "0.1.0"

# In a checkout, `train/` and `prompts/` live beside this package; in a wheel, inside it.
_root = _Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "train").is_dir():
    __path__.append(str(_root))

# OpenMP's threads wait for the next piece of work in a busy loop of milliseconds. Where anything
# else wants the cores, a model on two of them is then many times slower (bench/busy.py); where
# they sleep at once, by a third on quiet cores. A short loop costs neither. torch brings the
# library in, which reads this once: so it is set before any module of ours can import torch.
if "OMP_WAIT_POLICY" not in _os.environ:
    _os.environ.setdefault("GOMP_SPINCOUNT", "3000")
