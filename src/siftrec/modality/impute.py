"""Vectors for items that lack a modality, made from training interactions and the vectors of the others alone.

`none` leaves them absent, which every method takes. `mean`: the mean over training items that have the modality.
`neighbours`: the mean over the ten items most often had together with the item by training users. Where there is nothing
to impute from, the item stays without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Literal

import numpy as np
import scipy.sparse

from siftrec.data.catalog import Aligned, Catalog, Modality
from siftrec.data.sequences import Sequences
from siftrec.errors import UsageError
from siftrec.settings import nearest

Impute = Literal["none", "mean", "neighbours"]
NEIGHBOURS = 10
_BLOCK = 1024


def impute(
    catalog: Catalog, train: Sequences, how: Mapping[str, Impute], k: int = NEIGHBOURS
) -> tuple[Catalog, dict[str, np.ndarray]]:
    """A catalog in which missing vectors are filled in; those that were there stay bit by bit what they were.

    Args:
        catalog: items and modalities.
        train: training interactions, in the codes of the catalog.
        how: modality → imputer; those not named stay as they are.
        k: for `neighbours`.

    Returns:
        The catalog, in which imputed items count as present, and modality → (N,) bool, True = imputed.

    Raises:
        UsageError: a modality that the catalog lacks.
    """
    for name in how:
        if name not in catalog.modalities:
            raise UsageError(f"the catalog has no modality {name!r} to impute{nearest(name, catalog)}")
    filled = Catalog(catalog.vocab.ids)
    imputed = {name: np.zeros(len(catalog), bool) for name in catalog}
    for name, aligned in catalog.modalities.items():
        found = _means(aligned, train, how.get(name, "none"), k)
        imputed[name][list(found)] = True
        filled.modalities[name] = _with(aligned, found, how[name]) if found else aligned
    return filled, imputed


def without(catalog: Catalog, imputed: Mapping[str, np.ndarray]) -> Catalog:
    """The catalog with imputed vectors absent again, for whoever judges what was really shown.

    Args:
        catalog: items and modalities, perhaps imputed.
        imputed: modality → (N,) bool, as `impute` gives it.
    """
    plain = Catalog(catalog.vocab.ids)
    for name, aligned in catalog.modalities.items():
        made = imputed.get(name)
        plain.modalities[name] = aligned if made is None else replace(aligned, row=np.where(made, -1, aligned.row))
    return plain


def _means(aligned: Aligned, train: Sequences, how: Impute, k: int) -> dict[int, np.ndarray]:
    """Item code → (F,) float64 vector, of every item that lacks one and can have one."""
    absent = np.flatnonzero(~aligned.present[1:]) + 1
    known = np.flatnonzero(aligned.present & (train.counts(len(aligned.row)) > 0))
    if how == "none" or not len(known):
        return {}
    if how == "mean":
        mean = sum(
            aligned.vectors(block).astype(np.float64).sum(axis=0)
            for block in np.array_split(known, -(-len(known) // _BLOCK))
        )
        return dict.fromkeys(absent.tolist(), mean / len(known))
    near = _neighbours(absent, known, train, len(aligned.row), k)
    return {code: aligned.vectors(items).astype(np.float64).mean(axis=0) for code, items in near.items()}


def _neighbours(absent: np.ndarray, known: np.ndarray, train: Sequences, size: int, k: int) -> dict[int, np.ndarray]:
    """Item code → up to k codes of `known` had by the most users who had it; ties: the lower code."""
    ones = np.ones(len(train.items), np.float32)
    had_UN = scipy.sparse.csr_array((ones, (train.owners, train.items)), shape=(len(train), size))
    had_UN.data[:] = 1.0  # an item counts once per user
    found, known_UK = {}, had_UN[:, known].tocsr()
    by_item = had_UN.T.tocsr()
    for start in range(0, len(absent), _BLOCK):
        block = absent[start : start + _BLOCK]
        together = (by_item[block] @ known_UK).tocsr()
        for row, code in enumerate(block.tolist()):
            here = slice(together.indptr[row], together.indptr[row + 1])
            other, users = known[together.indices[here]], together.data[here]
            best = other[np.lexsort((other, -users))[:k]]
            if len(best):
                found[code] = best
    return found


def _with(aligned: Aligned, found: Mapping[int, np.ndarray], how: Impute) -> Aligned:
    """The modality with vectors added, in its own precision and the catalog's order."""
    old, codes = aligned.modality, np.array(sorted(found))
    vectors = aligned.vectors(np.arange(len(aligned.row)))
    vectors[codes] = np.stack([found[code] for code in codes])
    present = aligned.present
    present[codes] = True
    digest = sha256(f"{old.sha256}{how}".encode() + vectors[codes].tobytes()).hexdigest()
    made = Modality(vectors[1:], present[1:], None, f"{old.source} ({how} where missing)", digest)
    return Aligned(made, np.where(present, np.arange(len(present)) - 1, -1))
