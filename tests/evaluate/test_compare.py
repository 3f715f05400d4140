import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from evaluate.stubs import Matrix, questions, trained
from siftrec.errors import DataError, UsageError
from siftrec.evaluate.compare import compare, compare_family, corrected
from siftrec.evaluate.evaluation import Evaluation, evaluate
from siftrec.evaluate.significance import bootstrap_interval, effect_size, holm, paired_t
from siftrec.evaluate.tables import as_json, as_latex, as_text

USERS, CATALOG = 300, 40


def evaluated(skill: float, seed: int = 0, users: int = USERS, seen: int = 1) -> Evaluation:
    """A model that adds `skill` to the target's score; all are asked the same questions."""
    targets = np.random.default_rng(99).integers(3, CATALOG, users)
    scores = np.random.default_rng(seed).random((users, CATALOG)).astype(np.float32)
    scores[np.arange(users), targets] += skill
    part = questions([[target] for target in targets], [[seen]] * users)
    return evaluate(trained(Matrix(torch.from_numpy(scores)), CATALOG, seed=seed), part, (5, 10))


def test_the_figures_are_those_of_the_paired_values() -> None:
    a, b = evaluated(0.5, 1), evaluated(0.1, 2)
    found = compare(a, b, "ndcg@10", "none")
    difference = a.per_user("ndcg@10", "none") - b.per_user("ndcg@10", "none")
    assert found.difference == pytest.approx(found.mean_a - found.mean_b) == pytest.approx(difference.mean())
    assert found.p == found.p_holm == paired_t(difference)
    assert found.effect == effect_size(difference)
    assert found.low < found.difference < found.high
    assert found.relative == pytest.approx(found.difference / found.mean_b)
    assert found.users == USERS
    text = str(found)
    assert "\n" not in text
    for part in ("ndcg@10 unfiltered", "95 % CI", "Holm", "(a) is better"):
        assert part in text


def test_exchanging_the_models_exchanges_the_sign() -> None:
    a, b = evaluated(0.5, 1), evaluated(0.1, 2)
    one, two = compare(a, b), compare(b, a)
    assert (one.difference, one.p, one.effect) == (-two.difference, two.p, -two.effect)
    assert two.verdict.endswith("(b) is better")


def test_a_list_that_is_more_popular_is_not_called_better() -> None:
    """Who ranks the items that everybody has would be told that this is progress; the same difference of ndcg would be."""
    a, b = evaluated(0.5, 1), evaluated(0.1, 2)
    first = a.metrics.index("ndcg@10"), a.metrics.index("arp@10")
    for each in (a, b):
        each.values["seen"][first[1]] = each.values["seen"][first[0]]
    assert compare(a, b, "ndcg@10").verdict.endswith("(a) is better")
    assert compare(a, b, "arp@10").verdict.endswith("(a) is higher")


def test_a_model_is_equivalent_to_itself_and_not_better() -> None:
    a = evaluated(0.5, 1)
    found = compare(a, a)
    assert (found.p, found.difference, found.p_equivalent) == (1.0, 0.0, 0.0)
    assert found.verdict == "equivalent within ±2 %"


def test_too_few_users_decide_nothing() -> None:
    assert compare(evaluated(0.1, 1), evaluated(0.1, 2)).verdict == "undecided"


def test_equal_seeds_face_each_other_in_any_order() -> None:
    seeds_a, seeds_b = [evaluated(0.3, seed) for seed in (1, 2, 3)], [evaluated(0.1, seed) for seed in (3, 1, 2)]
    table = np.stack([seeds_a[i].per_user("ndcg@10") - seeds_b[(i + 1) % 3].per_user("ndcg@10") for i in range(3)])
    found = compare(seeds_a, seeds_b)
    assert found.p == pytest.approx(paired_t(table))
    assert found.effect == pytest.approx(effect_size(table))
    assert (found.seeds, "300 users, 3 seeds" in str(found)) == (3, True)
    alone = compare(seeds_a, seeds_b[0])
    rows = [run.per_user("ndcg@10") - seeds_b[0].per_user("ndcg@10") for run in seeds_a]
    assert alone.p == pytest.approx(paired_t(np.stack(rows))), "a counted method has no seed, and faces every run"


def made(values: np.ndarray, seed: int = 0) -> Evaluation:
    """An evaluation of given values, in the place of the targets' hits."""
    one = evaluated(0.1, seed, users=len(values))
    for table in one.values.values():
        table[one.metrics.index("ndcg@10")] = values
    return one


def test_seeds_that_do_not_pair_count_each_for_its_model() -> None:
    """Who trains the baseline with other seeds than their own must not be told the luck of a few seeds is a difference."""
    seeds_a, seeds_b = [evaluated(0.3, seed) for seed in (1, 2, 3)], [evaluated(0.1, seed) for seed in (4, 5)]
    found = compare(seeds_a, seeds_b)
    rows = [np.stack([run.per_user("ndcg@10") for run in runs]) for runs in (seeds_a, seeds_b)]
    alone = rows[0].mean(axis=0) - rows[1].mean(axis=0)
    assert (found.difference, found.users) == (pytest.approx(alone.mean()), USERS)
    assert (found.p, found.effect) == (pytest.approx(paired_t(alone, rows)), pytest.approx(effect_size(alone)))
    assert (found.low, found.high) == pytest.approx(bootstrap_interval(alone, apart=rows))
    assert (found.seeds, "300 users, 2 seeds:" in str(found)) == (2, True)
    base = np.random.default_rng(1).random(200)
    lucky = [
        [made(base + luck, seed) for seed, luck in side.items()] for side in ({1: 0.03, 2: -0.01}, {3: 0, 4: -0.04})
    ]
    told = compare(*lucky)
    assert (told.p > 0.2, told.verdict) == (True, "undecided"), (
        "every user has the same difference, and two seeds as much"
    )
    assert (told.low, told.high) == pytest.approx((0.03 - 0.122, 0.03 + 0.122), abs=0.001)


def test_one_run_against_several_seeds_is_said_to_be_taken_as_it_is() -> None:
    """A single training of the baseline may have been lucky; a line that says '3 seeds' alone hides that nobody looked."""
    several, one = [evaluated(0.3, seed) for seed in (1, 2, 3)], evaluated(0.1, 1)
    for found, name in ((compare(several, one), "b"), (compare(one, several), "a")):
        assert found.one_run == f"evaluate.stubs:Stub ({name})"
        assert f"300 users, 3 seeds (one run of evaluate.stubs:Stub ({name}), taken as it is): " in str(found)
        assert as_json([found])["comparisons"][0]["one_run"] == found.one_run
    assert compare(one, one).one_run is compare(several, several).one_run is None
    family = compare_family({"x": several, "y": one, "z": several})
    for written in (as_text(family), as_latex(family), family._repr_html_()):
        assert "; against seeds, one run of y is taken as it is" in written


def test_a_metric_without_a_value_is_refused_by_model_not_compared_as_infinite() -> None:
    """NaN would be printed as 'd +inf' and 'undecided', and Holm would correct the rest of the table for it."""
    good, bad = made(np.full(5, 0.2)), made(np.array([0.2, np.nan, 0.3, 0.1, 0.5]), 1)
    with pytest.raises(DataError, match=r"^bad: has no ndcg@10 \(NaN\) for 1 of 5 users; a comparison needs all$"):
        compare_family({"good": good, "bad": bad})


def test_a_family_is_every_pair_and_metric_corrected_together() -> None:
    models = {"x": evaluated(0.3, 1), "y": [evaluated(0.2, 2), evaluated(0.2, 3)], "z": evaluated(0.1, 4)}
    family = compare_family(models, ["ndcg@10", "recall@5"])
    pairs = [("x", "y"), ("x", "z"), ("y", "z")]
    assert [(c.a, c.b, c.metric) for c in family] == [(*pair, m) for pair in pairs for m in ("ndcg@10", "recall@5")]
    assert [c.p_holm for c in family] == holm([c.p for c in family])
    assert [c.p_equivalent_holm for c in family] == holm([c.p_equivalent for c in family])
    assert compare_family(models, ["ndcg@10", "recall@5", "ndcg@10"]) == family
    alone = replace(family[0], p_holm=family[0].p, p_equivalent_holm=family[0].p_equivalent, a="", b="", one_run="")
    assert alone == replace(compare(models["x"], models["y"]), a="", b="", one_run="")


def test_equivalence_is_claimed_only_after_correction() -> None:
    """Who compares many models would else read 'equivalent' off one lucky test among many."""
    base = compare(evaluated(0.1, 1), evaluated(0.1, 2))
    lucky, plain = replace(base, p=0.5, p_equivalent=0.03), replace(base, p=0.5, p_equivalent=0.4)
    (alone,) = corrected([lucky])
    assert alone.verdict == "equivalent within ±2 %"
    together = corrected([lucky, plain])
    assert [each.p_equivalent_holm for each in together] == holm([0.03, 0.4])
    assert [each.verdict for each in together] == ["undecided", "undecided"]
    assert [each["equivalent"] for each in as_json(together)["comparisons"]] == [False, False]


def test_what_has_not_been_made_yet_takes_no_verdict_back_when_it_is() -> None:
    base = compare(evaluated(0.1, 1), evaluated(0.1, 2))
    sure, other = replace(base, p=0.02, p_equivalent=0.01), replace(base, p=0.03, p_equivalent=0.02)
    (before,) = corrected([sure], unmade=1)
    assert (before.p_holm, before.p_equivalent_holm) == (0.04, 0.02)
    after = corrected([sure, other])[0]
    assert (after.p_holm, after.p_equivalent_holm) <= (before.p_holm, before.p_equivalent_holm)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (evaluated(0.1, users=USERS - 1), "different users"),
        (evaluated(0.1, seen=2), "different test fingerprints"),
    ],
)
def test_other_questions_are_refused_by_name(other: Evaluation, message: str) -> None:
    with pytest.raises(DataError, match=message):
        compare(evaluated(0.1), other)
    with pytest.raises(DataError, match="x and y"):
        compare_family(
            {"x": evaluated(0.1), "y": [evaluated(0.1), replace(other, about=replace(other.about, seed=99))]}
        )


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"seed": 99, "method": "siftrec:Popularity"}, "siftrec:Popularity and|and siftrec:Popularity"),
        ({}, "is there twice"),
    ],
)
def test_seeds_of_one_model_are_one_method_with_a_seed_each(told: dict[str, Any], message: str) -> None:
    """Pooled with another model, or counted twice, a run would be judged on more than it is."""
    one = evaluated(0.1)
    other = replace(one, about=replace(one.about, **told))
    with pytest.raises(DataError, match=message):
        compare(evaluated(0.2), [one, other])


def test_other_splits_one_model_and_unknown_metrics_are_refused() -> None:
    a = evaluated(0.1)
    with pytest.raises(DataError, match="valid and test"):
        compare(replace(a, about=replace(a.about, split="valid")), a)
    sampled = replace(a, about=replace(a.about, protocol="sampled candidates by user"))
    with pytest.raises(DataError, match=r"'.*' and 'sampled candidates by user'; use one protocol"):
        compare(a, sampled)
    with pytest.raises(UsageError, match="two models"):
        compare_family({"x": a})
    with pytest.raises(UsageError, match=r"Stub \(a\): metric 'ndgc@10' was not evaluated; did you mean 'ndcg@10'\?"):
        compare(a, a, "ndgc@10")
    with pytest.raises(DataError, match="two users"):
        compare(evaluated(0.1, users=1), evaluated(0.1, users=1))


def test_another_cutoff_is_another_figure_and_is_not_proposed() -> None:
    """Who takes 'did you mean ndcg@5' for the answer to ndcg@11 reports another measure than the table says."""
    a = evaluated(0.1)
    with pytest.raises(UsageError, match=r"only ndcg at 5, 10; evaluate with cutoffs=\(5, 10, 11\)$"):
        compare(a, a, "ndcg@11")
    for asked, told in {
        "ndgc@11": "was not evaluated; did you mean 'ndcg'?",
        "ndcg": "was not evaluated, only ndcg at 5, 10",
        "ndcg@010": "was not evaluated, only ndcg at 5, 10",
        "item_coverage@10": "is one number for all users, not one per user; it is among the means",
    }.items():
        assert a.lacks(asked) == f"metric {asked!r} {told}"
    assert a.lacks("arp@5") == ""


def test_the_note_says_over_what_the_interval_is() -> None:
    """With seeds drawn too, interval and p may disagree; a table that hides it lets the reader pick either."""
    one, many = {"a": evaluated(0.5, 1), "b": evaluated(0.1, 2)}, [evaluated(0.5, seed) for seed in (1, 2)]
    base = [evaluated(0.1, seed) for seed in (3, 4)]
    base = [replace(each, about=replace(each.about, seed=seed)) for each, seed in zip(base, (1, 2), strict=True)]
    caution = "(with few seeds that differ it is too narrow, and p the better judge)"
    for models, told in (
        (one, "paired t test over users, Holm-corrected over the family; bootstrap interval over users; equiv"),
        (
            {"a": many, "b": base},
            f"test over users and seeds, Holm-corrected over the family; bootstrap interval over the same {caution}; equiv",
        ),
        ({"many": many, **one}, "test over users, and over seeds where there are several, Holm"),
    ):
        family = compare_family(models)
        for written in (as_text(family), as_latex(family)):
            assert told in written.splitlines()[-1]
            assert (caution in written) == (models is not one)


def test_a_notebook_shows_comparisons_as_a_table() -> None:
    models = {"<b>a</b>": evaluated(0.5, 1), "b": evaluated(0.1, 2)}
    family = compare_family(models, ["ndcg@10", "recall@5"])
    assert repr(family) == str(family) == as_text(family)
    assert repr(family[0]) == str(family[0])
    html = family._repr_html_()
    assert html.count("<tr>") == 1 + 2
    assert html.count("<td>&lt;b&gt;a&lt;/b&gt;</td>") == 2
    assert "<b>" not in html
    for told in ("Family of 2 on leave-one-out", "ndcg@10 filtered", f"{family[1].difference:+.4f}", family[0].verdict):
        assert told.replace("<b>a</b>", "&lt;b&gt;a&lt;/b&gt;") in html
    alone = family[0]._repr_html_()
    assert alone.count("<tr>") == 1 + 1
    assert "Family of 1" in alone


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (trained(Matrix(torch.zeros(1, 3)), 3), "Trained is"),
        ({"a": 1}, "str is"),
        ("runs/a", "str is"),
        (None, "NoneType is"),
        ([], "there is"),
    ],
)
def test_what_is_no_evaluation_is_refused_by_name(wrong: Any, what: str) -> None:
    """A model in place of its evaluation is the usual slip, and 'not iterable' tells nobody what to give."""
    a = evaluated(0.1)
    told = rf"{what} no evaluation; give what sr\.evaluate\(model, split\.test\) returns"
    with pytest.raises(UsageError, match=f"^b: {told}"):
        compare(a, wrong)
    with pytest.raises(UsageError, match=f"^x: {told}"):
        compare_family({"a": a, "x": wrong})
    models: Any = [a, a]
    with pytest.raises(UsageError, match=r"list has no names; give \{name: evaluation, \.\.\.\}"):
        compare_family(models)


def test_one_family_as_text_json_and_latex() -> None:
    family = compare_family({"runs/a_1": evaluated(0.5, 1), "runs/b": evaluated(0.1, 2)}, ["ndcg@10", "recall@5"])
    text = as_text(family).splitlines()
    assert text[:2] == [str(c) for c in family]
    assert "Family of 2" in text[2]
    table = json.loads(json.dumps(as_json(family), allow_nan=False))
    assert (table["schema"], table["family"]) == (1, 2)
    assert table["comparisons"][1]["metric"] == "recall@5"
    assert table["comparisons"][0]["p_holm"] == family[0].p_holm
    latex = as_latex(family).splitlines()
    rows = [line for line in latex if line.startswith("runs")]
    assert len(rows) == 2
    assert all(row.count("&") == 9 and row.endswith("\\\\") for row in rows)
    assert rows[0].startswith("runs/a\\_1 & runs/b & ndcg@10 filtered & ")
