"""What a folder or file is: which log, which titles, which content vectors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from siftrec.data.catalog import names_modality
from siftrec.data.readers import joined, kuairand, kuaivideo, microvideo
from siftrec.data.readers.columns import KNOWN, plain
from siftrec.data.readers.text import open_bytes, readable
from siftrec.data.titles import has_titles
from siftrec.errors import DataError

LISTS = ("*_pairs.tsv", "*_pairs.tsv.gz", "sequences.tsv", "sequences.tsv.gz")
"""Names of logs that hold one list of items per user."""

LOGS = ("*_pairs.csv", *LISTS, "*.inter", "ratings.csv", "ratings.dat", "u.data")
"""Names of known logs, the richest first: MicroLens' csv has a clock, its tsv only an order."""

_KINDS = {
    ".csv": "delimited",
    ".tsv": "delimited",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "arrow",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".inter": "recbole",
    ".dat": "movielens",
    ".data": "movielens",
}
_PUBLISHED = {"kuairand": kuairand.stands, "kuaivideo": kuaivideo.stands, "microvideo": microvideo.stands}
_TITLES = ("*titles*.csv", "*titles*.tsv", "*.item", "movies.csv", "items.tsv", "items.csv")
_VECTORS = (".npy", ".npz", ".safetensors", ".parquet", ".arrow")
_IDS = ("items.tsv", "items.csv", "items.json", "items.txt", "items.npy")


@dataclass(frozen=True)
class Vectors:
    """Files of one modality.

    Attributes:
        name: e.g. `text` for `feat_text.npy` or `text_feat.npy`.
        path: the vectors.
        ids: the item ids of their rows, where the file does not hold them itself; None: there, or in catalog order.
        mask: which rows are present, None when all are.
    """

    name: str
    path: Path
    ids: Path | None
    mask: Path | None


@dataclass(frozen=True)
class Layout:
    """What there is to read.

    Attributes:
        kind: the reader, a module of `siftrec.data.readers`.
        log: the interactions: a file, or the folder of a log in several.
        titles: item titles for display, or None.
        modalities: files of content vectors, as they lie there; see `named`.
    """

    kind: str
    log: Path
    titles: Path | None
    modalities: tuple[Vectors, ...]

    @property
    def published(self) -> bool:
        """Whether it is a published log in several files, whose columns are known."""
        return self.kind in _PUBLISHED

    def named(self) -> dict[str, Vectors]:
        """The content vectors by name; a log can be read without them, so whoever wants them asks.

        Raises:
            DataError: two files of one name, or a name that no modality can have.
        """
        named: dict[str, Vectors] = {}
        for found in self.modalities:
            if not names_modality(found.name):
                problem = f"{found.name!r} cannot name a modality; rename the file, e.g. feat_text{found.path.suffix}"
                raise DataError(problem, str(found.path))
            if found.name in named:
                both = f"{named[found.name].path.name} and {found.path.name}"
                raise DataError(f"holds {both}, both of modality {found.name!r}; rename one", str(found.path.parent))
            named[found.name] = found
        return named


def sniff(path: Path | str) -> Layout:
    """Recognise a log file or a folder that holds one.

    Raises:
        DataError: nothing there, a folder without a log or with several, an unknown kind of file.
    """
    path = Path(path)
    if not path.exists():
        whole = "; name the folder: Parquet files that are parts of one log are read together"
        raise DataError(f"does not exist{whole if set(path.name) & set('*?[') else ''}", str(path))
    published = next((kind for kind, stands in _PUBLISHED.items() if path.is_dir() and stands(path)), None)
    log = _log(path) if path.is_dir() and published is None else path
    folder = path if path.is_dir() else path.parent
    named = (found for pattern in _TITLES for found in sorted(folder.glob(pattern)) if found != log)
    return Layout(published or _kind(log), log, next(filter(has_titles, named), None), _modalities(folder))


def _log(folder: Path) -> Path:
    with readable(folder):
        names = sorted(folder.iterdir())
    for pattern in LOGS:
        if found := [name for name in names if name.match(pattern)]:
            return _only(found, folder)
    other = [name for name in names if suffix(name) in _KINDS and not any(name.match(p) for p in (*_TITLES, *_IDS))]
    other = [name for name in other if _modality_name(name) is None]
    if len(other) != 1 and (parts := joined.files(folder)) and set(other) <= set(parts):
        return folder
    if not other:
        raise DataError(f"holds no log; known are {', '.join(LOGS)} or one table", str(folder))
    return _only(other, folder)


def _only(found: list[Path], folder: Path) -> Path:
    if len(found) > 1:
        problem = f"holds {found[0].name} and {found[1].name}; name the file that is the log"
        if all(path.suffix == ".parquet" for path in found):
            problem += ", or call them part-0.parquet, part-1.parquet, … if they are one together"
        raise DataError(problem, str(folder))
    return found[0]


def suffix(path: Path) -> str:
    """The ending that tells the kind of a file: `.csv` of `a.csv` and of `a.csv.gz`."""
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _kind(log: Path) -> str:
    if log.is_dir():
        return "joined"
    kind = _KINDS.get(suffix(log))
    if kind is None:
        raise DataError(f"unknown kind of file; known are {', '.join(_KINDS)}, and .gz of the text ones", str(log))
    return "pairs" if suffix(log) == ".tsv" and _is_pairs(log) else kind


def _is_pairs(log: Path) -> bool:
    """A list of items per line: two fields, no recognised header, and a known name or a space in the second field."""
    with readable(log), open_bytes(log) as file:
        fields = file.readline(1 << 20).decode("utf-8", "replace").rstrip("\r\n").split("\t")
    headed = all(any(plain(field) in KNOWN[role] for field in fields) for role in ("user", "item"))
    named = any(log.match(pattern) for pattern in LISTS)
    return not headed and (named or (len(fields) == 2 and " " in fields[1]))


def _modality_name(path: Path) -> str | None:
    name = re.fullmatch(r"feat_(.+)|(.+)_feat", path.stem)
    if name is None or path.suffix not in _VECTORS:
        return None
    return re.sub(r"\W", "_", name[1] or name[2])


def _modalities(folder: Path) -> tuple[Vectors, ...]:
    ids = next((folder / name for name in _IDS if (folder / name).exists()), None)
    found = []
    for path in sorted(folder.iterdir()):
        name = _modality_name(path)
        if name:
            mask = folder / f"mask_{path.stem.removeprefix('feat_').removesuffix('_feat')}.npy"
            found.append(Vectors(name, path, ids, mask if mask.exists() else None))
    return tuple(found)
