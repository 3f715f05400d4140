"""One number on the validation questions: what early stopping looks at."""

from __future__ import annotations

import numpy as np

from siftrec import seeds
from siftrec.data.split import Fitting, Part
from siftrec.evaluate.evaluation import validation_metric
from siftrec.methods.base import Learned, Model
from siftrec.train.settings import Training


def validate(method: Learned, model: Model, data: Fitting, training: Training) -> float | None:
    """The metric the settings name, filtered, over a fixed sample of validation questions; None without a question.

    The model is left in evaluation mode.
    """
    model.eval()
    part = sampled(data.valid, training.validate_users)
    return validation_metric(model, method.length, part, training.metric) if len(part) else None


def sampled(part: Part, users: int) -> Part:
    """At most so many questions: always the same ones, whatever the seed of the run, so runs can be compared."""
    if len(part) <= users:
        return part
    return part.take(np.sort(seeds.rng(0, "validation users").choice(len(part), users, replace=False)))
