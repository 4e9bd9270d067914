"""Where a model is computed and in which dtype: what the machine has, and what fits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil
import torch

from diffufix.errors import PrerequisiteError

#: Parameters from which a model is worth a Mac's GPU; below, the CPU is as fast.
WORTH_MPS = 100_000_000
#: Parameters from which weights stay in bfloat16 on a CPU: float32 would double the memory.
WIDE_AT_MOST = 1_000_000_000


def choose_device(asked: str | torch.device | None, parameters: int = 0) -> torch.device:
    """The device that was asked for; None and "auto": CUDA, else MPS for a large model, else CPU.

    Raises PrerequisiteError where PyTorch cannot use it here.
    """
    if asked is None or asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        large = parameters >= WORTH_MPS and torch.backends.mps.is_available()
        return torch.device("mps" if large else "cpu")
    try:
        where = torch.device(asked)
    except RuntimeError as error:
        raise PrerequisiteError(
            f"There is no device {asked!r}.", "Try cpu, cuda or mps."
        ) from error
    if where.type == "cuda" and not torch.cuda.is_available():
        raise PrerequisiteError(
            "PyTorch finds no CUDA device.", "Use `cpu`, or install a CUDA build of PyTorch."
        )
    if where.type == "mps" and not torch.backends.mps.is_available():
        raise PrerequisiteError(
            "PyTorch finds no MPS device: it needs a Mac with Apple silicon and macOS 14 or later.",
            "Use `cpu`.",
        )
    try:
        torch.zeros(1, device=where).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise PrerequisiteError(
            f"PyTorch cannot use the device {str(asked)!r}: {reason}", "Try cpu, cuda or mps."
        ) from error
    return where


def choose_dtype(
    asked: str | torch.dtype | None, device: torch.device, parameters: int = 0
) -> torch.dtype:
    """The floating dtype that was asked for; None and "auto": bfloat16 on a GPU and for large
    models, else float32. Raises PrerequisiteError."""
    if asked is None or asked == "auto":
        if device.type == "cpu":
            return torch.float32 if parameters < WIDE_AT_MOST else torch.bfloat16
        return torch.bfloat16
    kind = getattr(torch, asked, None) if isinstance(asked, str) else asked
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise PrerequisiteError(
            f"There is no floating dtype {asked!r}.", "Try float32, bfloat16, float16 or int8."
        )
    return kind


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free there; None where the machine does not say."""
    try:
        if device.type == "cuda":
            return int(torch.cuda.mem_get_info(device)[0])
        if device.type == "mps":
            most = torch.mps.recommended_max_memory()
            return int(most - torch.mps.current_allocated_memory())
        return int(psutil.virtual_memory().available)
    except (OSError, RuntimeError, AssertionError, AttributeError, ValueError):
        return None


def check_memory(weights: int, dtype: torch.dtype | str, device: torch.device, name: str) -> None:
    """Raises PrerequisiteError where so many bytes of weights alone do not fit."""
    free = free_memory(device)
    if free is None or weights <= free:
        return
    raise PrerequisiteError(
        f"{name} takes {weights / 1e9:.1f} GB in {str(dtype).removeprefix('torch.')}, "
        f"{device.type} has {free / 1e9:.1f} GB free.",
        "Use `--model mini`, another --device, or a smaller --dtype.",
    )


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Denormal floats count as zero, for this thread, and for good in those that PyTorch starts
    meanwhile.

    The tails of a softmax and the gradients of attention are full of them, and on a CPU they cost
    many times what other floats do (bench/training.py). The rest of a program may want them back.
    """
    before = not float(torch.tensor(5e-324, dtype=torch.float64) * 1.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
