"""The log over gRPC."""
