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
from diffufix.model.families import Architecture, Chat, kind_of, namesake, repository

Layout = Literal["inline", "aside"]

#: What begins a turn of a conversation.
_MARKS = {
    "chatml": "<|im_start|>", "llama3": "<|start_header_id|>", "ling": "<role>",
    "seed": "<[begin\u2581of\u2581sentence]>",
}  # fmt: skip
_EXPAND_TOKENS = ("<|expand|>", "<expand>")
_DELETE_TOKENS = ("<|delete|>", "<delete>")
_IDS = (
    "mask", "pad", "bos", "eos", "expand", "delete", "was", "now", "gap", "outline", "names",
    "breaking",
)  # fmt: skip


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
    outline: int | None = None  # marks before an outline of the file (propose/surroundings.py),
    names: int | None = None  # before further names of the file,
    breaking: int | None = None  # and where holes are to be broken, not mended
    window: int | None = None  # tokens of a function that it reads at once; None: MAX_WINDOW
    block: int = 0  # tokens that see one another and what is before them alone; 0: all see all

    @property
    def appended(self) -> bool:
        """Whether its holes are appended to a context that is encoded once; else they are filled in
        place."""
        return self.layout == "aside"

    @property
    def variable_length(self) -> bool:
        return self.expand is not None and self.delete is not None

    @property
    def delete_reaches_right(self) -> bool:
        return self.delete is not None and self.delete == self.eos

    @property
    def specials(self) -> frozenset[int]:
        """Ids that may never stay in a hole (`expand` and `delete` may be committed there)."""
        ids = (
            self.mask, self.pad, self.bos, self.eos, self.was, self.now, self.gap, self.outline,
            self.names, self.breaking,
        )  # fmt: skip
        return frozenset(i for i in ids if i is not None and i != self.delete)

    @property
    def prompts(self) -> str:
        """The folder of its templates under prompts/."""
        if self.appended:
            return "mini"
        return "dream-base" if self.chat == "none" else "dream"

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
    tokenizer: Mapping[str, Any] | None = None,
    name: str = "",
) -> Family:
    """The family of a checkpoint, by what its files declare.

    `config` is its config.json, `added_tokens` its tokenizer's special strings with their ids,
    `generation` its generation_config.json, `tokenizer` its tokenizer_config.json (None: it has
    none), `name` the hub id or folder that it comes from: a published checkpoint is known by its
    id, a folder's name says nothing. A whole `diffufix` key in `config` decides alone; one with
    less corrects what was found. Raises CheckpointError for models that are not masked diffusion
    models, or of a kind that is not known: what was found, and what is known.
    """
    own = config.get("diffufix")
    if isinstance(own, Mapping) and "family" in own:
        return _declared(own)
    kind = kind_of(config)
    published = repository(name) or repository(str(config.get("_name_or_path") or ""))
    block = kind.block and (config.get("block_size") or config.get("bd_size") or kind.block)
    if published is not None and published.block and not block:
        block = published.block
    known = {**config, **{k: v for k, v in (generation or {}).items() if v is not None}}
    said = tokenizer or {}

    def find(key: str, *tokens: str) -> int | None:
        value = known.get(f"{key}_token_id")
        if isinstance(value, list):
            value = value[0] if value else None
        strings = (_string(said.get(f"{key}_token")), *tokens)
        if value is None:
            value = next((added_tokens[token] for token in strings if token in added_tokens), None)
        return value

    mask = find("mask", *kind.masks)
    if mask is None and published is not None:
        mask = published.mask
    _check_kind(kind, config, mask)
    assert mask is not None
    eos = find("eos", "<|endoftext|>")
    expand = find("expand", *_EXPAND_TOKENS)
    delete = find("delete", *_DELETE_TOKENS)
    title = "dreamon" if expand is not None and kind.name == "dream" else _title(kind, name, config)
    chat = published.chat if published is not None else _chat(kind, added_tokens, tokenizer, name)
    family = Family(
        name=title,
        shift=kind.shift,
        layout="inline",
        chat="none" if expand is not None else chat,
        mask=mask,
        pad=find("pad", "<|dlm_pad|>", "<|endoftext|>"),
        bos=find("bos"),
        eos=eos,
        expand=expand,
        delete=delete if delete is not None or expand is None else eos,
        block=block,
    )
    return _declared({**family.as_dict(), **own}) if isinstance(own, Mapping) else family


def _string(token: Any) -> str:
    """A token of tokenizer_config.json: a string, or an object that holds one."""
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")


def _check_kind(kind: Architecture, config: Mapping[str, Any], mask: int | None) -> None:
    """Raises CheckpointError where the files contradict the kind, or name no mask token."""
    architectures = {str(name) for name in config.get("architectures") or ()}
    declare = (
        'Add to its config.json: "diffufix": {"family": "qwen", "shift": true or false, '
        '"layout": "inline", "chat": "none", "mask": the mask id}.'
    )
    shown = f"model_type {config.get('model_type')!r}"
    if kind.architectures and mask is None:
        raise CheckpointError(
            f"The checkpoint of {shown} has no mask token: it is an autoregressive model.",
            "A masked diffusion model names one in config.json or in its tokenizer. " + declare,
        )
    if kind.architectures and architectures and not architectures & kind.architectures:
        raise CheckpointError(
            f"A checkpoint of {shown} with the architecture {', '.join(sorted(architectures))} "
            "does not say whether its predictions are shifted.",
            declare,
        )
    if mask is None:
        raise CheckpointError(
            "The checkpoint names no mask token: no mask_token_id in config.json.",
            "Add mask_token_id (151666 for Dream and DiffuCoder) to its config.json.",
        )


def _chat(
    kind: Architecture,
    added_tokens: Mapping[str, int],
    tokenizer: Mapping[str, Any] | None,
    name: str,
) -> Chat:
    """Whether a checkpoint that is not known by its id is talked to in turns: it has the marks,
    and a chat template or the pad token that only instruct checkpoints of its kind have. Where
    no settings of a tokenizer say so, a folder that is called as a published one is taken for it.
    """
    mark = _MARKS[kind.chat]
    if mark not in added_tokens:
        return "none"
    if tokenizer is None:
        called = namesake(name)
        return called.chat if called is not None else kind.chat
    padded = _string(tokenizer.get("pad_token")) == "<|dlm_pad|>"
    return kind.chat if tokenizer.get("chat_template") or padded else "none"


def _title(kind: Architecture, name: str, config: Mapping[str, Any]) -> str:
    for text in (name, str(config.get("_name_or_path") or "")):
        published = repository(text) or namesake(text)
        if published is not None:
            return published.title
    return kind.name


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
    ids = {key: own.get(key) for key in (*_IDS, "window")}
    if not all(value is None or isinstance(value, int) for value in ids.values()):
        raise CheckpointError("config.json: special ids must be integers.", hint)
    block = own.get("block", 0)
    if not isinstance(block, int) or block < 0:
        raise CheckpointError(f"config.json: diffufix.block is {block!r}.", hint)
    return Family(
        name=str(own["family"]),
        shift=own["shift"],
        layout=layout,
        chat=chat,
        failure=own.get("failure"),
        block=block,
        **ids,  # type: ignore[arg-type]
    )
