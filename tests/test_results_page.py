"""docs/results.md can be read: links lead somewhere, what is folded is shown, and what is said of aims is computed."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import accuracy_tables
import aims
import noise_tables
import page
import planted_tables
import pytest
import render
import symptoms_tables
import unhelpful_tables
import verdict_tables
from accuracy import Cell, current
from aims_found import Found, Stored, above_zero, others_models, planted, speed
from aims_models import beside_din
from peer import PEERS
from planted_measures import REFERENCE, TRIALS
from variants import PAIRS, VARIANTS

import modality
from audit import PEER_SEEDS
from siftrec.audit.verdict import LEAVE, SHORT, WEIGHT

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "results.md").read_text("utf-8")
ANCHORS = {heading.anchor for heading in page.headings(PAGE)}


TITLES = {
    title
    for path in (ROOT / "benchmarks").glob("*.py")
    for title in re.findall(r'"## ([^"]+)"', path.read_text("utf-8"))
}
"""Of every section that can be rendered, whatever is stored."""


@pytest.mark.parametrize("title", sorted(TITLES))
def test_no_section_is_missing(title: str) -> None:
    """A section whose cells have all become stale is rendered as nothing, and nobody is told."""
    sections = dict(each.split("\n", 1) for each in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:])
    assert title in sections, f"docs/results.md has no section {title!r}; run its cells again, then: make page"
    assert "\n| ---" in sections[title] or title == "Machines"


def test_every_section_has_a_title_that_can_be_looked_for() -> None:
    """One that is put together where it is written would be missing from those that must stand on the page."""
    on_page = {heading.title for heading in page.headings(PAGE) if heading.level == 2}
    assert on_page <= TITLES
    assert {"Aims", "Peers side by side", "Machines"} <= TITLES


def test_no_stored_cell_of_a_library_is_stale() -> None:
    """A line more in its requirements, or in its script, and figures that nobody meant to give up leave the page."""
    stored = [path for path in (render.RESULTS / "accuracy").glob("*.seed*.json") if path.name.split(".")[-3] in PEERS]
    cells = {path.name: json.loads(path.read_text("utf-8")) for path in stored}
    assert len(cells) >= 7
    stale = [name for name, figures in cells.items() if not current(Cell(**figures["cell"]), figures)]
    assert not stale, f"restore what their settings hash (`peer.peer_settings`), or run them again: {', '.join(stale)}"


def test_anchors_are_those_that_github_makes() -> None:
    text = (
        "## Trained, hard, ρ = .4\n```\n## no title\n```\n<details>\n### Again\n</details>\n### Again\n## A `b` (c_d)?"
    )
    found = page.headings(text)
    assert [each.anchor for each in found] == ["trained-hard-ρ--4", "again", "again-1", "a-b-c_d"]
    assert [each.folded for each in found] == [False, True, False, False]
    assert "[Again](#again-1)" in page.contents(text)
    assert "(#again)" not in page.contents(text)


def test_every_link_and_anchor_of_the_page_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", PAGE)
    assert len(links) > 100
    for link in links:
        file, _, anchor = link.partition("#")
        assert not file or (ROOT / "docs" / file).exists(), link
        assert file or anchor in ANCHORS, link


def test_whoever_is_sent_to_a_section_of_the_page_arrives() -> None:
    """A section that is renamed would strand readers of every other page."""
    others = [ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*.md") if path.name != "results.md")]
    sent = {anchor for path in others for anchor in re.findall(r"results\.md#([^)\s]+)", path.read_text("utf-8"))}
    assert {"finding-noise", "rankers", "accuracy"} <= sent
    assert sent <= ANCHORS


def test_what_is_folded_is_rendered() -> None:
    """GitHub shows a table inside HTML as text where no empty line is before it, and a lost end swallows the page."""
    lines = PAGE.splitlines()
    assert 20 < PAGE.count("<details>") == PAGE.count("</details>")
    for number, line in enumerate(lines):
        if line.startswith("<summary>") or line == "</details>":
            assert not lines[number + 1], line
        if line == "</details>":
            assert not lines[number - 1]


def test_what_everybody_reads_first_is_first() -> None:
    order = [heading.title for heading in page.headings(PAGE) if heading.level == 2]
    first = ["Aims", "Accuracy", "Comparisons", "Noise curves"]
    assert order[:4] == first
    assert order.index("Finding noise") < order.index("Planted truth") < order.index("Which modality counted")
    assert order[-1] == "Machines"


def test_every_aim_is_computed_or_not_measured(tmp_path: Path) -> None:
    """A typed figure would stay when what it was read from changes: with nothing stored nothing may be found."""
    empty = Stored(tmp_path, {})
    assert not empty.speed
    for group in aims.AIMS.values():
        for aim in group:
            assert (aim.seek(empty) is None) != aim.live, aim
            assert aims.line(aim, None)[2] == "not measured"
    rows = [line for line in PAGE.split("## Accuracy")[0].splitlines() if line.startswith("| ")]
    told = {row.split(" | ")[0][2:]: row.split(" | ")[2:4] for row in rows}
    stored = Stored(render.RESULTS, accuracy_tables.stored_cells(render.RESULTS / "accuracy")[0])
    every = [aim for group in aims.all_aims(stored).values() for aim in group]
    assert len({aim.what for aim in every}) == len(every)
    for aim in every:
        found, reached = told[f"{aim.what} (added)" if aim.added else aim.what]
        assert (found == "not measured") == (reached == "–"), aim
        assert reached in ("yes", "**no**", "shown", "–")


def test_an_aim_is_reached_by_the_figures_alone() -> None:
    """Else a speed or a difference that is lost again would go on being told as reached."""
    stored = Stored(Path(), {})
    row = {"unit": "s", "asked": 3.0, "times_peer": False, "less": True, "peers": {}}
    stored.__dict__["speed"] = {"fast": row | {"median": 2.9}, "slow": row | {"median": 3.1}}
    assert speed("fast")(stored) == Found("2.9", True)
    assert speed("slow")(stored) == Found("3.1", False)
    runs = {"full": {1: {"m": 0.5}, 2: {"m": 0.6}}, "other": {1: {"m": 0.4}, 2: {"m": 0.49}}}
    stored._planted["train"] = runs
    told = planted("m", "other", above_zero)(stored)
    assert told is not None
    assert (told.reached, told.seeds) == (True, "2")
    runs["other"][2]["m"] = 0.9
    assert planted("m", "other", above_zero)(stored) == Found("-0.100 [-2.641, +2.441]", False, "2")


def test_rows_are_compared_on_the_seeds_that_all_have() -> None:
    """A row of one lucky seed would look better than rows of three; the ceiling alone may have fewer."""
    runs = {"a": {1: {"p@10": 0.2}, 2: {"p@10": 0.9}}, "b": {1: {"p@10": 0.3}}}
    shown = planted_tables.measured(runs)
    assert "those that all have: 1." in shown[0]
    assert "| a | 0.200 | 1 |" in shown[1]
    assert "| a | 0.550 ± 0.495 | 2 |" in shown[2]
    assert shown[2].startswith("<details>")
    ceiling = {"a": runs["a"], "full-oracle": {1: {"p@10": 0.3}}}
    assert planted_tables.measured(ceiling) == [planted_tables.rows(ceiling, ["p@10"])]


def test_every_method_has_a_group() -> None:
    """One without would be missing from the tables of accuracy."""
    groups = {name: accuracy_tables.group_of(name) for name in accuracy_tables.NAMES}
    assert set(groups.values()) == set(accuracy_tables.GROUPS)
    assert (groups["ease"], groups["hsd"], groups["vbpr"]) == ("counted", "denoising", "with content")
    assert groups["oracle-all"] == "ours, told something of the truth"
    assert groups.keys() == VARIANTS.keys() | PEERS.keys()


def test_what_helps_is_not_told_as_no_help() -> None:
    def row(difference: float, p: float | None) -> unhelpful_tables.Row:
        ends = difference - 0.01, difference + 0.01
        return unhelpful_tables.Row("part", "log", "GAUC", difference, p, ends, 3, "rankers")

    assert row(0.02, 0.01).helps
    assert not row(0.02, 0.2).helps, "p decides, for intervals over few seeds are too narrow"
    assert not row(-0.02, 0.2).worse
    assert row(-0.02, 0.01).worse
    assert not row(0.1, None).helps
    assert not row(-0.1, None).worse, "of one seed of a planted world no loss is shown"


def test_no_part_is_left_out_by_choice() -> None:
    """A part that no table names would be missing from what did not help, and so would one whose name died."""
    pairs = {pair for each in unhelpful_tables.PARTS.values() for pair in each}
    assert pairs <= set(PAIRS)
    named = {name for pair in (*symptoms_tables.OURS, *symptoms_tables.OTHERS) for name in pair}
    assert named <= VARIANTS.keys()
    planted = {(command, name) for _, command, *both in unhelpful_tables.PLANTED for name in both}
    of_parts = {name for command, name in planted if command == "parts"}
    assert of_parts - {"full"} == TRIALS["parts"].keys()
    assert all(name in TRIALS[command] or name in REFERENCE.get(command, {}) for command, name in planted)
    gates = {name for _, *both in unhelpful_tables.GATES for name in both}
    assert gates | set(unhelpful_tables.NOT_A_PART) == set(modality.VARIANTS)


def test_verdicts_are_counted() -> None:
    """The count that the page tells is of the rows below it, and of the definition of right that it names."""
    cells, _ = verdict_tables.cells(render.RESULTS / "audit")
    rights = Counter(verdict_tables.verdict(cell)[-1] for cell in cells)
    assert f"**{rights['yes']} of {len(cells)} verdicts are right.**" in PAGE
    for cell in cells:
        gains = [each["relative"] for each in verdict_tables.of_arm(cell["truth"], "weighted")]
        helps = sum(gains) / len(gains)
        says = cell["audit"]["verdict"]["answer"] == "weight it"
        assert cell["right"] == (helps > 0 if says else helps <= 0.01), cell["cell"]


def test_an_audit_without_the_content_of_its_log_is_not_counted(tmp_path: Path) -> None:
    """Its verdict is not the one that users get, who give the content they have."""
    for data in ("microlens50k", "ml100k"):
        truth = [{"model": "implicit als", "seeds": len(PEER_SEEDS)}]
        told = {"cell": {"data": data}, "audit": {"modalities": {}}, "truth": truth}
        (tmp_path / f"{data}.json").write_text(json.dumps(told))
    found, stale = verdict_tables.cells(tmp_path)
    assert ([each["cell"]["data"] for each in found], stale) == (["ml100k"], 1)


@pytest.mark.parametrize(("auroc", "told"), [(0.59, True), (0.7, False)])
def test_low_ratings_are_told_as_not_found_only_while_they_are_not(auroc: float, told: bool) -> None:
    runs: dict[str, list[dict[str, Any]]] = {"blend": [{"auroc": auroc}], "popularity": [{"auroc": 0.9}]}
    assert noise_tables.near_chance({("ml100k", "rating", 0.0): runs}) == told
    assert not noise_tables.near_chance({("ml100k", "replace", 0.1): runs})


def test_rankers_have_to_be_as_good_at_every_length() -> None:
    """The first length alone would have the aim reached whatever the others show; better than as good is reached, too."""
    pair = {"a": "ccl4rec", "b": "din", "relative": 0.0, "difference": 0.0, "high": 0.1, "verdict": "v", "mean_b": 0.7}

    def told(*lows: float, equal: bool = False) -> Found:
        families = [
            {
                "data": "ml100k",
                "length": length,
                "pairs": [pair | {"seeds": 3, "low": low, "p_equivalent_holm": 0.9 if low > 0 else 0.01}],
            }
            for length, low in zip((20, 100), lows, strict=True)
        ]
        stored = Stored(Path(), {})
        stored.__dict__["rankers"] = {"cells": {}, "comparisons": families}
        found = beside_din("ml100k", equal)(stored)
        assert found is not None
        return found

    assert (told(0.01, -0.015).reached, told(0.01, -0.015).seeds) == (False, "3")
    assert "L = 100" in told(0.01, -0.015).words
    assert told(0.01, -0.013).reached
    assert not told(0.01, -0.013, equal=True).reached
    assert told(-0.013, -0.013, equal=True).reached


def test_what_the_audit_said_is_not_mixed() -> None:
    """Harm where the log was too short to tell is not harm where it said leave alone; without advice nothing is reached."""

    def cell(answer: str, relative: float) -> dict[str, Any]:
        truth = {"model": "implicit als", "arm": "weighted", "relative": relative}
        return {"audit": {"verdict": {"answer": answer}}, "truth": [truth, truth | {"model": "EASE", "relative": -9.0}]}

    stored = Stored(Path(), {})
    stored.__dict__["audits"] = [cell(LEAVE, 0.0), cell(SHORT, -0.5)]
    assert others_models(0.01)(stored) is None
    stored.__dict__["audits"] += [cell(WEIGHT, 0.2)]
    told = others_models(0.01)(stored)
    assert told is not None
    assert told.reached
    assert told.words.endswith("leave alone: harmed in 0 of 1; too short to tell: harmed in 1 of 1")
    stored.__dict__["audits"] += [cell(LEAVE, -0.02)]
    told = others_models(0.01)(stored)
    assert told is not None
    assert not told.reached


@pytest.mark.parametrize(("short", "told"), [(0, "0.800"), (9, "0.800 / 0.900")])
def test_histories_of_six_are_told_apart_where_there_are_shorter_ones(short: int, told: str) -> None:
    lengths = {length: {"events": 5} for length in ("6-10", ">10")} | {"2-3": {"events": 0}, "4-5": {"events": short}}
    run: dict[str, Any] = {"auroc": 0.8, "auroc_6": 0.9, "by_history_length": lengths}
    assert noise_tables.both([run]) == told
