"""Quality against speed of fixed tables: which recipe is the default, and why."""
