"""OrganizationService."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.rating.v1 import organization_service_pb2 as pb
from farebox.rating.v1 import organization_service_pb2_grpc as grpc_pb
from services.chassis import idempotency
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import says_change
from services.chassis.rpc.command import command, note
from services.kernel.checks import inside
from services.kernel.errors import AlreadyExistsError
from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.organizations import commands, convert, queries
from services.wire.values import page_from_pb, page_to_pb

# A request that creates an organization belongs to none; its id is stored under this organization, which cannot exist.
NO_ORGANIZATION = OrganizationId("00000000-0000-0000-0000-000000000000")


class OrganizationServicer(grpc_pb.OrganizationServiceServicer):
    """Organizations and their keys."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @answers
    def CreateOrganization(
        self,
        request: pb.CreateOrganizationRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.CreateOrganizationResponse:
        """Create an organization, in a worker transaction, since the caller has no organization yet."""
        settings = convert.new_settings_from_pb(request.organization)

        def work(tx: Connection) -> pb.CreateOrganizationResponse:
            with inside("organization"):
                made = commands.create_organization(self.deps, tx, settings)
            return pb.CreateOrganizationResponse(organization=convert.organization_to_pb(made))

        with self.deps.db.worker_transaction() as tx:
            answer: pb.CreateOrganizationResponse = idempotency.once(
                tx, NO_ORGANIZATION, request, pb.CreateOrganizationResponse, work
            )
        return answer

    @answers
    def GetOrganization(self, request: pb.GetOrganizationRequest, context: Context) -> pb.GetOrganizationResponse:  # noqa: ARG002
        """Read the caller's organization."""
        found = queries.get_organization(self.deps, organization_of(context))
        return pb.GetOrganizationResponse(organization=convert.organization_to_pb(found))

    @says_change
    @command(pb.UpdateOrganizationRequest, pb.UpdateOrganizationResponse)
    def UpdateOrganization(
        self, tx: Connection, organization: OrganizationId, request: pb.UpdateOrganizationRequest
    ) -> pb.UpdateOrganizationResponse:
        """Change the caller's organization."""
        changed = commands.update_organization(
            self.deps, tx, organization, lambda current: convert.revised_organization_from_pb(request, current)
        )
        return pb.UpdateOrganizationResponse(organization=convert.organization_to_pb(changed))

    @answers
    def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.CreateApiKeyResponse:
        """Make a key. Its request_id is stored without an answer, so that the key itself is stored nowhere."""
        organization, terms = organization_of(context), convert.key_terms_from_pb(request)
        with self.deps.db.transaction(organization) as tx:
            _claim(tx, organization, request)
            made = commands.create_api_key(self.deps, tx, organization, terms)
            told = convert.api_key_to_pb(made.api_key)
            note(self, tx, context, "CreateApiKey", pb.CreateApiKeyResponse(api_key=told))
        return pb.CreateApiKeyResponse(api_key=told, token=made.token)

    @answers
    def RotateApiKey(self, request: pb.RotateApiKeyRequest, context: Context) -> pb.RotateApiKeyResponse:
        """Replace a key. As with CreateApiKey, the answer is stored nowhere."""
        organization, rotation = organization_of(context), convert.rotation_from_pb(request)
        with self.deps.db.transaction(organization) as tx:
            _claim(tx, organization, request)
            rotated = commands.rotate_api_key(self.deps, tx, organization, rotation)
            told = convert.api_key_to_pb(rotated.made.api_key)
            note(self, tx, context, "RotateApiKey", pb.RotateApiKeyResponse(api_key=told))
        replaced = convert.api_key_to_pb(rotated.replaced)
        return pb.RotateApiKeyResponse(api_key=told, token=rotated.made.token, replaced=replaced)

    @answers
    def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        """List the organization's keys."""
        listed = queries.list_api_keys(self.deps, organization_of(context), page_from_pb(request.page))
        keys = [convert.api_key_to_pb(key) for key in listed.items]
        return pb.ListApiKeysResponse(api_keys=keys, page=page_to_pb(listed))

    @command(pb.RevokeApiKeyRequest, pb.RevokeApiKeyResponse)
    def RevokeApiKey(
        self, tx: Connection, organization: OrganizationId, request: pb.RevokeApiKeyRequest
    ) -> pb.RevokeApiKeyResponse:
        """Revoke a key."""
        ended = commands.revoke_api_key(self.deps, tx, organization, request.api_key_id)
        return pb.RevokeApiKeyResponse(api_key=convert.api_key_to_pb(ended))

    @answers
    def AuthenticateApiKey(
        self,
        request: pb.AuthenticateApiKeyRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.AuthenticateApiKeyResponse:
        """Return the organization to which a presented key belongs."""
        found = queries.authenticate(self.deps, request.token)
        return pb.AuthenticateApiKeyResponse(
            api_key=convert.api_key_to_pb(found.api_key),
            organization=convert.organization_to_pb(found.organization),
        )


def _claim(tx: Connection, organization: OrganizationId, request: idempotency.Request) -> None:
    """Take the id of a request whose answer is shown once.

    Raises:
        AlreadyExistsError: `API_KEY_SHOWN`.
    """
    if idempotency.claim(tx, organization, request) is not None:
        raise AlreadyExistsError("API_KEY_SHOWN", "this request made a key, and it was shown then")
