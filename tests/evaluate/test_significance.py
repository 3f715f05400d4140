import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from siftrec.evaluate.significance import bootstrap_interval, effect_size, equivalence, estimate, holm, linear, paired_t

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def sample(seed: int, count: int = 200, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, count)


@given(seed=st.integers(0, 1000), mean=st.floats(-0.3, 0.3))
def test_paired_t_equals_scipy(seed: int, mean: float) -> None:
    a, b = sample(seed, mean=mean), sample(seed + 1)
    assert paired_t(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)
    assert effect_size(a - b) == pytest.approx((a - b).mean() / (a - b).std(ddof=1))


def test_equal_models_and_constant_differences() -> None:
    same, constant = np.zeros(5), np.full(4, 0.25)
    assert (paired_t(same), effect_size(same), bootstrap_interval(same)) == (1.0, 0.0, (0.0, 0.0))
    assert (equivalence(same, 0.1), equivalence(same, 0.0)) == (0.0, 1.0)
    assert (paired_t(constant), effect_size(constant), effect_size(-constant)) == (0.0, np.inf, -np.inf)
    assert (equivalence(constant, 0.3), equivalence(constant, 0.2)) == (0.0, 1.0)


def test_p_is_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(1)
    # Differences as sparse as those of a metric at a small cut-off.
    p = [paired_t(rng.choice([-1.0, 0.0, 1.0], 500, p=[0.1, 0.8, 0.1])) for _ in range(600)]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.07


def crossed(rng: np.random.Generator, seeds: int, users: int, spread: float) -> np.ndarray:
    """Differences without a mean: users, seeds and what is left of either."""
    user, seed = rng.normal(0, 1, users), rng.normal(0, spread, (seeds, 1))
    return user + seed + rng.normal(0, 1, (seeds, users))


@pytest.mark.parametrize(
    ("count", "spread", "most"), [(3, 0.0, 0.065), (3, 0.1, 0.075), (3, 0.2, 0.095), (5, 0.1, 0.07)]
)
def test_seeds_that_differ_are_no_discovery(count: int, spread: float, most: float) -> None:
    """Lucky seeds must not pass for a better method; what few seeds cannot rule out is bounded as the docstring says."""
    rng = np.random.default_rng(6)
    tables = [crossed(rng, count, 400, spread) for _ in range(2000)]
    found = np.mean([paired_t(table) < 0.05 for table in tables])
    over_users = np.mean([paired_t(table.mean(axis=0)) < 0.05 for table in tables])
    assert 0.03 < found < most
    assert over_users > 1.6 * found if spread else found < over_users + 0.01, "the control takes luck for skill"


def test_seeds_that_differ_are_no_equivalence_either() -> None:
    """At the margin itself: the mean of a seed's difference is μ = .2, and ± .2 is asked for."""
    rng = np.random.default_rng(9)
    wrong = np.mean([equivalence(crossed(rng, 5, 300, 0.1) + 0.2, 0.2) < 0.05 for _ in range(1500)])
    assert wrong < 0.075


def test_the_error_of_users_and_seeds_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(7)
    draws = [crossed(rng, 5, 80, 0.3) for _ in range(3000)]
    truth = np.std([table.mean() for table in draws])
    assert truth == pytest.approx((1 / 80 + 0.09 / 5 + 1 / 400) ** 0.5, rel=0.05)
    assert np.mean([estimate(table).error ** 2 for table in draws]) == pytest.approx(truth**2, rel=0.05)
    assert estimate(draws[0]).freedom < 80


def test_an_interval_over_seeds_is_wider_and_one_seed_changes_nothing() -> None:
    table = crossed(np.random.default_rng(8), 10, 300, 0.5)
    (low, high), (near, far) = bootstrap_interval(table), bootstrap_interval(table.mean(axis=0))
    assert high - low > 2 * (far - near)
    assert high - low == pytest.approx(2 * 1.96 * estimate(table).error, rel=0.25)
    assert bootstrap_interval(table[:1]) == bootstrap_interval(table[0])
    assert estimate(table[:1]) == estimate(table[0])


def sides(rng: np.random.Generator, counts: tuple[int, int], spread: float) -> list[np.ndarray]:
    """Values of two equal models, one row for each of their own seeds."""
    user = rng.normal(0, 1, 400)
    return [user + rng.normal(0, spread, (count, 1)) + rng.normal(0, 1, (count, 400)) for count in counts]


@pytest.mark.parametrize("counts", [(3, 3), (3, 5)])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
def test_seeds_that_do_not_pair_are_no_discovery(counts: tuple[int, int], spread: float) -> None:
    """Averaged over seeds and tested over users alone, equal models with other seeds differ in up to 9 of 10 comparisons."""
    rng = np.random.default_rng(12)
    drawn = [sides(rng, counts, spread) for _ in range(600)]
    means = [a.mean(axis=0) - b.mean(axis=0) for a, b in drawn]
    found = np.mean([paired_t(mean, each) < 0.05 for mean, each in zip(means, drawn, strict=True)])
    alone = np.mean([paired_t(mean) < 0.05 for mean in means])
    assert 0.01 < found < 0.1
    assert alone > 3 * found if spread else found <= alone, "the control takes luck for skill"
    margin = 0.2
    equal = [equivalence(mean + margin, margin, each) < 0.05 for mean, each in zip(means, drawn, strict=True)]
    assert np.mean(equal) < 0.1, "nor is luck equivalence, at the margin itself"


def test_the_interval_of_seeds_that_do_not_pair_covers() -> None:
    """An interval over users alone leaves the truth out in most comparisons of models whose seeds differ."""
    rng, covered = np.random.default_rng(13), np.zeros(2)
    for _ in range(150):
        both = sides(rng, (3, 4), 0.2)
        mean = both[0].mean(axis=0) - both[1].mean(axis=0)
        for kind, apart in enumerate(((), both)):
            low, high = bootstrap_interval(mean, resamples=300, apart=apart)
            covered[kind] += low <= 0 <= high
    assert covered[0] < 0.6 * 150, "the control is over users alone"
    assert 0.9 * 150 < covered[1] < 150


def test_no_value_has_no_effect_size() -> None:
    """A NaN shown as an infinite effect reads as the strongest finding of the table."""
    assert np.isnan(effect_size(np.array([0.1, np.nan, 0.3])))


@pytest.mark.parametrize("values", ["few", "many"])
def test_bootstrap_interval_equals_theory_and_covers(values: str) -> None:
    rng = np.random.default_rng(2)
    covered = []
    for seed in range(120):
        d = rng.choice([-1.0, 0.0, 1.0], 400, p=[0.2, 0.5, 0.3]) if values == "few" else rng.normal(0.1, 1.0, 400)
        low, high = bootstrap_interval(d, resamples=1000, seed=seed)
        half = 1.96 * d.std() / 20
        assert low == pytest.approx(d.mean() - half, abs=0.3 * half)
        assert high == pytest.approx(d.mean() + half, abs=0.3 * half)
        covered.append(low <= 0.1 <= high)
    assert 0.88 < np.mean(covered) <= 1.0


def test_a_weighted_mean_has_the_spread_of_a_ratio() -> None:
    """Users who are shown more gain less: against a million samples' truth the interval covers as it says."""
    rng, covered = np.random.default_rng(1), 0

    def drawn(users: int) -> tuple[np.ndarray, np.ndarray]:
        weight = np.maximum(2, np.round(rng.lognormal(2.5, 1.2, users)))
        return weight / weight.mean(), 0.06 * (weight / 12) ** -0.8 + 0.01 * rng.standard_normal(users)

    weight, gain = drawn(1_000_000)
    truth = (weight * gain).mean()
    for seed in range(200):
        weight, gain = drawn(300)
        low, high = bootstrap_interval(linear(weight * gain, weight), resamples=500, seed=seed)
        covered += low <= truth <= high
    assert 0.88 < covered / 200 < 0.98
    weight, _ = drawn(300)
    assert bootstrap_interval(linear(0.01 * weight, weight)) == pytest.approx((0.01, 0.01)), "everybody gains as much"


def test_bootstrap_agrees_with_scipy() -> None:
    d = np.random.default_rng(3).exponential(1.0, 300)
    wanted = stats.bootstrap((d,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(4))
    found = bootstrap_interval(d, resamples=4000)
    np.testing.assert_allclose(found, wanted.confidence_interval, atol=0.01)


def test_bootstrap_is_seeded_and_chunks_do_not_repeat() -> None:
    d = sample(5, 5000)
    assert bootstrap_interval(d, seed=1) == bootstrap_interval(d, seed=1) != bootstrap_interval(d, seed=2)


@given(p=probabilities)
def test_holm_equals_its_definition(p: list[float]) -> None:
    corrected = holm(p)
    order = sorted(range(len(p)), key=lambda i: p[i])
    highest = 0.0
    for step, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - step) * p[i]))
        assert corrected[i] == pytest.approx(highest)


@given(p=probabilities, shift=st.integers(0, 11))
def test_holm_is_no_smaller_than_p_no_larger_than_bonferroni_and_ignores_order(p: list[float], shift: int) -> None:
    corrected = holm(p)
    assert all(one <= two <= min(1.0, one * len(p)) + 1e-12 for one, two in zip(p, corrected, strict=True))
    turn = shift % len(p)
    assert sorted(holm(p[turn:] + p[:turn])) == pytest.approx(sorted(corrected))


@given(seed=st.integers(0, 1000), margin=st.floats(0.01, 1.0))
def test_equivalence_is_the_larger_of_two_one_sided_tests(seed: int, margin: float) -> None:
    d = sample(seed, 60, mean=0.1)
    lower = stats.ttest_1samp(d, -margin, alternative="greater").pvalue
    upper = stats.ttest_1samp(d, margin, alternative="less").pvalue
    assert equivalence(d, margin) == pytest.approx(max(lower, upper), rel=1e-9)
