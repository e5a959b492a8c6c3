"""How the CUDA source is put together, and how much of a multiprocessor a block takes."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from lexicell_kernels.cuda.source import (
    Instantiation,
    joined_source,
    padded_width,
    shared_bytes,
    source_hash,
    threads_per_row,
)


def test_every_file_is_in_the_source_once_and_after_those_it_includes():
    text = joined_source()
    folder = resources.files("lexicell_kernels.cuda")
    names = [path.name for path in folder.iterdir() if path.name.endswith(".cuh")]
    at = {name: text.index(f'#line 1 "{name}"\n') for name in names}
    for name in names:
        own = folder.joinpath(name).read_text()
        assert text.count(f'"{name}"') == 1
        for other in names:
            assert f'#include "{other}"' not in own or at[other] < at[name]
    assert "#include" not in text
    assert "#pragma once" not in text


def test_line_numbers_are_those_of_the_files():
    folder = resources.files("lexicell_kernels.cuda")
    for part in joined_source().split('#line 1 "')[1:]:
        name, _, text = part.partition('"\n')
        for number, line in enumerate(folder.joinpath(name).read_text().splitlines()):
            if not line.startswith(("#include", "#pragma once")):
                assert text.splitlines()[number] == line.rstrip()


def test_an_instantiation_is_one_line_at_the_end():
    embed = Instantiation("lexicell_embed", "uint16", "int32", False, "float16", 256)
    pick = Instantiation("lexicell_pick", "float32", "uint16", True)
    assert embed.source.startswith(joined_source())
    assert (
        embed.source.splitlines()[-1]
        == "LEXICELL_EMBED(unsigned short, int, lexicell::Half, 256, 128, false)"
    )
    assert pick.source.splitlines()[-1] == "LEXICELL_PICK(float, unsigned short, 128, true)"
    assert (str(embed), str(pick)) == ("embed uint16 int32 float16 256", "pick float32 uint16 in order")
    assert len(source_hash()) == 64


@pytest.mark.parametrize(
    ("vectors", "dim", "width"),
    [("float16", 1, 8), ("float16", 8, 8), ("float16", 385, 392), ("float32", 7, 8), ("float32", 256, 256),
     ("float32", 0, 4)],
)  # fmt: skip
def test_rows_are_padded_to_16_bytes(vectors, dim, width):
    assert padded_width(vectors, dim) == width


@pytest.mark.parametrize(
    ("vectors", "width", "threads"),
    [
        ("float16", 16, 128),  # 2 pieces, 64 genes side by side
        ("float16", 256, 128),  # 32 pieces, 4 genes
        ("float16", 384, 192),  # 48 pieces: of 128 threads, 32 would be idle
        ("float16", 768, 192),  # 96 pieces, 2 genes
        ("float16", 1536, 192),  # 192 pieces: 128 threads would need two rounds, and idle in half of one
        ("float32", 256, 128),
        ("float32", 768, 192),
        ("float32", 1536, 192),  # 2 full rounds; 128 threads would need 3
    ],
)
def test_a_block_has_the_threads_that_the_gather_keeps_busy(vectors, width, threads):
    assert threads_per_row(vectors, width) == threads


def test_no_thread_is_idle_for_the_widths_that_models_have():
    for vectors in ("float16", "float32"):
        for width in (16, 32, 64, 128, 256, 384, 512, 768, 1024, 1536, 3072):
            threads, pieces = threads_per_row(vectors, width), width * np.dtype(vectors).itemsize // 16
            assert threads % pieces == 0 or pieces % threads == 0


def test_shared_memory_is_picks_then_sort_keys_then_bitmaps():
    assert shared_bytes(128, 30_000, in_order=True, by_score=False) == 8 * 128
    assert shared_bytes(129, 30_000, in_order=True, by_score=False) == 8 * 129 + 8  # whole 16 bytes
    assert shared_bytes(129, 30_000, in_order=True, by_score=True) == 8 * 130 + 8 * 256
    assert shared_bytes(128, 30_000, in_order=False, by_score=True) == 8 * 128 + 8 * 128 + 12 * 938 + 8
    assert shared_bytes(1, 0, in_order=False, by_score=True) == 32
