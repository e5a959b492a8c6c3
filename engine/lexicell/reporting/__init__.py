"""One page to look at: what a run did, its cells, what they are made of."""
