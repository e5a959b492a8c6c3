"""The shim runs correct kernels, and shows what is wrong with others."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from .build import CompileError, ShimError, load
from .stand_in import run_script

SEEDS = range(1, 9)
THREADS = 128

#: Each warp turns its lanes' numbers round, then each thread adds up what those of the other half wrote.
ROUND = """
__global__ void turn(const int* in, int* out) {
  LEXICELL_SHARED(int[128], first);
  LEXICELL_SHARED(int[128], second);
  const unsigned t = threadIdx.x, base = blockIdx.x * 128;
  first[t] = in[base + t];
  __syncwarp();
  second[t] = first[t ^ 31];
  __syncthreads();
  int sum = 0;
  for (unsigned i = 0; i < 64; ++i) sum += second[((t & 64) ^ 64) + i] * int(i + 1);
  __syncthreads();
  first[t] = sum;
  second[t] = -1;
  __syncthreads();
  out[base + t] = first[127 - t];
}
LEXICELL_ENTRY(turn, (turn), 128)
"""


def source(body: str, parameters: str = "int* out") -> str:
    """A kernel of one block's worth of code; `t` is the thread's number."""
    return f"""
__global__ void kernel({parameters}) {{
  const unsigned t = threadIdx.x;
{body}
}}
LEXICELL_ENTRY(entry, (kernel), {THREADS})
"""


def typed(text: str) -> str:
    """Arrays as the macro takes them: by a name."""
    return "typedef int Numbers[128];\n" + text.replace("int[128]", "Numbers")


def run(text: str, *arguments: Any, seed: int = 0, blocks: int = 1, shared: int = 0, name: str = "entry",
        flags: tuple[str, ...] = ()) -> None:  # fmt: skip
    passed = [
        ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else ctypes.c_int(a) for a in arguments
    ]
    load(typed(text), flags).entry(name).launch(blocks, shared, seed, passed)


def numbers(text: str, seed: int = 0, blocks: int = 1, shared: int = 0) -> list[int]:
    """What a kernel writes to its only argument."""
    out = np.full(blocks * THREADS, -7, np.int32)
    run(text, out, seed=seed, blocks=blocks, shared=shared)
    return out.tolist()


def turned(text: str, seed: int, flags: tuple[str, ...] = ()) -> bool:
    """Whether a version of `ROUND` still does what it should."""
    x = np.random.default_rng(0).integers(0, 1000, (3, THREADS)).astype(np.int32)
    out = np.zeros_like(x)
    run(text, x, out, seed=seed, blocks=3, name="turn", flags=flags)
    second = x.reshape(3, 4, 32)[:, :, ::-1].reshape(3, 2, 64)
    return bool((out == np.repeat((second * np.arange(1, 65)).sum(axis=2), 64, axis=1)).all())


@pytest.mark.parametrize("seed", [0, *SEEDS])
def test_a_correct_kernel_gives_one_answer_in_any_order(seed: int) -> None:
    assert turned(ROUND, seed)


def test_machines_without_a_switch_of_their_own_take_the_systems() -> None:
    assert turned(ROUND, 0, ("-DLEXICELL_UCONTEXT",))
    assert turned(ROUND, 1, ("-DLEXICELL_UCONTEXT",))


@pytest.mark.parametrize(
    "place", range(ROUND.count("__sync")), ids=["warp", "block", "before reuse", "before the end"]
)
def test_a_missing_barrier_shows_as_a_wrong_answer(place: int) -> None:
    lines = ROUND.splitlines()
    barrier = [i for i, line in enumerate(lines) if "__sync" in line][place]
    broken = "\n".join([*lines[:barrier], *lines[barrier + 1 :]])
    assert not all(turned(broken, seed) for seed in SEEDS)


def test_lanes_of_a_warp_are_not_in_step() -> None:
    """Code that relies on it worked before Volta."""
    text = source("""
  LEXICELL_SHARED(int[128], x);
  x[t] = int(t);
  x[t ^ 1] += 1;
  __syncwarp();
  out[t] = x[t];""")
    assert any(numbers(text, seed) != numbers(text, 1) for seed in SEEDS)


@pytest.mark.parametrize("seed", [0, 3])
def test_collectives_do_what_cuda_says(seed: int) -> None:
    t = np.arange(THREADS)
    lane, base = t % 32, t // 32 * 32
    cases = {
        "int(__ballot_sync(~0u, t % 3 == 0) >> 1)": sum(
            (((base + i) % 3 == 0).astype(np.int64) << i) for i in range(32)
        ) >> 1,
        "__any_sync(~0u, t == 5)": t < 32,
        "__all_sync(~0u, t >= 32)": t >= 32,
        "__shfl_sync(~0u, int(t), 7)": base + 7,
        "__shfl_up_sync(~0u, int(t), 3)": np.where(lane >= 3, t - 3, t),
        "__shfl_down_sync(~0u, int(t), 3)": np.where(lane < 29, t + 3, t),
        "__shfl_xor_sync(~0u, int(t), 5)": t ^ 5,
        "int(__shfl_xor_sync(~0u, (unsigned long long)t << 40, 5) >> 40)": t ^ 5,
        "int(__shfl_xor_sync(~0u, double(t) / 4, 1) * 4)": t ^ 1,
        "int(__reduce_add_sync(~0u, t))": base * 32 + 496,
        "int(__reduce_max_sync(~0u, t))": base + 31,
        "__reduce_min_sync(~0u, -int(t))": -(base + 31),
        "int(__reduce_or_sync(~0u, t))": base | 31,
        "__syncthreads_count(t % 5 == 0)": np.full(THREADS, 26),
        "__syncthreads_or(t == 127) + 2 * __syncthreads_or(0)": np.ones(THREADS),
        "__syncthreads_and(t < 127) + 2 * __syncthreads_and(1)": np.full(THREADS, 2),
    }  # fmt: skip
    body = "\n".join(f"  out[{i} * 128 + t] = int({code});" for i, code in enumerate(cases))
    out = np.zeros((len(cases), THREADS), np.int32)
    run(source(body), out, seed=seed)
    for found, (code, expected) in zip(out, cases.items(), strict=True):
        np.testing.assert_array_equal(
            found, np.broadcast_to(expected, THREADS).astype(np.int32), err_msg=code
        )


def test_atomics_count_every_thread() -> None:
    text = source("""
  atomicAdd(out, 1);
  atomicMax(out + 1, int(t));
  atomicMin(out + 2, -int(t));
  atomicOr(reinterpret_cast<unsigned*>(out + 3), 1u << t % 7);""")
    assert numbers(text, seed=2)[:4] == [-7 + 128, 127, -127, -7 | 127]


@pytest.mark.parametrize("seed", [0, 1])
def test_shared_memory_is_garbage_at_the_start_of_every_block(seed: int) -> None:
    text = source("""
  LEXICELL_SHARED(int[128], x);
  LEXICELL_DYNAMIC_SHARED(bytes);
  out[blockIdx.x * 128 + t] = x[t] != 0 && bytes[t] != 0 && x[t] != 5 && bytes[t] != 5;
  __syncthreads();
  x[t] = 5;
  bytes[t] = 5;""")
    assert numbers(text, seed, blocks=3, shared=128) == [1] * 3 * THREADS


def test_what_nobody_wrote_differs_from_block_to_block() -> None:
    text = source("""
  LEXICELL_SHARED(int[128], x);
  out[blockIdx.x * 128 + t] = x[t];""")
    assert len(set(numbers(text, seed=1, blocks=20))) > 2


STUCK = {
    "not every thread comes": ("if (t != 77) __syncthreads();", "1 of 128 threads left the kernel"),
    "a warp leaves before": ("if (t < 32) return; __syncthreads();", "32 of 128 threads left"),
    "a lane leaves before": ("if (t == 40) return; __syncwarp();", "waits for its warp"),
    "at two lines": (
        "if (t < 64) __syncthreads();\nelse __syncthreads();",
        "threads of one block wait at different lines",
    ),
    "lanes at two lines": (
        "if (t & 1) __syncwarp();\nelse __syncwarp();",
        "lanes of one warp wait at different lines",
    ),
    "for each other": ("if (t & 1) __syncwarp();\nelse __syncthreads();", "waits for its block at"),
    "part of a warp": ("__syncwarp(0xffffu);", "the mask 0000ffff is not full"),
}


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("fault", STUCK)
def test_waiting_in_vain_is_an_error_that_names_the_line(fault: str, seed: int) -> None:
    body, message = STUCK[fault]
    text = source(f'#line 40 "part.cuh"\n{body}\nout[t] = 1;')
    with pytest.raises(ShimError, match=message) as caught:
        numbers(text, seed)
    assert "part.cuh:4" in str(caught.value)
    assert numbers(source("out[t] = int(t);"), seed) == list(range(THREADS))


def test_a_kernel_runs_again_after_it_failed() -> None:
    text = source("if (x[0] || t != 3) __syncthreads(); out[t] = 1;", "int* out, const int* x")
    out, x = np.zeros(THREADS, np.int32), np.zeros(1, np.int32)
    with pytest.raises(ShimError):
        run(text, out, x)
    x[0] = 1
    run(text, out, x)
    assert out.all()


LARGE = """
import ctypes, numpy as np
from cupy._raw import build
out = np.zeros(128, np.int32)
build.load({text!r}).entry("entry").launch(1, 0, 0, [ctypes.c_void_p(out.ctypes.data)])
assert out.all()
"""


def test_a_stack_that_overflows_ends_in_no_wrong_answer() -> None:
    # Without a look at each page on the way down, it would end in the stack of the next thread.
    deep = "__noinline__ int deep() { volatile char x[SIZE]; x[0] = x[SIZE - 1] = 1; return x[0]; }"
    text = deep + source("out[t] = t ? 1 : deep();")
    run_script(LARGE.format(text=text.replace("SIZE", "30000")))
    with pytest.raises(AssertionError) as caught:
        run_script(LARGE.format(text=text.replace("SIZE", "100000")))
    assert not str(caught.value)  # it has crashed, and had no time to complain


def test_plain_shared_variables_do_not_compile() -> None:
    """They would keep their value from block to block."""
    with pytest.raises(CompileError, match="__shared__"):
        load(source("__shared__ int x; out[t] = x;"))


def test_sloppy_code_does_not_compile() -> None:
    with pytest.raises(CompileError, match="sign"):
        load(source("for (int i = 0; i < t; ++i) out[i] = 0;"))


def test_conversions_saturate_as_in_hardware() -> None:
    text = source("""
  const float x[] = {-1.f, 4e9f, 5e9f, __uint_as_float(0x7fc00000u), 2.7f, -3e9f};
  if (t < 6) out[t] = int(__float2uint_rz(x[t]));
  if (t < 6) out[8 + t] = __float2int_rz(x[t]);""")
    found = numbers(text)
    assert [x % 2**32 for x in found[:6]] == [0, 4_000_000_000, 2**32 - 1, 0, 2, 0]
    assert found[8:14] == [-1, 2**31 - 1, 2**31 - 1, 0, 2, -(2**31)]


def test_bits_are_counted_as_in_cuda() -> None:
    text = source("""
  out[0] = __ffs(0) + 10 * __ffs(8) + 100 * __clz(0) + 10000 * __clz(1);
  out[1] = __clzll(0) + 100 * __clzll(1) + 10000 * __ffsll(1ll << 40) + 1000000 * __popcll(~0ull);
  out[2] = int(__brev(1u) == 0x80000000u) + 2 * int(__brev(0x0000ffffu) == 0xffff0000u);""")
    assert numbers(text)[:3] == [0 + 40 + 3200 + 310_000, 64 + 6300 + 410_000 + 64_000_000, 3]
