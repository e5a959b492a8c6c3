"""Text encoders: models that run here, services, and the vectors that were computed before."""
