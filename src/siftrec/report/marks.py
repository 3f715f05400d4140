"""What a page says of one interaction's company, and of what is flagged at one level."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Company:
    """What of the rest of a history goes best with an interaction, by what other users have.

    Attributes:
        name: title or id of that item.
        users: other users who have both.
        chance: how many would by chance.
    """

    name: str
    users: int
    chance: float


@dataclass(frozen=True)
class Flagged:
    """What is flagged of noise whose truth is known.

    Attributes:
        q: the false discovery level that was aimed at.
        found: share of the planted noise that is flagged.
        wrong: share of the flagged that was not planted; None where nothing is flagged.
    """

    q: float
    found: float
    wrong: float | None
