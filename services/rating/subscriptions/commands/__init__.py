"""Subscriptions: started, changed, ended, and moved by time. One file for each verb; others import from here."""

from __future__ import annotations

from services.rating.subscriptions.commands.cancel import cancel_subscription, withdraw_change
from services.rating.subscriptions.commands.change_plan import change_plan
from services.rating.subscriptions.commands.create import create_subscription
from services.rating.subscriptions.commands.due import apply_due_changes
from services.rating.subscriptions.commands.migrate import migrate_plan_version

__all__ = [
    "apply_due_changes",
    "cancel_subscription",
    "change_plan",
    "create_subscription",
    "migrate_plan_version",
    "withdraw_change",
]
