"""Render the manifests and check them: strictly against the API's schemas, and for what schemas cannot say.

    python k8s/check.py            both overlays, as `make k8s-check` does
    python k8s/check.py FILE …     rendered manifests, for tests of the checks themselves

Prints one line a fault and exits 1 if there is any.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT.parent), str(ROOT.parent / "gen")]
TARGETS = (ROOT / "base", ROOT / "overlays" / "local")
# From the wheel that `make install` brings, so that nobody installs it by hand and everybody renders with one version.
KUBECTL = Path(sys.executable).parent / "kubectl"
# Rendering is local file work; longer means that kubectl tries to reach something.
RENDER_SECONDS = 60
# What the base names and leaves to an overlay to make.
EXPECTED_SECRETS = {"farebox-databases", "farebox-database-passwords", "farebox-keys", "farebox-postgres"}
WORKLOADS = {"Deployment", "StatefulSet", "Job"}

Manifest = dict[str, Any]


def render(target: Path) -> list[Manifest]:
    """The manifests of a kustomization."""
    text = subprocess.run(
        [str(KUBECTL), "kustomize", str(target)], check=True, capture_output=True, text=True, timeout=RENDER_SECONDS
    ).stdout
    return read(text)


def read(text: str) -> list[Manifest]:
    """The manifests of a YAML text."""
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def faults(manifests: list[Manifest]) -> Iterator[str]:
    """Everything that is wrong with a set of manifests that are applied together."""
    for manifest in manifests:
        yield from _schema_faults(manifest)
    known = _names(manifests)
    for workload in (m for m in manifests if m["kind"] in WORKLOADS):
        pod = workload["spec"]["template"]
        yield from _selector_faults(workload, pod)
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            where = f"{_label(workload)}/{container['name']}"
            yield from _container_faults(where, container, pod["spec"])
            yield from _reference_faults(where, container, known)
            yield from _environment_faults(where, container, manifests)
    for service in (m for m in manifests if m["kind"] == "Service"):
        yield from _service_faults(service, manifests)


def _label(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def _schema_faults(manifest: Manifest) -> Iterator[str]:
    try:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{_label(manifest)}: {error.message}"


def _names(manifests: list[Manifest]) -> set[tuple[str, str]]:
    made = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    return made | {("Secret", name) for name in EXPECTED_SECRETS}


def _selector_faults(workload: Manifest, pod: Manifest) -> Iterator[str]:
    selector = workload["spec"].get("selector", {}).get("matchLabels", {})
    labels = pod["metadata"]["labels"]
    if not selector.items() <= labels.items():
        yield f"{_label(workload)}: the selector {selector} does not match its pods' labels {labels}"


def _container_faults(where: str, container: Manifest, pod: Manifest) -> Iterator[str]:
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        for kind in ("grpc", "httpGet"):
            port = container.get(probe, {}).get(kind, {}).get("port")
            if port is not None and port not in ports and port not in ports.values():
                yield f"{where}: {probe} asks port {port}, which the container does not have"
    mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
    missing = mounts - {volume["name"] for volume in pod.get("volumes", [])} - {"data"}
    if missing:
        yield f"{where}: mounts volumes that the pod does not have: {sorted(missing)}"
    security = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
    if not security.get("runAsNonRoot") or security.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: must run as a normal user without privilege escalation"
    resources = container.get("resources", {})
    yield from _resource_faults(where, resources.get("requests", {}), resources.get("limits", {}))


def _resource_faults(where: str, requests: Manifest, limits: Manifest) -> Iterator[str]:
    if "memory" not in requests or "memory" not in limits:
        yield f"{where}: needs a request and a limit for memory"
    for name in requests.keys() & limits.keys():
        if _quantity(requests[name]) > _quantity(limits[name]):
            yield f"{where}: requests more {name} than its limit"


def _quantity(text: str) -> int:
    """A quantity in thousandths of a unit, so that `250m` stays whole."""
    units = {"m": 1, "Ki": 1000 * 2**10, "Mi": 1000 * 2**20, "Gi": 1000 * 2**30}
    for suffix, factor in units.items():
        if text.endswith(suffix):
            return int(text.removesuffix(suffix)) * factor
    return int(text) * 1000


def _reference_faults(where: str, container: Manifest, known: set[tuple[str, str]]) -> Iterator[str]:
    for entry in container.get("env", []):
        secret = entry.get("valueFrom", {}).get("secretKeyRef")
        if secret and ("Secret", secret["name"]) not in known:
            yield f"{where}: {entry['name']} comes from a secret {secret['name']} that nobody makes"
    for source in container.get("envFrom", []):
        name = source["configMapRef"]["name"]
        if ("ConfigMap", name) not in known:
            yield f"{where}: takes its environment from a ConfigMap {name} that nobody makes"


def _environment_faults(where: str, container: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    arguments = container.get("args", [])
    if arguments[:1] != ["-m"]:
        return
    allowed = variables_of(arguments[1])
    given = {entry["name"] for entry in container.get("env", [])}
    for source in container.get("envFrom", []):
        for manifest in manifests:
            if manifest["kind"] == "ConfigMap" and manifest["metadata"]["name"] == source["configMapRef"]["name"]:
                given |= set(manifest["data"])
    for name in sorted(given - allowed):
        yield f"{where}: {arguments[1]} knows no variable {name}"


def variables_of(module: str) -> set[str]:
    """The environment variables that the program `python -m module` reads."""
    from services.chassis.config import Settings
    from services.chassis.provision import SERVICES

    if module == "services.chassis.provision":
        return {"ADMIN_DATABASE_URL", *(f"{service.upper()}_DATABASE_PASSWORD" for service in SERVICES)}
    if module == "services.chassis.migrate":
        return {f"{service.upper()}_DATABASE_URL" for service in SERVICES}
    found = [
        value
        for value in vars(importlib.import_module(module)).values()
        if isinstance(value, type) and issubclass(value, Settings)
    ]
    most_derived = max(found, key=lambda kind: len(kind.__mro__))
    return {str(field.validation_alias or name).upper() for name, field in most_derived.model_fields.items()}


def _service_faults(service: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    selector = service["spec"]["selector"]
    pods = [
        m["spec"]["template"]
        for m in manifests
        if m["kind"] in WORKLOADS and selector.items() <= m["spec"]["template"]["metadata"]["labels"].items()
    ]
    if not pods:
        yield f"{_label(service)}: selects no pod: {selector}"
    for pod in pods:
        names = {port["name"] for c in pod["spec"]["containers"] for port in c.get("ports", [])}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in names:
                yield f"{_label(service)}: port {port['name']} targets {port['targetPort']}, which no container has"


def main() -> None:
    """Check the overlays, or the files on the command line."""
    given = [Path(name) for name in sys.argv[1:]]
    sets = {str(path): read(path.read_text()) for path in given} or {
        str(target.relative_to(ROOT.parent)): render(target) for target in TARGETS
    }
    found = [f"{name}: {fault}" for name, manifests in sets.items() for fault in faults(manifests)]
    for line in found:
        sys.stdout.write(line + "\n")
    if found:
        sys.exit(1)
    checked = ", ".join(f"{name} ({len(manifests)} manifests)" for name, manifests in sets.items())
    sys.stdout.write(f"k8s-check: {checked}: no fault\n")


if __name__ == "__main__":
    main()
