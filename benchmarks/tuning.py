"""One declared tuning budget, the same for whoever is tuned: validation data only. Who is not tuned keeps its defaults.

    python benchmarks/tuning.py list                                     the trials, done or not
    python benchmarks/tuning.py run --only 'microlens50k.rho0.3.sasrec.*'
    python benchmarks/tuning.py choose                                   results/tuning/chosen.json from what is done
    python benchmarks/accuracy.py run --only '*.tuned.*'                 test figures with the chosen settings

A method has four configurations: its default, more dropout (or a weaker penalty), a lower learning rate, and one change of
what its own paper tunes first; where that is nothing else, the two before together. One seed, which no cell of
`accuracy.py` has. A trial is fitted on a log whose test interactions were taken out before anything else, and judged by
NDCG@20, filtered, on every validation question, with the weights that fit's own early stopping kept.

A method is tuned at the share of noise it is judged at, because who has a noisy log has only that: its validation
interactions are as noisy as the rest. The default stays unless another configuration is better by more than two standard
errors of the difference, over users and over training seeds (`BETWEEN_SEEDS`). Opponents are tuned before ours: a method
whose four trials are not all done has its default in what is compared as tuned, and so has one whose default stays; their
cells are the default's, and no new ones are run. A trial leaves `results/tuning/TRIAL.json`
(its figures) and `results/values/tuning.TRIAL.parquet` (values per user).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
from accuracy import TUNED, VALUES, fitted

if TYPE_CHECKING:
    import numpy as np

    from siftrec.data.catalog import Catalog
    from siftrec.data.split import Split
    from siftrec.methods.base import Method
    from siftrec.train.settings import Training

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "tuning"
SEED = 0
METRIC = "ndcg@20"
CLEAR = 2.0
"""Standard errors by which another configuration must be better than the default."""
BETWEEN_SEEDS = 0.01
"""Standard deviation of validation NDCG between training seeds, as a share of its mean; what one seed cannot show.

From the validation curves of the methods with three seeds on microlens50k, ρ = 0, in `results/accuracy`, where nothing but
the training seed differs: NDCG@10 after the last three epochs that all seeds had, pooled. No test figure has a part in it.
The best epoch of each seed differs by less: it was picked. Under noise seeds differ by more, so this is a floor.
"""

Changes = Mapping[str, Any]
SLOWER: Changes = {"training.learning_rate": 1e-3}
"""A quarter of the default; with it come twice the method's own epochs (`Trial.changes`)."""


def grid(own: Changes | None = None, at: str = "method") -> dict[str, Changes]:
    """The four configurations of a method with dropout.

    Args:
        own: the change of what its own paper tunes first.
        at: key path of the settings that hold `dropout`.
    """
    dropout = {f"{at}.dropout": 0.5}
    four: dict[str, Changes] = {"default": {}, "dropout": dropout, "slower": SLOWER}
    return four | ({"own": own} if own else {"both": dropout | dict(SLOWER)})


def penalised(own: Changes) -> dict[str, Changes]:
    """The four configurations of a method with a penalty in place of dropout."""
    return {"default": {}, "penalty": {"method.l2": 1e-3}, "slower": SLOWER, "own": own}


BASE = "method.base"
GRID = {
    "sasrec": grid(),
    "sasrec-prefixes": grid(),
    "bprmf": penalised({"method.l2": 0.1}),
    "gru4rec": grid(),
    "gsasrec": grid({"method.calibration": 0.5}),
    "fmlprec": grid(),
    "sasrec-content": grid(),
    "sasrec-content-prefixes": grid(),
    "cl4srec": grid({"method.weight": 0.02}, BASE),
    "coserec": grid({"method.weight": 0.02}, BASE),
    "ec4srec": grid({"method.weight": 0.02, "method.negative_weight": 0.01}, BASE),
    "causerec": grid({"method.user_weight": 0.02, "method.target_weight": 0.02}, BASE),
    "tce": grid({"method.share": 0.2}, BASE),
    "rce": grid({"method.power": 0.05}, BASE),
    "hsd": grid({"method.temperature": 0.5}, BASE),
    "vbpr": penalised({"method.l2": 0.1}),
    "two-tower": grid(),
    "freedom": penalised({"method.prune": 0.9}),
    "ccl4rec-next": grid(),
    "ccl4rec": grid({"method.views.hardness": 0.5}),
    "ccl4rec-denoise": grid({"method.denoise.severity": 1.2}),
    "late": grid(at=BASE),
    "demure": grid({"method.mil.weight": 0.02}, BASE),
    "demure-ccl4rec": grid({"method.base.views.hardness": 0.5}, BASE),
    "demure-ccl4rec-denoise": grid({"method.base.denoise.severity": 1.2}, BASE),
}
"""Method of `variants.VARIANTS` → name of the configuration → key path → value that is not the default.

Ablations are not tuned: they are compared with what they were cut from, at equal settings.
"""


@dataclass(frozen=True)
class Trial:
    """One configuration, fitted and validated.

    Attributes:
        data: name of the data set.
        rho: share of planted noise.
        method: name in `GRID`.
        config: name in `GRID[method]`.
    """

    data: str
    rho: float
    method: str
    config: str

    def __str__(self) -> str:
        return f"{self.setting}.{self.method}.{self.config}"

    @property
    def setting(self) -> str:
        """Data set and share of noise, as in the names of cells."""
        return f"{self.data}.rho{self.rho:g}"

    @property
    def result(self) -> Path:
        """The figures."""
        return RESULTS / f"{self}.json"

    @property
    def values(self) -> Path:
        """The values per user."""
        return VALUES / f"tuning.{self}.parquet"

    @property
    def changes(self) -> dict[str, Any]:
        """Key path → value that is not the default."""
        from variants import training_of

        changes = GRID[self.method][self.config]
        longer = {"training.epochs": 2 * training_of(self.data, self.method).epochs}
        return {**changes, **(longer if SLOWER.keys() <= changes.keys() else {})}

    @property
    def made(self) -> tuple[Method, Training]:
        """The method and how it is trained."""
        from choices import changed
        from variants import method_of, training_of

        what = (self.data, self.method)
        return changed(method_of(*what), training_of(*what), self.changes)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the figures beside the data and the code."""
        from choices import described

        return described(*self.made)

    @property
    def done(self) -> bool:
        """Whether figures and values are there, made with the settings of now."""
        if not (self.result.exists() and self.values.exists()):
            return False
        return machine.unchanged(json.loads(self.result.read_text("utf-8"))["settings"], self.settings)


def trials(patterns: list[str] | None = None) -> list[Trial]:
    """All trials whose name matches a pattern, in the order they run: method by method, so that one can be chosen early."""
    every = [
        Trial(setting.data, setting.rho, method, config)
        for method, configs in GRID.items()
        for setting in TUNED
        for config in configs
    ]
    return [trial for trial in every if not patterns or any(fnmatch(str(trial), pattern) for pattern in patterns)]


def without_test(split: Split) -> Split:
    """The split as if its test interactions had never been logged."""
    from siftrec.data.split import TEST

    kept = split.role < TEST
    return replace(split, log=split.log.where(kept), role=split.role[kept])


def knowable(data: str, rho: float, method: str, folder: Path, seed: int = SEED) -> tuple[Split, Catalog]:
    """All that a trial may know: train and validation interactions, with their noise, and the catalog.

    Args:
        data: name of the data set.
        rho: share of planted noise.
        method: name in `variants.VARIANTS`, which decides whether the catalog has content.
        folder: of the data sets.
        seed: of the noise.
    """
    from datasets import load
    from variants import VARIANTS

    from siftrec.noise.inject import inject

    loaded = load(data, folder)
    split = without_test(loaded.split)
    catalog = (loaded if VARIANTS[method].content else loaded.ids_only()).catalog
    return (inject(split, "replace", rho, seed).split if rho else split), catalog


def run_trial(trial: Trial, folder: Path) -> None:
    """Fit, validate and store one trial."""
    import per_user

    from siftrec.evaluate.evaluation import evaluate

    split, catalog = knowable(trial.data, trial.rho, trial.method, folder)
    started = time.process_time()
    trained, told = fitted(str(trial), *trial.made, split, catalog, SEED)
    evaluation = evaluate(trained, split.valid, (20,), split="valid")
    per_user.write(evaluation, (METRIC,), trial.values)
    told |= {
        "validation_epochs": told.pop("validation"),
        "validation": evaluation.means(),
        "users": len(evaluation.users),
        "cpu_s": time.process_time() - started,
        "machine": machine.describe(),
        "commit": machine.commit(),
        "settings": trial.settings,
        "command": f"python benchmarks/tuning.py run --only '{trial}'",
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    figures = {"schema": 1, "trial": asdict(trial), "seed": SEED} | told
    trial.result.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


def choice(values: Mapping[str, np.ndarray]) -> tuple[str, dict[str, dict[str, float]]]:
    """The configuration to take, and what speaks for it.

    Args:
        values: configuration → (Q,) values of the same validation users; one is `default`.

    Returns:
        Its name; and of each the mean, the difference from the default, and the standard error of that over users and
        training seeds.
    """
    found = {}
    between = 2**0.5 * BETWEEN_SEEDS * float(values["default"].mean())
    for config, each_Q in values.items():
        gain_Q = each_Q - values["default"]
        error = math.hypot(float(gain_Q.std(ddof=1)) / len(gain_Q) ** 0.5, between)
        found[config] = {METRIC: float(each_Q.mean()), "difference": float(gain_Q.mean()), "standard_error": error}
    best = max(found, key=lambda config: found[config]["difference"])
    return best if found[best]["difference"] > CLEAR * found[best]["standard_error"] else "default", found


def stands(setting: str, method: str, choice: Mapping[str, Any]) -> bool:
    """Whether a stored choice is a configuration of today's grid, with the settings of now."""
    from siftrec.errors import SettingsError

    if choice["config"] not in GRID.get(method, {}):
        return False
    data, _, rho = setting.partition(".rho")
    trial = Trial(data, float(rho), method, choice["config"])
    try:
        return bool(choice["changes"] == trial.changes and choice["settings"] == trial.settings)
    except SettingsError:
        return False


def choose(_: argparse.Namespace) -> None:
    """Choose for every method whose four trials are done; earlier choices stay while their settings are those of now."""
    import per_user
    from choices import CHOSEN, chosen

    choices: dict[str, dict[str, Any]] = {}
    for setting, methods in chosen().items():
        choices[setting] = {name: each for name, each in methods.items() if stands(setting, name, each)}
    for default in (trial for trial in trials() if trial.config == "default"):
        four = {config: replace(default, config=config) for config in GRID[default.method]}
        if not all(trial.done for trial in four.values()):
            print(f"{default.setting}.{default.method}: not all of its trials are done", file=sys.stderr)
            continue
        config, found = choice({name: per_user.read(trial.values).per_user(METRIC) for name, trial in four.items()})
        choices.setdefault(default.setting, {})[default.method] = {
            "config": config,
            "changes": four[config].changes,
            "trials": found,
            "settings": four[config].settings,
        }
    RESULTS.mkdir(parents=True, exist_ok=True)
    CHOSEN.write_text(json.dumps({"schema": 1, "metric": METRIC, "choices": choices}, indent=1) + "\n", "utf-8")
    print(f"wrote {CHOSEN}", file=sys.stderr)


def run(given: argparse.Namespace) -> None:
    """Run what is not done, each trial in a process of its own with one thread."""
    todo = [str(trial) for trial in trials(given.only) if given.again or not trial.done]
    machine.run_each(__file__, "trial", todo, given.data, given.jobs)


def show(given: argparse.Namespace) -> None:
    """List the trials."""
    for trial in trials(given.only):
        print(f"{'done' if trial.done else '    '}  {trial}")


def one(given: argparse.Namespace) -> None:
    """Run a single trial in this process."""
    machine.one_thread()
    run_trial(trials(given.only)[0], given.data)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("list", show), ("run", run), ("trial", one), ("choose", choose)):
        command = commands.add_parser(name, help=(work.__doc__ or "").splitlines()[0])
        command.set_defaults(work=work)
        if name == "trial":
            command.add_argument("only", nargs=1, metavar="TRIAL")
        elif name != "choose":
            command.add_argument("--only", nargs="+", metavar="PATTERN", help="names of trials, with * and ?")
        if name in ("run", "trial"):
            command.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    commands.choices["run"].add_argument("--jobs", type=int, default=1, help="trials at a time, one thread each")
    commands.choices["run"].add_argument("--again", action="store_true", help="also trials that are done")
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
