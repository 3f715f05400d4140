"""p-values against a background, and the decreasing density they have."""

from __future__ import annotations

import numpy as np

KNOTS = np.concatenate([[0.0], np.geomspace(2e-4, 0.098, 120), np.linspace(0.1, 1.0, 181)])
"""Values of p at which a density is kept: fine where genuine interactions are."""

LEAST = 1e-9


def tail(score: np.ndarray, background: np.ndarray) -> np.ndarray:
    """(n,) right-tailed p-values, (1 + #{background ≥ score}) / (R + 1); `background` (R,) is ascending."""
    below = np.searchsorted(background, score, side="left")
    return np.asarray((1 + len(background) - below) / (len(background) + 1))


def grenander(p: np.ndarray) -> np.ndarray:
    """(K,) the decreasing density of p at the knots: the slopes of the majorant, joined from middle to middle.

    So a higher score is never a higher probability, and seldom an equal one. The lines are straight in the logarithm, for
    in the density itself they would lie above a curve that bends, and noise would be understated.
    """
    cells = majorant(p)
    starts = np.flatnonzero(np.append(True, np.abs(np.diff(cells)) > LEAST))
    edges = np.append(KNOTS[starts], 1.0)
    middle, height = (edges[1:] + edges[:-1]) / 2, np.log(np.maximum(cells[starts], LEAST))
    return np.asarray(np.exp(np.interp(KNOTS, middle, height)))


def majorant(p: np.ndarray) -> np.ndarray:
    """(K-1,) slopes between knots of the least concave majorant of p's distribution function.

    Cell i has the min over s ≤ i of the max over t > i of the slope from knot s to knot t (Robertson et al., 1988).
    """
    height = np.searchsorted(np.sort(p), KNOTS, side="right") / len(p)
    rise, run = np.subtract.outer(height, height), np.subtract.outer(KNOTS, KNOTS)
    earlier = np.tri(len(KNOTS), dtype=bool)  # t ≤ s
    slope_ST = np.divide(rise, run, out=np.full_like(rise, -np.inf), where=~earlier)
    most_SC = np.maximum.accumulate(slope_ST[:, :0:-1], axis=1)[:, ::-1]
    return np.asarray(np.where(earlier.T[:, :-1], most_SC, np.inf).min(axis=0))
