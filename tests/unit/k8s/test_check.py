"""The manifests' checks find what they promise to find: a wrong port, selector, limit, variable, secret or field."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / "k8s" / "base"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("k8s_check", ROOT / "k8s" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = _load()


def _manifests() -> list[dict[str, Any]]:
    """The ingest service with the configuration it takes its environment from."""
    by_kind = {manifest["kind"]: manifest for manifest in check.render(BASE / "ingest")}
    environment = dict(line.split("=", 1) for line in (BASE / "farebox.env").read_text().splitlines())
    configuration = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "farebox"}, "data": environment}
    return [by_kind["Deployment"], by_kind["Service"], configuration]


def _pod(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    return manifests[0]["spec"]["template"]


def _container(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    return _pod(manifests)["spec"]["containers"][0]


def _set(path: Callable[[list[dict[str, Any]]], dict[str, Any]], key: str, value: Any = None) -> Callable[[Any], None]:
    return lambda manifests: path(manifests).__setitem__(key, value)


def test_the_manifests_as_they_are_have_no_fault() -> None:
    """Otherwise the cases below would prove nothing."""
    assert list(check.faults(_manifests())) == []


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (_set(lambda m: m[1]["spec"]["ports"][0], "targetPort", "grcp"), "targets grcp"),
        (_set(lambda m: _container(m)["readinessProbe"]["grpc"], "port", 50099), "asks port 50099"),
        (_set(lambda m: m[0]["spec"]["selector"]["matchLabels"], "app.kubernetes.io/name", "other"), "does not match"),
        (_set(lambda m: m[1]["spec"]["selector"], "app.kubernetes.io/name", "other"), "selects no pod"),
        (_set(lambda m: _container(m)["resources"]["requests"], "memory", "2Gi"), "more memory than its limit"),
        (_set(lambda m: m[2]["data"], "NATS_ULR", "nats://nats"), "knows no variable NATS_ULR"),
        (_set(lambda m: _container(m)["env"][0], "name", "GRPC_BIDN"), "knows no variable GRPC_BIDN"),
        (_set(lambda m: _container(m)["securityContext"], "allowPrivilegeEscalation", value=True), "escalation"),
        (_set(lambda m: _container(m)["envFrom"][0]["configMapRef"], "name", "nothing"), "nobody makes"),
        (_set(_container, "failureTreshold", 3), "failureTreshold"),
        (_set(lambda m: _container(m)["volumeMounts"][0], "name", "cache"), "volumes that the pod does not have"),
    ],
)
def test_a_breakage_is_found(breakage: Callable[[Any], None], message: str) -> None:
    """Each fault is reported by name."""
    manifests = _manifests()
    breakage(manifests)
    assert any(message in fault for fault in check.faults(manifests))
