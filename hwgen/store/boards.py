"""Boards from YAML files: those that ship, by name."""

from pathlib import Path

from hwgen.spec.board import Board
from hwgen.spec.shown import nearest, shown
from hwgen.store.data_folder import data_folder
from hwgen.store.strict_yaml import ConfigError, read_mapping, validated


def load_board(path: Path) -> Board:
    """The board described by the YAML file ``path``."""
    board = validated(Board, read_mapping(path), str(path))
    if board.name != path.stem:
        raise ConfigError(f"{path}: name is {board.name!r}, the file is called {path.stem!r}; make them equal")
    return board


def board_names() -> list[str]:
    """Names of the boards that ship with the package."""
    return sorted(path.stem for path in data_folder("boards").glob("*.yaml"))


def board(name: str) -> Board:
    """The board called ``name``; ConfigError names the nearest one."""
    names = board_names()
    if name not in names:
        raise ConfigError(f"unknown board {shown(name)}{nearest(name, names)}")
    return load_board(data_folder("boards") / f"{name}.yaml")
