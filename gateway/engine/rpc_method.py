"""A service's method as data, found by its request message, so that a declaration names nothing twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.call import Call
from gateway.clients import STUBS


@dataclass(frozen=True)
class RpcMethod:
    """A method that takes or answers one kind of thing.

    Attributes:
        request: its request message.
        stub: the attribute of `gateway.clients.Clients` that holds its stub.
        name: its name.
        thing: the field of the response that holds the thing, or a page of them.
    """

    request: type[Message]
    stub: str
    name: str
    thing: str

    @classmethod
    def of(cls, request: type[Message]) -> RpcMethod:
        """The method that takes this request.

        Raises:
            LookupError: no service takes it.
        """
        wanted = request.DESCRIPTOR.full_name
        for service in request.DESCRIPTOR.file.services_by_name.values():
            for method in service.methods:
                if method.input_type.full_name == wanted:
                    return cls(
                        request,
                        STUBS[service.name],
                        method.name,
                        _thing(GetMessageClass(cast("Descriptor", method.output_type))),
                    )
        raise LookupError(f"no service takes a {wanted}")

    async def ask(self, call: Call, request: Message) -> Message:
        """Call the method for the caller's organization."""
        method = cast(
            "grpc.aio.UnaryUnaryMultiCallable[Message, Message]", getattr(getattr(call.clients, self.stub), self.name)
        )
        return await call.ask(method, request)


def _thing(response: type[Message]) -> str:
    """The field of a response that is not the place of its page."""
    return next(field.name for field in response.DESCRIPTOR.fields if field.name != "page")
