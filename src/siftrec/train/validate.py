"""One number on the validation questions: what early stopping looks at."""

from __future__ import annotations

import numpy as np

from siftrec import seeds
from siftrec.data.impressions import Impressions
from siftrec.data.split import Fitting, Part
from siftrec.errors import DataError
from siftrec.evaluate.evaluation import validation_metric
from siftrec.evaluate.impressions import judge_impressions
from siftrec.methods.base import Learned, Model
from siftrec.train.settings import Training

_NEEDED = {
    "gauc": "a user with both a click and an impression without one (more users or longer parts would have some)",
    "auc": "both clicks and impressions without one",
}


def validate(method: Learned, model: Model, data: Fitting, training: Training) -> float | None:
    """The metric the settings name, filtered, over a fixed sample of validation questions; None without a question.

    The model is left in evaluation mode.

    Raises:
        SettingsError: a metric of impressions without any.
        DataError: impressions of which the metric says nothing.
    """
    model.eval()
    if data.impressions is not None:
        shown = sampled_users(data.impressions[1], training.validate_users)
        value = judge_impressions(model, method.length, shown).means()[training.metric]
        if np.isnan(value):
            users = f"{len(np.unique(shown.users)):,} validation users"
            raise DataError(f"{training.metric} needs {_NEEDED[training.metric]}; among {users} there is none")
        return value
    part = sampled(data.valid, training.validate_users)
    return validation_metric(model, method.length, part, training.metric) if len(part) else None


def sampled(part: Part, users: int) -> Part:
    """At most so many questions: always the same ones, whatever the seed of the run, so runs can be compared."""
    return part if len(part) <= users else part.take(_drawn(len(part), users))


def sampled_users(part: Impressions, users: int) -> Impressions:
    """The impressions of at most so many users, always the same ones."""
    everyone = np.unique(part.users)
    if len(everyone) <= users:
        return part
    return part.take(np.flatnonzero(np.isin(part.users, everyone[_drawn(len(everyone), users)])))


def _drawn(count: int, users: int) -> np.ndarray:
    return np.sort(seeds.rng(0, "validation users").choice(count, users, replace=False))
