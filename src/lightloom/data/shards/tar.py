"""A sample in a tar file: members of one name up to the first dot, one after another, as WebDataset has it.

Nothing is ever unpacked to a disk; the names of members are compared, and never become paths.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath

from lightloom.core.errors import UserError

END = bytes(2 * tarfile.BLOCKSIZE)


def members(content: bytes, name: str) -> dict[str, bytes]:
    """What follows the first dot of each member's name -> its bytes, of the part of a tar that a sample is."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                if not member.isreg() or member.issparse():
                    raise UserError(
                        f"{name}: holds {member.name[:60]!r}, which is no plain file; write the shards anew."
                    )
                found[ending(member.name)] = content[member.offset_data : member.offset_data + member.size]
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise UserError(f"{name}: is no part of a tar file ({error}); write the shards anew.") from error
    return found


def ending(name: str) -> str:
    """What follows the first dot of a file's name: `a.b/0001.mask.png` -> `mask.png`."""
    return PurePosixPath(name).name.partition(".")[2].lower()


def packed(key: str, parts: Mapping[str, bytes]) -> bytes:
    """A sample as part of a tar: a member `key.ending` for each ending. The same bytes whenever it is written."""
    return b"".join(_member(f"{key}.{end}", content) for end, content in parts.items())


def _member(name: str, content: bytes) -> bytes:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    header = about.tobuf(tarfile.USTAR_FORMAT)
    return header + content + bytes(-len(content) % tarfile.BLOCKSIZE)
