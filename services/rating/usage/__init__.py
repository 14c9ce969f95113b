"""Usage: events counted into the aggregates of billing periods, carried over, corrected and counted again."""
