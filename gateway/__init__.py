"""REST outside, gRPC inside: who calls, in which dialect, and nothing of billing."""
