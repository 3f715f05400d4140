"""`siftrec recommend`: what next, for one history or for a file of them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siftrec.cli.console import check_writable, counting, say, table, write_result
from siftrec.cli.runs import Trust, experiment_of, load_run

if TYPE_CHECKING:
    import polars as pl

    from siftrec.methods.answers import Recommendations
    from siftrec.methods.explain import Explanation
    from siftrec.methods.trained import Trained

_AT_ONCE = 1024
"""Histories that are answered between two words of how far it is."""


def recommend_command(  # noqa: PLR0913
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder or artifact.")],
    history: Annotated[
        str | None, typer.Option(help='Item ids, oldest first, separated by commas; an id with a comma is "quoted".')
    ] = None,
    user: Annotated[str | None, typer.Option(help="A user of the run's own log, with all of their history.")] = None,
    file: Annotated[Path | None, typer.Option(help="Parquet with columns `user` and `history` (a list).")] = None,
    everyone: Annotated[bool, typer.Option("--all-users", help="All users of the run's own log.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Parquet to write, with --file or --all-users.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many items.", min=1)] = 10,
    seen: Annotated[bool, typer.Option("--seen", help="Also recommend what stands in the history.")] = False,
    exclude: Annotated[str, typer.Option(help="Item ids never to recommend, separated by commas.")] = "",
    only: Annotated[str | None, typer.Option(help="Item ids to choose from, separated by commas.")] = None,
    json: Annotated[str | None, typer.Option(help="Write JSON to this file; - for stdout.")] = None,
    explained: Annotated[bool, typer.Option("--explain", help="Say what of the history counted.")] = False,
    trust: Trust = None,
) -> None:
    """Recommend items for a history, whether or not its user was there in training."""
    from siftrec.errors import UsageError
    from siftrec.methods.explain import explain

    if [history is not None, user is not None, file is not None, everyone].count(True) != 1:
        raise UsageError("give either --history a,b,c or --user, --file histories.parquet or --all-users")
    many = everyone or file is not None
    if many != (output is not None):
        raise UsageError("--file histories.parquet or --all-users and -o out.parquet go together")
    if many and (json is not None or explained):
        raise UsageError("--json and --explain go with --history and --user; --file and --all-users write Parquet")
    if output is not None and output.suffix != ".parquet":
        raise UsageError(f"-o {output}: must end in .parquet")
    if output is not None and file is not None and output.resolve() == file.resolve():
        raise UsageError(f"-o {output}: is the file of histories itself; name another")
    check_writable(output)
    trained = load_run(run, trust)
    limits = _limits(trained, exclude, seen, only)
    if output is not None:
        histories = _logged(run, trust) if file is None else _histories(file)
        _batch(histories, trained, output, lambda asked: trained.recommend_many(asked, k, **limits))
        return
    asked = _ids(history or "") if user is None else _logged(run, trust, user)["history"].to_list()[0]
    explanation = explain(trained, asked) if explained else None
    answer = trained.recommend(asked, k, **limits)
    if json is not None:
        told = {} if explanation is None else {"explanation": _explanation_json(explanation)}
        write_result(_json(answer) | told, json)
        return
    if answer.unknown:
        say(f"unknown and skipped: {', '.join(str(item) for item in answer.unknown)}")
    if answer.fallback:
        say("nothing of the history is known: these are the most popular items")
    titles = trained.titles
    rows = [(rank, str(item), score, titles.get(item, "")) for rank, (item, score) in enumerate(answer, start=1)]
    typer.echo(table(("rank", "item", "score", "title" if titles else ""), rows))
    if explanation is not None and explanation.interactions:
        typer.echo(_explanation_text(explanation, titles))


def _ids(text: str) -> list[str]:
    """Ids separated by commas; double quotes protect an id with a comma."""
    from siftrec.errors import UsageError

    try:
        parts = next(csv.reader([" ".join(text.splitlines())], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise UsageError(f"{text!r} are no ids separated by commas: {error}") from None
    return [part.strip() for part in parts if part.strip()]


def _limits(trained: Trained, exclude: str, seen: bool, only: str | None) -> dict[str, Any]:
    """Arguments of `recommend_many`; ids that the catalog lacks are said, for a misspelt one limits nothing."""
    from siftrec.errors import UsageError

    limits: dict[str, Any] = {"exclude": _ids(exclude)} | ({} if only is None else {"only": _ids(only)})
    for name, ids in limits.items():
        unknown = [item for item, code in zip(ids, trained.codes(list(ids)), strict=True) if not code]
        if name == "only" and len(unknown) == len(ids):
            raise UsageError(f"--only {only}: none of these is in the catalog")
        if unknown:
            say(f"--{name}: unknown and skipped: {', '.join(unknown)}")
    return limits | {"seen": seen}


def _explanation_json(explanation: Explanation) -> dict[str, Any]:
    rows = [
        {"item": str(each.item), "attention": each.share, "noise": each.noise, "modalities": each.modalities}
        for each in explanation
    ]
    return {"interactions": rows, "unread": explanation.unread}


def _explanation_text(explanation: Explanation, titles: Mapping[Any, str]) -> str:
    """One line per interaction, oldest first; columns that say nothing of any are left out."""
    each = explanation.interactions
    columns: dict[str, list[Any]] = {"what counted": [titles.get(one.item, str(one.item)) for one in each]}
    columns["attention"] = [one.share for one in each]
    columns["noise"] = [one.noise for one in each]
    columns |= {name: [one.modalities[name] for one in each] for name in each[0].modalities}
    kept = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    rows = zip(*([_share(value) for value in values] for values in kept.values()), strict=True)
    older = [f"{explanation.unread} older interactions are not read"] if explanation.unread else []
    return "\n".join(["", table(tuple(kept), rows), *older])


def _share(value: Any) -> str:
    return "-" if value is None else f"{value:.0%}" if isinstance(value, float) else value


def _json(answer: Recommendations) -> dict[str, Any]:
    items = [{"rank": rank, "item": str(item), "score": score} for rank, (item, score) in enumerate(answer, start=1)]
    return {"items": items, "unknown": [str(item) for item in answer.unknown], "fallback": answer.fallback}


def _batch(
    asked: pl.DataFrame, trained: Trained, output: Path, answered: Callable[[list[Any]], list[Recommendations]]
) -> None:
    from siftrec.files import write_file
    from siftrec.methods.answers import tabled, unknown_to

    histories, answers = asked["history"].to_list(), list[Any]()
    with counting("histories") as tell:
        for start in range(0, len(histories), _AT_ONCE):
            answers += answered(histories[start : start + _AT_ONCE])
            tell(len(answers), len(histories))
    write_file(output, tabled(asked["user"], answers, trained.items.ids.dtype).write_parquet)
    unknown, fallback = sum(len(answer.unknown) for answer in answers), sum(answer.fallback for answer in answers)
    say(f"{output}: {len(answers)} histories; {unknown} unknown items skipped; {fallback} answered by popularity")
    again = asked.height - asked["user"].n_unique()
    if again:
        say(f"{again} histories are of a user who has one already; `user` and `rank` do not tell them apart")
    for note in unknown_to(trained.items.ids, answers):
        say(note)


def _logged(run: Path, trust: Trust, user: str | None = None) -> pl.DataFrame:
    """`user` and `history` of the run's log, validation and test interactions among them; None: of all users."""
    import polars as pl

    from siftrec.errors import DataError

    data = experiment_of(run, trust).data
    histories = data.read().histories()
    if user is None:
        return histories
    found = histories.filter(pl.col("user").cast(pl.String) == user)
    if found.is_empty():
        raise DataError(f"has no user {user!r}, or none with clicks that data.core leaves", data.path)
    return found


def _histories(file: Path) -> pl.DataFrame:
    import polars as pl

    from siftrec.errors import DataError
    from siftrec.methods.answers import histories_of

    try:
        asked = pl.read_parquet(file)
    except FileNotFoundError:
        raise DataError("no such file", str(file)) from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"not a Parquet file: {error}", str(file)) from None
    return histories_of(asked, str(file))
