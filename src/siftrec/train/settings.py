"""How a method is trained, apart from what the method is."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from siftrec.settings import Count, Rate, Size, Weight, settings


def _metric(name: str) -> str:
    if not re.fullmatch(r"(hr|recall|precision|f1|ndcg|mrr|map)@[1-9][0-9]{0,3}|gauc|auc", name):
        if (lower := name.lower()) != name:
            raise ValueError(f"must be in lower case, {_metric(lower)!r}")
        raise ValueError(
            "must be hr, recall, precision, f1, ndcg, mrr or map with a cut-off, e.g. ndcg@10, or gauc or auc"
        )
    return name


MetricName = Annotated[str, AfterValidator(_metric)]

MOST_THREADS = 1024
"""Torch takes any number, and the process ends without a word where the system starts no more."""

_LAST = 1 / 50
"""What a falling rate comes down to, as a share of the highest."""


@settings
class Training:
    """The same for every learned method; counted methods need none of it.

    Attributes:
        epochs: at most so many passes over the training rows.
        batch_size: rows per step.
        learning_rate: of AdamW, at its highest.
        schedule: `cosine`: the rate falls along half a cosine, from `learning_rate` at the first step towards a fiftieth
            of it at the end of the last epoch, so `epochs` decides how every step is made, and a run cannot be resumed
            with another number of them; `constant`: it stays.
        weight_decay: of AdamW.
        clip_norm: longest gradient allowed; longer ones are scaled down. None: never.
        patience: stop after so many epochs without a better `metric`; 0, and without validation users: never.
        metric: what decides, on validation users, which epoch's weights are kept, e.g. `ndcg@10`; on impressions
            `gauc` or `auc`. Without validation users, it is the last one.
        validate_users: at most so many validation users, always the same ones.
        rows_per_user: at most so many training rows of each user per epoch, drawn anew each epoch. None: all. It bounds
            methods that make every prefix a row; those that read whole windows, such as `SASRec`, read all of them. On
            impressions a row is a group.
        threads: CPU threads, at most 1,024; results are reproducible for an equal number of them.
        log_steps: steps between two lines of the log.
        checkpoint_steps: steps between checkpoints within an epoch; its end always makes one. None: only that.
        checkpoints: how many checkpoints are kept.
    """

    epochs: Count = 10
    batch_size: Size = 512
    learning_rate: Rate = 4e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: Weight = 0.0
    clip_norm: Rate | None = None
    patience: Count = 3
    metric: MetricName = "ndcg@10"
    validate_users: Size = 20_000
    rows_per_user: Size | None = None
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] = 1
    log_steps: Size = 50
    checkpoint_steps: Size | None = None
    checkpoints: Size = 2

    def rate(self, passed: float) -> float:
        """The learning rate of a step.

        Args:
            passed: share of all steps that lie before it, in [0, 1).
        """
        if self.schedule == "constant":
            return self.learning_rate
        falling = (1 + math.cos(math.pi * passed)) / 2
        return self.learning_rate * (_LAST + (1 - _LAST) * falling)
