"""Which modality counted, where it is known: every unit is resumable and leaves `results/modality/UNIT.json`.

    python benchmarks/modality.py list                              the units, done or not
    python benchmarks/modality.py run                               all that are not done, one after the other
    python benchmarks/modality.py run --only 'planted.*.seed1' 'foreign.*'

planted.SETTING.VARIANT.seedN    generated content with planted causes (`siftrec.synthetic.modalities`)
over.DATA.VARIANT.seedN          real content, interactions generated from a planted preference (`siftrec.synthetic.over`)
foreign.DATA.rhoR.seedN          real logs in which content is foreign (`siftrec.noise.foreign`), found by `judge_content`
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import machine

if TYPE_CHECKING:
    from siftrec.data.sequences import Sequences
    from siftrec.synthetic import PlantedCauses

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "modality"
SEEDS = (1, 2, 3, 4, 5)
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "useless": {"extra": "useless"},
    "look_alike": {"extra": "look_alike"},
    "missing": {"missing": {"text": 0.2, "image": 0.4, "audio": 0.6}},
    "null": {"null": True},
    "noisy": {"rho": 0.3},
    "hard": {"level": "hard"},
    "short": {"size": {"users": 10_000, "items": 3_000, "length": 5}},
    "foreign": {"foreign": 0.3},
}
"""Arguments of `siftrec.synthetic.modalities`, and the share of foreign content that is planted on top."""
ABLATIONS = ("sigmoid", "contrast-mask", "contrast-noise", "early", "early-none")
"""What is asked of fewer settings and seeds."""
ABLATED = ("plain", "useless", "noisy")
VARIANTS = ("softmax", "logistic", "uncalibrated", "contrast", "vanilla", "attention", "none", "random", *ABLATIONS)
OVER_VARIANTS = ("softmax", "attention", "none", "logistic", "contrast", "vanilla")
FOREIGN = {"microlens50k": ("caption", "hashtags", "text"), "ml1m": ("image", "text")}
TOPICS = 24


def method_of(variant: str) -> Any:
    """Demure without a lift, where a score is similarities and nothing else, with one thing changed.

    Weights of contrast over slots are by P@10 on seed 11, which no unit has. `early`: the modalities' gated sum goes into
    CCL4Rec's next-item loss, where `early-none` has their plain sum.
    """
    from siftrec.methods.ccl4rec import CCL4Rec
    from siftrec.methods.contrast import Contrast
    from siftrec.methods.demure import Demure, Mil
    from siftrec.methods.gates import Gate, GateName
    from siftrec.methods.late import LateFusion
    from siftrec.methods.slots import SlotViews

    graded = Contrast(vanilla=0.5, graded=2.0, over=1.0)
    early = CCL4Rec(contrast=Contrast(vanilla=0.0, graded=0.0, over=0.0))
    changed: dict[str, Any] = {
        "softmax": {},
        "logistic": {"mil": Mil(kind="logistic")},
        "uncalibrated": {"gate": Gate(calibrated=False)},
        "contrast": {"views": SlotViews(contrast=graded)},
        "contrast-mask": {"views": SlotViews(damage="mask", contrast=graded)},
        "contrast-noise": {"views": SlotViews(damage="noise", contrast=graded)},
        "early": {"base": early},
        "early-none": {"base": early, "gate": Gate(kind="none")},
        "vanilla": {"views": SlotViews(contrast=Contrast(vanilla=2.0, graded=0.0, over=0.0))},
        **{kind: {"gate": Gate(kind=kind)} for kind in get_args(GateName) if kind != "softmax"},
    }
    return Demure(**{"base": LateFusion(lift="none")} | changed[variant])


def units(patterns: list[str] | None = None) -> list[str]:
    """All units whose name matches a pattern, in the order they run: one seed of everything first."""
    every = []
    for seed in SEEDS:
        if seed <= 3:
            every += [f"foreign.{data}.rho{rho}.seed{seed}" for data in FOREIGN for rho in ("0.2", "0.4", "0")]
            every += [
                f"over.{data}.{variant}.seed{seed}" for variant in OVER_VARIANTS for data in ("microlens50k", "ml1m")
            ]
        every += [
            f"planted.{setting}.{variant}.seed{seed}"
            for setting in SETTINGS
            for variant in VARIANTS
            if variant not in ABLATIONS or (setting in ABLATED and seed <= 3)
        ]
    return [unit for unit in every if not patterns or any(fnmatch(unit, pattern) for pattern in patterns)]


def settings_of(unit: str) -> dict[str, Any]:
    """What decides the figures beside the data and the code."""
    from modality_measures import TRAINING

    from siftrec.detectors.likelihood import Likelihood
    from siftrec.settings import describe
    from siftrec.synthetic import modalities, over

    kind, what, variant, _ = _parts(unit)
    if kind == "foreign":
        return _plain({"likelihood": describe(Likelihood()), "modalities": FOREIGN[what]})
    made = _defaults(modalities) | SETTINGS[what] if kind == "planted" else _defaults(over) | {"topics": TOPICS}
    return _plain({"method": describe(method_of(variant)), "training": TRAINING, "world": made})


def _defaults(generator: Callable[..., Any]) -> dict[str, Any]:
    """Of a generator of logs; the seed is the unit's."""
    found = {name: each.default for name, each in inspect.signature(generator).parameters.items()}
    kept = {name: value for name, value in found.items() if name != "seed" and value is not inspect.Parameter.empty}
    return {name: asdict(value) if is_dataclass(value) else value for name, value in kept.items()}  # type: ignore[arg-type]


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """As it will be read back: lists for tuples."""
    return dict(json.loads(json.dumps(value)))


def _parts(unit: str) -> tuple[str, str, str, int]:
    rest, seed = unit.rsplit(".seed", 1)
    kind, what, variant = rest.split(".", 2)
    return kind, what, variant, int(seed)


def is_done(unit: str) -> bool:
    """Whether the figures are there, made with the settings of now."""
    path = RESULTS / f"{unit}.json"
    return path.exists() and machine.unchanged(json.loads(path.read_text("utf-8"))["settings"], settings_of(unit))


def measure(unit: str, folder: Path) -> tuple[dict[str, Any], Sequences]:
    """The figures of one unit, and the log that they are of."""
    import modality_measures as measures
    from datasets import load

    from siftrec.data.split import TEST
    from siftrec.noise.content import judge_content
    from siftrec.noise.foreign import Foreign
    from siftrec.synthetic import over

    kind, what, variant, seed = _parts(unit)
    if kind == "foreign":
        data = load(what, folder, FOREIGN[what])
        planted = Foreign(rho=float(variant.removeprefix("rho")))(data.split, data.catalog, seed)
        known = planted.split.role < TEST
        log = planted.split.log.where(known)
        judged = judge_content(log, data.catalog, seed=seed)
        return measures.foreign(judged, log, data.catalog, planted.foreign_EM[known], seed), log
    if kind == "planted":
        world = planted_world(what, seed)
    else:
        data = load(what, folder)
        counts_N = data.split.train.counts(len(data.catalog))
        world = over(data.catalog, counts_N, topics=TOPICS, seed=seed)
    return measures.causes(measures.trained_on(world, method_of(variant), seed), world), world.split.log


def planted_world(what: str, seed: int) -> PlantedCauses:
    """Generated content with planted causes, in one of `SETTINGS`."""
    from siftrec.noise.foreign import Foreign
    from siftrec.synthetic import modalities
    from siftrec.synthetic.modalities import Size

    given = dict(SETTINGS[what])
    foreign, size = given.pop("foreign", 0.0), Size(**given.pop("size", {}))
    world = modalities(**given, size=size, seed=seed)
    return replace(world, split=Foreign(rho=foreign)(world.split, world.catalog, seed).split) if foreign else world


def run_unit(unit: str, folder: Path) -> None:
    """Measure and store."""
    began = time.process_time()
    figures, log = measure(unit, folder)
    told = {
        "schema": 1,
        "unit": unit,
        "figures": figures,
        "cpu_s": time.process_time() - began,
        "settings": settings_of(unit),
        **machine.origin(log),
        "machine": machine.describe(),
        "command": f"python benchmarks/modality.py run --only '{unit}'",
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{unit}.json").write_text(json.dumps(told, indent=1) + "\n")


def run(given: argparse.Namespace) -> None:
    """Run what is not done, each unit in a process of its own with one thread."""
    failed = []
    for unit in units(given.only):
        if is_done(unit) and not given.again:
            continue
        began = time.perf_counter()
        command = [sys.executable, __file__, "unit", unit, "--data", str(given.data)]
        code = subprocess.run(command, env=os.environ | machine.THREADS, check=False).returncode
        state = f"FAILED ({code})" if code else "done"
        print(f"{unit}: {state} in {time.perf_counter() - began:,.0f} s", file=sys.stderr, flush=True)
        failed += [unit] * bool(code)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def show(given: argparse.Namespace) -> None:
    """List the units."""
    for unit in units(given.only):
        print(f"{'done' if is_done(unit) else '    '}  {unit}")


def one(given: argparse.Namespace) -> None:
    """Run a single unit in this process."""
    machine.one_thread()
    run_unit(given.only[0], given.data)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("list", show), ("run", run), ("unit", one)):
        command = commands.add_parser(name, help=(work.__doc__ or "").splitlines()[0])
        command.set_defaults(work=work)
        command.add_argument(*(["only"] if name == "unit" else ["--only"]), nargs=1 if name == "unit" else "+")
        command.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    commands.choices["run"].add_argument("--again", action="store_true", help="also units that are done")
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
