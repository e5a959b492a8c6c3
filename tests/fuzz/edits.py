"""Edits of bytes, JSON, HDF5 objects, text, Parquet and tensors; each tells in words what it did."""

from __future__ import annotations

import copy
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blake3
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from lexicell.lexicon.manifest import Manifest
from lexicell.projection import _saving

__all__ = ["edit"]

#: What stands where something else is expected.
_ODD = (
    0, -1, 1, 1 << 31, 1 << 40, 1 << 63, -(1 << 63), 1 << 64, 10**400, 1e308, float("nan"), float("inf"), "",
    "x", "../../etc", None, True, [], [0], [-1], {}, {"a": 1}, [1, 2, 3, 4, 5], "\ud800", "a" * 5000, [[[]]],
    "\x00", "<f8", ">i2", "|O", "|V8", "<U3", "object", 0.5, "pickle", "Infinity",
)  # fmt: skip
_TYPES = (
    "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "?", "S3", "c8", ">i4", ">f8",
)  # fmt: skip
_WORDS = (
    b"0", b"-1", b"99999999999", b"9223372036854775807", b"-9223372036854775808", b"nan", b"inf", b"1e5", b"",
    b"x", b"\xff\xfe", b"65", b"301", b"1.5", b'"', b"2 3 4", b"\r", b"0x10", b"+1", b"1_0", b"\x00",
    b"9" * 400,
)  # fmt: skip
_DOCUMENTS = ("zarr.json", ".zattrs", ".zarray", ".zgroup", ".zmetadata")


def _pick(rng: np.random.Generator, among: Any) -> Any:
    return among[int(rng.integers(len(among)))]


def edit(rng: np.random.Generator, path: Path) -> tuple[str, bool]:
    """Edit an input in place; what was done, and whether that left the hashes as they were."""
    if path.name == "lexicon":
        return _edit_lexicon(rng, path)
    if path.name == "projection":
        return _edit_projection(rng, path)
    if path.is_file():
        if rng.integers(3) == 0:
            return _edit_file(rng, path, path.name), True
        return _edit_hdf5(rng, path), False
    files = sorted(p for p in path.rglob("*") if p.is_file() and ".lexicell" not in p.parts)
    file = _pick(rng, files)
    name, choice = str(file.relative_to(path)), int(rng.integers(6))
    if path.name.startswith("mtx"):
        return (_edit_text if choice < 4 else _edit_file)(rng, file, name), True
    if choice == 0:
        file.unlink()
        return f"{name} removed", False
    if choice == 1 and rng.integers(3) == 0:
        other = _pick(rng, files)
        if other != file:
            shutil.copy(other, file)
        return f"{name} replaced by {other.relative_to(path)}", False
    if file.name in _DOCUMENTS and choice < 5:
        told = _edit_json(rng, file, name)
        _forget_consolidated(path, file)
        return told, False
    return _edit_file(rng, file, name), file.name not in _DOCUMENTS


def _edit_file(rng: np.random.Generator, file: Path, name: str) -> str:
    changed, told = _edit_bytes(rng, file.read_bytes())
    file.write_bytes(changed)
    return f"{name}: {told}"


def _edit_bytes(rng: np.random.Generator, content: bytes) -> tuple[bytes, str]:
    data, n = bytearray(content), len(content)
    if n == 0:
        return rng.bytes(16), "bytes in place of none"
    kind, at, length = int(rng.integers(8)), int(rng.integers(n)), int(rng.integers(1, 64))
    end = min(at + length, n)
    if kind <= 2:
        places = [int(place) for place in rng.integers(n, size=rng.integers(1, 5))]
        for place in places:
            data[place] ^= 1 << int(rng.integers(8))
        return bytes(data), f"bits of {places} flipped"
    if kind == 3:
        return bytes(data[:at]), f"cut at {at}"
    if kind == 4:
        data[at:end] = rng.bytes(end - at)
        return bytes(data), f"{at}:{end} random"
    if kind == 5:
        data[at:end] = (b"\xff" if rng.integers(2) else b"\x00") * (end - at)
        return bytes(data), f"{at}:{end} filled with {data[at]}"
    if kind == 6:
        data[at:at] = rng.bytes(length)
        return bytes(data), f"{length} bytes put in at {at}"
    at = int(rng.integers(max(n - 8, 1)))
    number = _pick(rng, [0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**40, 2**16])
    data[at : at + 8] = number.to_bytes(8, "little")
    return bytes(data), f"{number} at {at}"


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = document.items() if isinstance(document, dict) else []
    inner = enumerate(document) if isinstance(document, list) else inner
    for key, value in inner:
        yield from _places(value, (*path, key))


def _edited(rng: np.random.Generator, document: Any) -> tuple[Any, str]:
    """Change or remove one value somewhere in a JSON document."""
    document = copy.deepcopy(document)
    place = _pick(rng, list(_places(document)) or [("x",)])
    inside = document
    for key in place[:-1]:
        inside = inside[key]
    old, choice = (inside or {"x": 0})[place[-1]], int(rng.integers(6))
    if choice == 0 and inside:
        del inside[place[-1]]
        return document, f"{place} removed"
    if choice == 1 and isinstance(old, (int, float)) and not isinstance(old, bool):
        new = _pick(rng, [0, -1, old + 1, old - 1, old * 1000, 2**31, 2**63, old + 0.5])
    elif choice == 2 and isinstance(old, list) and old:
        new = _pick(rng, [old * 2, old[:-1], old[::-1], [old]])
    elif choice == 3 and inside and isinstance(inside, dict):
        new = inside[_pick(rng, list(inside))]
    elif choice == 4 and rng.integers(8) == 0:
        new = []
        for _ in range(5000):
            new = [new]
        inside[place[-1]] = "DEEP"
        return document, f"{place} nested"
    else:
        new = _pick(rng, _ODD)
    inside[place[-1]] = new
    return document, f"{place} is {str(new)[:40]!r}"


def _dumped(document: Any) -> str:
    return json.dumps(document).replace('"DEEP"', "[" * 5000 + "]" * 5000)


def _edit_json(rng: np.random.Generator, file: Path, name: str) -> str:
    document, told = _edited(rng, json.loads(file.read_text()))
    file.write_text(_dumped(document))
    return f"{name}: {told}"


def _forget_consolidated(root: Path, file: Path) -> None:
    """Let what one document says count, and not the copy of it."""
    if file.name != ".zmetadata":
        (root / ".zmetadata").unlink(missing_ok=True)
    top = root / "zarr.json"
    if file != top and top.exists():
        about = json.loads(top.read_text())
        about.pop("consolidated_metadata", None)
        top.write_text(json.dumps(about))


def _edit_text(rng: np.random.Generator, file: Path, name: str) -> str:
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    lines = content.split(b"\n")
    at = int(rng.integers(min(len(lines), 6) if rng.integers(2) else len(lines)))
    space = b" " if b" " in lines[at] else b"\t"
    words = lines[at].split(space)
    choice, word = int(rng.integers(4)), int(rng.integers(len(words)))
    if choice == 0:
        del lines[at]
        told = f"line {at} removed"
    elif choice == 1:
        lines.insert(at, lines[at])
        told = f"line {at} twice"
    else:
        words[word] = _pick(rng, _WORDS)
        lines[at] = space.join(words)
        told = f"word {word} of line {at} is {words[word][:40]!r}"
    content = b"\n".join(lines)
    file.write_bytes(gzip.compress(content, 1) if file.suffix == ".gz" else content)
    return f"{name}: {told}"


def _edit_hdf5(rng: np.random.Generator, path: Path) -> str:
    with h5py.File(path, "r+") as file:
        names = ["/"]
        file.visit(names.append)
        name = _pick(rng, names)
        choice = int(rng.integers(9))
        if choice <= 2 and len(file[name].attrs):
            return _edit_attribute(rng, file[name], name)
        if name == "/":
            name = _pick(rng, names[1:])
        if choice == 3:
            del file[name]
            return f"{name} removed"
        if isinstance(file[name], h5py.Group):
            del file[name]
            put = _pick(
                rng, [np.arange(5), h5py.SoftLink("/nowhere"), h5py.SoftLink(f"/{name}"), h5py.SoftLink("/")]
            )
            file[name] = put
            return f"{name} is {put}"
        return _edit_dataset(rng, file, name)


def _edit_attribute(rng: np.random.Generator, element: Any, name: str) -> str:
    key = _pick(rng, list(element.attrs))
    if rng.integers(4) == 0:
        del element.attrs[key]
        return f"{name}: {key} removed"
    value = _pick(rng, _ODD)
    if value is None or isinstance(value, dict):
        value = h5py.Empty("f4")
    elif isinstance(value, list) and isinstance((value or [0])[0], list):
        value = np.zeros((0, 2))
    elif isinstance(value, int) and abs(value) >= 1 << 63:
        value = float(min(value, 10**300))
    elif isinstance(value, str) and ("\ud800" in value or "\0" in value):
        value = b"\xff\xfe\x80"
    element.attrs[key] = value
    return f"{name}: {key} is {str(value)[:30]!r}"


def _edit_dataset(rng: np.random.Generator, file: h5py.File, name: str) -> str:
    values, attributes = np.asarray(file[name][()]), dict(file[name].attrs)
    is_text = values.dtype == object
    kind = int(rng.integers(11))
    flat = values.ravel()
    number = _pick(rng, [-1, -(2**31), 2**31 - 1, np.nan, np.inf, -np.inf, 1e30, -0.0, 2**16, 2**40, 65536])
    word = _pick(rng, ["", "\n", "a" * 70000, "=1+1", "a/b", "é\u202e", "\x07"])
    at, sort = int(rng.integers(max(flat.size, 1))), _pick(rng, _TYPES)
    length, options = _pick(rng, [2**33, 2**40, 2**31, 10**6]), {}
    told = f"{name}: "
    try:
        with np.errstate(all="ignore"):
            if kind == 0:
                new, told = values.astype(sort), told + f"as {sort}"
            elif kind == 1:
                new, told = values[:-1], told + "shorter"
            elif kind == 2:
                new, told = np.concatenate([np.atleast_1d(values)] * 2), told + "twice"
            elif kind == 3:
                new, told = values.reshape(1, -1), told + "of two dimensions"
            elif kind == 4:
                new, told = (flat[0] if flat.size else 0), told + "a scalar"
            elif kind == 5 and flat.size:
                new = flat.copy()
                new[at] = word if is_text else np.float64(number).astype(values.dtype)
                new, told = new.reshape(values.shape), told + f"[{at}] is {new[at]!r:.40}"
            elif kind == 6:
                new, told = h5py.Empty("f4"), told + "empty"
            elif kind == 7:
                new, told = np.zeros(values.shape, [("a", "i4"), ("b", "f4")]), told + "a compound"
            elif kind == 8:
                new = None
                options = {"shape": (length,), "chunks": (1000,), "dtype": values.dtype}
                told += f"declared {length}"
            elif kind == 9:
                new, told = values[::-1], told + "reversed"
            else:
                new, told = values[:0], told + "without entries"
    except (TypeError, ValueError, IndexError):
        return f"{name}: as it was"
    if is_text and (kind == 8 or getattr(getattr(new, "dtype", None), "kind", "") == "O"):
        options["dtype"] = h5py.string_dtype()
    del file[name]
    element = file.create_dataset(name, data=new, **options)
    for key, value in attributes.items():
        element.attrs[key] = value
    return told


def _hashed(file: Path) -> dict[str, Any]:
    return {"bytes": file.stat().st_size, "blake3": blake3.blake3(file.read_bytes()).hexdigest()}


def _seal_lexicon(folder: Path, document: dict[str, Any]) -> None:
    """Write a manifest whose own checksum is right, as far as it can have one."""
    document.pop("checksum", None)
    try:
        checksum = Manifest.model_validate(document).checksum
    except Exception:
        checksum = "0" * 64
    (folder / "lexicon.json").write_text(_dumped(document | {"checksum": checksum}))


def _sign_lexicon(folder: Path) -> None:
    document = json.loads((folder / "lexicon.json").read_text())
    document["files"] |= {
        name: _hashed(folder / name) for name in document["files"] if (folder / name).is_file()
    }
    _seal_lexicon(folder, document)


def _edit_lexicon(rng: np.random.Generator, folder: Path) -> tuple[str, bool]:
    choice = int(rng.integers(8))
    if choice <= 1:
        file = _pick(rng, sorted(folder.iterdir()))
        told = _edit_file(rng, file, file.name)
        sign = bool(rng.integers(2)) and file.name != "lexicon.json"
        if sign:
            _sign_lexicon(folder)
        return told, not sign
    if choice <= 3:
        document, told = _edited(rng, json.loads((folder / "lexicon.json").read_text()))
        _seal_lexicon(folder, document)
        return f"lexicon.json: {told}", False
    if choice == 4:
        vectors = np.fromfile(folder / "table.bin", "<f2")
        at, value = int(rng.integers(vectors.size)), _pick(rng, [np.nan, np.inf, -np.inf, 65504, 0])
        vectors[at] = value
        vectors.tofile(folder / "table.bin")
        told = f"table.bin: [{at}] is {value}"
    elif choice <= 6:
        told = _edit_parquet(rng, folder / "genes.parquet")
    else:
        told = _edit_file(rng, folder / "table.onnx", "table.onnx")
    _sign_lexicon(folder)
    return f"{told}, signed", False


def _edit_parquet(rng: np.random.Generator, file: Path) -> str:
    table = pq.read_table(file)
    name, n = _pick(rng, table.column_names), table.num_rows
    at = table.column_names.index(name)
    kind = int(rng.integers(7))
    if kind == 0:
        table = table.drop_columns([name])
    elif kind <= 3:
        table = table.set_column(at, name, pa.array([_pick(rng, [None, 1.5, "a"])] * n))
    elif kind == 4:
        table = table.slice(0, int(rng.integers(n)))
    elif kind == 5:
        table = pa.concat_tables([table, table])
    else:
        table = table.take(pa.array(rng.permutation(n)))
    pq.write_table(table, file)
    return f"{file.name}: {name} {kind}"


def _edit_projection(rng: np.random.Generator, folder: Path) -> tuple[str, bool]:
    choice = int(rng.integers(5))
    if choice == 0:
        file = _pick(rng, sorted(folder.iterdir()))
        return _edit_file(rng, file, file.name), True
    card, tensors = folder / "projection.json", folder / "projection.safetensors"
    document = json.loads(card.read_text())
    if choice <= 2:
        document, told = _edited(rng, document)
    else:
        told = _edit_file(rng, tensors, tensors.name) if choice == 3 else _edit_tensors(rng, tensors)
        document["file"] = _hashed(tensors)
    document.pop("checksum", None)
    try:
        document["checksum"] = _saving._checksum(document)
    except (ValueError, RecursionError):
        document["checksum"] = "0" * 64
    card.write_text(_dumped(document))
    return f"{told}, signed", False


def _edit_tensors(rng: np.random.Generator, file: Path) -> str:
    tensors = load_tensors(file.read_bytes())
    name = _pick(rng, sorted(tensors))
    value, kind, sort = tensors[name], int(rng.integers(8)), _pick(rng, _TYPES[:12])
    with np.errstate(all="ignore"):
        if kind == 0:
            tensors[name] = value.astype(sort)
        elif kind == 1:
            tensors[name] = np.ascontiguousarray(value[:-1])
        elif kind == 2:
            tensors[name] = value.reshape(-1)
        elif kind == 3:
            tensors[name] = np.zeros(())
        elif kind == 4:
            tensors[name] = value.copy()
            tensors[name].ravel()[:1] = np.nan if value.dtype.kind == "f" else 2**31 - 1
        elif kind == 5:
            del tensors[name]
        elif kind == 6:
            tensors[name] = np.zeros((0, *value.shape[1:]), value.dtype)
        else:
            tensors[_pick(rng, ["x", "residual.z", "head.9.weight", "classifier.q", "features.mean"])] = value
    file.write_bytes(save_tensors(tensors))
    return f"{file.name}: {name} {kind} {sort}"
