"""diffufix: repair failing tests with masked diffusion language models."""

import os as _os

__version__ = "0.1.0"

# OpenMP's threads wait for the next piece of work in a busy loop of milliseconds. Where anything
# else wants the cores, a model on two of them is then many times slower (bench/busy.py); where
# they sleep at once, by a third on quiet cores. A short loop costs neither. torch brings the
# library in, which reads this once: so it is set before any module of ours can import torch.
if "OMP_WAIT_POLICY" not in _os.environ:
    _os.environ.setdefault("GOMP_SPINCOUNT", "3000")
