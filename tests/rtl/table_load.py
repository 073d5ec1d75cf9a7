"""Fills the function tables of a unit over its table bus."""

from hwgen.spec.tables import TABLES, default_tables, pack_table


async def load_tables(ctx, bus, names: tuple[str, ...] = tuple(info.name for info in TABLES)) -> None:
    """Write the default entries of ``names``, one a cycle."""
    tables = default_tables()
    ctx.set(bus.enable, 1)
    for info in TABLES:
        if info.name in names:
            ctx.set(bus.table, info.index)
            for address, word in enumerate(pack_table(tables[info.name]).tolist()):
                ctx.set(bus.address, address)
                ctx.set(bus.data, word)
                await ctx.tick()
    ctx.set(bus.enable, 0)
