"""Benchmarks: what the engine costs, beside what people use today, on the same cells in the same run."""
