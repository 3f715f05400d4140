"""Ranking, metrics, significance. The package is also the function: `siftrec.evaluate(trained, part)`."""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    # Importing siftrec.evaluate.rank binds the package over the public function of the same name in siftrec.
    def __call__(self, *args: Any, **options: Any) -> Any:
        from siftrec.evaluate.evaluation import evaluate

        return evaluate(*args, **options)


sys.modules[__name__].__class__ = _Callable
