"""The `farebox` command: what an operator does with a running suite."""

from __future__ import annotations

import click

from services.cli.events import events


@click.group()
def main() -> None:
    """Farebox from the command line."""


main.add_command(events)

if __name__ == "__main__":
    main()
