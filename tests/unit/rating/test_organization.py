"""Organizations as pure values: their keys and settings."""

from __future__ import annotations

import re

import pytest
from pydantic import SecretStr, ValidationError

from services.rating.organizations.organization import TOKEN_BYTES, ApiKeyKind, token_digest, token_of
from services.rating.settings import RatingSettings


@pytest.mark.parametrize("random", [b"\x00" * TOKEN_BYTES, b"\xff" * TOKEN_BYTES])
@pytest.mark.parametrize(("kind", "prefix"), [(ApiKeyKind.SECRET, "sk"), (ApiKeyKind.PUBLISHABLE, "pk")])
def test_keys_have_one_length_and_letters_and_digits(random: bytes, kind: ApiKeyKind, prefix: str) -> None:
    assert re.fullmatch(prefix + r"_test_[0-9A-Za-z]{43}", token_of(kind, random, test_mode=True))
    assert re.fullmatch(prefix + r"_live_[0-9A-Za-z]{43}", token_of(kind, random, test_mode=False))


def test_keys_differ_in_every_bit() -> None:
    one = token_of(ApiKeyKind.SECRET, b"\x00" * (TOKEN_BYTES - 1) + b"\x01", test_mode=True)
    other = token_of(ApiKeyKind.SECRET, b"\x01" + b"\x00" * (TOKEN_BYTES - 1), test_mode=True)
    assert one != other


def test_a_digest_needs_the_pepper() -> None:
    assert token_digest("sk_test_x", "a") != token_digest("sk_test_x", "b")


def test_production_refuses_the_development_pepper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.delenv("FAREBOX_API_KEY_PEPPER", raising=False)
    with pytest.raises(ValidationError, match="FAREBOX_API_KEY_PEPPER"):
        RatingSettings()
    monkeypatch.setenv("FAREBOX_API_KEY_PEPPER", "real")
    assert RatingSettings().api_key_pepper == SecretStr("real")
