"""Jinja2 templates of generated text; they bind names and never compute."""
