"""What NVRTC makes of the kernels: nothing spills, many blocks fit a multiprocessor, table loads are wide."""

from __future__ import annotations

import re

import pytest

from lexicell_kernels.cuda.source import Instantiation

from . import nvrtc

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(nvrtc.missing()), reason=nvrtc.missing()),
]

# A multiprocessor has 65,536 registers: with 64 a thread it holds 1,024 threads, 8 blocks of 128. Fewer
# have too few loads in flight to hide the way to the table.
MOST_REGISTERS = 64

EMBED, PICK = "lexicell_embed", "lexicell_pick"
EVERYWHERE = (
    Instantiation(EMBED, "uint16", "uint16", True, "float16", 256),
    Instantiation(EMBED, "float32", "int32", False, "float16", 256),
    Instantiation(EMBED, "float32", "int32", False, "float32", 384),
    Instantiation(EMBED, "float32", "int32", True, "float16", 384),  # the bundled lexicon
    Instantiation(PICK, "float32", "int32", False),
)
ON_A100_AND_H100 = (
    Instantiation(EMBED, "float32", "int32", True, "float16", 768),
    Instantiation(EMBED, "float32", "uint16", False, "float32", 1536),
    Instantiation(EMBED, "uint16", "int32", True, "float16", 16),
    Instantiation(PICK, "uint16", "uint16", True),
)
CASES = [(arch, i) for arch in ("sm_80", "sm_90", "sm_100", "sm_120") for i in EVERYWHERE]
CASES += [(arch, i) for arch in ("sm_80", "sm_90") for i in ON_A100_AND_H100]


@pytest.mark.parametrize(("arch", "instantiation"), CASES, ids=str)
def test_a_kernel_keeps_everything_in_registers_and_loads_table_rows_in_pieces_of_16_bytes(
    arch, instantiation, tmp_path
):
    compiled = nvrtc.compile_for(arch, instantiation)
    assert (compiled.stack, compiled.spills) == (0, 0)
    assert compiled.registers <= MOST_REGISTERS
    assert compiled.shared <= instantiation.static_bytes
    code = nvrtc.instructions(compiled.cubin, tmp_path)
    assert not [line for line in code if re.search(r"\b(LDL|STL)\b", line)]
    if instantiation.entry == EMBED:
        assert [line for line in code if re.search(r"\bLDG\.E\.128\b", line)]


def test_an_error_names_the_file_and_its_line(monkeypatch):
    broken = Instantiation(EMBED, "uint16", "int32", True, "float16", 250)  # no whole number of pieces
    with pytest.raises(
        RuntimeError, match=r"embed uint16 int32 float16 250 in order for sm_90:\n\w+\.cuh\(\d+\)"
    ):
        nvrtc.compile_for("sm_90", broken)
