"""A trained run as files that other programs read: the same vectors, the same users, and a card that says what it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import siftrec as sr
from cli.modal import modal_run
from methods.test_added import METHODS, SMALL, trained
from siftrec.card import card
from siftrec.cli.main import run
from siftrec.detectors.agreement import Agreement
from siftrec.errors import EnvironmentProblem, UsageError
from siftrec.export import TOLERANCE, compared, export, histories, user_tower
from siftrec.methods.trained import Trained

ort = pytest.importorskip("onnxruntime", reason="needs the extra `export`")
pytest.importorskip("onnxscript", reason="needs the extra `export`")


FAST = ("ccl4rec gru", "demure early")


@pytest.mark.parametrize(
    "name", [each if each in FAST else pytest.param(each, marks=pytest.mark.slow) for each in METHODS]
)
def test_the_exported_tower_is_the_model_s_for_every_length_and_batch_size(name: str) -> None:
    """Whoever serves the graph would otherwise recommend other items than the model that was evaluated."""
    model = trained(METHODS[name])
    session = ort.InferenceSession(user_tower(model), providers=["CPUExecutionProvider"])
    length, rng = model.method.length, np.random.default_rng(0)
    for size in (1, 2, 7):
        for filled in range(1, length + 1):
            items_BL = np.zeros((size, length), np.int64)
            items_BL[:, length - filled :] = rng.integers(1, len(model.items), (size, filled))
            (found_BD,) = session.run(None, {"items": items_BL})
            with torch.inference_mode():
                right_BD = model.scorer.users(torch.from_numpy(items_BL)).numpy()  # type: ignore[attr-defined]
            np.testing.assert_allclose(found_BD, right_BD, atol=1e-5, rtol=1e-5)
            assert found_BD.dtype == np.float32


def test_the_check_reads_every_length_in_turn() -> None:
    """A graph that is wrong at one length only would pass a check that draws lengths."""
    model = trained(METHODS["ccl4rec mean"])
    length = model.method.length
    items_BL = histories(model, 4 * length)
    assert (items_BL > 0).sum(dim=1).tolist() == 4 * [*range(1, length + 1)]
    assert (items_BL.sort(dim=1).values > 0).equal(items_BL > 0)
    assert items_BL.max() < len(model.items)


def test_exporting_leaves_the_model_as_it_is() -> None:
    model = trained(METHODS["denoise"])
    before = model.recommend(["v1", "v2"], k=9)
    user_tower(model)
    assert model.recommend(["v1", "v2"], k=9) == before


@pytest.fixture(scope="module")
def tower() -> tuple[Trained, bytes]:
    """A model and its graph."""
    model = sr.fit(METHODS["ccl4rec mean"], trained_split(), epochs=1, seed=1)
    return model, user_tower(model)


def test_a_tower_that_gives_other_numbers_is_refused(tower: tuple[Trained, bytes]) -> None:
    model, graph = tower
    assert compared(model, graph) < TOLERANCE
    other = sr.fit(METHODS["ccl4rec mean"], trained_split(), epochs=1, seed=2)
    with pytest.raises(UsageError, match=r"differs from torch by .*; it is not written"):
        compared(other, graph)


@pytest.mark.parametrize("odd", [float("nan"), pytest.param(float("inf"), marks=pytest.mark.slow)])
def test_a_tower_that_gives_no_numbers_is_refused(tower: tuple[Trained, bytes], odd: float) -> None:
    """NaN is larger than nothing, so a comparison that looks for the largest difference passes it."""
    model, graph = tower
    broken = sr.fit(METHODS["ccl4rec mean"], trained_split(), epochs=1)
    broken.scorer.items()[1:].fill_(odd)  # type: ignore[attr-defined]
    wrong = user_tower(broken)
    for each, given in ((model, wrong), (broken, graph), (broken, wrong)):
        with pytest.raises(UsageError, match=r"differs from torch by nan; it is not written"):
            compared(each, given)


def test_a_tower_that_gives_other_numbers_is_not_written(
    demure: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever copies the folder to a server sees the file, not what was said while it was written."""
    other = sr.load(demure)
    with torch.no_grad():
        for each in other.scorer.parameters():  # type: ignore[attr-defined]
            each.mul_(2)
    sr.save(other, tmp_path / "other")
    graph = (folder / "users.onnx").read_bytes()
    monkeypatch.setattr("siftrec.export.user_tower", lambda _: graph)
    assert run(["export", str(tmp_path / "other"), "-o", str(tmp_path / "out")]) == 0
    assert "it is not written" in capsys.readouterr().err
    assert not (tmp_path / "out" / "users.onnx").exists()
    assert "There is no `users.onnx`: the exported" in (tmp_path / "out" / "model.md").read_text("utf-8")


def trained_split() -> sr.Split:
    from train.tiny import split

    return split()


@pytest.fixture(scope="module")
def demure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return modal_run(tmp_path_factory.mktemp("demure"))


@pytest.fixture(scope="module")
def folder(demure: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "export"
    assert run(["export", str(demure), "-o", str(out)]) == 0
    return out


def test_the_tables_hold_every_item_in_the_order_of_codes(demure: Path, folder: Path) -> None:
    model, table = sr.load(demure), pl.read_ipc((folder / "items.arrow").read_bytes())
    assert table.columns == ["id", "title", "popularity", "vector"]
    assert table["id"].to_list() == model.items.ids.to_list() == json.loads((folder / "ids.json").read_text("utf-8"))
    assert table["title"].drop_nulls().to_list() == ["<i>One</i>"]
    vectors = np.load(folder / "items.npy", allow_pickle=False)
    assert (table["vector"].to_numpy() == vectors).all()
    assert vectors.dtype == np.float32
    session = ort.InferenceSession(folder / "users.onnx")
    length = session.get_inputs()[0].shape[1]
    codes = [1 + table["id"].to_list().index(item) for item in ("v01", "v04")]
    (user_1D,) = session.run(None, {"items": np.array([[0] * (length - 2) + codes])})
    best = np.argsort(-(vectors @ user_1D[0]), kind="stable")
    named = [table["id"][int(row)] for row in best if table["id"][int(row)] not in ("v01", "v04")][:5]
    assert named == model.recommend(["v01", "v04"], k=5).items


def test_the_card_says_what_the_run_is(demure: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, model = (folder / "model.md").read_text("utf-8"), sr.load(demure)
    for said in (model.facts.train, model.facts.test, "leave-one-out", "75.0% of items", "LateFusion", "Intended use"):
        assert said in text
    assert "validation, filtered" in text
    assert run(["evaluate", str(demure), "--json", "-"]) == 0
    means = json.loads(capsys.readouterr().out)["runs"][0]["metrics"]["filtered"]
    text = card(model, demure)
    assert f"ndcg@5 | {means['ndcg@5']:.4f} ± 0.0" in text
    other = replace(model, facts=replace(model.facts, seed=8))
    assert "None: no evaluation of this model is at hand." in card(other, demure)


def test_figures_of_another_run_are_not_claimed(tmp_path: Path, demure: Path) -> None:
    """An artifact copied into the folder of an older run would otherwise boast with what that one reached."""
    model, folder = sr.load(demure), tmp_path / "run"
    shutil.copytree(demure, folder)
    (folder / "injected.parquet").touch()
    assert run(["evaluate", str(folder)]) == 0
    own = card(model, folder)
    for said in ("| ndcg@5 | 0.", "| users | 200 |", "siftrec 0.", "planted noise (injected.parquet)"):
        assert said in own
    other = sr.fit(sr.Popularity(), trained_split())
    facts = model.facts
    assert "| ndcg@5 | 0." in card(model.add_items(["new"], {"text": np.ones((1, 6))}), folder)
    mil = replace(model.method.mil, weight=0.2)  # type: ignore[attr-defined]
    settings = replace(model, method=replace(model.method, mil=mil))  # type: ignore[type-var]
    rate = sr.load(demure)  # as after training with another learning rate: the same log, seed, epochs and shapes
    with torch.no_grad():
        next(rate.scorer.parameters()).mul_(1.5)  # type: ignore[attr-defined]
    for foreign in (
        settings,
        rate,
        other,
        replace(other, facts=facts),
        replace(model, facts=replace(facts, seed=8)),
        replace(model, facts=replace(facts, train="of another log")),
        replace(model, facts=replace(facts, epochs=9)),
    ):
        text = card(foreign, folder)
        assert not any(said in text for said in ("| ndcg@5 |", "| users |", "| versions |", "injected"))
        assert "None: no evaluation of this model is at hand." in text
        assert "Whether noise was planted in the training log is not known" in text


def test_a_counted_method_gives_its_items_and_says_why_no_vectors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = modal_run(tmp_path, use="siftrec:ItemKNN")
    capsys.readouterr()
    assert run(["export", str(counted), "-o", str(tmp_path / "out")]) == 0
    assert "no users.onnx: ItemKNN counts; it has no vectors of items and users" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"items.arrow", "model.md", "manifest.json"}
    assert "There is no `users.onnx`: ItemKNN counts" in (tmp_path / "out" / "model.md").read_text("utf-8")


def test_a_detector_that_is_no_graph_is_refused_by_name() -> None:
    model = trained(sr.CCL4Rec(denoise=sr.Denoise(pooling=True, detector=Agreement()), **SMALL))
    with pytest.raises(UsageError, match="the detector of this CCL4Rec, Agreement, cannot be written as a graph"):
        user_tower(model)


def test_an_export_replaces_an_export_and_nothing_else(demure: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all I have")
    with pytest.raises(EnvironmentProblem, match=r"thesis.tex: a file stands where a folder is needed"):
        export(demure, tmp_path / "mine" / "thesis.tex")
    with pytest.raises(EnvironmentProblem, match=r"thesis.tex.*choose another folder"):
        export(demure, tmp_path / "mine")
    before = sr.load(demure).fingerprint
    with pytest.raises(EnvironmentProblem, match="artifact: holds a siftrec 'artifact', not an older 'export'"):
        export(demure, demure / "artifact")
    assert sr.load(demure).fingerprint == before
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "all I have"


def test_without_the_extra_the_message_says_what_to_install(demure: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'siftrec\[export\]'"):
        user_tower(sr.load(demure))


def test_recommending_loads_nothing_that_trains(demure: Path) -> None:
    """A service should not carry optimisers, and what is not imported cannot fail."""
    code = (
        "import sys, siftrec as sr\n"
        f"model = sr.load({str(demure)!r})\n"
        "assert model.recommend(['v01', 'v04'], k=3).items\n"
        "assert model.add_items(['new'], {'text': [[0.5] * 6]}).similar('new')\n"
        "heavy = ('siftrec.train', 'siftrec.noise', 'siftrec.run', 'siftrec.config', 'onnx', 'faiss', 'fastapi')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_similar_is_the_function_s_answer(demure: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known: Trained = sr.load(demure)
    assert run(["similar", str(demure), "v04", "-k", "3", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)["items"]
    assert [(each["item"], each["score"]) for each in told] == known.similar("v04", 3)
    assert [each["rank"] for each in told] == [1, 2, 3]
    assert run(["similar", str(demure), "v04", "-k", "40"]) == 0
    assert "<i>One</i>" in capsys.readouterr().out
    assert run(["similar", str(demure), "zzz"]) == 2
    assert capsys.readouterr().err == "error: item 'zzz' is not in the catalog of 40 items\n"
