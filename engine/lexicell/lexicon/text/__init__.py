"""Gene texts: where they come from, how they are put together, and what they lack."""
