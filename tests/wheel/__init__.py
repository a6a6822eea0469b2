"""Tests of the built wheel, installed alone."""
