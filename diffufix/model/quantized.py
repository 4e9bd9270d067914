"""Weight-only quantisation of linear layers while a checkpoint is read, by torchao.

A matrix is quantised as soon as it is read, so that the whole never lies there in bfloat16. Int8:
a scale a row, on every device. Int4: a scale for 64 columns, on CUDA, whose kernels are the only
ones that keep four bits in memory. Embeddings, norms and heads that share the embeddings stay.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn

from diffufix.errors import PrerequisiteError

#: Bits of a quantised weight, by what `--dtype` calls it.
BITS = {"int8": 8, "int4": 4}
GROUP = 64  # columns that share an int4 scale


def quantisation(asked: object, device: torch.device) -> str | None:
    """The name of the quantisation that was asked for; None: a floating dtype was.

    Raises PrerequisiteError where it is not installed, or not on that device.
    """
    if not isinstance(asked, str) or asked not in BITS:
        return None
    if asked == "int4" and device.type != "cuda":
        raise PrerequisiteError(
            f"int4 weights need a CUDA device; on {device.type} they take as much memory as int8.",
            "Use --dtype int8.",
        )
    _torchao()
    return asked


def quantised(name: str, weight: Tensor, kind: str) -> Tensor:
    """A matrix [out, in] with int8 or int4 weights; what is not quantised comes back as it is."""
    if weight.ndim != 2 or name.endswith("embed_tokens.weight"):
        return weight
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    quantize_, config = _torchao(), _config(kind)
    quantize_(layer, config)
    return layer.weight


def bytes_of(parameters: int, embedded: int, kind: str, wide: int) -> int:
    """Bytes of weights; `embedded` of the parameters stay at `wide` bytes each."""
    scales = parameters * 2 // GROUP if kind == "int4" else 0
    return (parameters - embedded) * BITS[kind] // 8 + embedded * wide + scales


def _config(kind: str) -> Any:
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig

    return Int8WeightOnlyConfig() if kind == "int8" else Int4WeightOnlyConfig(group_size=GROUP)


def _torchao() -> Any:
    logging.getLogger("torchao").setLevel(logging.ERROR)  # kernels for GPUs that are not here
    try:
        from torchao.quantization import quantize_
    except ImportError as error:
        raise PrerequisiteError(
            f"int8 and int4 weights need torchao: {error}", "pip install 'diffufix[quantize]'"
        ) from error
    return quantize_
