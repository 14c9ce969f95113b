"""The public APIs that we speak, one package each, in the order in which they are asked whether a request is theirs."""

from gateway.dialects.nozle.dialect import NOZLE

DIALECTS = (NOZLE,)
