"""A couple of dozen of the kills of ``make torture``."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest
from tests.torture.campaign import Campaign, every_step, first_times
from tests.torture.cells import write_inputs

pytestmark = pytest.mark.slow

OPTIONS = {"embed": ["--top-k", "40", "--obs-column", "kind"], "pack": []}


@pytest.mark.parametrize("verb", ["embed", "pack"])
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(verb: str, tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path / "inputs")
    campaign = Campaign([verb, *map(str, inputs), *OPTIONS[verb]], tmp_path)
    campaign.prepare()
    seed = random.Random(5)
    # One run dies at the first time of each step, those that come last at the end; then at other times, and
    # at any instant.
    first, later = first_times(campaign.steps), every_step(campaign.steps)
    campaign.endure(iter([*seed.sample(first[:-3], len(first) - 3), *first[-3:]]))
    assert campaign.kills == len(first)
    for kill in seed.sample([kill for kill in later if kill.time > 1], 2):
        campaign.endure(iter([kill]))
    campaign.endure(islice(campaign.random_instants(seed), 3))
    assert campaign.kills >= len(first) + 2
