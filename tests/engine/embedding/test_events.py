"""Who hears what about a run in Python."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import lexicell
from lexicell.projection import Projection


def test_notes_are_logged_and_serious_ones_are_warnings(cells, caplog: pytest.LogCaptureFixture) -> None:
    cells.X = cells.X * np.float32(0.37)
    with caplog.at_level(logging.INFO, logger="lexicell"):
        lexicell.tl.embed(cells)
    levels = {record.getMessage().partition(":")[0]: record.levelno for record in caplog.records}
    assert levels["genes"] == logging.INFO
    assert [level for said, level in levels.items() if "holds fractions" in said] == [logging.WARNING]


def test_provenance_tells_inputs_and_projections_apart(cells) -> None:
    lexicell.tl.embed(cells, recipe="paper")
    plain = cells.uns["lexicell"]
    assert plain["projection"] == "none"
    assert plain["input"]["cells"] == cells.n_obs
    other = cells[::-1].copy()
    lexicell.tl.embed(other, projection=Projection(np.eye(3, 384, dtype=np.float32)))
    assert other.uns["lexicell"]["input"]["names"] != plain["input"]["names"]
    projected = other.uns["lexicell"]["projection"]
    lexicell.tl.embed(other, projection=Projection(2 * np.eye(3, 384, dtype=np.float32)))
    assert other.uns["lexicell"]["projection"] != projected
