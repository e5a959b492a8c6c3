"""What CuPy keeps beside NumPy's API."""
