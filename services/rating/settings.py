"""Settings of the rating process."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.chassis.config import Settings

# Good enough for development, and public: production refuses it.
DEVELOPMENT_PEPPER = "farebox-development-pepper"


class RatingSettings(Settings):
    """What rating needs besides every service's settings.

    Attributes:
        bootstrap_secret_key: `FAREBOX_BOOTSTRAP_SECRET_KEY`, a secret key with which a test-mode organization is made
            at the start; empty for none.
        api_key_pepper: `FAREBOX_API_KEY_PEPPER`, with which API keys are hashed; changing it invalidates all of them.
    """

    bootstrap_secret_key: SecretStr = Field(default=SecretStr(""), validation_alias="FAREBOX_BOOTSTRAP_SECRET_KEY")
    api_key_pepper: SecretStr = Field(default=SecretStr(DEVELOPMENT_PEPPER), validation_alias="FAREBOX_API_KEY_PEPPER")

    @model_validator(mode="after")
    def _refuse_development_secrets(self) -> Self:
        if self.environment == "production" and self.api_key_pepper.get_secret_value() == DEVELOPMENT_PEPPER:
            raise ValueError("FAREBOX_API_KEY_PEPPER must be set in production")
        return self
