"""Senders' names of a model, and the name under which the library `genai-prices` knows it.

The library matches the names of providers and of their models. Gateways and clouds write more around them
(`openai/gpt-4o`, `us.anthropic.claude-3-5-sonnet-20240620-v1:0`, a path or an ARN), which is removed here if it names a
provider. A prefix that does not name a provider (`ollama/…`, `my-gateway/…`) is not removed: an organization that
serves a model itself does not pay what others charge for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from genai_prices.data import providers
from genai_prices.data_snapshot import find_provider_by_id
from genai_prices.types import ModelInfo, Provider

from services.margin.domain.price import CatalogName

# The names that events use for models: a few hundred in practice; the limit is for a sender of nonsense.
_NAMES_KEPT = 10_000
# Names of providers, used by OpenTelemetry and gateways, that the library does not match.
_ALIASES = {
    "azure.ai.inference": "azure",
    "azure_ai": "azure",
    "fireworks_ai": "fireworks",
    "gcp.gen_ai": "google",
    "x_ai": "x-ai",
}
# `publishers/anthropic/models/claude-3-5-sonnet@20240620`, alone or at the end of a longer path.
_VERTEX = re.compile(r"(?:^|/)publishers/[^/]+/models/(?P<model>[^/]+)$")
# `anthropic.claude-3-haiku-20240307-v1:0`, also behind a region: `us.`, `eu.`, `apac.`, `us-gov.`, `global.`.
_BEDROCK = re.compile(
    r"^(?:[a-z]{2,6}(?:-gov)?\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|writer|zai)"
    r"\.[a-z0-9]"
)


@lru_cache(maxsize=_NAMES_KEPT)
def resolve(provider: str, model: str) -> CatalogName | None:
    """The library's name of a model; None if it knows no such model.

    An unknown provider does not hide a known model: many senders name the wire format there.
    """
    for asked, name in dict.fromkeys(_readings(provider.strip().lower(), model.strip().lower())):
        seller = _seller(asked, name)
        known = seller.find_model(name, all_providers=providers) if seller else None
        if seller is not None and known is not None:
            return CatalogName(seller.id, known.id.lower(), _listing_provider(known, seller))
    return None


def _readings(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """Provider (or empty) and model, in every way in which they can be read, the most literal first."""
    yield provider, model
    vertex = _VERTEX.search(model)
    if vertex:
        yield "google", vertex["model"]
    first, slash, rest = model.partition("/")
    if slash and first.startswith("arn:"):
        yield from _readings("aws", rest)
    elif slash and first == "models":
        yield from _readings(provider, rest)
    elif slash and _known_provider(first):
        yield from _readings(first, rest)
    if _BEDROCK.match(model):
        yield "aws", model
    yield "", model


def _seller(provider: str, model: str) -> Provider | None:
    if provider:
        return _known_provider(provider)
    return next((p for p in providers if p.model_match is not None and p.model_match.is_match(model)), None)


def _known_provider(name: str) -> Provider | None:
    # Not through the library's snapshot, which remembers every name it has ever been asked for.
    return find_provider_by_id(providers, _ALIASES.get(name, name))


def _listing_provider(model: ModelInfo, seller: Provider) -> str:
    """The provider in whose list a model was found: the seller, or a provider whose models it resells."""
    return next((p.id for p in [seller, *providers] if any(model is listed for listed in p.models)), seller.id)
