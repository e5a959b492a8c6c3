"""A sink that is no embedding, for tests: a line of text for each cell, with its genes and their weights."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lexicell.embedding.selected import select_block


@dataclass(frozen=True)
class Lines:
    """Writes each shard as one object of lines; at the end a list of all."""

    layout: object

    def schema(self, store):
        store.put("about.json", (b'{"lines": "genes of cells"}',))

    def encode(self, number, shard):
        text = "".join(line + "\n" for line in shard).encode()
        return [(f"lines/{number}.txt", (text,))], {"cells": len(shard)}

    def finish(self, store, n_cells):
        store.put("cells.json", (json.dumps(n_cells).encode(),))


@dataclass(frozen=True)
class SelectLines:
    """Makes the lines of cells from their selected genes."""

    genes_of: object
    values: object
    label: str
    genes: object
    top_k: int = 10

    def check(self, who):
        pass

    def start(self, source, layout, crew):
        def make(start, stop, threads, tick):
            lines = []
            for first, last in source.spans(5_000, start, stop):
                block = source.read(first, last)
                selection = select_block(self.genes_of.counts(block, self.values), self.genes_of, self.top_k)
                for cell in range(len(selection)):
                    here = slice(*selection.indptr[cell : cell + 2])
                    lines.append(f"{selection.genes[here].tolist()} {selection.weights[here].tolist()}")
                tick(last - first, block.data.nbytes)
            return lines

        return make
