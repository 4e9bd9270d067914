"""What a checkpoint's weights do not say: `Family`, and how it is recognised. Text only, no torch.

Special ids belong to a checkpoint, never to the program: 151667 is `<|dlm_pad|>` in one model of
this architecture and `<|expand|>` in another. The shift is part of the family too: where it is
set, the prediction for position p is read at the row of p - 1; reading it elsewhere gives garbage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from diffufix.errors import CheckpointError

Layout = Literal["inline", "aside"]
Chat = Literal["chatml", "none"]

DREAM_TYPES = frozenset({"dream"})
QWEN_TYPES = frozenset({"qwen2"})
_EXPAND_TOKENS = ("<|expand|>", "<expand>")
_DELETE_TOKENS = ("<|delete|>", "<delete>")
_IDS = ("mask", "pad", "bos", "eos", "expand", "delete", "was", "now", "gap")


@dataclass(frozen=True)
class Family:
    """How a checkpoint is to be talked to.

    `shift`: the row left of a position predicts it (position 0 can then never be masked).
    `layout`: "inline" has the hole between its contexts in one sequence; "aside" encodes the
    context once and denoises the hole beside it. `delete` removes the mask it is committed to;
    where it is the end-of-text id, every later mask of the hole goes with it.
    """

    name: str
    shift: bool
    layout: Layout
    chat: Chat
    mask: int
    pad: int | None = None
    bos: int | None = None
    eos: int | None = None
    expand: int | None = None
    delete: int | None = None
    was: int | None = None  # the aside layout's marks: before the original text of a hole,
    now: int | None = None  # before what takes its place,
    gap: int | None = None  # and where a hole's original text is not shown
    failure: bool | None = None  # it reads what a failing test said, behind its context

    @property
    def variable_length(self) -> bool:
        return self.expand is not None and self.delete is not None

    @property
    def delete_reaches_right(self) -> bool:
        return self.delete is not None and self.delete == self.eos

    @property
    def specials(self) -> frozenset[int]:
        """Ids that may never stay in a hole (`expand` and `delete` may be committed there)."""
        ids = (self.mask, self.pad, self.bos, self.eos, self.was, self.now, self.gap)
        return frozenset(i for i in ids if i is not None and i != self.delete)

    @property
    def prompts(self) -> str:
        """The folder of its templates under prompts/."""
        if self.layout == "aside":
            return "mini"
        return "dream" if self.chat == "chatml" else "dream-base"

    def as_dict(self) -> dict[str, Any]:
        """The value of the `diffufix` key in config.json that `recognise` reads back."""
        values = asdict(self)
        values["family"] = values.pop("name")
        return {key: value for key, value in values.items() if value is not None}


def recognise(
    config: Mapping[str, Any],
    added_tokens: Mapping[str, int],
    *,
    generation: Mapping[str, Any] | None = None,
    name: str = "",
) -> Family:
    """The family of a checkpoint.

    `config` is its config.json, `added_tokens` its tokenizer's special strings with their ids,
    `generation` its generation_config.json, `name` the folder or hub id it was asked for by.
    A `diffufix` key in `config` decides alone. Raises CheckpointError for models that are not
    masked diffusion models of this architecture, or that do not say how they are shifted.
    """
    own = config.get("diffufix")
    if own is not None:
        return _declared(own)
    kind = str(config.get("model_type", "")).lower()
    if kind in QWEN_TYPES:
        raise CheckpointError(
            "A Qwen2-shaped checkpoint does not say whether its predictions are shifted.",
            'Add to its config.json: "diffufix": {"family": "qwen", "shift": true or false, '
            '"layout": "inline", "chat": "none", "mask": the mask id}.',
        )
    if kind not in DREAM_TYPES:
        raise CheckpointError(
            f"Checkpoints of model_type {config.get('model_type')!r} are not supported.",
            "Dream-family masked diffusion models are: DiffuCoder, Dream-Coder, DreamOn.",
        )
    known = {**config, **{k: v for k, v in (generation or {}).items() if v is not None}}

    def find(key: str, *tokens: str) -> int | None:
        value = known.get(f"{key}_token_id")
        if isinstance(value, list):
            value = value[0] if value else None
        if value is None:
            value = next((added_tokens[token] for token in tokens if token in added_tokens), None)
        return value

    mask = find("mask", "<|mask|>")
    if mask is None:
        raise CheckpointError(
            "The checkpoint names no mask token: no mask_token_id in config.json.",
            "Add mask_token_id (151666 for Dream and DiffuCoder) to its config.json.",
        )
    eos = find("eos", "<|endoftext|>")
    expand = find("expand", *_EXPAND_TOKENS)
    delete = find("delete", *_DELETE_TOKENS)
    title = _title(name, str(config.get("_name_or_path") or ""), expand is not None)
    base = "base" in name.lower() or expand is not None
    chatty = "<|im_start|>" in added_tokens and not base
    return Family(
        name=title,
        shift=True,
        layout="inline",
        chat="chatml" if chatty else "none",
        mask=mask,
        pad=find("pad", "<|dlm_pad|>", "<|endoftext|>"),
        bos=find("bos"),
        eos=eos,
        expand=expand,
        delete=delete if delete is not None or expand is None else eos,
    )


def _title(name: str, declared: str, expands: bool) -> str:
    if expands:
        return "dreamon"
    for text in (name.lower(), declared.lower()):
        for title in ("dreamon", "diffucoder", "dream-coder"):
            if title in text:
                return title
    return "dream"


def _declared(own: Mapping[str, Any]) -> Family:
    hint = 'Expected "diffufix": {"family", "shift", "layout", "chat", "mask", ...}.'
    missing = {"family", "shift", "mask"} - own.keys()
    if missing:
        raise CheckpointError(f"config.json: diffufix lacks {', '.join(sorted(missing))}.", hint)
    layout, chat = own.get("layout", "inline"), own.get("chat", "none")
    if layout not in get_args(Layout) or chat not in get_args(Chat):
        raise CheckpointError(f"config.json: unknown layout {layout!r} or chat {chat!r}.", hint)
    if not isinstance(own["shift"], bool):
        raise CheckpointError("config.json: diffufix.shift is not true or false.", hint)
    if own.get("failure") not in (None, True, False):
        raise CheckpointError("config.json: diffufix.failure is not true or false.", hint)
    ids = {key: own.get(key) for key in _IDS}
    if not all(value is None or isinstance(value, int) for value in ids.values()):
        raise CheckpointError("config.json: special ids must be integers.", hint)
    return Family(
        name=str(own["family"]),
        shift=own["shift"],
        layout=layout,
        chat=chat,
        failure=own.get("failure"),
        **ids,  # type: ignore[arg-type]
    )
