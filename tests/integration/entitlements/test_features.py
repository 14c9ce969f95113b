"""Features and overrides decide together with the plan; organizations never see each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from services.chassis.page import Page, read_page
from services.entitlements.commands.feature import create_feature, delete_feature, update_feature
from services.entitlements.commands.override import remove_override, set_override
from services.entitlements.domain.access import Question, Reason
from services.entitlements.domain.feature import Feature, FeatureType
from services.entitlements.domain.feature_terms import FeatureTerms, Override, Source
from services.entitlements.queries import feature as queries
from services.kernel.cadence import ResetWindow
from services.kernel.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from services.kernel.ids import OrganizationId, new_id
from tests.support.rating.events import (
    fresh_ids,
    gate,
    limit,
    plan_changed,
    subscription_changed,
    usage_aggregated,
)

PLAN, SUBSCRIPTION, SECOND = fresh_ids(3)
NEVER_STORED = datetime(1970, 1, 1, tzinfo=UTC)


def feature(code: str, kind: FeatureType = FeatureType.GATE, **fields: str) -> Feature:
    return Feature("", code, fields.get("name", code), "", kind, fields.get("metric_code", ""), NEVER_STORED)


def run(world: Any, command: Callable[..., Any], *arguments: Any) -> Any:
    with world.deps.db.transaction(world.organization) as tx:
        return command(world.deps, tx, world.organization, *arguments)


@pytest.fixture
def sold(world: Any) -> Any:
    """A customer with two subscriptions to a plan with a gate and a limit."""
    world.apply(
        plan_changed(world.organization, PLAN, [gate("sso"), limit("calls", "100")]),
        subscription_changed(world.organization, SUBSCRIPTION, PLAN, external_id="one"),
        subscription_changed(world.organization, SECOND, PLAN, external_id="two"),
    )
    world.changes()
    return world


def test_plans_register_what_they_name(sold: Any) -> None:
    """A page of features tells how many there are in all, and where the next page begins."""
    listed = queries.list_features(sold.deps, sold.organization, Page())
    assert [(feature.code, feature.type, feature.metric_code) for feature in listed.items] == [
        ("calls", FeatureType.USAGE_LIMIT, "api_call"),
        ("sso", FeatureType.GATE, ""),
    ]
    assert (listed.next_token, listed.total) == ("", 2)
    first = queries.list_features(sold.deps, sold.organization, Page(size=1))
    second = queries.list_features(sold.deps, sold.organization, read_page(1, first.next_token))
    assert [feature.code for feature in (*first.items, *second.items)] == ["calls", "sso"]


def test_creating_never_changes(sold: Any) -> None:
    """A taken code stays as it is; the code of a removed feature may be used again, and the feature keeps its id."""
    known = queries.get_feature(sold.deps, sold.organization, "sso")
    with pytest.raises(AlreadyExistsError) as caught:
        run(sold, create_feature, feature("sso", name="Another"))
    assert caught.value.reason == "FEATURE_EXISTS"
    assert queries.get_feature(sold.deps, sold.organization, "sso") == known
    run(sold, delete_feature, "sso")
    again = run(sold, create_feature, feature("sso", name="Again"))
    assert (again.id, again.name) == (known.id, "Again")


def test_a_usage_limit_names_its_metric(sold: Any) -> None:
    """A limit that counts nothing would never be reached, so it is refused at its creation, with every other fault."""
    with pytest.raises(InvalidArgumentError) as caught:
        run(sold, create_feature, feature("seats", FeatureType.USAGE_LIMIT, name=""))
    assert [violation.field for violation in caught.value.violations] == ["feature.name", "feature.metric_code"]


def test_a_feature_changes_and_keeps_its_id_and_type(sold: Any) -> None:
    """A caller can change a feature's content, but not its identity or the meaning of its terms."""
    known = queries.get_feature(sold.deps, sold.organization, "sso")

    def change(**fields: Any) -> Feature:
        return run(sold, update_feature, "sso", lambda feature: replace(feature, **fields))

    renamed = change(name="Single sign-on", id="")
    assert (renamed.id, renamed.name) == (known.id, "Single sign-on")
    with pytest.raises(FailedPreconditionError) as caught:
        change(type=FeatureType.CONFIGURATION)
    assert caught.value.reason == "FEATURE_TYPE_FIXED"
    with pytest.raises(InvalidArgumentError):
        change(metric_code="api_call")
    with pytest.raises(NotFoundError):
        run(sold, update_feature, "nothing", lambda feature: feature)


def test_a_removed_feature_is_in_no_plan(sold: Any) -> None:
    """Not even in one that rating announces again; upserted again, it is back."""
    run(sold, delete_feature, "sso")
    assert [(c.access.feature_code, c.is_removed) for c in sold.changes()] == [("sso", True)] * 2
    sold.apply(plan_changed(sold.organization, PLAN, [gate("sso"), limit("calls", "100")]))
    assert sold.check("sso", subscription="one").reason is Reason.FEATURE_NOT_IN_PLAN
    with pytest.raises(NotFoundError):
        queries.get_feature(sold.deps, sold.organization, "sso")
    with pytest.raises(NotFoundError):
        run(sold, delete_feature, "sso")
    run(sold, create_feature, feature("sso"))
    assert sold.check("sso", subscription="one").is_allowed


def test_the_narrower_override_wins(sold: Any) -> None:
    wide = FeatureTerms(limit=Decimal(200), is_hard=True)
    narrow = FeatureTerms(limit=None, reset=ResetWindow.NEVER)
    run(sold, set_override, Override("acme", "", "calls", wide))
    run(sold, set_override, Override("acme", "two", "calls", narrow))
    assert [c.access.limit for c in sold.changes()] == [Decimal(200), Decimal(200), None]
    found, _ = queries.list_entitlements(sold.deps, sold.organization, "acme", "")
    rights = {
        (in_force.subscription.external_id, in_force.entitlement.feature_code): in_force.entitlement.right
        for in_force in found
    }
    assert (rights["one", "calls"].terms, rights["two", "calls"].terms) == (wide, narrow)
    assert rights["one", "sso"].source is Source.PLAN
    # The metric is the plan's: what was used still counts.
    sold.apply(usage_aggregated(sold.organization, SUBSCRIPTION, "150", 1))
    assert sold.check("calls", "50", subscription="one").reason is Reason.OVERRIDE
    assert not sold.check("calls", "51", subscription="one").is_allowed
    run(sold, remove_override, "acme", "two", "calls")
    assert sold.check("calls", subscription="two").limit == Decimal(200)
    run(sold, remove_override, "acme", "", "calls")
    assert sold.check("calls", subscription="two").limit == Decimal(100)
    with pytest.raises(NotFoundError) as caught:
        run(sold, remove_override, "acme", "", "calls")
    assert caught.value.reason == "OVERRIDE_UNKNOWN"


def test_override_before_the_first_subscription(sold: Any) -> None:
    """It waits; a gate that an override shuts says so."""
    assert run(sold, set_override, Override("later", "", "sso", FeatureTerms(is_enabled=False))) is None
    sold.apply(subscription_changed(sold.organization, new_id(), PLAN, customer="later", external_id="later"))
    access = sold.check("sso", customer="later")
    assert (access.is_allowed, access.reason) == (False, Reason.OVERRIDE)
    with pytest.raises(NotFoundError):
        run(sold, set_override, Override("later", "", "unknown", FeatureTerms(is_enabled=True)))


def test_list_entitlements(sold: Any) -> None:
    by_subscription, _ = queries.list_entitlements(sold.deps, sold.organization, "", "two")
    assert [in_force.entitlement.feature_code for in_force in by_subscription] == ["calls", "sso"]
    with pytest.raises(InvalidArgumentError):
        queries.list_entitlements(sold.deps, sold.organization, "", "")


def test_batch(sold: Any) -> None:
    """Many questions are answered in order, at one revision; a future revision is refused."""
    questions = [
        Question("acme", "sso", "one"),
        Question("nobody", "sso"),
        Question("acme", "calls", "two", Decimal(101)),
    ]
    answers = sold.ask(*questions)
    assert [(access.is_allowed, access.reason) for access in answers] == [
        (True, Reason.WITHIN_LIMIT),
        (False, Reason.NO_SUBSCRIPTION),
        (False, Reason.LIMIT_EXCEEDED),
    ]
    assert len({access.revision for access in answers}) == 1
    revision = answers[0].revision
    sold.ask(Question("acme", "sso", "one", at_least_revision=revision))
    with pytest.raises(UnavailableError):
        sold.ask(Question("acme", "sso", "one", at_least_revision=revision + 1))
    with pytest.raises(InvalidArgumentError):
        sold.ask()


def test_organizations_are_apart(sold: Any) -> None:
    """Row-level security: another organization sees nothing, and even a statement without a condition reads its own."""
    ours, sold.organization = sold.organization, OrganizationId(new_id())
    assert sold.check("sso", subscription="one").reason is Reason.NO_SUBSCRIPTION
    tables = ("features", "plans", "plan_terms", "subscriptions", "entitlements", "revisions", "organizations")
    for table in tables:
        with sold.deps.db.transaction(sold.organization) as tx:
            assert tx.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 0, table
        with sold.deps.db.transaction(ours) as tx:
            assert tx.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() > 0, table
    with (
        pytest.raises(sa.exc.ProgrammingError, match="row-level security"),
        sold.deps.db.transaction(sold.organization) as tx,
    ):
        tx.exec_driver_sql("INSERT INTO revisions VALUES (%s, 1)", (new_id(),))


def test_the_check_uses_indexes(sold: Any) -> None:
    """One question is one query that reads no table from end to end."""
    from services.entitlements.store import standing

    values = {
        "organization": sold.organization,
        "system": sold.clock.now(),
        "customers": ["acme"],
        "selectors": [""],
        "features": ["calls"],
        "settling": [],
    }
    with sold.deps.db.transaction(sold.organization) as tx:
        # On a handful of rows a scan is cheaper than any index; the question is whether an index could serve.
        tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = "\n".join(tx.exec_driver_sql(f"EXPLAIN {standing._OF_QUESTIONS}", values).scalars())
    assert "Seq Scan" not in plan
