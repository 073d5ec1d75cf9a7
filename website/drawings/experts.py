"""Tokens go to experts: one queue an expert, so that the weights of an expert are loaded once."""

from website.svg import Sheet

CHOICES = ((0, 2), (1, 2), (0, 3), (2, 3), (0, 1), (1, 3), (0, 2), (2, 1))  # of token 0, 1, ...
EXPERTS = 4
COLOURS = ("one", "two", "three", "four")
CELL = 34.0


def queues() -> list[list[int]]:
    """Expert -> its tokens, ascending."""
    return [[token for token, chosen in enumerate(CHOICES) if expert in chosen] for expert in range(EXPERTS)]


def changes(order: list[int]) -> int:
    """How often weights are loaded when experts come in this order, and one expert is held at a time."""
    return sum(1 for place, expert in enumerate(order) if place == 0 or order[place - 1] != expert)


def drawing() -> str:
    """On the left what the gate chose, on the right the queues, below how often weights are loaded."""
    sheet = Sheet(760, 330, "Tokens by expert instead of experts by token")
    sheet.text((20, 24), "what the gate chose", "", 13, "start")
    for token, chosen in enumerate(CHOICES):
        x = 20 + token * (CELL + 4)
        sheet.labelled((x, 36), (CELL, 26), f"t{token}", "box", 12)
        for line, expert in enumerate(chosen):
            sheet.labelled((x, 66 + line * 28), (CELL, 24), f"e{expert}", COLOURS[expert], 12)
    sheet.arrow([(340, 80), (392, 80)])
    sheet.text((410, 24), "one queue an expert, tokens ascending", "", 13, "start")
    for expert, tokens in enumerate(queues()):
        y = 36 + expert * 32
        sheet.labelled((410, y), (46, 26), f"e{expert}", COLOURS[expert], 12)
        for place, token in enumerate(tokens):
            sheet.labelled((464 + place * (CELL + 4), y), (CELL, 26), f"t{token}", "box", 12)
    _orders(sheet)
    return sheet.html()


def _orders(sheet: Sheet) -> None:
    by_token = [expert for chosen in CHOICES for expert in chosen]
    by_expert = [expert for expert, tokens in enumerate(queues()) for _ in tokens]
    for line, (label, order) in enumerate((("token by token", by_token), ("queue by queue", by_expert))):
        y = 206 + line * 62
        loads = changes(order)
        sheet.text((20, y - 8), f"{label}: weights are loaded {loads} times", "", 13, "start")
        for place, expert in enumerate(order):
            sheet.labelled((20 + place * CELL, y), (CELL - 3, 26), f"e{expert}", COLOURS[expert], 11)
