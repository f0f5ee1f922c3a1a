"""Compiles the native engine's kernels into the wheel, if there is a C++ compiler and POWERBERT_KERNELS is not 0."""

import os
import platform
import runpy
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path("src/powerbert_cli/native")


class Kernels(BuildHookInterface):
    """One library for each kind of CPU; without a compiler the wheel has none, and suits any platform."""

    made: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or not sys.platform.startswith("linux") or os.environ.get("POWERBERT_KERNELS") == "0":
            return
        how = runpy.run_path(str(Path(self.root) / HERE / "compiling.py"))
        try:
            compiler = how["find_compiler"]()
        except how["NotCompiled"] as error:
            self.app.display_warning(f"{error}; the native engine's kernels are compiled at first use")
            return
        if compiler is None:
            self.app.display_info("no C++ compiler: the native engine's kernels are compiled at first use")
            return
        targets = how["TARGETS"] if platform.machine() == "x86_64" else ["DEFAULT"]
        self.made = tempfile.TemporaryDirectory(prefix="powerbert-")
        folder = Path(self.made.name)
        made = {target: folder / how["file_name"](target) for target in targets}
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(how["compile_kernels"], [compiler] * len(made), made, made.values()))
        except how["NotCompiled"] as error:
            self.app.display_warning(f"{error}; the native engine's kernels are compiled at first use")
            return
        build_data["force_include"] |= {str(path): f"powerbert_cli/native/{path.name}" for path in made.values()}
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self.made is not None:
            self.made.cleanup()
