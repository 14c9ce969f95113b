"""Between the wire and the domain: protobuf and JSON in, answers and entries out."""
