"""The accuracy tables of README.md and docs/findings.md, from the stored figures: means over seeds on microlens50k."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accuracy import Setting

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
Cells = Mapping[Setting, Mapping[str, Sequence[Mapping[str, Any]]]]

BEGIN, END = "<!-- accuracy: begin -->\n", "\n<!-- accuracy: end -->"
DATA, METRICS = "microlens50k", ("ndcg@20", "recall@20")
ROWS = {
    "markov": "Markov, first order",
    "itemknn": "item-kNN",
    "ease": "EASE",
    "sasrec": "SASRec",
    "sasrec-prefixes": "SASRec, every prefix a row",
    "gru4rec": "GRU4Rec",
    "cl4srec": "CL4SRec",
    "coserec": "CoSeRec",
    "tce": "T-CE around SASRec",
    "rce": "R-CE around SASRec",
    "hsd": "HSD-style sieve before SASRec",
    "fmlprec": "FMLP-Rec",
    "sasrec-content": "SASRec with content",
    "sasrec-content-prefixes": "SASRec with content, every prefix a row",
    "two-tower": "two-tower: id and content, mean of the history",
    "ccl4rec-ids-next": "CCL4Rec without content, next-item loss only",
    "ccl4rec-next": "CCL4Rec, next-item loss only",
    "ccl4rec": "CCL4Rec",
    "ccl4rec-denoise": "CCL4Rec, next-item loss, `denoise`",
    "oracle-targets": "the same, told which targets are noise",
    "oracle-all": "the same, told which interactions are noise",
}
FEW = ("itemknn", "sasrec", "fmlprec", "sasrec-content-prefixes", "ccl4rec", "ccl4rec-denoise", "oracle-all")
"""The rows that README.md has."""


def write(page: Path, names: Iterable[str], cells: Cells, table: Table) -> None:
    """Put the table between its marks.

    Args:
        page: has the marks.
        names: the methods to show, in order.
        cells: stored cells by setting, then by method, one per seed.
        table: from head and rows to Markdown.
    """
    text = page.read_text("utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END, 1)[1]
    head = ("NDCG@20 / Recall@20, seeds", "the log as it is", "with 30 % noise")
    rows = [
        (ROWS[name], *(_told(cells.get(Setting(DATA, rho), {}).get(name, ())) for rho in (0.0, 0.3))) for name in names
    ]
    page.write_text(f"{before}{BEGIN}{table(head, rows)}{END}{after}", "utf-8")


def _told(runs: Sequence[Mapping[str, Any]]) -> str:
    if not runs:
        return ""
    found = [[run["evaluation"]["metrics"]["filtered"][metric] for run in runs] for metric in METRICS]
    means = " / ".join(f"{statistics.mean(values):.4f}".lstrip("0") for values in found)
    return f"{means}, {len(runs)}"
