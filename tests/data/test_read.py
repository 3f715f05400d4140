"""What is read, from every kind of source, and what is accepted and counted."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from siftrec.data.read import read
from siftrec.data.readers.arrow import write
from siftrec.data.readers.columns import KNOWN, plain
from siftrec.data.titles import titles
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not SHARED.exists(), reason="the real data sets are not beside the project")

LOG = pl.DataFrame(
    {
        "uid": ["b", "a", "a", "b", "007"],
        "vid": ["x", "007", "x", "y", "x"],
        "ts": [30, 20, 10, 31, 5],
    }
)
SORTED = [("007", "x", 5, 4), ("a", "x", 10, 2), ("a", "007", 20, 1), ("b", "x", 30, 0), ("b", "y", 31, 3)]
MICRO = 1_000_000


def rows(events, scale=MICRO):
    return [(u, i, t // scale, r) for u, i, t, r in events.frame.select("user", "item", "time", "row").iter_rows()]


def put(folder: Path, name: str, data) -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def sources(folder: Path):
    csv, tsv = LOG.write_csv(), LOG.write_csv(separator="\t")
    jsonl = "".join(json.dumps(row) + "\n" for row in LOG.to_dicts())
    yield put(folder, "a.csv", csv)
    yield put(folder, "a.csv.gz", gzip.compress(csv.encode()))
    yield put(folder, "quoted.csv", LOG.write_csv(quote_style="always"))
    yield put(folder, "crlf.csv", csv.replace("\n", "\r\n"))
    yield put(folder, "bom.csv", b"\xef\xbb\xbf" + csv.encode())
    yield put(folder, "cut.csv", csv.rstrip("\n"))
    yield put(folder, "blank.csv", csv.replace("\n", "\n\n"))
    for name, text in (("above.csv", csv), ("above.tsv", tsv), ("above.inter", tsv)):
        yield put(folder, name, f"\n\n{text}")
        yield put(folder, f"bom_{name}", ("\ufeff\r\n" + text.replace("\n", "\r\n")).encode())
    yield put(folder, "a.tsv", tsv)
    yield put(folder, "a.tsv.gz", gzip.compress(tsv.encode()))
    yield put(folder, "a.inter", tsv.replace("uid", "uid:token").replace("ts", "ts:float"))
    yield put(folder, "a.jsonl", jsonl)
    yield put(folder, "bom.jsonl", b"\xef\xbb\xbf" + jsonl.encode())
    yield put(folder, "a.ndjson.gz", gzip.compress(jsonl.encode()))
    LOG.write_parquet(folder / "a.parquet")
    yield folder / "a.parquet"
    LOG.write_ipc(folder / "a.arrow")
    yield folder / "a.arrow"
    LOG.write_ipc_stream(folder / "stream.arrow")
    yield folder / "stream.arrow"
    pa.feather.write_feather(LOG.to_arrow(), folder / "a.feather")
    yield folder / "a.feather"
    yield LOG
    yield LOG.lazy()
    yield LOG.to_arrow()
    yield pd.DataFrame(LOG.to_dict(as_series=False))
    yield LOG.with_columns(pl.col("uid").cast(pl.Categorical))


def test_every_source_gives_the_same_log(tmp_path):
    for source in sources(tmp_path):
        events = read(source)
        name = getattr(source, "name", type(source))
        assert rows(events) == SORTED, name
        assert events.time_kind == "clock", name
        assert events.notes.get("unsorted rows") == 1, name
        assert events.notes.get("byte-order mark", 0) == ("bom" in str(name)), name


def test_blank_lines_above_a_header_are_no_rows(tmp_path):
    """The header would be an interaction, a title and an id, and `sift` would weight the row before each."""
    log = read(put(tmp_path, "a.csv", '\r\n\r\n"user",item\r\n\r\na,x\r\nb,y\r\n'))
    assert log.frame.select("user", "item", "row").rows() == [("a", "x", 0), ("b", "y", 1)]
    assert titles(put(tmp_path, "t.csv", "\nitem,title\n1,one\n")).rows() == [("1", "one")]
    with pytest.raises(DataError, match="has no interactions"):
        read(put(tmp_path, "b.csv", "\n\nuser,item\n"))


def test_columns_may_be_named(tmp_path):
    frame = LOG.rename({"uid": "who", "vid": "what", "ts": "when"})
    assert rows(read(frame, user="who", item="what", time="when")) == SORTED
    with pytest.raises(DataError, match="no column is recognised as the user among 'who', 'what', 'when'"):
        read(frame)
    with pytest.raises(DataError, match="no column 'whoo' for user=; did you mean 'who'"):
        read(frame, user="whoo", item="what")


@pytest.mark.parametrize("user", ["user", "user_id", "uid", "userId", "UserID", "user_id:token"])
@pytest.mark.parametrize("item", ["item", "item_id", "video_id", "vid", "movieId", "item_id:token"])
def test_columns_are_recognised(user, item):
    assert len(read(pl.DataFrame({user: [1, 2], item: [3, 4]}))) == 2


def test_a_time_is_found_by_rarer_names_where_there_is_no_usual_one():
    """Unfound, the order of the rows would stand for the order of events, and nobody would be told."""
    frame = pl.DataFrame({"user": [1, 1], "item": [3, 4], "created_at": [1_500_000_001, 1_500_000_000]})
    assert (read(frame).frame["item"].to_list(), read(frame).time_kind) == ([4, 3], "clock")
    both = frame.with_columns(timestamp=pl.Series([5, 6]))
    assert read(both).frame["item"].to_list() == [3, 4]


def test_a_rarer_name_plays_no_second_part_and_can_be_refused():
    frame = pl.DataFrame({"user": [1, 1], "item": [3, 4], "date": ["1", "0"], "created": ["31/01/2024", "?"]})
    assert read(frame, label="date", time="").frame["label"].to_list() == [1, 0]
    with pytest.raises(DataError, match="columns 'date' and 'created' could both be the time; name one of them"):
        read(frame)
    with pytest.raises(DataError, match="time '31/01/2024' is not a number"):
        read(frame.drop("date"))
    assert read(frame, time="").time_kind == "order"


@pytest.mark.parametrize("kind", [pl.Int64, pl.String])
def test_days_written_as_numbers_are_days(kind):
    days = pl.Series("time", [20240301, 20240229], dtype=pl.Int64)
    events = read(pl.DataFrame({"user": [1, 1], "item": [1, 2], "time": days.cast(kind)}))
    assert events.frame["time"].to_list() == [1_709_164_800_000_000, 1_709_251_200_000_000]
    unknown = read(pl.DataFrame({"user": [1, 1], "item": [1, 2], "time": [0.0, 20240301.0]}))
    assert unknown.frame["time"].to_list() == [0, 1_709_251_200_000_000]
    with pytest.raises(DataError, match="time 20240230 is no day of the calendar, as most are"):
        read(pl.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3], "time": [20240229, 20240301, 20240230]}))
    seconds = read(pl.DataFrame({"user": [1, 1], "item": [1, 2], "time": [20240230, 20240299]}))
    assert seconds.frame["time"].to_list() == [20_240_230_000_000, 20_240_299_000_000]


@pytest.mark.parametrize("labels", [("1", "0"), ("1.0", "0.0"), ("true", "False"), ("TRUE", "false")])
def test_a_label_is_a_number_or_a_truth(tmp_path, labels):
    text = f"user,item,label\nu,a,{labels[0]}\nu,b,{labels[1]}\n"
    assert read(put(tmp_path, "a.csv", text)).frame["label"].to_list() == [1, 0]


def test_ids_that_were_hardly_meant_are_counted(tmp_path):
    """They stay what they are, for a film may be called None; unsaid, gaps would be recommended as an item."""
    events = read(put(tmp_path, "a.csv", "user,item,time\nu,nan,1\nu,NaN,2\nv, x,3\nv,x,4\nw,007,5\nw,7,6\nw,0,7\n"))
    assert events.notes == {
        "item ids with leading zeros, which are kept": 1,
        "item ids that read like a missing value, NaN, nan": 2,
        "item ids with a blank before or after": 1,
    }


def test_weights_that_were_not_asked_for_are_noted():
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 2], "time": [1, 2], "weight": [0.5, 1.0]})
    assert read(frame).notes == {"rows with weights, read from the column 'weight' for its name": 2}
    assert read(frame, weight="weight").notes == read(frame, weight="").notes == {}


def test_columns_taken_by_name_are_shown_where_the_log_is():
    """A column `weight` of kilograms, or `label` of classes, changed what was learned, and no notebook said so."""
    frame = pl.DataFrame({"user": [1, 1], "item": [1, 2], "time": [1, 2], "label": [1, 0], "weight": [0.5, 1.0]})
    log = read(frame)
    assert log.notes["rows with labels, read from the column 'label' for its name"] == 2
    assert repr(log).endswith("time: clock, from memory; taken by name: label, weight)")
    assert "taken by name: label, weight" in log._repr_html_()
    assert "taken by name: label, weight" in repr(log.core(1))
    assert repr(read(frame, weight="weight")).endswith("taken by name: label)")
    assert "by name" not in repr(read(frame, weight="", label="label"))
    assert "by name" not in repr(read(frame.drop("label", "weight")))


def test_typed_ids_keep_their_type_and_text_stays_text(tmp_path):
    frame = pl.DataFrame({"user": [3, 1], "item": [7, 8]}, schema={"user": pl.UInt32, "item": pl.Int64})
    events = read(frame)
    assert events.frame["user"].dtype == pl.UInt32
    assert events.frame["item"].dtype == pl.Int64
    events = read(put(tmp_path, "a.csv", "user,item\n007,1e3\n7,NA\n"))
    assert events.frame["user"].to_list() == ["007", "7"]
    assert events.frame["item"].to_list() == ["1e3", "NA"]


def test_jsonl_letters_may_be_written_as_pairs_and_cut_in_what_is_not_read(tmp_path):
    """Titles that were cut off in the middle of a letter are no reason to refuse a log."""
    line = r'{"user": "\ud83d\ude00", "item": "\\ud83d", "title": "a\ud83d"}'
    assert read(put(tmp_path, "a.jsonl", line)).frame.select("user", "item").rows() == [("😀", r"\ud83d")]


def test_jsonl_ids_written_as_numbers_become_text(tmp_path):
    events = read(put(tmp_path, "a.jsonl", '{"user": 7, "item": "a"}\n\n{"item": 3, "user": "007", "more": [1]}\n'))
    assert events.frame.select("user", "item").rows() == [("007", "3"), ("7", "a")]


@pytest.mark.parametrize(
    "times",
    [
        [1_500_000_000, 1_500_000_001],
        [1_500_000_000_000, 1_500_000_001_000],
        [1_500_000_000_000_000, 1_500_000_001_000_000],
        [1_500_000_000.0, 1_500_000_001.0],
        ["1500000000", "1500000001"],
        ["1500000000.0", "1.500000001e9"],
        ["2017-07-14T02:40:00", "2017-07-14T02:40:01"],
        ["2017-07-14 02:40:00", "2017-07-14 02:40:01"],
        ["2017-07-14 02:40:00 UTC", " 2017-07-14 02:40:01 UTC"],
        [1_500_000_000 * 10**9, 1_500_000_001 * 10**9],
        pl.Series([1_500_000_000_000, 1_500_000_001_000]).cast(pl.Datetime("ms")),
        pl.Series([1_500_000_000 * 10**9, 1_500_000_001 * 10**9]).cast(pl.Datetime("ns", "Europe/Berlin")),
    ],
)
def test_every_spelling_of_a_time_becomes_microseconds_utc(times):
    events = read(pl.DataFrame({"user": [1, 1], "item": [1, 2], "time": times}))
    assert events.frame["time"].to_list() == [1_500_000_000_000_000, 1_500_000_001_000_000]


def test_without_a_clock_the_order_in_the_source_counts():
    events = read(pl.DataFrame({"user": ["b", "a", "b", "a", "b"], "item": [5, 4, 3, 2, 1]}))
    assert events.time_kind == "order"
    assert events.frame.rows() == [("a", 4, 0, 1), ("a", 2, 1, 3), ("b", 5, 0, 0), ("b", 3, 1, 2), ("b", 1, 2, 4)]
    assert events.notes == {"rows without a time, in the order of the source": 5}


def test_what_is_accepted_is_counted():
    frame = pl.DataFrame({"user": [1, 1, 1, 1, 2], "item": [5, 5, 6, 7, 5], "time": [9, 9, 9, 3, 9]})
    assert read(frame).notes == {"unsorted rows": 1, "equal times": 2, "duplicate rows": 1}


@pytest.mark.parametrize("kind", [pl.Int16, pl.UInt16, pl.Int32, pl.UInt32, pl.UInt64])
def test_times_of_a_narrow_type_are_read_as_any_others(kind):
    """Seconds of 32 bits, as databases write them, ended every command with an internal error."""
    seconds = [0, 60, 9_000] if "16" in str(kind) else [1_600_000_000, 1_600_000_060, 1_600_009_000]
    frame = pl.DataFrame({"user": [1, 1, 2], "item": [5, 6, 5], "time": seconds})
    assert read(frame.cast({"time": kind})) == read(frame)


ZEROS = "times of 0, read as 1970-01-01"


def test_a_time_of_zero_among_later_ones_is_counted():
    """Who writes 0 for a missing time had it read as the oldest interaction of all, and nothing said so."""
    times = [0, 1_600_000_000, 0, 1_600_000_060]
    frame = pl.DataFrame({"user": [1, 1, 2, 2], "item": [5, 6, 5, 6], "time": times})
    assert read(frame).notes[ZEROS] == 2
    assert read(frame.with_columns(pl.from_epoch("time"))).notes[ZEROS] == 2
    for small in (frame.with_columns(time=pl.Series([0, 60, 0, 3600])), frame.with_columns(time=pl.lit(0))):
        assert ZEROS not in read(small).notes


def test_other_parts_are_kept_and_typed(tmp_path):
    text = "user,item,label,weight,rating,split\na,x,1,0.5,4.5,train\na,y,0,1,3,test\n"
    frame = read(put(tmp_path, "a.csv", text)).frame
    assert frame.drop("user", "item", "time", "row").rows() == [(1, 0.5, 4.5, "train"), (0, 1.0, 3.0, "test")]


ids = st.text(st.characters(exclude_characters="\0\r\n\t \"'\x85\u2028\u2029", exclude_categories=("Cs",)), min_size=1)


@given(st.lists(st.tuples(ids, ids, st.integers(0, 4_000_000_000)), min_size=1, max_size=20))
def test_csv_and_parquet_give_back_what_was_written(tmp_path_factory, log):
    folder = tmp_path_factory.mktemp("log")
    frame = pl.DataFrame(log, schema=["user", "item", "time"], orient="row")
    frame.write_csv(folder / "a.csv")
    events = read(folder / "a.csv")
    expected = sorted(((u, i, t * MICRO, row) for row, (u, i, t) in enumerate(log)), key=lambda e: (e[0], e[2], e[3]))
    assert events.frame.rows() == expected
    write(events, folder / "a.parquet")
    assert read(folder / "a.parquet").frame.drop("row").equals(events.frame.drop("row"))


@given(st.dictionaries(ids, st.lists(ids, min_size=1, max_size=8), min_size=1, max_size=8))
def test_pairs_are_positions_in_a_list(tmp_path_factory, lists):
    path = tmp_path_factory.mktemp("log") / "some_pairs.tsv"
    first = next(iter(lists))
    assume(not (plain(first) in KNOWN["user"] and plain(lists[first][0]) in KNOWN["item"]))
    path.write_text("".join(f"{user}\t{' '.join(items)}\n" for user, items in lists.items()), "utf-8")
    flat = [(user, item) for user, items in lists.items() for item in items]
    expected = [
        (user, item, at, flat_row) for user in sorted(lists) for at, (item, flat_row) in enumerate(_own(flat, user))
    ]
    assert read(path).frame.rows() == expected


def _own(flat, user):
    return [(item, row) for row, (owner, item) in enumerate(flat) if owner == user]


def test_a_history_of_a_hundred_thousand(tmp_path):
    items = [f"item-number-{n}" for n in range(200_000)]
    events = read(put(tmp_path, "x_pairs.tsv", f"9\t1\n1\t{' '.join(items)}\n"))
    assert events.frame["item"].to_list() == [*items, "1"]


def test_an_order_survives_parquet_and_arrow(tmp_path):
    events = read(put(tmp_path, "x_pairs.tsv", "9\t3 1 2\n10\t1 1\n"))
    write(events, tmp_path / "a.parquet")
    pa.feather.write_feather(pa.parquet.read_table(tmp_path / "a.parquet"), tmp_path / "a.arrow")
    for name in ("a.parquet", "a.arrow"):
        again = read(tmp_path / name)
        assert again.time_kind == "order"
        assert again.frame.drop("row").equals(events.frame.drop("row"))


def test_movielens_without_a_header(tmp_path):
    expected = [("1", "10", 978300760 * MICRO, 0, 5.0), ("2", "11", 978302109 * MICRO, 1, 3.0)]
    for name, separator in (("ratings.dat", "::"), ("u.data", "\t")):
        lines = [separator.join(row) + "\n" for row in (["1", "10", "5", "978300760"], ["2", "11", "3", "978302109"])]
        assert read(put(tmp_path, name, "".join(lines))).frame.rows() == expected
        packed = gzip.compress("".join(lines).encode())
        assert read(put(tmp_path, f"{name}.gz", packed)).frame.rows() == expected


def test_microlens_csv_has_milliseconds(tmp_path):
    put(tmp_path, "MicroLens-50k_pairs.tsv", "1\t5\n")
    put(tmp_path, "MicroLens-50k_pairs.csv", "user,item,timestamp\n1,5,1583378629552\n")
    events = read(tmp_path)
    assert events.time_kind == "clock"
    assert events.frame["time"].to_list() == [1583378629552000]


@real
@pytest.mark.parametrize(
    ("name", "users", "items", "events", "kind"),
    [
        ("microlens50k", 50_000, 19_220, 359_708, "order"),
        ("ml1m", 6_040, 3_416, 994_083, "order"),
        ("ml_latest_small", 671, 9_066, 100_004, "clock"),
        ("ml100k", 943, 1_682, 100_000, "clock"),
    ],
)
def test_real_data(name, users, items, events, kind):
    log = read(SHARED / name)
    assert (len(log.users), len(log.items), len(log), log.time_kind) == (users, items, events, kind)
    assert log.frame["row"].sort().equals(pl.Series("row", np.arange(events)))


@real
def test_microlens_pairs_become_sequences_at_a_million_a_second():
    best = np.inf
    for _ in range(3):
        begin = time.process_time()
        log = read(SHARED / "microlens50k" / "MicroLens-50k_pairs.tsv")
        sequences = log.sequences(log.users, Vocab.of(log.items))
        best = min(best, time.process_time() - begin)
    assert len(sequences.items) == 359_708
    assert len(log) / best > 1_000_000


@real
@pytest.mark.parametrize(
    ("path", "item", "title"),
    [
        ("microlens50k/MicroLens-50k_titles.csv", "3", "This sudden reversal"),
        ("microlens50k/items.tsv", "3", "This sudden reversal"),
        ("ml100k/ml-100k.item", "2", "GoldenEye"),
        ("ml_latest_small/movies.csv", "1", "Toy Story (1995)"),
    ],
)
def test_real_titles(path, item, title):
    table = titles(SHARED / path)
    assert table.columns == ["item", "title"]
    assert table["item"].is_unique().all()
    assert table.filter(pl.col("item") == item)["title"][0].startswith(title)


def test_titles_of_parquet_and_without_columns(tmp_path):
    pl.DataFrame({"item": [1, 2], "title": ["a", None]}).write_parquet(tmp_path / "t.parquet")
    assert titles(tmp_path / "t.parquet").rows() == [("1", "a")]
    with pytest.raises(DataError, match="needs a column 'item' and a column 'title', not a, b"):
        titles(put(tmp_path, "t.csv", "a,b\n1,2\n"))


@pytest.mark.slow
def test_ten_million_events_fit_in_memory(tmp_path):
    pytest.importorskip("resource")
    rng = np.random.default_rng(0)
    n = 10_000_000
    users, items, times = rng.integers(0, 1_000_000, n), rng.integers(0, 300_000, n), rng.integers(10**9, 2 * 10**9, n)
    frame = pl.DataFrame({"user": users, "item": items, "time": times})
    frame.write_csv(tmp_path / "big.csv")
    del frame
    script = (
        "import resource, sys; from siftrec.data.read import read; e = read(sys.argv[1]); assert len(e) == 10_000_000;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "big.csv")]
    kilobytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert kilobytes < 1.5e6
