"""Tests of the documents: every command in them, and the site made of them."""
