"""Users worth a look are found where they were planted, and nowhere else; the cut is chosen by its rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftrec.audit.cut import cut, some_users
from siftrec.audit.describe import Look, describe, popularity
from siftrec.audit.source import open_source
from siftrec.data.read import read
from siftrec.data.split import TEST
from siftrec.synthetic import behaviours

SECOND, DAY = 1_000_000, 86_400_000_000
START = 1_600_000_000 * SECOND


def calm(users: int = 40, length: int = 8) -> pl.DataFrame:
    """Everybody interacts about once a day, with items of their own order."""
    rng = np.random.default_rng(4)
    rows = [
        (f"u{user}", f"i{item}", START + position * DAY + int(rng.integers(0, 3600)) * SECOND)
        for user in range(users)
        for position, item in enumerate(rng.permutation(60)[:length])
    ]
    return pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")


def looks(frame: pl.DataFrame, path: Path) -> dict[str, Look]:
    frame.write_parquet(path / "log.parquet")
    return {look.kind: look for look in describe(open_source(path / "log.parquet", {})).looks}


def one(user: str, items: list[str], step: int) -> pl.DataFrame:
    times = [START + 7 + position * step for position in range(len(items))]
    return pl.DataFrame({"user": [user] * len(items), "item": items, "time": times})


def test_a_calm_log_shows_nobody(tmp_path: Path) -> None:
    assert {kind: look.users for kind, look in looks(calm(), tmp_path).items()} == {
        "bursts": 0,
        "extreme counts": 0,
        "identical histories": 0,
    }


def test_planted_bots_are_named(tmp_path: Path) -> None:
    many = [f"i{n % 60}" for n in range(200)]
    burst = one("machine", [f"i{n}" for n in range(12)], SECOND // 2)
    slow = one("steady", [f"i{n}" for n in range(12, 24)], 2 * SECOND)
    copies = pl.concat(one(f"copy{n}", ["i9", "i8", "i7", "i6", "i5"], DAY + n * SECOND) for n in range(3))
    found = looks(pl.concat([calm(), burst, slow, one("busy", many, 3600 * SECOND), copies]), tmp_path)
    assert found["bursts"].examples == ({"user": "machine", "count": 12},)
    assert found["bursts"].interactions == 12
    assert found["extreme counts"].examples == ({"user": "busy", "count": 200},)
    (copied,) = found["identical histories"].examples
    assert (copied["count"], copied["length"], set(copied["users"])) == (3, 5, {"copy0", "copy1", "copy2"})
    assert (found["identical histories"].users, found["identical histories"].interactions) == (3, 15)


@pytest.mark.parametrize("coarse", [True, False])
def test_a_log_that_cannot_show_bursts_says_so(tmp_path: Path, coarse: bool) -> None:
    frame = calm().with_columns(time=pl.col("time") // DAY * DAY) if coarse else calm().drop("time")
    look = looks(frame, tmp_path)["bursts"]
    assert look.users is None
    assert ("too coarse" if coarse else "no clock") in look.rule


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_gini_is_the_mean_difference_of_all_pairs(counts: list[int]) -> None:
    values = np.array(counts)
    expected = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert popularity(values)["gini"] == pytest.approx(expected, abs=1e-9)


def test_without_a_clock_or_with_few_on_both_sides_last_interactions_are_the_holdout() -> None:
    parts = cut(read(calm().drop("time")))
    assert parts is not None
    assert (parts.split.protocol, parts.asked) == ("last-tenth", 40)
    assert "no clock" in parts.why
    parts = cut(read(calm()))
    assert parts is not None
    assert "would ask" in parts.why
    assert len(parts.earlier.items) == 40 * 7


def test_long_histories_are_asked_about_their_last_tenth() -> None:
    parts = cut(read(calm(length=35).drop("time")))
    assert parts is not None
    role = parts.split.role.reshape(40, 35)
    assert (role == ([0] * 31 + [1] + [2] * 3)).all()
    assert (parts.split.test.targets.lengths == 3).all()


def test_many_users_on_both_sides_are_cut_in_time() -> None:
    parts = cut(read(calm(users=1300)))
    assert parts is not None
    assert parts.split.protocol == "temporal"
    earlier, later = parts.split.role < TEST, parts.split.role == TEST
    assert parts.split.log.times[earlier].max() < parts.split.log.times[later].min()
    assert parts.asked >= 1000


def test_two_interactions_each_are_too_short_to_cut() -> None:
    assert cut(read(calm(length=2).drop("time"))) is None


def test_some_users_keep_whole_histories() -> None:
    split = behaviours("easy", users=50, items=300, length=5).split
    few = some_users(split, 20, 7)
    assert len(few.log) == len(few.users) == 20
    rows = few.users.to_numpy()
    for place, row in enumerate(rows):
        assert few.log[place].tolist() == split.log[row].tolist()
    assert few.role.tolist() == np.tile(split.role[:6], 20).tolist()
    assert some_users(split, 50, 7) is split
