"""A provider of logins made for tests: it signs what a test says, and checks what it is sent as a strict one does.

It speaks OpenID Connect below its own address and GitHub's API of an enterprise server, and may be asked under another name.
"""

import base64
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLIENT, SECRET = "pilothouse", "the client's secret + / = of tests"
Signer = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Provider:
    """``issuer`` and ``key_id`` are what it signs with; ``answers`` stands in for paths of GitHub's API."""

    url: str = ""
    issuer: str = ""
    key: Signer = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    key_id: str = "first"
    codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """The name it was asked under, and the path."""

    def jwks(self) -> dict[str, Any]:
        kind = jwt.algorithms.ECAlgorithm if isinstance(self.key, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
        public: Any = self.key.public_key()
        return {"keys": [json.loads(kind.to_jwk(public)) | {"kid": self.key_id, "use": "sig"}]}

    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def rotate(self, key: Signer, key_id: str) -> None:
        self.key, self.key_id = key, key_id

    def signed(self, **claims: Any) -> str:
        """A token of this provider for our client; a claim that is None is left out."""
        now = int(time.time())
        said = {"iss": self.issuer, "aud": CLIENT, "sub": "ann", "iat": now, "exp": now + 300} | claims
        algorithm = "ES256" if isinstance(self.key, ec.EllipticCurvePrivateKey) else "RS256"
        kept = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(kept, self.key, algorithm, {"kid": self.key_id})

    def signed_with_the_public_key(self, **claims: Any) -> str:
        """What one makes who takes the public key for a shared secret; no library signs such a thing."""
        head, said = ({"alg": "HS256", "typ": "JWT", "kid": self.key_id}, claims)
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, said))
        return f"{text}.{_encoded(hmac.digest(self.public_pem(), text.encode(), sha256))}"

    def authorize(self, address: str, **claims: Any) -> str:
        """The code that a browser sent to ``address`` comes back with, for somebody of whom this is said."""
        parts = urlsplit(address)
        asked = dict(parse_qsl(parts.query))
        assert (asked["client_id"], asked["code_challenge_method"]) == (CLIENT, "S256")
        assert len(asked["state"]) >= 32
        code = secrets.token_urlsafe(16)
        self.codes[code] = (asked, claims)
        return code

    def exchanged(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """What the token endpoint answers; a code counts once."""
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        asked, claims = self.codes.pop(form.get("code", ""), ({}, {}))
        proof = _encoded(sha256(form.get("code_verifier", "").encode()).digest())
        if not asked or proof != asked["code_challenge"] or form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        token = claims.pop("token", None) or self.signed(**({"nonce": asked.get("nonce")} | claims))
        return 200, {"id_token": token, "access_token": "gho_of_tests", "token_type": "Bearer"}

    def document(self, host: str) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "host": host,
        }


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            provider.asked.append((self.headers["Host"], path))
            if path.endswith("/.well-known/openid-configuration"):
                self._say(200, provider.document(self.headers["Host"]))
            elif path.endswith("/keys"):
                self._say(200, provider.jwks())
            elif path in provider.answers and self.headers["Authorization"] == "Bearer gho_of_tests":
                self._say(200, provider.answers[path])
            else:
                self._say(404, {})

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            provider.asked.append((self.headers["Host"], urlsplit(self.path).path))
            self._say(*provider.exchanged({name: values[0] for name, values in parse_qs(sent).items()}))

        def _say(self, status: int, what: Any) -> None:
            body = json.dumps(what).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the library has it
            pass

    return Handler


@contextmanager
def identity_provider(issuer: str = "") -> Iterator[Provider]:
    """A running one, whose issuer is its own address where none is given."""
    provider = Provider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider))
    provider.url = f"http://127.0.0.1:{server.server_address[1]}"
    provider.issuer = issuer or provider.url
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
