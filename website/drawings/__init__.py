"""Drawings of the site: a page names one in a comment, ``<!-- drawing: attention -->``, on a line of its own."""

from collections.abc import Callable

from website.drawings import attention, compute, experts, functions, machine, softmax, walls

DRAWINGS: dict[str, Callable[[], str]] = {
    "machine": machine.drawing,
    "attention": attention.drawing,
    "attention_plain": attention.plain,
    "compute": compute.drawing,
    "experts": experts.drawing,
    "gelu": functions.gelu,
    "softmax": softmax.drawing,
    "walls": walls.drawing,
}
