"""gRPC servicers: unpack, call, pack."""
