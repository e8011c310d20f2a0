"""Remove passwords and tokens from a text before it is printed or written."""

from __future__ import annotations

import base64
import functools
import logging
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

MASK = "***"
_USERINFO = re.compile(
    r"""(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*:/{2,3})
    (?P<userinfo>
        [^\s/?\#\[]*                                # as RFC 3986 has it, up to the last @ before the path
        | [^\s/@:\[]*:(?!\d{1,5}(?![^\s/?\#'")\],;]))\S*  # a password with an unescaped / ? or #
    )@""",
    re.VERBOSE,
)
_PARAMETER = re.compile(
    r"""(?P<name>[?&;][\w.%-]*(?:token|secret|passw|pwd|sig|key|credential|auth)[\w.%-]*=)[^&;\s'"\#)]+""",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(?P<name>\b(?:basic|bearer)\s+)[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|SECRET_ACCESS_KEY)$", re.IGNORECASE)
_MIN_SECRET_LENGTH = 4
_PLAIN_WORDS = {"mlflow", "postgres", "synthcxr"}
"""Words of our own messages that are also common user names and passwords: they are removed from addresses only."""


def redact_credentials(text: str, *addresses: str) -> str:
    """Return a text without the user and password of any URI, secret query parameters and authorization headers.

    The passwords of `addresses` and of the environment are removed wherever they stand, also outside a URI and in the
    form that an authorization header has.
    """
    text = _USERINFO.sub(lambda match: f"{match['scheme']}{MASK}@", text)
    text = _PARAMETER.sub(lambda match: match["name"] + MASK, text)
    text = _HEADER.sub(lambda match: match["name"] + MASK, text)
    secrets = {secret for secret in _find_secrets(addresses) if len(secret) >= _MIN_SECRET_LENGTH} - _PLAIN_WORDS
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", MASK, text)
    return text


def strip_userinfo(address: str) -> str:
    """Return an address without user, password and secret query parameters."""
    return redact_credentials(address).replace(f"{MASK}@", "")


@functools.cache
def redact_library_messages() -> None:
    """Remove credentials from what libraries log and warn, from now on and in the whole process."""
    make_record, format_warning = logging.getLogRecordFactory(), warnings.formatwarning

    def make_redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            return record
        redacted = redact_credentials(message)
        if redacted != message:
            record.msg, record.args = redacted, None
        return record

    def format_redacted_warning(*args: Any, **kwargs: Any) -> str:
        return redact_credentials(format_warning(*args, **kwargs))

    logging.setLogRecordFactory(make_redacted_record)
    warnings.formatwarning = format_redacted_warning


def _find_secrets(addresses: tuple[str, ...]) -> Iterator[str]:
    """The passwords of the addresses and of the environment, as they are written, decoded, and in Basic encoding."""
    for name, value in os.environ.items():
        if "://" in value:
            addresses += (value,)
        elif _SECRET_VARIABLE.search(name):
            yield value
    for address in addresses:
        for match in _USERINFO.finditer(address):
            user, _, password = match["userinfo"].partition(":")
            secret = password or user
            yield from (secret, unquote(secret))
            yield from (piece for piece in re.split(r"[@/?#:]", secret) if len(piece) >= 2 * _MIN_SECRET_LENGTH)
            for pair in (f"{user}:{password}", f"{unquote(user)}:{unquote(password)}"):
                yield base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode("ascii")
