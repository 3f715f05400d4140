"""Settings: frozen dataclasses that refuse what they do not know, and the `use = "module:Name"` registry.

A settings class is the configuration of the thing it names: its fields, their types, ranges and defaults are written
there once. `@settings` makes pydantic check them strictly (`true` is not 1, `"3"` is not 3, an unknown key is an error).

    @settings
    class SASRec:
        dim: Size = 64

    build({"use": "siftrec:SASRec", "dim": 32}, "method")  →  SASRec(dim=32)
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import json
import re
import sys
import sysconfig
import traceback
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as _pydantic_dataclass

from siftrec.errors import SettingsError, UsageError

T = TypeVar("T")

Size = Annotated[int, Field(ge=1)]
Several = Annotated[int, Field(ge=2)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]

ANY = ("*",)
"""Trust in every package: for what the person at hand has written."""

_PARTS = {"method": ("loss", "fit"), "base": ("loss", "fit"), "split": ("leaks_time",)}
"""What a class has, by the table that names it."""

_CONFIG = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def settings(cls: type[T]) -> type[T]:
    """Class decorator: a frozen, keyword-only, strictly validated dataclass that refuses in one line (`SettingsError`)."""
    made = typing.cast(Any, _pydantic_dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls))
    plain, names = made.__init__, set(inspect.signature(made).parameters)

    @functools.wraps(plain)
    def init(self: Any, *args: Any, **given: Any) -> None:
        for name in given.keys() - names:
            raise SettingsError(f"{cls.__name__}.{name}", f"no such setting{nearest(name, names)}")
        try:
            plain(self, *args, **given)
        except pydantic.ValidationError as error:
            spot, problem = _first(error)
            raise SettingsError(".".join([cls.__name__, *spot]), problem) from None

    made.__init__ = init
    return typing.cast(type[T], made)


def trusting(packages: Iterable[str]) -> tuple[str, ...]:
    """The packages whose code a file may name: siftrec's own and these.

    Raises:
        UsageError: text where a list is due, or a name that is not one of a top-level package.
    """
    if isinstance(packages, str):
        raise UsageError(f"trust must be a list of packages, e.g. trust=[{packages!r}]")
    named = tuple(packages)
    for name in named:
        if name not in ANY and not name.isidentifier():
            raise UsageError(f"trust {name!r}: name a top-level package or module, e.g. 'my_package'")
    return ("siftrec", *named)


def resolve(name: str, path: str, trust: tuple[str, ...] = ("siftrec",)) -> type[Any]:
    """The class called `"module:Name"`.

    Args:
        name: e.g. `siftrec:CCL4Rec` or `my_package.models:Mine`.
        path: key path named in errors.
        trust: top-level packages whose code may be run (see `trusting`); `ANY` for the user's own configuration.

    Raises:
        SettingsError: no such module or name, a module that cannot be run, or a package that is not trusted.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        own = _closest(name.rpartition(".")[2], _offered(_imported("siftrec", path), path))
        example = f"; did you mean 'siftrec:{own}'?" if own else ", e.g. 'siftrec:CCL4Rec'"
        raise SettingsError(path, f"{name!r} is not of the form 'module:Name'{example}")
    package = module.split(".")[0]
    if not {"*", package} & set(trust):
        raise SettingsError(
            path,
            f"{name!r} would run code of {package!r}; if you trust it, say --trust {package}, or trust=[{package!r}] "
            "in Python",
        )
    home = _imported(module, path)
    if not hasattr(home, attribute):
        known = _offered(home, path)
        where = "" if package == "siftrec" else f" ({getattr(home, '__file__', 'built in')})"
        raise SettingsError(path, f"{module!r}{where} has no {attribute!r}{nearest(attribute, known)}")
    found = getattr(home, attribute)
    if not _is_settings(found):
        raise SettingsError(path, f"{name!r} is not a settings class: one with @settings of siftrec.settings above it")
    return typing.cast(type[Any], found)


def _offered(home: ModuleType, path: str) -> list[str]:
    """The names of a module's settings classes that a key may mean: for a method methods alone."""
    names = getattr(home, "__all__", None) or vars(home)
    known = {name: thing for name in names if _is_settings(thing := getattr(home, name, None))}
    parts = _PARTS.get(path.removesuffix(".use").split(".")[-1], ("__pydantic_validator__",))
    return [name for name, thing in known.items() if any(hasattr(thing, part) for part in parts)] or list(known)


def _is_settings(thing: Any) -> bool:
    return isinstance(thing, type) and dataclasses.is_dataclass(thing)


def _imported(module: str, path: str) -> ModuleType:
    """The module called so; the error tells a module that is not there from one that fails."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if not f"{module}.".startswith(f"{missing}."):
            problem = f"importing {module!r} failed: {_told(error, module)}"
        elif "." in missing:
            problem = f"cannot import {module!r}: there is no {missing!r}"
        else:
            problem = f"cannot import {module!r}: no such module {_looked_in()}"
        raise SettingsError(path, problem) from error
    except (Exception, SystemExit) as error:  # it is the user's code, and may fail in any way
        raise SettingsError(path, f"importing {module!r} failed: {_told(error, module)}") from error


def _told(error: BaseException, module: str) -> str:
    """`NameError: name 'x' is not defined (badmod.py, line 2)`: the last line of the module's own package."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error}"  # says where already
    steps = list(traceback.walk_tb(error.__traceback__))
    package = module.split(".", maxsplit=1)[0]
    own = [step for step in steps if str(step[0].f_globals.get("__name__")).split(".")[0] == package]
    frame, line = (own or steps)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.f_code.co_filename).name}, line {line})"


def _looked_in() -> str:
    """Where modules are looked for, in words, the current folder first."""
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")]
    folders = [str(Path(each).absolute()) for each in sys.path]
    own = {each for each in folders if Path(each).exists() and not each.startswith(tuple(installed))}
    here_first = sorted(own, key=lambda each: (each != str(Path.cwd()), folders.index(each)))
    return " or ".join([*(f"in {each}" for each in here_first), "among what is installed"])


def nearest(wrong: str, known: typing.Iterable[str]) -> str:
    """`; did you mean 'x'?` or a list of what exists: the tail of an error about a misspelt name."""
    names = sorted(known)
    if close := _closest(wrong, names):
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def _closest(wrong: str, known: Iterable[str]) -> str | None:
    """The name that is most like a misspelt one, in letters of either case."""
    plain = {name.lower(): name for name in known}
    close = difflib.get_close_matches(wrong.lower(), plain, n=1)
    return plain[close[0]] if close else None


def build(table: Mapping[str, Any], path: str, trust: tuple[str, ...] = ANY) -> Any:
    """The object a table with `use` describes.

    Args:
        table: `{"use": "module:Name", key: value, ...}`; nested tables are built the same way.
        path: key path of the table, for errors.
        trust: see `resolve`.

    Raises:
        SettingsError: naming the full key path, the value and the nearest right name.
    """
    if "use" not in table:
        raise SettingsError(f"{path}.use", "missing; it names the class, e.g. use = 'siftrec:CCL4Rec'")
    if not isinstance(table["use"], str):
        raise SettingsError(f"{path}.use", f"must be text like 'siftrec:CCL4Rec', not {table['use']!r}")
    rest = {key: value for key, value in table.items() if key != "use"}
    return construct(resolve(table["use"], f"{path}.use", trust), rest, path, trust)


def construct(cls: type[T], values: Mapping[str, Any], path: str, trust: tuple[str, ...] = ANY) -> T:
    """`cls(**values)` with nested tables built first and every complaint carrying its key path."""
    hints = _hints(cls, path)
    fields = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    ready: dict[str, Any] = {}
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        if key not in fields:
            raise SettingsError(here, f"unknown key{nearest(key, fields)}")
        ready[key] = _value(value, hints[key], here, trust)
    try:
        return cls(**ready)
    except SettingsError as error:
        name, *spot = error.path.split(".")
        if name != cls.__name__:
            raise
        raise SettingsError(".".join([path, *spot]).strip("."), error.problem) from None
    except pydantic.ValidationError as error:  # of a class that `settings` has not made
        spot, problem = _first(error)
        raise SettingsError(".".join([path, *spot]).strip("."), problem) from None


def _hints(cls: type[Any], path: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except NameError as error:
        raise SettingsError(
            path, f"{cls.__name__}: {error}; import the types of settings outside TYPE_CHECKING"
        ) from None


def _first(error: pydantic.ValidationError) -> tuple[list[str], str]:
    """The key of pydantic's first complaint, and the complaint in the words of a configuration file."""
    errors = error.errors()
    first = errors[0]
    kind, message = first["type"], str(first["msg"])
    if kind == "tuple_type":
        message = "must be a list"
    elif kind == "value_error":
        message = str(first["ctx"]["error"])
    elif kind == "dataclass_exact_type":
        here = (each for each in errors if each["type"] == kind and each["loc"][:1] == first["loc"][:1])
        message = "input should be an instance of " + " or ".join(str(each["ctx"]["class_name"]) for each in here)
    given = "" if kind == "missing" else f", not {_short(first['input'])}"
    return [str(part) for part in first["loc"][:1]], message[0].lower() + message[1:] + given


def _value(value: Any, hint: Any, path: str, trust: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping) and "use" in value:
        return build(value, path, trust)
    if isinstance(value, Mapping):
        nested = [kind for kind in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(kind)]
        return construct(nested[0], value, path, trust) if nested else dict(value)  # type: ignore[arg-type]
    return tuple(value) if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def describe(thing: Any) -> dict[str, Any]:
    """The table that `build` turns into `thing` again: complete, with every default written out; JSON and TOML ready."""
    table: dict[str, Any] = {"use": spelled(type(thing))}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if value is None:
            continue
        table[field.name] = _plain(value, typing.get_type_hints(type(thing))[field.name])
    return table


def _plain(value: Any, hint: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        table = describe(value)
        if [kind for kind in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(kind)] == [type(value)]:
            del table["use"]
        return table
    return list(value) if isinstance(value, tuple) else value


def spelled(cls: type[Any]) -> str:
    """`module:Name`, with siftrec's own public classes spelled `siftrec:Name`."""
    package = cls.__module__.split(".")[0]
    public = importlib.import_module(package)
    if cls.__name__ in getattr(public, "__all__", ()):
        return f"{package}:{cls.__name__}"
    return f"{cls.__module__}:{cls.__name__}"


def toml_lines(table: Mapping[str, Any], path: str = "") -> list[str]:
    """The lines of a TOML document.

    Args:
        table: text keys to text, numbers, truth values, lists of them, and tables.
        path: dotted name of the table itself.
    """
    lines = [f"{toml_key(key)} = {_literal(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            here = f"{path}.{toml_key(key)}".strip(".")
            lines += ["", f"[{here}]", *toml_lines(value, here)]
    return lines


def toml_key(name: str) -> str:
    """A key as TOML spells it: bare, or in quotes where it is no plain ASCII."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _literal(name)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        # JSON's escapes are TOML's, except that JSON lets DEL through.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_literal(part) for part in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml_key(key)} = {_literal(part)}' for key, part in value.items())}}}"
    return repr(value)
