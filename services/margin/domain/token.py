"""Kinds of token, disjoint: no token is of two kinds, so a request's cost is simply the sum over its kinds.

Many senders report inclusive figures (input that includes what came from the cache, output that includes reasoning).
They are split here, at the edge, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from services.kernel.money import ZERO


class TokenType(StrEnum):
    """The kind of token that is paid for."""

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    CACHE_WRITE = "cache_write"
    CACHE_WRITE_1H = "cache_write_1h"
    OUTPUT = "output"
    REASONING = "reasoning"
    INPUT_AUDIO = "input_audio"
    OUTPUT_AUDIO = "output_audio"


# Everything that was sent counts towards a provider's tier, whether or not it came from a cache.
SENT = frozenset(
    {
        TokenType.INPUT,
        TokenType.CACHED_INPUT,
        TokenType.CACHE_WRITE,
        TokenType.CACHE_WRITE_1H,
        TokenType.INPUT_AUDIO,
    }
)

# The names that SDKs and providers use for the same kinds.
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
    """The kind that a sender's word means: an empty word means input, an unknown word has no kind."""
    return _ALIASES.get(name.strip().lower())


def input_tokens(tokens: Mapping[TokenType | None, Decimal]) -> Decimal:
    """How many tokens were sent, which is what decides a provider's tier."""
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
        input_total: everything sent, including what was read from or written to the cache.
        output_total: everything received, including reasoning.
        cached_input: the part of the input that was read from the cache.
        cache_write: the part of the input that was written to the cache.
        reasoning: the part of the output that is reasoning.

    Returns:
        The kinds, or None if the parts exceed their whole, since such figures have no meaningful price.
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
