"""How well sentences name cells, beside what could show that the sentences did not do it."""
