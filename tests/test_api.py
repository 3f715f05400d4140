"""The public functions in the order in which a first script calls them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cli.modal import small_detectors

SCRIPT = """
import siftrec as sr
events  = sr.read("events.parquet", user="uid", item="vid", time="ts").core(5)
catalog = sr.Catalog(events.items, image=sr.features("image.parquet"), text=sr.features("title.npy", ids="items.tsv"))
split   = sr.leave_one_out(events)
ours = sr.fit(sr.Demure(base=sr.CCL4Rec(dim=64)), split, catalog, epochs=20, seed=7)
base = sr.fit(sr.SASRec(dim=64), split, catalog, epochs=20, seed=7)
a, b = sr.evaluate(ours, split.test), sr.evaluate(base, split.test)     # full ranking, per user
print(sr.compare(a, b, metric="ndcg@10"))                               # difference, 95 % CI, Holm-corrected p
sr.sift(ours, events, catalog).write("weighted.parquet")                # the log + weight = 1 − noise probability, for any other tool
sr.html(sr.noise_report(ours, split, catalog), "noise.html")
sr.save(ours, "runs/demure")
print(sr.load("runs/demure").recommend(["v17", "v203"], k=10))          # raw ids in, raw ids and scores out
"""  # noqa: E501


def test_the_public_api_from_a_file_to_recommendations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line of the design's block; one line that fails and nobody gets from their log to a model, or to its noise.

    `sift` takes the catalog, which the design left out: a model does not hold the vectors of its content, so a log is not
    judged without them by mistake (the error says so). Sizes and epochs are smaller here.
    """
    rng = np.random.default_rng(5)
    items = ["v17", "v203", *(f"v{i}" for i in range(300, 338))]
    rows = [(f"u{u}", items[i], 60 * t) for u in range(60) for t, i in enumerate(rng.permutation(40)[:6])]
    pl.DataFrame(rows, schema=["uid", "vid", "ts"], orient="row").write_parquet(tmp_path / "events.parquet")
    pl.DataFrame({"row": range(40), "item": items}).write_csv(tmp_path / "items.tsv", separator="\t")
    np.save(tmp_path / "title.npy", rng.standard_normal((40, 8)).astype(np.float32))
    image = pl.DataFrame({"item": items[10:], "vector": rng.standard_normal((30, 6)).astype(np.float32)})
    image.write_parquet(tmp_path / "image.parquet")
    monkeypatch.chdir(tmp_path)
    small_detectors(monkeypatch)
    shorter = SCRIPT.replace("epochs=20", "epochs=1").replace("dim=64", "dim=8")
    exec(compile(shorter, "script", "exec"), {})
    out = capsys.readouterr().out
    assert "ndcg@10" in out
    assert "  1  v3" in out
    weighted = pl.read_parquet("weighted.parquet")
    assert weighted.columns == ["uid", "vid", "ts", "weight"]
    assert len(weighted) == len(rows)
    page = Path("noise.html").read_text("utf-8")
    assert "<title>Noise: Demure</title>" in page
    assert 'id="modalities"' in page
