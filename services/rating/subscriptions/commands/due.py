"""What happens to subscriptions by time alone: starts, scheduled changes, ends of trials, agreed ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from sqlalchemy.engine import Connection

from services.chassis.isolate import isolated
from services.kernel.cadence import start_of_day
from services.kernel.ids import OrganizationId, SubscriptionId, new_id
from services.rating.agreements import store
from services.rating.agreements import subscription as verbs
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.change import ChangeKind, direction
from services.rating.agreements.subscription import PendingChange, Subscription
from services.rating.catalog.store.plans import plan_version
from services.rating.deps import Deps
from services.rating.shared.set_aside import Work, done, set_aside
from services.rating.shared.subscription_state import SubscriptionState
from services.rating.subscriptions.announcing import announce_subscription
from services.rating.subscriptions.commands.billing import bill_start, bill_trial_end
from services.rating.subscriptions.commands.replace import end_agreement, replace_agreement
from services.rating.subscriptions.commands.start import activated

# How many subscriptions are moved before the next look at what is due; this limits memory, not the work.
BATCH = 500


def apply_due_changes(
    deps: Deps, tx: Connection, organization: OrganizationId, as_of: datetime, *, may_wait: bool = False
) -> int:
    """Do everything that is due at or before `as_of`, in order of time and dated when it was due; returns how many.

    A subscription that cannot be moved is set aside. `may_wait` is explained in `shared/set_aside.py`.
    """
    machine_now, moves = deps.clock.now(), 0
    while (at := store.next_due_at(tx, organization, as_of, machine_now)) is not None:
        for agreement in store.due_agreements(tx, organization, at, machine_now, BATCH):
            moved, failed = isolated(tx, [agreement], partial(_apply, deps, tx, at))
            moves += sum(moved)
            for _, error in failed:
                subscription = agreement.subscription_id
                set_aside(tx, organization, Work.CHANGE, subscription, error, machine_now, may_wait=may_wait)
    return moves


def _apply(deps: Deps, tx: Connection, at: datetime, agreements: Sequence[Agreement]) -> int:
    """Do what is due first for each subscription; anything else that is due at the same instant comes next."""
    for agreement in agreements:
        _move(deps, tx, agreement, at)
        done(tx, agreement.organization_id, Work.CHANGE, [agreement.subscription_id])
    return len(agreements)


def _move(deps: Deps, tx: Connection, agreement: Agreement, at: datetime) -> None:
    change = agreement.subscription.pending_change
    if agreement.subscription.state is SubscriptionState.PENDING:
        _start(deps, tx, agreement, at)
    elif change is not None and change.effective_at <= at:
        _change(deps, tx, agreement, change, at)
    elif agreement.ending_at is not None and agreement.ending_at <= at:
        _end(deps, tx, agreement, agreement.ending_at)
    else:
        _end_trial(deps, tx, agreement, at)


def _start(deps: Deps, tx: Connection, agreement: Agreement, at: datetime) -> None:
    begun = activated(agreement, at)
    store.save_agreements(tx, [begun])
    bill_start(deps, tx, begun)
    announce_subscription(deps, tx, begun, at)


def _change(deps: Deps, tx: Connection, agreement: Agreement, change: PendingChange, at: datetime) -> None:
    terms = agreement.end_terms
    ended, successor = _promised(agreement, agreement.subscription, at)
    if successor is None:
        end_agreement(deps, tx, ended, reason=ChangeKind.CANCELLATION, terms=terms, now=at)
        return
    if agreement.next_timezone is not None and agreement.changes_zone_at(change.effective_at):
        successor = verbs.in_zone(successor, agreement.timezone, agreement.next_timezone)
    version = plan_version(tx, agreement.organization_id, successor.plan_code, successor.plan_version)
    reason = direction(agreement.plan, version.plan)
    replace_agreement(deps, tx, ended, successor, version, reason=reason, terms=terms, now=change.effective_at)


def change_zone(deps: Deps, tx: Connection, agreement: Agreement, at: datetime) -> None:
    """Let a subscription go on in its customer's new time zone where its period has ended; the caller locks the period.

    Nothing else is due for it at that instant (`Agreement.changes_zone_at`).
    """
    if agreement.next_timezone is None:
        raise ValueError(f"subscription {agreement.subscription_id} stays in its time zone")
    ended, successor = verbs.change_zone(
        agreement.subscription,
        new_id=SubscriptionId(new_id()),
        at=at,
        before=agreement.timezone,
        after=agreement.next_timezone,
    )
    version, terms = agreement.plan_version, agreement.end_terms
    reason = ChangeKind.SIDEGRADE
    replace_agreement(deps, tx, agreement.moved(ended), successor, version, reason=reason, terms=terms, now=at)


def _end(deps: Deps, tx: Connection, agreement: Agreement, ending_at: datetime) -> None:
    """End at the agreed instant: the day it falls on is billed, unless it is the first instant of that day."""
    subscription = agreement.subscription
    if start_of_day(ending_at, agreement.timezone) == ending_at:
        promised = replace(subscription, pending_change=PendingChange(ending_at))
        ended, _ = _promised(agreement, promised, ending_at)
    else:
        ended = agreement.moved(verbs.terminate(subscription, at=ending_at, timezone=agreement.timezone))
    terms = agreement.end_terms
    end_agreement(deps, tx, ended, reason=ChangeKind.CANCELLATION, terms=terms, now=ending_at)


def _promised(agreement: Agreement, subscription: Subscription, at: datetime) -> tuple[Agreement, Subscription | None]:
    ended, successor = verbs.apply_change(
        subscription, new_id=SubscriptionId(new_id()), at=at, timezone=agreement.timezone
    )
    return agreement.moved(ended), successor


def _end_trial(deps: Deps, tx: Connection, agreement: Agreement, at: datetime) -> None:
    out_of_trial = replace(agreement, trial_end_due_at=None)
    store.save_agreements(tx, [out_of_trial])
    bill_trial_end(deps, tx, out_of_trial, at)
    announce_subscription(deps, tx, out_of_trial, at)
