"""The stages of the machine that read and write its memories; docs/architecture.md, "The order of the machine"."""

from enum import IntEnum


class Stage(IntEnum):
    """Who touches a word. Rows pass LOADER, ISSUER, POST, some of them SOFTMAX or GATE; NORM and IO stand beside."""

    LOADER = 0  # operand rows
    ISSUER = 1  # keys, values and tiles of weights
    POST = 2  # results, the residual that they are added to, multiplier and shift of row factors
    SOFTMAX = 3  # row factors are stored
    GATE = 4  # tokens are queued
    NORM = 5  # rows of the residual stream, normalised
    IO = 6  # position table, image, function tables
