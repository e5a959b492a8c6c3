"""Cells found and named by sentences about what they do, through the genes whose texts the sentences call up."""
