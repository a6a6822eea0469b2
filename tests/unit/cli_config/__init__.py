"""Tests of the command line around the configuration."""
