"""The commands of rating's servicers: methods whose request has an identity."""

from __future__ import annotations

from types import ModuleType


def commands_of(servicer: type, services: ModuleType) -> set[str]:
    """The names of a servicer's commands; `services` is the generated module of its service."""
    name = servicer.__name__.replace("Servicer", "Service")
    return {
        method.name
        for method in services.DESCRIPTOR.services_by_name[name].methods
        if "request_id" in method.input_type.fields_by_name
    }
