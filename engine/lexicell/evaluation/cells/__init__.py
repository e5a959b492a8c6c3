"""How good embeddings of cells are: methods and controls on the same draws, judged alike."""
