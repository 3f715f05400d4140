"""How often is the verdict of `siftrec audit` right? Every cell (data set, mechanism, share of noise) is resumable.

    python benchmarks/audit.py list                            the cells, done or not
    python benchmarks/audit.py run --only 'ml100k.*' --quick   all cells that are not done
    python benchmarks/audit.py summary                         verdicts beside the truth

A cell plants noise in everything before each user's last interaction, audits that part as a log of its own, and then
does what a user would do: trains models on it as it is, with the weights, and without the flagged interactions. They are
judged on the last interactions of the original log, which nobody else has seen. A verdict is right if it is *weight it*
and the weights help there (mean over models above 0), or anything else and they do not help by more than 1 %; the aim
is that *weight it* never costs a model more than 1 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine

if TYPE_CHECKING:
    from datasets import Data
    from peer import Peer

    from siftrec.audit import Audit
    from siftrec.data.split import Split
    from siftrec.evaluate.evaluation import Evaluation

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "audit"
DATASETS = ("ml100k", "ml_latest_small", "ml1m", "microlens50k")
MECHANISMS = ("replace", "insert", "swap", "autoplay")
RHOS = (0.1, 0.3)
METRIC = "ndcg@20"
CUTOFFS = (10, 20)
HELPS = 0.01
SEED = 1
PEER_SEEDS = (1, 2, 3, 4, 5)
"""Of implicit's models, and of the sample of weighted interactions that BPR trains on: one alone is a draw."""
RECTOOLS, RECTOOLS_SEEDS = "RecTools SASRec", PEER_SEEDS[:3]
"""Its fits take hours where implicit's take minutes."""
LENGTHS = {"microlens50k": 20}
"""How much of a history RecTools reads, and trains on, where it is less than 50: few there are longer."""


@dataclass(frozen=True)
class Cell:
    """One audit and its truth.

    Attributes:
        data: name of the data set.
        mechanism: of the planted noise; `clean` without any.
        rho: its share.
        quick: whether the audit is.
    """

    data: str
    mechanism: str
    rho: float
    quick: bool

    def __str__(self) -> str:
        return f"{self.data}.{self.mechanism}.rho{self.rho:g}{'.quick' if self.quick else ''}"

    @property
    def result(self) -> Path:
        """The figures."""
        return RESULTS / f"{self}.json"

    @property
    def done(self) -> bool:
        """Whether the figures are there, of the audit of now."""
        return self.result.exists() and is_current(json.loads(self.result.read_text()))


def is_current(told: dict[str, Any]) -> bool:
    """Whether stored figures are of an audit with the data set's content, other people's models with all their seeds."""
    from datasets import MODALITIES

    content = told["audit"]["modalities"]
    seeds = (each.get("seeds") for each in told["truth"] if each["model"].startswith("implicit"))
    whole = all(count == len(PEER_SEEDS) for count in seeds)
    return whole and sorted(content) == sorted(MODALITIES[told["cell"]["data"]])


def cells(patterns: list[str] | None = None, quick: bool = False) -> list[Cell]:
    """All cells whose name matches a pattern."""
    kinds = [("clean", 0.0), *((mechanism, rho) for rho in RHOS for mechanism in MECHANISMS)]
    every = [Cell(data, *kind, quick) for data in DATASETS for kind in kinds]
    return [cell for cell in every if not patterns or any(fnmatch(str(cell), pattern) for pattern in patterns)]


def run_cell(cell: Cell, folder: Path, peers: bool) -> None:
    """Audit one log and learn what would have been right."""
    from datasets import load

    from siftrec.noise.inject import inject

    data = load(cell.data, folder)
    split = inject(data.split, cell.mechanism, cell.rho, SEED).split if cell.rho else data.split
    data = replace(data, split=split)
    started = time.perf_counter()
    audited = audit_of(data, cell.quick)
    spent = time.perf_counter() - started
    truth = [told for name, arms in judged(cell, data, audited, peers) for told in compared(name, arms)]
    figures = {
        "schema": 1,
        "cell": asdict(cell),
        "wall_s": spent,
        "machine": machine.describe(),
        **machine.origin(data.split.log),
        "command": f"python benchmarks/audit.py run --only '{cell}'" + " --quick" * cell.quick,
        "audit": named(audited.to_json(), cell.data),
        "truth": truth,
        "right": right(audited.verdict.answer, truth),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    cell.result.write_text(json.dumps(figures, indent=1) + "\n")


def named(report: dict[str, Any], name: str) -> dict[str, Any]:
    """The report of a log in memory, under the name of its data set."""
    return report | {"source": name, "log": report["log"] | {"source": name}}


def audit_of(data: Data, quick: bool) -> Audit:
    """Audit everything before the test targets, as a log of its own, with content: order is all it knows of time."""
    import polars as pl

    from siftrec.audit import audit
    from siftrec.audit.events import Ended
    from siftrec.audit.plan import FULL, QUICK
    from siftrec.data.interactions import Interactions
    from siftrec.data.split import TEST

    split = data.split
    log = split.log.where(split.role < TEST)
    position = pl.Series(range(len(log.items)), dtype=pl.Int64)
    frame = pl.DataFrame({"user": split.users.gather(log.owners), "item": split.items.decode(log.items)})
    earlier = Interactions(frame.with_columns(time=position, row=position), "order")

    def tell(event: object) -> None:
        if isinstance(event, Ended):
            print(f"{event.step}: {event.seconds:.0f} s, {event.found}", file=sys.stderr, flush=True)

    return audit(earlier, data.catalog, plan=QUICK if quick else FULL, seed=SEED, on_event=tell)


def arms_of(split: Split, audited: Audit) -> dict[str, Split]:
    """The noisy log as it is, with the audit's weights, and without what it flags."""
    import numpy as np

    from siftrec.data.split import TEST

    known = split.role < TEST
    weights, kept = np.ones(len(known), np.float32), np.ones(len(known), bool)
    # Both logs are ordered by user, then by position, so their events correspond one to one.
    weights[known], kept[known] = audited.scores.weight, ~audited.scores.flagged
    return {
        "raw": split,
        "weighted": replace(split, log=replace(split.log, weights=weights)),
        "dropped": replace(split, log=replace(split.log, weights=kept.astype(np.float32))),
    }


def judged(cell: Cell, data: Data, audited: Audit, peers: bool) -> Iterator[tuple[str, dict[str, list[Evaluation]]]]:
    """Per model: arm → evaluations on the original test targets; RecTools' where its environment is installed."""
    import peer

    from siftrec.audit.proxies import proxies
    from siftrec.data.split import TRAIN

    arms = arms_of(data.split, audited)
    fitting = arms | {"dropped": without(arms["dropped"])}
    for proxy in proxies(len(data.split.items) - 1, cell.quick):
        yield proxy.name, {name: trained(proxy, split) for name, split in fitting.items()}
    for model in ("als", "bpr") if peers else ():
        train = {name: split.log.where(split.role == TRAIN) for name, split in arms.items()}
        yield f"implicit {model}", {name: implicit(model, data, each) for name, each in train.items()}
    if peers and peer.installed(weighted_sasrec(cell.data).script):
        yield RECTOOLS, {name: rectools(cell.data, replace(data, split=split)) for name, split in fitting.items()}


def without(split: Split) -> Split:
    """Interactions of weight 0 leave the training part, and with it the histories; targets and filtered items stay."""
    from siftrec.data.split import TRAIN

    assert split.log.weights is not None
    kept = (split.log.weights > 0) | (split.role != TRAIN)
    shorter = split.with_noise(split.log.where(kept), split.role[kept])
    return replace(shorter, log=replace(shorter.log, weights=None))


def trained(proxy: Any, split: Split) -> list[Evaluation]:
    """Evaluations of one of our methods, one per seed."""
    from siftrec.evaluate.evaluation import evaluate
    from siftrec.train.fit import fit

    return [
        evaluate(fit(proxy.method, split, training=proxy.training, seed=seed), split.test, CUTOFFS)
        for seed in range(proxy.repeats)
    ]


def implicit(model: str, data: Data, train: Any) -> list[Evaluation]:
    """Implicit's model in its own environment, its lists judged by our metrics; one per seed."""
    import peer

    asked, part = peer.PEERS[f"implicit-{model}"], data.split.test
    listed = {
        seed: peer.answers(asked, train, part, data.catalog, ("--seed", str(seed)), read=False)[0]
        for seed in PEER_SEEDS
    }
    return [peer.judged(asked, lists, data, part, seed) for seed, lists in listed.items()]


def weighted_sasrec(data: str) -> Peer:
    """RecTools' SASRec as it is measured beside ours, but that weights count, and that it reads more of longer histories."""
    import peer

    asked = peer.PEERS["rectools-sasrec"]
    settings = (*asked.grid[0], "--length", str(LENGTHS.get(data, 50)))
    return asked._replace(script="rectools/weighted.py", grid=(settings,))


def rectools(name: str, data: Data) -> list[Evaluation]:
    """RecTools' SASRec on the training part of a log with its weights, in its own environment; one per seed."""
    import peer

    asked, split = weighted_sasrec(name), data.split
    listed = {
        seed: peer.answers(asked, split.train, split.test, data.catalog, (*asked.grid[0], "--seed", str(seed)))[0]
        for seed in RECTOOLS_SEEDS
    }
    return [peer.judged(asked, lists, data, split.test, seed) for seed, lists in listed.items()]


def compared(name: str, arms: dict[str, list[Evaluation]]) -> Iterator[dict[str, Any]]:
    """What weights and dropping do to one model, paired by user."""
    from siftrec.evaluate.compare import compare

    for arm in ("weighted", "dropped"):
        found = compare(arms[arm], arms["raw"], METRIC)
        share = {side: getattr(found, side) / found.mean_b if found.mean_b else None for side in ("low", "high")}
        yield {"model": name, "arm": arm, "metric": METRIC, "users": found.users, "raw": found.mean_b} | {
            "seeds": found.seeds,
            "relative": found.relative,
            "interval": [share["low"], share["high"]],
            "p": found.p,
        }


def right(answer: str, truth: list[dict[str, Any]]) -> bool:
    """Whether the verdict was right, by the mean over models that the weights were given to."""
    gains = [each["relative"] for each in truth if each["arm"] == "weighted" and each["relative"] is not None]
    mean = sum(gains) / max(len(gains), 1)
    return mean > 0 if answer == "weight it" else mean <= HELPS


def run(given: argparse.Namespace) -> None:
    """Run what is not done, each cell in a process of its own with one thread."""
    todo = [cell for cell in cells(given.only, given.quick) if given.again or not cell.done]
    print(f"{len(todo)} cells to do", file=sys.stderr)
    failed = []
    for cell in todo:
        flags = ["--quick"] * given.quick + ["--no-peers"] * given.no_peers
        command = [sys.executable, __file__, "cell", str(cell), "--data", str(given.data), *flags]
        began = time.perf_counter()
        code = subprocess.run(command, env=os.environ | machine.THREADS, check=False).returncode
        print(f"{cell}: {'FAILED' if code else 'done'} in {time.perf_counter() - began:,.0f} s", file=sys.stderr)
        failed += [str(cell)] if code else []
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def one(given: argparse.Namespace) -> None:
    """Run a single cell in this process."""
    machine.one_thread()
    run_cell(cells(given.only, given.quick)[0], given.data, not given.no_peers)


def show(given: argparse.Namespace) -> None:
    """List the cells."""
    for cell in cells(given.only, given.quick):
        print(f"{'done' if cell.done else '    '}  {cell}")


def summary(given: argparse.Namespace) -> None:
    """Verdicts beside the truth."""
    verdicts, harmed = [], 0
    for cell in (cell for cell in cells(given.only, given.quick) if cell.done):
        told = json.loads(cell.result.read_text())
        answer = told["audit"]["verdict"]["answer"]
        gains = {each["model"]: each["relative"] for each in told["truth"] if each["arm"] == "weighted"}
        worst = min((gain for gain in gains.values() if gain is not None), default=0.0)
        verdicts.append(told["right"])
        harmed += answer == "weight it" and worst < -HELPS
        models = ", ".join(f"{model} {gain:+.1%}" for model, gain in gains.items() if gain is not None)
        print(f"{cell}: {answer} ({'right' if told['right'] else 'wrong'}); truth: {models}")
    print(f"{sum(verdicts)} of {len(verdicts)} right; {harmed} times a model lost more than 1 % by *weight it*")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("list", show), ("run", run), ("cell", one), ("summary", summary)):
        command = commands.add_parser(name, help=(work.__doc__ or "").splitlines()[0])
        command.set_defaults(work=work)
        if name == "cell":
            command.add_argument("only", nargs=1, metavar="CELL")
        else:
            command.add_argument("--only", nargs="+", metavar="PATTERN", help="names of cells, with * and ?")
        command.add_argument("--quick", action="store_true", help="`siftrec audit --quick`")
        if name in ("run", "cell"):
            command.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
            command.add_argument("--no-peers", action="store_true", help="our methods only")
    commands.choices["run"].add_argument("--again", action="store_true", help="also cells that are done")
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
