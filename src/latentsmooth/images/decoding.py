"""From encoded images to uint8 pixels of one shape."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import starmap
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from latentsmooth.errors import DataError
from latentsmooth.images.content import HEAD, kind_of_content
from latentsmooth.images.rows import ArrayRows, Rows

__all__ = [
    "GRAY_MODES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "Geometry",
    "convert_mode",
    "decode",
    "decode_rows",
    "survey",
]

FORMATS = ("JPEG", "PNG", "MPO", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_LISTED = ", ".join(FORMATS)
_PARSERS = tuple(name for name in FORMATS if name != "MPO")
"""Those of PIL that are run; JPEG's finds out itself whether a file is an MPO."""
PROBES = 64
MAX_PIXELS = 50_000_000
"""Of one image, before it is decoded."""
MAX_SIDE = 4096
"""Of the images of a set, after resizing."""
MAX_SCANS = 100
"""Of one JPEG: each is a pass over all of its pixels, however few bytes it takes; real ones have
about ten."""
_LARGE_PIXELS = 4_000_000
_STRIP_PIXELS = 1_000_000
_LARGE = Lock()
_JPEG_MARKER = re.compile(rb"\xff+([\xc0-\xcf\xd9-\xfe])")
"""Those that segments begin with, or that end the picture."""
_DEEP = re.compile(r";(12|16|32|64)")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What EXIF's orientations undo."""
GRAY_MODES = frozenset({"1", "L", "LA", "La"})
_ALPHA_MODES = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape every image of a set is brought to.

    Attributes:
        image_shape: (channels, height, width); channels is 1 (mode L) or 3 (RGB).
        resize: whether other sizes are resized (bilinear, antialiased) until they just cover
            height and width, then cut to their centre; where false, another size is an error.
        zoom: how much larger than the cut the resized image is (ImageNet's 256 / 224).
        converted: whether gray became RGB or colour gray, to suit a classifier.
    """

    image_shape: tuple[int, int, int]
    resize: bool = False
    zoom: float = 1.0
    converted: bool = False

    @property
    def changes_pixels(self) -> bool:
        """Whether images may arrive with other pixels than they are stored with."""
        return self.resize or self.converted

    def describe(self) -> str:
        """Settings that change pixels, for fingerprints."""
        shape = "x".join(map(str, self.image_shape))
        return f"cover {shape} zoom {self.zoom!r} bilinear" if self.resize else f"as is {shape}"


def open_image(rows: Rows, row: int) -> Image.Image:
    """One row's image, its header read and its pixels not yet.

    Raises:
        DataError: not an image, another format, no pixels, more than 50 million of them, more
            than 8 bits a channel, or an animation.
    """
    payload = rows.read(row)
    try:
        image = _opened(payload) if isinstance(payload, bytes) else Image.fromarray(payload)
        _check_kind(image)
    except DataError as error:
        raise DataError(f"{rows.name(row)}: {error}") from error
    return image


def _opened(content: bytes) -> Image.Image:
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=_PARSERS)
        # The further pictures of an MPO are views and previews of the first.
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"refused, {error}") from error
    except Exception as error:  # PIL's parsers raise almost anything on damaged bytes
        # That of an unknown format says nothing but where the bytes lie in memory.
        reason = f": {error}"
        if isinstance(error, UnidentifiedImageError):
            kind = kind_of_content(content[:HEAD])
            reason = "" if kind in (None, "no image") else f": {kind}"
        raise DataError(
            f"not a readable image ({len(content)} bytes; expected one of {_LISTED}){reason}"
        ) from error
    if animated:
        raise DataError("an animation; expected one picture, so extract a frame first")
    # The quick count, of what lies outside of the picture too, is enough for nearly all.
    if image.format in ("JPEG", "MPO") and content.count(b"\xff\xda") > MAX_SCANS:
        _check_scans(content)
    return image


def _check_scans(content: bytes) -> None:
    """Refuse a JPEG of too many scans, found as a decoder finds them."""
    scans, place = 0, 2
    while (found := _JPEG_MARKER.search(content, place)) is not None:
        place = found.end()
        if (marker := found[1]) == b"\xd9":
            return
        if marker == b"\xda" and (scans := scans + 1) > MAX_SCANS:
            raise DataError(f"refused, a JPEG of more than {MAX_SCANS} scans")
        place += int.from_bytes(content[place : place + 2], "big")


def _check_kind(image: Image.Image) -> None:
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise DataError(
            f"refused, {image.width}x{image.height} pixels; from one to {MAX_PIXELS:,} are read"
        )
    if image.mode[0] in "IF" or _is_deep(image):
        kind = f"pixel mode {image.mode}" if image.mode[0] in "IF" else "channels"
        raise DataError(
            f"{kind} (16-bit, 32-bit or float); expected 8 bits a channel, so convert the image "
            "first"
        )


def _is_deep(image: Image.Image) -> bool:
    """Whether PIL would drop the lower bits of colours to fit its 8-bit modes."""
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if image.format == "PPM" and any(type(entry) is int and entry > 255 for entry in arguments):
            return True
        if image.format in ("PNG", "TIFF") and any(
            isinstance(entry, str) and _DEEP.search(entry) for entry in arguments
        ):
            return True
    return False


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) once the EXIF orientation is applied."""
    return (image.width, image.height) if _orientation(image) >= 5 else (image.height, image.width)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation from 1 to 8 as the header states it; 1 where it states none that is."""
    if not {"exif", "Raw profile type exif"} & image.info.keys():
        return 1
    try:
        # PNG's own would first decode the pixels where one of the two names is missing.
        found = Image.Image.getexif(image).get(0x0112, 1)
    except Exception:  # PIL's parsers raise almost anything on damaged bytes
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def decode(rows: Rows, row: int, geometry: Geometry) -> NDArray[np.uint8]:
    """Pixels of one row: (channels, height, width) uint8.

    The EXIF orientation that stands before the pixels is applied, transparency is laid on white,
    and palette, CMYK and other colour modes become RGB.

    Raises:
        DataError: corrupt, truncated or unsupported image, or a size other than the set's where
            the geometry does not resize; names the image.
    """
    image = open_image(rows, row)
    size = oriented_size(image)
    if not geometry.resize and size != geometry.image_shape[1:]:
        raise _wrong_size(rows.name(row), size, geometry)
    # Of the largest images one at a time: several copies of one fit into 1 GB, not of eight.
    with _LARGE if image.width * image.height > _LARGE_PIXELS else nullcontext():
        try:
            pixels = _pixels(image, geometry)
        except Exception as error:  # PIL's decoders raise almost anything on damaged bytes
            raise DataError(f"{rows.name(row)}: corrupt or truncated image: {error}") from error
    if pixels.shape != geometry.image_shape:
        raise _wrong_size(rows.name(row), pixels.shape[1:], geometry)
    return pixels


def _pixels(image: Image.Image, geometry: Geometry) -> NDArray[np.uint8]:
    channels, height, width = geometry.image_shape
    turn = _TURNS.get(_orientation(image))
    image.load()
    if turn is not None:
        image = image.transpose(turn)
    image = convert_mode(image, "L" if channels == 1 else "RGB")
    if geometry.resize and ((image.height, image.width) != (height, width) or geometry.zoom != 1.0):
        image = _cover(image, height, width, geometry.zoom)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _wrong_size(name: str, size: Sequence[int], geometry: Geometry) -> DataError:
    got, wanted = "x".join(map(str, size)), "x".join(map(str, geometry.image_shape[1:]))
    return DataError(
        f"{name}: height x width is {got}, expected {wanted} as in the rest of the set; give "
        "image_size to resize"
    )


def convert_mode(image: Image.Image, mode: str) -> Image.Image:
    """Gray (L) or RGB of an image of any mode; transparency is laid on white."""
    if (
        image.format == "BMP"
        and image.mode == "RGBA"
        and image.getchannel("A").getextrema() == (0, 0)
    ):
        # Programs that know no transparency leave zeros there, and viewers show the colours.
        image = image.convert("RGB")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _on_white(image, mode)
    return image if image.mode == mode else image.convert(mode)


def _on_white(image: Image.Image, mode: str) -> Image.Image:
    """Lay an image on white, in strips: whole layers of a large one would not fit into 1 GB."""
    result = Image.new(mode, image.size)
    height = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, height):
        strip = image.crop((0, top, image.width, min(top + height, image.height)))
        layer = strip.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        result.paste(Image.alpha_composite(white, layer).convert(mode), (0, top))
    return result


def _cover(image: Image.Image, height: int, width: int, zoom: float) -> Image.Image:
    """Resize and centre cut in one resampling of the region that is kept."""
    scale = zoom * max(height / image.height, width / image.width)
    kept_height, kept_width = height / scale, width / scale
    top, left = (image.height - kept_height) / 2, (image.width - kept_width) / 2
    box = (
        max(left, 0.0),
        max(top, 0.0),
        min(left + kept_width, float(image.width)),
        min(top + kept_height, float(image.height)),
    )
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def survey(rows: Rows, *, image_size: int | None) -> tuple[int, int, int]:
    """(channels, height, width) of a set, from image headers alone.

    64 evenly spread rows decide: one in colour (RGB, palette, CMYK, ...) makes the set RGB. Only
    where all of them are gray are all headers read, so that a 1-channel set has gray images only.

    Raises:
        DataError: no rows, an unreadable header, or sizes that differ while ``image_size`` is
            ``None``; names the rows.
    """
    probes = sorted({round(i) for i in np.linspace(0, len(rows) - 1, PROBES)})
    shapes = list(starmap(_header, ((rows, row) for row in probes)))
    gray = all(is_gray for is_gray, _ in shapes)
    if gray and not isinstance(rows, ArrayRows):
        gray = all(_header(rows, row)[0] for row in range(len(rows)))
    if image_size is not None:
        return 1 if gray else 3, image_size, image_size
    first = shapes[0][1]
    for row, (_, size) in zip(probes, shapes, strict=True):
        if size != first:
            raise DataError(
                f"images of mixed sizes: {rows.name(probes[0])} is {first[0]}x{first[1]} (height x "
                f"width), {rows.name(row)} is {size[0]}x{size[1]}; give image_size to resize"
            )
    return 1 if gray else 3, *first


def _header(rows: Rows, row: int) -> tuple[bool, tuple[int, int]]:
    image = open_image(rows, row)
    return image.mode in GRAY_MODES, oriented_size(image)


def decode_rows(rows: Rows, which: NDArray[np.int64], geometry: Geometry) -> NDArray[np.uint8]:
    """Pixels of the given rows: (len(which), channels, height, width) uint8; threaded.

    Raises:
        DataError: of the first row that cannot be decoded.
    """
    if isinstance(rows, ArrayRows) and not geometry.changes_pixels:
        stack: NDArray[np.uint8] = rows.pixels[which][:, None]
        return stack
    pixels = np.empty((len(which), *geometry.image_shape), dtype=np.uint8)

    def fill(start: int) -> None:
        for place in range(start, min(start + _CHUNK, len(which))):
            row = int(which[place])
            pixels[place] = decode(rows, row, geometry)

    starts = range(0, len(which), _CHUNK)
    if len(starts) == 1:
        fill(0)
    else:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for _ in pool.map(fill, starts):
                pass
    return pixels
