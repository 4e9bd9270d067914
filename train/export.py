"""Put a trained model into the package, as bfloat16 in hub layout.

    python -m diffufix.train.export --run FOLDER [--to diffufix/model/mini]

Reads FOLDER/model as pretrain.py left it and writes config.json, model.safetensors and
tokenizer.json. Loading widens bfloat16 to float32 exactly.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from diffufix.model.weights import write_tensors

MINI = Path(__file__).resolve().parent.parent / "diffufix" / "model" / "mini"


def export(source: Path, target: Path) -> int:
    """Returns the number of parameters."""
    state = load_file(source / "model.safetensors")
    target.mkdir(parents=True, exist_ok=True)
    write_tensors(target, {name: tensor.to(torch.bfloat16) for name, tensor in state.items()})
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(source / name, target / name)
    return sum(tensor.numel() for tensor in state.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=MINI)
    args = parser.parse_args()
    print(f"{export(args.run / 'model', args.to):,} parameters")


if __name__ == "__main__":
    main()
