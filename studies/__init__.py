"""What embeddings are worth, beside controls: each study writes a page or tables of ``docs/``."""
