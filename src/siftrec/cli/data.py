"""`siftrec data`: read, validate, describe a log. `siftrec init`: write an experiment file for it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from siftrec.cli.console import check_writable, say, table, write_result

if TYPE_CHECKING:
    from siftrec.config import Data
    from siftrec.data.interactions import Interactions
    from siftrec.data.layout import Layout

Column = Annotated[Optional[str], typer.Option(help="Column name, where it is not recognised; '' = there is none.")]  # noqa: UP045


def data_command(  # noqa: PLR0913
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A log, or a folder in a known layout.")],
    write: Annotated[Optional[Path], typer.Option(help="Write the log as normalised .parquet.")] = None,  # noqa: UP045
    user: Column = None,
    item: Column = None,
    time: Column = None,
    label: Column = None,
    weight: Column = None,
    rating: Column = None,
    split: Column = None,
    core: Annotated[int, typer.Option(min=1, help="Keep users and items with at least so many interactions.")] = 1,
    json: Annotated[Optional[str], typer.Option(help="Write the description as JSON; - is stdout.")] = None,  # noqa: UP045
) -> None:
    """Read, validate and describe a log and the content vectors beside it."""
    from siftrec.data.catalog import Catalog
    from siftrec.data.describe import describe
    from siftrec.data.layout import sniff
    from siftrec.data.read import read
    from siftrec.data.writers.rewrite import refuse_log
    from siftrec.errors import UsageError
    from siftrec.modality.precomputed import features

    if write is not None and write.suffix != ".parquet":  # another ending could not be read back
        raise UsageError(f"{write} must end in .parquet: the log is written as Parquet")
    layout = sniff(source)
    for out in (write, None if json in (None, "-") else Path(json)):
        if out is not None:
            refuse_log(layout, out)
            check_writable(out)
    vectors = layout.named()
    events = read(source, user=user, item=item, time=time, label=label, weight=weight, rating=rating, split=split)
    events = events.core(core) if core > 1 else events
    found = {name: features(m.path, ids=m.ids, mask=m.mask) for name, m in vectors.items()}
    coverage = Catalog(events.items, **found).coverage
    modalities = {name: {"width": m.width, "coverage": coverage[name], "source": m.source} for name, m in found.items()}
    report = {"schema": 1, **describe(events), "layout": layout.kind, "modalities": modalities}
    if write is not None:
        _write(events, write)
    if json is not None:
        write_result(report, json)
    else:
        print(table(("", ""), _lines(report)).lstrip("\n"))


def _write(events: Any, path: Path) -> None:
    from siftrec.data.readers.arrow import write
    from siftrec.files import write_file

    write_file(path, lambda work: write(events, work))
    say(f"wrote {path}")


def _lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    history, time = report["history"], report["time"]
    lines = [(name, f"{report[name]:,}") for name in ("users", "items", "interactions", "repeats")]
    if "shown_only" in report:
        lines.insert(3, ("of them shown only, not clicked", f"{report['shown_only']:,}"))
    lines.append(("density", f"{report['density']:.6f}"))
    lines += [
        (f"history {name}", f"{value:,.1f}" if name == "mean" else f"{value:,}") for name, value in history.items()
    ]
    span = f"{time['first']} to {time['last']}" if time["kind"] == "clock" else "order within each user, no clock"
    lines.append(("time", span))
    lines += [(f"accepted: {name}", f"{count:,}") for name, count in report["notes"].items()]
    for name, one in report["modalities"].items():
        lines.append((f"modality {name}", f"{one['width']}-d, {one['coverage']:.1%} of items"))
    return lines


def init_command(  # noqa: PLR0913
    source: Annotated[Path, typer.Argument(metavar="DATA", help="A log, or a folder in a known layout.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Experiment file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an experiment file that exists.")] = False,
    user: Column = None,
    item: Column = None,
    time: Column = None,
    label: Column = None,
    weight: Column = None,
    rating: Column = None,
    split: Column = None,
    liked: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Make impressions of ratings: what is rated so or better counts as clicked."),
    ] = None,
) -> None:
    """Sniff the data's layout and write a commented experiment file."""
    from siftrec.config import Data
    from siftrec.data.layout import sniff
    from siftrec.data.writers.rewrite import refuse_log
    from siftrec.errors import UsageError
    from siftrec.files import write_text
    from siftrec.settings import construct

    if output.exists() and not force:
        raise UsageError(f"{output} exists; choose another name or pass --force")
    layout = sniff(source)
    refuse_log(layout, output)
    check_writable(output)
    named: dict[str, Any] = {"user": user, "item": item, "time": time, "label": label, "weight": weight}
    named |= {"rating": rating, "split": split, "liked": liked}
    data = construct(Data, {"path": str(source)} | named, "data")
    events = data.read()
    for note, count in events.notes.items():
        say(f"accepted: {count:,} {note}")
    lines = experiment(source, layout, output.parent, data, events)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, "\n".join(lines) + "\n")
    say(f"wrote {output}; next: siftrec train {shlex.quote(str(output))} -o run")


def experiment(source: Path, layout: Layout, folder: Path, data: Data, events: Interactions) -> list[str]:
    """The lines of an experiment file that lies in `folder`; defaults are read from the settings classes."""
    from siftrec.config import Evaluating
    from siftrec.settings import toml_key
    from siftrec.train.settings import Training

    columns, train = events.frame.columns, Training()
    shown = "label" in columns and bool((events.frame["label"] == 0).any())
    lines = ["# An experiment of siftrec. Paths are relative to this file.", "seed = 7", "", "[data]"]
    lines.append(f"path = {_path(source, folder)}")
    columns_named = ("user", "item", "time", "label", "weight", "rating", "split", "liked")
    named = ((name, getattr(data, name)) for name in columns_named)
    lines += [f"{name} = {_text(value)}" for name, value in named if value is not None]
    if layout.titles is not None:
        lines.append(f"titles = {_path(layout.titles, folder)}  # shown instead of ids")
    if "rating" in columns and data.liked is None:
        lines.append("# liked = 4.0  # makes impressions of ratings; then use siftrec:ImpressionCut below")
    lines.append("# core = 5  # keep users and items with at least so many interactions")
    lines += ["", "[split]", *(_impressions(columns) if shown else _interactions(columns))]
    for name, found in layout.named().items():
        lines += ["", f"[modality.{toml_key(name)}]"]
        parts = (("path", found.path), ("ids", found.ids), ("mask", found.mask))
        lines += [f"{part} = {_path(path, folder)}" for part, path in parts if path is not None]
    others = "siftrec:DIN, siftrec:SelfAttentionRanker" if shown else "siftrec:SASRec, siftrec:ItemKNN"
    lines += ["", "[method]", f'use = "siftrec:CCL4Rec"  # or {others}, siftrec:Popularity …', "# dim = 64"]
    lines += [] if shown else ['# rows = "sequence"  # much faster where histories are long; CCL4Rec']
    lines += ["", "[train]"]
    lines += [
        f"{name} = {_text(getattr(train, name))}"
        for name in ("epochs", "batch_size", "learning_rate", "schedule", "patience")
    ]
    if shown:
        return [*lines, 'metric = "gauc"  # or "auc": what decides which epoch is kept, on validation users']
    cutoffs = [k for k in Evaluating().cutoffs if k <= len(events.items)]
    return [*lines, "", "[evaluate]", f"cutoffs = {cutoffs or [len(events.items)]}"]


def _interactions(columns: Sequence[str]) -> list[str]:
    uses = ["siftrec:LeaveOneOut", "siftrec:Predefined"]
    use, other = reversed(uses) if "split" in columns else uses
    return [f'use = "{use}"  # or siftrec:TemporalSplit, {other}']


def _impressions(columns: Sequence[str]) -> list[str]:
    from siftrec.data.exposure import ImpressionCut

    cut, by = ImpressionCut(), "split" if "split" in columns else "user"
    return [
        'use = "siftrec:ImpressionCut"  # clicks form histories; what was shown, clicked or not, is judged',
        f'by = "{by}"  # "user": the last of each user; "time": the last of all; "split": a column',
        f"group = {cut.group}  # training impressions of a user that are judged from one history",
        f'candidates = "{cut.candidates}"  # "sampled", if rows labelled 0 were drawn and never shown to the user',
    ]


def _path(path: Path, folder: Path) -> str:
    try:
        return _text(os.path.relpath(path, folder).replace(os.sep, "/"))
    except ValueError:  # on Windows, another drive
        return _text(str(path.absolute()))


def _text(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
