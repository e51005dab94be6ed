"""Small PNGs for the docs: a screenshot with a palette of 256 colours has a third of the octets, and nobody sees it."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

_REDUCE = """async png => {
  const image = new Image(); image.src = 'data:image/png;base64,' + png; await image.decode();
  const canvas = document.createElement('canvas'); canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext('2d'); context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height).data;
  const counts = new Map();
  for (let i = 0; i < pixels.length; i += 4) {
    const colour = pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2];
    counts.set(colour, (counts.get(colour) || 0) + 1);
  }
  const kept = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(each => each[0]);
  const parts = c => [c >> 16, c >> 8 & 255, c & 255];
  const nearest = new Map(kept.map((colour, at) => [colour, at]));
  for (const colour of counts.keys()) {
    if (nearest.has(colour)) continue;
    const [r, g, b] = parts(colour);
    let best = 0, least = Infinity;
    kept.forEach((other, at) => {
      const [x, y, z] = parts(other), far = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
      if (far < least) { least = far; best = at; }
    });
    nearest.set(colour, best);
  }
  const found = new Uint8Array(pixels.length / 4);
  for (let i = 0; i < pixels.length; i += 4)
    found[i / 4] = nearest.get(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
  let text = '';
  for (let i = 0; i < found.length; i += 32768) text += String.fromCharCode(...found.subarray(i, i + 32768));
  return { width: image.width, height: image.height, palette: kept.flatMap(parts), pixels: btoa(text) };
}"""


def with_palette(tab: Any, png: bytes) -> bytes:
    """The same picture with at most 256 colours. tab: a page of the browser, which does the counting."""
    made = tab.evaluate(_REDUCE, base64.b64encode(png).decode())
    width, height, pixels = made["width"], made["height"], base64.b64decode(made["pixels"])
    lines = b"".join(b"\0" + pixels[at : at + width] for at in range(0, len(pixels), width))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", bytes(made["palette"])),
            _chunk(b"IDAT", zlib.compress(lines, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
