"""An evaluation in one line, and as a table for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from siftrec.display import html_table
from siftrec.evaluate.impressions import weighted
from siftrec.evaluate.rank import FILTERS, Filter
from siftrec.evaluate.significance import estimate, linear

if TYPE_CHECKING:
    from siftrec.evaluate.evaluation import Evaluation


def line(evaluation: Evaluation) -> str:
    """What was evaluated, the usual metrics, and what the reader must know to believe them."""
    about, filter = evaluation.about, next(iter(evaluation.values))
    means = evaluation.means(filter)
    ndcg = next((name for name in ("ndcg@10", *means) if name in means and name.startswith("ndcg")), None)
    usual = ("gauc", "auc") if ndcg is None else (ndcg, ndcg.replace("ndcg", "recall"))
    names = [name for name in usual if name in means] or list(means)[:2]  # one made by hand may have any
    shown = ", ".join(f"{name} {means[name]:.4f}" for name in names) or "no metric"
    told = [f"{len(evaluation.users):,} users, {about.items:,} items, {about.tied:.1%} of targets tied"]
    if about.repeated:
        share = f"{about.repeated:.1%}" if about.repeated >= 0.001 else "under 0.1%"
        told.append(f"{share} of targets repeat an item of their user's history")
    if about.unasked:
        told.append(f"{about.unasked:,} users with a target were not asked, for they have no history")
    return f"{about.method} on {about.split} ({about.protocol}): {shown}, {FILTERS[filter]}; {'; '.join(told)}"


def html(evaluation: Evaluation) -> str:
    """Every metric, filtered and unfiltered, with normal 95 % intervals over users where it is a mean of theirs."""
    means = {filter: evaluation.means(filter) for filter in evaluation.values}
    names = next(iter(means.values()))
    rows = [(name, *(_cell(evaluation, name, filter, each[name]) for filter, each in means.items())) for name in names]
    return html_table(line(evaluation), ("mean [95 % over users]", *(FILTERS[filter] for filter in means)), rows)


def _cell(evaluation: Evaluation, name: str, filter: Filter, mean: float) -> str:
    digits = 1 if name.startswith("arp") else 4
    weight = evaluation.weight if weighted(name) else np.ones(1)
    if name not in evaluation.metrics or weight is None or len(evaluation.users) < 2:
        return f"{mean:,.{digits}f}"
    around = 1.96 * estimate(linear(evaluation.per_user(name, filter), weight)).error
    return f"{mean:,.{digits}f} [{mean - around:,.{digits}f}, {mean + around:,.{digits}f}]"
