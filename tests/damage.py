"""Every way a sealed folder may be damaged. Each function changes a folder in place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from siftrec.files import MANIFEST

Damage = Callable[[Path], None]


def reseal(folder: Path) -> None:
    """Make the manifest fit the files again: what a hand that means harm would do."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def edited(folder: Path, file: str, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    """Change a JSON file and reseal, unless it is the manifest itself."""
    table = json.loads((folder / file).read_text())
    change(table)
    (folder / file).write_text(json.dumps(table))
    if file != MANIFEST:
        reseal(folder)


def tensors_edited(weights: str, change: Callable[[dict[str, torch.Tensor]], None]) -> Damage:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / weights)
        change(tensors)
        save_file(tensors, folder / weights)
        reseal(folder)

    return apply


def resealed(damage: Damage) -> Damage:
    def apply(folder: Path) -> None:
        damage(folder)
        reseal(folder)

    return apply


def truncate(file: str) -> Damage:
    return lambda folder: os.truncate(folder / file, (folder / file).stat().st_size // 2)


def flip(file: str) -> Damage:
    def apply(folder: Path) -> None:
        data = bytearray((folder / file).read_bytes())
        data[len(data) // 2] ^= 4
        (folder / file).write_bytes(data)

    return apply


def swap(one: str, other: str) -> Damage:
    def apply(folder: Path) -> None:
        a, b = (folder / one).read_bytes(), (folder / other).read_bytes()
        (folder / one).write_bytes(b)
        (folder / other).write_bytes(a)

    return apply


def remove(file: str) -> Damage:
    return lambda folder: (folder / file).unlink()


def link_out(file: str) -> Damage:
    def apply(folder: Path) -> None:
        outside = folder.parent.parent / f"outside-{file}"
        os.replace(folder / file, outside)
        (folder / file).symlink_to(outside)

    return apply


def manifest(change: Callable[[dict], None]) -> Damage:  # type: ignore[type-arg]
    return lambda folder: edited(folder, MANIFEST, change)


def text(file: str, content: str) -> Damage:
    def apply(folder: Path) -> None:
        (folder / file).write_text(content)

    return apply


def first(tensors: dict[str, torch.Tensor], kind: str = "") -> str:
    """Name of some floating tensor."""
    return next(
        name for name, t in sorted(tensors.items()) if name.startswith(kind) and t.is_floating_point() and t.dim()
    )


def put_nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors[first(tensors)].view(-1)[0] = torch.nan


def reshape(tensors: dict[str, torch.Tensor]) -> None:
    tensors[first(tensors)] = tensors[first(tensors)][:-1].clone()


def retype(tensors: dict[str, torch.Tensor]) -> None:
    tensors[first(tensors)] = tensors[first(tensors)].double()


def rename(tensors: dict[str, torch.Tensor]) -> None:
    tensors["stranger"] = tensors.pop(first(tensors))


def drop(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[first(tensors)]


def every(weights: str, others: tuple[str, ...]) -> dict[str, Damage]:
    """Name → damage, for a sealed folder with these files."""
    found: dict[str, Damage] = {
        "manifest missing": remove(MANIFEST),
        "manifest empty": text(MANIFEST, ""),
        "manifest a list": text(MANIFEST, "[]"),
        "manifest too deep": text(MANIFEST, "[" * 100_000),
        "manifest truncated": truncate(MANIFEST),
        "manifest a link": link_out(MANIFEST),
        "manifest version": manifest(lambda m: m.update(version=99)),
        "manifest no version": manifest(lambda m: m.pop("version")),
        "manifest kind": manifest(lambda m: m.update(kind="cake")),
        "manifest no files": manifest(lambda m: m.update(files={})),
        "manifest files a list": manifest(lambda m: m.update(files=["a"])),
        "manifest entry a number": manifest(lambda m: m["files"].update({weights: 3})),
        "manifest names a path": manifest(lambda m: m["files"].update({"../x": {"sha256": "", "bytes": 0}})),
        "manifest names NUL": manifest(lambda m: m["files"].update({"a\0b": {"sha256": "", "bytes": 0}})),
        "manifest names itself": manifest(lambda m: m["files"].update({".": {"sha256": "", "bytes": 0}})),
        "weights NaN": tensors_edited(weights, put_nan),
        "weights shape": tensors_edited(weights, reshape),
        "weights type": tensors_edited(weights, retype),
        "weights name": tensors_edited(weights, rename),
        "weights one less": tensors_edited(weights, drop),
        "weights not safetensors": resealed(text(weights, "{}")),
    }
    for file in (weights, *others):
        found |= {
            f"{file} truncated": truncate(file),
            f"{file} emptied": text(file, ""),
            f"{file} flipped": flip(file),
            f"{file} missing": remove(file),
            f"{file} a link": link_out(file),
            f"{file} not named": manifest(lambda m, file=file: m["files"].pop(file)),
        }
        if file != weights:
            found[f"{file} swapped"] = swap(file, weights)
            found[f"{file} swapped and resealed"] = resealed(swap(file, weights))
    return found
