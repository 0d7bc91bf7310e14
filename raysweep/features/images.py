"""Images as they are read from their files."""

from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from raysweep.errors import InputError


def opened_image(path: Path, place: str, row: int) -> Any:
    """An image in RGB, upright, transparent parts white.

    Args:
        path: of its file.
        place: the column, for messages.
        row: likewise.

    Raises:
        InputError: it cannot be read as an image.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.has_transparency_data:
                clear = image.convert("RGBA")
                white = Image.new("RGBA", clear.size, "white")
                image = Image.alpha_composite(white, clear)
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{place} in row {row}: {path} cannot be read as an image ({error})"
        ) from error
