"""How long a test waits for something that must happen. Durations are measured in benchmarks/, never here."""

# Everything that tests wait for takes less than a second on an idle machine. One with twenty times as much work as
# cores takes twenty times as long; three times that is still below the limit of a whole test (pyproject.toml). A wait
# polls or is woken, and ends when the thing has happened, so that only a fault costs this much time.
PATIENCE_SECONDS = 60.0
