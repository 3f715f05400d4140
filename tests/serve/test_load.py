"""Many requests: none fails, and memory stays where it was."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from serve.running import Process, ask, running


def request(rng: random.Random) -> tuple[str, Any]:
    """One of what a service is asked."""
    ids = [f"v{rng.randrange(60):02d}" for _ in range(rng.randrange(30))]
    return rng.choice(
        [
            ("/v1/recommend", {"history": ids, "k": rng.randrange(1, 50), "explain": rng.random() < 0.2}),
            ("/v1/recommend", {"history": ids, "exclude": ids[:3], "only": ids[3:] or None}),
            ("/v1/similar", {"item": f"v{rng.randrange(60):02d}"}),
            ("/v1/feedback", {"events": [{"user": f"u{rng.randrange(1000)}", "item": "v01"}]}),
            (f"/v1/search?q={rng.randrange(60)}", None),
            ("/v1/recommend", b'{"history": [NaN]}'),
            ("/v1/model", None),
            ("/health/ready", None),
            ("/metrics", None),
        ]
    )


def loaded(process: Process, requests: int, clients: int = 4) -> dict[int, int]:
    """How often each status was answered."""
    seen, lock = dict[int, int](), threading.Lock()

    def client(seed: int) -> None:
        rng, connection = random.Random(seed), process.connect()
        for _ in range(requests // clients):
            status = ask(connection, *request(rng))[0]
            with lock:
                seen[status] = seen.get(status, 0) + 1
        connection.close()

    asking = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert sum(seen.values()) == requests
    return seen


def steady(process: Process, warm: int, requests: int) -> None:
    loaded(process, warm)
    before = process.memory()
    assert set(loaded(process, requests)) == {200, 201, 400, 404}
    assert process.memory() - before < 16e6


def test_a_thousand_requests(process: Process) -> None:
    steady(process, 800, 1000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_requests(run: Path) -> None:
    with running(run) as process:
        steady(process, 4000, 100_000)
