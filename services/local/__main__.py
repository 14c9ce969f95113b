"""`make run`: the whole suite up on this machine until a signal ends it.

python -m services.local
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from services.chassis.provision import SERVICES
from services.local.stack import Stack
from services.local.stack_options import GATEWAY, HTTP_PORT, StackOptions

# What can ask `make run` to end: Ctrl-C, a supervisor, a closed terminal.
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def describe(stack: Stack) -> str:
    """What a person needs to know to use a running stack."""
    lines = [f"Farebox answers at {stack.http_url}" if stack.options.gateway else "Farebox runs without its gateway"]
    key = stack.options.environment().get("FAREBOX_BOOTSTRAP_SECRET_KEY")
    if key:
        lines.append(f"secret key (test mode): {key}")
    lines += [f"logs: {stack.log_path('*')}", "Ctrl-C stops everything; the data stays for the next start."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a stack until a signal asks for its end."""
    parser = argparse.ArgumentParser(prog="python -m services.local", description="Run Farebox on this machine.")
    parser.add_argument("--data-dir", type=Path, default=StackOptions().data_dir, help="where everything is stored")
    parser.add_argument("--http-port", type=int, default=HTTP_PORT, help="of the gateway; 0 for a free one")
    parser.add_argument("--replicas", type=int, default=1, help="processes of each service")
    chosen = parser.parse_args(arguments)
    replicas = dict.fromkeys(SERVICES, chosen.replicas)
    stack = Stack(StackOptions(data_dir=chosen.data_dir, replicas=replicas, ports={GATEWAY: chosen.http_port}))
    for number in ENDING_SIGNALS:
        signal.signal(number, _leave)
    try:
        stack.start()
        sys.stdout.write(describe(stack) + "\n")
        sys.stdout.flush()
        stack.watch()
    finally:
        # Stopping is bounded and must be complete: an impatient second Ctrl-C would only leave it half done.
        for number in ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        stack.stop()


def _leave(number: int, _: FrameType | None) -> None:
    """A signal asked for the end: let whatever runs now leave through its `finally`."""
    sys.stderr.write(f"{signal.Signals(number).name}: stopping\n")
    sys.exit(0)


if __name__ == "__main__":
    main()
