"""Protobuf messages to domain objects and back: from the wire may be refused, to the wire never fails."""
