"""How good siftrec's methods are: every cell (data set, share of noise, method, seed) is one resumable unit.

    python benchmarks/accuracy.py list                             the cells, done or not
    python benchmarks/accuracy.py run --jobs 2                     all cells that are not done, two at a time
    python benchmarks/accuracy.py run --only 'microlens50k.*.seed1' 'ml1m.*.markov.*'
    python benchmarks/accuracy.py run --curves swap --only 'microlens50k.*'   those of a noise curve (curves.py) instead
    python benchmarks/accuracy.py compare                          paired comparisons of the cells that are done
    python benchmarks/render.py                                    docs/results.md from the stored figures

A cell leaves `results/accuracy/CELL.json` (its figures) and `results/values/CELL.parquet` (values per user).
The share of noise is that of popularity-drawn `replace` in train and validation interactions; it differs from seed to
seed. Test targets are never touched. Methods that read modalities apart also run under foreign content: in that share of
train and validation interactions, modality by modality, what was shown is another item's. Noise curves are cells with
more shares and more mechanisms, which are days of CPU time: they run with `--curves` only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import machine
from curves import CURVES, OFTEN
from datasets import MODALITIES

if TYPE_CHECKING:
    from siftrec.data.catalog import Catalog
    from siftrec.data.split import Split
    from siftrec.evaluate.evaluation import Evaluation
    from siftrec.methods.base import Method
    from siftrec.methods.trained import Trained
    from siftrec.train.settings import Training

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "accuracy"
VALUES = HERE / "results" / "values"

DATASETS = ("microlens50k", "ml1m")
RHOS = (0.0, 0.3)
FOREIGN = (0.0, 0.2)
SEEDS = (1, 2, 3, 4, 5)
FEWER = SEEDS[:3]
FIVE: Mapping[tuple[float, float], tuple[str, ...]] = {
    (0.0, 0.0): ("ccl4rec-next", "ccl4rec-denoise"),
    (0.3, 0.0): ("ccl4rec-next", "ccl4rec-denoise", "sasrec-content-prefixes"),
    (0.0, 0.2): ("late", "demure"),
}
"""By ρ and share of foreign content: what runs with every seed on MicroLens, for three leave open what it is worth."""
MAIN = ("ndcg@10", "ndcg@20", "recall@10", "recall@20")


class Setting(NamedTuple):
    """What methods are compared under.

    Attributes:
        data: name of the data set.
        rho: share of planted noise.
        foreign: share of planted foreign content.
        mechanism: of the planted noise.
        tuned: whether methods have the settings that `tuning.py` chose; those of which it chose none have their defaults.
    """

    data: str
    rho: float
    foreign: float = 0.0
    mechanism: str = "replace"
    tuned: bool = False

    def __str__(self) -> str:
        mechanism = "" if self.mechanism == "replace" else f".{self.mechanism}"
        foreign = f".foreign{self.foreign:g}" if self.foreign else ""
        return f"{self.data}.rho{self.rho:g}{mechanism}{foreign}" + (".tuned" if self.tuned else "")

    @property
    def plain(self) -> Setting:
        """The same with everybody's defaults."""
        return self._replace(tuned=False)

    @property
    def words(self) -> str:
        """As a title."""
        mechanism = "" if self.mechanism == "replace" else f" ({self.mechanism})"
        foreign = f", foreign content {self.foreign:g}" if self.foreign else ""
        return f"{self.data}, ρ = {self.rho:g}{mechanism}{foreign}" + (", tuned" if self.tuned else "")


TUNED = tuple(Setting("microlens50k", rho, tuned=True) for rho in RHOS)
BUT_TWO = Setting("ml1m-but-two", 0.0)
SETTINGS = (*(Setting(*each) for each in product(DATASETS, RHOS, FOREIGN)), BUT_TWO, *TUNED)


@dataclass(frozen=True)
class Cell:
    """One training run and its evaluation.

    Attributes:
        data: name of the data set.
        rho: share of planted noise.
        method: name in `variants.VARIANTS` or in `peer.PEERS`.
        seed: of noise and training.
        foreign: share of planted foreign content.
        mechanism: of the planted noise.
        tuned: see `Setting`.
    """

    data: str
    rho: float
    method: str
    seed: int
    foreign: float = 0.0
    mechanism: str = "replace"
    tuned: bool = False

    def __str__(self) -> str:
        return f"{self.setting}.{self.method}.seed{self.seed}"

    @property
    def setting(self) -> Setting:
        """What it is to be compared under."""
        return Setting(self.data, self.rho, self.foreign, self.mechanism, self.tuned)

    @property
    def own(self) -> Cell:
        """The cell whose figures these are: the default's where tuning left a method as it is."""
        from choices import moved

        return self if not self.tuned or self.method in moved(str(self.setting.plain)) else replace(self, tuned=False)

    @property
    def result(self) -> Path:
        """The figures."""
        return RESULTS / f"{self.own}.json"

    @property
    def values(self) -> Path:
        """The values per user."""
        return VALUES / f"{self.own}.parquet"

    @property
    def stands(self) -> bool:
        """Whether its figures are there, made by the method and the training that are the defaults now."""
        return self.result.exists() and current(self, json.loads(self.result.read_text()))

    @property
    def done(self) -> bool:
        """Whether they stand and the values per user are there, too; what is trained no more needs none."""
        from variants import VARIANTS

        kept = self.method in VARIANTS and VARIANTS[self.method].superseded
        return (kept or self.values.exists()) and self.stands


def current(cell: Cell, figures: dict[str, Any]) -> bool:
    """Whether stored figures are of the settings of now."""
    from peer import PEERS
    from variants import VARIANTS

    from siftrec.errors import SettingsError

    if cell.method not in VARIANTS.keys() | PEERS.keys():
        return False
    try:
        return machine.unchanged(figures.get("settings"), settings_of(cell))
    except SettingsError:  # what was chosen by tuning has lost a setting
        return False


def settings_of(cell: Cell) -> dict[str, Any]:
    """What decides a cell's figures beside the data and the code: its method and how it is trained."""
    from cell_log import detector_of
    from choices import described
    from peer import PEERS, peer_settings

    from siftrec.methods.base import Learned

    if cell.method in PEERS:
        return peer_settings(cell.method)
    method, training = made(cell)
    return described(method, training if isinstance(method, Learned) else None) | detector_of(cell.method)


def made(cell: Cell) -> tuple[Method, Training]:
    """The method of a cell and how it is trained."""
    from choices import tuned
    from variants import method_of, training_of

    if cell.own.tuned:
        return tuned(str(cell.setting.plain), cell.data, cell.method)
    return method_of(cell.data, cell.method), training_of(cell.data, cell.method)


def cells(patterns: list[str] | None = None, curves: list[str] | None = None) -> list[Cell]:
    """All cells whose name matches a pattern, in the order they run: one seed of everything first.

    Args:
        patterns: names, with * and ?; None = all.
        curves: names in `curves.CURVES`: their cells; None = those of a plain run.
    """
    every = plain_cells() if curves is None else curve_cells(curves)
    return [cell for cell in every if not patterns or any(fnmatch(str(cell), pattern) for pattern in patterns)]


def plain_cells() -> list[Cell]:
    """The cells of a plain run."""
    from choices import moved
    from peer import PEERS
    from variants import VARIANTS

    every = [
        Cell(data, rho, method, seed, foreign, tuned=tuned)
        for seed in SEEDS
        for data, rho, foreign, _, tuned in SETTINGS
        for method, variant in VARIANTS.items()
        if (seed == SEEDS[0] or rho > 0 or variant.seeded)
        and (seed in FEWER or (data == "microlens50k" and not tuned and method in FIVE.get((rho, foreign), ())))
        and {"nothing": True, "content": foreign > 0}.get(variant.oracle, rho > 0)
        and (not foreign or variant.apart)
        and (variant.only is None or variant.only in MODALITIES[data])
        and (data in variant.data if variant.data else data in DATASETS)
        and (not tuned or method in moved(str(Setting(data, rho))))
        and (not variant.superseded or Cell(data, rho, method, seed).result.exists())
    ]
    peers = [Cell("microlens50k", rho, name, SEEDS[0]) for name, peer in PEERS.items() for rho in peer.rhos]
    return every + peers


def curve_cells(names: list[str]) -> list[Cell]:
    """The cells of noise curves, also those of a plain run or of several curves: three seeds before more."""
    every = [
        Cell(data, rho, method, seed, foreign, mechanism)
        for seed in SEEDS
        for data in DATASETS
        for name in names
        for _, (_, rho, foreign, mechanism) in CURVES[name].settings(data)
        for method in CURVES[name].methods
        if seed in FEWER or method in OFTEN
    ]
    return list(dict.fromkeys(every))


def run_cell(cell: Cell, folder: Path) -> None:
    """Train, evaluate and store one cell."""
    import per_user
    from cell_log import split_of
    from datasets import load
    from peer import PEERS, peer_evaluation
    from symptoms import symptoms_of
    from variants import VARIANTS

    from siftrec.noise.foreign import Foreign

    only = None if cell.method in PEERS else VARIANTS[cell.method].only
    data = load(cell.data, folder, None if only is None else (only,))
    started = time.perf_counter(), time.process_time()
    data = replace(data, split=split_of(cell, data))
    if cell.foreign:
        data = replace(data, split=Foreign(rho=cell.foreign)(data.split, data.catalog, cell.seed).split)
    trained = None
    if cell.method in PEERS:
        evaluation, told = peer_evaluation(cell.method, data, cell.seed)
    else:
        trained, evaluation, told = trained_evaluation(cell, data)
    told |= {
        "wall_s": time.perf_counter() - started[0],
        "cpu_s": time.process_time() - started[1] + told.get("cpu_s", 0.0),
        "machine": machine.describe(),
        "commit": machine.commit(),
        "settings": settings_of(cell),
        "command": f"python benchmarks/accuracy.py run --only '{cell}'",
    }
    if trained is not None and VARIANTS[cell.method].only is None:  # other content makes other clusters
        told["symptoms"] = symptoms_of(trained, data.split, data.catalog)
    per_user.write(evaluation, MAIN, cell.values)
    RESULTS.mkdir(parents=True, exist_ok=True)
    figures = {"schema": 1, "cell": asdict(cell)} | told | {"evaluation": evaluation.to_json(str(cell))}
    cell.result.write_text(json.dumps(figures, indent=1) + "\n")


def trained_evaluation(cell: Cell, data: Any) -> tuple[Trained, Evaluation, dict[str, Any]]:
    """Fit one of our methods and evaluate it on the test questions."""
    from peers.exchange import peak_bytes
    from variants import VARIANTS

    from siftrec.evaluate.evaluation import evaluate

    catalog = (data if VARIANTS[cell.method].content else data.ids_only()).catalog
    trained, told = fitted(str(cell), *made(cell), data.split, catalog, cell.seed)
    start = time.process_time()
    evaluation = evaluate(trained, data.split.test)
    told |= {"users_per_s": len(evaluation.users) / (time.process_time() - start), "peak_bytes": peak_bytes()}
    if "epochs" in told:
        told["targets_per_s"] = told["epochs"] * len(data.split.train.items) / told["fit_cpu_s"]
    return trained, evaluation, told


def fitted(
    name: str, method: Method, training: Training, split: Split, catalog: Catalog, seed: int
) -> tuple[Trained, dict[str, Any]]:
    """Fit, saying how it goes; gives what is to be stored of it, too."""
    from siftrec.methods.base import Learned
    from siftrec.settings import describe
    from siftrec.train.events import EpochEnded, Event, Started, Stopped
    from siftrec.train.fit import fit

    told: dict[str, Any] = {"method": describe(method), "modalities": list(catalog)}
    curve: list[float | None] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Started):
            told["parameters"] = event.parameters
        elif isinstance(event, EpochEnded):
            curve.append(event.value)
            print(f"{name}: epoch {event.epoch}, {event.metric} {event.value or 0:.4f}", file=sys.stderr, flush=True)
        elif isinstance(event, Stopped):
            told.update(epochs=event.epochs, best_epoch=event.best_epoch)

    start = time.process_time()
    trained = fit(method, split, catalog, training=training, seed=seed, on_event=on_event)
    told["fit_cpu_s"] = time.process_time() - start
    if isinstance(method, Learned):
        told |= {"training": describe(training), "validation": curve}
    return trained, told


def run(given: argparse.Namespace) -> None:
    """Run what is not done, each cell in a process of its own with one thread; of a library only where it is installed."""
    from peer import PEERS, installed

    todo = [cell for cell in cells(given.only, given.curves) if given.again or not cell.done]
    waiting = [cell for cell in todo if cell.method in PEERS and not installed(PEERS[cell.method].script)]
    for cell in waiting:
        print(f"{cell}: waits for its library; run: make peer-{cell.method.partition('-')[0]}", file=sys.stderr)
    machine.run_each(__file__, "cell", [str(cell) for cell in todo if cell not in waiting], given.data, given.jobs)


def show(given: argparse.Namespace) -> None:
    """List the cells."""
    for cell in cells(given.only, given.curves):
        print(f"{'done' if cell.done else '    '}  {cell}")


def one(given: argparse.Namespace) -> None:
    """Run a single cell in this process."""
    machine.one_thread()
    run_cell([*cells(given.only), *cells(given.only, list(CURVES))][0], given.data)


def compare(_: argparse.Namespace) -> None:
    """Compare what is done, pair by pair."""
    from comparisons import compare_all

    out = RESULTS / "comparisons.json"
    before = json.loads(out.read_text()) if out.exists() else {}
    out.write_text(json.dumps(compare_all(before), indent=1) + "\n")
    print(f"wrote {out}", file=sys.stderr)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("list", show), ("run", run), ("cell", one), ("compare", compare)):
        command = commands.add_parser(name, help=(work.__doc__ or "").splitlines()[0])
        command.set_defaults(work=work)
        if name == "cell":
            command.add_argument("only", nargs=1, metavar="CELL")
        elif name != "compare":
            command.add_argument("--only", nargs="+", metavar="PATTERN", help="names of cells, with * and ?")
            command.add_argument("--curves", nargs="+", choices=list(CURVES), help="instead, the cells of noise curves")
        if name in ("run", "cell"):
            command.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    commands.choices["run"].add_argument("--jobs", type=int, default=1, help="cells at a time, one thread each")
    commands.choices["run"].add_argument("--again", action="store_true", help="also cells that are done")
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
