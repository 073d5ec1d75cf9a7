"""Which images a network takes, from the rows of its position embedding and from what is given besides."""

from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.imported import ImportOptions

Size = tuple[int, int]  # height, width in pixels


def image_size_of(options: ImportOptions, patches: int, patch: int) -> Size:
    """Height and width in pixels: as given, or a square."""
    if options.image_size is not None:
        height, width = options.image_size
        if not _holds(options.image_size, patches, patch):
            raise CheckpointError(
                f"--image-size {height}x{width}: pos_embed has {patches} patches of {patch}x{patch} pixels"
            )
        return height, width
    if round((patches + 1) ** 0.5) ** 2 == patches + 1:
        raise CheckpointError(
            f"pos_embed: {patches + 1} rows are a square: a position embedding without a row for the class token is not"
            " supported; if it has one, give --image-size"
        )
    return _square(patches, patch)


def sizes_of(label: str, options: ImportOptions, patches: int | None, patch: int) -> tuple[Size, Size]:
    """Sizes of the images that the position embedding belongs to, and of those that the network is to take.

    ``patches`` is None without position embedding: the network then takes images of every size.
    """
    trained = options.trained_size
    wanted = options.image_size or trained
    for size in (trained, wanted):
        if size is not None and (size[0] % patch or size[1] % patch):
            raise CheckpointError(
                f"{label}: image size {size[0]}x{size[1]} is no multiple of the patch, {patch}x{patch} pixels"
            )
    if patches is None:
        if wanted is None:
            raise CheckpointError(f"{label}: --image-size HxW is needed: there is no position embedding that tells")
        return wanted, wanted
    if trained is not None and not _holds(trained, patches, patch):
        raise CheckpointError(
            f"{options.sources.get('trained_size', label)}: img_size {trained[0]}x{trained[1]}: pos_embed has {patches}"
            f" patches of {patch}x{patch} pixels"
        )
    if trained is None:
        fits = wanted is not None and _holds(wanted, patches, patch)
        trained = wanted if wanted is not None and fits else _square(patches, patch)
    return trained, wanted or trained


def _holds(size: Size, patches: int, patch: int) -> bool:
    """Whether images of this size have so many whole patches."""
    height, width = size
    return not (height % patch or width % patch) and (height // patch) * (width // patch) == patches


def _square(patches: int, patch: int) -> Size:
    """The square image of so many patches."""
    side = round(patches**0.5)
    if side * side != patches:
        raise CheckpointError(
            f"--image-size HxW is needed: pos_embed has {patches} patches of {patch}x{patch} pixels, not a square"
        )
    return side * patch, side * patch
