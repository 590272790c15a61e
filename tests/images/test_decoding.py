from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from latentsmooth.errors import DataError
from latentsmooth.images import decoding
from latentsmooth.images.decoding import Geometry, decode, decode_rows, survey
from latentsmooth.images.rows import FileRows
from tests.images.samples import encoded, picture, png


def files(folder: Path, *contents: bytes) -> FileRows:
    paths = []
    for place, content in enumerate(contents):
        paths.append(folder / f"{place:04d}.img")
        paths[-1].write_bytes(content)
    return FileRows(paths, np.full(len(paths), -1, dtype=np.int64), root=folder)


def pixels(folder: Path, content: bytes, channels: int = 3) -> NDArray[np.uint8]:
    return decode(files(folder, content), 0, Geometry((channels, 4, 6)))


def test_lossless_formats_decode_to_the_same_pixels(tmp_path: Path) -> None:
    image = picture()
    wanted = np.asarray(image).transpose(2, 0, 1)
    for kind in ("PNG", "BMP", "TIFF", "PPM"):
        np.testing.assert_array_equal(pixels(tmp_path, encoded(image, kind)), wanted)
    np.testing.assert_array_equal(
        pixels(tmp_path, encoded(image, "WEBP", lossless=True, exact=True)), wanted
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGB", "YCbCr"])
def test_modes_become_rgb_as_pil_converts_them(mode: str, tmp_path: Path) -> None:
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    image = picture(mode)
    wanted = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels(tmp_path, encoded(image, kind)), wanted)


def test_colour_becomes_gray_where_the_shape_has_one_channel(tmp_path: Path) -> None:
    got = pixels(tmp_path, png(), channels=1)
    np.testing.assert_array_equal(got[0], np.asarray(picture("L")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str, tmp_path: Path) -> None:
    image = picture(mode)
    image.putalpha(Image.new("L", image.size, 0))
    assert pixels(tmp_path, encoded(image)).min() == 255
    image.putalpha(Image.new("L", image.size, 255))
    wanted = np.asarray(picture(mode).convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels(tmp_path, encoded(image)), wanted)


def test_a_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (6, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert pixels(tmp_path, encoded(image, transparency=0)).min() == 255


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_and_pages_are_refused(kind: str, tmp_path: Path) -> None:
    first, second = Image.new("RGB", (6, 4), "red"), Image.new("RGB", (6, 4), "blue")
    content = encoded(first, kind, save_all=True, append_images=[second])
    with pytest.raises(DataError, match=r"0000\.img: an animation; expected one picture"):
        pixels(tmp_path, content)


def test_of_a_camera_s_several_views_the_first_is_taken(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (6, 4), "red"), Image.new("RGB", (6, 4), "blue")
    got = pixels(tmp_path, encoded(first, "MPO", save_all=True, append_images=[second]))
    assert got[0].min() > 200
    assert got[2].max() < 50


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = picture(size=(6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    wanted = np.asarray(upright).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels(tmp_path, content), wanted)
    assert survey(files(tmp_path, content), image_size=None) == (3, 4, 6)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def raw_png(width: int, height: int, depth: int, colour: int, samples: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(samples))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_is_refused_in_every_colour(
    colour: int, channels: int, tmp_path: Path
) -> None:
    content = raw_png(6, 4, 16, colour, (b"\0" + b"\1\2" * channels * 6) * 4)
    with pytest.raises(DataError, match=r"16-bit, 32-bit or float\); expected 8 bits a channel"):
        pixels(tmp_path, content)


@pytest.mark.parametrize("magic", [b"P5", b"P6"])
@pytest.mark.parametrize("largest", [256, 1000, 65535])
def test_deep_netpbm_is_refused(magic: bytes, largest: int, tmp_path: Path) -> None:
    content = magic + b" 6 4 %d\n" % largest + b"\0\1" * 24 * (3 if magic == b"P6" else 1)
    with pytest.raises(DataError, match="expected 8 bits a channel"):
        pixels(tmp_path, content)
    shallow = b"P6 6 4 100\n" + b"\x64" * 72
    assert pixels(tmp_path, shallow).min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_is_applied_once(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = Image.new("L", (24, 16), 0)
    plain.paste(255, (0, 0, 8, 8))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(plain.convert("RGB"), kind, exif=exif, **options)
    size = (24, 16) if orientation >= 5 else (16, 24)
    got = decode(files(tmp_path, content), 0, Geometry((1, *size)))[0] > 128
    # Where the first pixel of the file belongs, from the table of the EXIF specification.
    top = orientation in (1, 2, 5, 6)
    left = orientation in (1, 4, 5, 8)
    wanted = np.zeros(size, dtype=bool)
    wanted[: 8 if top else None, : 8 if left else None][-8:, -8:] = True
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_are_none_change_nothing(value: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    got = pixels(tmp_path, encoded(picture(), exif=exif))
    np.testing.assert_array_equal(got, np.asarray(picture()).transpose(2, 0, 1))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abcd",
        b"Exif\0\0II*\0",
        b"Exif\0\0garbage!",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\x01\0\0\0\xff\xff\xff\xff",
    ],
)
def test_damaged_exif_is_no_orientation(exif: bytes, tmp_path: Path) -> None:
    content = encoded(picture(), "JPEG", exif=exif)
    assert pixels(tmp_path, content).shape == (3, 4, 6)
    assert survey(files(tmp_path, content), image_size=None) == (3, 4, 6)


def test_an_orientation_after_the_pixels_does_not_turn_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(picture(), exif=exif)
    start = content.index(b"eXIf") - 4
    length = 12 + struct.unpack(">I", content[start : start + 4])[0]
    late = content[:start] + content[start + length : -12] + content[start : start + length]
    got = pixels(tmp_path, late + content[-12:])
    np.testing.assert_array_equal(got, np.asarray(picture()).transpose(2, 0, 1))


@pytest.mark.parametrize("content", [b"P6 0 4 255\n", b"P5 6 0 255\n", b"BM" + bytes(60), b""])
def test_images_without_pixels_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a readable image|refused"):
        decode(files(tmp_path, content), 0, Geometry((3, 4, 6), resize=True))


def test_text_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**26), 9))
    content = png()
    with pytest.raises(DataError, match=r"not a readable|corrupt or truncated"):
        pixels(tmp_path, content[:33] + bomb + content[33:])


def test_files_too_large_for_any_image_are_not_read(tmp_path: Path) -> None:
    rows = files(tmp_path, png())
    with rows.paths[0].open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match=r"0000\.img: refused, more than 268,435,456 bytes"):
        decode(rows, 0, Geometry((3, 4, 6)))


def test_sixteen_bit_and_float_are_refused(tmp_path: Path) -> None:
    deep = Image.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6) * 2700)
    with pytest.raises(DataError, match=r"0000\.img: pixel mode I;16.*expected 8 bits"):
        pixels(tmp_path, encoded(deep))
    with pytest.raises(DataError, match="pixel mode F"):
        pixels(tmp_path, encoded(picture("F"), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_truncation_is_an_error_that_names_the_file(kind: str, tmp_path: Path) -> None:
    content = encoded(picture(size=(48, 48)), kind)
    for kept in range(0, len(content) - 16, max(1, len(content) // 20)):
        with pytest.raises(DataError, match=r"0000\.img: (corrupt or truncated|not a readable)"):
            decode(files(tmp_path, content[:kept]), 0, Geometry((3, 48, 48)))


def test_a_corrupt_image_is_named_among_many(tmp_path: Path) -> None:
    contents = [png(seed=seed) for seed in range(600)]
    rows = files(tmp_path, *contents)
    which = np.arange(600, dtype=np.int64)
    stack = decode_rows(rows, which, Geometry((3, 4, 6)))
    np.testing.assert_array_equal(stack[577], decode(rows, 577, Geometry((3, 4, 6))))
    rows.paths[577].write_bytes(contents[577][:-30])
    with pytest.raises(DataError, match=r"0577\.img: corrupt or truncated"):
        decode_rows(rows, which, Geometry((3, 4, 6)))
    rows.paths[577].unlink()
    with pytest.raises(DataError, match=r"cannot read image file .*0577\.img: No such file"):
        decode_rows(rows, which, Geometry((3, 4, 6)))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [7_072, 10_000, 50_000])
def test_decompression_bombs_are_refused_unread(side: int, tmp_path: Path) -> None:
    bomb = raw_png(side, side, 8, 0, b"")
    with pytest.raises(DataError, match="refused"):
        decode(files(tmp_path, bomb), 0, Geometry((1, 4, 6), resize=True))


def test_resizing_keeps_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 8:22] = 200
    rows = files(tmp_path, encoded(Image.fromarray(wide)))
    got = decode(rows, 0, Geometry((3, 5, 5), resize=True))
    assert got.shape == (3, 5, 5)
    assert got.min() == got.max() == 200
    zoomed = decode(rows, 0, Geometry((3, 10, 10), resize=True, zoom=2.0))
    assert zoomed.min() == zoomed.max() == 200


def test_resizing_agrees_with_resizing_then_cutting(tmp_path: Path) -> None:
    smooth = picture(size=(5, 4), seed=3).resize((320, 256), Image.Resampling.BICUBIC)
    rows = files(tmp_path, encoded(smooth))
    got = decode(rows, 0, Geometry((3, 56, 56), resize=True, zoom=64 / 56)).astype(int)
    field = smooth.resize((80, 64), Image.Resampling.BILINEAR).crop((12, 4, 68, 60))
    assert abs(got - np.asarray(field, dtype=int).transpose(2, 0, 1)).max() <= 1


def test_resizing_leaves_images_of_the_right_size_alone(tmp_path: Path) -> None:
    got = decode(files(tmp_path, png()), 0, Geometry((3, 4, 6), resize=True))
    np.testing.assert_array_equal(got, np.asarray(picture()).transpose(2, 0, 1))


def test_a_single_colour_image_among_gray_ones_makes_the_set_rgb(tmp_path: Path) -> None:
    gray = [png("L", seed=seed) for seed in range(300)]
    assert survey(files(tmp_path, *gray), image_size=None) == (1, 4, 6)
    gray[123] = png()
    rows = files(tmp_path, *gray)
    assert survey(rows, image_size=None) == (3, 4, 6)
    assert survey(rows, image_size=9) == (3, 9, 9)


def test_mixed_sizes_are_found_early_or_at_the_image(tmp_path: Path) -> None:
    contents = [png(seed=seed) for seed in range(200)]
    contents[199] = png(size=(5, 4))
    with pytest.raises(DataError, match=r"0000\.img is 4x6.*0199\.img is 4x5; give image_size"):
        survey(files(tmp_path, *contents), image_size=None)
    contents[198:] = [png(size=(5, 4)), png()]
    rows = files(tmp_path, *contents)
    assert survey(rows, image_size=None) == (3, 4, 6)
    with pytest.raises(DataError, match=r"0198\.img: height x width is 4x5, expected 4x6"):
        decode_rows(rows, np.arange(200, dtype=np.int64), Geometry((3, 4, 6)))


def test_formats_that_run_programs_are_not_read(tmp_path: Path) -> None:
    stream = io.BytesIO()
    picture().save(stream, "EPS")
    with pytest.raises(DataError, match=r"not a readable image \(\d+ bytes; expected one of JPEG"):
        pixels(tmp_path, stream.getvalue())


def scans_of(content: bytes) -> int:
    return content.count(b"\xff\xda")


def test_jpegs_of_countless_scans_are_refused_undecoded(tmp_path: Path) -> None:
    content = encoded(picture(), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    most = content[:-2] + last * (100 - scans_of(content)) + content[-2:]
    assert scans_of(most) == 100
    assert pixels(tmp_path, most).shape == (3, 4, 6)
    filled = most[:-2] + b"\xff" + last + most[-2:]
    for more in (most[:-2] + last + most[-2:], filled):
        with pytest.raises(DataError, match=r"0000\.img: refused, a JPEG of more than 100 scans"):
            pixels(tmp_path, more)


def test_scans_are_counted_in_the_picture_alone(tmp_path: Path) -> None:
    content = encoded(picture(), "JPEG")
    odd = b"\xff\xda" * 200
    comment = b"\xff\xfe" + struct.pack(">H", len(odd) + 2) + odd
    np.testing.assert_array_equal(
        pixels(tmp_path, content[:2] + comment + content[2:] + odd), pixels(tmp_path, content)
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_strips_on_white_make_one_picture(
    mode: str, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture(mode)
    options: dict[str, Any] = {"transparency": bytes(range(256))} if mode == "P" else {}
    content = encoded(image, **options)
    layer = Image.open(io.BytesIO(content)).convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    wanted = np.asarray(white.convert("L" if channels == 1 else "RGB")).reshape(4, 6, -1)
    monkeypatch.setattr(decoding, "_STRIP_PIXELS", 13)
    np.testing.assert_array_equal(pixels(tmp_path, content, channels), wanted.transpose(2, 0, 1))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_the_largest_transparent_image_fits_into_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGBA", (7071, 7071)).save(path, compress_level=1)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from latentsmooth.images import load_image_files\n"
        "load_image_files([sys.argv[1]], image_shape=(3, 8, 8))[0]\n"
        # Of this program alone: getrusage's maximum begins at that of the one that started it.
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 1024 * 1024  # KiB


@pytest.mark.parametrize("name", ["exif", "APP1"])
def test_an_orientation_in_a_text_chunk_turns_the_image(name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    payload = exif.tobytes()
    profile = PngImagePlugin.PngInfo()
    text = f"\nexif\n{len(payload):8d}\n{payload.hex()}\n"
    profile.add_text(f"Raw profile type {name}", text)
    rows = files(tmp_path, encoded(picture(size=(4, 6)), pnginfo=profile))
    turned = picture(size=(4, 6)).transpose(Image.Transpose.ROTATE_270)
    if name == "exif":
        got = decode(rows, 0, Geometry((3, 4, 6)))
        np.testing.assert_array_equal(got, np.asarray(turned).transpose(2, 0, 1))
    else:
        assert survey(rows, image_size=None) == (3, 6, 4)
