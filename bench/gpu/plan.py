"""What `bench.gpu` does, in order of value, and what was foretold before any of it ran on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.gpu import apart, checks, engine, speed, training
from bench.gpu.sizes import FULL, Sizes
from bench.gpu.speed import FRACTIONS, HEADLINE, NARROW, WIDE, name_of
from bench.gpu.steps import Step

__all__ = ["BUDGET", "GOAL", "PREDICTED", "PREDICTION", "steps"]

#: Seconds for all of it.
BUDGET = 480.0

GOAL = {"cells_per_s": 30e6, "times_the_fastest_peer": 10, "end_to_end_cells_per_s": 2e6}

PREDICTION = (
    "H100 SXM. k = 128, p = 256, float16 table, float32 + int32 counts of 2,500 to 2,800 non-zeros in "
    "lexicon order: 40 M cells/s (goal 30 M); uint16 + uint16 48 M; shuffled columns 25 M; (64, 128) "
    "60 M, (256, 256) 28 M, (1024, 512) 4.5 M; fractions 20 M; float32 table 28 M. Floors: device memory at "
    "3.0 TB/s about 140 M cells/s, gathering from L2 about 70 to 85 M. Peers: SpMM over all genes 1.5 M, "
    "top-k on dense rows 0.3 M, segmented sort 0.4 M. End to end with 16 CPU cores, k = 128: host memory "
    "0.5 M cells/s with vectors back and 0.6 M where they stay (goal 2 M; one thread copies 22 kB a cell "
    "twice), from a packed store 0.8 M. SupCon, 256 cells a step: 40 steps/s, since views are drawn on the "
    "host (23 ms), the CPU 17; 2,048 cells: 6 and 0.6."
)

#: The same by case, in cells/s.
PREDICTED = {
    HEADLINE: 40e6,
    name_of(128, 256, "float16", NARROW): 48e6,
    name_of(128, 256, "float16", WIDE, in_order=False): 25e6,
    name_of(64, 128, "float16", WIDE): 60e6,
    name_of(256, 256, "float16", WIDE): 28e6,
    name_of(1024, 512, "float16", WIDE): 4.5e6,
    name_of(128, 256, "float16", FRACTIONS): 20e6,
    name_of(128, 256, "float32", WIDE): 28e6,
    "SpMM by CuPy, all genes": 1.5e6,
    "torch.topk on dense rows, embedding_bag": 0.3e6,
    "sort of keys by CuPy, take": 0.4e6,
    "host memory, vectors back": 0.5e6,
    "host memory, vectors stay on the GPU": 0.6e6,
    "packed store to a store": 0.8e6,
    "batch 256, cuda": 256 * 40.0,
    "batch 2048, cuda": 2048 * 6.0,
    "batch 256, cpu": 256 * 17.0,
    "batch 2048, cpu": 2048 * 0.6,
}


def steps(cells: Path | None, sizes: Sizes = FULL, arguments: Sequence[str] = ()) -> dict[str, Step]:
    """List all steps by name; what a run with little time should know first comes first.

    Parameters
    ----------
    cells
        Packed real cells, or None.
    sizes
        How much of everything.
    arguments
        For processes that a step starts: they have to do with `sizes`, too.
    """
    return {
        "real cells": Step(
            "compiling; a thousand real cells against the reference", 60, 25, checks.check_real(cells, sizes)
        ),
        "instantiations": Step(
            "all types and orders, and unusable rows, against the reference",
            80,
            25,
            checks.all_instantiations(sizes, arguments),
        ),
        "headline": Step("speed of the headline", 45, 15, speed.headline(sizes)),
        "memory": Step("what the memory of this card can do", 30, 12, speed.memory(sizes)),
        "peers": Step("what people use today, on the same cells", 60, 35, speed.peers(sizes)),
        "sanitizer": Step("compute-sanitizer", 110, 75, apart.sanitizers),
        "engine": Step("the engine, end to end", 110, 75, engine.end_to_end(sizes)),
        "training": Step("steps of contrastive training", 70, 45, training.supcon(sizes)),
        "sizes": Step("speed of other sizes, tables, counts and orders", 80, 45, speed.speed(sizes)),
        "start": Step("time to the first result, cost of a launch", 30, 15, apart.time_to_first),
        "large": Step("a million cells at once", 45, 20, checks.large(sizes.many, sizes.many_drawn)),
        "threads": Step("other numbers of threads for a row", 45, 20, speed.threads(sizes)),
        "parity": Step("the parity suite", 150, 60, checks.parity_cases(sizes.parity)),
    }
