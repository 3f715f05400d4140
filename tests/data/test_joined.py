"""Folders of Parquet files that are one log."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from siftrec import read
from siftrec.data.layout import sniff
from siftrec.data.readers.arrow import write_table
from siftrec.data.writers.rewrite import check_target, refuse_log
from siftrec.errors import DataError, UsageError

START = 1_600_000_000
ROWS = [(f"u{n % 5}", f"i{n % 7}", START + n) for n in range(36)]
LOG = pl.DataFrame(ROWS, schema=["user_id", "item_id", "ts"], orient="row")
TIMELESS = LOG.drop("ts")
UUID = ("3f2b8a64-91c0-4d5e-8a7b-0c1d2e3f4a5b", "9a8b7c6d-1234-4abc-9def-0123456789ab")


def written(folder: Path, tables: dict[str, pl.DataFrame]) -> Path:
    for name, table in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(folder / name)
    return folder


def cut(log: pl.DataFrame, names: str, count: int) -> dict[str, pl.DataFrame]:
    return {names.format(n): log.slice(n * len(log) // count, len(log) // count) for n in range(count)}


@pytest.mark.parametrize("names", ["part-{:05}-" + UUID[0] + "-c000.snappy.parquet", "part.{}.parquet", "{}.parquet"])
def test_parts_that_a_cluster_wrote_are_the_log_that_one_file_would_be(tmp_path: Path, names: str) -> None:
    """Who followed "name the file that is the log" trained on a twelfth of it; `part.10` is behind `part.9`."""
    written(tmp_path, {"whole/log.parquet": TIMELESS})
    parts = written(tmp_path / "parts", cut(TIMELESS, names, 12))
    for beside in ("_SUCCESS", ".part-00000.crc", "items.tsv", "feat_text.npy", "feat_text.parquet"):
        (parts / beside).touch()
    events = read(parts)
    assert events == read(tmp_path / "whole")
    assert events.notes["files read as one log"] == 12
    assert (sniff(parts).log, sniff(parts).published) == (parts, False)


def test_parts_of_two_writings_and_parts_without_rows_are_parts(tmp_path: Path) -> None:
    tables = {f"part-0-{UUID[0]}.parquet": LOG[:0], f"part-0-{UUID[1]}.parquet": LOG[:9], "part-1-%s.parquet": LOG[9:]}
    written(tmp_path, {name.replace("%s", UUID[0]): table for name, table in tables.items()})
    assert len(read(tmp_path)) == len(LOG)


def test_a_single_part_is_a_file_and_is_written_again_as_one(tmp_path: Path) -> None:
    written(tmp_path, {"part-0.parquet": LOG})
    assert sniff(tmp_path).log == tmp_path / "part-0.parquet"


@pytest.mark.parametrize(("named", "kind"), [({}, "clock"), ({"time": "day"}, "clock"), ({"time": ""}, "order")])
def test_a_folder_of_days_is_one_log_and_its_keys_are_columns_where_they_are_named(
    tmp_path: Path, named: dict[str, str], kind: str
) -> None:
    days = ("2021-01-01", "2021-01-02")
    written(tmp_path, {f"day={day}/site=A%2FB/part-0.parquet": LOG[n::2] for n, day in enumerate(days)})
    events = read(tmp_path, rating="", **named)
    assert (len(events), events.time_kind) == (len(LOG), kind)
    keys = "site" if named.get("time") else "day, site"
    assert events.notes[f"files read as one log, without {keys} of their folders' names"] == 2
    if named.get("time"):
        assert events.span == "from 2021-01-01T00:00:00+00:00 to 2021-01-02T00:00:00+00:00"
    sites = read(tmp_path, user="site", **named)
    assert sites.users.to_list() == ["A/B"]


def test_a_key_without_a_value_is_no_id(tmp_path: Path) -> None:
    written(tmp_path, {"shop=__HIVE_DEFAULT_PARTITION__/x.parquet": LOG[:2], "shop=a/x.parquet": LOG[2:]})
    with pytest.raises(DataError, match=r"__/x\.parquet: row 1, column 'shop': user is empty"):
        read(tmp_path, user="shop")


def test_what_is_wrong_in_a_part_is_told_with_its_file_and_the_row_in_it(tmp_path: Path) -> None:
    tables = cut(LOG, "part-{}.parquet", 12)
    tables["part-7.parquet"] = LOG[21:24].with_columns(pl.Series("ts", [START, START, -5]))
    written(tmp_path, tables)
    with pytest.raises(DataError, match=r"part-7\.parquet: row 3, column 'ts': time -5 is negative"):
        read(tmp_path)
    (tmp_path / "part-7.parquet").write_bytes(b"PAR1, once")
    with pytest.raises(DataError, match=r"part-7\.parquet: is not a readable Parquet file"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (LOG.with_columns(weight=0.5), "weight"),
        (LOG.drop("ts"), "ts"),
        (LOG.with_columns(pl.col("ts").cast(pl.String)), "ts"),
    ],
)
def test_a_part_with_other_columns_is_refused_not_filled_up(tmp_path: Path, table: pl.DataFrame, column: str) -> None:
    written(tmp_path, {"part-0.parquet": LOG, "part-1.parquet": table})
    with pytest.raises(DataError, match=rf"part-1\.parquet: column '{column}' is not as in .*part-0\.parquet"):
        read(tmp_path)


def test_a_part_whose_time_is_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Seconds among siftrec's microseconds would be twenty minutes of 1970."""
    log = LOG.rename({"ts": "time"})
    written(tmp_path, {"part-1.parquet": log})
    write_table(log.with_columns(pl.col("time") * 1_000_000), tmp_path / "part-0.parquet", "clock")
    with pytest.raises(DataError, match=r"part-1\.parquet: column 'time' is not as in"):
        read(tmp_path)


def test_columns_that_nobody_reads_may_have_another_type(tmp_path: Path) -> None:
    price = [LOG.with_columns(price=pl.lit(value)) for value in (None, 1.5)]
    written(tmp_path, {"part-0.parquet": price[0], "part-1.parquet": price[1]})
    assert len(read(tmp_path)) == 2 * len(LOG)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (
            ["raw.parquet", "cleaned.parquet"],
            r"holds cleaned\.parquet and raw\.parquet; name the file .* part-0\.parquet",
        ),
        (["log.parquet", "log2.parquet"], r"holds log\.parquet and log2\.parquet"),
        (["train-1.parquet", "test-1.parquet"], "name the file that is the log"),
        (["users.parquet", "part-0.parquet", "part-1.parquet"], "name the file that is the log"),
        (
            ["part-0.parquet", "part-1.parquet", "_delta_log/00.checkpoint.parquet"],
            "is a Delta table, some of whose files",
        ),
    ],
)
def test_files_that_may_be_two_logs_or_none_are_not_joined(tmp_path: Path, names: list[str], problem: str) -> None:
    """A log beside what `siftrec sift --drop` made of it would have been read twice."""
    written(tmp_path, dict.fromkeys(names, LOG))
    with pytest.raises(DataError, match=problem):
        read(tmp_path)


def test_a_pattern_of_names_is_told_to_be_the_folder(tmp_path: Path) -> None:
    written(tmp_path, cut(LOG, "part-{}.parquet", 2))
    with pytest.raises(DataError, match=r"\*\.parquet: does not exist; name the folder"):
        read(tmp_path / "*.parquet")


def test_nothing_is_written_among_the_parts_nor_as_parts(tmp_path: Path) -> None:
    """`--write parts/log.parquet` would be a part of the log when it is read next, or take the place of one."""
    parts = written(tmp_path / "parts", cut(LOG, "part-{}.parquet", 2))
    for out in ("part-0.parquet", "part-2.parquet"):
        with pytest.raises(UsageError, match=r"would stand among the files of the log"):
            refuse_log(sniff(parts), parts / out)
    refuse_log(sniff(parts), parts / "exp.toml")
    with pytest.raises(UsageError, match=r"holds the log in several files; make one of them: siftrec data .*--write"):
        check_target(parts, tmp_path / "out.parquet", drop=False)


def test_a_folder_that_is_called_like_a_file_is_read(tmp_path: Path) -> None:
    """Spark writes a folder `log.parquet`."""
    written(tmp_path / "log.parquet", cut(LOG, "part-{}.parquet", 2))
    found: list[Any] = [read(tmp_path / "log.parquet"), read(tmp_path)]
    assert found[0] == found[1]
