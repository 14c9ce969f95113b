"""Every method of rating that announces what other services follow says the number of the change."""

from __future__ import annotations

import pytest

from farebox.rating.v1 import (
    catalog_service_pb2,
    customer_service_pb2,
    organization_service_pb2,
    subscription_service_pb2,
    test_clock_service_pb2,
)
from services.chassis.rpc.changes import CHANGE_KEY
from services.rating.rpc.catalog import CatalogServicer
from services.rating.rpc.customer import CustomerServicer
from services.rating.rpc.organization import OrganizationServicer
from services.rating.rpc.subscription import SubscriptionServicer
from services.rating.rpc.test_clock import TestClockServicer
from tests.support.rating.commands import commands_of

SERVICERS = {
    CatalogServicer: catalog_service_pb2,
    CustomerServicer: customer_service_pb2,
    OrganizationServicer: organization_service_pb2,
    SubscriptionServicer: subscription_service_pb2,
    TestClockServicer: test_clock_service_pb2,
}
# Taxes, add-ons, coupons and keys are rating's; a new organization and an advanced clock are waited for otherwise.
UNFOLLOWED = {
    *(f"{verb}Tax" for verb in ("Create", "Update", "Delete", "Upsert")),
    *(f"{verb}AddOn" for verb in ("Create", "Update", "Delete")),
    *(f"{verb}Coupon" for verb in ("Create", "Update", "Delete", "Apply")),
    *(f"{verb}ApiKey" for verb in ("Create", "Rotate", "Revoke")),
    *("TerminateAppliedCoupon", "CreateOrganization", "AdvanceTestClock"),
}


@pytest.mark.parametrize("servicer", SERVICERS, ids=lambda servicer: servicer.__name__)
def test_a_command_says_its_change(servicer: type) -> None:
    """Commands have a request with an identity; a new one is decorated, or named above for a reason."""
    commands = commands_of(servicer, SERVICERS[servicer])
    silent = {method for method in commands if getattr(getattr(servicer, method), "said", "") != CHANGE_KEY}
    assert silent == commands & UNFOLLOWED
