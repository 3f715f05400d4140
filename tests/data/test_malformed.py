"""Every kind of broken log: exit code 3, one line with file, line and column, and nothing written."""

import datetime as dt
import gzip
import uuid

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from commanded import refused
from siftrec.data.layout import sniff
from siftrec.data.read import read
from siftrec.data.readers.arrow import write_table
from siftrec.data.titles import titles
from siftrec.errors import DataError
from siftrec.modality.precomputed import features

HEAD = "user,item,time\n"
GOOD = HEAD + "a,x,1500000000\nb,y,1500000001\n"
LATIN = "user,item,time\na,x,1500000000\nb,café,1500000001\n".encode("latin-1")
NOTED = "user,item,note\n"
JSON = '{"user": "a", "item": "x", "time": 1}\n'

TEXTS = {
    # name: (file name, bytes, where after the file name, part of the problem)
    "empty": ("a.csv", "", "", "is empty"),
    "only blank lines": ("a.csv", "\n\n", "", "is empty"),
    "only a byte-order mark": ("a.csv", b"\xef\xbb\xbf", "", "is empty"),
    "header only": ("a.csv", HEAD, "", "has no interactions"),
    "header only, cut": ("a.csv", "user,item,time", "", "has no interactions"),
    "no header": ("a.csv", "a,x,1500000000\nb,y,1500000001\n", "", "no column is recognised as the user"),
    "UTF-16": ("a.csv", GOOD.encode("utf-16"), ":1:1", "is UTF-16"),
    "UTF-16 without a mark": ("a.csv", GOOD.encode("utf-16-le"), ":1:2", "NUL"),
    "Latin-1": ("a.csv", LATIN, ":3:6", "not UTF-8"),
    "UTF-8 cut inside a letter": ("a.csv", GOOD.encode() + b"c,\xc3", ":4:3", "not UTF-8"),
    "NUL": ("a.csv", GOOD.replace("y", "\0"), ":3:3", "NUL"),
    "CR only": ("a.csv", GOOD.replace("\n", "\r"), ":1", "CR alone"),
    "last line cut": ("a.csv", GOOD + "c,x", ":4:3", "2 fields where 3 are needed"),
    "truncated gzip": ("a.csv.gz", gzip.compress(GOOD.encode() * 99)[:-20], "", "gzip stream is damaged or cut off"),
    "no gzip": ("a.csv.gz", GOOD, "", "gzip stream is damaged or cut off"),
    "wrong separator": ("a.csv", GOOD.replace(",", ";"), ":1", "separated by ';', not by ','"),
    "tabs in a csv": ("a.csv", GOOD.replace(",", "\t"), ":1", "separated by '\\t', not by ','"),
    "commas in a tsv": ("a.tsv", GOOD, ":1", "separated by ',', not by '\\t'"),
    "unbalanced quote": ("a.csv", HEAD + 'a,x,1500000000\nb,"y,1500000001\n', ":3", "a double quote is never closed"),
    "unbalanced quote after one inside a field": (
        "a.csv",
        NOTED + 'a,x,5" disk\nb,y,"q\nc,z,r\n',
        ":3",
        "never closed",
    ),
    "unbalanced quote in the last line": ("a.csv.gz", gzip.compress((GOOD + 'c,z,"').encode()), ":4", "never closed"),
    "two unbalanced quotes": ("a.csv", HEAD + 'a,x,1\nb,"y,2\nc,z",3\n', ":3:3", "runs over a line end"),
    "extra field": ("a.csv", GOOD + "c,z,1500000002,9\n", ":4:5", "4 fields where 3 are needed"),
    "missing field": ("a.csv", HEAD + "a,x\n" + "b,y,1500000001\n", ":2:3", "2 fields where 3 are needed"),
    "missing field after a quoted one": ("a.csv", HEAD + '"a,""b",xx\n', ":2:9", "2 fields where 3 are needed"),
    "duplicate column": ("a.csv", "user,item,user\na,x,b\n", "", "column 'user' occurs twice"),
    "two users": ("a.csv", "user,uid,item\na,b,x\n", "", "'user' and 'uid' could both be the user"),
    "no header but numbers": (
        "a.tsv",
        "196\t196\t881250949\n186\t302\t891717742\n",
        "",
        "its columns are called '196', '196', '881250949': a header line seems to be missing; write one above all others",
    ),
    "columns that are counted": (
        "a.csv",
        "0,1,2\n5,6,7\n",
        "",
        "no column is recognised as the user among '0', '1', '2'",
    ),
    "no item column": ("a.csv", "user,thing\na,x\n", "", "no column is recognised as the item"),
    "empty user": ("a.csv", GOOD + ",z,1500000002\n", ":4:1", "user is empty"),
    "empty item": ("a.csv", GOOD + "cc,,1500000002\n", ":4:4", "item is empty"),
    "empty item in quotes": ("a.csv", HEAD + 'a,x,1\n\n"c,d","",2\n', ":4:7", "item is empty"),
    "empty time": ("a.csv", GOOD + "c,z,\n", ":4:5", "time is empty"),
    "text for a time": ("a.csv", GOOD + "c,z,soon\n", ":4:5", "time 'soon' is not a number"),
    "NaN for a time": ("a.csv", GOOD + "c,z,NaN\n", ":4:5", "time 'NaN' is not a finite number"),
    "infinite time": ("a.csv", GOOD + "c,z,inf\n", ":4:5", "time 'inf' is not a finite number"),
    "negative time": ("a.csv", GOOD + "c,z,-5\n", ":4:5", "time '-5' is negative"),
    "seconds and milliseconds": ("a.csv", GOOD + "c,z,1500000002000\n", ":2:5", "is not in milliseconds"),
    "milliseconds and seconds": ("a.csv", HEAD + "a,x,1500000002000\nb,y,15\n", ":3:5", "one unit is needed"),
    "far future": ("a.csv", GOOD + "c,z,5000000000\n", ":4:5", "time '5000000000' is after the year 2100"),
    "no number of a clock": ("a.csv", GOOD + "c,z,9" + "0" * 30 + "\n", ":4:5", "after the year 2100"),
    "odd date": ("a.csv", HEAD + "a,x,2020-01-01T00:00:00\nb,y,Tuesday\n", ":3:5", "not like the first one"),
    "a day before the year": ("a.csv", HEAD + "a,x,03-04-2024\nb,y,2024-04-05\n", ":2:5", "is not a time; ISO 8601 is"),
    "days before the year": ("a.csv", HEAD + "a,x,03-04-2024 10:30\n", ":2:5", "is not a time; ISO 8601 is"),
    "a day before the year at last": ("a.csv", HEAD + "a,x,2024-04-05\nb,y,03-04-2024\n", ":3:5", "not like the first"),
    "a date before 1970": ("a.csv", HEAD + "a,x,1960-01-01T00:00:00\n", ":2:5", "before 1970"),
    "a date after 2100": ("a.csv", HEAD + "a,x,2160-01-01T00:00:00\n", ":2:5", "after the year 2100"),
    "unknown split": ("a.csv", "user,item,split\na,x,train\na,y,dev\n", ":3:5", "split 'dev' is none of train"),
    "empty split": ("a.csv", "user,item,split\na,x,\n", ":2:5", "split '' is none of train"),
    "label 2": ("a.csv", "user,item,label\na,x,1\na,y,2\n", ":3:5", "label '2' is neither 0 nor 1"),
    "text for a label": ("a.csv", "label,user,item\nyes,a,x\n", ":2:1", "label 'yes' is not a number"),
    "weight above 1": (
        "a.csv",
        "user,item,weight\na,x,1.5\n",
        ":2:5",
        "weight '1.5' is not between 0 and 1; weight='' leaves the column out",
    ),
    "infinite weight": ("a.csv", "user,item,weight\na,x,inf\n", ":2:5", "weight 'inf' is not a finite number"),
    "empty rating": ("a.csv", "user,item,rating\na,x,\n", ":2:5", "rating '' is not a number"),
    "NaN rating": ("a.csv", "user,item,rating\na,x,nan\n", ":2:5", "rating 'nan' is not a finite number"),
    "broken JSON": ("a.jsonl", '{"user": "a", "item": "x"}\n{"user": "b", "item"\n', ":2:", "broken JSON"),
    "JSON cut": ("a.jsonl", '{"user": "a", "item": "x"}\n{"user": "b", "it', ":2:", "broken JSON"),
    "JSON list": ("a.jsonl", '{"user": "a", "item": "x"}\n["b", "y"]\n', ":2:1", "is not a JSON object"),
    "JSON without item": ("a.jsonl", '{"user": "a", "item": "x"}\n\n{"user": "b"}\n', ":3", "item is empty"),
    "JSON null user": ("a.jsonl", '{"user": null, "item": "x"}\n{"user": "a", "item": "x"}\n', ":1", "user is empty"),
    "JSON fraction as id": ("a.jsonl", '{"user": 1.5, "item": "x"}\n', ":1", "ids are text or whole numbers"),
    "JSON truth as time": ("a.jsonl", '{"user": 1, "item": 2, "time": true}\n', ":1", "numbers, ISO 8601 text or"),
    "JSON NaN": (
        "a.jsonl",
        JSON + '{"user": "NaN", "item": "x", "time": NaN}\n',
        ":2:38",
        "NaN is not a finite number",
    ),
    "JSON too large": ("a.jsonl", JSON + '{"user": 1, "item": 2, "time": -1e999}\n', ":2:32", "-1e999 is not a finite"),
    "JSON nested deep": ("a.jsonl", JSON + '{"x": ' + "[" * 3000 + "\n", ":2", "nested too deep"),
    "JSON half a letter": (
        "a.jsonl",
        JSON + r'{"user": "u\ud83d", "item": "x"}',
        ":2",
        r"'user' is 'u\ud83d', where \ud83d",
    ),
    "JSON other half of one": (
        "a.jsonl",
        JSON + r'{"user": "u", "item": "\uDE00"}',
        ":2",
        r"'item' is '\ude00', where",
    ),
    "pairs without a tab": ("a_pairs.tsv", "1\t5 6\n2 7 8\n", ":2:1", "1 fields where 2 are needed"),
    "pairs with two tabs": ("a_pairs.tsv", "1\t5 6\n2\t7\t8\n", ":2:3", "3 fields where 2 are needed"),
    "pairs without a user": ("a_pairs.tsv", "1\t5 6\n\t7 8\n", ":2:1", "user is empty"),
    "pairs without items": ("a_pairs.tsv", "1\t5 6\n2\t\n", ":2:3", "item is empty"),
    "pairs with two spaces": ("a_pairs.tsv", "1\t5 6\n22\t7  8\n", ":2:6", "item is empty"),
    "pairs with a user twice": ("a_pairs.tsv", "1\t5 6\n\n1\t7 8\n", ":3:1", "user '1' has a list on line 1"),
    "too few of ::": ("ratings.dat", "1::2::3::978300760\n1::2::3\n", ":2:7", "3 fields where 4 are needed"),
    "text in ::": ("ratings.dat", "1::2::3::978300760\n1::12::x::978300761\n", ":2:8", "rating 'x' is not a number"),
    "cut RecBole": ("a.inter", "user_id:token\titem_id:token\na\tx\nb\n", ":3:1", "1 fields where 2 are needed"),
    "Parquet that is none": ("a.parquet", GOOD, "", "is not a readable Parquet file"),
    "Parquet empty": ("a.parquet", "", "", "is empty"),
    "Arrow that is none": ("a.arrow", GOOD, "", "is not a readable Arrow file"),
    "unknown kind of file": ("a.xlsx", GOOD, "", "unknown kind of file"),
}


@pytest.fixture(params=TEXTS, ids=[name.replace(" ", "-") for name in TEXTS])
def broken(request, tmp_path):
    name, data, where, problem = TEXTS[request.param]
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path, f"{path}{where}", problem


def refusal(call) -> str:
    with pytest.raises(DataError) as caught:
        call()
    assert caught.value.exit_code == 3
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_text_is_refused_with_its_place(broken):
    path, where, problem = broken
    message = refusal(lambda: read(path))
    assert message.startswith(where), message
    assert problem in message


def test_every_command_that_reads_a_log_refuses_it_in_one_line(broken, tmp_path, capsys):
    path, where, problem = broken
    experiment = tmp_path / "exp.toml"
    experiment.write_text(f"[data]\npath = '{path}'\n[method]\nuse = 'siftrec:Popularity'\n")
    for arguments in (
        ["data", str(path), "--write", str(tmp_path / "out.parquet")],
        ["init", str(path), "-o", str(tmp_path / "new.toml")],
        ["train", str(experiment), "-o", str(tmp_path / "run")],
        ["audit", str(path), "-o", str(tmp_path / "audit")],
    ):
        line = refused(arguments, 3, tmp_path, capsys)
        assert line.startswith(where), arguments
        assert problem in line, arguments


def test_parquet_cut_off(tmp_path):
    pl.DataFrame({"user": [1, 2], "item": [3, 4]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"user": [1, 2], "item": [3, 4]}).write_ipc(tmp_path / "a.arrow")
    for name in ("a.parquet", "a.arrow"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-9])
        assert refusal(lambda path=path: read(path)).startswith(f"{path}: is not a readable")


def damaged(offsets=(0, 1, 2), letters=b"a\xff"):
    """Two texts that are none."""
    return pa.StringArray.from_buffers(2, pa.array(offsets, pa.int32()).buffers()[1], pa.py_buffer(letters))


@pytest.mark.parametrize("user", [damaged(), damaged((0, 9, 2), b"ab")], ids=["no UTF-8", "offsets outside"])
def test_columns_that_are_damaged_inside_their_file(user, tmp_path):
    """Polars takes them as they are: the process ended in a panic, or in a segmentation fault."""
    path = tmp_path / "a.arrow"
    pa.feather.write_feather(pa.table({"user": user, "item": [1, 2]}), path, compression="uncompressed")
    assert refusal(lambda: read(path)).startswith(f"{path}: is not a readable Arrow file: ")
    pa.feather.write_feather(pa.table({"item": user, "v": [[1.0], [2.0]]}), path, compression="uncompressed")
    assert refusal(lambda: features(path)).startswith(f"{path}: is not a complete Arrow file: ")


def test_text_of_parquet_that_is_no_utf8(tmp_path):
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"user": damaged(), "item": [1, 2]}), path)
    assert refusal(lambda: read(path)).startswith(f"{path}: is not a readable Parquet file: ")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"user", b"us\xffr"))
    assert refusal(lambda: read(path)).startswith(f"{path}: is not a readable Parquet file: ")


def test_metadata_that_is_no_text_is_nobodys_concern(tmp_path):
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"user": ["a"], "item": ["x"], "title": ["one"]}), path)
    path.write_bytes(path.read_bytes().replace(b"ARROW:schema", b"\xffRROW:schema"))
    assert len(read(path)) == 1
    assert titles(path).rows() == [("x", "one")]


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ([["one"], ["two"]], "column 'title' is List(String); text is needed"),
        ([b"one", b"\xff"], "column 'title' is Binary; text is needed"),
        (damaged(), "is not a readable Parquet file"),
    ],
)
def test_titles_that_are_no_text(column, problem, tmp_path):
    pa.parquet.write_table(pa.table({"item": [1, 2], "title": column}), tmp_path / "t.parquet")
    assert refusal(lambda: titles(tmp_path / "t.parquet")).startswith(f"{tmp_path / 't.parquet'}: {problem}")


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"user": [1, None], "item": [1, 2]}, "memory: row 2, column 'user': user is empty"),
        ({"uid": ["a", "b"], "item": ["x", ""]}, "memory: row 2, column 'item': item is empty"),
        (
            {"user": [1.0, float("nan")], "item": [1, 2]},
            "memory: row 2, column 'user': user is empty, which made numbers",
        ),
        ({"user": [1.0, 2.5], "item": [1, 2]}, "memory: row 2, column 'user': user id 2.5 is a number with a fraction"),
        (
            {"user": [1, 2], "item": [2.0**53, 2.0**53 + 2]},
            "item id 9007199254740992.0 is a number with a fraction, or too large",
        ),
        (
            {"user": [1.0, float("inf")], "item": [1, 2]},
            "row 2, column 'user': user id inf is a number with a fraction",
        ),
        ({"user": [True, False], "item": [1, 2]}, "user ids are Boolean"),
        ({"user": [[1], [2]], "item": [1, 2]}, "user ids are List"),
        ({"user": [1, 2], "item": [1, 2], "ts": [1, None]}, "row 2, column 'ts': time is empty"),
        ({"user": [1, 2], "item": [1, 2], "ts": [1.0, float("inf")]}, "row 2, column 'ts': time inf is not a finite"),
        ({"user": [1, 2], "item": [1, 2], "ts": [-1, 5]}, "row 1, column 'ts': time -1 is negative"),
        ({"user": [1, 2], "item": [1, 2], "label": [None, 1]}, "row 1, column 'label': label is empty"),
        ({"user": [1, 2], "item": [1, 2], "label": [[1], [1]]}, "label is List(Int64); numbers are needed"),
        (
            {"user": [1, 2], "item": [1, 2], "split": [["test"], []]},
            "row 1, column 'split': split is List(String); text",
        ),
        ({"user": [], "item": []}, "memory: has no interactions"),
    ],
)
def test_typed_tables_name_row_and_column(columns, problem):
    assert problem in refusal(lambda: read(pl.DataFrame(columns)))


@pytest.mark.parametrize(
    ("kind", "times", "problem"),
    [
        (
            "clock",
            ["10", "9"],
            "row 1, column 'time': times are String; the file says they are microseconds since 1970",
        ),
        ("order", [1.0, float("nan")], "row 1, column 'time': times are Float64; the file says they are positions"),
        ("clock", [dt.datetime(2020, 1, 1)] * 2, "row 1, column 'time': times are Datetime"),
        ("order", [[1], [2]], "row 1, column 'time': times are List(Int64)"),
        ("order", [1, -1], "row 2, column 'time': time -1 is negative"),
        (
            "order",
            pl.Series([1, 2**63], dtype=pl.UInt64),
            "row 2, column 'time': time 9223372036854775808 is too large",
        ),
        ("clock", [0, 1_700_000_000 * 10**9], "row 2, column 'time': time 1700000000000000000 is after the year 2100"),
        ("clock", [1, None], "row 2, column 'time': time is empty"),
    ],
)
def test_times_of_a_file_that_says_what_they_are_are_checked_too(kind, times, problem, tmp_path):
    """Whoever changed the column kept the metadata: text would be sorted as text, and noise judged in that order."""
    write_table(pl.DataFrame({"user": ["a", "a"], "item": [1, 2], "time": times}), tmp_path / "a.parquet", kind)
    pa.feather.write_feather(pa.parquet.read_table(tmp_path / "a.parquet"), tmp_path / "a.arrow")
    for name in ("a.parquet", "a.arrow"):
        assert problem in refusal(lambda name=name: read(tmp_path / name))


def test_marked_times_may_be_narrow(tmp_path):
    times = pl.Series([2, 1], dtype=pl.Int32)
    write_table(pl.DataFrame({"user": ["a", "a"], "item": [1, 2], "time": times}), tmp_path / "a.parquet", "order")
    events = read(tmp_path / "a.parquet")
    assert (events.frame["item"].to_list(), events.frame["time"].dtype) == ([2, 1], pl.Int64)


WHEN = [dt.datetime(2020, 1, 2), dt.datetime(2020, 1, 1)]
UNTOLD = {
    "datetimes": pl.DataFrame({"user": ["a", "a"], "item": [1, 2], "event dt": WHEN}),
    "dates": pl.DataFrame({"user": ["a", "a"], "item": [1, 2], "event dt": [each.date() for each in WHEN]}),
    "pandas": pd.DataFrame({"user": ["a", "a"], "item": [1, 2], "event dt": WHEN}),
    "objects": pd.DataFrame({"user": ["a", "a"], "item": [1, 2], "event dt": pd.Series(WHEN, dtype=object)}),
    "objects that are dates": pd.DataFrame({"user": ["a", "a"], "item": [1, 2], "event dt": [w.date() for w in WHEN]}),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_a_column_of_datetimes_is_not_passed_over(name, tmp_path):
    """In the order of its rows a log with times is another log, and nobody would notice."""
    table = UNTOLD[name]
    arrow = table.to_arrow() if isinstance(table, pl.DataFrame) else pa.Table.from_pandas(table)
    pa.parquet.write_table(arrow, tmp_path / "a.parquet")
    for ending in ("arrow", "feather"):
        pa.feather.write_feather(arrow, tmp_path / f"a.{ending}")
    for source in (table, *(tmp_path / f"a.{ending}" for ending in ("parquet", "arrow", "feather"))):
        says = (
            "column 'event dt' holds datetimes but is not recognised as the time; name it: --time, or time='event dt'"
        )
        assert says in refusal(lambda source=source: read(source))
        events = read(source, time="event dt")
        assert (events.time_kind, events.frame["item"].to_list()) == ("clock", [2, 1])
        assert read(source, time="").frame["item"].to_list() == [1, 2]
    assert len(read(UNTOLD["datetimes"].with_columns(time=pl.Series([5, 6])))) == 2


def test_datetimes_in_an_index_are_not_passed_over():
    table = pd.DataFrame({"user": ["a", "a"], "item": [1, 2]}, index=pd.DatetimeIndex(WHEN))
    assert "the index holds datetimes and has no name; make it a column" in refusal(lambda: read(table))
    assert read(table.reset_index(names="time")).frame["item"].to_list() == [2, 1]
    assert read(table.rename_axis("time")).frame["item"].to_list() == [2, 1]
    assert read(table, time="").time_kind == "order"


def test_the_index_of_a_table_is_read_where_it_has_a_name_and_listed_nowhere_else():
    table = pd.DataFrame({"who": ["a", "b"], "what": [1, 2]}, index=["x", "y"])
    message = refusal(lambda: read(table))
    assert "among 'who', 'what'; name it" in message
    assert refusal(lambda: read(table, user="index")).endswith("for user=; known: what, who")
    for ids in ([7, 5], [5, 7], [1, 2]):  # pandas makes a range of some, which is no column of the table
        named = pd.DataFrame({"user": ids, "item": [1, 2]}).set_index("user")
        assert read(named).frame["user"].to_list() == sorted(ids)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (pd.DataFrame({"user": [1, "a"], "item": [1, 2]}), "column 'user' holds values of several types"),
        (pd.DataFrame({"user": ["a", 1], "item": [1, 2]}), "make them text, table['user'].astype(str)"),
        (pd.DataFrame({"user": [object(), object()], "item": [1, 2]}), "one that is neither text nor numbers; make"),
        (pd.DataFrame({"user": [uuid.UUID(int=1)], "item": [1]}), ".astype(str)"),
        (
            pl.DataFrame({"user": [uuid.UUID(int=1)], "item": [1]}),
            "text or whole numbers; .astype(str) makes them text",
        ),
        (pd.Series([1, 2]), "Series is a single column; give a table with all of them"),
    ],
)
def test_columns_of_objects_are_told_in_a_line_that_can_be_read(table, problem):
    assert problem in refusal(lambda: read(table))


def test_what_is_no_table():
    assert "list is no path and no table" in refusal(lambda: read([1, 2]))
    twice = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["user", "item", "user"])
    assert "column 'user' occurs twice" in refusal(lambda: read(twice))
    one = pl.DataFrame({"a": [1], "b": [2]})
    assert "named for more than one part" in refusal(lambda: read(one, user="a", item="a"))


def test_pairs_have_no_columns_to_name(tmp_path):
    (tmp_path / "a_pairs.tsv").write_text("1\t5 6\n")
    assert "has no column 'uid'" in refusal(lambda: read(tmp_path / "a_pairs.tsv", user="uid"))


def test_places_that_hold_no_log(tmp_path):
    assert refusal(lambda: read(tmp_path / "gone.csv")) == f"{tmp_path / 'gone.csv'}: does not exist"
    assert refusal(lambda: read(tmp_path)).startswith(f"{tmp_path}: holds no log")
    (tmp_path / "feat_text.npy").write_bytes(b"")
    (tmp_path / "items.tsv").write_text("item\n")
    assert refusal(lambda: sniff(tmp_path)).startswith(f"{tmp_path}: holds no log")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(GOOD)
    assert "holds a.csv and b.csv; name the file" in refusal(lambda: read(tmp_path))
    (tmp_path / "d.csv").mkdir()
    assert refusal(lambda: read(tmp_path / "d.csv")).startswith(f"{tmp_path / 'd.csv'}: holds no log")
    assert "is a folder" in refusal(lambda: titles(tmp_path))
