"""What the service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from siftrec.serve.model import Serving
from siftrec.serve.settings import Limits
from siftrec.serve.store import Store

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Meters:
    """Counters of one service; labels come from routes, never from clients."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("siftrec_requests", "Answers", ("route", "status"), registry=self.registry)
        self.seconds = Histogram(
            "siftrec_seconds", "Time to the answer", ("route",), registry=self.registry, buckets=_SECONDS
        )
        self.in_flight = Gauge("siftrec_in_flight", "Requests being answered", registry=self.registry)
        self.unknown = Counter("siftrec_unknown_items", "History items not in the catalog", registry=self.registry)
        self.fallback = Counter("siftrec_fallback", "Answers by popularity alone", registry=self.registry)
        self.feedback = Counter("siftrec_feedback", "Events stored", registry=self.registry)

    def watch(self, serving: Serving, store: Store, limits: Limits) -> None:
        """Show the state of model and store too."""
        shown = {
            "items": ("Items in the catalog, added ones included", lambda: len(serving.current.trained.items) - 1),
            "items_added": ("Items of the store in the catalog", lambda: serving.current.added),
            "items_left_out": ("Items of the store that this model cannot take", lambda: serving.current.left_out),
            "items_hidden": ("Items that are not to be shown", lambda: len(serving.current.hidden)),
            "feedback_held": ("Events in the store", lambda: store.events),
            "feedback_most": ("Events that it may hold", lambda: limits.events),
            "store_failed": ("1 while the store cannot be used", lambda: store.problem is not None),
            "model_reloads": ("Artifacts taken up since the start", lambda: serving.reloads["done"]),
            "model_refusals": ("Artifacts refused since the start", lambda: serving.reloads["refused"]),
            "model_stale": ("1 while a newer artifact is refused", lambda: serving.problem is not None),
        }
        for name, (told, value) in shown.items():
            Gauge(f"siftrec_{name}", told, registry=self.registry).set_function(value)

    def page(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
