"""What a body may be made of: the names in its scope, sketches around them, and which tokens a
place is likely to hold by its neighbours. Text and ids, no torch.

The model reads one function: fields of the class are unknown to it, a name that no training file
had means nothing to it. A human author would look them up; `BodyNames` does.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable, Iterator, Sequence

from diffufix.generate.body import Body, required
from diffufix.source.functions import FunctionNode
from diffufix.source.syntax import parse

#: A sketch is what follows `return`: text, and numbers of masks.
Sketch = tuple[str | int, ...]
Hint = list[tuple[int, float]]

OPERATORS = (
    *(" +", " -", " *", " /", " //", " %", " <", " >", " <=", " >=", " ==", " !="),
    *(" in", " and", " or", " if", " else", " for", ".", "(", "[", ")", "]", ",", ":"),
)
#: What an expression often begins with, beside names of the scope.
BEGINNINGS = (
    *("0", "1", "not", "len", "sum", "max", "min", "sorted", "any", "all", "int", "str", "list"),
    *("set", "dict", "float", "round", "range", "enumerate", "None", "True", "False"),
)
NAMES, OTHERS = 0.3, 0.15  # shares of names in scope, and of beginnings, where an operand stands
OPERATOR = 0.3  # of operators, behind an operand
ANYWHERE = 0.1  # of names, where the neighbours are not known
COMPLETED = 0.95  # of what makes a name of a part of one
UNUSED = 3.0  # how much likelier a parameter is that the body does not mention yet
_OPERAND = re.compile(r"""[\w)\]}"']$""")
_LAST_WORD = re.compile(r"[A-Za-z_]\w*$")
_WORDS = re.compile(r"[^\W\d]\w*")
_ITERABLES = re.compile(r"list|List|Sequence|Iterable|Iterator|Collection|set|Set|tuple|Tuple|dict|"
                        r"Mapping|str")  # fmt: skip


class BodyNames:
    """Of one body: its parameters, the attributes of its class, and hints from them."""

    def __init__(self, body: Body, encode: Callable[[str], list[int]],
                 decode: Callable[[Sequence[int]], str], mask: int) -> None:  # fmt: skip
        self._decode, self._mask = decode, mask
        self._texts: dict[int, str] = {}
        node = body.function.node
        self.parameters = required(node)
        args = [*node.args.posonlyargs, *node.args.args]
        self.owner = args[0].arg if args and args[0].arg in ("self", "cls") else ""
        fields, methods = attributes(body.source, body.qualname)
        self.fields = fields if self.owner == "self" else []
        self.attributes = [*self.fields, *methods] if self.owner else []
        self._hints = {a.arg: ast.unparse(a.annotation) for a in args if a.annotation}
        self._names = [*self.parameters, *([self.owner] if self.owner else [])]
        self._operators = [ids[0] for o in OPERATORS if len(ids := encode(o)) == 1]
        self._beginnings = {
            blank: [ids[0] for b in BEGINNINGS if len(ids := encode(blank + b)) == 1]
            for blank in ("", " ")
        }
        self._forms = {
            form: tuple(encode(form))
            for name in (*self._names, *self.attributes)
            for form in (name, " " + name)
        }
        self._parts: dict[tuple[int, ...], set[int]] = {}  # begun, what goes on
        self._tails: dict[tuple[int, ...], set[int]] = {}  # ended, what comes before
        for form in self._forms.values():
            for cut in range(1, len(form)):
                self._parts.setdefault(form[:cut], set()).add(form[cut])
                self._tails.setdefault(form[cut:], set()).add(form[cut - 1])
        self._longest = max((len(form) for form in self._forms.values()), default=1)

    # -- sketches ----------------------------------------------------------------------------------

    def operands(self) -> list[str]:
        """What a one-line body computes with: parameters, and fields of its object."""
        return [*self.parameters, *(f"self.{field}" for field in self.fields)]

    def sketches(self) -> Iterator[Sketch]:
        """What may follow `return`, with all of what it computes with already in its place."""
        operands = self.operands()[:6]
        for each in operands:
            yield from ((1, " " + each), (" " + each, 3), (1, "(", each, ")"),
                        (1, "(", each, 4, ")"))  # fmt: skip
            yield from ((2, " " + each, 2), (4, each, 4))
        pairs = [(a, b) for a in operands for b in operands if a != b]
        for one, other in pairs[:12]:
            yield from ((f" {one}", 1, f" {other}"), (f" {one}", 1, f" {other}", 2),
                        (f" {one}", 2, other, 1))  # fmt: skip
            yield (2, one, 1, f" {other}", 2)
        if 3 <= len(self.parameters) <= 4:
            yield (1, *(part for name in self.parameters for part in (f" {name}", 2)))
        each = next(n for n in ("x", "i", "n", "item") if n not in self.parameters)
        for over in [o for o in operands if self._many(o)][:3]:
            yield (1, "(", each, 2, f" for {each} in {over}", ")")
            yield (f" [{each}", f" for {each} in {over} if {each}", 2, "]")
            yield (" [", 1, f" for {each} in {over}", "]")

    def _many(self, operand: str) -> bool:
        hint = self._hints.get(operand, "")
        return not hint or bool(_ITERABLES.search(hint.split("[")[0]))

    def may_use_all(self, ids: Sequence[int]) -> bool:
        """Are there masks enough for the parameters that a hole does not mention yet?

        Of a hole without masks nothing is said.
        """
        masks = sum(token == self._mask for token in ids)
        return not masks or len(self.parameters) - len(self._said(ids)) <= masks

    def _said(self, ids: Sequence[int]) -> set[str]:
        words = set(_WORDS.findall("".join(map(self._text, ids))))
        return words.intersection(self.parameters)

    # -- hints -------------------------------------------------------------------------------------

    def hints(self, ids: Sequence[int]) -> list[Hint]:
        """For every mask of a hole: ids that its neighbours make likely, with their shares."""
        texts = list(map(self._text, ids))
        said = self._said(ids)
        found: list[Hint] = []
        for place, token in enumerate(ids):
            if token == self._mask:
                left = "".join(texts[:place]).rpartition("\0")[2]
                found.append(self._hint(ids, place, left, said))
        return found

    def _hint(self, ids: Sequence[int], place: int, left: str, said: set[str]) -> Hint:
        completing = self._completing(ids, place)
        if completing:
            return [(token, COMPLETED / len(completing)) for token in sorted(completing)]
        if not left:
            forms = self._begun(" ", said) if place else {}
            return _shared(forms, ANYWHERE)
        if left.rstrip().endswith("."):
            owned = self.owner and re.search(rf"\b{self.owner}\.$", left)
            first = [self._forms[name][0] for name in self.attributes] if owned else []
            return _shared(dict.fromkeys(first, 1.0), 2 * NAMES)
        word = _LAST_WORD.search(left)
        behind = _OPERAND.search(left) and not (word and keyword.iskeyword(word.group()))
        if behind:
            return _shared(dict.fromkeys(self._operators, 1.0), OPERATOR)
        blank = "" if left[-1] in "([{ \n" else " "
        names = _shared(self._begun(blank, said), NAMES)
        shares = dict(_shared(dict.fromkeys(self._beginnings[blank], 1.0), OTHERS))
        for token, share in names:
            shares[token] = shares.get(token, 0.0) + share
        return list(shares.items())

    def _begun(self, blank: str, said: set[str]) -> dict[int, float]:
        weights: dict[int, float] = {}
        for name in self._names:
            first = self._forms[blank + name][0]
            more = UNUSED if name in self.parameters and name not in said else 1.0
            weights[first] = weights.get(first, 0.0) + more
        return weights

    def _completing(self, ids: Sequence[int], place: int) -> set[int]:
        """What must stand here for a part of a name beside it to become the name."""
        for length in range(min(self._longest, place), 0, -1):
            begun, before = tuple(ids[place - length : place]), ids[: place - length][-1:]
            apart = self._text(begun[0])[0] == " " or not before or self._ends_word(before[0])
            if apart and begun in self._parts and not self._is_name(begun):
                return self._parts[begun]
        for length in range(min(self._longest, len(ids) - place - 1), 0, -1):
            ended = tuple(ids[place + 1 : place + 1 + length])
            after = ids[place + 1 + length :][:1]
            apart = not after or not re.match(r"[\w\0]", self._text(after[0]))
            if apart and ended in self._tails and not self._is_name(ended):
                return self._tails[ended]
        return set()

    def _ends_word(self, token: int) -> bool:
        """Does another word begin behind this token? Not known where it is a mask."""
        return not re.search(r"[\w\0]$", self._text(token))

    def _text(self, token: int) -> str:
        if token not in self._texts:
            known = self._decode([token]) if token != self._mask else "\0"
            self._texts[token] = known or "\0"
        return self._texts[token]

    def _is_name(self, ids: tuple[int, ...]) -> bool:
        """Is it more than a part: a name of the scope, a builtin, a keyword, one letter?"""
        word = self._decode(ids)
        bare = word.strip()
        return word in self._forms or keyword.iskeyword(bare) or bare in BEGINNINGS


def _shared(weights: dict[int, float], share: float) -> Hint:
    total = sum(weights.values())
    return [(token, share * weight / total) for token, weight in weights.items()]


def attributes(source: str, qualname: str) -> tuple[list[str], list[str]]:
    """Data fields and methods of the class that a method (`Class.method`) is of, itself left out:
    annotated in the class, assigned to `self`, or defined there."""
    *path, own = qualname.split(".")
    inside: list[ast.stmt] = parse(source).body
    for name in path:
        named = [n for n in inside if isinstance(n, ast.ClassDef) and n.name == name]
        if not named:
            return [], []
        inside = named[-1].body
    if not path:
        return [], []
    fields: dict[str, None] = {}
    methods: dict[str, None] = {}
    for statement in inside:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if "ClassVar" not in ast.unparse(statement.annotation):
                fields[statement.target.id] = None
        elif isinstance(statement, FunctionNode):
            if statement.name != own and not statement.name.startswith("__"):
                methods[statement.name] = None
            for n in ast.walk(statement):
                if not isinstance(n, ast.Attribute) or not isinstance(n.ctx, ast.Store):
                    continue
                if isinstance(n.value, ast.Name) and n.value.id == "self":
                    fields[n.attr] = None
    return list(fields), [name for name in methods if name not in fields]
