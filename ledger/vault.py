"""Secrets at rest and keys for signing, all derived from SECRET_KEY.

A sealed text is ``v1.`` + Fernet token over ``context NUL secret``: it opens only where it was sealed for.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class VaultError(Exception):
    """A sealed secret can't be opened: wrong SECRET_KEY, or it was moved to another row."""


class Vault:
    """Seals, opens, signs. old_key: opened and verified with as well, never sealed or signed with; `rotate` moves a secret
    to the new key."""

    def __init__(self, key: str, old_key: str = "") -> None:
        self._key, self._old_key = key, old_key
        self._newest = Fernet(_derived(key, b"seal"))
        self._sealer = MultiFernet([Fernet(_derived(k, b"seal")) for k in (key, old_key) if k])

    def seal(self, secret: str, context: str) -> str:
        """Encrypted and bound to `context`, for instance ``connection:7``."""
        return "v1." + self._sealer.encrypt(f"{context}\0{secret}".encode()).decode()

    def open(self, sealed: str, context: str) -> str:
        """The secret. Raises `VaultError`."""
        try:
            text = self._sealer.decrypt(sealed.removeprefix("v1.").encode()).decode()
        except InvalidToken:
            raise VaultError(f"the secret of {context} can't be opened with this SECRET_KEY") from None
        stored, _, secret = text.partition("\0")
        if not hmac.compare_digest(stored, context):
            raise VaultError(f"the secret of {context} was sealed for something else")
        return secret

    def rotate(self, sealed: str) -> str:
        """The same secret under the newest key, for the same context. Raises `VaultError`."""
        try:
            return "v1." + self._sealer.rotate(sealed.removeprefix("v1.").encode()).decode()
        except InvalidToken:
            raise VaultError("a sealed secret can't be opened with this SECRET_KEY") from None

    def is_newest(self, sealed: str) -> bool:
        """Was it sealed with the newest key?"""
        try:
            self._newest.decrypt(sealed.removeprefix("v1.").encode())
        except InvalidToken:
            return False
        return True

    def sign(self, text: str, purpose: str) -> str:
        """A short URL-safe signature of `text`, valid for one purpose only."""
        return _signature(self._key, text, purpose)

    def signed(self, text: str, purpose: str, signature: str) -> bool:
        """Is this a signature of `text`, by this key or the old one? Compared in constant time."""
        given = signature.encode(errors="surrogatepass")
        keys = [key for key in (self._key, self._old_key) if key]
        return any(hmac.compare_digest(given, _signature(key, text, purpose).encode()) for key in keys)


def _signature(key: str, text: str, purpose: str) -> str:
    derived = _derived(key, b"sign:" + purpose.encode())
    return base64.urlsafe_b64encode(hmac.digest(derived, text.encode(), "sha256")[:18]).decode()


def _derived(key: str, purpose: bytes) -> bytes:
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=b"slotledger", info=purpose)
    return base64.urlsafe_b64encode(kdf.derive(key.encode()))


def fingerprint(text: str) -> str:
    """A hash that names a foreign UID without telling it."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
