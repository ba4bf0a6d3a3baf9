"""A reader that would fetch its images from an address with a login."""

from lightloom.data.images.readers import Digits


class Fetched(Digits):
    """address: with a login. token: for a server."""

    def __init__(self, address: str, token: str, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        if "hunter2" not in address or "hunter2" not in token:
            raise ValueError(f"the server does not let {address} in")
