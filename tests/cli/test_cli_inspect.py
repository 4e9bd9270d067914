"""`diffufix inspect`: states, order, page and picture of fills."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from diffufix.cli import main
from diffufix.completion.denoised import Denoised, DenoisedSample, denoise
from diffufix.model import load_model
from diffufix.model.checkpoint import LoadedModel
from diffufix.report.inspection import inspection_document, inspection_lines, inspection_page
from tests.support.checkpoints import make_dream_checkpoint

LEFT, RIGHT = "def f(a):\n    return ", "\n</script><script>alert(1)</script>\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(make_dream_checkpoint(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.fixture(scope="module")
def runs(model: LoadedModel) -> list[Denoised]:
    return denoise(model, LEFT, RIGHT, temperatures=[0.0, 1.0], samples=3, length=5)


def test_every_step_commits_one_token(runs: list[Denoised]) -> None:
    for run in runs:
        assert len(run.first) == 5
        for sample in run.samples:
            masked = [sum(text is None for text in state) for state in sample.states]
            assert masked == [5, 4, 3, 2, 1, 0]
            assert sorted(sample.order) == [0, 1, 2, 3, 4]
            by_step = sorted(range(5), key=lambda i: sample.tokens[i].step)
            assert tuple(by_step) == sample.order
            assert sample.states[-1] == tuple(token.text for token in sample.tokens)
    assert runs[0].distinct == pytest.approx(1 / 3)  # at temperature 0 all are the same


def test_arness_of_known_orders() -> None:
    def of(*order: int) -> DenoisedSample:
        return DenoisedSample("", (), (), order, 0.0)

    both = Denoised(1.0, (of(0, 1, 2, 3), of(3, 2, 1, 0), of()), (1.0,))
    assert both.arness(1) == (0.5, (1.0 + 0.25) / 2)
    assert both.arness(4)[1] == 1.0
    assert Denoised(1.0, (of(),), ()).arness(1) == (None, None)


def test_the_page_needs_nothing_and_runs_nothing_of_the_prompt(runs: list[Denoised]) -> None:
    page = inspection_page("tiny", LEFT, RIGHT, "told", runs)
    assert not re.search(r"(?:src|href)=", page)
    assert "<script>alert" not in page
    data = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert data["right"] == RIGHT
    assert data["runs"] == json.loads(json.dumps(inspection_document(runs)))
    assert any("AR-ness k=1" in line for line in inspection_lines(runs[0]))


def test_as_a_user_runs_it(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["inspect", LEFT, "--model", "mini", "--length", "4", "--samples", "2"]
    assert main([*args, "--temperature", "0.5", "--html", "a.html"]) == 0
    assert "order  token" in capsys.readouterr().out
    assert "How mini filled a hole" in (tmp_path / "a.html").read_text()
    assert main([*args, "--json", "--temperature", "0.5"]) == 0
    assert json.loads(capsys.readouterr().out)["inspection"][0]["temperature"] == 0.5
    assert main([*args, "--html", "nowhere/a.html"]) == 2
    assert main(["inspect", "3"]) == 2
    assert "--html FILE" in capsys.readouterr().err
