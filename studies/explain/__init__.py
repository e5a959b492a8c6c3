"""What `lexicell.explain` finds, beside what it has to beat."""
