"""How good gene vectors are: their geometry, and which genes they know to belong together."""
