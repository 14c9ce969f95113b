"""The gRPC services: unpack, call, pack."""
