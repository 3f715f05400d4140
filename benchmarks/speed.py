"""How fast siftrec is: one thread, per CPU second, medians over repeats, beside what the machine can do at that moment.

Commands (commands.py) are wall time, and `siftrec demo` has two cores and the threads that it takes by itself.

    python benchmarks/speed.py all                   every row, into benchmarks/results/speed.json
    python benchmarks/speed.py sasrec-ml1m           one row; the others in the file stay
    python benchmarks/speed.py sasrec-ml1m --profile the operators its time goes to, into results/profiles
    python benchmarks/render.py                      docs/results.md from the stored figures

Peers run in their own environments, alternating with ours: see benchmarks/peers/*/README.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import machine
from commands import demo_time, has_demo, help_time, training_memory
from timings import Figures, Options

if TYPE_CHECKING:
    from datasets import Data

    from siftrec.methods.base import Learned
    from siftrec.methods.gates import GateName
    from siftrec.methods.model import Sequential

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Training:
    """A row that times training steps.

    Attributes:
        data: name of the data set.
        method: makes the method.
        batch_size: rows per batch.
        content: whether the catalog has its modalities.
        epoch: where training begins, for losses that start after a warm-up.
        against: makes the method that it is timed in turn with; figures are then CPU seconds per target, as a multiple of
            that method's.
        peers: name → arguments of `peers/rectools/sasrec.py speed`.
    """

    data: str
    method: Callable[[], Learned]
    batch_size: int
    content: bool = False
    epoch: int = 0
    against: Callable[[], Learned] | None = None
    peers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def load(self, options: Options) -> Data:
        """The data, with or without content."""
        from datasets import load

        data = load(self.data, options.data)
        return data if self.content else data.ids_only()

    def measure(self, options: Options) -> Figures:
        """Time ours and the peers in turn."""
        from peer import peer_speed
        from training import targets_per_second

        from siftrec.settings import describe

        data, method = self.load(options), self.method()
        settings = {"data": self.data, "batch_size": self.batch_size, "method": describe(method)}
        figures = Figures([], settings | {"modalities": list(data.catalog)})
        timing = (data.split, data.catalog, self.batch_size, options.seconds, self.epoch)
        if self.against is not None:
            figures.settings["against"] = describe(self.against())
        for _ in range(options.repeats):
            speed = targets_per_second(method, *timing)
            figures.beside = {"start_epoch_s": speed.start_epoch_s, "targets_per_epoch": speed.targets_per_epoch}
            if self.against is None:
                figures.values.append(speed.targets_per_s)
            else:
                other = targets_per_second(self.against(), *timing)
                figures.values.append(other.targets_per_s / speed.targets_per_s)
                figures.beside |= {"targets_per_s": speed.targets_per_s, "targets_per_s_against": other.targets_per_s}
            for name, arguments in self.peers.items():
                answer = peer_speed(data, arguments, options.seconds)
                peer = figures.peers.setdefault(name, {"values": []})
                peer["values"].append(answer["targets"] / answer["cpu_s"])
                peer |= {"versions": answer["versions"], "settings": answer["settings"]}
        return figures

    def profile(self, options: Options) -> str:
        """Where the time goes."""
        from training import profile

        data = self.load(options)
        return profile(self.method(), data.split, data.catalog, self.batch_size, self.epoch)


def sasrec(**settings: Any) -> Callable[[], Learned]:
    def make() -> Learned:
        from siftrec.methods.sasrec import SASRec

        return SASRec(**settings)

    return make


def variant(name: str) -> Callable[[], Learned]:
    def make() -> Learned:
        from variants import VARIANTS

        return cast("Learned", VARIANTS[name].make())

    return make


def demure(gate: GateName, contrast: bool, base: Callable[[], Learned] | None = None) -> Callable[[], Learned]:
    """Demure around a base, late fusion unless one is given, with or without contrast over modality slots."""

    def make() -> Learned:
        from siftrec.methods.demure import Demure
        from siftrec.methods.gates import Gate
        from siftrec.methods.late import LateFusion
        from siftrec.methods.slots import SlotViews

        around = LateFusion(dim=64) if base is None else cast("Sequential", base())
        return Demure(base=around, gate=Gate(kind=gate), views=SlotViews() if contrast else None)

    return make


def ranking(options: Options) -> Figures:
    """Full ranking of the test questions, the 50 best items of each kept."""
    import numpy as np
    import torch
    from datasets import load

    from siftrec import seeds
    from siftrec.evaluate.rank import rank

    torch.set_num_threads(1)
    data, method = load("microlens50k", options.data).ids_only(), sasrec(dim=64)()
    with seeds.initialised(1, "build"):
        model = method.build(data.catalog).eval()
    part = data.split.test.take(np.arange(20_000))
    values = [
        machine.per_cpu_second(lambda: rank(model, method.length, part, k=50), len(part), repeats=1)
        for _ in range(options.repeats)
    ]
    users = model.users(torch.ones(64, 1, dtype=torch.int64)).detach()
    bare = machine.per_cpu_second(lambda: torch.topk(users @ model.items().T, 50), len(users), repeats=50)
    settings = {"data": "microlens50k", "users": len(part), "items": len(data.catalog) - 1, "k": 50}
    return Figures(values, settings, beside={"bare_product_and_topk": bare})


def ranking_by_demure(options: Options) -> Figures:
    """The same by Demure, as a multiple of CCL4Rec's with vectors as long, in turns; histories are encoded in both."""
    import numpy as np
    import torch
    from datasets import load

    from siftrec import seeds
    from siftrec.evaluate.rank import rank
    from siftrec.methods.ccl4rec import CCL4Rec

    torch.set_num_threads(1)
    data, methods = load("microlens50k", options.data), [demure("softmax", False)(), CCL4Rec(dim=192)]
    part, models = data.split.test.take(np.arange(20_000)), []
    for method in methods:
        with seeds.initialised(1, "build"):
            models.append(method.build(data.catalog))
        method.start_epoch(models[-1], data.split.fitting, 0, 1)
        models[-1].eval()
    widths = {model.items().shape[1] for model in models}
    assert widths == {192}, f"vectors are of {widths} numbers"

    def speed(model: Any, length: int) -> float:
        return machine.per_cpu_second(lambda: rank(model, length, part, k=50), len(part), repeats=1)

    rates = [
        [speed(model, method.length) for model, method in zip(models, methods, strict=True)]
        for _ in range(options.repeats)
    ]
    settings = {"data": "microlens50k", "users": len(part), "items": len(data.catalog) - 1, "k": 50, "vector": 192}
    beside = {"demure_users_per_s": statistics.median(a for a, _ in rates)}
    return Figures([ours / theirs for ours, theirs in rates], settings, beside=beside)


def reading(options: Options) -> Figures:
    """MicroLens' pairs file → validated log → sequences of codes."""
    from datasets import LOGS

    from siftrec.data.read import read
    from siftrec.data.vocab import Vocab

    path = options.data / LOGS["microlens50k"]
    count = len(read(path))

    def once() -> None:
        events = read(path)
        events.sequences(events.users, Vocab.of(events.items))

    values = [machine.per_cpu_second(once, count, repeats=1) for _ in range(options.repeats)]
    return Figures(values, {"data": "microlens50k", "interactions": count})


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: in words.
        unit: of the figure.
        asked: the figure to reach, in `unit`, or as a multiple of the first peer.
        measure: gives the figures.
        known: other figures to judge it by.
        times_peer: `asked` is a multiple of the first peer.
        less: smaller is better.
    """

    what: str
    unit: str
    asked: float
    measure: Training | Callable[[Options], Figures]
    known: str = ""
    times_peer: bool = False
    less: bool = False


GBCE = ("--loss", "gBCE", "--negatives", "256")
ROWS = {
    "sasrec-ml1m": Row(
        "SASRec, ml1m, L = 50, D = 64, 2 blocks, 1,024 shared negatives",
        "targets/s",
        40_000,
        Training("ml1m", sasrec(dim=64, length=50, blocks=2, negatives=1024, full_up_to=0), 128),
        "arithmetic limit about 70,000",
    ),
    "sasrec-ml100k": Row(
        "SASRec, ml100k, L = 50, D = 64, 2 blocks, 4 heads, full softmax, batches of 128",
        "targets/s",
        3,
        Training(
            "ml100k",
            sasrec(dim=64, length=50, blocks=2, heads=4),
            128,
            peers={"RecTools, softmax": ("--loss", "softmax")},
        ),
        "RecTools about 10,700, limit about 4 ×",
        times_peer=True,
    ),
    "sasrec-microlens50k": Row(
        "SASRec, microlens50k, L = 20, D = 64, 2 blocks, 4 heads, 1,024 shared negatives",
        "targets/s",
        20,
        Training(
            "microlens50k",
            sasrec(dim=64, length=20, heads=4),
            512,
            peers={"RecTools, gBCE, 256 negatives": (*GBCE, "--length", "20"), "RecTools, the same, L = 50": GBCE},
        ),
        "RecTools 1,030 (softmax: 320)",
        times_peer=True,
    ),
    "ccl4rec-next": Row(
        "CCL4Rec, next-item loss alone, microlens50k, L = 20, 1,024 negatives",
        "targets/s",
        25_000,
        Training("microlens50k", variant("ccl4rec-next"), 512, content=True),
        "padded prototype 20,000 without item towers",
    ),
    "ccl4rec-full": Row(
        "CCL4Rec, full step, every eligible row augmented, microlens50k, L = 20",
        "targets/s",
        7_000,
        Training("microlens50k", variant("ccl4rec"), 512, content=True, epoch=5),
        "naive: 8–10 × the next-item step",
    ),
    "demure": Row(
        "Demure by late fusion, microlens50k, L = 20, 1,024 negatives",
        "× the ungated step",
        2.5,
        Training("microlens50k", demure("softmax", False), 512, True, 1, demure("none", False)),
        less=True,
    ),
    "demure-contrast": Row(
        "Demure by late fusion, contrast over modality slots, microlens50k, L = 20, 1,024 negatives",
        "× the ungated step without contrast",
        2.5,
        Training("microlens50k", demure("softmax", True), 512, True, 1, demure("none", False)),
        less=True,
    ),
    "demure-contrast-gate": Row(
        "Demure by late fusion, contrast over modality slots, microlens50k, L = 20, 1,024 negatives",
        "× the ungated step with contrast",
        2.5,
        Training("microlens50k", demure("softmax", True), 512, True, 1, demure("none", True)),
        less=True,
    ),
    "demure-ccl4rec": Row(
        "Demure around CCL4Rec without its contrast, microlens50k, L = 20, 1,024 negatives",
        "× the ungated step of the same base",
        2.5,
        Training(
            "microlens50k",
            demure("softmax", False, variant("ccl4rec-next")),
            512,
            True,
            1,
            demure("none", False, variant("ccl4rec-next")),
        ),
        less=True,
    ),
    "ranking": Row("top-50 over 19,220 items", "users/s", 5_000, ranking, "bare product + top-k 9,200"),
    "ranking-demure": Row(
        "top-50 over 19,220 items by Demure's 192 numbers",
        "× CCL4Rec's 192",
        0.9,
        ranking_by_demure,
        "as fast was asked",
    ),
    "reading": Row("MicroLens pairs file → sequences", "interactions/s", 1_000_000, reading),
    "memory": Row("peak memory, training on microlens50k", "GB", 1.0, training_memory, less=True),
    "help": Row("`siftrec --help`", "s", 0.3, help_time, less=True),
    "demo": Row("`siftrec demo`, wall time on two cores, with its own threads", "s", 90, demo_time, less=True),
}


def measured(name: str, options: Options) -> dict[str, Any]:
    """One row, measured between two looks at what the machine can do."""
    row = ROWS[name]
    before = machine.rates()
    figures = (row.measure.measure if isinstance(row.measure, Training) else row.measure)(options)
    rates = [before, machine.rates()]
    told = {key: value for key, value in asdict(row).items() if key != "measure"}
    return told | {
        "median": statistics.median(figures.values),
        **asdict(figures),
        "rates": rates,
        "machine": machine.describe(),
        "commit": machine.commit(),
        "command": f"python benchmarks/speed.py {name}",
    }


def store(path: Path, text: str) -> None:
    """Write a file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip() + "\n", "utf-8")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", choices=[*ROWS, "all"], metavar="ROW", help=f"{', '.join(ROWS)} or all")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU seconds per timing")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "speed.json")
    parser.add_argument("--profile", action="store_true", help="instead, store where a training row's time goes")
    given = parser.parse_args()
    machine.one_thread()
    options = Options(given.data, given.seconds, given.repeats)
    for name in ROWS if "all" in given.rows else given.rows:
        work = ROWS[name].measure
        if name == "demo" and not has_demo():
            print("demo: waits for its extra; run: make demo", file=sys.stderr)
            continue
        if given.profile:
            if not isinstance(work, Training):
                sys.exit(f"{name}: only training rows have a profile")
            store(given.out.parent / "profiles" / f"{name}.txt", work.profile(options))
            continue
        row = measured(name, options)
        stored = json.loads(given.out.read_text()) if given.out.exists() else {"schema": 1, "rows": {}}
        stored["rows"][name] = row
        store(given.out, json.dumps(stored, indent=1))
        peers = "".join(f"; {peer} {statistics.median(p['values']):,.0f}" for peer, p in row["peers"].items())
        print(f"{name}: {row['median']:,.4g} {row['unit']} (asked {row['asked']:,}){peers}", flush=True)


if __name__ == "__main__":
    main()
