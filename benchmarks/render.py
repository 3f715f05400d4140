"""Write docs/results.md, and the accuracy tables of README.md and docs/findings.md, from the stored figures.

No number in them is typed. Each section is a module of its own; here is their order.

python benchmarks/render.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import aims
import headline
from accuracy_tables import NAMES, Cells, stored_cells
from accuracy_tables import sections as accurate
from aims_found import Stored
from comparisons_tables import sections as compared
from curves_tables import sections as curves
from fresh_tables import sections as fresh
from improved_tables import sections as improved
from modality_tables import sections as counted
from noise_tables import sections as finding_noise
from page import contents, machine_line, table
from peer_tables import sections as beside
from planted_tables import sections as planted
from rankers_tables import sections as ranked
from service_tables import sections as served
from speed_tables import sections as fast
from symptoms_tables import sections as symptoms
from tuning_tables import sections as tuned
from unhelpful_tables import sections as unhelpful
from verdict_tables import sections as audited

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "results.md"
COMPARISONS = RESULTS / "accuracy" / "comparisons.json"
README, FINDINGS = HERE.parent / "README.md", HERE.parent / "docs" / "findings.md"


def main() -> None:
    """Render every section whose figures are there."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    cells, stale = stored_cells(RESULTS / "accuracy")
    body = "\n\n".join(sections(cells, stale, PAGE.parent / "plots"))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(f"{HEAD}\n\n{contents(body)}\n\n{body}\n", "utf-8")
    headline.write(README, headline.FEW, cells, table)
    headline.write(FINDINGS, headline.ROWS, cells, table)


HEAD = """# Results

Written by `python benchmarks/render.py` from the figures stored in `benchmarks/results`; change those, not this page.
How each is measured: [benchmarks/README.md](../benchmarks/README.md). What they say, in a page: [findings](findings.md).
What is behind a triangle is folded away: open it for every figure, setting and command."""


def sections(cells: Cells, stale: int, plots: Path) -> Iterator[str]:
    """The page below its contents, in order.

    Args:
        cells: stored cells of accuracy by setting, then by method, one per seed.
        stale: stored cells that are left out.
        plots: folder of the plots, beside the page.
    """
    found = Stored(RESULTS, cells)
    yield from aims.sections(found)
    yield from accurate(cells, stale)
    yield from compared(COMPARISONS, plots, NAMES, table)
    yield from fresh(RESULTS / "fresh" / "comparisons.json", NAMES, table)
    yield from curves(cells, COMPARISONS, plots, table)
    yield from symptoms(cells, RESULTS / "symptoms", NAMES, table)
    yield from finding_noise(RESULTS / "noise", plots)
    yield from planted(RESULTS / "planted", plots)
    yield from counted(RESULTS / "modality")
    yield from ranked(RESULTS / "rankers.json", plots, aims.missed(found, aims.RANKERS))
    yield from beside(cells, NAMES)
    yield from fast(RESULTS)
    yield from served(RESULTS)
    yield from audited(RESULTS / "audit")
    yield from improved(found)
    yield from unhelpful(RESULTS)
    yield from tuned(RESULTS / "tuning")
    rows = [run for methods in cells.values() for runs in methods.values() for run in runs]
    yield from ("## Machines", machine_line([*rows, *found.speed.values()]))


if __name__ == "__main__":
    main()
