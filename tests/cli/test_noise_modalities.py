"""`siftrec noise` of a run that weighs modalities: the table, the figures, the page."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import polars.testing
import pytest

import siftrec
from cli.modal import modal_run, small_detectors
from siftrec import config
from siftrec.cli.main import run

FOREIGN = '[data.foreign]\nrho = 0.3\nmodalities = ["text"]\n[data.inject]\nmechanism = "replace"\nrho = 0.1\n'


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run with foreign texts and some replaced interactions, and what `siftrec noise` made of it."""
    trained = modal_run(tmp_path_factory.mktemp("planted"), planted=FOREIGN, titled=39)
    out = trained.parent / "noise"
    with pytest.MonkeyPatch.context() as patch:
        small_detectors(patch)
        assert run(["noise", str(trained), "-o", str(out)]) == 0
    return trained, out


def test_the_table_has_a_row_for_every_modality_that_was_there(planted: tuple[Path, Path]) -> None:
    _, out = planted
    frame = pl.read_parquet(out / "modalities.parquet")
    assert frame.schema == {
        **{"row": pl.Int64, "user": pl.String, "item": pl.String, "modality": pl.String},
        **{"weight": pl.Float32, "noise": pl.Float32},
    }
    interactions = pl.read_parquet(out / "interactions.parquet")
    slots = frame.group_by("row", maintain_order=True).agg("item", "modality", "weight")
    assert slots["row"].to_list() == interactions["row"].to_list()
    assert frame.filter(modality="text").height == interactions.height
    absent = pl.col("item").str.tail(2).cast(pl.Int64) % 4 == 0
    images = interactions.select(~absent).sum().item()  # no image is foreign here
    assert frame.filter(modality="image").height == images
    judged = interactions.filter(pl.col("noise").is_not_null())["row"].implode()
    for name in ("weight", "noise"):
        known = frame.filter(pl.col(name).is_not_null())
        assert set(known["row"]) == set(judged[0])
        assert known[name].is_between(0, 1).all()
    sums = slots.filter(pl.col("row").is_in(judged)).select(pl.col("weight").list.sum())["weight"]
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_foreign_content_is_measured_where_it_was_planted(planted: tuple[Path, Path]) -> None:
    trained, out = planted
    report = json.loads((out / "detection.json").read_text())
    assert report["mechanism"] == "replace"
    assert list(report["modalities"]) == ["text"]
    found = report["modalities"]["text"]
    prepared = config.load(trained / "config.toml").prepare()
    assert prepared.foreign is not None
    assert prepared.injected is not None
    truth = prepared.foreign.foreign_EM[:, 0] & ~prepared.injected.noisy
    kept = (prepared.split.role < 2) & ~prepared.injected.noisy
    assert (found["events"], found["mechanism"]) == (int(kept.sum()), "foreign")
    assert found["rho"] == pytest.approx(truth[kept].mean())
    # Half of what is drawn has the user's own taste, so no detector could reach more than .75.
    assert found["auroc"] > 0.6
    assert abs(found["auroc_popularity"] - 0.5) < 0.1
    assert abs(found["auroc_position"] - 0.5) < 0.1
    assert 0 < found["auroc_lifetime"] < 1
    assert 0 <= found["auroc_weight"] <= 1


def test_python_reports_what_the_command_writes(planted: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the page of a colleague's command and asks the same of Python must not see other figures."""
    small_detectors(monkeypatch)
    trained, out = planted
    prepared = config.load(trained / "config.toml").prepare()
    report = replace(siftrec.noise_report(siftrec.load(trained), prepared), name="run")
    assert report.to_json() == json.loads((out / "detection.json").read_text())
    pl.testing.assert_frame_equal(report.to_frame(), pl.read_parquet(out / "interactions.parquet"))
    pl.testing.assert_frame_equal(report.modalities(), pl.read_parquet(out / "modalities.parquet"))
    assert report.page(shlex.join(["siftrec", *sys.argv[1:]])) == (out / "noise.html").read_text("utf-8")


def test_foreign_content_alone_gives_figures_of_modalities_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_detectors(monkeypatch)
    trained = modal_run(tmp_path, planted="[data.foreign]\nrho = 0.2\n", impute="mean")
    assert run(["noise", str(trained), "-o", str(tmp_path / "n")]) == 0
    assert "foreign text: auroc" in capsys.readouterr().out
    report = json.loads((tmp_path / "n" / "detection.json").read_text())
    assert (report["schema"], report["mechanism"], report["auroc"]) == (1, None, None)
    assert list(report["modalities"]) == ["text", "image"]
    frame = pl.read_parquet(tmp_path / "n" / "modalities.parquet")
    assert frame["modality"].value_counts()["count"].n_unique() == 1  # imputed images are there
    judged = frame.filter(pl.col("weight").is_not_null())
    nobody_saw = (pl.col("modality") == "image") & (pl.col("item").str.tail(2).cast(pl.Int64) % 4 == 0)
    assert judged.select((pl.col("noise").is_null() == nobody_saw).all()).item()


def test_the_page_says_what_drives_whom_and_keeps_titles_text(planted: tuple[Path, Path]) -> None:
    page = (planted[1] / "noise.html").read_text("utf-8")
    assert 'id="modalities"' in page
    assert "Most of text: no user gives it more weight" in page
    assert "&lt;i&gt;One&lt;/i&gt;" in page
    assert "<i>One</i>" not in page


def test_a_method_that_weighs_no_modalities_has_no_such_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_detectors(monkeypatch)
    trained = modal_run(tmp_path, use="siftrec:ItemKNN")
    assert run(["noise", str(trained), "-o", str(tmp_path / "n")]) == 0
    assert not (tmp_path / "n" / "modalities.parquet").exists()
    assert 'id="modalities"' not in (tmp_path / "n" / "noise.html").read_text("utf-8")
