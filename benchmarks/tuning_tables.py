"""The section of docs/results.md about tuning: budget, grid, every trial on validation, and what was chosen."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accuracy import TUNED, Setting
from choices import chosen, moved
from page import Figures, folded, table
from tuning import BETWEEN_SEEDS, GRID, METRIC, Trial
from variants import VARIANTS


def sections(folder: Path) -> list[str]:
    """One table per share of noise; nothing where no trial is done."""
    trials: dict[str, dict[str, dict[str, Figures]]] = defaultdict(lambda: defaultdict(dict))
    for path in sorted(folder.glob("*.json")):
        figures = json.loads(path.read_text("utf-8"))
        if "trial" in figures:
            told = figures["trial"]
            trials[str(Setting(told["data"], told["rho"]))][told["method"]][told["config"]] = figures
    if not trials:
        return []
    done = [each for methods in trials.values() for configs in methods.values() for each in configs.values()]
    all_of_them = len(TUNED) * sum(map(len, GRID.values()))
    text = (
        "Whoever is tuned has the same budget: four configurations, one seed "
        "that no other table has, validation interactions alone (the test part is taken out before anything else), at the "
        "share of noise at which it is judged afterwards. A method whose four are not all done is not tuned: in the "
        "comparisons named *tuned* it has its defaults, which favours those that are. The default, and three declared "
        "changes of it: `dropout` (or a "
        "weaker `penalty`), a `slower` learning rate, and `own`, what the method's paper tunes first, or else `both`. "
        f"Figures are {METRIC.upper()} on validation, filtered, and the difference from the default ± its standard error "
        f"over users and training seeds; for the latter, which one seed cannot show, a standard deviation of "
        f"{BETWEEN_SEEDS:.1%} of the mean is taken, that of stored cells' validation without noise. The default stays "
        "unless the best is better by more than two standard errors. *Epochs*: of the weights kept, "
        "trained, allowed. The best of four validation figures is a little too good; what a choice is worth on test "
        "interactions is in the tables named *tuned*."
    )
    spent = sum(each["cpu_s"] for each in done) / 3600
    parts = ["## Tuning", text, f"{len(done)} of {all_of_them} trials are done, in {spent:.1f} CPU hours."]
    for setting in TUNED:
        name = str(setting._replace(tuned=False))
        if methods := trials.get(name):
            parts += [who(name), folded(f"{setting.plain.words}, validation", of_setting(name, methods))]
    return [*parts, "`python benchmarks/tuning.py run`, `python benchmarks/tuning.py choose`"]


def who(setting: str) -> str:
    """Which methods were tuned, and which of them were left as they are."""
    tuned, changed = chosen().get(setting, {}).keys(), moved(setting)
    said = {
        "Tuned, with other settings than the default": tuned & changed,
        "tuned, and the default stayed": tuned - changed,
        "not tuned": GRID.keys() - tuned,
    }
    names = {what: ", ".join(name for name in GRID if name in there) or "none" for what, there in said.items()}
    return "; ".join(f"{what}: {each}" for what, each in names.items()) + "."


def of_setting(setting: str, methods: Mapping[str, Mapping[str, Figures]]) -> str:
    """One row per trial, methods in the order of the grid."""
    choices = chosen().get(setting, {})
    rows: list[tuple[str, ...]] = []
    for method in (method for method in GRID if method in methods):
        configs = [config for config in GRID[method] if config in methods[method]]
        names = [VARIANTS[method].what, *[""] * (len(configs) - 1)]
        for name, config in zip(names, configs, strict=True):
            trial = methods[method][config]
            changes = Trial(**trial["trial"]).changes
            rows.append((name, *row(config, changes, trial, choices.get(method, {}))))
    return table(("method", "configuration", METRIC, "difference", "epochs", "CPU s", "chosen"), rows)


def row(config: str, changes: Mapping[str, Any], trial: Figures, choice: Mapping[str, Any]) -> tuple[str, ...]:
    """One trial; what a choice says of it is left out where none was made yet."""
    shown = ", ".join(f"{path.partition('.')[2]} {value:g}" for path, value in changes.items())
    against = choice.get("trials", {}).get(config)
    compared = against is not None and config != "default"
    epochs = f"{trial['best_epoch'] + 1}, {trial['epochs']}, {trial['training']['epochs']}"
    return (
        f"{config}: {shown}" if shown else config,
        f"{trial['validation'][METRIC]:.4f}",
        f"{against['difference']:+.4f} ± {against['standard_error']:.4f}" if compared else "",
        epochs,
        f"{trial['cpu_s']:,.0f}",
        "**yes**" if choice.get("config") == config else "",
    )
