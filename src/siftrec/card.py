"""The model card: what a trained run is, on what data, how well it did, and what it is not for. Written from the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from siftrec.artifact import parameters
from siftrec.errors import ArtifactError, DataError
from siftrec.evaluate.evaluation import Evaluation
from siftrec.evaluate.impressions import weighted
from siftrec.evaluate.kept import kept, kept_at
from siftrec.evaluate.rank import FILTERS
from siftrec.files import read_json
from siftrec.methods.trained import Trained
from siftrec.settings import describe, toml_lines

_SHOWN = ("ndcg@", "recall@", "gauc")


def card(trained: Trained, run: Path, notes: Iterable[str] = ()) -> str:
    """Markdown.

    Args:
        trained: the model.
        run: its run folder; what it does not hold, or holds of another run, the card does not claim.
        notes: lines on the form in which the model comes.
    """
    record = _record(trained, run)
    name = type(trained.method).__name__
    parts = [
        f"# Model card: {name}",
        f"{name} recommends items to a user by the order of what the user did before. " + " ".join(notes),
        "## Intended use",
        "Ranking the items of this catalog, and items like them that are added by their content, for histories like those "
        "it was trained on. Users need not have been there in training. Not for decisions about people.",
        "## Data",
        _table(("what", "value"), _data(trained, record)),
        "## Figures",
        _figures(trained, run, record),
        "## Settings",
        "```toml\n" + "\n".join(toml_lines({"method": describe(trained.method)})).strip() + "\n```",
        "## Noise",
        _noise(trained, run, record),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(trained)),
    ]
    return "\n\n".join(parts) + "\n"


def _record(trained: Trained, run: Path) -> dict[str, Any]:
    """`run.json` if it tells of this model; empty where another was put into the folder, be it of other settings alone."""
    facts, record = trained.facts, _json(run / "run.json")
    own = {
        "seed": facts.seed,
        "protocol": facts.protocol,
        "fingerprints": {"train": facts.train, "test": facts.test, "model": trained.fingerprint},
        "epochs": facts.epochs,
    }
    return record if all(record.get(name) == value for name, value in own.items()) else {}


def _data(trained: Trained, record: dict[str, Any]) -> list[tuple[str, str]]:
    facts, learned = trained.facts, parameters(trained)
    judged, _, _ = facts.protocol.partition(" by ")
    clicks = {"impressions": "clicks, and items only shown,", "sampled candidates": "clicks, and items only sampled,"}
    rows = [
        ("training data (SHA-256)", facts.train),
        ("test questions (SHA-256)", facts.test),
        ("protocol", facts.protocol),
        ("users", _count(record.get("users"))),
        ("items", f"{len(trained.items) - 1 - trained.added:,}"),
        ("items added after training", f"{trained.added:,}"),
        (f"{clicks.get(judged, 'interactions')} trained on", f"{int(trained.popularity.sum()):,}"),
        ("items never trained on", f"{int((trained.popularity[1:] == 0).sum()):,}"),
        *((f"content `{_plain(c.name)}`", f"{c.width} numbers, {c.coverage:.1%} of items") for c in trained.contents),
        ("seed, epochs", f"{facts.seed}, {facts.epochs}"),
        ("settings and weights (SHA-256)", trained.fingerprint),
        ("parameters", f"{learned['embedding']:,} one row per item, {learned['other']:,} other"),
        ("versions", ", ".join(f"{k} {v}" for k, v in record.get("versions", {}).items())),
    ]
    return [(name, _plain(value)) for name, value in rows if value]


def _figures(trained: Trained, run: Path, record: dict[str, Any]) -> str:
    """Means over users with 95 % intervals, of the test part where it was evaluated, else of validation."""
    if not record:
        return "None: no evaluation of this model is at hand."
    for split in ("test", "valid"):
        found = _evaluation(trained, run, split)
        if found is not None:
            shown = _chosen(found.metrics)
            names = [FILTERS[each] for each in found.values]
            lines = [f"| {split}, {len(found.users):,} users | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
            for metric in shown:
                spread = [_spread(metric, found.per_user(metric, each)) for each in found.values]
                lines.append(f"| {metric} | {' | '.join(spread)} |")
            told = "Mean over users and its 95 % interval (normal). "
            if any(map(weighted, shown)):
                told += "A mean that weighs users stands without one. "
            if "seen" in found.values:
                told += "Filtered: the user's own items cannot be recommended. "
            return "\n".join(lines) + f"\n\n{told}One seed: how much another would change is not in the interval."
    for name, means in _json(run / "metrics.json").get("metrics", {}).items():
        some = [(metric, f"{means[metric]:.4f}") for metric in _chosen(means) if means[metric] is not None]
        if some:
            head = (f"validation, {name}", "mean over users")
            return f"{_table(head, some)}\n\n{_without_test(run)}"
    return "None: no evaluation of this model is at hand."


def _chosen(metrics: Iterable[str]) -> list[str]:
    return [metric for metric in metrics if metric.startswith(_SHOWN)]


def _without_test(run: Path) -> str:
    """Why there are no figures of the test part."""
    if kept_at(run, "test").exists():
        return (
            "The evaluation that is kept of the test part is of another model, as before more training; evaluate again."
        )
    return "The test part was not evaluated."


def _evaluation(trained: Trained, run: Path, split: str) -> Evaluation | None:
    try:
        found = kept(run, split)
    except DataError:
        return None
    facts, about = trained.facts, found.about
    ours = (trained.fingerprint, facts.seed, {"train": facts.train, "test": facts.test})
    return found if (about.model, about.seed, about.fingerprint) == ours else None


def _spread(metric: str, values: np.ndarray) -> str:
    if weighted(metric):
        return f"{values.mean():.4f}"
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{values.mean():.4f} ± {half:.4f}"


def _noise(trained: Trained, run: Path, record: dict[str, Any]) -> str:
    how = describe(trained.method)
    denoise = how.get("denoise") or how.get("base", {}).get("denoise")
    planted = [file.stem for file in (run / "injected.parquet", run / "foreign.parquet") if file.is_file()]
    lines = [
        f"A detector of false-positive interactions is part of the model: {denoise['detector']['use']}; see the settings."
        if denoise
        else "No detector of false-positive interactions is part of the model.",
        "Whether noise was planted in the training log is not known: there is no record of the run."
        if not record
        else f"The training log has planted noise ({', '.join(planted)}.parquet): this is an experiment, not a product."
        if planted
        else "No noise was planted in the log. How much it holds by itself is for `siftrec audit` to say.",
    ]
    return " ".join(lines)


def _limits(trained: Trained) -> list[str]:
    cold = (
        "a new item needs content" if trained.contents else "an item it was not trained on is hardly ever recommended"
    )
    return [
        f"It reads the last {trained.method.length} interactions of a history, and {cold}.",
        "Where nothing of a history is known it answers with the most popular items.",
        "Scores order the items of one answer; they are not probabilities and do not compare between answers.",
        "It learned what users did, so it repeats what was shown to them and what was popular; it was not tested for "
        "fairness between groups of users or makers.",
        "Tastes and catalogs move: the figures are of the time of the log.",
        "Where it gives a probability of noise, that is under the assumption that noise is drawn by popularity.",
    ]


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except ArtifactError:
        return {}


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _plain(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False)[1:-1].replace("|", "\\|").replace("`", "'")


def _table(header: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| {} | {} |".format(*header), "|---|---|", *(f"| {left} | {right} |" for left, right in rows)])
