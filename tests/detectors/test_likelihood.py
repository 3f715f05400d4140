"""Cross-fitting is what it says, scores are reproducible, planted noise is found and where there is none, none is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from detectors.worlds import World, world
from siftrec.data.sequences import Sequences
from siftrec.detectors.fitted import judge
from siftrec.detectors.likelihood import CrossFitted, Likelihood
from siftrec.errors import SettingsError
from siftrec.synthetic import Name

SMALL = Likelihood(folds=3, dim=8, epochs=1, steps=20, batch_size=32, negatives=32)
BRIEF = Likelihood(folds=2, steps=250)


@cache
def small() -> World:
    return world("easy", users=120, items=400, length=8)


def fitted(log: Sequences, seed: int = 7, how: Likelihood = SMALL) -> CrossFitted:
    content = small().content
    return CrossFitted(how, len(small().catalog), content.shape[1]).fit(log, content, seed)


def with_history(log: Sequences, user: int, rng: np.random.Generator) -> Sequences:
    """The same log, but one user has other items."""
    items = log.items.copy()
    mine = slice(*log.offsets[user : user + 2])
    items[mine] = rng.choice(np.setdiff1d(np.arange(1, 401), items[mine]), log.lengths[user], replace=False)
    return replace(log, items=items)


def fold_of(found: CrossFitted, row: int) -> int:
    return int(found.fold(torch.tensor([row])))


def test_folds_are_even_and_follow_no_rhythm_of_the_rows() -> None:
    """Users are sorted by id: with folds dealt in turn, a fold could hold all the users of one taste."""
    found = CrossFitted(SMALL, 10, 0)
    for step in (1, 2, 3, 4, 7, 12):
        share = torch.bincount(found.fold(torch.arange(0, 6000 * step, step)), minlength=3) / 6000
        assert (share - 1 / 3).abs().max() < 0.05


@pytest.mark.parametrize("user", [0, 1, 50])
def test_a_user_is_judged_by_a_model_that_never_saw_them(user: int) -> None:
    """Whatever they had done in the log the models were fitted on, their history would be judged the same, bit by bit."""
    log, content = small().log, small().content
    one = fitted(log)
    two = fitted(with_history(log, user, np.random.default_rng(user)))
    fold = fold_of(one, user)
    for k in range(SMALL.folds):
        same = [torch.equal(a, b) for a, b in zip(one.models[k].parameters(), two.models[k].parameters(), strict=True)]
        assert all(same) == (k == fold), f"model {k} of user {user} in fold {fold}"
    two.get_buffer("background").copy_(one.get_buffer("background"))  # drawn by popularity from everybody, them too
    mine, who = log.take(np.array([user])), np.array([user])
    assert (judge(one, mine, content, who) == judge(two, mine, content, who)).all()
    stranger = np.array([next(row for row in range(len(log)) if fold_of(one, row) != fold)])
    assert (judge(one, mine, content, stranger) != judge(two, mine, content, stranger)).any()


def test_the_seed_decides_everything() -> None:
    log, content, users = small().log, small().content, small().users
    first = judge(fitted(log), log, content, users)
    assert (judge(fitted(log), log, content, users) == first).all()
    assert (judge(fitted(log, seed=8), log, content, users) != first).mean() > 0.9


def test_a_restored_detector_judges_the_same() -> None:
    log, content, users = small().log, small().content, small().users
    one = fitted(log)
    two = CrossFitted(SMALL, len(small().catalog), content.shape[1])
    two.load_state_dict(one.state_dict())
    assert (judge(two, log, content, users) == judge(one, log, content, users)).all()
    assert (judge(two, log, content) == judge(one, log, content)).all()


def test_inside_something_that_trains_it_does_not() -> None:
    found = fitted(small().log)
    outer = torch.nn.Sequential(found).train()
    assert outer.training
    assert not any(module.training for module in found.modules())
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_weights_of_one_are_none_and_what_weighs_nothing_is_not_learned() -> None:
    log, content, users = small().log, small().content, small().users
    plain = judge(fitted(log), log, content, users)
    ones = replace(log, weights=np.ones(len(log.items), np.float32))
    assert (judge(fitted(ones), log, content, users) == plain).all()
    clean = replace(log, weights=1 - small().noisy.astype(np.float32))
    assert (judge(fitted(clean), log, content, users) != plain).any()
    nothing = fitted(replace(log, weights=np.zeros(len(log.items), np.float32)))
    assert not any(model.bias.any() for model in nothing.models), "where it starts"


def test_order_of_the_rows_and_empty_histories_do_not_matter() -> None:
    log, content, users = small().log, small().content, small().users
    found = fitted(log)
    plain = judge(found, log, content, users)
    order = np.random.default_rng(1).permutation(len(log))
    mixed = judge(found, log.take(order), content, order)
    at = np.concatenate([np.arange(log.offsets[row], log.offsets[row + 1]) for row in order])
    np.testing.assert_allclose(mixed, plain[at], atol=1e-5)
    gaps = Sequences(log.items, np.concatenate([[0, 0], log.offsets[1:], log.offsets[-1:]]), log.times, log.rows)
    whose = np.concatenate([[0], users, [0]])
    np.testing.assert_allclose(judge(found, gaps, content, whose), plain, atol=1e-5)
    empty = fitted(Sequences.from_items(log.items[:0], np.zeros(4, int)))
    assert judge(empty, log, content, users).shape == plain.shape


def test_a_long_history_is_judged_in_pieces() -> None:
    log, content = small().log, small().content
    found = fitted(log)
    items = np.random.default_rng(2).permutation(400)[:50] + 1
    whole = judge(found, Sequences.from_items(items, np.array([50])), content, np.array([4]))
    pieces = [Sequences.from_items(part, np.array([len(part)])) for part in np.split(items, [16, 33])]
    parts = [judge(found, part, content, np.array([4])) for part in pieces]
    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-5)


def test_of_unknown_histories_the_least_convinced_model_speaks() -> None:
    log, content = small().log, small().content
    found = fitted(log)
    rows = [next(row for row in range(100) if fold_of(found, row) == fold) for fold in range(SMALL.folds)]
    every = [judge(found, log, content, np.full(len(log), row)) for row in rows]
    np.testing.assert_allclose(judge(found, log, content), np.min(every, axis=0), atol=1e-5)


@pytest.mark.parametrize(("level", "least"), [("easy", 0.86), ("hard", 0.66)])
def test_planted_noise_is_found(level: Name, least: float) -> None:
    log, content, users = world(level).log, world(level).content, world(level).users
    found = CrossFitted(BRIEF, len(world(level).catalog), content.shape[1]).fit(log, content, 7)
    assert world(level).found(judge(found, log, content, users)) > least


def test_where_nothing_is_planted_nothing_is_found() -> None:
    null = world("easy", null=True)
    found = CrossFitted(BRIEF, len(null.catalog), null.content.shape[1]).fit(null.log, null.content, 7)
    assert null.found(judge(found, null.log, null.content, null.users)) == pytest.approx(0.5, abs=0.03)
    assert null.found(judge(found, null.log, null.content)) == pytest.approx(0.5, abs=0.03)


def test_a_small_log_gets_as_many_steps_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for one pass, it makes as many as 40 steps take, for either fold."""
    taken: list[int] = []
    step = torch.optim.AdamW.step

    def counted(self: torch.optim.AdamW, closure: None = None) -> None:
        taken.append(1)
        step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    fitted(small().log, how=Likelihood(folds=2, dim=4, epochs=1, steps=40, negatives=8))
    assert 80 <= len(taken) <= 90


@cache
def in_rounds(rounds: int, null: bool = False) -> tuple[CrossFitted, float, list[tuple[int, int]]]:
    """Fitted on an easy log, with content or without information; its AUROC, and the progress that was told."""
    easy, folds = world("easy", null=null), list[tuple[int, int]]()
    content_NG = easy.ids_only if null else easy.content
    found = Likelihood(folds=2, steps=250, rounds=rounds).build(len(easy.catalog), content_NG.shape[1])
    found.fit(easy.log, content_NG, 7, lambda done, of: folds.append((done, of)))
    return found, easy.found(judge(found, easy.log, content_NG, easy.users)), folds


@pytest.mark.slow
def test_a_second_round_is_not_worse() -> None:
    """800 users are few to learn from; where more is to be had is in docs/noise.md."""
    (_, first, _), (_, second, folds) = in_rounds(1), in_rounds(2)
    assert folds == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert second > first - 0.015


def test_rounds_can_be_estimated_before_they_are_run() -> None:
    """The cost of a fit is told from a fit of no work, which leaves nobody to judge between rounds."""
    easy = world("easy")
    found = Likelihood(folds=2, steps=20, rounds=2).build(len(easy.catalog), easy.content.shape[1])
    for share in (0.0, 0.1):
        found.fit(easy.log, easy.content, 7, share=share)


def test_between_rounds_planted_noise_loses_weight() -> None:
    easy, (found, _, _) = world("easy"), in_rounds(1)
    weighed = found._weighed(easy.log, easy.content, 7, 1.0).weights
    assert weighed is not None
    assert weighed[easy.noisy].mean() < weighed[~easy.noisy].mean() - 0.3
    own = replace(easy.log, weights=np.full(len(easy.log.items), 0.5, np.float32))
    np.testing.assert_allclose(found._weighed(own, easy.content, 7, 1.0).weights, 0.5 * weighed, rtol=1e-6)


@pytest.mark.slow
def test_a_second_round_makes_nothing_of_nothing() -> None:
    assert in_rounds(2, null=True)[1] == pytest.approx(0.5, abs=0.03)


def test_one_fold_would_leave_nobody_to_learn_from() -> None:
    with pytest.raises(SettingsError, match="folds"):
        Likelihood(folds=1)
