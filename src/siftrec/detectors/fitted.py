"""What every detector can do once it is fitted, and what is done alike with all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch

from siftrec.data.loader import blocks
from siftrec.data.sequences import Sequences
from siftrec.detectors.calibrate import NoiseScores, calibrate
from siftrec.detectors.slots import Background, others, piece_rows, pieces, replaced
from siftrec.nn.cloze import LONGEST

LENGTH = LONGEST
"""The longest history that is judged as one."""

DRAWS = 50_000

OnFold = Callable[[int, int], None]
"""Called with the number of folds fitted and their total."""


class Fitted(Protocol):
    """A torch module that scores the slots of padded histories; what it learned is its state dict.

    Attributes:
        parts: by name, the detectors it is made of, itself among them.
    """

    @property
    def parts(self) -> Mapping[str, Fitted]: ...

    def fold(self, users_B: torch.Tensor) -> torch.Tensor:
        """(B,) which users, by their row in the fitted log, are judged by one model, which has seen none of them.

        All are of fold 0 where nobody's own part needs another model to be left out.
        """
        ...

    def fit(
        self, log: Sequences, content_NG: torch.Tensor, seed: int, on_fold: OnFold = ..., share: float = 1.0
    ) -> Fitted:
        """Learn from a log, and return itself.

        Args:
            log: histories; each row is a user. Only `likelihood` heeds its weights; the others count every interaction
                alike.
            content_NG: content vectors (`detectors.content.units`).
            seed: of all that is random.
            on_fold: progress.
            share: of the work that is done; less than 1 to see what a fit will cost.
        """
        ...

    def scores(
        self,
        items_BL: torch.Tensor,
        content_NG: torch.Tensor,
        users_B: torch.Tensor | None = None,
        places_BQ: torch.Tensor | None = None,
        shared_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """scores_BQ, higher = more genuine; 0 on padding and where nothing can vouch.

        Args:
            items_BL: histories of at most 20, 0 = padding.
            content_NG: as fitted.
            users_B: rows of the fitted log that these interactions are from; nobody is judged by what they did
                themselves. None = nobody of that log, or nobody knows.
            places_BQ: columns that are asked about; None = all.
            shared_BL: where what stands at `places_BQ` was drawn from another user, whether that one had each item of the
                history too: an item is not judged by whom it was drawn from. None = it is the user's own.
        """
        ...


def judge(fitted: Fitted, log: Sequences, content_NG: torch.Tensor, users: np.ndarray | None = None) -> np.ndarray:
    """(E,) float32 scores of every event; long histories are judged in about equal pieces of at most 20.

    Args:
        fitted: the detector.
        log: histories.
        content_NG: as fitted.
        users: (R,) row of each history's user in the fitted log; None = see `Fitted.scores`.
    """
    histories, row = pieces(log, LENGTH), piece_rows(log, LENGTH)
    found = np.zeros(len(log.items), np.float32)
    for block in blocks(histories, LENGTH):
        score_BL = fitted.scores(block.items_BL, content_NG, _users(users, row[block.rows]))
        found[block.events] = score_BL.numpy()[block.real]
    return found


def judge_drawn(
    fitted: Fitted, background: Background, content_NG: torch.Tensor, users: np.ndarray | None = None
) -> np.ndarray:
    """(S,) float32 scores of the items that were drawn, among the neighbours they were put.

    Args:
        fitted: the detector.
        background: drawn for histories of at most 20.
        content_NG: as fitted.
        users: (R,) row in the fitted log of each of the users that `background.owners` counts; None = see `Fitted.scores`.
    """
    histories = background.histories
    found = np.zeros(len(histories), np.float32)
    whose = None if users is None else users[background.owners]
    for block in blocks(histories, LENGTH):
        column = background.slots[block.rows] - histories.offsets[1:][block.rows] + block.items_BL.shape[1]
        places_B1 = torch.from_numpy(column).unsqueeze(1)
        shared_BL = torch.zeros(block.items_BL.shape, dtype=torch.bool)
        shared_BL[torch.from_numpy(block.real)] = torch.from_numpy(background.shared[block.events])
        score_B1 = fitted.scores(block.items_BL, content_NG, _users(whose, block.rows), places_B1, shared_BL)
        found[block.rows] = score_B1.squeeze(1).numpy()
    return found


def calibrated(
    fitted: Fitted,
    log: Sequences,
    content_NG: torch.Tensor,
    users: np.ndarray | None,
    *,
    q: float = 0.2,
    seed: int = 7,
    draws: int = DRAWS,
) -> NoiseScores:
    """Noise probabilities of every event of a log.

    Args:
        fitted: the detector.
        log: histories.
        content_NG: as fitted.
        users: (R,) row of each history in the fitted log; None = these are histories it has never seen.
        q: for `NoiseScores.flagged`.
        seed: of the background.
        draws: how many interactions are replaced by background items, at most.
    """
    histories = pieces(log, LENGTH)
    background = drawn_for(fitted, histories, log.owners, users, draws, seed)
    drawn = judge_drawn(fitted, background, content_NG, users)
    score = judge(fitted, log, content_NG, users)
    # Where every user has every item there is nothing to compare with, and nothing can be said.
    evidence = np.where(score == 0, 0, others(histories)) if len(drawn) else np.zeros(len(score), np.int64)
    there = np.where(drawn == 0, 0, others(background.histories)[background.slots])
    return calibrate(score, evidence, log.owners, drawn, there, q=q, seed=seed)[0]


def drawn_for(
    fitted: Fitted, histories: Sequences, owners: np.ndarray, users: np.ndarray | None, count: int, seed: int
) -> Background:
    """The background that a detector's scores are compared with (see `replaced`).

    Args:
        fitted: the detector.
        histories: of at most 20.
        owners: (E,) the user of each event.
        users: (R,) row of each of these users in the fitted log; None = they are not of it.
        count: how many, at most.
        seed: of the draws.
    """
    fold = None if users is None else fitted.fold(torch.from_numpy(users.astype(np.int64))).numpy()
    return replaced(histories, owners, count, seed, None if fold is None else fold[owners])


def _users(users: np.ndarray | None, rows: np.ndarray) -> torch.Tensor | None:
    return None if users is None else torch.from_numpy(users[rows].astype(np.int64))
