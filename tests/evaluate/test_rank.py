import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.stubs import Matrix, Vectors, questions, random_questions
from siftrec.data.split import Part
from siftrec.errors import NonFiniteLossError
from siftrec.evaluate import rank as module
from siftrec.evaluate.rank import Ranking, rank
from siftrec.evaluate.shortlist import shortlisted
from siftrec.nn.topk import top_k


def loop_oracle(scores: np.ndarray, part: Part, k: int) -> dict[str, list]:
    """Sort the whole catalog for each question, by score and then by code."""
    found: dict[str, list] = {name: [] for name in ("targets", "none", "seen", "tied", "top none", "top seen")}
    for q in range(len(part)):
        codes = range(1, scores.shape[1])
        order = sorted(codes, key=lambda code: (-scores[q, code], code))
        targets, banned = sorted(set(part.targets[q].tolist())), set(part.seen[q].tolist())
        unseen = [code for code in order if code not in banned]
        found["targets"] += targets
        for name, ranked in (("none", order), ("seen", unseen)):
            places = [ranked.index(target) + 1 if scores[q, target] > -np.inf else len(order) + 1 for target in targets]
            found[name] += places
        found["tied"] += [bool((scores[q, 1:] == scores[q, target]).sum() > 1) for target in targets]
        for name, ranked in (("top none", order), ("top seen", unseen)):
            best = [code for code in ranked if scores[q, code] > -np.inf][:k]
            found[name].append(best + [0] * (k - len(best)))
    return found


def as_lists(ranking: Ranking) -> dict[str, list]:
    return {
        "targets": ranking.targets.items.tolist(),
        "tied": ranking.tied.tolist(),
        **{name: ranking.ranks[name].tolist() for name in ("none", "seen")},
        **{f"top {name}": ranking.top[name].tolist() for name in ("none", "seen")},
    }


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    catalog=st.integers(3, 60),
    levels=st.integers(1, 40),
    budget=st.sampled_from([1, 9000]),
)
def test_plain_scorer_equals_a_full_sort(seed: int, catalog: int, levels: int, budget: int) -> None:
    rng = np.random.default_rng(seed)
    part = random_questions(rng, 9, catalog)
    scores = rng.integers(0, levels, (9, catalog)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    scores[:, 0] = 1e9
    for k in (1, catalog - 1):
        ranking = rank(Matrix(torch.from_numpy(scores)), 4, part, k, block_bytes=budget)
        assert as_lists(ranking) == loop_oracle(scores, part, k)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), catalog=st.integers(3, 60), tile=st.sampled_from([1, 7, 16, 4096]))
def test_vector_scorer_equals_a_full_sort_for_any_stretch_of_columns(seed: int, catalog: int, tile: int) -> None:
    rng = np.random.default_rng(seed)
    part = random_questions(rng, 9, catalog)
    # Small whole numbers: products are exact, and ties are many.
    users, items = (torch.from_numpy(rng.integers(-2, 3, (n, 3)).astype(np.float32)) for n in (9, catalog))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", tile)
        patch.setattr(module, "ROWS", 4)
        ranking = rank(Vectors(users, items), 4, part, catalog // 2, block_bytes=1)
    assert as_lists(ranking) == loop_oracle((users @ items.T).numpy(), part, catalog // 2)


def test_no_number_depends_on_the_byte_budget() -> None:
    rng = np.random.default_rng(3)
    users, items = (torch.from_numpy(rng.normal(size=(n, 24)).astype(np.float32)) for n in (150, 9001))
    part = random_questions(rng, 150, 300)
    wanted = as_lists(rank(Vectors(users, items), 4, part, 20))
    for budget in (1, 64 * 16 * 5000, 64 * 16 * 8192):
        assert as_lists(rank(Vectors(users, items), 4, part, 20, block_bytes=budget)) == wanted


def test_the_order_of_the_questions_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    part = random_questions(rng, 100, 40)
    scores = torch.from_numpy(rng.integers(0, 9, (100, 40)).astype(np.float32))
    order = rng.permutation(100)
    straight, shuffled = rank(Matrix(scores), 4, part, 5), rank(Matrix(scores), 4, part.take(order), 5)
    for name in ("none", "seen"):
        assert shuffled.top[name].tolist() == straight.top[name][order].tolist()
        by_question = np.split(straight.ranks[name], straight.targets.offsets[1:-1])
        assert shuffled.ranks[name].tolist() == np.concatenate([by_question[q] for q in order]).tolist()


def test_keeping_no_list_gives_the_same_ranks() -> None:
    rng = np.random.default_rng(6)
    part = random_questions(rng, 30, 50)
    scorer = Matrix(torch.from_numpy(rng.normal(size=(30, 50)).astype(np.float32)))
    for name in ("none", "seen"):
        assert rank(scorer, 4, part).ranks[name].tolist() == rank(scorer, 4, part, 7).ranks[name].tolist()


def test_constant_scores_rank_by_code() -> None:
    ranking = rank(Matrix(torch.zeros(2, 9)), 4, questions([[5], [8]], [[1, 6], []]), 3)
    assert ranking.ranks["none"].tolist() == [5, 8]
    assert ranking.ranks["seen"].tolist() == [4, 8]
    assert ranking.top["seen"].tolist() == [[2, 3, 4], [1, 2, 3]]
    assert ranking.tied.tolist() == [True, True]


def test_a_target_that_no_list_holds_is_no_hit() -> None:
    """A model that cannot recommend an item (-inf) would be credited with it wherever few items can be recommended."""
    scores = torch.full((2, 10), -torch.inf)
    scores[:, 7:] = 1.0
    ranking = rank(Matrix(scores), 4, questions([[1], [8]], [[9], [9]]), 5)
    assert ranking.top["seen"].tolist() == [[7, 8, 0, 0, 0]] * 2
    assert [ranking.ranks[name].tolist() for name in ("none", "seen")] == [[10, 2]] * 2


@pytest.mark.parametrize("k", [0, 3])
@pytest.mark.parametrize("cell", [(0, 2), (1, 3)])
def test_nan_is_refused_wherever_it_stands(cell: tuple[int, int], k: int) -> None:
    """Also where only ranks are asked for, as at every epoch: a model that has diverged would be kept as the best."""
    scores, part = torch.zeros(2, 9), questions([[2], [2]], [[], []])
    scores[cell] = torch.nan
    with pytest.raises(NonFiniteLossError, match="NaN"):
        rank(Matrix(scores), 4, part, k)
    for users, items in ((scores, torch.ones(9, 9)), (torch.ones(2, 2), scores.T.contiguous())):
        with pytest.raises(NonFiniteLossError, match="NaN"):
            rank(Vectors(users, items), 4, part, k)


class Dropping(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def scores(self, items_BL: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.training or torch.is_grad_enabled())
        return torch.zeros(len(items_BL), 9)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}


@pytest.mark.parametrize("training", [True, False])
def test_a_module_is_in_evaluation_mode_meanwhile_and_as_before_afterwards(training: bool) -> None:
    model = Dropping().train(training)
    rank(model, 4, questions([[2], [2]], [[], []]), 3)
    assert not any(model.modes)
    assert model.training is training


def test_progress_counts_every_question_once() -> None:
    told: list[tuple[int, int]] = []
    part = questions([[2]] * 150, [[]] * 150)
    rank(Matrix(torch.zeros(150, 9)), 4, part, progress=lambda done, of: told.append((done, of)))
    assert [of for _, of in told] == [150] * len(told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (150, 150)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([1, 2, 50, 2000, 10**6]), k=st.integers(1, 9))
def test_the_shortlist_is_exact(seed: int, levels: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(0, levels, (5, int(rng.integers(900, 2000)))).astype(np.float32))
    scores[torch.from_numpy(rng.random(scores.shape) < rng.random())] = -torch.inf
    for found, wanted in zip(shortlisted(scores, k), top_k(scores, k), strict=True):
        assert found.tolist() == wanted.tolist()


def test_a_scorer_that_knows_no_shown_content_is_ranked() -> None:
    """Methods of others may have users(items_BL) alone; a log whose content is the items' own asks for no more."""
    scorer = Plain(torch.eye(5), torch.eye(5))
    ranking = rank(scorer, 4, questions([[1], [2]], [[], []]))
    assert len(ranking.ranks["none"]) == 2


class Plain(Vectors):
    def users(self, items_BL: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().users(items_BL)


def test_who_has_seen_much_does_not_have_everybody_searched_as_deeply(monkeypatch: pytest.MonkeyPatch) -> None:
    """One user of a block with thousands of seen items made the k best of 63 others thousands, too."""
    catalog, rows = 300, 2 * module.ROWS
    rng, deep = np.random.default_rng(0), []
    seen = [rng.permutation(np.arange(2, catalog))[: 100 if q % 2 else 1].tolist() for q in range(rows)]
    part = questions([[1]] * rows, seen, [9 + q % 5 for q in range(rows)])
    monkeypatch.setattr(module, "shortlisted", lambda scores_BC, k: deep.append(k) or shortlisted(scores_BC, k))
    scores = rng.integers(0, 50, (rows, catalog)).astype(np.float32)
    ranking = rank(Matrix(torch.from_numpy(scores)), 9, part, 5)
    assert deep == [6, 105]
    assert as_lists(ranking) == loop_oracle(scores, part, 5)
