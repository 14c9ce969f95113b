"""Cases by their seeds, in processes side by side; what differs is made as small as it can be."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import yaml
from pydantic import SecretStr

from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.migrate import migrate
from services.local.postgres_server import PostgresServer
from tests.oracles.model_check import prices
from tests.oracles.model_check.compare import calendar_differences, differences_of, kind_of, told
from tests.oracles.model_check.histories import history
from tests.oracles.model_check.smaller import smallest
from tests.support.accounts.account import Account
from tests.support.accounts.commands import CommandsAccount
from tests.support.accounts.memory import MemoryAccount
from tests.support.rating.billing import MemoryLog
from tests.support.scenarios import scenario_of

Body = dict[str, Any]
# By the name of a random model: the price sheet of a seed.
SHEETS: dict[str, Callable[[int], Body]] = {"prices": prices.price, "histories": history}
MODELS = ("calendars", *SHEETS)
# Seeds that a process is handed at a time: enough to be worth a message, few enough that all end together.
CHUNK = 10
# A command's transaction at a time, and one that looks on.
POOL_SIZE = 3


@dataclass
class Outcome:
    """What came of cases; outcomes add up.

    Attributes:
        cases: how many were compared.
        seen: what was in them: invoices, events, kinds of fees and changes.
        differences: of each case that differs, what it takes to play it again, and what differs.
    """

    cases: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def __iadd__(self, other: Outcome) -> Self:
        self.cases += other.cases
        self.seen += other.seen
        self.differences += other.differences
        return self


def run(model: str, first_seed: int, cases: int, processes: int, height: str = "memory") -> Iterator[Outcome]:
    """The outcomes of so many cases, chunk by chunk in the order in which they are done."""
    last = first_seed + cases
    chunks = [range(seed, min(seed + CHUNK, last)) for seed in range(first_seed, last, CHUNK)]
    with _databases(processes if height == "commands" else 0) as urls:
        context = multiprocessing.get_context("spawn")
        waiting = context.SimpleQueue()
        for url in urls:
            waiting.put(url)
        with context.Pool(processes, _begin, (waiting if urls else None,)) as pool:
            yield from pool.imap_unordered(partial(_chunk, model), chunks)


@contextmanager
def _databases(count: int) -> Iterator[list[str]]:
    """So many migrated databases of rating; no server at all for none."""
    if not count:
        yield []
        return
    # What a power cut would lose is of no interest here.
    with PostgresServer.temporary(settings={"fsync": "off"}) as server:
        server.provision(["rating"])
        migrate("services.rating", server.service_url("rating"))
        yield [server.clone_database("rating") for _ in range(count)]


_new_account: Callable[[], Account] = MemoryAccount


def _begin(waiting: Any) -> None:
    """A process begins: with a database of its own where the commands are played."""
    global _new_account  # noqa: PLW0603 - what a process of the pool has for all of its chunks
    if waiting is not None:
        settings = Settings(database_url=SecretStr(waiting.get()), database_pool_size=POOL_SIZE)
        _new_account = partial(CommandsAccount, Database(settings), MemoryLog())


def _chunk(model: str, seeds: range) -> Outcome:
    outcome = Outcome()
    for seed in seeds:
        outcome += _calendar(seed) if model == "calendars" else _sheet(model, seed)
    return outcome


def _calendar(seed: int) -> Outcome:
    case = prices.calendar(seed)
    found = calendar_differences(case)
    told_again = [_report("calendars", seed, repr(case), found)] if found else []
    return Outcome(1, Counter({"calendars": 1, "instants": len(case.instants)}), told_again)


def _sheet(model: str, seed: int) -> Outcome:
    sheet = SHEETS[model](seed)
    found = differences(sheet, _new_account())
    if not found:
        return Outcome(1, _seen_in(sheet))
    small = minimal(sheet, found, _new_account)
    text = yaml.safe_dump(small, sort_keys=False, default_flow_style=None, width=120)
    return Outcome(1, Counter(), [_report(model, seed, text, differences(small, _new_account()))])


def differences(sheet: Body, account: Account) -> list[str]:
    """What differs on a sheet; nothing is a match. Rating's invoices must be those of the log, too."""
    found = differences_of(sheet, account)
    if not found and isinstance(account, CommandsAccount):
        return [f"rebuilt from the log: {text}" for text in account.unlike_the_log()]
    return found


def minimal(sheet: Body, found: list[str], new_account: Callable[[], Account]) -> Body:
    """The smallest sheet that differs in the same way."""
    kinds = {kind_of(difference) for difference in found}

    def is_different(edited: Body) -> bool:
        try:
            left = differences(edited, new_account())
        except (ArithmeticError, AssertionError, LookupError, StopIteration, TypeError, ValueError):
            # The sheet says something that is none, such as a plan that is not for sale.
            return False
        return bool(left) and {kind_of(difference) for difference in left} <= kinds

    return smallest(sheet, is_different)


def _report(model: str, seed: int, story: str, found: list[str]) -> str:
    again = f'make model-check MODEL_FLAGS="--model {model} --seed {seed} --cases 1"'
    return "\n".join([f"--- {model}, seed {seed} ({again})", story, *found])


def _seen_in(sheet: Body) -> Counter[str]:
    """What a sheet made the product do."""
    scenario, books = told(scenario_of(sheet))
    seen: Counter[str] = Counter()
    for step in scenario.steps:
        seen["events"] += len(step.events)
        seen.update(f"change: {verb}" for verb in step.do if verb in _VERBS)
    seen["invoices"] = len(books.invoices)
    seen["credit notes"] = len(books.notes)
    for invoice in books.invoices:
        seen.update(f"fee: {fee.kind}" for fee in invoice.fees if fee.cents)
        seen["invoices with coupons"] += any(invoice.coupons_cents)
        seen["invoices with taxes"] += bool(invoice.taxes_cents)
    charges = [charge for plan in scenario.plans for charge in plan["charges"]]
    seen.update(f"model: {charge['charge_model']}" for charge in charges)
    seen.update(f"charge: {name}" for charge in charges for name in _SHAPES if charge.get(name))
    seen.update(f"metric: {metric['aggregation_type']}" for metric in scenario.metrics)
    return seen


_VERBS = ("plan", "version", "cancel", "withdraw", "void", "coupon", "pay", "sell", "give_back")
_SHAPES = ("filters", "prorated", "min_amount_cents", "pay_in_advance", "tax_codes")
