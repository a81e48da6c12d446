"""Encrypted frames: AES-256-CBC in base64, with the key and iv of the registration's answer."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


@dataclass(frozen=True)
class StreamKey:
    """The key (32 characters) and iv (16) of one TR, text as KIS gives them."""

    key: str = field(repr=False)
    iv: str = field(repr=False)


def decrypt(text: str, secret: StreamKey) -> str | None:
    """Return what an encrypted body says; None if it cannot be decrypted with this key."""
    try:
        cipher = Cipher(algorithms.AES256(secret.key.encode()), modes.CBC(secret.iv.encode()))
        decryptor = cipher.decryptor()
        padded = decryptor.update(base64.b64decode(text, validate=True)) + decryptor.finalize()
        unpadder = padding.PKCS7(algorithms.AES256.block_size).unpadder()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except (ValueError, binascii.Error):  # of base64, key, iv, length, padding and UTF-8 alike
        return None
