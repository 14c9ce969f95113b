"""CreditService: kinds of credits, grants, deductions, balances."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.engine import Connection

from farebox.entitlements.v1 import credit_service_pb2 as pb
from farebox.entitlements.v1 import credit_service_pb2_grpc
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.command import command
from services.entitlements.commands import credit as commands
from services.entitlements.commands.credit import Deduction
from services.entitlements.convert import credit as convert
from services.entitlements.deps import Deps
from services.entitlements.domain.credit_account import CreditSystem, GivenGrant
from services.entitlements.queries import credit as queries
from services.kernel.ids import OrganizationId
from services.wire.values import page_from_pb, page_to_pb


class CreditServicer(credit_service_pb2_grpc.CreditServiceServicer):
    """Prepaid credits: what customers were given, what they burned, what is left."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @command(pb.CreateCreditSystemRequest, pb.CreateCreditSystemResponse, reads=convert.system_from_pb)
    def CreateCreditSystem(
        self, tx: Connection, organization: OrganizationId, draft: CreditSystem
    ) -> pb.CreateCreditSystemResponse:
        """Begin a kind of credits."""
        system = commands.create_system(self.deps, tx, organization, draft)
        return pb.CreateCreditSystemResponse(credit_system=convert.system_to_pb(system))

    @answers
    def ListCreditSystems(self, request: pb.ListCreditSystemsRequest, context: Context) -> pb.ListCreditSystemsResponse:
        """List the organization's kinds of credits."""
        listed = queries.list_systems(self.deps, organization_of(context), page_from_pb(request.page))
        return pb.ListCreditSystemsResponse(
            credit_systems=[convert.system_to_pb(system) for system in listed.items], page=page_to_pb(listed)
        )

    @command(pb.GrantCreditsRequest, pb.GrantCreditsResponse, reads=convert.grant_from_pb)
    def GrantCredits(
        self, tx: Connection, organization: OrganizationId, made: Callable[[datetime], GivenGrant]
    ) -> pb.GrantCreditsResponse:
        """Give a customer credits."""
        given = commands.grant_credits(self.deps, tx, organization, made)
        return pb.GrantCreditsResponse(grant=convert.grant_to_pb(given))

    @command(pb.VoidGrantRequest, pb.VoidGrantResponse, reads=convert.grant_id_from_pb)
    def VoidGrant(self, tx: Connection, organization: OrganizationId, grant_id: str) -> pb.VoidGrantResponse:
        """Take back what is left of a grant."""
        return convert.voided_to_pb(*commands.void_grant(self.deps, tx, organization, grant_id))

    @command(pb.DeductCreditsRequest, pb.DeductCreditsResponse, reads=convert.deduction_from_pb)
    def DeductCredits(
        self, tx: Connection, organization: OrganizationId, deduction: Deduction
    ) -> pb.DeductCreditsResponse:
        """Burn credits at once, all or none."""
        return convert.deducted_to_pb(commands.deduct(self.deps, tx, organization, deduction))

    @answers
    def ListCreditBalances(
        self, request: pb.ListCreditBalancesRequest, context: Context
    ) -> pb.ListCreditBalancesResponse:
        """What is left of a customer's credits."""
        balances, at = queries.list_balances(
            self.deps, organization_of(context), request.external_customer_id, request.credit_system_code
        )
        return convert.balances_to_pb(balances, at)
