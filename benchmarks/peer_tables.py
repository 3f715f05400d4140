"""Other libraries beside ours as tables, from stored cells. No number in them is typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accuracy import Setting
from page import folded, processor, table
from peer import CHOSEN_BY, PEERS, VALIDATED

Figures = Mapping[str, Any]
METRICS = ("ndcg@10", "ndcg@20", "recall@20")
RATES = ("targets_per_s", "users_per_s")
OURS = ("itemknn", "ease", "bprmf", "vbpr", "sasrec", "ccl4rec-next", "ccl4rec", "ccl4rec-denoise")
TEXT = """Other libraries, each in its own environment at exact versions (`benchmarks/peers`), on the same split of
microlens50k, one thread; their lists are judged by our metrics, filtered. Seed 1 of everything."""
COLUMNS = """Ours have their defaults. *Fit*: CPU seconds of the one fit that is judged; ours watch validation meanwhile.
*Targets*: training interactions times epochs over those seconds. *Users*: answered with 50 items per CPU second; of ours,
with the ranks of their targets. *Peak*: resident memory of the process. *Machine*: its processor; seconds of two are not to
be compared (see *Speed*). –: a method without such a figure, or a cell that
was run before it was measured."""


def sections(cells: Mapping[Setting, Mapping[str, Sequence[Figures]]], names: Mapping[str, str]) -> list[str]:
    """One table for each share of noise at which a peer has run.

    Args:
        cells: stored cells by setting, then by method, one per seed.
        names: of methods.
    """
    parts = []
    shown: dict[str, None] = {}
    for setting in dict.fromkeys(Setting("microlens50k", rho) for peer in PEERS.values() for rho in peer.rhos):
        runs = {name: of[0] for name in (*PEERS, *OURS) if (of := _first(cells.get(setting, {}).get(name, ())))}
        if peers := [name for name in runs if name in PEERS]:
            shown |= dict.fromkeys(peers)
            head = ("", *METRICS, "fit, CPU s", "targets per CPU s", "top-50 users per CPU s", "peak, GB", "machine")
            figures = table(head, [(names[name], *_row(run)) for name, run in runs.items()])
            told = "\n".join(f"- {names[name]}: {_told(runs[name])}" for name in peers)
            patterns = " ".join(f"'{setting}.{name}.*'" for name in peers)
            command, title = f"`python benchmarks/accuracy.py run --only {patterns}`", f"Peers, {setting.words}"
            if setting.rho:
                parts.append(folded(title, figures, told, command))
            else:
                parts += [f"### {title}", figures, folded("Versions and settings", told, command)]
    return ["## Peers side by side", _text(list(shown), names), *parts] if parts else []


def _text(shown: Sequence[str], names: Mapping[str, str]) -> str:
    """How the peers that are shown were set, and what the columns are."""
    several = [names[name] for name in shown if len(PEERS[name].grid) > 1]
    one = [names[name] for name in shown if len(PEERS[name].grid) == 1]
    missing = [peer.what for name, peer in PEERS.items() if name not in shown]
    unread = [names[name] for name in shown if not PEERS[name].reads]
    said = [
        f"Of several settings the best by {CHOSEN_BY.upper()} of at most {VALIDATED:,} validation questions: "
        f"{', '.join(several)}."
        if several
        else "",
        f"One setting: {', '.join(one)}." if one else "",
        f"Not run: {', '.join(missing)}." if missing else "",
        "Know no users but those they were trained on, so are trained on validation interactions too, which ours are not: "
        f"{', '.join(unread)}."
        if unread
        else "",
    ]
    return " ".join([TEXT, *filter(None, said), COLUMNS])


def _first(runs: Sequence[Figures]) -> list[Figures]:
    return [run for run in runs if run["cell"]["seed"] == 1]


def _row(run: Figures) -> tuple[str, ...]:
    values = run["evaluation"]["metrics"]["filtered"]
    fit = run.get("fit_cpu_s")
    return (
        *(f"{values[metric]:.4f}" for metric in METRICS),
        "–" if fit is None else f"{fit:,.1f}",
        *(f"{run[rate]:,.0f}" if run.get(rate) else "–" for rate in RATES),
        f"{run['peak_bytes'] / 1e9:.2f}" if run.get("peak_bytes") else "–",
        processor(run),
    )


def _told(run: Figures) -> str:
    """Versions and settings, and what else was tried."""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    values = [f"{_flat(each['settings'])} ({each[CHOSEN_BY]:.4f})" for each in run.get("tried", ())]
    tried = f"; tried, with validation {CHOSEN_BY.upper()}: {'; '.join(values)}" if values else ""
    return f"{versions}; {_flat(run['method'])}{tried}."


def _flat(settings: Figures) -> str:
    left = {key: value for key, value in settings.items() if key not in ("use", "command", "k", "seed")}
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in left.items()
    )
