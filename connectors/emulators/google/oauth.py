"""accounts.google.com in small: consent, tokens, revocation, certificates, userinfo (PROVIDERS A10)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from connectors.emulators.google.answers import ApiError, Json, Request, Response, named_error
from connectors.emulators.google.discovery import Method
from connectors.emulators.google.store import World

API = "https://www.googleapis.com/auth/"
KNOWN_SCOPES = ("openid", "email", API + "calendar.events", API + "calendar.calendarlist.readonly")


@dataclass(slots=True)
class Consent:
    """What the person at the consent page does. account: e-mail, else the login hint, else the first person.
    scopes: what is ticked, None for all. denied: presses Cancel."""

    account: str = ""
    scopes: list[str] | None = None
    denied: bool = False


@dataclass(slots=True)
class Accounts:
    """Codes, access tokens and grants. lifetime: seconds of an access token."""

    world: World
    client_id: str
    client_secret: str
    consent: Consent = field(default_factory=Consent)
    lifetime: int = 3599
    rotate: bool = False
    codes: dict[str, Json] = field(default_factory=dict)
    access: dict[str, Json] = field(default_factory=dict)
    _key: rsa.RSAPrivateKey | None = None

    def handle(self, request: Request) -> Response | None:
        """Answer one of the account addresses, None for any other path."""
        match request.method, request.path:
            case "GET", "/o/oauth2/v2/auth":
                return self._authorize(request)
            case "POST", "/token":
                return self._token(_form(request))
            case "POST", "/revoke":
                return self._revoke(_form(request) | dict(request.query))
            case "GET", "/oauth2/v3/certs":
                return Response.of({"keys": [self._jwk()]})
            case "GET", "/v3/userinfo":
                return self._userinfo(request)
        return None

    def grant(self, email: str, scopes: list[str] | None = None) -> Json:
        """A grant without the pages: the content of a stored secret, for tests and the demo."""
        with self.world.lock:
            self.world.person(email)
            refresh = self._new_grant(email, scopes or list(KNOWN_SCOPES), self.client_id)
            access = self._new_access(refresh)
        until = datetime.fromtimestamp(self.world.now().timestamp() + self.lifetime, UTC)
        return {
            "refresh_token": refresh,
            "access_token": access,
            "expiry": until.isoformat().replace("+00:00", "Z"),
            "scopes": self.world.grants[refresh]["scopes"],
        }

    def viewer(self, request: Request, method: Method) -> str:
        """Who calls, if their token is good and has a scope that suffices (rule G-12). Raises `ApiError` 401, 403."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        known = self.access.get(token)
        grant = self.world.grants.get(known["grant"]) if known else None
        if known is None or grant is None or known["expires"] <= self.world.now().timestamp():
            raise named_error("authError")
        if not method.scopes & set(grant["scopes"]):
            raise ApiError(403, "insufficientPermissions", "Insufficient Permission")
        return str(grant["email"])

    def revoke(self, email: str) -> int:
        """The person removes our access; returns how many grants died."""
        dead = [token for token, grant in self.world.grants.items() if grant["email"] == email]
        for token in dead:
            del self.world.grants[token]
        self.world.changed.set()
        return len(dead)

    def expire_access(self) -> None:
        """Every access token is too old now; refresh tokens stay good."""
        for known in self.access.values():
            known["expires"] = 0.0

    def _authorize(self, request: Request) -> Response:
        query = dict(request.query)
        if query.get("client_id") != self.client_id:
            return Response.html("<h1>401: invalid_client</h1>", 401)
        if not query.get("redirect_uri"):
            return Response.html("<h1>400: redirect_uri is missing</h1>", 400)
        back = {"state": query["state"]} if query.get("state") else {}
        asked = query.get("scope", "").split()
        problem = ""
        if (
            query.get("response_type") != "code"
            or not asked
            or (query.get("code_challenge") and query.get("code_challenge_method") != "S256")
        ):
            problem = "invalid_request"
        elif self.consent.denied:
            problem = "access_denied"
        if problem:
            return Response.redirect(f"{query['redirect_uri']}?{urlencode(back | {'error': problem})}")
        email = self.consent.account or query.get("login_hint") or next(iter(self.world.people), "")
        if email not in self.world.people:
            return Response.html("<h1>No such account</h1>", 400)
        ticked = asked if self.consent.scopes is None else [s for s in asked if s in self.consent.scopes]
        code = "4/" + secrets.token_urlsafe(24)
        self.codes[code] = {
            "email": email,
            "scopes": ticked,
            "redirect_uri": query["redirect_uri"],
            "challenge": query.get("code_challenge", ""),
            "nonce": query.get("nonce", ""),
            "offline": query.get("access_type") == "offline",
            "prompt": "consent" in query.get("prompt", ""),
        }
        back |= {"code": code, "scope": " ".join(ticked), "authuser": "0", "prompt": "consent"}
        return Response.redirect(f"{query['redirect_uri']}?{urlencode(back)}")

    def _token(self, form: dict[str, str]) -> Response:
        if form.get("client_id") != self.client_id or form.get("client_secret") != self.client_secret:
            return _refused("invalid_client", "Unauthorized", 401)
        if form.get("grant_type") == "authorization_code":
            return self._exchange(form)
        if form.get("grant_type") == "refresh_token":
            return self._refresh(form)
        return _refused("unsupported_grant_type", "Invalid grant_type")

    def _exchange(self, form: dict[str, str]) -> Response:
        known = self.codes.pop(form.get("code", ""), None)
        if known is None or known["redirect_uri"] != form.get("redirect_uri"):
            return _refused("invalid_grant", "Malformed auth code." if known is None else "redirect_uri_mismatch")
        if known["challenge"]:
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if _b64(digest) != known["challenge"]:
                return _refused("invalid_grant", "Invalid code verifier.")
        had_one = any(g["email"] == known["email"] for g in self.world.grants.values())
        refresh = self._new_grant(known["email"], known["scopes"], self.client_id)
        answer = self._answer(refresh)
        if known["offline"] and (known["prompt"] or not had_one):
            answer["refresh_token"] = refresh
        if "openid" in known["scopes"]:
            answer["id_token"] = self._id_token(known["email"], known["nonce"], "email" in known["scopes"])
        return Response.of(answer)

    def _refresh(self, form: dict[str, str]) -> Response:
        refresh = form.get("refresh_token", "")
        grant = self.world.grants.get(refresh)
        if grant is None:
            return _refused("invalid_grant", "Token has been expired or revoked.")
        if not set(form.get("scope", "").split()) <= set(grant["scopes"]):
            return _refused("invalid_scope", "Some requested scopes were not granted.")
        if self.rotate:
            self.world.grants[secrets.token_urlsafe(24)] = self.world.grants.pop(refresh)
            refresh = next(reversed(self.world.grants))
            self.world.changed.set()
        answer = self._answer(refresh)
        return Response.of(answer | ({"refresh_token": refresh} if self.rotate else {}))

    def _answer(self, refresh: str) -> Json:
        return {
            "access_token": self._new_access(refresh),
            "expires_in": self.lifetime,
            "scope": " ".join(self.world.grants[refresh]["scopes"]),
            "token_type": "Bearer",
        }

    def _new_grant(self, email: str, scopes: list[str], client_id: str) -> str:
        refresh = "1//" + secrets.token_urlsafe(32)
        self.world.grants[refresh] = {"email": email, "scopes": scopes, "client_id": client_id}
        self.world.changed.set()
        return refresh

    def _new_access(self, refresh: str) -> str:
        access = "ya29." + secrets.token_urlsafe(32)
        self.access[access] = {"grant": refresh, "expires": self.world.now().timestamp() + self.lifetime}
        return access

    def _revoke(self, form: dict[str, str]) -> Response:
        token = form.get("token", "")
        refresh = self.access.get(token, {}).get("grant", token)
        if self.world.grants.pop(refresh, None) is None:
            return _refused("invalid_token", "Token expired or revoked")
        self.world.changed.set()
        return Response.of({})

    def _userinfo(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        grant = self.world.grants.get(self.access.get(token, {}).get("grant", ""))
        if grant is None:
            return _refused("invalid_request", "Invalid Credentials", 401)
        person = self.world.people[grant["email"]]
        return Response.of({"sub": person.sub, "email": person.email, "email_verified": True, "name": person.name})

    # id tokens are signed as Google's are, so that a client that looks at the signature can

    def _private_key(self) -> rsa.RSAPrivateKey:
        if self._key is None:
            self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._key

    def _jwk(self) -> Json:
        numbers = self._private_key().public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": "emulated",
            "n": _b64(numbers.n.to_bytes(256, "big")),
            "e": _b64(numbers.e.to_bytes(3, "big")),
        }

    def _id_token(self, email: str, nonce: str, with_email: bool) -> str:
        now = int(self.world.now().timestamp())
        claims: dict[str, Any] = {
            "iss": "https://accounts.google.com",
            "aud": self.client_id,
            "azp": self.client_id,
            "sub": self.world.people[email].sub,
            "iat": now,
            "exp": now + 3600,
        }
        if with_email:
            claims |= {"email": email, "email_verified": True}
        if nonce:
            claims["nonce"] = nonce
        head = _b64(json.dumps({"alg": "RS256", "kid": "emulated", "typ": "JWT"}).encode())
        signed = f"{head}.{_b64(json.dumps(claims).encode())}"
        return f"{signed}.{_b64(self._private_key().sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def _refused(error: str, description: str, status: int = 400) -> Response:
    return Response.of({"error": error, "error_description": description}, status)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
