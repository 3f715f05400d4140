"""Random items for users, none twice and none that is forbidden: rejection sampling over all slots at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from siftrec.data.keys import distinct_keys

Propose = Callable[[np.ndarray], np.ndarray]
_ROUNDS = 200


def draw(propose: Propose, owners: np.ndarray, forbidden: np.ndarray, catalog_size: int) -> np.ndarray:
    """One item per slot; what a slot cannot have is proposed anew until it can.

    Args:
        propose: slot numbers (n,) → proposed item codes (n,), fresh at each call; 0 = no proposal.
        owners: (S,) the user of each slot.
        forbidden: keys user · N + item of the pairs that must not be drawn.
        catalog_size: N.

    Returns:
        (S,) int32 item codes, distinct within an owner; 0 where none was found, as when a user has the whole catalog.
    """
    drawn = np.zeros(len(owners), np.int32)
    taken = distinct_keys(forbidden)
    open_slots = np.arange(len(owners))
    for _ in range(_ROUNDS):
        if not len(open_slots):
            break
        items = propose(open_slots)
        key = owners[open_slots] * np.int64(catalog_size) + items
        first = np.zeros(len(key), bool)
        first[np.unique(key, return_index=True)[1]] = True
        good = first & (items > 0) & ~_among(key, taken)
        drawn[open_slots[good]] = items[good]
        new = np.sort(key[good])
        taken = np.insert(taken, np.searchsorted(taken, new), new)
        open_slots = open_slots[~good]
    return drawn


def _among(keys: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """(n,) bool: whether each key is in a sorted array."""
    if not len(ordered):
        return np.zeros(len(keys), bool)
    return np.asarray(ordered[np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)] == keys)
