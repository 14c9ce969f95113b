"""Benchmarks: ratios to a raw baseline, interleaved in the same run (`make bench BENCH=…`)."""
