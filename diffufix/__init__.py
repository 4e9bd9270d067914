"""diffufix: repair failing tests with masked diffusion language models."""

from pathlib import Path as _Path

__version__ = "0.1.0"

# In a checkout, `train/` and `prompts/` live beside this package; in a wheel, inside it.
_root = _Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "train").is_dir():
    __path__.append(str(_root))
