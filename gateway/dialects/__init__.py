"""The public APIs that we speak, one package each, in the order in which they may claim a request."""

from gateway.dialects.nozle.dialect import NOZLE

DIALECTS = (NOZLE,)
