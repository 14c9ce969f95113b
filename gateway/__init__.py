"""REST outside, gRPC inside. The gateway knows who calls and in which dialect, and nothing of billing."""
