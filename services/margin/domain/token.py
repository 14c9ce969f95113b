"""Kinds of token, disjoint: no token is of two kinds, so a request's cost is the plain sum over its kinds.

Many senders report inclusive figures (input that contains what the cache gave, output that contains reasoning). They
are split here, at the edge, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from services.kernel.money import ZERO


class TokenType(StrEnum):
    """What kind of token is paid for."""

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    CACHE_WRITE = "cache_write"
    CACHE_WRITE_1H = "cache_write_1h"
    OUTPUT = "output"
    REASONING = "reasoning"
    INPUT_AUDIO = "input_audio"
    OUTPUT_AUDIO = "output_audio"


# Everything that was sent counts towards a provider's tier, whether it came from a cache or not.
SENT = frozenset(
    {
        TokenType.INPUT,
        TokenType.CACHED_INPUT,
        TokenType.CACHE_WRITE,
        TokenType.CACHE_WRITE_1H,
        TokenType.INPUT_AUDIO,
    }
)

# Names that SDKs and providers use for the same kinds.
_ALIASES = {
    **{kind.value: kind for kind in TokenType},
    "": TokenType.INPUT,
    "prompt": TokenType.INPUT,
    "completion": TokenType.OUTPUT,
    "cached": TokenType.CACHED_INPUT,
    "cache_read": TokenType.CACHED_INPUT,
    "cache_read_input": TokenType.CACHED_INPUT,
    "cache_creation": TokenType.CACHE_WRITE,
    "cache_creation_input": TokenType.CACHE_WRITE,
    "cache_write_5m": TokenType.CACHE_WRITE,
    "thinking": TokenType.REASONING,
    "audio_input": TokenType.INPUT_AUDIO,
    "audio_output": TokenType.OUTPUT_AUDIO,
}


def token_type_named(name: str) -> TokenType | None:
    """The kind that a sender's word means; an empty word means input, an unknown one nothing."""
    return _ALIASES.get(name.strip().lower())


def input_tokens(tokens: Mapping[TokenType | None, Decimal]) -> Decimal:
    """How many tokens were sent: what providers choose the tier by."""
    return sum((count for kind, count in tokens.items() if kind in SENT), ZERO)


def disjoint(
    *,
    input_total: Decimal = ZERO,
    output_total: Decimal = ZERO,
    cached_input: Decimal = ZERO,
    cache_write: Decimal = ZERO,
    reasoning: Decimal = ZERO,
) -> dict[TokenType | None, Decimal] | None:
    """Split inclusive totals into disjoint kinds, without those that are 0.

    Args:
        input_total: everything sent, with what was read from and written to the cache.
        output_total: everything received, with reasoning.
        cached_input: part of the input read from the cache.
        cache_write: part of the input written to the cache.
        reasoning: part of the output.

    Returns:
        The kinds, or None where the parts exceed their whole: such figures price to nonsense.
    """
    kinds: dict[TokenType | None, Decimal] = {
        TokenType.INPUT: input_total - cached_input - cache_write,
        TokenType.CACHED_INPUT: cached_input,
        TokenType.CACHE_WRITE: cache_write,
        TokenType.OUTPUT: output_total - reasoning,
        TokenType.REASONING: reasoning,
    }
    if any(count < 0 for count in kinds.values()):
        return None
    return {kind: count for kind, count in kinds.items() if count}
