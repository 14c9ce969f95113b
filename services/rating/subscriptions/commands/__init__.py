"""Subscriptions: started, changed, ended, and moved by time. One file for each verb; others import from here."""

from __future__ import annotations

from services.rating.subscriptions.commands.cancel import cancel_subscription, withdraw_change
from services.rating.subscriptions.commands.change_plan import change_plan
from services.rating.subscriptions.commands.create import create_subscription
from services.rating.subscriptions.commands.delete_customer import delete_customer
from services.rating.subscriptions.commands.due import apply_due_changes
from services.rating.subscriptions.commands.migrate import migrate_plan_version
from services.rating.subscriptions.commands.preview_invoice import preview_invoice
from services.rating.subscriptions.commands.update import update_subscription

__all__ = [
    "apply_due_changes",
    "cancel_subscription",
    "change_plan",
    "create_subscription",
    "delete_customer",
    "migrate_plan_version",
    "preview_invoice",
    "update_subscription",
    "withdraw_change",
]
