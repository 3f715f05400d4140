"""A log of users who each like one of two kinds of items, with some of the other kind in between; and without kinds."""

from __future__ import annotations

import copy
import functools

import numpy as np
import polars as pl
import torch

from siftrec.data.interactions import Interactions
from siftrec.data.loader import Batch, Loader
from siftrec.data.split import Split, leave_one_out
from siftrec.methods.base import Learned
from siftrec.methods.judgement import Denoiser, Judgement
from siftrec.methods.model import SequenceModel
from siftrec.train.fit import fit

USERS, KIND, LENGTH = 400, 30, 10


def mixed(planted: bool, users: int = USERS) -> Split:
    """A fifth of the interactions is of the other kind; not planted: items are drawn whatever their kind."""
    rng = np.random.default_rng(4)
    liked_U1 = (np.arange(users) % 2)[:, None]
    kind_UL = np.where(rng.random((users, LENGTH)) < 0.2, 1 - liked_U1, liked_U1)
    if not planted:
        kind_UL = rng.integers(0, 2, (users, LENGTH))
    items_UL = kind_UL * KIND + rng.integers(0, KIND, (users, LENGTH))
    row = np.arange(users * LENGTH)
    frame = pl.DataFrame({"user": row // LENGTH, "item": items_UL.ravel(), "time": row % LENGTH, "row": row})
    return leave_one_out(Interactions(frame, "order"))


def trained(method: Learned, planted: bool) -> tuple[SequenceModel, Batch, torch.Tensor]:
    """A trained model of the caller's own, and `asked(planted)`."""
    return copy.deepcopy(_model(method, planted)), *asked(planted)


@functools.cache
def _model(method: Learned, planted: bool) -> SequenceModel:
    model = fit(
        method, mixed(planted), epochs=6, batch_size=32, learning_rate=0.01, schedule="constant", patience=0, seed=1
    ).scorer
    assert isinstance(model, SequenceModel)
    return model


def asked(planted: bool) -> tuple[Batch, torch.Tensor]:
    """A batch of all users with a target of the kind they like, and which interactions are not of it."""
    split = mixed(planted)
    train = split.train
    batch = Loader(train, "sequence", LENGTH, USERS, 0).batch(np.arange(USERS), train.lengths - 1)
    user = split.users.to_numpy().astype(np.int64)
    other_BL = (batch.items_BL > KIND) != torch.from_numpy(user % 2 == 1).unsqueeze(1)
    target_B = (batch.targets_BP[:, -1] > KIND) == torch.from_numpy(user % 2 == 1)
    rows = np.flatnonzero(target_B.numpy())
    return Loader(train, "sequence", LENGTH, USERS, 0).batch(rows, train.lengths[rows] - 1), other_BL[target_B]


def found(method: Learned, planted: bool, users: int = USERS) -> tuple[Judgement, np.ndarray]:
    """What a trained denoiser makes of the training interactions, and which of them are of the other kind."""
    split = mixed(planted, users)
    model = fit(
        method, split, epochs=6, batch_size=32, learning_rate=0.01, schedule="constant", patience=0, seed=1
    ).scorer
    assert isinstance(method, Denoiser)
    assert isinstance(model, SequenceModel)
    liked = split.users.to_numpy().astype(np.int64)[split.train.owners] % 2
    return method.judge(model, split.train), (split.items.decode(split.train.items).to_numpy() >= KIND) != liked
