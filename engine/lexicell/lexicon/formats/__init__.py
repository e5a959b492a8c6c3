"""Gene vectors of other tools, in and out."""
