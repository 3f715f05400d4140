"""Principal directions keep what cosines are made of; what is absent stays absent."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from siftrec.data.catalog import Catalog, Modality
from siftrec.data.sequences import Sequences
from siftrec.detectors.content import DIRECTIONS, content_of, units
from siftrec.modality.impute import impute

IDS = pl.Series(range(1, 41))


def modality(width: int, seed: int) -> Modality:
    rng = np.random.default_rng(seed)
    return Modality(rng.normal(2, 3, (40, width)).astype(np.float32), rng.random(40) < 0.8)


def counts() -> torch.Tensor:
    return torch.arange(41).remainder(5).float()


def test_a_narrow_modality_is_only_turned() -> None:
    catalog = Catalog(IDS, tags=modality(6, 1))
    found = content_of(catalog, counts())
    assert found.shape == (1, 41, DIRECTIONS)
    present = torch.from_numpy(catalog.modalities["tags"].present)
    raw = torch.from_numpy(catalog.modalities["tags"].vectors(np.arange(41)))
    trained = present & (counts() > 0)
    standard = (raw - raw[trained].mean(0)) / raw[trained].std(0, unbiased=False)
    torch.testing.assert_close(
        found[0][present] @ found[0][present].T, standard[present] @ standard[present].T, atol=1e-2, rtol=1e-3
    )
    assert not found[0][~present].any()


def test_a_wide_modality_keeps_its_largest_directions() -> None:
    catalog = Catalog(IDS, image=modality(90, 2))
    assert content_of(catalog, counts())[0].abs().sum(0).count_nonzero() == DIRECTIONS


def test_units_are_unit_vectors_side_by_side_zero_where_absent() -> None:
    catalog = Catalog(IDS, tags=modality(6, 1), image=modality(90, 2))
    found = units(content_of(catalog, counts()))
    assert found.shape == (41, 2 * DIRECTIONS)
    for index, aligned in enumerate(catalog.modalities.values()):
        norms = found[:, index * DIRECTIONS : (index + 1) * DIRECTIONS].norm(dim=1)
        torch.testing.assert_close(norms, torch.from_numpy(aligned.present).float())


def test_a_catalog_without_content_has_vectors_of_no_width() -> None:
    assert units(content_of(Catalog(IDS), counts())).shape == (41, 0)


@pytest.mark.parametrize("precision", ["f2", "f4"])
@pytest.mark.parametrize("offset", [0, 20])
def test_an_imputed_mean_says_nothing(precision: str, offset: float) -> None:
    """Rounded to half precision the mean is not quite the mean; blown up to unit length, all imputed items look alike."""
    rng = np.random.default_rng(3)
    vectors, has = (rng.normal(offset, 2, (400, 24))).astype(precision), rng.random(400) < 0.4
    log = Sequences.from_items(rng.integers(1, 401, 4000).astype(np.int32), np.full(200, 20))
    ids = pl.Series(range(1, 401))
    filled, imputed = impute(Catalog(ids, cover=Modality(vectors, has)), log, {"cover": "mean"})
    counts_N = torch.from_numpy(log.counts(401)).float()
    plain, found = (units(content_of(of, counts_N)) for of in (Catalog(ids, cover=Modality(vectors, has)), filled))
    assert filled.modalities["cover"].present[1:].all()
    assert not found[torch.from_numpy(imputed["cover"])].any()
    torch.testing.assert_close(found.any(dim=1), plain.any(dim=1))
