"""Ranking, metrics, significance. The package is also the function: `siftrec.evaluate(trained, part)`."""

from siftrec.callable import stand_in

stand_in(globals(), "siftrec.evaluate.evaluation", "evaluate")
