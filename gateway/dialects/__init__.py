"""The public dialects, one package each: JSON to proto and back, and no rule of billing."""
