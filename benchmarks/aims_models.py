"""What was found of the aims of gates over modalities and of rankers; see `aims_found.py`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import modality_tables
import rankers_tables
from aims_found import Found, Seek, Stored, difference, not_below
from page import Figures, counted

from siftrec.evaluate.compare import ALPHA

LEAST = ("top1", "auroc", "preference")


def _means(runs: Sequence[Figures], keys: Sequence[str]) -> list[float]:
    return [statistics.mean(run[key] for run in runs) for key in keys]


def _worlds(of: Stored, world: str, *gates: str) -> Mapping[str, Sequence[Figures]] | None:
    """The runs of a world, None where one of the gates has none."""
    found = of.modality.get(world, {})
    return found if all(found.get(gate) for gate in gates) else None


def causes(*least: float) -> Seek:
    """Top-1, AUROC and preference of Demure's gate where causes are planted."""

    def seek(of: Stored) -> Found | None:
        runs = _worlds(of, "planted.plain", "softmax")
        if runs is None:
            return None
        found = _means(runs["softmax"], LEAST)
        held = all(value >= asked for value, asked in zip(found, least, strict=True))
        return Found(" / ".join(f"{value:.3f}" for value in found), held, str(len(runs["softmax"])))

    return seek


def control(most: float) -> Seek:
    """How far top-1 of attention is above that of no gate, which is chance."""

    def seek(of: Stored) -> Found | None:
        runs = _worlds(of, "planted.plain", "attention", "none")
        if runs is None:
            return None
        gap = _means(runs["attention"], ["top1"])[0] - _means(runs["none"], ["top1"])[0]
        return Found(f"{gap:+.3f}", gap <= most, counted([len(runs["attention"]), len(runs["none"])]))

    return seek


def useless(most: float) -> Seek:
    """The share of the weight of a modality that causes nothing."""

    def seek(of: Stored) -> Found | None:
        runs = _worlds(of, "planted.useless", "softmax")
        if runs is None:
            return None
        mass = statistics.mean(run["mass"]["useless"] for run in runs["softmax"])
        return Found(f"{mass:.3f}", mass < most, str(len(runs["softmax"])))

    return seek


def look_alike(least: float, drop: float) -> Seek:
    """Top-1 beside a modality whose vectors are all alike, and what the guard adds, by all seeds of either."""

    def seek(of: Stored) -> Found | None:
        runs = _worlds(of, "planted.look_alike", "softmax", "uncalibrated")
        if runs is None:
            return None
        with_guard, without = (_means(runs[gate], ["top1"])[0] for gate in ("softmax", "uncalibrated"))
        held = with_guard >= least and with_guard - without >= drop
        seeds = counted(len(runs[gate]) for gate in ("softmax", "uncalibrated"))
        return Found(f"{with_guard:.3f} / {with_guard - without:+.3f}", held, seeds)

    return seek


def bags(of: Stored) -> Found | None:
    """Top-1 by MIL-NCE, logistic bags and no gate; it is asked to be shown."""
    gates = ("softmax", "logistic", "none")
    runs = _worlds(of, "planted.plain", *gates)
    if runs is None:
        return None
    words = " / ".join(f"{_means(runs[gate], ['top1'])[0]:.3f}" for gate in gates)
    return Found(words, None, counted(len(runs[gate]) for gate in gates))


def real_content(of: Stored) -> Found | None:
    """How far preference and top-1 are above the controls', at the least."""
    gates = ("softmax", "attention", "none")
    worlds = [_worlds(of, world, *gates) for world in modality_tables.WORLDS if world.startswith("over.")]
    found = [runs for runs in worlds if runs is not None]
    if not found or len(found) < len(worlds):
        return None
    keys = ("preference", "top1")
    means = [{gate: _means(runs[gate], keys) for gate in gates} for runs in found]
    gaps = [each["softmax"][k] - max(each["attention"][k], each["none"][k]) for k in range(2) for each in means]
    return Found(
        f"preference {min(gaps[: len(found)]):+.3f}, top-1 {min(gaps[len(found) :]):+.3f} at the least",
        min(gaps) > 0,
        counted(len(runs[gate]) for runs in found for gate in gates),
    )


def foreign(data: str, names: Sequence[str], shortest: int, least: float) -> Seek:
    """AUROC for foreign content at ρ = .2."""

    def seek(of: Stored) -> Found | None:
        runs = of.modality.get(f"foreign.{data}", {}).get("rho0.2", [])
        if not runs:
            return None
        found = [statistics.mean(run[name][f"noise_{shortest}"]["auroc"] for run in runs) for name in names]
        return Found(" / ".join(f"{value:.3f}" for value in found), min(found) >= least, str(len(runs)))

    return seek


def _of(cells: Mapping[str, Figures], kind: str) -> list[Figures]:
    return [cell for cell in cells.values() if cell["cell"]["kind"] == kind]


def parameters(most: float) -> Seek:
    """Parameters of CCL4Rec beside ids and maps of content, of the other rankers', at each length."""

    def seek(of: Stored) -> Found | None:
        counts = {
            (cell["cell"]["method"], cell["cell"]["length"]): cell["parameters"]["network"]
            for cell in _of(of.rankers["cells"], "answer")
        }
        shares = {
            length: [count / counts[other, length] for other in ("self-attention", "din") if (other, length) in counts]
            for (method, length), count in sorted(counts.items())
            if method == "ccl4rec" and ("self-attention", length) in counts
        }
        if not shares:
            return None
        words = "; ".join(
            f"L = {length}: {' / '.join(f'{share:.0%}' for share in found)}" for length, found in shares.items()
        )
        return Found(words, max(max(found) for found in shares.values()) <= most)

    return seek


def beside_din(data: str, equal: bool) -> Seek:
    """GAUC of CCL4Rec beside DIN's: at every length equivalent within 2 %, or only not 2 % below."""

    def seek(of: Stored) -> Found | None:
        found = [
            (each["length"], pair)
            for each in of.rankers["comparisons"]
            for pair in each["pairs"]
            if (each["data"], pair["a"], pair["b"]) == (data, "ccl4rec", "din")
        ]
        if not found:
            return None
        words = "; ".join(
            f"L = {length}: {difference(pair['relative'], pair['difference'], pair['low'], pair['high'])}, "
            f"{pair['verdict']}"
            for length, pair in found
        )
        held = all(
            pair["p_equivalent_holm"] < ALPHA if equal else not_below(pair["low"], pair["mean_b"]) for _, pair in found
        )
        return Found(words, held, counted(pair["seeds"] for _, pair in found))

    return seek


def faster(what: str, least: float) -> Seek:
    """How many times longer the self-attention ranker takes for a candidate, at each length."""

    def seek(of: Stored) -> Found | None:
        spent = rankers_tables.answered(_of(of.rankers["cells"], "answer"), what)
        times = {
            length: spent["self-attention", length] / us
            for (method, length), us in sorted(spent.items())
            if method == "ccl4rec" and ("self-attention", length) in spent
        }
        if not times:
            return None
        words = "; ".join(f"L = {length}: {found:,.0f} ×" for length, found in times.items())
        return Found(words, min(times.values()) >= least)

    return seek


def training(least: float, until: bool) -> Seek:
    """How many times longer self-attention trains than CCL4Rec: an epoch, or until equal validation GAUC."""

    def seek(of: Stored) -> Found | None:
        times, seeds = {}, set[int]()
        for (data, _, length), group in rankers_tables.grouped(
            _of(of.rankers["cells"], "train"), "data", "mode", "length"
        ).items():
            of_method = rankers_tables.grouped(group, "method")
            if {"ccl4rec", "self-attention"} <= of_method.keys():
                spent = (
                    rankers_tables.equal(group)
                    if until
                    else {method: rankers_tables.epoch(runs) for method, runs in of_method.items()}
                )
                times[f"{data}, L = {length}"] = spent["self-attention"] / spent["ccl4rec"]
                seeds.add(len(of_method["ccl4rec"]))
        if not times:
            return None
        words = "; ".join(f"{where}: {found:.1f} ×" for where, found in times.items())
        return Found(words, min(times.values()) >= least, counted(seeds))

    return seek


def without_ids(most: int) -> Seek:
    """Parameters of CCL4Rec on one modality of 384 columns, at its defaults: counted, for a model has them untrained."""

    def seek(_: Stored) -> Found:
        import numpy as np
        import polars as pl

        import siftrec as sr

        ids = pl.Series("item", [str(item) for item in range(100)])
        vectors = np.random.default_rng(0).normal(size=(len(ids), 384)).astype(np.float32)
        model = sr.CCL4Rec(ids=False).build(sr.Catalog(ids, text=sr.features(vectors, ids=ids)))
        count = sum(each.numel() for each in model.parameters())
        return Found(f"{count:,}", count <= most)

    return seek
