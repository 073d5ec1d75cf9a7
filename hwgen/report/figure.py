"""A matplotlib Figure that a notebook shows, whether or not anything has set up pyplot there."""

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A Figure that is a picture where IPython displays it; settings of pyplot win once pyplot is in use there."""

    def _repr_png_(self) -> bytes:
        """The figure as a PNG file; IPython asks for it by this name."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
