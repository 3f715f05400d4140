"""Other libraries beside ours: started in their own environments, on our training sequences, judged by our metrics."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from datasets import Data

    from siftrec.data.catalog import Catalog
    from siftrec.data.sequences import Sequences
    from siftrec.data.split import Part
    from siftrec.evaluate.evaluation import Evaluation

HERE = Path(__file__).resolve().parent / "peers"
LONGEST = 50  # cut-off of the metrics
CHOSEN_BY, VALIDATED = "ndcg@20", 20_000
"""How settings are chosen, and by how many validation questions at most."""
Arguments = tuple[str, ...]


class Peer(NamedTuple):
    """A model of another library.

    Attributes:
        what: in words.
        script: under `peers`, beside the environment it runs in.
        model: what the script is told before the files.
        rhos: shares of noise of microlens50k at which it runs, seed 1.
        grid: its settings; of several the best on validation questions, the first if equal. All else is its default.
        reads: whether it answers for histories it was not trained on. Else it is trained on the validation interactions
            too before the test questions are asked, so that it knows what the others read in the histories.
        content: whether it is given the content.
    """

    what: str
    script: str
    model: Arguments
    rhos: tuple[float, ...] = (0.0, 0.3)
    grid: tuple[Arguments, ...] = ((),)
    reads: bool = True
    content: bool = False

    @property
    def name(self) -> str:
        """As evaluations call it."""
        return f"{self.script.partition('/')[0]}:{self.model[-1]}"


def grid(**values: tuple[str, ...]) -> tuple[Arguments, ...]:
    """Every combination of the values of some options; the first of each is the library's default."""
    options = [f"--{name.replace('_', '-')}" for name in values]
    return tuple(
        tuple(word for pair in zip(options, chosen, strict=True) for word in pair)
        for chosen in product(*values.values())
    )


PEERS = {
    "rectools-sasrec": Peer(
        "RecTools' SASRec, gBCE, 256 negatives",
        "rectools/sasrec.py",
        ("rank",),
        rhos=(0.0,),
        grid=(("--loss", "gBCE", "--negatives", "256", "--length", "20", "--epochs", "8"),),
    ),
    "implicit-als": Peer(
        "implicit's ALS",
        "implicit/factors.py",
        ("rank", "als"),
        grid=grid(alpha=("1", "10"), regularization=("0.01", "10")),
    ),
    "implicit-bpr": Peer(
        "implicit's BPR",
        "implicit/factors.py",
        ("rank", "bpr"),
        grid=grid(learning_rate=("0.01", "0.05"), regularization=("0.01", "0.001")),
        reads=False,
    ),
    "implicit-itemknn": Peer(
        "implicit's item-kNN",
        "implicit/factors.py",
        ("rank", "itemknn"),
        grid=grid(weighting=("cosine", "bm25"), neighbours=("20", "100")),
    ),
    "cornac-vbpr": Peer("Cornac's VBPR", "cornac/visual.py", ("rank", "vbpr"), reads=False, content=True),
}


def peer_settings(name: str) -> dict[str, Any]:
    """What decides a peer's figures: its settings, how they are chosen, and the hashes of its script and environment."""
    peer = PEERS[name]
    files = (peer.script, f"{peer.script.partition('/')[0]}/requirements.txt", "exchange.py")
    deciding = ("script", "model", "grid", "reads", "content")
    told = {key: value for key, value in peer._asdict().items() if key in deciding}
    told |= {"chosen_by": CHOSEN_BY, "validated": VALIDATED}
    told["sha256"] = {file: hashlib.sha256((HERE / file).read_bytes()).hexdigest() for file in files}
    return {"peer": json.loads(json.dumps(told))}


def python_of(script: str) -> Path:
    """The interpreter of a script's library."""
    return HERE / script.partition("/")[0] / ".venv" / "bin" / "python"


def installed(script: str) -> bool:
    """Whether a script's library has its environment."""
    return python_of(script).exists()


def call(script: str, *arguments: str) -> dict[str, Any]:
    """The last line that a peer's script prints, as JSON."""
    if not installed(script):
        library = script.partition("/")[0]
        sys.exit(f"{library}'s environment is missing; run: make peer-{library}")
    command = [str(python_of(script)), str(HERE / script), *arguments]
    shared = os.environ | {"PYTHONPATH": str(HERE)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=shared)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def save(sequences: Sequences, path: Path, **more: Any) -> str:
    """Write items, offsets and weights for a peer, and what else it is given."""
    weights = {} if sequences.weights is None else {"weights": sequences.weights}
    np.savez(path, items=sequences.items, offsets=sequences.offsets, **weights, **more)
    return str(path)


def peer_speed(data: Data, arguments: Arguments, seconds: float) -> dict[str, Any]:
    """Time RecTools on the training sequences."""
    with tempfile.TemporaryDirectory() as folder:
        train = save(data.split.train, Path(folder, "train.npz"))
        return call("rectools/sasrec.py", "speed", train, "--seconds", str(seconds), *arguments)


def peer_evaluation(name: str, data: Data, seed: int) -> tuple[Evaluation, dict[str, Any]]:
    """A peer on the test questions, with the settings that were the best on the validation questions."""
    from siftrec.data.split import TEST

    peer, split = PEERS[name], data.split
    valid = split.valid.take(np.arange(0, len(split.valid), -(-len(split.valid) // VALIDATED)))
    tried, spent = [], 0.0
    for settings in peer.grid if len(peer.grid) > 1 else ():
        lists, told = answers(peer, split.train, valid, data.catalog, (*settings, "--seed", str(seed)))
        value = judged(peer, lists, data, valid, seed).means()[CHOSEN_BY]
        tried.append({"settings": told["settings"], "cpu_s": told["cpu_s"], CHOSEN_BY: value})
        spent += told["cpu_s"]
    best = max(range(len(tried)), key=lambda at: tried[at][CHOSEN_BY]) if tried else 0
    train = split.train if peer.reads else split.log.where(split.role < TEST)
    lists, told = answers(peer, train, split.test, data.catalog, (*peer.grid[best], "--seed", str(seed)))
    told["method"] = {"use": peer.name, **told.pop("settings")}
    told["cpu_s"] += spent
    told |= {"tried": tried, "modalities": list(data.catalog) if peer.content else []}
    return judged(peer, lists, data, split.test, seed), told


def answers(
    peer: Peer, train: Sequences, part: Part, catalog: Catalog, settings: Arguments, read: bool = True
) -> tuple[np.ndarray, dict[str, Any]]:
    """The best items of each question of a part, (Q, k) codes, nothing filtered; and what the script tells.

    Lists are long enough that leaving out a user's seen items still leaves the longest cut-off.

    Args:
        peer: who answers.
        train: U rows it is trained on.
        part: the questions.
        catalog: the items.
        settings: options of the script.
        read: False: the histories are the rows of `train`.
    """
    k = min(LONGEST + int(part.seen.lengths.max()), len(catalog) - 1)
    with tempfile.TemporaryDirectory() as folder:
        out, train_file, asked_file = (Path(folder, f"{name}.npz") for name in ("lists", "train", "asked"))
        content = {"content": content_of(catalog, train.counts(len(catalog)))} if peer.content else {}
        histories = part.histories if read else train.take(part.users)
        files = (
            save(train, train_file, size=len(catalog), **content),
            save(histories, asked_file, users=part.users),
        )
        told = call(peer.script, *peer.model, *files, str(out), "--k", str(k), *settings)
        with np.load(out) as arrays:
            return arrays["items"], told


def content_of(catalog: Catalog, counts_N: np.ndarray) -> np.ndarray:
    """(N, F) the content as our methods read it: standardised on training items, modalities side by side, 0 where absent."""
    import torch

    from siftrec.modality.features import Features

    features = Features(catalog).fit(torch.from_numpy(counts_N.astype(np.float32)))
    return np.asarray(features.standardised(torch.arange(len(catalog))))


def judged(peer: Peer, lists: np.ndarray, data: Data, part: Part, seed: int) -> Evaluation:
    """An evaluation of the best items of each question, (Q, k) codes; a target that is not listed is missed."""
    from siftrec.evaluate.evaluation import About, Evaluation
    from siftrec.evaluate.metrics import METRICS, Ranks, accuracy, names

    places, before = listed(lists, part.targets, part.seen)
    cutoffs, owners, count = (5, 10, 20, LONGEST), part.targets.owners, part.targets.lengths
    ranks = {"seen": places - before, "none": places}
    values = {filter: accuracy(Ranks(each, owners, count), cutoffs) for filter, each in ranks.items()}
    about = About(
        method=peer.name,
        seed=seed,
        split="test",
        protocol=data.split.protocol,
        items=len(data.catalog) - 1,
        fingerprint={"train": data.split.train.fingerprint, "test": part.fingerprint},
        tied=0.0,
        coverage={"filtered": {}, "unfiltered": {}},
        slices={},
    )
    return Evaluation(part.user_ids, names(METRICS, cutoffs), values, about)  # type: ignore[arg-type]


def listed(lists: np.ndarray, targets: Sequences, seen: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Place of each target in its question's list, and how many seen items stand before it; far off when not listed."""
    is_target = lists[targets.owners] == targets.items[:, None]
    found = is_target.any(axis=1)
    places = np.where(found, is_target.argmax(axis=1) + 1, lists.shape[1] + 10**6)
    width = int(max(lists.max(initial=0), seen.items.max(initial=0))) + 1
    is_seen = np.isin(lists + np.arange(len(lists))[:, None] * width, seen.owners * width + seen.items)
    counts = np.concatenate([np.zeros((len(lists), 1), np.int64), np.cumsum(is_seen, axis=1)], axis=1)
    before = counts[targets.owners, np.where(found, places - 1, 0)]
    return places, before
