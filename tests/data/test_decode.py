"""Every format and pixel mode decodes to what was saved; fitting and filtering do what they say."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gansmith.data.decode import Look, decode, probe

WHITE = (255, 255, 255)


def look(resolution: int = 32, fit: str = "crop", background=WHITE, channels: int = 3) -> Look:
    return Look(resolution, fit, background, channels)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 30),
        ("JPEG", {"quality": 95, "subsampling": 0}, 6),
        ("GIF", {}, 60),
    ],
)
def test_colour_formats(noise, kind: str, options: dict, tolerance: int) -> None:
    pixels = noise(0)
    got = decode(encoded(Image.fromarray(pixels), kind, **options), look())
    assert got.shape == (32, 32, 3) and got.dtype == np.uint8
    assert np.abs(got.astype(int) - pixels).max() <= tolerance


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_grey_formats_stay_exact(noise, kind: str) -> None:
    pixels = noise(1, channels=1)
    data = encoded(Image.fromarray(pixels), kind)
    assert np.array_equal(decode(data, look(channels=1))[..., 0], pixels)
    assert np.array_equal(decode(data, look(channels=3)), np.repeat(pixels[..., None], 3, 2))


def test_palette(noise) -> None:
    image = Image.fromarray(noise(2)).quantize(32)
    assert np.array_equal(decode(encoded(image, "PNG"), look()), np.asarray(image.convert("RGB")))


def test_black_and_white() -> None:
    bits = np.random.default_rng(0).random((32, 32)) > 0.5
    got = decode(encoded(Image.fromarray(bits), "PNG"), look(channels=1))
    assert np.array_equal(got[..., 0], bits * 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey(kind: str) -> None:
    wide = (np.arange(1024, dtype=np.uint32) * 65535 // 1023).astype(np.uint16).reshape(32, 32)
    got = decode(encoded(Image.fromarray(wide), kind), look(channels=1))
    assert np.abs(got[..., 0].astype(float) - wide / 257).max() <= 0.5


def test_16_bit_colour_png() -> None:
    """Written by hand, since Pillow does not write it: the high bytes are what matters."""
    high = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    rows = np.stack([high, np.full_like(high, 77)], axis=-1).reshape(32, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    chunk = lambda tag, body: struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))  # noqa: E731
    header = struct.pack(">IIBBBBB", 32, 32, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    assert np.abs(decode(png, look()).astype(int) - high).max() <= 1


def test_cmyk_jpeg(noise) -> None:
    pixels = noise(3)
    data = encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=95)
    assert probe("a", None, data).mode == "CMYK"
    assert np.abs(decode(data, look()).astype(int) - pixels).mean() < 6


@pytest.mark.parametrize(("background", "expected"), [(WHITE, (255, 127, 127)), ((0, 0, 200), (128, 0, 100))])
def test_transparency_lies_over_the_background(background, expected) -> None:
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 128))
    got = decode(encoded(image, "PNG"), look(background=background))
    assert np.abs(got.reshape(-1, 3).astype(int) - expected).max() <= 1


def test_transparent_palette_and_grey() -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (16, 0, 32, 32))
    got = decode(encoded(image, "GIF", transparency=0), look(background=(1, 2, 3)))
    assert tuple(got[0, 0]) == (1, 2, 3) and tuple(got[0, 31]) == (200, 100, 50)
    got = decode(encoded(Image.new("LA", (32, 32), (0, 0)), "PNG"), look(channels=1, background=(50, 50, 50)))
    assert (got == 50).all()


def test_only_the_first_frame_of_a_gif() -> None:
    frames = [Image.new("L", (32, 32), v) for v in (30, 90, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode(data, look(channels=1)) == 30).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_undone(kind: str, orientation: int) -> None:
    """Quadrants of four greys, stored the way a camera would, come back upright."""
    upright = np.kron(np.array([[0, 80], [160, 240]], np.uint8), np.ones((16, 16), np.uint8))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)).convert("RGB"), kind, exif=exif)
    got = decode(data, look(channels=1))[..., 0].astype(int)
    assert np.abs(got[::31, ::31] - upright[::31, ::31]).max() <= 4


def test_a_broken_exif_block_does_not_lose_the_image(noise) -> None:
    data = encoded(Image.fromarray(noise(0)), "PNG", exif=b"Exif\0\0nonsense")
    assert np.array_equal(decode(data, look()), noise(0))


def stripes() -> Image.Image:
    """96 x 32: red, green, blue thirds."""
    image = Image.new("RGB", (96, 32), "red")
    image.paste((0, 255, 0), (32, 0, 64, 32))
    image.paste((0, 0, 255), (64, 0, 96, 32))
    return image


@pytest.mark.parametrize("turned", [False, True])
def test_crop_takes_the_centre(turned: bool) -> None:
    image = stripes().transpose(Image.Transpose.ROTATE_90) if turned else stripes()
    got = decode(encoded(image, "PNG"), look())
    assert (got == (0, 255, 0)).all()


def test_pad_keeps_everything_on_the_background() -> None:
    got = decode(encoded(stripes(), "PNG"), look(96, "pad", (9, 8, 7)))
    assert (got[:32] == (9, 8, 7)).all() and (got[64:] == (9, 8, 7)).all()
    assert np.array_equal(got[32:64], np.asarray(stripes()))


def test_squeeze_keeps_everything_out_of_shape() -> None:
    got = decode(encoded(stripes(), "PNG"), look(33, "squeeze"))
    assert tuple(got[16, 2]) == (255, 0, 0) and tuple(got[16, 16]) == (0, 255, 0) and tuple(got[16, 30]) == (0, 0, 255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_shrinking_does_not_alias(kind: str) -> None:
    """Stripes of 3 pixels, shrunk 8 times, must become an even grey; taking every 8th pixel would make waves."""
    lines = np.tile((np.arange(256) // 3 % 2 * 255).astype(np.uint8), (256, 1))
    got = decode(encoded(Image.fromarray(lines), kind), look(channels=1))
    assert lines[::8, ::8].std() > 100
    assert got[4:-4, 4:-4].std() < 6 and got[4:-4, 4:-4].mean() == pytest.approx(127.5, abs=4)


def test_large_jpegs_are_read_at_a_fraction_of_their_size(noise) -> None:
    """The quick way gives the same picture as decoding all pixels."""
    pixels = noise(5, 1024, 1280)
    data = encoded(Image.fromarray(pixels), "JPEG", quality=95)
    slow = decode(encoded(Image.open(io.BytesIO(data)), "PNG"), look())
    assert np.abs(decode(data, look()).astype(int) - slow).mean() < 1


def test_arrays_decode_like_files(noise) -> None:
    pixels = noise(7, 48, 40)
    assert np.array_equal(decode(pixels, look()), decode(encoded(Image.fromarray(pixels), "PNG"), look()))
    grey = noise(7, 48, 40, 1)[..., None]
    assert np.array_equal(
        decode(grey, look(channels=1)), decode(encoded(Image.fromarray(grey[..., 0]), "PNG"), look(channels=1))
    )
