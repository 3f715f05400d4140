"""The noise curves: cells keep their names, plant what they say, and are drawn as they are stored."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import accuracy
import cell_log
import curves
import curves_plot
import curves_tables
import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.kinds import mixed

SVG = "{http://www.w3.org/2000/svg}"


def test_cells_keep_the_names_they_are_stored_under() -> None:
    """Other names would make hours of stored figures look as if they had never been run."""
    names = list(map(str, accuracy.cells(curves=list(curves.CURVES))))
    assert len(names) == len(set(names))
    assert {"microlens50k.rho0.3.sasrec.seed1", "ml1m.rho0.3.foreign0.2.demure.seed3"} <= set(names)
    assert {"microlens50k.rho0.5.swap.tce.seed2", "ml1m.rho0.foreign0.4.late.seed1"} <= set(names)
    assert not [name for name in names if ".rho0.insert" in name], "without noise there is no mechanism"


def test_a_plain_run_is_as_long_as_it_was() -> None:
    """Curves are days of CPU time; nobody must run into them by `accuracy.py run`."""
    plain = set(map(str, accuracy.cells()))
    assert "microlens50k.rho0.3.sasrec.seed1" in plain
    assert not [name for name in plain if re.search(r"rho0\.[1245]|insert|swap|foreign0\.4", name)]


@pytest.mark.parametrize("mechanism", list(curves.CURVES["insert"].settings("ml1m")))
def test_a_curve_follows_one_share(mechanism: tuple[float, tuple[str, float, float, str]]) -> None:
    share, (data, rho, foreign, name) = mechanism
    assert (data, rho, foreign) == ("ml1m", share, 0.0)
    assert name == ("insert" if share else "replace")


@pytest.mark.parametrize("name", ["replace", "insert", "swap"])
def test_a_cell_plants_its_own_mechanism_and_asks_the_same_questions(name: str) -> None:
    split = mixed(True)
    made = cell_log.split_of(accuracy.Cell("ml1m", 0.4, "sasrec", 1, mechanism=name), SimpleNamespace(split=split))
    assert made.test.fingerprint == split.test.fingerprint
    assert (len(made.log.items) > len(split.log.items)) == (name == "insert")
    changed = len(made.log.items) - len(split.log.items) or (made.log.items != split.log.items).sum()
    assert changed > 0.2 * len(split.log.items)


values = st.dictionaries(st.sampled_from(curves.RHOS), st.lists(st.floats(0, 0.2), min_size=1, max_size=3), min_size=1)


@given(st.lists(values, min_size=1, max_size=9))
def test_labels_stay_apart_and_inside_and_higher_is_better(every: list[dict[float, list[float]]]) -> None:
    lines = [curves_plot.Line(f"method {n}", "part-0", n % 2 == 0, points) for n, points in enumerate(every)]
    root = ElementTree.fromstring(curves_plot.drawn("a < b & c", "share", "NDCG", curves.RHOS, lines))
    texts = {text.text or "": text for text in root.iter(f"{SVG}text")}
    assert "a < b & c" in texts
    places = sorted(float(texts[line.label].get("y", "")) for line in lines)
    assert all(low + 16.5 <= high for low, high in pairwise(places))
    assert places[0] >= curves_plot.TOP
    assert places[-1] <= curves_plot.HEIGHT - curves_plot.BOTTOM + curves_plot.GAP
    for line, drawn in zip(lines, root.iter(f"{SVG}polyline"), strict=True):
        points = [tuple(map(float, pair.split(","))) for pair in drawn.get("points", "").split()]
        means = [sum(line.points[share]) / len(line.points[share]) for share in sorted(line.points)]
        assert len(points) == len(means)
        for (x, y), mean in zip(points, means, strict=True):
            for (other_x, other_y), other in zip(points, means, strict=True):
                assert (y < other_y) <= (mean > other)
                assert (x < other_x) == (points.index((x, y)) < points.index((other_x, other_y)))


def stored(method: str, seed: int, value: float) -> dict[str, Any]:
    return {"cell": {"method": method, "seed": seed}, "evaluation": {"metrics": {"filtered": {"ndcg@20": value}}}}


def table(head: Sequence[str], rows: Any) -> str:
    return "\n".join("|".join(row) for row in (head, *rows))


def test_the_page_shows_what_is_stored_and_what_is_missing(tmp_path: Path) -> None:
    clean, swapped = accuracy.Setting("ml1m", 0.0), accuracy.Setting("ml1m", 0.5, mechanism="swap")
    cells = {
        clean: {"sasrec": [stored("sasrec", seed, 0.1) for seed in (1, 2)]},
        swapped: {"sasrec": [stored("sasrec", 1, 0.04), stored("sasrec", 2, 0.06), stored("sasrec", 5, 0.2)]},
    }
    page = "\n".join(curves_tables.sections(cells, tmp_path / "none", tmp_path, table))
    assert "SASRec|0.1000 ± 0.0000|–|–|–|–|0.1000 ± 0.0872|50% at 0.5" in page, (
        "the same mean as every other table has; a lucky seed that was not run without noise hides no loss"
    )
    assert "5 of its 228 cells have been run" in page
    assert "Measured at 0 and 0.5 only" in page
    assert 'class="line sparse"' in (tmp_path / "curve-ml1m-swap.svg").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["curve-ml1m-swap.svg"], "a lone point is no curve"
    assert "(plots/curve-ml1m-swap.svg)" in page
    assert curves.CURVES["swap"].what in page
    assert not curves_tables.sections({clean: cells[clean]}, tmp_path / "none", tmp_path, table)


def test_a_curve_is_compared_along_its_shares_and_corrected_by_itself(tmp_path: Path) -> None:
    """A lead at one share of noise among many is what one would find by looking often enough."""
    half = {"p": 0.5, "p_equivalent": 0.5, "low": 0.01, "high": 0.03, "difference": 0.02, "mean_a": 0.12, "mean_b": 0.1}
    said = {"p_holm": 0.02, "p_equivalent_holm": 1.0, "verdict": "", "tests": 2}
    other = {"filter": "seen", "protocol": "", "users": 9, "effect": 0.1, "metric": "ndcg@20", "kept": False}
    places = []
    for share, place in curves.CURVES["swap"].settings("ml1m"):
        families = {"curve swap": said} if share in (0.1, 0.2) else {"secondary": said}
        record = half | other | {"a": "ccl4rec", "b": "sasrec", "seeds": 5, "families": families}
        places.append({**accuracy.Setting(*place)._asdict(), "comparisons": [record]})
    file = tmp_path / "comparisons.json"
    file.write_text(json.dumps({"settings": places}))
    (page,) = curves_tables.tests(file, "ml1m", "swap", table)
    assert page.startswith(
        "<details>\n<summary>ml1m, items replaced by another user's: methods compared at each share, 2 tests"
    )
    cell = "**+20.0%** [+10.0, +30.0] .0200"
    assert f"CCL4Rec, full − SASRec|5|–|{cell}|{cell}|–|–|–" in page


def test_what_all_are_held_against_is_run_along_the_curve() -> None:
    for curve in curves.CURVES.values():
        assert set(curve.against) <= set(curve.methods)
    assert set(curves.WEIGHTED) <= set(curves.CURVES["both"].methods)


def test_main_rows_have_five_seeds_and_the_first_three_of_all_run_first() -> None:
    seeds = [cell.seed for cell in accuracy.curve_cells(["swap"])]
    assert seeds == sorted(seeds)
    assert {cell.method for cell in accuracy.curve_cells(["swap"]) if cell.seed > 3} == set(curves.OFTEN)


def test_every_method_of_a_curve_has_a_name_and_a_colour() -> None:
    assert {method for curve in curves.CURVES.values() for method in curve.methods} == set(curves_tables.LABELS)
