"""`siftrec.noise_report` and `siftrec.html`, as Python has them; what they share with the command is tested with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import siftrec as sr
from cli.modal import small_detectors
from siftrec.audit.plan import QUICK
from siftrec.config import Prepared
from siftrec.data.split import TEST, TRAIN
from siftrec.detectors.cooccurrence import Cooccurrence
from siftrec.errors import SiftrecError
from siftrec.noise.foreign import ForeignContent
from siftrec.noise.judge import judge


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors that take no training, or little: what is tested here is what is made of its judgement."""
    small_detectors(monkeypatch)
    monkeypatch.setattr("siftrec.noise.sift.judge", partial(judge, detector=Cooccurrence()))


def events(users: int = 60) -> sr.Interactions:
    """Two tastes of 15 items each, six interactions of each user."""
    rng = np.random.default_rng(3)
    rows = [(f"u{u}", f"v{u % 2}{i:02d}", t) for u in range(users) for t, i in enumerate(rng.permutation(15)[:6])]
    return sr.read(pl.DataFrame(rows, schema=["user", "item", "time"], orient="row"))


def popular() -> sr.Trained:
    return sr.fit(sr.Popularity(), sr.leave_one_out(events()))


def looks(items: pl.Series, name: str = "look") -> sr.Catalog:
    vectors = np.random.default_rng(4).standard_normal((len(items), 3)).astype(np.float32)
    return sr.Catalog(items, **{name: sr.features(vectors, ids=items)})


def gated() -> sr.Trained:
    catalog = looks(events().items)
    return sr.fit(sr.Demure(base=sr.LateFusion(dim=4)), sr.leave_one_out(events()), catalog, epochs=1)


def test_a_log_and_its_split_are_judged_whole() -> None:
    """Who has cut nothing gets the same report of the log."""
    log, model = events(), popular()
    whole, split = sr.noise_report(model, log), sr.noise_report(model, sr.leave_one_out(log))
    assert len(whole.scores.noise) == len(log)
    assert whole.to_frame().equals(split.to_frame())
    assert whole.to_json() == split.to_json()
    assert whole.modal is None
    assert whole.modalities() is None
    assert repr(whole).startswith("NoiseReport(Popularity: NoiseScores(360 interactions")


def test_a_catalog_of_more_items_changes_no_row() -> None:
    """Codes are the catalog's; read as those of the log they would name other items, or none."""
    log, model = events(), popular()
    more = sr.Catalog([*(f"a{i}" for i in range(20)), *log.items])
    found = sr.noise_report(model, sr.leave_one_out(log), more, titles={"v000": "First"})
    frame = found.to_frame()
    assert frame.select("user", "item").equals(log.frame.sort("row").select("user", "item"))
    assert frame["row"].is_sorted()
    assert "First" in found.page()
    assert "a3" not in found.page()


@pytest.mark.parametrize("part", ["all", "train"])
def test_planted_noise_is_compared_with_what_is_believed(part: str) -> None:
    injected = sr.inject(sr.leave_one_out(events()), rho=0.3)
    model = sr.fit(sr.Popularity(), injected.split)
    found = sr.noise_report(model, injected, part=part)  # type: ignore[arg-type]
    chosen = injected.split.role < TEST if part == "all" else injected.split.role == TRAIN
    assert found.to_json() == sr.detection(
        found.scores, injected.noisy[chosen], injected.split.log.where(chosen), planted="replace"
    )
    assert found.to_frame()["noise"].null_count() == (~chosen).sum()
    assert "What was found" in found.page()
    assert "What was found" not in sr.noise_report(model, injected.split).page()


def test_a_gate_is_asked_about_content_that_was_planted() -> None:
    log, model = events(), gated()
    catalog = looks(log.items)
    found = sr.noise_report(model, foreign(), catalog)
    assert list(found.to_json()["modalities"]) == ["look"]
    weighed = found.modalities()
    assert weighed is not None
    assert set(weighed["modality"]) == {"look"}
    assert 'id="modalities"' in found.page()


def foreign() -> ForeignContent:
    return sr.Foreign(rho=0.4)(sr.leave_one_out(events()), looks(events().items), 7)


def prepared() -> Prepared:
    split = sr.leave_one_out(events())
    return Prepared(split, sr.Catalog(split.items), None, None, {}, {}, "order")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: sr.noise_report(sr.Popularity(), events()),
            "model: Popularity is no trained model; give what siftrec",
        ),
        (lambda: sr.noise_report(popular(), events().frame), "split: DataFrame is neither a split nor a log of inter"),
        (lambda: sr.noise_report(popular(), sr.leave_one_out(events()).train), "split: Sequences is neither a split"),
        (lambda: sr.noise_report(popular(), events(), events().items), "catalog: Series is no Catalog; try"),
        (lambda: sr.noise_report(popular(), events(), sr.Catalog(["v000"])), "is not in the catalog of 1 ids"),
        (lambda: sr.noise_report(popular(), prepared(), sr.Catalog(["v000"])), "data have their own; leave it out"),
        (lambda: sr.noise_report(popular(), events(), part="test"), "part: 'test' is neither 'all' nor 'train'"),
        (lambda: sr.noise_report(popular(), events(), titles=["First"]), "titles: list is no mapping of raw item id"),
        (
            lambda: sr.noise_report(gated(), events()),
            "content (look); give its catalog: noise_report(model, split, catalog)",
        ),
        (
            lambda: sr.noise_report(gated(), events(), looks(events().items, "sound")),
            "catalog: has sound, but the model was trained with look",
        ),
        (
            lambda: sr.noise_report(gated(), events(), looks(pl.Series([*events().items, "w"]))),
            "catalog: its items are not those of the model; give the catalog that it was trained with",
        ),
        (
            lambda: sr.noise_report(popular(), foreign(), looks(events().items, "sound")),
            "catalog: has sound, but foreign content was planted in look",
        ),
        (lambda: sr.html(popular(), "x.html"), "report: Trained has no page; give what siftrec.noise_report or"),
        (lambda: sr.html(sr.noise_report(popular(), events()), "events.parquet"), "events.parquet must end in .html"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(call: Callable[[], object], says: str) -> None:
    """Judging takes minutes on a real log; what is wrong is said before, and not from the depths of a library."""
    with pytest.raises(SiftrecError) as caught:
        call()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_items_added_since_training_do_not_matter() -> None:
    vectors = np.array([[1.0, 0.0, 0.0]], np.float32)
    more = gated().add_items(["w"], {"look": vectors})
    found = sr.noise_report(more, events(), looks(events().items))
    assert found.modal is not None


def test_a_page_replaces_an_older_one_and_nothing_else(tmp_path: Path) -> None:
    """A page of somebody else's under the same name is as lost as a log would be."""
    report = sr.noise_report(popular(), events())
    path = tmp_path / "new" / "noise.html"
    sr.html(report, path)
    assert path.read_text("utf-8") == report.page()
    sr.html(replace(report, name="again"), str(path))
    assert "<title>Noise: again</title>" in path.read_text("utf-8")
    path.write_text("<!doctype html><p>mine</p>")
    with pytest.raises(
        sr.EnvironmentProblem, match=r"noise\.html: is a file that siftrec did not write; choose another"
    ):
        sr.html(report, path)
    assert path.read_text() == "<!doctype html><p>mine</p>"
    assert [each.name for each in path.parent.iterdir()] == ["noise.html"]


def test_an_audit_has_a_page_too(tmp_path: Path) -> None:
    found = sr.audit(events(), plan=replace(QUICK, mechanisms=()))
    sr.html(found, tmp_path / "audit.html")
    page = (tmp_path / "audit.html").read_text("utf-8")
    assert page == found.page()
    assert found.verdict.answer in page.lower()
    assert "siftrec.audit(...)" in page
