"""What stands around the service in production agrees with it, as far as that can be read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from siftrec.serve.settings import Limits

DOCS = Path(__file__).parents[2] / "docs"
DOCKERFILE = (DOCS / "docker" / "Dockerfile").read_text("utf-8")


def test_nginx_forgets_connections_before_the_service_does_and_takes_bodies_as_large() -> None:
    (block,) = re.findall(r"```nginx\n(.*?)```", (DOCS / "howto" / "nginx.md").read_text("utf-8"), re.DOTALL)
    assert block.count("{") == block.count("}")
    assert all(line.strip()[-1] in ";{}" for line in block.splitlines() if line.strip())
    (idle,) = re.findall(r"keepalive_timeout (\d+)s;", block)
    assert int(idle) < Limits().idle_seconds
    (mebibytes,) = re.findall(r"client_max_body_size (\d+)m;", block)
    assert int(mebibytes) << 20 == Limits().body


def test_training_again_keeps_modalities_and_method() -> None:
    """Without them the new model could take none of the items that were added by content."""
    first, again = (
        tomllib.loads(re.findall(r"```toml\n(.*?)```", (DOCS / "howto" / page).read_text("utf-8"), re.DOTALL)[0])
        for page in ("serve.md", "feedback.md")
    )
    assert first.pop("data") != again.pop("data")
    assert first == again


def test_the_container_runs_as_nobody_and_holds_no_secret() -> None:
    steps = re.findall(r"^([A-Z]+) (.*(?:\\\n.*)*)", DOCKERFILE, re.MULTILINE)
    last = [told for step, told in steps if step == "USER"][-1]
    assert int(last) > 0  # a number, so that a cluster can see that it is not root
    assert steps[-1][0] == "CMD"
    assert steps[-1][1].startswith('["siftrec", "serve"')  # no shell between it and SIGTERM
    assert not [step for step, _ in steps if step == "ADD"]
    assert not re.search(r"FROM (\S+:latest|[^:\s]+(\s|$))", DOCKERFILE)
    assert not re.search(r"TOKEN|PASSWORD|SECRET", DOCKERFILE)
    sources = [told.split()[:-1] for step, told in steps if step == "COPY" and "--from" not in told]
    root = DOCS.parent
    assert all((root / source).exists() for each in sources for source in each)
