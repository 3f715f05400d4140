"""Planted noise: the share asked for, the truth beside it, the test part untouched, and controls at chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, VALID, Split
from siftrec.data.vocab import Vocab
from siftrec.errors import SettingsError
from siftrec.noise.inject import Inject, Injected, inject
from siftrec.settings import build, describe
from siftrec.synthetic import behaviours

DATA = Path(__file__).parents[2].parent / "shared" / "data"
MECHANISMS = ["replace", "insert", "swap", "autoplay"]
CLEAN = behaviours("mid", rho=0.0, users=1500, items=3000, length=12, seed=3).split


def popularity_auroc(injected: Injected) -> float:
    """AUROC of `popular = clean`, counted on the clean training log; test targets aside."""
    split = injected.split
    known = split.role < TEST
    original = split.original
    assert original is not None
    assert split.original_role is not None
    counts = original.where(split.original_role == TRAIN).counts(len(split.items))
    return float(roc_auc_score(injected.noisy[known], -counts[split.log.items[known]]))


def keys(split: Split, of: Sequences, which: np.ndarray) -> np.ndarray:
    return of.owners[which] * len(split.items) + of.items[which]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_no_noise_is_the_same_log(mechanism: str) -> None:
    injected = inject(CLEAN, mechanism, rho=0.0)
    assert not injected.noisy.any()
    assert injected.split.fingerprint == CLEAN.fingerprint
    np.testing.assert_array_equal(injected.split.role, CLEAN.role)
    assert injected.truth().height == 0


def test_a_notebook_shows_what_was_planted_in_one_line() -> None:
    injected = inject(CLEAN, "replace", 0.3)
    count = int(injected.noisy.sum())
    assert repr(injected).startswith(
        f"Injected(replace: {count:,} of {len(injected.noisy):,} interactions planted, Split("
    )
    assert injected != replace(injected)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("rho", [0.1, 0.3, 0.6])
def test_the_share_of_noise_is_rho(mechanism: str, rho: float) -> None:
    injected = inject(CLEAN, mechanism, rho)
    split, log = injected.split, injected.split.log
    known = split.role < TEST
    if mechanism == "autoplay":
        known &= np.arange(len(log.items)) != log.offsets[log.owners]
    # Now and then everything near the previous item is the user's own already, and the event stays.
    below = 0.03 if mechanism == "autoplay" else 0.0
    assert rho - below - 0.015 <= injected.noisy[known].mean() <= rho + 0.015
    assert injected.noisy[split.role == VALID].mean() == pytest.approx(rho, abs=0.05)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_only_train_and_validation_change(mechanism: str) -> None:
    injected = inject(CLEAN, mechanism)
    split = injected.split
    assert split.fingerprint["test"] == CLEAN.fingerprint["test"]
    assert split.fingerprint["train"] != CLEAN.fingerprint["train"]
    assert not injected.noisy[split.role == TEST].any()
    np.testing.assert_array_equal(split.test.targets.items, CLEAN.test.targets.items)
    np.testing.assert_array_equal(split.test.seen.items, CLEAN.test.seen.items)
    assert split.test.histories.fingerprint != CLEAN.test.histories.fingerprint
    assert split.valid.fingerprint != CLEAN.valid.fingerprint


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_planted_items_are_new_to_the_user_and_distinct(mechanism: str) -> None:
    injected = inject(CLEAN, mechanism, rho=0.6)
    planted = keys(CLEAN, injected.split.log, injected.noisy)
    assert len(np.unique(planted)) == len(planted)
    assert not np.isin(planted, keys(CLEAN, CLEAN.log, CLEAN.role < TEST)).any()


@pytest.mark.parametrize("mechanism", ["replace", "swap", "autoplay"])
def test_a_replaced_event_keeps_its_place(mechanism: str) -> None:
    injected = inject(CLEAN, mechanism)
    log = injected.split.log
    np.testing.assert_array_equal(log.rows, CLEAN.log.rows)
    np.testing.assert_array_equal(log.times, CLEAN.log.times)
    np.testing.assert_array_equal(log.items != CLEAN.log.items, injected.noisy)


def test_insert_loses_nothing_and_keeps_order() -> None:
    injected = inject(CLEAN, "insert")
    split, log, kept = injected.split, injected.split.log, ~injected.noisy
    np.testing.assert_array_equal(log.items[kept], CLEAN.log.items)
    np.testing.assert_array_equal(log.rows[kept], CLEAN.log.rows)
    np.testing.assert_array_equal(split.role[kept], CLEAN.role)
    assert (log.rows[injected.noisy] == -1).all()
    same = np.diff(log.owners) == 0
    assert (np.diff(split.role.astype(int))[same] >= 0).all()
    assert (np.diff(log.times)[same] >= 0).all()
    np.testing.assert_array_equal(
        log.lengths, CLEAN.log.lengths + np.bincount(log.owners[injected.noisy], minlength=1500)
    )


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_place_in_the_history_says_nothing(mechanism: str) -> None:
    injected = inject(CLEAN, mechanism)
    log = injected.split.log
    known = np.flatnonzero((injected.split.role < TEST) & (np.arange(len(log.items)) != log.offsets[log.owners]))
    place = (known - log.offsets[log.owners[known]]) / log.lengths[log.owners[known]]
    assert roc_auc_score(injected.noisy[known], place) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("mechanism", ["replace", "insert"])
def test_popularity_alone_does_not_find_popularity_drawn_noise(mechanism: str) -> None:
    assert popularity_auroc(inject(CLEAN, mechanism)) == pytest.approx(0.5, abs=0.03)


def test_the_popularity_control_can_see_uniform_noise() -> None:
    """The control is no blank: noise drawn uniformly from the catalog it does find."""
    injected = inject(CLEAN, "replace")
    items = CLEAN.log.items.copy()
    uniform = np.random.default_rng(0).integers(1, len(CLEAN.items), int(injected.noisy.sum()))
    items[injected.noisy] = uniform
    split = CLEAN.with_noise(replace(CLEAN.log, items=items), CLEAN.role)
    assert popularity_auroc(Injected(split, injected.noisy, "replace")) > 0.7


def test_swap_takes_from_the_same_position() -> None:
    """Position p of every user holds items of block p only, so a planted item tells where it came from."""
    users, length, block = 40, 5, 10
    rng = np.random.default_rng(1)
    items = (np.arange(length) * block + rng.integers(1, block + 1, (users, length))).astype(np.int32)
    injected = inject(square(items), "swap", rho=0.5)
    log = injected.split.log
    assert injected.noisy.sum() > 50
    np.testing.assert_array_equal((log.items - 1) // block, np.tile(np.arange(length), users))


def test_autoplay_takes_a_neighbour_of_the_previous_item() -> None:
    """Items live in blocks that users never leave, so a neighbour of the previous item is of the same block."""
    users, length, block = 60, 6, 12
    rng = np.random.default_rng(2)
    home = np.arange(users) % 5
    inside = np.stack([rng.permutation(block)[:length] for _ in range(users)])
    injected = inject(square((home[:, None] * block + inside + 1).astype(np.int32)), "autoplay", rho=0.5)
    log = injected.split.log
    assert injected.noisy.sum() > 60
    np.testing.assert_array_equal((log.items - 1) // block, np.repeat(home, length))
    assert not injected.noisy[log.offsets[:-1]].any()


def square(items_UT: np.ndarray) -> Split:
    users, length = items_UT.shape
    log = Sequences.from_items(items_UT.ravel(), np.full(users, length))
    role = np.tile(np.array([TRAIN] * (length - 2) + [VALID, TEST], np.int8), users)
    vocab = Vocab(pl.Series("id", np.arange(1, items_UT.max() + 1)))
    return Split(log, role, pl.Series("user", np.arange(users)), vocab, "leave-one-out")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_seed_decides(mechanism: str) -> None:
    first, again, other = (inject(CLEAN, mechanism, seed=s) for s in (1, 1, 2))
    assert first.split.train.fingerprint == again.split.train.fingerprint
    assert first.split.train.fingerprint != other.split.train.fingerprint
    own = Inject(mechanism=mechanism, seed=1)
    assert own(CLEAN, 99).split.train.fingerprint == first.split.train.fingerprint


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_test_part_has_no_influence(mechanism: str) -> None:
    items = CLEAN.log.items.copy()
    tests = CLEAN.role == TEST
    items[tests] = np.roll(items[tests], 1)
    dealt = replace(CLEAN, log=replace(CLEAN.log, items=items))
    assert inject(dealt, mechanism).split.train.fingerprint == inject(CLEAN, mechanism).split.train.fingerprint


def test_what_is_planted_and_taken_later_is_counted() -> None:
    """In a dense log it is no noise to a model but a hint at the answer; who compares methods there must know."""
    world = behaviours("mid", rho=0.0, users=1500, items=400, length=12, seed=3).split
    injected = inject(world, "replace")
    split = injected.split
    answers = dict(zip(split.log.owners[split.role == TEST], split.log.items[split.role == TEST], strict=True))
    planted = zip(split.log.owners[injected.noisy], split.log.items[injected.noisy], strict=True)
    assert injected.taken_later == sum(answers.get(user) == item for user, item in planted) > 5
    assert inject(CLEAN, "replace").taken_later < inject(CLEAN, "replace").noisy.sum() / 100
    assert inject(CLEAN, "replace", rho=0.0).taken_later == 0


def test_the_truth_names_what_was_planted() -> None:
    injected = inject(CLEAN, "replace")
    truth, log = injected.truth(), injected.split.log
    assert truth.columns == ["row", "user", "item", "mechanism"]
    assert truth.height == injected.noisy.sum()
    assert truth["mechanism"].unique().to_list() == ["replace"]
    np.testing.assert_array_equal(truth["row"], log.rows[injected.noisy])
    np.testing.assert_array_equal(truth["item"], log.items[injected.noisy])
    np.testing.assert_array_equal(truth["user"], log.owners[injected.noisy])


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=6), min_size=1, max_size=5),
    st.sampled_from(MECHANISMS),
    st.sampled_from([0.0, 0.3, 0.9]),
)
def test_any_small_log_stays_whole(rows: list[list[int]], mechanism: str, rho: float) -> None:
    """Where a user already has the whole catalog, the event stays as it is."""
    log = Sequences.from_items(np.concatenate(rows), np.array([len(r) for r in rows]))
    role = np.concatenate([[TRAIN] * (len(r) - 2) + [VALID, TEST] for r in rows]).astype(np.int8)
    vocab = Vocab(pl.Series("id", np.arange(1, 7)))
    split = Split(log, role, pl.Series("user", np.arange(len(rows))), vocab, "leave-one-out")
    injected = inject(split, mechanism, rho)
    assert injected.split.log.items.min() >= 1
    assert injected.split.log.items.max() <= 6
    assert injected.split.fingerprint["test"] == split.fingerprint["test"]
    planted = keys(split, injected.split.log, injected.noisy)
    assert not np.isin(planted, keys(split, log, role < TEST)).any()


def test_settings_round_trip_and_refuse() -> None:
    table = Inject(mechanism="swap", rho=0.2, seed=5)
    assert build(describe(table), "data.inject") == table
    for wrong in ({"mechanism": "shuffle"}, {"rho": 1.0}, {"rho": -0.1}, {"seed": -1}):
        with pytest.raises(SettingsError, match=rf"data.inject.{next(iter(wrong))}"):
            build({"use": "siftrec.noise.inject:Inject", **wrong}, "data.inject")


def test_popularity_control_on_real_data() -> None:
    """Known for microlens50k: popularity alone is at .50 under popularity-drawn noise."""
    path = DATA / "microlens50k" / "MicroLens-50k_pairs.tsv"
    if not path.exists():
        pytest.skip(f"no real data at {path}")
    rows = [line.split("\t")[1].split() for line in path.read_text().splitlines()]
    vocab = Vocab.of(pl.Series("id", sorted({i for r in rows for i in r})))
    log = Sequences.from_items(vocab.encode(pl.Series([i for r in rows for i in r])), np.array([len(r) for r in rows]))
    role = np.concatenate([[TRAIN] * (len(r) - 2) + [VALID, TEST] for r in rows]).astype(np.int8)
    injected = inject(Split(log, role, pl.Series("user", np.arange(len(rows))), vocab, "leave-one-out"))
    assert popularity_auroc(injected) == pytest.approx(0.5, abs=0.02)
