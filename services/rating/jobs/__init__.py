"""Work that rating does by itself, beside its calls."""
