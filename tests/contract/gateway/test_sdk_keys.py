"""Every key that Lago's client can write and every filter that Lago documents is known: honoured, or refused by name.

What is not listed here is refused as `unknown_field`, which would tell the user of an SDK nothing.
"""

from __future__ import annotations

from typing import Any

import pytest
from lago_python_client.models import add_on as add_ons
from lago_python_client.models import (
    applied_coupon,
    billable_metric,
    billing_entity,
    charge,
    coupon,
    organization,
    subscription,
)
from lago_python_client.models import customer as customers
from lago_python_client.models import invoice as invoices
from lago_python_client.models import payment as payments
from lago_python_client.models import plan as plans
from lago_python_client.models import tax as taxes
from lago_python_client.models.minimum_commitment import MinimumCommitment
from msgspec import Struct

from gateway.dialects.lago import applied_coupon as held
from gateway.dialects.lago.add_on import AddOnChange
from gateway.dialects.lago.billing_entity import BillingEntityChange
from gateway.dialects.lago.charge import NewCharge, NewChargeFilter
from gateway.dialects.lago.coupon import CouponChange, CouponLimits
from gateway.dialects.lago.customer import CustomerBilling, CustomerQuery, CustomerUpsert, MetadataEntry
from gateway.dialects.lago.entitlement import EntitlementQuery
from gateway.dialects.lago.feature import FeatureQuery
from gateway.dialects.lago.invoice import NewInvoice, OneOffItem
from gateway.dialects.lago.metric import MetricChange, MetricFilter
from gateway.dialects.lago.organization import OrganizationBilling, OrganizationChange
from gateway.dialects.lago.payment import NewPayment
from gateway.dialects.lago.plan import NewCommitment, PlanChange
from gateway.dialects.lago.subscription import NewSubscription, SubscriptionUpdate
from gateway.dialects.lago.tax import TaxChange
from gateway.engine.paging import PageQuery
from gateway.schema import parts_of

# What the client writes, and what reads it.
BODIES: list[tuple[Any, type[Struct]]] = [
    (plans.Plan, PlanChange),
    (MinimumCommitment, NewCommitment),
    (charge.Charge, NewCharge),
    (charge.ChargeFilter, NewChargeFilter),
    (coupon.Coupon, CouponChange),
    (coupon.LimitationConfiguration, CouponLimits),
    (applied_coupon.AppliedCoupon, held.NewAppliedCoupon),
    (customers.Customer, CustomerUpsert),
    (subscription.Subscription, NewSubscription),
    (subscription.Subscription, SubscriptionUpdate),
    (customers.CustomerBillingConfiguration, CustomerBilling),
    (customers.Metadata, MetadataEntry),
    (organization.Organization, OrganizationChange),
    (organization.OrganizationBillingConfiguration, OrganizationBilling),
    (billable_metric.BillableMetric, MetricChange),
    (billable_metric.BillableMetricFilter, MetricFilter),
    (taxes.Tax, TaxChange),
    (billing_entity.BillingEntityUpdate, BillingEntityChange),
    (billing_entity.BillingEntityBillingConfiguration, OrganizationBilling),
    (add_ons.AddOn, AddOnChange),
    (payments.Payment, NewPayment),
    (invoices.OneOffInvoice, NewInvoice),
    (invoices.InvoiceFee, OneOffItem),
]
_CUSTOMERS = (
    "page per_page account_type billing_entity_codes search_term countries states zipcodes currencies "
    "has_tax_identification_number metadata customer_type has_customer_type"
)
# Filters of lists, which the client takes as any words; the words are Lago's documentation's.
QUERIES: list[tuple[str, type[Struct]]] = [
    ("page per_page", PageQuery),
    ("page per_page search_term", FeatureQuery),
    ("page per_page status external_customer_id coupon_code", held.AppliedCouponQuery),
    ("page per_page status coupon_code", held.HeldQuery),
    (_CUSTOMERS, CustomerQuery),
    ("subscription_status", EntitlementQuery),
]


def known(struct: type[Struct]) -> set[str]:
    """Every key that a Struct honours, or refuses by its name."""
    declared: Any = struct
    honoured = {part.name for part in parts_of(struct)}
    return honoured | set(getattr(declared, "NOT_OFFERED", ())) | set(getattr(declared, "FIXED", ()))


@pytest.mark.parametrize(("model", "struct"), BODIES, ids=[model.__name__ for model, _ in BODIES])
def test_every_key_of_a_body_is_known(model: Any, struct: type[Struct]) -> None:
    """For each field, the SDK's user learns what happens to it."""
    assert set(model.__fields__) - known(struct) == set()


@pytest.mark.parametrize(("filters", "struct"), QUERIES, ids=[struct.__name__ for _, struct in QUERIES])
def test_every_filter_of_a_list_is_known(filters: str, struct: type[Struct]) -> None:
    """If a filter were ignored, the whole list would come back."""
    assert set(filters.split()) - known(struct) == set()
