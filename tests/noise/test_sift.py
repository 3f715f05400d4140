"""A log sifted by a model or by itself: planted noise weighs less, and the file is the log with weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import siftrec as sr
from siftrec.data.interactions import Interactions
from siftrec.data.sequences import Sequences
from siftrec.data.split import TRAIN
from siftrec.detectors.calibrate import NoiseScores
from siftrec.detectors.slots import others, pieces, replaced
from siftrec.errors import DataError, UsageError
from siftrec.methods.trained import Trained
from siftrec.noise.judge import judge
from siftrec.noise.measure import auroc
from siftrec.noise.sift import Sifted, judged, weighted
from siftrec.noise.trained import judged_by
from siftrec.synthetic import Planted, behaviours
from siftrec.train.settings import Training

BRIEF = sr.Likelihood(folds=2, epochs=1, steps=150, learning_rate=0.02)


@pytest.fixture(scope="module", autouse=True)
def brief() -> Iterator[None]:
    """The library's judge in its quick form: what is tested here is who judges, and by what."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("siftrec.noise.sift.judge", partial(judge, quick=True))
        yield


@pytest.fixture(scope="module")
def world() -> Planted:
    return behaviours("easy", rho=0.3, users=300, items=1500, length=12)


@pytest.fixture(scope="module")
def trained(world: Planted) -> Trained:
    return sr.fit(sr.CCL4Rec(dim=16), world.split, world.catalog, training=Training(epochs=1, threads=1))


@pytest.fixture(scope="module")
def by_itself(world: Planted, brief: None) -> Sifted:
    """The log judged by itself, without the content of its items."""
    return judged(world.events, sr.Catalog(world.events.items))


def area(found: Sifted, truth: np.ndarray) -> float:
    value = auroc(truth[found.rows], found.scores.noise.astype(float))
    assert value is not None
    return value


def test_planted_noise_weighs_less(world: Planted, trained: Trained, tmp_path: Path) -> None:
    found = sr.sift(trained, world.events)
    truth = world.noisy
    assert area(found, truth) > 0.85
    assert found.scores.rho_interval[0] < truth.mean() < found.scores.rho_upper + 0.1
    found.write(tmp_path / "w.parquet")
    again = sr.read(tmp_path / "w.parquet", weight="weight")
    assert again.frame.drop("weight").equals(world.events.frame.select(again.frame.drop("weight").columns))
    assert again.time_kind == "order"
    weight = again.frame["weight"].to_numpy()
    np.testing.assert_array_equal(weight, found.scores.weight)
    assert weight[truth].mean() < 0.6 * weight[~truth].mean()
    found.write(tmp_path / "kept.parquet", drop=True)
    assert len(sr.read(tmp_path / "kept.parquet")) == len(truth) - found.scores.flagged.sum()
    assert found.scores.flagged.any()


def test_the_train_part_is_judged_by_itself(world: Planted, trained: Trained) -> None:
    """Weights that a later interaction had a say in would leak it into the experiment that they are made for."""
    split, roles = world.split, world.split.role == TRAIN
    popular = sr.fit(sr.Popularity(), split, sr.Catalog(split.items.ids))
    for model in (trained, popular):
        found = sr.sift(model, world.events, part="train", split=split)
        np.testing.assert_array_equal(found.rows, split.log.rows[roles])
        table = found.to_frame()
        assert (table["weight"].to_numpy()[~roles] == 1).all()
        assert area(found, world.noisy) > (0.8 if model is trained else 0.5)
        late = world.events.frame.with_columns(item=pl.when(pl.Series(~roles)).then(pl.lit(3)).otherwise("item"))
        again = sr.sift(
            model, replace(world.events, frame=late), sr.Catalog(split.items.ids), part="train", split=split
        )
        np.testing.assert_array_equal(again.scores.noise, found.scores.noise)


def test_the_train_part_needs_the_split_of_the_model(world: Planted, trained: Trained) -> None:
    """Another one would take what the model was fitted on, or the test part of an experiment, for something else."""
    whole, few = sr.everything(world.events), replace(world.events, frame=world.events.frame.head(300))
    for split in (None, whole, world.events):
        with pytest.raises(UsageError, match=r"^split: must be the one that the model was fitted on, .* split=split"):
            sr.sift(trained, world.events, part="train", split=split)  # type: ignore[arg-type]
    with pytest.raises(
        UsageError, match=r"^split: is no cut of this log \(memory\); its training interactions are others$"
    ):
        sr.sift(trained, few, part="train", split=world.split)
    for part, split in (("all", world.split), ("test", None)):
        with pytest.raises(
            UsageError, match=f"^part: '{part}' must be 'all', without a split, or 'train', with the split"
        ):
            sr.sift(trained, world.events, part=part, split=split)  # type: ignore[arg-type]


def test_the_null_is_at_chance() -> None:
    null = behaviours("easy", rho=0.3, users=300, items=1500, length=12, null=True)
    model = sr.fit(sr.CCL4Rec(dim=16), null.split, null.catalog, training=Training(epochs=1, threads=1))
    found = sr.sift(model, null.events)
    assert area(found, null.noisy) == pytest.approx(0.5, abs=0.04)
    assert found.scores.flagged.mean() < 0.02


def test_histories_never_seen_are_judged_by_the_same_map(world: Planted) -> None:
    """Who joined after training is judged as well as who was there, and by what the others' histories calibrated."""
    frame, log, seen = world.events.frame, world.split.log, 200
    events = Interactions(frame.filter(pl.col("user").is_in(world.split.users[:seen].implode())), "order")
    model = sr.fit(sr.CCL4Rec(dim=16), sr.leave_one_out(events), world.catalog, training=Training(epochs=1, threads=1))
    own, calibration = judged_by(model, log.take(np.arange(seen)))
    np.testing.assert_array_equal(calibration.noise(own.score, own.evidence), own.noise)
    strangers = log.take(np.arange(seen, len(log)))
    truth = world.noisy[log.owners >= seen]
    others, _ = judged_by(model, strangers)
    noise = calibration.noise(others.score, others.evidence)
    assert len(noise) == len(strangers.items) == len(truth)
    for found in (noise, others.noise):
        assert auroc(truth, found.astype(float)) > 0.85
        assert found.mean() == pytest.approx(truth.mean(), abs=0.1)


def test_unknown_items_and_impressions_pass_with_weight_one(world: Planted, trained: Trained, tmp_path: Path) -> None:
    strange = pl.DataFrame({"user": [0, 0], "item": [99_999, 3], "time": [98, 99], "row": [0, 0], "label": [1, 0]})
    frame = world.events.frame.with_columns(pl.lit(1).alias("label"))
    frame = pl.concat([frame, strange.cast(dict(frame.schema))]).with_columns(row=pl.int_range(pl.len()).cast(pl.Int64))
    events = Interactions(frame.sort("user", "time", "row"), "order")
    found = sr.sift(trained, events)
    assert len(found.rows) == len(world.noisy)
    found.write(tmp_path / "w.parquet")
    last = pl.read_parquet(tmp_path / "w.parquet").tail(2)
    assert last["weight"].to_list() == [1.0, 1.0]
    assert last["item"].to_list() == [99_999, 3]


def test_any_other_method_leaves_the_judgement_to_the_log(world: Planted, by_itself: Sifted) -> None:
    popular = sr.fit(sr.Popularity(), world.split, sr.Catalog(world.split.items.ids))
    found = sr.sift(popular, world.events)
    np.testing.assert_array_equal(found.scores.noise, by_itself.scores.noise)
    with pytest.raises(UsageError, match="Popularity has no opinion"):
        judged_by(popular, world.split.log)


def test_content_that_a_model_was_trained_with_is_judged_with_or_asked_for(world: Planted, by_itself: Sifted) -> None:
    """Or a notebook would get other weights than `siftrec sift` writes, and nobody would know."""
    popular = sr.fit(sr.Popularity(), world.split, world.catalog)
    with pytest.raises(UsageError, match=r"trained with content \(\w+.*give its catalog"):
        sr.sift(popular, world.events)
    found = sr.sift(popular, world.events, world.catalog)
    np.testing.assert_array_equal(found.scores.noise, judged(world.events, world.catalog).scores.noise)
    assert np.abs(found.scores.noise - by_itself.scores.noise).max() > 0.1


def test_a_detector_that_is_named_judges_the_log_whatever_the_method(world: Planted, trained: Trained) -> None:
    """Who asks for one must not get CCL4Rec's own opinion, nor the default's, under its name."""
    popular = sr.fit(sr.Popularity(), world.split, sr.Catalog(world.split.items.ids))
    for how, least in ((sr.Agreement(), 0.85), (sr.Cooccurrence(), 0.6)):
        found = sr.sift(trained, world.events, world.catalog, detector=how)
        np.testing.assert_array_equal(
            found.scores.noise, sr.sift(popular, world.events, world.catalog, detector=how).scores.noise
        )
        assert found.scores.detector == how
        assert area(found, world.noisy) > least
    assert sr.sift(trained, world.events).scores.detector is None
    with pytest.raises(sr.SettingsError, match="Agreement needs content vectors"):
        sr.sift(popular, world.events, detector=sr.Agreement())
    with pytest.raises(UsageError, match="give its catalog"):
        sr.sift(trained, world.events, detector=sr.Agreement())


@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize("how", [None, replace(BRIEF, rounds=2), sr.Blend(likelihood=BRIEF)])
def test_what_is_named_finds_planted_noise_and_nothing_where_nothing_can_be_told(
    how: sr.Likelihood | sr.Blend | None, null: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftrec.noise.judge.QUICK", BRIEF)
    made = behaviours("easy", rho=0.3, users=300, items=600, length=12, null=null)
    found = judged(made.events, made.catalog, detector=how)
    assert found.scores.detector == (how or BRIEF)
    if null:
        assert area(found, made.noisy) == pytest.approx(0.5, abs=0.04)
    else:
        assert area(found, made.noisy) > (0.95 if isinstance(how, sr.Blend) else 0.8)


def test_the_level_reaches_the_judge_of_a_log(world: Planted, by_itself: Sifted) -> None:
    popular = sr.fit(sr.Popularity(), world.split, sr.Catalog(world.split.items.ids))
    strict, lax = sr.sift(popular, world.events, q=0.05).scores, by_itself.scores
    assert (strict.q, lax.q) == (0.05, 0.2)
    np.testing.assert_array_equal(strict.noise, lax.noise)
    assert lax.flagged.sum() > strict.flagged.sum()
    assert lax.flagged[strict.flagged].all()


def scores_of(noise: np.ndarray) -> NoiseScores:
    flagged, evidence = noise > 0.5, np.ones(len(noise), np.int32)
    return NoiseScores(noise.astype(np.float32), flagged, evidence, -noise, 0.2, (0.1, 0.3), 0.2, "replace")


def test_weighted_writes_the_layout_of_the_source(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,label,time\nb,x,1,3\na,y,0,2\na,x,1,1\n")
    events = sr.read(tmp_path / "a.csv")
    scores = scores_of(np.array([0.9, 0.25]))  # of a's x, then of b's x
    weighted(tmp_path / "a.csv", events, scores, tmp_path / "w.csv")
    assert (tmp_path / "w.csv").read_text().splitlines() == [
        "user,item,label,time,weight",
        "b,x,1,3,0.75",
        "a,y,0,2,1.0",
        "a,x,1,1,0.100000024",
    ]
    weighted(tmp_path / "a.csv", events, scores, tmp_path / "k.csv", drop=True)
    assert (tmp_path / "k.csv").read_text() == "user,item,label,time\nb,x,1,3\na,y,0,2\n"
    with pytest.raises(UsageError, match="1 scores for 2"):
        weighted(tmp_path / "a.csv", events, scores_of(np.array([0.5])), tmp_path / "x.csv")


def test_a_log_from_memory_becomes_parquet(tmp_path: Path) -> None:
    events = sr.read(pl.DataFrame({"user": [2, 1], "item": [5, 5], "ts": [1_500_000_001, 1_500_000_000]}))
    found = Sifted(events, np.array([1, 0]), scores_of(np.array([0.9, 0.25])))
    with pytest.raises(UsageError, match=r"must end in \.parquet"):
        found.write(tmp_path / "w.csv")
    found.write(tmp_path / "w.parquet")
    again = sr.read(tmp_path / "w.parquet", weight="weight")
    assert again.frame.drop("weight").equals(events.frame)
    assert again.time_kind == "clock"
    np.testing.assert_allclose(again.frame["weight"].to_numpy(), [0.1, 0.75], rtol=1e-6)
    found.write(tmp_path / "k.parquet", drop=True)
    assert sr.read(tmp_path / "k.parquet").frame["user"].to_list() == [2]
    heavy = Sifted(replace(events, frame=events.frame.with_columns(weight=pl.lit(1.0))), found.rows, found.scores)
    with pytest.raises(DataError, match="'weight' already"):
        heavy.write(tmp_path / "x.parquet")


def test_a_table_in_memory_keeps_its_columns_and_all_its_rows(tmp_path: Path) -> None:
    """Whoever gives the weights to another library needs his own table again, not what siftrec made of it."""
    mine = pl.DataFrame(
        {
            "note": ["late", "rare", "a", "b", "c"],
            "uid": [2, 3, 1, 1, 2],
            "vid": pl.Series(["y", "z", "x", "y", "x"], dtype=pl.Categorical),
            "ts": [1_500_000_009, 1_500_000_001, 1_500_000_002, 1_500_000_003, 1_500_000_004],
        }
    )
    noise = np.array([0.25, 0.75, 0.0, 0.875])  # of 1's x and y, then of 2's x and y
    for frame in (mine, mine.to_pandas(), mine.to_arrow(), mine.lazy()):
        events = sr.read(frame, user="uid", item="vid").core(2)
        assert len(events) == 4
        found = Sifted(events, events.frame["row"].to_numpy(), scores_of(noise))
        found.write(tmp_path / "w.parquet")
        again = pl.read_parquet(tmp_path / "w.parquet")
        assert again.drop("weight").cast({"vid": pl.String}).equals(mine.cast({"vid": pl.String}))
        assert again["weight"].to_list() == [0.125, 1.0, 0.75, 0.25, 1.0]
        assert (
            sr.read(again, user="uid", item="vid", weight="weight")
            .core(2)
            .positives()
            .frame.drop("weight")
            .equals(events.frame)
        )
        found.write(tmp_path / "k.parquet", drop=True)
        assert pl.read_parquet(tmp_path / "k.parquet")["note"].to_list() == ["rare", "a", "c"]
        table = found.to_frame()
        assert table.columns == ["row", "user", "item", "noise", "flagged", "evidence", "weight"]
        assert table["row"].to_list() == [0, 1, 2, 3, 4]
        assert table["user"].to_list() == [2, 3, 1, 1, 2]
        assert table["item"].to_list() == ["y", "z", "x", "y", "x"]
        assert table["noise"].to_list() == [0.875, None, 0.25, 0.75, 0.0]
        assert table["flagged"].to_list() == [True, False, False, True, False]
        assert table["evidence"].to_list() == [1, None, 1, 1, 1]
        assert table["weight"].to_list() == again["weight"].to_list()
        assert repr(found).startswith("Sifted(4 of 4 interactions judged, NoiseScores(4 interactions, at most 20.0% ")


def test_a_table_that_is_changed_afterwards_is_written_as_it_was(tmp_path: Path) -> None:
    mine = pl.DataFrame({"user": [2, 1], "item": [5, 5], "note": ["b", "a"]})
    events = sr.read(mine)
    mine.drop_in_place("note")
    Sifted(events, np.array([1, 0]), scores_of(np.array([0.5, 0.25]))).write(tmp_path / "w.parquet")
    assert pl.read_parquet(tmp_path / "w.parquet")["note"].to_list() == ["b", "a"]


def test_the_table_of_a_file_holds_the_rows_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,label,time\nb,x,1,3\na,y,0,2\na,x,1,1\n")
    events = sr.read(tmp_path / "a.csv")
    assert events.given is None
    table = Sifted(events, np.array([2, 0]), scores_of(np.array([0.75, 0.25]))).to_frame()
    assert table.select("row", "user", "item").rows() == [(0, "b", "x"), (1, "a", "y"), (2, "a", "x")]
    assert table["noise"].to_list() == [0.25, None, 0.75]
    assert table["weight"].to_list() == [0.75, 1.0, 0.25]
    pl.read_csv(tmp_path / "a.csv").write_ipc(tmp_path / "a.arrow")
    assert sr.read(tmp_path / "a.arrow").given is None, "a file is not kept in memory"


def test_a_log_read_with_weights_of_any_name_gets_no_second_ones(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item,conf\na,x,0.5\nb,y,1\n")
    events = sr.read(tmp_path / "a.csv", weight="conf")
    found = Sifted(events, np.array([0, 1]), scores_of(np.array([0.9, 0.25])))
    with pytest.raises(DataError, match="has weights in its column"):
        found.write(tmp_path / "w.csv")
    assert not (tmp_path / "w.csv").exists()
    found.write(tmp_path / "k.csv", drop=True)
    assert (tmp_path / "k.csv").read_text() == "user,item,conf\nb,y,1\n"


def log(*rows: list[int]) -> Sequences:
    return Sequences.from_items(np.array([item for row in rows for item in row]), np.array([len(row) for row in rows]))


def test_pieces_hold_the_same_events() -> None:
    whole = log(list(range(1, 46)), [], [7], list(range(1, 21)))
    cut = pieces(whole, 20)
    np.testing.assert_array_equal(cut.items, whole.items)
    assert cut.lengths.tolist() == [15, 15, 15, 0, 1, 20]
    assert cut.offsets[-1] == len(whole.items)


def test_others_are_events_with_another_item() -> None:
    assert others(log([1, 2, 2, 3], [5], [4, 4])).tolist() == [3, 2, 2, 3, 0, 0, 0]


def test_the_background_is_one_foreign_popular_item_per_history() -> None:
    rng = np.random.default_rng(0)
    whole = log(*[rng.integers(1, 30, rng.integers(1, 9)).tolist() for _ in range(400)])
    drawn = replaced(whole, whole.owners, 10_000, 3)
    able = others(whole) > 0
    assert len(drawn.slots) == len(drawn.histories) == able.sum()
    assert np.unique(drawn.histories.owners[drawn.slots]).size == len(drawn.slots)
    histories = {tuple(whole[row]) for row in range(len(whole))}
    own = [set(whole[row]) for row in range(len(whole))]
    seen = set()
    for row, slot in enumerate(drawn.slots):
        new = drawn.histories.items[slot]
        place = slot - drawn.histories.offsets[row]
        rest = np.delete(drawn.histories[row], place)
        owner = [
            at
            for at in range(len(whole))
            if len(whole[at]) == len(rest) + 1 and (np.delete(whole[at], place) == rest).all()
        ]
        assert any(new not in own[at] for at in owner)
        seen.add(tuple(drawn.histories[row]))
    assert not seen & histories or len(seen) > 500
    popular = np.bincount(drawn.histories.items[drawn.slots], minlength=30)[1:]
    assert np.corrcoef(popular, np.bincount(whole.items, minlength=30)[1:])[0, 1] > 0.3


def test_ids_of_another_type_are_those_they_spell(world: Planted, trained: Trained) -> None:
    """A log read from text asks a model of numbers, as everywhere else; of strangers nothing can be said."""
    events = world.events
    spelled = replace(events, frame=events.frame.with_columns(pl.col("item").cast(pl.String)))
    assert np.array_equal(sr.sift(trained, spelled).scores.noise, sr.sift(trained, events).scores.noise)
    strangers = replace(events, frame=events.frame.with_columns(item=pl.format("x{}", "item")))
    with pytest.raises(DataError, match="has no item of the model's catalog, whose ids are like"):
        sr.sift(trained, strangers)
