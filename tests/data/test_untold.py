"""A column of times that nobody has named: passed over, the last of a user's rows in the file would be held out."""

import json

import pandas as pd
import polars as pl
import pyarrow.feather
import pyarrow.parquet
import pytest

from siftrec.data.read import read
from siftrec.errors import DataError

SECONDS = 1_600_000_000
HOLDS = {
    "dates of ISO 8601": ["2024-03-01 12:00:00", "2023-03-01 12:00:00", "2024-03-02 00:00:00"],
    "numbers that may be seconds since 1970": [SECONDS + 500, SECONDS, SECONDS + 900],
    "numbers that may be milliseconds since 1970": [(SECONDS + 500) * 1000 + 7, SECONDS * 1000, SECONDS * 1000 + 9],
    "numbers that may be microseconds since 1970": [(SECONDS + 500) * 10**6, SECONDS * 10**6, SECONDS * 10**6 + 9],
}


def _log(values: list[object], name: str = "seen on") -> pl.DataFrame:
    return pl.DataFrame({"user": ["a"] * len(values), "item": list(range(len(values))), name: values})


def _sources(frame: pl.DataFrame, folder):
    """The same log in memory and in every kind of file."""
    frame.write_csv(folder / "a.csv")
    frame.write_csv(folder / "a.tsv", separator="\t")
    frame.write_csv(folder / "a.inter", separator="\t")
    frame.write_parquet(folder / "a.parquet")
    pyarrow.feather.write_feather(frame.to_arrow(), folder / "a.arrow")
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in frame.iter_rows(named=True)))
    kinds = ("csv", "tsv", "inter", "parquet", "arrow", "jsonl")
    return [frame, frame.to_pandas(), *(folder / f"a.{kind}" for kind in kinds)]


@pytest.mark.parametrize("kind", HOLDS)
def test_a_column_of_times_is_not_passed_over(kind, tmp_path):
    frame = _log(HOLDS[kind])
    for source in _sources(frame, tmp_path):
        with pytest.raises(DataError) as error:
            read(source)
        says = f"column 'seen on' holds {kind} but is not recognised as the time; name it: --time, or time='seen on'; "
        assert says + "time='' means the order of the rows" in str(error.value), source
        assert "\n" not in str(error.value)
        assert read(source, time="").time_kind == "order"
        read(source, time="seen on")
    named = read(frame, time="seen on")
    assert (named.time_kind, named.frame["time"].is_sorted(), named.frame["item"].to_list()[0]) == ("clock", True, 1)
    assert read(frame.with_columns(time=pl.Series([2, 1, 3]))).frame["item"].to_list() == [1, 0, 2]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("price", [1999, 2999, 399]),
        ("price in pence", [19_990_000, 29_990_000, 3_990_000]),
        ("duration ms", [180_000, 3_600_000, 90_000_000]),
        ("share", [0.25, 0.5, 1.0]),
        ("epoch with a fraction", [1.6e9 + 0.5, 1.6e9, 1.6e9 + 0.25]),
        ("day", [20240131, 20240201, 20240202]),
        ("order_id", [SECONDS + 500, SECONDS, SECONDS + 900]),
        ("sessionKey", [SECONDS + 500, SECONDS, SECONDS + 900]),
        ("snowflake", [1_700_000_000_000_000_001, 1_700_000_000_000_000_002, 1_700_000_000_000_000_003]),
        ("bytes", [SECONDS, 12, SECONDS + 1]),
        ("title", ["2024-03-01 was a Friday", "2001", "1984"]),
        ("note", ["", "", ""]),
        ("flag", [True, False, True]),
        ("missing", [None, None, None]),
    ],
)
def test_other_columns_are_taken_for_no_time(name, values, tmp_path):
    """Who has no time in the log would have to say so for every price and every order's number."""
    frame = _log(values, name)
    for source in (frame, *_sources(frame, tmp_path)[2:]):
        assert read(source).time_kind == "order", source


def test_missing_values_hide_no_time(tmp_path):
    """One order without its time, and the whole log was in the order of its rows."""
    frame = _log(["2024-03-01", None, "2024-03-02"])
    for source in _sources(frame, tmp_path):
        with pytest.raises(DataError, match="'seen on' holds dates of ISO 8601"):
            read(source)


def test_of_an_index_without_a_name_it_says_how_to_make_a_column():
    """`time="__index_level_0__"` is no name that its owner knows."""
    table = pd.DataFrame({"user": ["a", "a"], "item": [1, 2]}, index=[SECONDS + 1, SECONDS])
    with pytest.raises(DataError, match=r"the index holds numbers .* has no name; make it a column: .reset_index"):
        read(table)
    assert read(table.reset_index(names="time")).frame["item"].to_list() == [2, 1]


@pytest.mark.parametrize("name", ["event_ts", "ts_ms", "visited_at", "purchase_date", "reviewTime", "when"])
def test_more_names_of_the_time_are_known(name):
    log = read(_log([SECONDS + 500, SECONDS, SECONDS + 900], name))
    assert (log.time_kind, log.frame["item"].to_list()) == ("clock", [1, 0, 2])
