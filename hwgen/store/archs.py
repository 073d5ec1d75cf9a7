"""Machines by name and from YAML files."""

from dataclasses import asdict
from pathlib import Path

from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.shown import nearest, shown
from hwgen.store.strict_yaml import ConfigError, read_mapping, validated


def load_arch(path: Path) -> ArchConfig:
    """The arch in a YAML file: every field, or ``base: PRESET`` and the fields that differ."""
    data = read_mapping(path)
    base = data.pop("base", None)
    if base is not None:
        try:
            data = asdict(arch_preset(str(base))) | {"name": path.stem} | data
        except ConfigError as error:
            raise ConfigError(f"{path}: base: {error}") from error
    return validated(ArchConfig, data, str(path))


def arch_preset(name: str) -> ArchConfig:
    """The preset called ``name``; ConfigError names the nearest one."""
    if name not in ARCHS:
        raise ConfigError(f"unknown arch {shown(name)}{nearest(name, ARCHS)}")
    return ARCHS[name]


def find_arch(name: str) -> ArchConfig:
    """A preset by name, or a file when ``name`` ends in ``.yaml`` or ``.yml``."""
    return load_arch(Path(name)) if name.endswith((".yaml", ".yml")) else arch_preset(name)
