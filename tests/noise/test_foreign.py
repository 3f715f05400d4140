"""Foreign content: how much, of whom, where, with its truth; and nothing else of the split changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from siftrec import config
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST, TRAIN, VALID, Split
from siftrec.data.vocab import Vocab
from siftrec.errors import SettingsError, UsageError
from siftrec.noise.foreign import Foreign, ForeignContent
from siftrec.noise.inject import inject
from siftrec.run import run
from siftrec.settings import build, describe
from siftrec.synthetic import Size, modalities

WORLD = modalities(size=Size(1000, 1500, 12), missing={"image": 0.4}, seed=3)
CLEAN, CATALOG = WORLD.split, WORLD.catalog
KNOWN = CLEAN.role < TEST


def planted(rho: float = 0.3, seed: int = 7, only: tuple[str, ...] | None = None) -> ForeignContent:
    return Foreign(rho=rho, modalities=only)(CLEAN, CATALOG, seed)


def shown(found: ForeignContent) -> np.ndarray:
    table = found.split.log.shown
    assert table is not None
    return table


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.6])
def test_every_modality_there_is_replaced_with_probability_rho_by_itself(rho: float) -> None:
    """Correlated modalities would make the fusion's task another one than the stated noise."""
    found = planted(rho)
    present_EM = np.stack([CATALOG.modalities[n].present[CLEAN.log.items] for n in found.names], axis=1)
    for m in range(3):
        assert found.foreign_EM[KNOWN & present_EM[:, m], m].mean() == pytest.approx(rho, abs=0.02)
    whole = found.foreign_EM[KNOWN & present_EM.all(axis=1)]
    assert (whole[:, 0] & whole[:, 2]).mean() == pytest.approx(rho**2, abs=0.02)


def test_the_truth_is_where_shown_is_not_the_own_item() -> None:
    found = planted()
    np.testing.assert_array_equal(found.foreign_EM, shown(found) != CLEAN.log.items[:, None])


def test_what_an_item_lacks_is_neither_replaced_nor_shown() -> None:
    """Presence would otherwise give the noise away, or foreign content would be no content."""
    found, image = planted(), CATALOG.modalities["image"].present
    column = found.names.index("image")
    assert not found.foreign_EM[~image[CLEAN.log.items], column].any()
    np.testing.assert_array_equal(image[shown(found)[:, column]], image[CLEAN.log.items])


def test_foreign_content_is_popular_as_the_log_is_and_of_nobody_of_the_history() -> None:
    found = planted(0.6)
    size = len(CLEAN.items)
    own = CLEAN.log.owners * size + CLEAN.log.items
    for m in range(3):
        there = found.foreign_EM[:, m]
        key = CLEAN.log.owners[there] * size + shown(found)[there, m]
        assert not np.isin(key, own[KNOWN]).any()
        assert len(np.unique(key)) == len(key)
    drawn = np.bincount(shown(found)[found.foreign_EM[:, 0], 0], minlength=size)
    assert spearmanr(drawn[1:], CLEAN.train.counts(size)[1:]).statistic > 0.7


def test_items_targets_and_what_ranking_leaves_out_stay() -> None:
    found = planted()
    split = found.split
    np.testing.assert_array_equal(split.log.items, CLEAN.log.items)
    assert split.fingerprint["test"] == CLEAN.fingerprint["test"]
    assert split.fingerprint["train"] != CLEAN.fingerprint["train"]
    assert not found.foreign_EM[split.role == TEST].any()
    histories = split.test.histories
    assert histories.shown is not None
    assert (histories.shown != histories.items[:, None]).mean() > 0.2


def test_the_test_part_has_no_influence() -> None:
    items, tests = CLEAN.log.items.copy(), CLEAN.role == TEST
    items[tests] = np.roll(items[tests], 1)
    dealt = replace(CLEAN, log=replace(CLEAN.log, items=items))
    np.testing.assert_array_equal(
        shown(Foreign()(dealt, CATALOG, 7))[KNOWN], shown(Foreign()(CLEAN, CATALOG, 7))[KNOWN]
    )


def test_the_seed_and_the_modality_decide() -> None:
    """Leaving a modality out must not redraw the others: else two runs would differ by more than what was said."""
    first, again, other, text = planted(), planted(), planted(seed=8), planted(only=("text",))
    np.testing.assert_array_equal(shown(first), shown(again))
    assert (shown(first) != shown(other)).any()
    np.testing.assert_array_equal(shown(text)[:, 0], shown(first)[:, 0])
    assert not text.foreign_EM[:, 1:].any()
    own = Foreign(rho=0.3, seed=7)(CLEAN, CATALOG, 99)
    np.testing.assert_array_equal(shown(own), shown(first))


def test_it_comes_after_planted_interactions_and_not_before() -> None:
    noisy = inject(CLEAN, "insert", rho=0.2)
    both = Foreign()(noisy.split, CATALOG, 7)
    assert len(both.foreign_EM) == len(noisy.noisy)
    assert both.foreign_EM[noisy.noisy].any()
    assert both.split.fingerprint["test"] == CLEAN.fingerprint["test"]
    with pytest.raises(UsageError, match="foreign content after"):
        inject(both.split)


def test_the_truth_names_what_was_planted() -> None:
    found = planted()
    truth = found.truth()
    assert truth.columns == ["row", "user", "item", "modality", "shown"]
    assert truth.height == found.foreign_EM.sum()
    event, column = np.nonzero(found.foreign_EM)
    np.testing.assert_array_equal(truth["row"], CLEAN.log.rows[event])
    np.testing.assert_array_equal(truth["shown"], shown(found)[event, column])
    assert truth["modality"].to_list() == [found.names[m] for m in column]


def test_refuses_what_is_not_there_and_round_trips() -> None:
    with pytest.raises(SettingsError, match=r"data.foreign.modalities: .*no 'imgae'; did you mean 'image'"):
        planted(only=("imgae",))
    with pytest.raises(SettingsError, match=r"data.foreign: .*no modality"):
        Foreign()(CLEAN, Catalog(CATALOG.vocab.ids), 7)
    with pytest.raises(SettingsError, match=r"^data\.foreign\.modalities: names none"):
        Foreign(modalities=())(CLEAN, CATALOG, 7)
    table = Foreign(rho=0.1, modalities=("text",), seed=5)
    assert build(describe(table), "data.foreign") == table
    with pytest.raises(SettingsError, match=r"data\.foreign\.rho"):
        build({"use": "siftrec.noise.foreign:Foreign", "rho": 1.0}, "data.foreign")


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=6), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=6, max_size=6).filter(any),
)
def test_any_small_log_stays_whole(rows: list[list[int]], has: list[bool]) -> None:
    """Where nothing foreign can be found, the content stays its own."""
    log = Sequences.from_items(np.concatenate(rows), np.array([len(r) for r in rows]))
    role = np.concatenate([[TRAIN] * (len(r) - 2) + [VALID, TEST] for r in rows]).astype(np.int8)
    vocab = Vocab(pl.Series("id", np.arange(1, 7)))
    split = Split(log, role, pl.Series("user", np.arange(len(rows))), vocab, "leave-one-out")
    catalog = Catalog(vocab.ids, a=Modality(np.ones((6, 2), "f4"), np.array(has)))
    found = Foreign(rho=0.9)(split, catalog, 1)
    present = catalog.modalities["a"].present
    assert present[shown(found)[found.foreign_EM]].all()
    assert (shown(found)[~found.foreign_EM] == log.items[~found.foreign_EM[:, 0]]).all()
    own = {(u, i) for u, i, r in zip(log.owners, log.items, role, strict=True) if r < TEST}
    drawn = zip(log.owners[found.foreign_EM[:, 0]], shown(found)[found.foreign_EM], strict=True)
    assert not own & set(drawn)


def test_a_run_keeps_the_truth_beside_it(tmp_path: Path) -> None:
    """Three lines of configuration plant it; the run folder tells what, and how much was missing and imputed."""
    rng = np.random.default_rng(0)
    rows = [(f"u{u}", f"i{i}", t) for u in range(30) for t, i in enumerate(rng.permutation(20)[:6])]
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(tmp_path / "events.csv")
    np.save(tmp_path / "cover.npy", rng.standard_normal((22, 4)).astype("f4"))
    np.save(tmp_path / "mask.npy", np.arange(22) > 3)
    (tmp_path / "ids.txt").write_text("".join(f"i{i}\n" for i in range(22)))
    (tmp_path / "exp.toml").write_text(
        '[data]\npath = "events.csv"\n[data.inject]\nrho = 0.1\n[data.foreign]\nrho = 0.4\nmodalities = ["cover"]\n'
        '[modality.cover]\npath = "cover.npy"\nids = "ids.txt"\nmask = "mask.npy"\nimpute = "mean"\n'
        '[method]\nuse = "siftrec:LateFusion"\ndim = 4\n[train]\nepochs = 1\n[evaluate]\ncutoffs = [5]\n'
    )
    experiment = config.load(tmp_path / "exp.toml")
    (tmp_path / "again.toml").write_text(config.dump(experiment))
    assert config.load(tmp_path / "again.toml") == experiment
    prepared = experiment.prepare()
    assert prepared.foreign is not None
    assert prepared.injected is not None
    assert prepared.notes == {
        "items without cover": 4,
        "cover vectors of items that the log lacks": 2,
        "items whose cover is imputed (mean)": 4,
    }
    assert prepared.catalog.coverage == {"cover": 1.0}
    run(experiment, tmp_path / "run")
    kept = pl.read_parquet(tmp_path / "run" / "foreign.parquet")
    assert kept.equals(prepared.foreign.truth())
    assert kept.height > 20
