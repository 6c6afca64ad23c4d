"""Text files as lines: decompressed by the key's ending, split as Hadoop does, headers left out."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable, Mapping

from local_athena.data.s3_uri import S3Uri
from local_athena.errors import QueryFailed

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def text_of_file(body: bytes, uri: S3Uri, skip_header: int = 0, skip_footer: int = 0) -> str | None:
    """Return the lines of a text file joined by line feeds; None when there is no line.

    An empty line is a line; what stands behind the last line feed is none unless there is something.
    """
    text = decompress(body, uri).removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text:
        return None
    text = text.removesuffix("\n")
    if not skip_header and not skip_footer:
        return text
    lines = text.split("\n")
    kept = lines[skip_header : max(skip_header, len(lines) - skip_footer)]
    return "\n".join(kept) if kept else None


def decompress(body: bytes, uri: S3Uri) -> bytes:
    """Undo the compression a key's ending names; other endings name none."""
    opener = _OPENERS.get(uri.name.rpartition(".")[2].lower()) if "." in uri.name else None
    if opener is None:
        return body
    try:
        return opener(body)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise QueryFailed(
            f"HIVE_CURSOR_ERROR: Failed to read file: {uri}: {error}", error_type=1001
        ) from error


def _zstandard(body: bytes) -> bytes:
    import pyarrow as pa

    with pa.input_stream(pa.BufferReader(body), compression="zstd") as stream:
        return bytes(stream.read())


def _hadoop_blocks(codec_name: str) -> Callable[[bytes], bytes]:
    """Hadoop's own framing of Snappy and LZ4: blocks of a given raw size, each of compressed chunks."""

    def opened(body: bytes) -> bytes:
        import pyarrow as pa

        codec = pa.Codec(codec_name)
        parts: list[bytes] = []
        position = 0
        while position < len(body):
            missing = int.from_bytes(body[position : position + 4], "big")
            position += 4
            while missing > 0:
                size = int.from_bytes(body[position : position + 4], "big")
                chunk = body[position + 4 : position + 4 + size]
                if not size or len(chunk) != size:
                    raise ValueError(f"the {codec_name} block is cut off")
                raw = _open_chunk(codec, codec_name, chunk, missing)
                parts.append(raw)
                missing -= len(raw)
                position += 4 + size
        return b"".join(parts)

    return opened


def _open_chunk(codec: object, codec_name: str, chunk: bytes, at_most: int) -> bytes:
    decompress_chunk = codec.decompress  # type: ignore[attr-defined]  # pyarrow has no types
    size = _snappy_size(chunk) if codec_name == "snappy" else at_most
    return bytes(decompress_chunk(chunk, decompressed_size=size, asbytes=True))


def _snappy_size(chunk: bytes) -> int:
    """Read the raw size a Snappy block starts with: seven bits a byte, the lowest first."""
    size = 0
    for index, byte in enumerate(chunk[:5]):
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return size
    raise ValueError("the snappy block has no size")


_OPENERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gz": gzip.decompress,
    "gzip": gzip.decompress,
    "bz2": bz2.decompress,
    "deflate": zlib.decompress,
    "zst": _zstandard,
    "snappy": _hadoop_blocks("snappy"),
    "lz4": _hadoop_blocks("lz4_raw"),
}
