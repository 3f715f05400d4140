"""Ranking, metrics, significance. The package is also the function: `siftrec.evaluate(trained, part)`."""

import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any


def _function() -> Callable[..., Any]:
    from siftrec.evaluate.evaluation import evaluate

    return evaluate


class Function:
    """A package that is its function, for importing siftrec.evaluate.rank binds the package over the public function.

    A module that can be called would do, but `help` would list what is in it. This is none, and has what `inspect` takes a
    function by (`__get__`), so `help(siftrec.evaluate)` shows the function.

    Args:
        package: all that the package's module holds.
    """

    def __init__(self, package: dict[str, Any]) -> None:
        vars(self).update(package)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return _function()(*args, **options)

    def __get__(self, instance: object, owner: type | None = None) -> "Function":
        return self

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return importlib.import_module, (__name__,)  # by name, as modules and functions go to another process

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return _function().__doc__

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_function())


sys.modules[__name__] = Function(globals())  # type: ignore[assignment]
