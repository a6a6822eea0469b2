"""The parts of the writing side, each by itself."""
