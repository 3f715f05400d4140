"""Readers of published impression logs, on generated files of the published shape."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import siftrec as sr
from siftrec.data.exposure import impressions
from siftrec.data.readers import kuairand, kuaivideo, microvideo
from siftrec.errors import DataError
from siftrec.testing import check_reader

KUAIRAND = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,play_time_ms,"
    "duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab"
)
KUAIVIDEO = "timestamp,user_id,item_id,is_click,is_like,is_follow,pos_items,neg_items"
MICROVIDEO = "user_id,item_id,cate_id,is_click,timestamp"


def write(path: Path, header: str, rows: list[dict[str, object]]) -> None:
    """A file with the rows' values under their names, and 0 under the others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = header.split(",")
    text = "\n".join([header, *(",".join(str(row.get(name, 0)) for name in names) for row in rows)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def shown(start: int, time: str, item: str = "item_id", users: int = 5, each: int = 6) -> list[dict[str, object]]:
    """Impressions in the order of their time, users mixed."""
    rng = np.random.default_rng(start)
    return [
        {"user_id": user, item: int(rng.integers(0, 9)), time: start + step, "is_click": int(rng.integers(0, 2))}
        for step in range(each)
        for user in range(users)
    ]


def kuairand_folder(folder: Path, each: int = 6) -> Path:
    late = 1_650_485_801_301
    second = [
        row | {"is_hate": row["video_id"] % 2, "long_view": 1}
        for row in shown(late + 100, "time_ms", "video_id", each=each)
    ]
    write(folder / "data/log_standard_4_08_to_4_21_pure.csv", KUAIRAND, shown(late, "time_ms", "video_id", each=each))
    write(folder / "data/log_standard_4_22_to_5_08_pure.csv", KUAIRAND, second)
    write(folder / "data/log_random_4_22_to_5_08_pure.csv", KUAIRAND, shown(late, "time_ms", "video_id", users=2))
    return folder


def kuaivideo_folder(folder: Path, each: int = 6) -> Path:
    write(folder / "train.csv.gz", KUAIVIDEO, [row | {"pos_items": "1^2"} for row in shown(0, "timestamp", each=each)])
    write(folder / "test.csv", KUAIVIDEO, shown(100, "timestamp", each=each))
    return folder


def microvideo_folder(folder: Path, each: int = 6) -> Path:
    write(folder / "train_data.csv", MICROVIDEO, shown(0, "timestamp", each=each))
    write(folder / "test_data.csv", MICROVIDEO, shown(100, "timestamp", each=each))
    return folder


CASES = {
    "kuairand": (kuairand.read, kuairand_folder),
    "kuaivideo": (kuaivideo.read, kuaivideo_folder),
    "microvideo": (microvideo.read, microvideo_folder),
}


@pytest.mark.parametrize("name", CASES)
def test_contract_and_labels(name, tmp_path):
    """A label under the wrong item would be noise in every figure."""
    read, make = CASES[name]
    folder = make(tmp_path)
    check_reader(read, folder)
    events = read(folder)
    start, later, step = (1_650_485_801_301, 1_650_485_801_401, 1000) if name == "kuairand" else (0, 100, 1_000_000)
    item = "video_id" if name == "kuairand" else "item_id"
    rows = [*shown(start, "time", item), *shown(later, "time", item)]
    expected = [(str(row["user_id"]), str(row[item]), row["time"] * step, row["is_click"]) for row in rows]
    found = events.frame.sort("row").select("user", "item", "time", "label").rows()
    assert found == expected


@pytest.mark.parametrize("name", ["kuaivideo", "microvideo"])
def test_the_published_cut_is_kept(name, tmp_path):
    read, make = CASES[name]
    split = impressions(read(make(tmp_path)), by="split", group=2)
    assert split.test.shown.times.min() >= 100_000_000
    assert len(split.test.labels) == 30
    assert len(split.train.labels) + len(split.valid.labels) == 30


def test_signals_and_policies_of_kuairand(tmp_path):
    folder = kuairand_folder(tmp_path)
    long = kuairand.read(folder / "data", "long_view").frame
    assert (long["label"] == (long["row"] >= 30)).all()
    assert len(kuairand.read(folder, policy="random")) == 12


def test_hated_clicks_of_kuairand_are_the_truth_about_clicks_and_never_a_history(tmp_path):
    """A model trained on `is_hate` would recommend what users hate; a truth one row off would judge other clicks."""
    folder = kuairand_folder(tmp_path)
    with pytest.raises(DataError, match=r"label 'is_hate' makes no histories; name is_click or long_view; `hated`"):
        kuairand.read(folder, "is_hate")
    clicks = kuairand.read(folder).positives().frame
    truth = np.isin(clicks["row"], kuairand.hated(folder))
    late = clicks["time"].to_numpy() >= (1_650_485_801_301 + 100) * 1000
    assert truth.tolist() == (late & (clicks["item"].cast(int).to_numpy() % 2 == 1)).tolist()
    assert 0 < truth.sum() < late.sum()
    assert not len(kuairand.hated(folder, "random"))


def test_bars_files_of_microvideo_are_read_by_name(tmp_path):
    header = "timestamp,user_id,item_id,cate_id,clicked_items,clicked_categories,is_click"
    write(tmp_path / "train.csv", header, shown(0, "timestamp"))
    write(tmp_path / "test.csv", header, shown(100, "timestamp"))
    microvideo_folder(tmp_path / "raw")
    assert microvideo.read(tmp_path).frame.equals(microvideo.read(tmp_path / "raw").frame)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (MICROVIDEO, True),
        ("0,1,2,3,4", True),
        ("a,b,c,d,e", True),
        ("user_id,item_id,timestamp,is_click,duration", False),
        ("item_id,user_id,cate_id,is_click,timestamp", False),
        ("user,item,category,time,click", False),
        ("user_id,item_id,is_click,tab,timestamp", False),
    ],
)
def test_a_header_that_names_other_places_is_not_microvideo(header, known, tmp_path):
    """Read by place, a duration would be the time and a category the click, without a word."""
    for name in ("train_data.csv", "test_data.csv"):
        write(tmp_path / name, header, [])
    assert microvideo.stands(tmp_path) == known
    if not known:
        with pytest.raises(DataError, match="name the file that is the log"):
            sr.read(tmp_path)


@pytest.mark.parametrize("named", [(True, False), (False, True), (False, False)])
def test_microvideo_s_own_files_may_lack_the_header(named, tmp_path):
    """The first impression would be lost without a word; or two equal fields of it would be two equal columns."""
    folder, whole = microvideo_folder(tmp_path / "a"), microvideo.read(microvideo_folder(tmp_path / "b")).frame
    for name, headed in zip(("train_data.csv", "test_data.csv"), named, strict=True):
        if not headed:
            (folder / name).write_text("".join((folder / name).read_text().splitlines(keepends=True)[1:]))
    assert microvideo.read(folder).frame.equals(whole)
    with (folder / "test_data.csv").open("a") as file:
        file.write("1,2,3,x,5\n")
    with pytest.raises(DataError, match=rf"test_data\.csv:{31 + named[1]}:7: label 'x' is not a number"):
        microvideo.read(folder)


@pytest.mark.parametrize(
    ("read", "make", "header"),
    [(microvideo.read, microvideo_folder, MICROVIDEO), (kuaivideo.read, kuaivideo_folder, KUAIVIDEO)],
    ids=["by place", "by name"],
)
def test_a_column_that_occurs_twice_is_refused_in_words(read, make, header, tmp_path):
    folder = make(tmp_path)
    path = folder / ("test_data.csv" if header == MICROVIDEO else "test.csv")
    path.write_text(path.read_text().replace("user_id", "item_id", 1))
    if header == KUAIVIDEO:
        path.write_text(path.read_text().replace("is_like", "user_id", 1))
    with pytest.raises(DataError, match=r"test(_data)?\.csv: column 'item_id' occurs twice; rename one of them"):
        read(folder)


def test_errors_name_file_line_and_column(tmp_path):
    folder = kuaivideo_folder(tmp_path / "a")
    write(folder / "test.csv", KUAIVIDEO, [*shown(100, "timestamp"), {"timestamp": 3, "is_click": 2}])
    with pytest.raises(DataError, match=r"test\.csv:32:7: label '2' is neither 0 nor 1"):
        kuaivideo.read(folder)
    write(folder / "test.csv", KUAIVIDEO.replace("is_click", "is_clack"), shown(100, "timestamp"))
    with pytest.raises(DataError, match=r"test\.csv: has no column 'is_click'; did you mean 'is_clack'"):
        kuaivideo.read(folder)
    write(tmp_path / "b/train_data.csv", "user_id,item_id,cate_id,is_click", [])
    write(tmp_path / "b/test_data.csv", MICROVIDEO, [])
    with pytest.raises(DataError, match=r"train_data\.csv: has 4 columns; column 5 is needed"):
        microvideo.read(tmp_path / "b")
    for read in (kuaivideo.read, microvideo.read, kuairand.read):
        with pytest.raises(DataError, match="holds no"):
            read(tmp_path)
