"""Is what is called a repair right? Fits the probability, cross-validated by project, and tells.

    python bench/trust.py ROWS.jsonl [--fit | --shipped] [--threshold 0.8] [--out trust]
    python bench/trust.py bench/results/trust-rows.jsonl.gz

ROWS.jsonl is what trust_rows.py wrote: green candidates with evidence and judgement; those of the
last run are kept (the second line). For every
green candidate the probability comes from coefficients that were fitted without its project. Then
each case has the patch that would have been offered first: before (smallest edit among what passed
in two seconds) and after (the highest probability of what is not refused). Figures, per source:
right among the first-offered before and after, precision and recall of `repaired`, the area under
the curve of right against wrong, and the calibration error in ten bins. Undecided candidates are
listed, and count neither way in the fit; a first offer that is undecided counts as not right.
--shipped takes the probabilities as the product gave them, without fitting. A fit starts from
trust_prior.json, and pays for every change: the cases of that fit are gone, what they said is not.
--fit also writes diffufix/trust/coefficients.json, fitted on everything; pictures and tables go to
bench/results/NAME.* and docs/trust-calibration.svg. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import roc_auc_score

from diffufix.trust.probability import capped, probability

ROOT = Path(__file__).resolve().parent.parent
FOLDS = 8
OUT_OF_REACH = 0.25  # weight of a case from which the right candidates were taken
#: What small functions, mutants and two of the real bugs had said before. These rows are not in it.
PRIOR: dict[str, Any] = json.loads(Path(__file__).with_name("trust_prior.json").read_text())
PULL = 10.0  # of a standardised feature's coefficient towards the prior one
#: Signs that a coefficient may have: what no data may turn round; others are free.
SIGNS = {
    "strength": 1, "agreement": 1, "alike": 1, "logp": 1, "margin": 1,
    "changed": -1, "any_changed": -1, "pass_rate": -1, "groups": -1, "rank": -1, "size": -1,
    "deletes": -1, "copied": -1, "odd": -1, "layout": -1, "unobserved": -1, "unseen": -1,
}  # fmt: skip

Row = dict[str, Any]
Case = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--out", default="trust")
    args = parser.parse_args()
    opened = gzip.open if args.rows.suffix == ".gz" else open
    with opened(args.rows, "rt") as file:
        cases = [json.loads(line) for line in file]
    cases = [case for case in cases if case["greens"]]
    by_hand(cases)
    for green in (green for case in cases for green in case["greens"]):
        seen = green["evidence"]["behaviour"]
        green["features"]["unseen"] = float(
            seen["failing_calls"] > 0 and not seen["failing_calls_changed"]
        )
    if args.shipped:
        for green in (green for case in cases for green in case["greens"]):
            green["chance"] = 0.0 if green["refused"] else green["probability"]
    else:
        cross_validate(cases)
    document = figures(cases, args.threshold)
    write(document, cases, args)
    if args.fit:
        model = fit(cases)
        target = ROOT / "diffufix" / "trust" / "coefficients.json"
        target.write_text(json.dumps(model, indent=1) + "\n")
    print(json.dumps(document))


def by_hand(cases: Sequence[Case]) -> None:
    """What was undecided and looked at by hand: {case: {edit: right or wrong}}."""
    told = json.loads(Path(__file__).with_name("trust_hand.json").read_text())
    for case in cases:
        for green in case["greens"]:
            edit = " -> ".join(" ".join(text.split()) for text in green["edit"])
            truth = told.get(case["id"], {}).get(edit)
            if truth and green["truth"] == "undecided":
                green.update(truth=truth, why="by hand")


# -- fitting ---------------------------------------------------------------------------------------


def fit(cases: Sequence[Case]) -> dict[str, Any]:
    """The prior's coefficients, moved by these cases: a logistic regression with an L2 penalty on
    the change, the intercept and one factor for all of them free; cases weigh the same whatever the
    number of their candidates. A coefficient that would get a forbidden sign is 0."""
    rows, weights = [], []
    for case in [*cases, *without_right(cases)]:
        share = case.get("share", 1.0)
        known = [g for g in case["greens"] if g["truth"] != "undecided" and not g["refused"]]
        rows += known
        weights += [share / math.sqrt(max(1, len(known)))] * len(known)
    features = PRIOR["features"]
    names = list(features)
    mean_F, scale_F, given_F = (
        torch.tensor([features[n][key] for n in names]) for key in ("mean", "scale", "coefficient")
    )
    x_NF = torch.tensor([[green["features"][n] for n in names] for green in rows])
    z_NF = ((x_NF - mean_F) / scale_F).clamp(-4, 4)
    right_N = torch.tensor([float(green["truth"] == "right") for green in rows])
    weight_N, sign_F = torch.tensor(weights), torch.tensor([SIGNS.get(n, 0) for n in names])
    kept_F = torch.ones(len(names))
    while True:
        found_F, intercept = _moved(
            z_NF, right_N, weight_N, given_F * kept_F, kept_F, PRIOR["intercept"]
        )
        wrong_F = (found_F * sign_F < 0) & (kept_F > 0)
        if not wrong_F.any():
            break
        kept_F = kept_F * ~wrong_F
    moved = {
        n: {**features[n], "coefficient": round(float(found), 5)}
        for n, found in zip(names, found_F, strict=True)
    }
    return {"intercept": round(intercept, 5), "features": moved}


def _moved(
    z_NF: torch.Tensor, right_N: torch.Tensor, weight_N: torch.Tensor, given_F: torch.Tensor,
    kept_F: torch.Tensor, intercept: float,
) -> tuple[torch.Tensor, float]:  # fmt: skip
    """Coefficients and intercept; those that are not kept stay 0."""
    change_F = torch.zeros_like(given_F, requires_grad=True)
    factor, offset = (torch.tensor(v, requires_grad=True) for v in (1.0, intercept))
    optimizer = torch.optim.LBFGS(
        [change_F, factor, offset], max_iter=300, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        odds_N = z_NF @ (factor * given_F + change_F * kept_F) + offset
        lost_N = torch.nn.functional.binary_cross_entropy_with_logits(
            odds_N, right_N, weight_N, reduction="none"
        )
        whole = lost_N.sum() + PULL * (change_F**2).sum() + (factor - 1) ** 2
        whole.backward()
        return whole

    optimizer.step(closure)
    with torch.no_grad():
        return factor * given_F + change_F * kept_F, float(offset)


def without_right(cases: Sequence[Case]) -> list[Case]:
    """The cases as they would be had the right edit been out of reach, as it mostly is for real
    bugs: only their wrong candidates, with what is known of each among the others counted anew."""
    found = []
    for case in cases:
        wrong = [g for g in case["greens"] if g["truth"] == "wrong" and not g["refused"]]
        if len(wrong) in (0, len(case["greens"])):
            continue
        groups = {g["group"] for g in wrong}
        best = {n: max(g["evidence"]["logp"] for g in wrong if g["group"] == n) for n in groups}
        rows = []
        for green in wrong:
            own = green["group"]
            others = [value for n, value in best.items() if n != own]
            tried = green["evidence"]["tried"]
            margin = best[own] - max(others) if others else 6.0
            features = green["features"] | {
                "greens": math.log(len(wrong)),
                "groups": math.log(len(groups)),
                "alike": sum(g["group"] == own for g in wrong) / len(wrong),
                "margin": max(-6.0, min(6.0, margin)),
                "pass_rate": math.log((len(wrong) + 0.5) / (tried + 1.0)),
            }
            rows.append(green | {"features": features})
        found.append(case | {"greens": rows, "share": OUT_OF_REACH})
    return found


def cross_validate(cases: Sequence[Case]) -> None:
    """Each candidate's `chance`, from coefficients that saw no case of its project; small
    functions are projects of their own."""
    projects = sorted({case["project"] for case in cases})
    fold = {project: number % FOLDS for number, project in enumerate(projects)}
    for number in range(FOLDS):
        model = fit([case for case in cases if fold[case["project"]] != number])
        for case in cases:
            if fold[case["project"]] == number:
                for green in case["greens"]:
                    chance = probability(green["features"], model)
                    chance = capped(chance, green["features"])
                    green["chance"] = 0.0 if green["refused"] else chance


# -- figures ---------------------------------------------------------------------------------------


def figures(cases: Sequence[Case], threshold: float) -> dict[str, Any]:
    sources = sorted({case["source"] for case in cases})
    parts = {source: [c for c in cases if c["source"] == source] for source in sources}
    return {name: _figures(part, threshold) for name, part in {**parts, "all": cases}.items()}


def _figures(cases: Sequence[Case], threshold: float) -> dict[str, Any]:
    before = [first_before(case) for case in cases]
    after = [first_after(case) for case in cases]
    called = [g for g in after if g is not None and g["chance"] >= threshold]
    right_after = [g for g in after if g is not None and g["truth"] == "right"]
    known = [g for case in cases for g in case["greens"] if g["truth"] != "undecided"]
    y, p = [g["truth"] == "right" for g in known], [g["chance"] for g in known]
    return {
        "cases with a green candidate": len(cases),
        "with a right one among them": sum(any(right(g) for g in c["greens"]) for c in cases),
        "first-offered right, before": sum(right(g) for g in before),
        "first-offered right, after": len(right_after),
        "called repaired": len(called),
        "of them right": sum(right(g) for g in called),
        "of them undecided": sum(g["truth"] == "undecided" for g in called),
        "precision of repaired": share(sum(right(g) for g in called), len(called)),
        "recall of the right first-offered": share(
            sum(right(g) for g in called), len(right_after)
        ),
        "AUC": round(float(roc_auc_score(y, p)), 3) if len(set(y)) == 2 else None,
        "calibration error": round(calibration_error(y, p), 3),
        "candidates": len(known), "right candidates": sum(y),
    }  # fmt: skip


def first_before(case: Case) -> Row:
    """The offer of a search that stops two seconds after a first success: the smallest edit."""
    early = [green for green in case["greens"] if green["early"]] or case["greens"]
    return min(early, key=lambda green: green["badness"])


def first_after(case: Case) -> Row | None:
    kept = [green for green in case["greens"] if not green["refused"]]
    return max(kept, key=lambda green: green["chance"], default=None)


def right(green: Row | None) -> bool:
    return green is not None and green["truth"] == "right"


def share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def bins(y: Sequence[bool], p: Sequence[float]) -> Iterable[tuple[float, float, int]]:
    """(mean probability, share right, count) of ten bins of equal width."""
    for number in range(10):
        chosen = [i for i, v in enumerate(p) if min(9, int(v * 10)) == number]
        if chosen:
            mean = sum(p[i] for i in chosen) / len(chosen)
            yield mean, sum(y[i] for i in chosen) / len(chosen), len(chosen)


def calibration_error(y: Sequence[bool], p: Sequence[float]) -> float:
    return sum(abs(a - b) * n for a, b, n in bins(y, p)) / max(1, len(p))


# -- results ---------------------------------------------------------------------------------------


def write(document: dict[str, Any], cases: Sequence[Case], args: argparse.Namespace) -> None:
    name, results = args.out, ROOT / "bench" / "results"
    (results / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    columns = list(document)
    lines = [
        f"# {name}", "",
        f"`python bench/trust.py ROWS.jsonl`, threshold {args.threshold:g}, "
        + ("what the product said." if args.shipped else "cross-validated by project."),
        "", f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|",
    ]  # fmt: skip
    for key in document["all"]:
        lines.append(f"| {key} | " + " | ".join(_cell(document[c][key]) for c in columns) + " |")
    undecided = [(c["id"], g) for c in cases for g in c["greens"] if g["truth"] == "undecided"]
    lines += ["", f"{len(undecided)} candidates are undecided:", ""]
    for case, g in undecided:
        edit = " -> ".join("`" + " ".join(text.split())[:50] + "`" for text in g["edit"])
        lines.append(f"- {case}, {g['chance']:.2f}: {edit}; {g['why'][:90]}")
    (results / f"{name}.md").write_text("\n".join(lines) + "\n")
    if not args.shipped:
        draw(cases)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def draw(cases: Sequence[Case]) -> None:
    """Share right against probability; the size of a point says how many candidates it is."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "diffufix"
    from matplotlib import pyplot

    known = [g for case in cases for g in case["greens"] if g["truth"] != "undecided"]
    found = list(bins([g["truth"] == "right" for g in known], [g["chance"] for g in known]))
    figure, axes = pyplot.subplots(figsize=(4.5, 4.2))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.scatter([m for m, _, _ in found], [s for _, s, _ in found],
                 s=[12 + 3 * n for _, _, n in found], color="#205080")  # fmt: skip
    axes.set_xlabel("probability of being right, cross-validated by project")
    axes.set_ylabel("share that is right")
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "trust-calibration.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
