"""Text files at their edges: numbers as ids, large files with a single wrong value."""

import tracemalloc
from collections import deque
from pathlib import Path

from siftrec.data.read import read
from siftrec.data.readers.delimited import CSV
from siftrec.data.readers.text import records


def test_ids_that_one_writer_made_floats_are_those_of_the_others(tmp_path: Path) -> None:
    """pandas writes 7.0 where one id of a column is missing; `7` and `7.0` would be two users."""
    (tmp_path / "a.jsonl").write_text('{"user": 1.0, "item": 7}\n{"user": 2.0, "item": 8.0}\n')
    frame = read(tmp_path / "a.jsonl").frame
    assert frame["user"].to_list() == ["1", "2"]
    assert frame["item"].to_list() == ["7", "8"]


def test_walking_a_file_to_a_wrong_line_holds_one_record_at_a_time(tmp_path: Path) -> None:
    """A log of ten million rows would be held in memory once more, only to say which of them is wrong."""
    path = tmp_path / "log.csv"
    path.write_text("user,item\n" + f'"u1","{"x" * 80}"\n' * 40_000 + '"u2","two\nlines"\n')
    tracemalloc.start()
    try:
        last = deque(records(path, CSV), maxlen=1)[0]
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 4
    finally:
        tracemalloc.stop()
    assert (last.line, last.text, last.fields) == (40_002, '"u2","two', ["u2", "two\nlines"])
