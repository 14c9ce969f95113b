"""What is kept of the catalog in memory is bounded, and the bounds cost time only."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.domain.billability import FOREVER_US, Subscription
from services.ingest.pipeline import catalog_cache
from services.ingest.pipeline.catalog_cache import CatalogCache
from services.ingest.store import catalog as store
from services.kernel.ids import OrganizationId, new_id

ORGANIZATION = OrganizationId(new_id())


class Tables:
    """The catalog's tables with one subscription for each customer that is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(catalog_cache.log_store, "hold_catalog", lambda _: 1)
        monkeypatch.setattr(store, "changes_since", lambda *_: None)
        monkeypatch.setattr(store, "load_retired", lambda _: [])
        monkeypatch.setattr(store, "load_organization", lambda *_: store.UNKNOWN_ORGANIZATION)
        monkeypatch.setattr(store, "load_metrics", lambda *_: {})
        monkeypatch.setattr(store, "load_subscriptions", self._load)

    def _load(self, _tx: Any, _organization: OrganizationId, **names: list[str]) -> list[Subscription]:
        return [
            Subscription(new_id(), f"sub-{customer}", customer, 0, FOREVER_US)
            for customer in [*names["customers"], *names["external_ids"]]
        ]


def test_every_place_has_its_route_whatever_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes and subscriptions have one bound; reaching both at once, with places new and known, loses nothing."""
    monkeypatch.setattr(catalog_cache, "MAX_ROUTES", 3)
    Tables(monkeypatch)
    cache, tx = CatalogCache(), object()
    for first in range(12):
        places = [(f"customer-{number}", "", "code") for number in range(first, first + 3)]
        _, routes = cache.load(tx, ORGANIZATION, places)  # type: ignore[arg-type]
        assert routes.keys() >= set(places)
