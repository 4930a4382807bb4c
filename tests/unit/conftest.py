"""Unit tests say what is so, not how fast: a busy machine must not fail a property."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=50)
settings.load_profile("unit")
