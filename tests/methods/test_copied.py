"""Trained models can be copied and sent to another process of the user's own; siftrec itself unpickles nothing."""

from __future__ import annotations

import copy
import pickle
from functools import cache

import pytest

import siftrec as sr
from siftrec.methods.base import Learned, refusal
from siftrec.synthetic import Planted, behaviours

METHODS = [name for name in sr.__all__ if isinstance(kind := getattr(sr, name), type) and hasattr(kind, "length")]
HISTORIES = [[1, 2, 3], [4], []]


@cache
def world() -> Planted:
    return behaviours("easy", rho=0.0, users=60, items=600, length=8)


@pytest.mark.parametrize("name", METHODS)
def test_a_copy_answers_like_its_original(name: str) -> None:
    method, short = getattr(sr, name)(), {"epochs": 1, "rows_per_user": 1}
    assert not refusal(method)
    model = sr.fit(method, world().split, world().catalog, **(short if isinstance(method, Learned) else {}))
    answers = model.recommend_many(HISTORIES)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert again.recommend_many(HISTORIES) == answers
        assert again.fingerprint == model.fingerprint


def test_all_methods_are_asked() -> None:
    assert len(METHODS) >= 20
    assert {"SASRec", "CCL4Rec", "Demure", "DIN", "EASE"} <= set(METHODS)


def test_evaluate_crosses_processes_by_its_name() -> None:
    import siftrec.evaluate.rank  # binds the package in the function's place

    assert pickle.loads(pickle.dumps(siftrec.evaluate)) is siftrec.evaluate
    assert copy.deepcopy(siftrec.evaluate) is siftrec.evaluate


def test_an_error_crosses_processes_with_what_it_says() -> None:
    """One that cannot be made again in the parent breaks the whole pool."""
    for error in (sr.SettingsError("method.dim", "too small"), sr.DataError("is empty", "a.csv"), sr.UsageError("no")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
