"""The login service: discovery, consent, tokens (PROVIDERS B10, G2)."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import threading
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.emulators.microsoft.store import Account, Store
from connectors.emulators.microsoft.wire import Fault, Json, Reply, Request

LOGIN = "https://login.microsoftonline.com"
"""Addresses in discovery are production's; clients rewrite them at their transport."""

_IMPLIED = ("openid", "profile", "offline_access", "email")


class Login:
    """Grants of all accounts. claims: overrides for the next id tokens, to test what a client checks.

    scopes: what is granted at most, ``""`` for what is asked. chooser: show a page to choose an account, or take
    the hinted (else the first) one at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._codes: dict[str, Json] = {}
        self._key_lock = threading.Lock()
        self.claims: Json = {}
        self.scopes = ""
        self.lifetime = 3900
        self.chooser = False
        self.denied = False

    def handle(self, request: Request) -> Reply | None:
        """None for a path that isn't the login service's. Raises `Fault`."""
        tenant, rest = request.segments[:1], request.segments[1:]
        if request.segments == ("common", "discovery", "instance"):
            raise Fault(500, "MustNotBeCalled", "must not be called: instance_discovery=False")
        if not tenant:
            return None
        if rest == ("v2.0", ".well-known", "openid-configuration") and request.method == "GET":
            return Reply(200, self._discovery(tenant[0]))
        if rest == ("oauth2", "v2.0", "authorize") and request.method == "GET":
            return self._authorize(request)
        if rest == ("oauth2", "v2.0", "token") and request.method == "POST":
            return self._token(dict(parse_qsl(request.raw.decode())))
        if rest == ("discovery", "v2.0", "keys") and request.method == "GET":
            return Reply(200, self._keys())
        return None

    def grant(self, account: Account, client_id: str, scope: str) -> Json:
        """Tokens for a scope, as a token answer holds them, without an id token."""
        now = self._store.now()
        wanted = [name for name in scope.split() if name not in _IMPLIED]
        allowed = set(self.scopes.split()) if self.scopes else set(wanted)
        granted = [name for name in wanted if name in allowed]
        access, refresh = f"at.{secrets.token_urlsafe(40)}", f"rt.{secrets.token_urlsafe(40)}"
        with self._store.lock:
            self._store.access_tokens[access] = {
                "account": account.oid,
                "scope": " ".join(granted),
                "expires": now + self.lifetime,
            }
            self._store.refresh_tokens[refresh] = {
                "account": account.oid,
                "client": client_id,
                "scope": scope,
                "revoked": False,
            }
            self._store.dirty = True
        return {
            "token_type": "Bearer",
            "scope": " ".join([*granted, "openid", "profile", "email"]),
            "expires_in": self.lifetime,
            "ext_expires_in": self.lifetime,
            "access_token": access,
            "refresh_token": refresh,
            "client_info": _b64(json.dumps({"uid": account.oid, "utid": account.tid}).encode()),
        }

    def bearer(self, header: str) -> tuple[str, frozenset[str]]:
        """Account and scopes of an access token. Raises `Fault` 401."""
        kind, _, token = header.partition(" ")
        known = self._store.access_tokens.get(token) if kind.lower() == "bearer" else None
        if known is None:
            raise Fault(401, "InvalidAuthenticationToken", "Access token validation failure.")
        if known["expires"] <= self._store.now():
            raise Fault(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
        return known["account"], frozenset(known["scope"].split())

    def _discovery(self, tenant: str) -> Json:
        base = f"{LOGIN}/{tenant}"
        issuer = "{tenantid}" if tenant in ("common", "organizations", "consumers") else tenant
        return {
            "issuer": f"{LOGIN}/{issuer}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def _authorize(self, request: Request) -> Reply:
        query = request.query
        if not query.get("redirect_uri") or query.get("response_type") != "code":
            raise Fault(400, "AADSTS900144", "redirect_uri and response_type=code are required")
        joint = "&" if "?" in query["redirect_uri"] else "?"
        state = {"state": query["state"]} if "state" in query else {}
        if self.denied:
            refused = {"error": "access_denied", "error_description": "AADSTS65004: User declined to consent.", **state}
            return Reply(302, None, {"Location": query["redirect_uri"] + joint + urlencode(refused)})
        if self.chooser and len(self._store.accounts) > 1 and "chosen" not in query:
            return self._choose(request)
        hint = query.get("chosen") or query.get("login_hint") or ""
        known = {account.email for account in self._store.accounts.values()}
        account = self._store.account_by_email(hint if hint.lower() in known else "")
        code = f"M.C{secrets.token_urlsafe(24)}"
        self._codes[code] = {
            "account": account.oid,
            "challenge": query.get("code_challenge", ""),
            "redirect": query["redirect_uri"],
            "nonce": query.get("nonce", ""),
            "client": query.get("client_id", ""),
            "scope": query.get("scope", ""),
        }
        back = {"code": code, **state, "session_state": secrets.token_hex(8)}
        if query.get("client_info"):
            back["client_info"] = _b64(json.dumps({"uid": account.oid, "utid": account.tid}).encode())
        return Reply(302, None, {"Location": query["redirect_uri"] + joint + urlencode(back)})

    def _choose(self, request: Request) -> Reply:
        rows = "".join(
            f'<p><a href="{html.escape(request.target)}&amp;chosen={quote(account.email)}">{html.escape(account.name)}'
            f" &lt;{html.escape(account.email)}&gt;</a></p>"
            for account in self._store.accounts.values()
        )
        page = f"<!doctype html><meta charset=utf-8><title>Sign in</title><h1>Pick an account</h1>{rows}"
        return Reply(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"})

    def _token(self, form: dict[str, str]) -> Reply:
        if not form.get("client_id"):
            return _refused("invalid_client", "AADSTS7000215: Invalid client.", 7000215, status=401)
        if form.get("grant_type") == "authorization_code":
            return self._by_code(form)
        if form.get("grant_type") == "refresh_token":
            known = self._store.refresh_tokens.get(form.get("refresh_token", ""))
            if known is None or known["revoked"] or known["client"] != form["client_id"]:
                return _refused("invalid_grant", "AADSTS70008: The refresh token has expired.", 70008, "bad_token")
            account = self._store.accounts[known["account"]]
            scope = form.get("scope") or known["scope"]
            if set(scope.split()) - set(known["scope"].split()) - set(_IMPLIED):
                message = "AADSTS65001: The user or administrator has not consented to use the application."
                return _refused("invalid_grant", message, 65001, "consent_required")
            granted = self.grant(account, form["client_id"], scope)
            return Reply(200, {**granted, "id_token": self._id_token(account, form["client_id"], "")})
        return _refused("unsupported_grant_type", "AADSTS70003", 70003)

    def _by_code(self, form: dict[str, str]) -> Reply:
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code["client"] != form["client_id"] or code["redirect"] != form.get("redirect_uri"):
            return _refused("invalid_grant", "AADSTS70008: The authorization code is not valid.", 70008)
        digest = _b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if code["challenge"] and digest != code["challenge"]:
            return _refused("invalid_grant", "AADSTS501481: The code_verifier does not match.", 501481)
        account = self._store.accounts[code["account"]]
        granted = self.grant(account, form["client_id"], code["scope"])
        return Reply(200, {**granted, "id_token": self._id_token(account, form["client_id"], code["nonce"])})

    def _id_token(self, account: Account, client_id: str, nonce: str) -> str:
        now = int(self._store.now())
        claims: dict[str, Any] = {
            "aud": client_id,
            "iss": f"{LOGIN}/{account.tid}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "name": account.name,
            "oid": account.oid,
            "tid": account.tid,
            "sub": hashlib.sha256(f"{client_id}{account.oid}".encode()).hexdigest(),
            "preferred_username": account.email,
            "email": account.email,
            "ver": "2.0",
            **({"nonce": nonce} if nonce else {}),
            **self.claims,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "emulator"})

    @cached_property
    def _made_key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def _key(self) -> rsa.RSAPrivateKey:
        with self._key_lock:
            return self._made_key

    def _keys(self) -> Json:
        numbers = self._key.public_key().public_numbers()
        modulus, exponent = numbers.n.to_bytes(256, "big"), numbers.e.to_bytes(3, "big")
        key = {"kty": "RSA", "use": "sig", "kid": "emulator", "n": _b64(modulus), "e": _b64(exponent)}
        return {"keys": [key]}


def refusal(error: str, suberror: str = "") -> Reply:
    """A token endpoint's error, for fault rules."""
    return _refused(error, f"AADSTS50000: {error} on demand.", 50000, suberror)


def _refused(error: str, description: str, code: int, suberror: str = "", *, status: int = 400) -> Reply:
    body: Json = {
        "error": error,
        "error_description": description,
        "error_codes": [code],
        "timestamp": "2026-11-20 10:00:00Z",
        "trace_id": secrets.token_hex(8),
        "correlation_id": secrets.token_hex(8),
    }
    if suberror:
        body["suberror"] = suberror
    return Reply(status, body)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
