"""`siftrec audit` on a real log, called as a person calls it: a process, its streams and the folder it leaves."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

LOG = Path(__file__).parents[2].parent / "shared" / "data" / "ml100k" / "ml-100k.inter"
ANSWER, LEAD = r'<p class="answer">(.*?)</p>', r'<p class="lead"><bdi>(.*?)</bdi>'


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not LOG.exists(), reason="the real data sets are not beside the project")
def test_a_quick_audit_of_a_real_log_says_one_thing_in_all_places(tmp_path: Path) -> None:
    """Who reads the terminal, the page or the JSON must not be told different things."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "siftrec", "audit", str(LOG), "--quick", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    told = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert re.fullmatch(r"about .+ on one core and \d+\.\d GB of memory", told[0])
    assert [line[:5] for line in told if line.startswith("[")] == [f"[{step}/6]" for step in range(1, 7)]

    names = {"audit.json", "weighted.parquet", "audit.html", LOG.name, "manifest.json"}
    assert {each.name for each in out.iterdir()} == names
    result = json.loads((out / "audit.json").read_text())
    answer, sentences = result["verdict"]["answer"], result["verdict"]["sentences"]
    assert done.stdout.rstrip().splitlines()[-1] == sentences
    assert sentences.startswith(f"{answer.capitalize()}: ")
    page = (out / "audit.html").read_text()
    headline, why = (re.search(found, page, re.DOTALL) for found in (ANSWER, LEAD))
    assert headline is not None
    assert why is not None
    assert headline[1].lower().replace(":", ",") == f"{answer}."
    assert f"{answer}: {html.unescape(why[1])}".lower() == sentences.lower()

    weighted = pl.read_parquet(out / "weighted.parquet")
    assert weighted.height == 100_000
    assert weighted["weight"].is_between(0, 1).all()
    assert f"{int(weighted['flagged'].sum()):,}" in next(row for row in done.stdout.splitlines() if "flagged at" in row)
    again = pl.read_csv(out / LOG.name, separator="\t", infer_schema=False)
    original = pl.read_csv(LOG, separator="\t", infer_schema=False)
    assert again.columns == [*original.columns, "weight:float"]
    assert again.drop("weight:float").equals(original)
