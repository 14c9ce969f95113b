"""How long a test waits for what must come; how long it takes is measured in benchmarks/, never here."""

# What tests wait for takes less than a second on an idle machine. One with twenty times as much work as cores takes
# twenty times as long; three times that is still below the limit of a whole test (pyproject.toml). A wait looks again
# and again or is woken, and ends when its thing has come, so that only a fault costs this much.
PATIENCE_SECONDS = 60.0
