"""How much of everything `bench.gpu` does: what tells something on a GPU, and what shows that it all runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "SMALL", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """Numbers of cells, rounds and cases.

    Attributes
    ----------
    real
        Real cells of a data set, at most.
    real_vectors
        Of these, how many have their vectors compared.
    every
        Each how many-th compiled form is checked.
    processes
        That compile and check at once, at most.
    drawn
        Synthetic cells; each is more than 20 kB of counts, so that together they are ten times an L2.
    copies, launches
        How often they lie on the device, and into how many launches the copies are cut.
    rounds
        Times of each case.
    kp
        ``(k, p)`` of the step "sizes".
    threads
        Numbers of threads for a row that are tried.
    peer_cells, peer_rounds, peer_checked
        The same for peers, and cells on which they are compared with ours.
    copy_bytes
        Copied within device memory.
    memory_cells
        Whose selections are gathered to measure the caches.
    many, many_drawn
        Cells embedded at once, and different ones among them.
    parity
        Each how many-th case of the parity suite is checked.
    engine_cells, engine_copies, engine_store_copies
        Different cells of the engine's step, how often they stand in memory, and the packed store in a run.
    engine_rounds
        Times of each way.
    train_cells, train_batches, train_steps
        Cells to train on, cells of a step, and steps timed for each of these.
    """

    real: int
    real_vectors: int
    every: int
    processes: int
    drawn: int
    copies: int
    launches: int
    rounds: int
    kp: tuple[tuple[int, int], ...]
    threads: tuple[int, ...]
    peer_cells: int
    peer_rounds: int
    peer_checked: int
    copy_bytes: int
    memory_cells: int
    many: int
    many_drawn: int
    parity: int
    engine_cells: int
    engine_copies: int
    engine_store_copies: int
    engine_rounds: int
    train_cells: int
    train_batches: tuple[int, ...]
    train_steps: int


FULL = Sizes(
    real=1_000,
    real_vectors=200,
    every=1,
    processes=12,
    drawn=20_000,
    copies=10,
    launches=4,
    rounds=20,
    kp=((64, 128), (128, 256), (256, 256), (1024, 512)),
    threads=(32, 64, 96, 128, 192, 256),
    peer_cells=16_384,
    peer_rounds=8,
    peer_checked=256,
    copy_bytes=4 << 30,
    memory_cells=8_192,
    many=1_000_000,
    many_drawn=20_000,
    parity=1,
    engine_cells=50_000,
    engine_copies=4,
    engine_store_copies=8,
    engine_rounds=3,
    train_cells=20_000,
    train_batches=(256, 2_048),
    train_steps=30,
)

SMALL = Sizes(
    real=30,
    real_vectors=6,
    every=40,
    processes=1,
    drawn=12,
    copies=2,
    launches=2,
    rounds=1,
    kp=(),
    threads=(96,),
    peer_cells=6,
    peer_rounds=2,
    peer_checked=6,
    copy_bytes=1 << 16,
    memory_cells=8,
    many=24,
    many_drawn=12,
    parity=100,
    engine_cells=60,
    engine_copies=2,
    engine_store_copies=2,
    engine_rounds=0,
    train_cells=200,
    train_batches=(32,),
    train_steps=2,
)
