"""``python -m tests.torture [--kills 200] [--seed 0]``: kill ``embed`` and ``pack`` until it is enough."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from tests.torture.campaign import Campaign, every_step
from tests.torture.cells import write_inputs

__all__ = ["main"]


def main() -> int:
    """Kill each verb at every step, then at random instants, and say what that took."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=200, help="at least so many in all")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    seed, started = random.Random(given.seed), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(Path(folder) / "inputs")
        campaigns = []
        for verb, options in (("embed", ["--top-k", "40", "--obs-column", "kind"]), ("pack", [])):
            work = Path(folder) / verb
            work.mkdir()
            campaign = Campaign([verb, *map(str, inputs), *options], work)
            campaign.prepare()
            for kill in every_step(campaign.steps):
                campaign.endure(iter([kill]))
            print(f"{verb}: every step, {campaign.kills} kills")
            campaigns.append(campaign)
        while sum(campaign.kills for campaign in campaigns) < given.kills:
            for campaign in campaigns:
                campaign.endure(islice(campaign.random_instants(seed), 5))
    for campaign in campaigns:
        print(f"{campaign.command[0]}: {campaign.kills} kills, {campaign.kept} times a unit was kept")
    print(f"all stores as if nobody had killed anything; {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
