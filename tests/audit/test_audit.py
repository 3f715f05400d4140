"""An audit with a judge that knows the truth, and with one that knows nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from oracles import OnDisk, dice, scores_of

from siftrec.audit import Columns, Named, audit
from siftrec.audit.events import Advanced, Began, Ended, Event, Planned
from siftrec.audit.plan import FULL, JUDGE, PLANT, QUICK, TRAIN, Plan
from siftrec.audit.planting import MECHANISMS
from siftrec.audit.verdict import LEAVE, SHORT, WEIGHT
from siftrec.data.catalog import Catalog
from siftrec.data.layout import Vectors
from siftrec.data.read import read
from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.fitted import OnFold
from siftrec.errors import DataError, EnvironmentProblem, UsageError
from siftrec.modality.precomputed import features

Stored = Callable[..., OnDisk]


def nothing_found(log: Sequences, catalog: Catalog, **named: object) -> NoiseScores:
    return scores_of(np.zeros(len(log.items)))


def test_heavy_noise_and_weights_that_know_it_say_weight_it(stored: Stored) -> None:
    log = stored(rho=0.5, users=1200, items=400, length=12)
    found = audit(log.path, plan=QUICK, detector=log.oracle)
    assert found.verdict.answer == WEIGHT
    assert all(gain.relative > 0.1 and gain.low > 0 for gain in found.verdict.gains)
    assert [gain.proxy for gain in found.verdict.gains] == ["ItemKNN", "EASE", "all proxies"]


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_weights_that_know_nothing_never_say_weight_it(stored: Stored, rho: float) -> None:
    log = stored(rho=rho, users=800, items=400, length=10)
    for seed in range(3):
        assert audit(log.path, plan=QUICK, detector=dice, seed=seed).verdict.answer in (LEAVE, SHORT)


def test_a_judge_that_finds_nothing_changes_nothing(stored: Stored) -> None:
    log = stored(rho=0.0, users=400, items=400, length=6)
    found = audit(log.path, plan=QUICK, detector=nothing_found)
    assert found.to_json()["noise"]["detector"] is None, "no detector of ours has judged"
    assert found.verdict.answer == LEAVE
    assert [(gain.relative, gain.p) for gain in found.verdict.gains] == [(0.0, 1.0)] * 3


def test_few_users_are_too_short_to_tell(stored: Stored) -> None:
    log = stored(rho=0.5, users=30, items=400, length=12)
    found = audit(log.path, plan=QUICK, detector=log.oracle)
    assert found.verdict.answer == SHORT
    assert "30 users" in found.verdict.sentences


def test_one_user_is_too_short_to_tell_and_nothing_is_trained(tmp_path: Path) -> None:
    path, events = tmp_path / "one.csv", list[Event]()
    two_each = "".join(f"u{n},i{n % 9}\nu{n},i{n % 9 + 9}\n" for n in range(40))
    path.write_text("user,item\n" + two_each + "".join(f"long,i{n}\n" for n in range(12)))
    found = audit(path, plan=QUICK, detector=dice, on_event=events.append)
    assert (found.verdict.answer, found.verdict.users, found.verdict.gains) == (SHORT, 1, ())
    assert "the holdout asks 1 user, and fewer than 200" in found.verdict.sentences
    assert repr(found) == f"Audit({path}: {found.verdict.sentences})"
    began = [each.step for each in events if isinstance(each, Began)]
    assert TRAIN not in began
    assert isinstance(events[0], Planned)
    assert list(events[0].steps) == began


def test_a_log_that_cannot_be_cut_is_described_and_scored_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("user,item\n" + "".join(f"u{n},i{n % 3}\nu{n},i{n % 2 + 3}\n" for n in range(20)))
    found = audit(path, out=tmp_path / "out", detector=nothing_found)
    assert (found.cut, found.findable, found.verdict.answer) == (None, (), SHORT)
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["holdout"] is None


def test_the_weights_of_the_verdict_have_seen_nothing_of_the_holdout(stored: Stored) -> None:
    log = stored(rho=0.3, users=250, items=400, length=6)
    found = audit(log.path, plan=QUICK, detector=log.oracle)
    assert found.cut is not None
    whole, *planted, earlier = log.oracle.seen
    assert len(whole.items) == len(found.source.log.items)
    assert len(planted) == len(MECHANISMS)
    holdout = found.source.log.rows[found.cut.split.role == 2]
    for shown in (*planted, earlier):
        assert not np.isin(holdout, shown.rows).any()
    # Another holdout, the same earlier part: the weights that models are trained with do not move.
    assert earlier.fingerprint == found.cut.earlier.fingerprint


def test_planted_noise_is_found_by_the_oracle_and_not_by_dice(stored: Stored) -> None:
    log = stored(rho=0.0, users=300, items=400, length=10)
    told, thrown = audit(log.path, plan=QUICK, detector=log.oracle), audit(log.path, plan=QUICK, detector=dice)
    known, guessed = told.findable, thrown.findable
    assert [each.mechanism for each in known] == list(MECHANISMS)
    assert all(each.detection["auroc"] > 0.99 for each in known)
    assert all(abs(each.detection["auroc"] - 0.5) < 0.05 for each in guessed)
    assert all(0.2 < each.planted / each.interactions < 0.4 for each in known)
    blind = "next to nothing: whatever weights change here, it is not by finding such noise"
    assert blind in thrown.verdict.sentences, "a reader of the verdict must learn that nothing planted could be found"
    assert blind not in told.verdict.sentences


def test_an_audit_computes_in_one_thread_wherever_it_is_called(stored: Stored) -> None:
    """Beside other work on the same processors two threads take several times as long as one."""
    log, used = stored(rho=0.0, users=300, items=400, length=10), set[int]()

    def counted(log: Sequences, catalog: Catalog, *, seed: int, **named: object) -> NoiseScores:
        used.add(torch.get_num_threads())
        return dice(log, catalog, seed=seed)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        audit(log.path, plan=QUICK, detector=counted)
        assert (used, torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


def test_equal_seeds_give_equal_audits(stored: Stored) -> None:
    log = stored(rho=0.3, users=300, items=400, length=6)
    first, again = (audit(log.path, plan=QUICK, detector=dice, seed=5).to_json() | {"seconds": 0} for _ in range(2))
    assert first == again
    assert audit(log.path, plan=QUICK, detector=dice, seed=6).to_json()["verdict"] != first["verdict"]


def test_the_folder_holds_the_result_the_weighted_log_and_the_page(stored: Stored, tmp_path: Path) -> None:
    log, out = stored(rho=0.3, users=250, items=400, length=6), tmp_path / "out"
    found = audit(log.path, out=out, plan=QUICK, detector=log.oracle, page=lambda result: result.verdict.sentences)
    told = json.loads((out / "audit.json").read_text())
    assert told == json.loads(json.dumps(found.to_json()))
    assert (out / "audit.html").read_text() == found.verdict.sentences
    table = pl.read_parquet(out / "weighted.parquet")
    assert table["row"].to_list() == list(range(250 * 7))
    noisy = log.planted.noisy
    assert (table["weight"].to_numpy() < 0.5).tolist() == noisy.tolist()
    again = read(out / "events.parquet")
    assert again.frame["item"].to_list() == read(log.path).frame["item"].to_list()
    np.testing.assert_allclose(again.frame["weight"], table["weight"])


def test_the_weighted_table_has_the_time_of_the_log(stored: Stored, tmp_path: Path) -> None:
    """Positions that are read back as µs since 1970 would be cut by a date."""
    frame = pl.read_parquet(stored(rho=0.3, users=60, items=400, length=6).path).sort("user", "time")
    logs = {"order": frame.drop("time"), "clock": frame.with_columns(time=pl.col("time") + 1_500_000_000)}
    for kind, log in logs.items():
        log.write_parquet(tmp_path / f"{kind}.parquet")
        audit(tmp_path / f"{kind}.parquet", out=tmp_path / kind, plan=QUICK, detector=dice)
        given, table = (read(tmp_path / path) for path in (f"{kind}.parquet", f"{kind}/weighted.parquet"))
        assert given.time_kind == table.time_kind == kind
        assert given.frame["time"].equals(table.frame["time"])


def test_weights_of_the_log_are_kept_and_multiplied(stored: Stored, tmp_path: Path) -> None:
    log = stored(rho=0.3, users=250, items=400, length=6)
    half = pl.read_parquet(log.path).with_columns(weight=pl.lit(0.5))
    half.write_parquet(tmp_path / "half.parquet")
    audit(tmp_path / "half.parquet", out=tmp_path / "out", plan=QUICK, detector=log.oracle)
    weight = pl.read_parquet(tmp_path / "out" / "weighted.parquet")["weight"].to_numpy()
    np.testing.assert_allclose(weight, np.where(log.planted.noisy, 0.025, 0.475), atol=1e-6)


def test_a_log_in_memory_is_audited_as_its_file_is(stored: Stored, tmp_path: Path) -> None:
    log = stored(rho=0.3, users=60, items=400, length=6)
    frame = pl.read_parquet(log.path)
    beside, held = audit(log.path, plan=QUICK, detector=dice), audit(read(frame), plan=QUICK, detector=dice)
    assert np.array_equal(held.scores.noise, beside.scores.noise)
    assert held.verdict.sentences == beside.verdict.sentences
    assert str(held) == f"memory: {held.verdict.sentences}"
    content = features(np.eye(len(held.source.catalog) - 1, dtype=np.float32))
    with_content = audit(
        read(frame), Catalog(read(frame).items, text=content), tmp_path / "a", plan=QUICK, detector=dice
    )
    assert list(with_content.to_json()["modalities"]) == ["text"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "audit.json",
        "manifest.json",
        "weighted.parquet",
    ]
    with pytest.raises(UsageError, match=r"goes with a siftrec\.Catalog"):
        audit(read(frame), {"text": "t.npy"}, plan=QUICK)
    with pytest.raises(UsageError, match="with files of vectors"):
        audit(log.path, Catalog(read(frame).items), plan=QUICK)


def test_a_catalog_of_more_items_than_the_log_gives_every_item_its_own_content(stored: Stored) -> None:
    """Codes of the log and of a wider catalog differ: items would be judged by the content of others."""
    frame = pl.read_parquet(stored(rho=0.3, users=300, items=400, length=10).path)
    events = read(frame.with_columns(item="i" + pl.col("item").cast(pl.String)))
    more = pl.concat([events.items, pl.Series([f"a{k}" for k in range(50)]), pl.Series(["i", "z"])])
    vectors = np.array([[int("".join(filter(str.isdigit, item)) or 0), 1] for item in more], np.float32)
    content = features(vectors, ids=more)

    def told(catalog: Catalog) -> list[tuple[int, float]]:
        seen = []

        def numbered(log: Sequences, catalog: Catalog, *, seed: int, **named: object) -> NoiseScores:
            numbers = catalog.modalities["text"].vectors(log.items)[:, 0]
            seen.append((len(numbers), float((numbers * np.arange(len(numbers))).sum())))
            return dice(log, catalog, seed=seed)

        audit(events, catalog, plan=QUICK, detector=numbered)
        return seen

    exact, wider = told(Catalog(events.items, text=content)), told(Catalog(more, text=content))
    assert exact == wider
    assert len(exact) == 2 + len(MECHANISMS)
    number = np.array([int(item[1:]) for item in events.frame["item"]], np.float32)
    assert exact[0] == (len(number), float((number * np.arange(len(number))).sum()))


def test_a_log_that_cannot_be_written_again_costs_no_result(stored: Stored, tmp_path: Path) -> None:
    """After a quarter of an hour the audit itself must not be lost for want of a copy of the log."""
    log = stored(rho=0.3, users=60, items=400, length=6)
    frame = pl.read_parquet(log.path).with_columns(weight=0.5)
    frame.write_parquet(tmp_path / "log.parquet")
    events: list[Event] = []
    unread = Named(tmp_path / "log.parquet", Columns(weight=""))
    audit(unread, out=tmp_path / "a", plan=QUICK, detector=dice, on_event=events.append)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "audit.json",
        "manifest.json",
        "weighted.parquet",
    ]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    (last,) = (event for event in events[-1:] if isinstance(event, Ended))
    assert "weighted.parquet alone has the weights: " in last.found
    assert "has weights in its column 'weight' already" in last.found


def test_a_folder_that_holds_anything_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=r"already holds 'mine.txt'"):
        audit(tmp_path / "missing.csv", out=tmp_path / "out")


def test_a_file_in_the_place_of_the_folder_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(EnvironmentProblem, match=r"out: a file stands where a folder is needed"):
        audit(tmp_path / "missing.csv", out=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "x"


def test_a_page_that_fails_leaves_no_folder(stored: Stored, tmp_path: Path) -> None:
    log = stored(rho=0.3, users=30, items=400, length=6)

    def broken(_: object) -> str:
        raise EnvironmentProblem("no page today")

    with pytest.raises(EnvironmentProblem, match="no page today"):
        audit(log.path, out=tmp_path / "out", plan=QUICK, detector=log.oracle, page=broken)
    assert [each.name for each in tmp_path.iterdir()] == ["events.parquet"]


def test_events_plan_first_and_close_every_step(stored: Stored, tmp_path: Path) -> None:
    log, events = stored(rho=0.3, users=30, items=400, length=6), list[Event]()
    audit(log.path, out=tmp_path / "out", plan=QUICK, detector=log.oracle, on_event=events.append)
    plan, *rest = events
    assert isinstance(plan, Planned)
    assert plan.seconds > 0
    assert plan.memory > 0
    began = [each.step for each in rest if isinstance(each, Began)]
    ended = [each.step for each in rest if isinstance(each, Ended)]
    assert began == ended == list(plan.steps)


def test_features_are_aligned_and_given_to_the_judge(stored: Stored, tmp_path: Path) -> None:
    log, catalogs = stored(rho=0.3, users=30, items=400, length=6), list[Catalog]()

    def watching(shown: Sequences, catalog: Catalog, **named: Any) -> NoiseScores:
        catalogs.append(catalog)
        return log.oracle(shown, catalog, **named)

    ids = np.arange(1, 401)
    vectors = pl.DataFrame({"item": ids, "vector": np.eye(400, 8, dtype=np.float32) + 1})
    vectors.write_parquet(tmp_path / "vectors.parquet")
    found = audit(log.path, {"look": tmp_path / "vectors.parquet"}, plan=QUICK, detector=watching)
    assert [list(catalog) for catalog in catalogs] == [["look"]] * len(catalogs)
    assert found.to_json()["modalities"]["look"] == {"width": 8, "coverage": 1.0}
    np.save(tmp_path / "look.npy", np.eye(400, 8, dtype=np.float32)[::-1] + 1)
    (tmp_path / "rows.tsv").write_text("\n".join(["item", *map(str, ids[::-1])]))
    audit(
        log.path,
        {"look": Vectors("look", tmp_path / "look.npy", tmp_path / "rows.tsv", None)},
        plan=QUICK,
        detector=watching,
    )
    by_ids, inside = (each.modalities["look"].vectors(np.arange(len(each))) for each in (catalogs[-1], catalogs[0]))
    assert np.array_equal(by_ids, inside), "rows of the file belong to the ids of the list, not to their place"
    with pytest.raises(DataError, match=r"missing\.npy"):
        audit(log.path, {"look": tmp_path / "missing.npy"}, detector=watching)


def test_progress_of_the_judge_is_told_in_parts(stored: Stored) -> None:
    log, events = stored(rho=0.3, users=250, items=400, length=6), list[Event]()

    def in_two_parts(shown: Sequences, catalog: Catalog, *, on_fold: OnFold, **named: object) -> NoiseScores:
        on_fold(1, 2)
        on_fold(2, 2)
        return log.oracle(shown, catalog)

    audit(log.path, plan=QUICK, detector=in_two_parts, on_event=events.append)
    told = [(each.step, each.done, each.of) for each in events if isinstance(each, Advanced)]
    assert told[:2] == [(JUDGE, 1, 2), (JUDGE, 2, 2)]
    assert [done for step, done, _ in told if step == PLANT] == list(range(1, 9))
    assert [each[1:] for each in told if each[0] == TRAIN] == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("interactions", "users", "items", "plan", "measured"),
    [
        (20_000, 2_000, 2_000, QUICK, 4.2),
        (20_000, 2_000, 60_000, QUICK, 10.9),
        (171_738, 20_000, 35_615, QUICK, 11.4),
        (20_000, 2_000, 60_000, FULL, 25.2),
    ],
)
def test_an_audit_is_said_to_take_what_judging_over_its_catalog_was_measured_to_take(
    interactions: int, users: int, items: int, plan: Plan, measured: float
) -> None:
    """Whoever has 60,000 items was told a third of the time. Measured: processor seconds of judging once."""
    whole = replace(plan, mechanisms=()).seconds(interactions, users, items, ()) - 2
    assert measured / 1.3 < whole / 2 < 1.3 * measured
    found = replace(plan, mechanisms=MECHANISMS[:1], planted_users=users).seconds(interactions, users, items, ())
    once = replace(QUICK, mechanisms=()).seconds(interactions, users, items, ())
    assert found - 2 == pytest.approx(whole + (once - 2) / 2)


def test_where_nothing_is_planted_nobody_looks_for_it(stored: Stored) -> None:
    log, events = stored(rho=0.5, users=250, items=400, length=6), list[Event]()
    found = audit(log.path, plan=replace(QUICK, mechanisms=()), detector=log.oracle, on_event=events.append)
    assert found.findable == ()
    assert "planted here" not in found.verdict.sentences
    assert len(log.oracle.seen) == 2
    assert PLANT not in {each.step for each in events if isinstance(each, Began)}
    assert found.verdict.gains


@pytest.mark.slow
def test_a_full_audit_trains_sasrec_on_both_sides(stored: Stored) -> None:
    log = stored(rho=0.5, users=1500, items=400, length=12)
    found = audit(log.path, detector=log.oracle)
    sasrec = next(gain for gain in found.verdict.gains if gain.proxy == "SASRec")
    assert (sasrec.seeds, sasrec.against) == (3, "raw")
    assert sasrec.relative > 0
    assert found.verdict.answer == WEIGHT
    assert replace(found.verdict, gains=()).users == 1500


@pytest.mark.parametrize("plan", [None, "quick"])
def test_a_plan_that_is_none_is_refused_by_what_would_do(plan: Any) -> None:
    with pytest.raises(UsageError, match=r"plan: .* is none; give siftrec.audit.FULL or siftrec.audit.QUICK"):
        audit("log.csv", plan=plan)


def test_the_plans_are_found_from_siftrec_at_first_sight() -> None:
    """The first `sr.audit` of a process was the function alone, without what the package beside it offers."""
    for name in ("QUICK", "FULL", "Plan", "Named"):
        code = f"import siftrec as sr; sr.audit.{name}; assert callable(sr.audit); assert sr.audit is sr.audit"
        subprocess.run([sys.executable, "-c", code], check=True)
