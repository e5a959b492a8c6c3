"""One page to look at: what a run did, its cells, and what they are made of; `lexicell.report`."""

from lexicell.reporting.api import MOST_CELLS, Reported, report

__all__ = ["MOST_CELLS", "Reported", "report"]
