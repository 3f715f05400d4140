"""What a request costs the service: CPU per request, requests per second, how long the slowest wait.

    python benchmarks/service.py                 100,000 items, D = 64, one worker, into benchmarks/results/service.json
    python benchmarks/service.py --seconds 5     a shorter look, --requests 1000 a shorter endurance run

The model is CCL4Rec as it is built, not trained: what it says costs what anything would. Clients are threads of this
process, on the same machine, so the rate is a lower bound; the CPU time is that of the service's process alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import machine

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
ITEMS, DIM, WIDTH, CLIENTS, HISTORY = 100_000, 64, 64, 4, 20
ENDURANCE = "recommend, endurance"


def artifact(folder: Path) -> None:
    """CCL4Rec on 100,000 items with ids, titles and one modality."""
    import numpy as np
    import polars as pl

    import siftrec as sr
    from siftrec import seeds
    from siftrec.methods.trained import Facts, Trained

    rng = np.random.default_rng(0)
    ids = pl.Series([f"v{i:06d}" for i in range(ITEMS)])
    text = sr.Modality(rng.standard_normal((ITEMS, WIDTH)).astype(np.float32), np.ones(ITEMS, bool), ids)
    catalog = sr.Catalog(ids, text=text)
    method = sr.CCL4Rec(dim=DIM)
    with seeds.initialised(0, "benchmark"):
        model = method.build(catalog)
    popularity = np.concatenate([[0], rng.integers(1, 1000, ITEMS)])
    titles = {each: f"Title of {each}" for each in ids}
    scorer = model.train().eval()
    sr.save(Trained(method, scorer, catalog.vocab, popularity, Facts(), catalog.contents, titles), folder)


def body(kind: str, rng: random.Random) -> tuple[str, Any]:
    """One request."""
    ids = [f"v{rng.randrange(ITEMS):06d}" for _ in range(HISTORY)]
    if kind == "search":
        return f"/v1/search?q={rng.randrange(1000)}", None
    if kind == "similar":
        return "/v1/similar", {"item": ids[0]}
    return "/v1/recommend", {"history": ids, "explain": kind == "recommend, explained"}


def measured(process: Any, kind: str, seconds: float = math.inf, most: float = math.inf) -> dict[str, float]:
    """Ask from four connections for so long, or so many times."""
    from serve.running import ask

    waits, problems, lock = list[float](), list[int](), threading.Lock()
    until, before = time.monotonic() + seconds, process.memory()

    def client(seed: int) -> None:
        rng, connection = random.Random(seed), process.connect()
        while time.monotonic() < until and len(waits) < most:
            path, asked = body(kind, rng)
            began = time.monotonic()
            status, _ = ask(connection, path, asked)
            with lock:
                waits.append(time.monotonic() - began)
                problems.extend([status] * (status != 200))
        connection.close()

    asking = [threading.Thread(target=client, args=(seed,)) for seed in range(CLIENTS)]
    spent, began = process.seconds(), time.monotonic()
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    cuts = statistics.quantiles(waits, n=100)
    return {
        "requests": len(waits),
        "not_200": len(problems),
        "of_5xx": sum(status >= 500 for status in problems),
        "cpu_ms": 1000 * (process.seconds() - spent) / len(waits),
        "per_second": len(waits) / (time.monotonic() - began),
        "p50_ms": 1000 * cuts[49],
        "p99_ms": 1000 * cuts[98],
        "memory_mb_before": before / 1e6,
        "memory_mb": process.memory() / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="per kind of request")
    parser.add_argument("--requests", type=int, default=100_000, help="of the endurance run")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "service.json")
    options = parser.parse_args()
    machine.one_thread()
    from serve.running import running

    rows, rates, load = {}, [machine.rates()], round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        artifact(Path(folder) / "artifact")
        with running(folder) as process:
            measured(process, "recommend", 1.0)
            for kind in ("recommend", "recommend, explained", "similar", "search"):
                rows[kind] = measured(process, kind, options.seconds)
                print(kind, {name: round(value, 2) for name, value in rows[kind].items()}, flush=True)
            rows[ENDURANCE] = measured(process, "recommend", most=options.requests)
            print(ENDURANCE, {name: round(value, 2) for name, value in rows[ENDURANCE].items()}, flush=True)
    rates.append(machine.rates())
    told: dict[str, Any] = {
        "items": ITEMS,
        "dim": DIM,
        "history": HISTORY,
        "clients": CLIENTS,
        "commit": machine.commit(),
    }
    told |= {"rates": rates, "load": load}  # what else runs makes waits longer
    options.out.write_text(json.dumps(told | {"machine": machine.describe(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
