"""A log written again is the same log with weights: every layout, its text byte for byte, rows in the source's order."""

from __future__ import annotations

import gzip
import json
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siftrec.data.interactions import Interactions
from siftrec.data.layout import sniff
from siftrec.data.read import read
from siftrec.data.writers.marks import Marks
from siftrec.data.writers.rewrite import check_unweighted, rewrite
from siftrec.data.writers.tables import marked
from siftrec.errors import DataError, EnvironmentProblem, UsageError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
LOG = pl.DataFrame(
    {
        "uid": ["b", "a", "a", "b", "007", "b"],
        "vid": ["x", "007", "x", "y", "x", "z"],
        "ts": [1_500_000_030, 1_500_000_020, 1_500_000_010, 1_500_000_031, 1_500_000_005, 1_500_000_032],
        "note": ["plain", "ü", "", "1e5", "0.10", "-"],
    }
)
WEIGHTS = np.array([0.1, 1.0, 0.33333334, 1e-7, 0.0, 0.5], np.float32)
KEEP = np.array([True, False, True, True, False, True])
MARKS, DROPS = Marks(WEIGHTS, np.ones(6, bool)), Marks(None, KEEP)


def sources(folder: Path) -> Iterator[Path]:
    csv, tsv = LOG.write_csv(), LOG.write_csv(separator="\t")
    lines = "".join(json.dumps(row) + "\n" for row in LOG.to_dicts())
    dat = LOG.select("uid", "vid", pl.lit("3.5"), "ts")
    texts = {
        "a.csv": csv,
        "quoted.csv": LOG.write_csv(quote_style="always"),
        "multi.csv": csv.replace("plain", '"two\nlines, ""quoted"""').replace("0.10", "'"),
        "crlf.csv": csv.replace("\n", "\r\n"),
        "bom.csv": "\ufeff" + csv,
        "cut.csv": csv.rstrip("\n"),
        "blank.csv": csv.replace("\n", "\n\n"),
        "above.csv": "\n\n" + csv,
        "a.tsv": tsv,
        "a.inter": tsv.replace("uid", "user_id:token").replace("vid", "item_id:token").replace("ts", "timestamp:float"),
        "a.jsonl": lines,
        "tight.ndjson": lines.replace(": ", ":").replace(", ", ",").replace("\n", "\n\n"),
        "ratings.dat": dat.write_csv(include_header=False).replace(",", "::"),
        "u.data": dat.write_csv(include_header=False, separator="\t"),
        "a_pairs.tsv": "b\tx y z\na\tx 007\n007\tx\n",
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
        yield folder / name
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        yield folder / f"{name}.gz"
    LOG.write_parquet(folder / "a.parquet")
    yield folder / "a.parquet"
    LOG.with_columns(pl.col("uid").str.len_chars(), pl.col("ts") * 1000).write_parquet(folder / "whole.parquet")
    yield folder / "whole.parquet"
    LOG.write_ipc(folder / "a.arrow")
    yield folder / "a.arrow"
    LOG.write_ipc_stream(folder / "stream.ipc")
    yield folder / "stream.ipc"
    pa.feather.write_feather(LOG.to_arrow(), folder / "a.feather")
    yield folder / "a.feather"


def named(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sources(folder)}


FOLDER = tempfile.TemporaryDirectory()
NAMES = list(named(Path(FOLDER.name)))


def columns(path: Path) -> dict[str, str]:
    ours = sniff(path).kind in ("delimited", "jsonl", "arrow")
    return {"user": "uid", "item": "vid", "time": "ts"} if ours else {}


def log(path: Path, **named: str) -> Interactions:
    return read(path, **named)


def weights_by_row(events: Interactions) -> np.ndarray:
    return events.frame.sort("row")["weight"].to_numpy()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", ["same", "parquet"])
def test_reading_it_again_gives_the_same_log_and_the_weights(tmp_path: Path, name: str, ending: str) -> None:
    source = named(tmp_path)[name]
    out = tmp_path / "out" / (name.replace("_pairs", "") if ending == "same" else "weighted.parquet")
    rewrite(source, out, MARKS)
    listed = sniff(source).kind == "pairs"
    as_table = {} if listed else columns(source)
    before, after = (
        log(source, **columns(source)),
        log(out, **as_table, weight="weight" if ending == "parquet" else None),
    )
    assert after.frame.drop("weight").equals(before.frame)
    assert after.time_kind == before.time_kind
    np.testing.assert_array_equal(weights_by_row(after), WEIGHTS)
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", ["same", "parquet"])
def test_rows_left_out_are_gone_and_the_others_are_as_they_were(tmp_path: Path, name: str, ending: str) -> None:
    source = named(tmp_path)[name]
    out = tmp_path / "out" / (name if ending == "same" else "kept.parquet")
    rewrite(source, out, DROPS)
    before = log(source, **columns(source)).frame.sort("row").filter(pl.Series(KEEP))
    found = log(out, **({} if sniff(source).kind == "pairs" else columns(source))).frame.sort("row")
    assert "weight" not in found.columns
    time = [] if sniff(source).kind == "pairs" else ["time"]
    assert found.select("user", "item", *time).equals(before.select("user", "item", *time))


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(("parquet", "arrow", "ipc", "feather"))])
def test_text_stays_byte_for_byte(tmp_path: Path, name: str) -> None:
    source = named(tmp_path)[name]
    if sniff(source).kind != "pairs":
        rewrite(source, tmp_path / "out" / name, MARKS)
        told = [b"weight", *(str(weight).encode() for weight in WEIGHTS)]
        text = content(tmp_path / "out" / name)
        for each in told:
            for spelled in (b":float", b""):
                for before in (b', "weight": ', b',"weight":', b"::", b",", b"\t"):
                    text = text.replace(before + each + spelled + b"\r\n", b"\r\n")
                    text = text.replace(before + each + spelled + b"\n", b"\n").removesuffix(before + each)
                    text = text.replace(before + each + b"}", b"}")
        assert text == content(source)
    rewrite(source, tmp_path / "all" / name, Marks(None, np.ones(6, bool)))
    assert content(tmp_path / "all" / name) == content(source)


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_what_it_looks_like(tmp_path: Path) -> None:
    files = named(tmp_path)
    first = {}
    for name in ("a.csv", "a.inter", "ratings.dat", "a.jsonl", "tight.ndjson", "a_pairs.tsv"):
        rewrite(files[name], tmp_path / f"new_{name}", MARKS)
        first[name] = (tmp_path / f"new_{name}").read_text("utf-8").splitlines()[:2]
    assert first["a.csv"] == ["uid,vid,ts,note,weight", "b,x,1500000030,plain,0.1"]
    assert first["a.inter"][0].split("\t")[-1] == "weight:float"
    assert first["ratings.dat"][0] == "b::x::3.5::1500000030::0.1"
    assert first["a.jsonl"][0].endswith('"note": "plain", "weight": 0.1}')
    assert first["tight.ndjson"][0].endswith('"note":"plain","weight":0.1}')
    assert first["a_pairs.tsv"] == ["user\titem\tweight", "b\tx\t0.1"]
    rewrite(files["a_pairs.tsv"], tmp_path / "kept_pairs.tsv", DROPS)
    assert (tmp_path / "kept_pairs.tsv").read_text() == "b\tx z\na\tx\n007\tx\n"


def test_typed_columns_and_metadata_stay(tmp_path: Path) -> None:
    table = LOG.with_columns(pl.col("ts").cast(pl.UInt32), pl.lit([1, 2]).alias("tags")).to_arrow()
    pa.parquet.write_table(table.replace_schema_metadata({"made by": "them"}), tmp_path / "a.parquet")
    rewrite(tmp_path / "a.parquet", tmp_path / "b.parquet", MARKS)
    before, after = (pa.parquet.read_table(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert after.drop_columns(["weight"]).equals(before)
    assert after.schema.field("weight").type == pa.float32()
    assert after.schema.metadata[b"made by"] == b"them"


@settings(max_examples=60, derandomize=True)
@given(
    st.lists(
        st.tuples(*[st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=6)] * 3),
        min_size=1,
        max_size=8,
    ),
)
def test_any_text_that_can_be_read_comes_back(rows: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name) / "a.csv", Path(name) / "b.csv"
        frame = pl.DataFrame(rows, schema=["user", "item", "title"], orient="row")
        frame.write_csv(source)
        weights = np.random.default_rng(len(rows)).random(len(rows)).astype(np.float32)
        rewrite(source, out, Marks(weights, np.ones(len(rows), bool)))
        before, after = read(source), read(out)
        assert after.frame.drop("weight").equals(before.frame)
        np.testing.assert_array_equal(weights_by_row(after), weights)
        assert pl.read_csv(out, infer_schema=False).drop("weight").equals(frame)


ODD = {
    "text after a closed quote": '"one"two',
    "text and quotes after it": '"one"two"three"',
    "text and one quote after it": '"one"two"',
    "quotes inside plain text": 'say "hi"',
    "one quote inside plain text": '5" disk',
    "a separator behind a quote": '"one"two " "',
    "an empty field": '""',
    "two lines": '"one\ntwo""\n\n"',
    "longer than the csv module takes": f'"{"x" * 140_000}"',
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_records_end_where_the_reader_ends_them(tmp_path: Path, odd: str, end: str) -> None:
    lines = ["title,user,item,note", f"{odd},a,x,{odd}", f"plain,b,y,{odd}", '"q",c,z,-']
    (tmp_path / "a.csv").write_bytes("".join(line + end for line in lines).encode())
    weights = np.array([0.25, 0.5, 0.75], np.float32)
    rewrite(tmp_path / "a.csv", tmp_path / "w.csv", Marks(weights, np.ones(3, bool)))
    added = zip(lines, ["weight", "0.25", "0.5", "0.75"], strict=True)
    assert (tmp_path / "w.csv").read_bytes() == "".join(f"{line},{more}{end}" for line, more in added).encode()
    before, after = read(tmp_path / "a.csv"), read(tmp_path / "w.csv")
    assert after.frame.drop("weight").equals(before.frame)
    np.testing.assert_array_equal(weights_by_row(after), weights)


@settings(max_examples=150, derandomize=True)
@given(st.lists(st.text('"a,\n', max_size=9), min_size=1, max_size=4))
def test_the_writer_counts_the_rows_that_the_reader_counts(notes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        source, out = Path(name) / "a.csv", Path(name) / "b.csv"
        source.write_text("user,item,note\n" + "".join(f"u{at},i{at},{note}\n" for at, note in enumerate(notes)))
        try:
            before = read(source)
        except DataError:
            return
        weights = np.random.default_rng(len(before)).random(len(before)).astype(np.float32)
        rewrite(source, out, Marks(weights, np.ones(len(before), bool)))
        after = read(out)
        assert after.frame.drop("weight").equals(before.frame)
        np.testing.assert_array_equal(weights_by_row(after), weights)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_is_left_of_a_log_can_be_read(tmp_path: Path, odd: str) -> None:
    """Whether a record is read must not hang on the quotes of others: `sift --drop` leaves those out."""
    (tmp_path / "a.csv").write_text(f"user,item,note\na,x,{odd}\nb,y,{odd}\n")
    for kept in ([True, False], [False, True]):
        rewrite(tmp_path / "a.csv", tmp_path / "b.csv", Marks(None, np.array(kept)))
        assert read(tmp_path / "b.csv").frame["user"].to_list() == ["a" if kept[0] else "b"]


def test_rows_that_were_never_scored_pass_with_weight_one(tmp_path: Path) -> None:
    for name, source in named(tmp_path).items():
        if name in ("a.csv", "a.parquet", "a_pairs.tsv"):
            out = tmp_path / "out" / name.replace("_pairs", "")
            rewrite(source, out, Marks.weights(np.array([3, 1]), np.array([0.25, 0.5], np.float32)))
            found = log(out, **({} if "pairs" in name else columns(source)))
            np.testing.assert_array_equal(weights_by_row(found), [1, 0.5, 1, 0.25, 1, 1])


def test_leaving_rows_out_of_a_long_table_takes_a_byte_a_row_beside_it() -> None:
    """`sift --drop` of millions of rows asked row by row, and held a list of the answers."""
    size = 100_000
    table, marks = pa.table({"row": np.arange(size)}), Marks.without(np.arange(size - 9), np.arange(size - 9) % 3 == 0)
    tracemalloc.start()
    found = marked(table, "log", marks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * size
    assert found["row"].to_pylist() == [row for row in range(size) if row % 3 or row >= size - 9]


def test_marks_of_a_subset() -> None:
    marks = Marks.without(np.array([5, 0, 3]), np.array([True, False, True]))
    np.testing.assert_array_equal(marks.keep, [True, True, True, False, True, False])
    assert marks.texts() is None
    assert marks.stays(99)
    for rows in (0, 4, 9):
        assert marks.kept(rows).tolist() == [marks.stays(row) for row in range(rows)]
    empty = Marks.weights(np.empty(0, np.int64), np.empty(0, np.float32))
    assert empty.texts() == []


def test_the_log_itself_is_never_overwritten(tmp_path: Path) -> None:
    source = named(tmp_path)["a.csv"]
    before = source.read_bytes()
    (tmp_path / "link.csv").symlink_to(source)
    for out in (source, tmp_path / "link.csv", tmp_path / "out" / ".." / "a.csv"):
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match="never overwritten"):
            rewrite(source, out, MARKS)
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "out", "problem"),
    [
        ("a.csv", "b.tsv", "must end in .csv, as the log does, or in .parquet"),
        ("a.inter", "b.csv", "must end in .inter"),
        ("a.csv", "b", "must end in .csv"),
        ("a.arrow", "b.csv", "must end in .arrow"),
        ("a.parquet", "b.parquet.gz", "leave .gz away"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, name: str, out: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        rewrite(named(tmp_path)[name], tmp_path / "new" / out, MARKS)
    assert not (tmp_path / "new").exists()


def test_lists_without_weights_keep_a_name_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\*_pairs.tsv"):
        rewrite(named(tmp_path)["a_pairs.tsv"], tmp_path / "b.tsv", DROPS)


@pytest.mark.parametrize("name", [name for name in NAMES if "pairs" not in name and not name.endswith(".gz")])
@pytest.mark.parametrize("ending", ["same", "parquet"])
def test_a_log_with_weights_is_not_weighted_twice(tmp_path: Path, name: str, ending: str) -> None:
    source = named(tmp_path)[name]
    once, twice = tmp_path / "1" / name, tmp_path / "2" / (name if ending == "same" else "w.parquet")
    rewrite(source, once, MARKS)
    with pytest.raises(DataError, match=r"'weight(:float)?' already"):
        rewrite(once, twice, MARKS)
    assert not twice.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_log_with_weights_is_noticed_by_its_columns(tmp_path: Path, name: str) -> None:
    """`siftrec sift` asks before it judges; with `weight = ""` nothing else has seen the column."""
    source, once = named(tmp_path)[name], tmp_path / "1" / name.replace("_pairs", "")
    check_unweighted(source)
    rewrite(source, once, MARKS)
    with pytest.raises(DataError, match=r"'weight(:float)?' already"):
        check_unweighted(once)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "u.data", "a_pairs.tsv", "a.parquet"])
def test_a_log_that_has_become_shorter_is_refused(tmp_path: Path, name: str) -> None:
    marks = Marks(None, np.ones(7, bool))
    with pytest.raises(DataError, match="6 interactions, but 7 were scored"):
        rewrite(named(tmp_path)[name], tmp_path / "out" / name, marks)
    assert not (tmp_path / "out" / name).exists()


def test_an_older_file_survives_a_failure(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("older")
    source = tmp_path / "bad.csv"
    source.write_text("user,item,Weight\na,b,1\n")
    with pytest.raises(DataError):
        rewrite(source, out, Marks(np.ones(1, np.float32), np.ones(1, bool)))
    assert out.read_text() == "older"
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(EnvironmentProblem):
        rewrite(named(tmp_path)["a.csv"], tmp_path / "folder.csv", MARKS)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not SHARED.exists(), reason="the real data sets are not beside the project")
@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("microlens50k/MicroLens-50k_pairs.tsv", "w.tsv"),
        ("ml100k/ml-100k.inter", "w.inter"),
        ("ml_latest_small/ratings.csv", "ratings.csv"),
        pytest.param("ml1m/sequences.tsv.gz", "w.tsv.gz", marks=pytest.mark.slow),
    ],
)
def test_real_logs_come_back(tmp_path: Path, source: str, out: str) -> None:
    before = read(SHARED / source)
    rows = before.frame["row"].to_numpy()
    weights = np.random.default_rng(0).random(len(rows)).astype(np.float32)
    rewrite(SHARED / source, tmp_path / out, Marks.weights(rows, weights))
    after = read(tmp_path / out)
    assert after.frame.drop("weight").equals(before.frame)
    assert after.time_kind == before.time_kind
    np.testing.assert_array_equal(after.frame["weight"].to_numpy(), weights)
