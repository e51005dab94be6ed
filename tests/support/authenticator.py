"""A passkey in software, as a browser and its authenticator answer together (WebAuthn level 2, attestation "none")."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def b64(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Authenticator:
    """One key for one site. verified: did its owner unlock it? count: how often it has signed."""

    origin: str
    host: str
    verified: bool = True
    count: int = 0
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def created(self, options: dict[str, Any]) -> str:
        """The answer to creation options."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        attestation = {"fmt": "none", "attStmt": {}, "authData": self._data(0x40) + attested}
        return self._answer("webauthn.create", options, lambda _: {"attestationObject": b64(cbor2.dumps(attestation))})

    def signed(self, options: dict[str, Any]) -> str:
        """The answer to request options."""
        self.count += 1
        data = self._data(0)

        def response(client: bytes) -> dict[str, str]:
            signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
            return {"authenticatorData": b64(data), "signature": b64(signature)}

        return self._answer("webauthn.get", options, response)

    def _data(self, flags: int) -> bytes:
        flags |= 0x01 | (0x04 if self.verified else 0)
        return hashlib.sha256(self.host.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _answer(self, kind: str, options: dict[str, Any], response: Any) -> str:
        client = json.dumps({"type": kind, "challenge": options["challenge"], "origin": self.origin}).encode()
        return json.dumps(
            {
                "id": b64(self.id), "rawId": b64(self.id), "type": "public-key",
                "response": {"clientDataJSON": b64(client), **response(client)},
            }
        )  # fmt: skip
