"""AXI4 and AXI4-Lite bundles of the machine, seen from the master, and their flat Vivado names at the top level."""

from typing import Any

from amaranth.hdl import DomainRenamer, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Member, Out

BYTE_ADDRESS_BITS = 64
DATA_BITS = 128
BEAT_BYTES_LOG2 = 4
PAGE_BEATS = 256  # a burst never crosses 4 KB
SIZE_16_BYTES = 4
BURST_INCR = 1
CACHE_MODIFIABLE_BUFFERABLE = 3
OKAY = 0
BUS_DOMAIN = "bus"  # the clock of the machine with the reset of its AXI ports: no run and no error resets it


def _request(letter: str) -> dict[str, Member]:
    return {
        f"a{letter}addr": Out(BYTE_ADDRESS_BITS),
        f"a{letter}len": Out(8),
        f"a{letter}size": Out(3),
        f"a{letter}burst": Out(2),
        f"a{letter}cache": Out(4),
        f"a{letter}prot": Out(3),
        f"a{letter}valid": Out(1),
        f"a{letter}ready": In(1),
    }


def axi4_read() -> wiring.Signature:
    """Read channels of an AXI4 master: 64-bit addresses, 128-bit data, no ids (responses in order)."""
    return wiring.Signature(
        {**_request("r"), "rdata": In(DATA_BITS), "rresp": In(2), "rlast": In(1), "rvalid": In(1), "rready": Out(1)}
    )


def axi4_write() -> wiring.Signature:
    """Write channels of an AXI4 master: 64-bit addresses, 128-bit data, no ids."""
    return wiring.Signature(
        {
            **_request("w"),
            "wdata": Out(DATA_BITS),
            "wstrb": Out(DATA_BITS // 8),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
        }
    )


def axi4_lite(address_bits: int) -> wiring.Signature:
    """AXI4-Lite master, 32-bit data."""
    return wiring.Signature(
        {
            "awaddr": Out(address_bits),
            "awprot": Out(3),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(32),
            "wstrb": Out(4),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(address_bits),
            "arprot": Out(3),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(32),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


def on_bus(engine: Any) -> Any:
    """``engine`` in the domain that is reset with the AXI ports only, wherever it is instantiated.

    An engine that forgot its outstanding bursts would take late answers for data of the next run, and would withdraw
    requests that nobody has taken.
    """
    return DomainRenamer(BUS_DOMAIN)(engine)


def burst_command() -> data.StructLayout:
    """What an engine is asked to move: ``beats`` beats of 16 bytes from byte ``address`` (multiple of 16)."""
    return data.StructLayout({"address": BYTE_ADDRESS_BITS, "beats": 24})


def flat_members(prefix: str, signature: Any) -> dict[str, Member]:
    """Members of a top level that has ``signature`` under Vivado names: ``{prefix}_araddr`` ..."""
    return {f"{prefix}_{name}": member for name, member in signature.members.items()}


def master_members(prefix: str) -> dict[str, Member]:
    """Flat members of a full AXI4 master, both directions, e.g. prefix ``m_axi_gmem0``."""
    return flat_members(prefix, axi4_read()) | flat_members(prefix, axi4_write())


def slave_members(prefix: str, address_bits: int) -> dict[str, Member]:
    """Flat members of an AXI4-Lite slave, e.g. prefix ``s_axi_control``."""
    return flat_members(prefix, axi4_lite(address_bits).flip())


def connect_flat(m: Module, top: Any, prefix: str, port: Any) -> None:
    """Join the flat members ``{prefix}_*`` of ``top`` with the interface ``port`` of one of its parts.

    Channels that are not connected stay tied off: outputs of the top level that nobody drives are zero.
    """
    for name, member in port.signature.members.items():
        outer, inner = getattr(top, f"{prefix}_{name}"), getattr(port, name)
        m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)


def drive_constants(m: Module, port: Any, letter: str) -> None:
    """Constant attributes of a request channel (``letter`` r or w): incrementing bursts of 16-byte beats."""
    m.d.comb += [
        getattr(port, f"a{letter}size").eq(SIZE_16_BYTES),
        getattr(port, f"a{letter}burst").eq(BURST_INCR),
        getattr(port, f"a{letter}cache").eq(CACHE_MODIFIABLE_BUFFERABLE),
    ]
