"""The section of docs/results.md about speed: each row beside what was asked, its peers and its machine."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from page import Figures, folded, middle, number, processor, rates, stored, table
from words import flat

TEXT = """One thread, unless a row says otherwise; rates are per CPU second, seconds of commands wall time. Median of the
repeats [least–most].
*Machine*: its processor, and what one thread of it did before and after the row: float32 products of 1024² matrices in
GFLOP/s, and copying 64 MiB in GB/s (read and written). Training rows run the library's own loop. *Asked*: an aim set before
anything was built; *known*: what stood then for what can be had."""


def sections(results: Path) -> list[str]:
    """One row per measurement; settings and the profile of what is out of reach are folded away."""
    figures = stored(results / "speed.json")
    if figures is None:
        return []
    rows = figures["rows"]
    head = ("what", "unit", "measured", "asked", "reached", "peers in the same run", "machine", "known")
    lines = [
        (
            row["what"],
            row["unit"],
            middle(row["values"]),
            asked(row),
            "yes" if reached(row) else "**no**",
            "; ".join(
                f"{name} {middle(peer['values'])} (× {times(row, peer):.1f})" for name, peer in row["peers"].items()
            ),
            f"{processor(row)}: {rates(row['rates'])}",
            row["known"],
        )
        for row in rows.values()
    ]
    told = "\n".join(f"- {row['what']}: {settings(row)}. `{row['command']}`" for row in rows.values())
    parts = ["## Speed", TEXT, machines(rows.values()), table(head, lines)]
    parts.append(folded("Settings and command of each row", told))
    return parts + [profile(results / "profiles", name, row) for name, row in rows.items() if not reached(row)]


def machines(rows: Iterable[Figures]) -> str:
    """How far the machines are apart, so that nobody compares rows of two."""
    by_name: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_name[processor(row)] += [each["gemm_gflops"] for each in row["rates"]]
    if len(by_name) == 1:
        return f"All rows on one machine, {next(iter(by_name))}."
    medians = {name: statistics.median(found) for name, found in by_name.items()}
    told = "; ".join(f"{name} {medians[name]:.0f} [{min(of):.0f}–{max(of):.0f}]" for name, of in by_name.items())
    apart = max(medians.values()) / min(medians.values())
    return (
        f"**Rows of different machines are not to be compared**: their products differ by a factor of {apart:.1f} in the "
        f"median ({told}; a machine that others use as well differs from itself)."
    )


def times(row: Figures, peer: Figures) -> float:
    """Ours over the peer's, medians."""
    return float(row["median"] / statistics.median(peer["values"]))


def reached(row: Figures) -> bool:
    """Whether the figure asked for was reached."""
    if row["times_peer"]:
        return bool(row["peers"]) and times(row, next(iter(row["peers"].values()))) >= row["asked"]
    return bool(row["median"] <= row["asked"]) if row["less"] else bool(row["median"] >= row["asked"])


def asked(row: Figures) -> str:
    """The figure asked for, in words."""
    if row["times_peer"]:
        return f"{row['asked']:g} × {next(iter(row['peers']), 'the peer')}"
    return f"at {'most' if row['less'] else 'least'} {number(row['asked'])}"


def settings(row: Figures) -> str:
    """What ran: ours, then each peer."""
    peers = [f"{name}: {flat(peer['settings'])}, {flat(peer['versions'])}" for name, peer in row["peers"].items()]
    beside = flat(row["beside"])
    return "; ".join(part for part in (flat(row["settings"]), beside, *peers) if part)


def profile(folder: Path, name: str, row: Figures) -> str:
    """The stored profile of a row that is out of reach."""
    told, path = f"**Out of reach**: {row['what']}", folder / f"{name}.txt"
    command = f"`python benchmarks/speed.py {name} --profile`"
    if row["unit"] != "targets/s":
        return f"{told}."
    if not path.exists():
        return f"{told}; {command} shows where its time goes."
    where = "\n".join(line.rstrip() for line in path.read_text("utf-8").rstrip().splitlines())
    fenced = f"```\n{where}\n```"
    return f"{told}.\n\n{folded('Where its time goes', command, fenced)}"
