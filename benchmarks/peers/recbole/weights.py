"""Section 4 of docs/howto/weights.md carried out with RecBole, and whether the weights arrive where the page says.

Runs in its own environment (see README.md beside this file) and never imports siftrec. Writes into the current folder.

    python weights.py weighted.parquet        the file of section 1: uid, vid, ts, weight; each user 4 to 50 rows
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import polars as pl
import torch
from recbole.data.interaction import Interaction
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "weights.md"


def followed() -> dict[str, Any]:
    """The names that the Python blocks of section 4 leave behind, one epoch with the weights among what they do."""
    (section,) = re.findall(r"^## 4\. RecBole\n(.*?)^## ", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    return names


def targets(log: pl.DataFrame) -> dict[tuple[str, int], tuple[str, float]]:
    """Item and weight of each user's interactions by their number, the user's first being 0."""
    rows = log.sort("ts", maintain_order=True).with_columns(n=pl.int_range(pl.len()).over("uid"))
    return {(str(user), n): (str(item), weight) for user, n, item, weight in rows["uid", "n", "vid", "weight"].rows()}


def arrived(batch: Any, data: Any, truth: dict[tuple[str, int], tuple[str, float]]) -> int:
    """How many targets the batch has; each must be the interaction that follows its history, with that one's weight."""
    users, items = (data.id2token(name, batch[name].numpy()) for name in ("user_id", "item_id"))
    lengths, weights = batch["item_length"].tolist(), batch["weight"].tolist()
    for user, item, length, weight in zip(users, items, lengths, weights, strict=True):
        told, expected = truth[user, length]
        assert item == told, f"{user}: target {length} is {item}, in the log {told}"
        assert abs(weight - expected) < 1e-6, f"{user}: target {length} weighs {weight}, in the log {expected}"
    return len(batch)


@torch.no_grad()
def losses(model: Any, batch: Any) -> dict[str, float]:
    """Losses of one batch without dropout: what a weight of 1 leaves alone and a weight of 0 takes out."""
    model.eval()
    half = len(batch) // 2
    ones, zeros = torch.ones(len(batch)), (torch.arange(len(batch)) < half).float()
    other = batch["item_id"] % (model.n_items - 1) + 1  # another item, and not padding
    others = torch.where(zeros > 0, batch["item_id"], other)
    found = {"SASRec": float(SASRec.calculate_loss(model, batch))}
    for name, weight, items in (
        ("ones", ones, batch["item_id"]),
        ("ones, other targets", ones, others),
        ("zeros", zeros, batch["item_id"]),
        ("zeros, other targets", zeros, others),
    ):
        batch.update(Interaction({"weight": weight, "item_id": items}))
        found[name] = float(model.calculate_loss(batch))
    batch.update(Interaction({"weight": ones}))
    found["without them"] = float(model.calculate_loss(batch[:half]))
    return found


def main(path: Path) -> None:
    """Follow the page, train RecBole's own SASRec as well, and check."""
    if path.resolve() != Path("weighted.parquet").resolve():
        Path("weighted.parquet").write_bytes(path.read_bytes())
    names = followed()
    config, train, model = names["config"], names["train"], names["trainer"].model
    assert type(model).__name__ == "WeightedSASRec"
    own = Trainer(config, SASRec(config, train.dataset).to(config["device"]))
    own.fit(train, names["valid"], saved=False)
    truth = targets(pl.read_parquet("weighted.parquet"))
    count = sum(arrived(batch, train.dataset, truth) for batch in train)
    users = len({user for user, _ in truth})
    assert count == len(truth) - 3 * users, "all but the first, which has no history, and two held out are targets"
    found = losses(model.cpu(), next(iter(train)))
    assert abs(found["ones"] - found["SASRec"]) < 1e-5, found
    assert abs(found["ones, other targets"] - found["ones"]) > 1e-5, found
    assert found["zeros, other targets"] == found["zeros"], found
    assert abs(found["without them"] - found["zeros"]) < 1e-5, found
    print(json.dumps({"targets": count, "losses": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
