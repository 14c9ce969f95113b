"""What could not be done by itself is listed, and counted where it came to light."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from farebox.rating.v1 import invoice_service_pb2, test_clock_service_pb2
from farebox.rating.v1.set_aside_pb2 import SetAside
from tests.support.gateway import new_gateway

SINCE, RETRY = Timestamp(seconds=1704067200), Timestamp(seconds=1704070800)


def test_what_was_set_aside_is_listed_with_its_reason() -> None:
    """What it is not of is null, and a list of one page says how long it is."""
    gateway = new_gateway()
    period = SetAside(
        work=SetAside.WORK_CLOSE,
        subscription_id="0198c0de-0000-7000-8000-000000000002",
        external_subscription_id="sub_1",
        external_customer_id="acme",
        reason="AMOUNT_TOO_LARGE",
        message="usage comes to more than can be billed",
        attempts=3,
        since=SINCE,
        retry_at=RETRY,
    )
    draft = SetAside(work=SetAside.WORK_FINALIZE, invoice_id="i1", reason="X", since=SINCE, retry_at=RETRY)
    gateway.services.on("ListSetAside", invoice_service_pb2.ListSetAsideResponse(set_aside=[period, draft]))
    answer = gateway.get("/api/v1/set_aside").json()
    assert answer["meta"]["total_count"] == 2
    first, second = answer["set_aside"]
    assert first == {
        "work": "close",
        "lago_subscription_id": "0198c0de-0000-7000-8000-000000000002",
        "external_subscription_id": "sub_1",
        "external_customer_id": "acme",
        "lago_invoice_id": None,
        "reason": "AMOUNT_TOO_LARGE",
        "message": "usage comes to more than can be billed",
        "attempts": 3,
        "since": "2024-01-01T00:00:00Z",
        "retry_at": "2024-01-01T01:00:00Z",
    }
    assert (second["work"], second["lago_invoice_id"], second["external_customer_id"]) == ("finalize", "i1", None)


def test_an_advance_says_how_much_it_left_out() -> None:
    gateway = new_gateway()
    advanced = test_clock_service_pb2.AdvanceTestClockResponse(
        now=SINCE, closed_period_count=4, finalized_invoice_count=3, set_aside_count=1
    )
    gateway.services.on("AdvanceTestClock", advanced)
    answer = gateway.post("/api/v1/test_clock/advance", json={"to": "2024-01-01T00:00:00Z"}).json()["test_clock"]
    assert (answer["closed_periods_count"], answer["set_aside_count"]) == (4, 1)


def test_every_wrong_item_of_a_one_off_invoice_is_named() -> None:
    """Those that the gateway sees are told in one answer; the services are not asked."""
    gateway = new_gateway()
    fees = [{"unit_amount_cents": 1}, {"unit_amount_cents": 1, "name": "fine"}, {"unit_amount_cents": 2}]
    body = {"invoice": {"external_customer_id": "acme", "fees": fees}}
    answer = gateway.post("/api/v1/invoices", json=body)
    assert answer.status_code == 422
    assert set(answer.json()["error_details"]) == {"fees[0].invoice_display_name", "fees[2].invoice_display_name"}
    assert gateway.services.requests("CreateOneOffInvoice") == []
