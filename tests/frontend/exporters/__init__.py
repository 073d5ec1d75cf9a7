"""Tests of the way from a package back to float weights."""
