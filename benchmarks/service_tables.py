"""The sections of docs/results.md about answers: what one costs inside the library, and what a request costs the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import page
from page import Figures, stored, table

REQUESTS = {
    "requests": "{:,.0f}",
    "not_200": "{:,.0f}",
    "of_5xx": "{:,.0f}",
    "cpu_ms": "{:.2f}",
    "per_second": "{:,.0f}",
    "p50_ms": "{:.1f}",
    "p99_ms": "{:.1f}",
    "memory_mb_before": "{:,.0f}",
    "memory_mb": "{:,.0f}",
}
"""Columns of the service, and how they are written."""


def sections(folder: Path) -> list[str]:
    """Of `answers.json` and `service.json`, as far as they are there."""
    return [*answers(folder / "answers.json"), *service(folder / "service.json")]


def answers(path: Path) -> list[str]:
    """CPU time of one answer."""
    told = stored(path)
    if told is None:
        return []
    text = (
        f"CPU milliseconds of one call on one thread, without the network: {told['items']:,} items, D = {told['dim']}. "
        "*Build*: CPU seconds to make the approximate index; *probed*: share of its clusters that are looked at; "
        f"*recall@10*: of the ten best against looking at every item. {rates([told['machine']])} Commit {told['commit']}."
    )
    columns = {
        "median_ms": "{:.2f}",
        "fastest_ms": "{:.2f}",
        "build_s": "{:.1f}",
        "probed": "{:.0%}",
        "recall@10": "{:.4f}",
    }
    head = ("call", "median", "fastest", "build", "probed", "recall@10")
    return ["## What an answer costs", text, table(head, rows(told["rows"], columns)), "`python benchmarks/answers.py`"]


def service(path: Path) -> list[str]:
    """What the service did under load."""
    told = stored(path)
    if told is None:
        return []
    load = f" What else ran: a load of {told['load']:g}, by which waits are longer." if told.get("load", 0) >= 1 else ""
    text = (
        f"One worker, {told['items']:,} items, D = {told['dim']}, histories of {told['history']}; {told['clients']} clients "
        "of one process on the same machine ask without a pause, so *requests/s* is a lower bound; *CPU ms* is that of the "
        "service's process per request; p50 and p99 are waits in milliseconds as clients see them; memory is resident, in "
        f"MB, before and after.{load} {rates(told.get('rates', []))} Commit {told['commit']}."
    )
    head = (
        "request",
        "requests",
        "not 200",
        "of these 5xx",
        "CPU ms",
        "requests/s",
        "p50",
        "p99",
        "memory before",
        "after",
    )
    return ["## The service", text, table(head, rows(told["rows"], REQUESTS)), "`python benchmarks/service.py`"]


def rows(measured: Mapping[str, Figures], columns: Mapping[str, str]) -> list[tuple[str, ...]]:
    """One row per thing measured; what was not measured of it is a dash."""
    return [
        (what, *(form.format(found[name]) if name in found else "–" for name, form in columns.items()))
        for what, found in measured.items()
    ]


def rates(found: Sequence[Figures]) -> str:
    """What the machine could do meanwhile, for one thread."""
    return f"Product and copy rates of the machine, as under *Speed*: {page.rates(found)}." if found else ""
