"""CloudEvents 1.0 over HTTP, as OpenMeter's clients send them."""
