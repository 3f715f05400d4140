"""A package that is its function: `siftrec.evaluate(trained, part)`, with `siftrec.evaluate.rank` a module of it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


class Function:
    """Stands in the place of a package, for importing a module of it binds the package over the public function.

    A module that can be called would do, but `help` would list what is in it. This is none, and has what `inspect` takes a
    function by (`__get__`), so `help(siftrec.evaluate)` shows the function.

    Args:
        package: all that the package's module holds.
        home: module of the function, imported when it is first asked for.
        name: of the function.
    """

    def __init__(self, package: dict[str, Any], home: str, name: str) -> None:
        vars(self).update(package, _home=home, _name=name)

    @property
    def _function(self) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(import_module(vars(self)["_home"]), vars(self)["_name"])
        return found

    def __repr__(self) -> str:
        return f"<function {vars(self)['_name']} of the package {vars(self)['__name__']}>"

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._function(*args, **options)

    def __get__(self, instance: object, owner: type | None = None) -> Function:
        return self

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return import_module, (vars(self)["__name__"],)  # by name, as modules and functions go to another process

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self._function.__doc__

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)


def stand_in(package: dict[str, Any], home: str, name: str) -> None:
    """Put a `Function` in the place of a package; its last line calls this with `globals()`."""
    sys.modules[package["__name__"]] = Function(package, home, name)  # type: ignore[assignment]
