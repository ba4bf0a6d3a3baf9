"""A sample in a tar file: members of one name up to the first dot, one after another, as WebDataset has it.

Nothing is ever unpacked to a disk; the names of members are compared, and never become paths.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

from lightloom.core.errors import UserError

END = bytes(2 * tarfile.BLOCKSIZE)
EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)  # about the member that follows


def members(content: bytes, name: str) -> dict[str, bytes]:
    """What follows the first dot of each member's name -> its bytes, of the part of a tar that a sample is."""
    found, place = dict[str, bytes](), 0
    while place < len(content):
        begin = place + tarfile.BLOCKSIZE
        try:
            about = tarfile.TarInfo.frombuf(content[place:begin], "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise UserError(f"{name}: is no part of a tar file ({error}); write the shards anew.") from error
        if about.type in EXTENDED:
            return _extended(content, name)
        if about.type != tarfile.REGTYPE or not 0 <= about.size <= len(content) - begin:
            raise UserError(f"{name}: {about.name[:60]!r} in it is no plain file; write the shards anew.")
        found[ending(about.name)] = content[begin : begin + about.size]
        place = begin + about.size + -about.size % tarfile.BLOCKSIZE
    return found


def _extended(content: bytes, name: str) -> dict[str, bytes]:
    """The same of a part that another program wrote, with headers that say more than a plain one has room for."""
    found = dict[str, bytes]()
    try:
        with tarfile.open(fileobj=io.BytesIO(content + END), mode="r:") as archive:
            for about in archive:
                if about.type != tarfile.REGTYPE or not (file := archive.extractfile(about)):
                    raise UserError(f"{name}: {about.name[:60]!r} in it is no plain file; write the shards anew.")
                found[ending(about.name)] = file.read()
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise UserError(f"{name}: is no part of a tar file ({error}); write the shards anew.") from error
    return found


def ending(name: str) -> str:
    """What follows the first dot of a file's name: `a.b/0001.mask.png` -> `mask.png`."""
    return name.rpartition("/")[2].partition(".")[2].lower()


def key_of(name: str) -> str:
    """What is before it, with the folder: the name of a sample."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def packed(key: str, parts: Mapping[str, bytes]) -> bytes:
    """A sample as part of a tar: a member `key.ending` for each ending. The same bytes whenever it is written."""
    return b"".join(_member(f"{key}.{end}", content) for end, content in parts.items())


def _member(name: str, content: bytes) -> bytes:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    header = about.tobuf(tarfile.USTAR_FORMAT)
    return header + content + bytes(-len(content) % tarfile.BLOCKSIZE)
