"""Turn `protos/` into importable packages under `gen/farebox`.

One file, two doors: `make gen` runs it as a script, and hatch runs it as a build hook, so `pip install -e .` is
enough to get the generated code. Nothing generated is committed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "protos"
TARGET = ROOT / "gen"


def _protoc(arguments: list[str]) -> None:
    from grpc_tools import protoc

    status = protoc.main(["protoc", *arguments])
    if status != 0:
        message = f"protoc failed with status {status}: {' '.join(arguments)}"
        raise SystemExit(message)


def _typed_stubs_plugin() -> str:
    """Where mypy-protobuf's plugin is: beside this Python, or on the PATH of an isolated build."""
    places = [str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)]
    plugin = shutil.which("protoc-gen-mypy_grpc", path=os.pathsep.join(places))
    if plugin is None:
        message = "protoc-gen-mypy_grpc is missing: install mypy-protobuf"
        raise SystemExit(message)
    return plugin


def generate() -> None:
    """Write `gen/`: messages for every file, typed service stubs only for files named `*_service.proto`."""
    import grpc_tools

    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    files = sorted(SOURCE.rglob("*.proto"))
    services = [file for file in files if file.name.endswith("_service.proto")]
    include = [f"-I{SOURCE}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    _protoc([*include, f"--python_out={TARGET}", f"--pyi_out={TARGET}", *map(str, files)])
    _protoc([*include, f"--grpc_python_out={TARGET}", *map(str, services)])
    typed = [f"--plugin=protoc-gen-mypy_grpc={_typed_stubs_plugin()}", f"--mypy_grpc_out=quiet:{TARGET}"]
    _protoc([*include, *typed, *map(str, services)])
    # Not `farebox` itself: it is a namespace package, of which `farebox/testing` is written by hand.
    for folder in (TARGET / "farebox").rglob("*"):
        if folder.is_dir():
            (folder / "__init__.py").touch()
            (folder / "py.typed").touch()


class CustomBuildHook(BuildHookInterface[Any]):
    """Hatch's build hook: generate before anything is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Generate the code; hatch then packs `gen/farebox` as `farebox`."""
        sys.path.insert(0, str(SOURCE))
        generate()


if __name__ == "__main__":
    generate()
