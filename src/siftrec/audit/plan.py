"""What an audit will do and roughly what it will cost, before anything slow begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from siftrec.audit.planting import MECHANISMS
from siftrec.audit.proxies import EASE_UP_TO, Proxy
from siftrec.methods.ease import EASE, dense_bytes
from siftrec.noise import judge
from siftrec.noise.inject import Mechanism

# Seconds on one core of the machine that docs/results.md names; memory in bytes.
_JUDGED, _JUDGED_QUICKLY = 1.5e-4, 3e-5  # per interaction
_JUDGED_ANYHOW = 3.0  # however small the log: the scorer takes so many steps at least
_STEPPED = 1.2e-7  # per step of the scorer and item, all of whose vectors each step touches
_TRAINED = 1.2e-5  # per interaction and epoch of SASRec
_COUNTED = 3e-6  # per interaction
_SOLVED = 1e-10  # per cubed item of EASE
_RANKED = 5e-9  # per question and item
_BASE, _PER_INTERACTION, _PER_ITEM = 600e6, 900.0, 8e3

DESCRIBE, JUDGE, PLANT, EARLIER, TRAIN, WRITE = (
    "describe the log",
    "score every interaction",
    "look for planted noise",
    "score the earlier part alone",
    "train models with and without weights",
    "write the results",
)


@dataclass(frozen=True)
class Plan:
    """How much an audit does.

    Attributes:
        quick: use the quick scorer throughout, and counted models only.
        mechanisms: noise that is planted and looked for; none: nobody learns what could be found.
        planted_users: noise is planted among at most so many users.
        asked_users: at most so many users are asked on the holdout.
    """

    quick: bool
    mechanisms: Sequence[Mechanism] = MECHANISMS
    planted_users: int = 50_000
    asked_users: int = 50_000

    def seconds(self, interactions: int, users: int, items: int, proxies: tuple[Proxy, ...]) -> float:
        """What all steps will take, roughly."""
        copied = interactions * min(1.0, self.planted_users / users)
        judged = 2 * _judged(interactions, users, items, self.quick)
        judged += len(self.mechanisms) * _judged(copied, min(users, self.planted_users), items, quick=True)
        ranked = min(users, self.asked_users) * items * _RANKED
        trained = 0.0
        for proxy in proxies:
            learned = proxy.repeats > 1
            arms = 2 * proxy.repeats if learned else 3
            each = _TRAINED * proxy.training.epochs if learned else _COUNTED
            solved = _SOLVED * items**3 if isinstance(proxy.method, EASE) else 0.0
            trained += arms * (interactions * each + solved + ranked)
        return judged + trained + 2.0

    def memory(self, interactions: int, items: int) -> int:
        """Peak bytes of the process, roughly."""
        dense = dense_bytes(items) if items <= EASE_UP_TO else 0
        return int(_BASE + interactions * _PER_INTERACTION + max(items * _PER_ITEM, dense))


def _judged(interactions: float, users: int, items: int, quick: bool) -> float:
    how = judge.QUICK if quick else judge.DEFAULT
    steps = how.folds * max(how.steps, how.epochs * users / how.batch_size)
    return _JUDGED_ANYHOW + interactions * (_JUDGED_QUICKLY if quick else _JUDGED) + steps * items * _STEPPED


FULL, QUICK = Plan(False), Plan(True, planted_users=20_000)
