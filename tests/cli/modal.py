"""A run over two modalities, one of them missing for every fourth item, on a log of two tastes and some mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec import config
from siftrec.detectors.likelihood import Likelihood
from siftrec.noise import content, judge
from siftrec.run import run

_METHOD = 'use = "siftrec:Demure"\n[method.base]\nuse = "siftrec:LateFusion"\ndim = 8\nlength = 6\n'


def modal_run(
    folder: Path, use: str = "siftrec:Demure", planted: str = "", impute: str = "none", titled: int = 1
) -> Path:
    """Train for an epoch on 200 users with eight interactions each.

    Args:
        folder: for the data; the run is in `folder / "run"`.
        use: the method.
        planted: further TOML lines, e.g. `[data.foreign]`.
        impute: what items without an image get.
        titled: how many items have a title, all the same, from the second on.
    """
    rng = np.random.default_rng(8)
    items = [f"v{i:02d}" for i in range(40)]
    tastes = [(u, u % 2 if rng.random() < 0.9 else rng.integers(2), t) for u in range(200) for t in range(8)]
    rows = [(f"u{u}", items[20 * taste + rng.integers(20)], t) for u, taste, t in tastes]
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    frame.unique(["user", "item"], keep="first", maintain_order=True).write_csv(folder / "log.csv")
    titles = "".join(f"{item},<i>One</i>\n" for item in items[1 : 1 + titled])
    (folder / "titles.csv").write_text(f"item,title\n{titles}")
    method = _METHOD if use == "siftrec:Demure" else f'use = "{use}"'
    centre = np.repeat(np.eye(2, 6), 20, axis=0)
    for name in ("text", "image"):
        vectors = (3 * centre + rng.standard_normal((40, 6))).astype(np.float32)
        kept = pl.Series([name == "text" or i % 4 != 0 for i in range(40)])
        table = pl.DataFrame({"item": items, "vector": vectors}).filter(kept)
        table.write_parquet(folder / f"{name}.parquet")
    (folder / "exp.toml").write_text(
        '[data]\npath = "log.csv"\ntitles = "titles.csv"\n'
        f"{planted}\n"
        '[modality.text]\npath = "text.parquet"\n'
        f'[modality.image]\npath = "image.parquet"\nimpute = "{impute}"\n'
        f"[method]\n{method}"
        "\n[train]\nepochs = 1\nbatch_size = 64\n[evaluate]\ncutoffs = [5]\n"
    )
    run(config.load(folder / "exp.toml"), folder / "run")
    return folder / "run"


def small_detectors(patch: pytest.MonkeyPatch) -> None:
    """Likelihoods that take a second instead of ten, for logs of 200 users."""
    for module in (judge, content):
        patch.setattr(module, "DEFAULT", Likelihood(folds=2, dim=8, epochs=1, steps=100, learning_rate=0.03))
