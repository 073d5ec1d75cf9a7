"""Text from Jinja2 templates in rtl_templates/: they bind names and never compute; an unknown name is an error."""

from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hwgen.store.data_folder import data_folder


def render(template: str, **names: Any) -> str:
    """The text of a template with its names bound; jinja2.UndefinedError when one is missing."""
    environment = Environment(
        loader=FileSystemLoader(data_folder("rtl_templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # plain text, never HTML
    )
    return environment.get_template(template).render(**names)
