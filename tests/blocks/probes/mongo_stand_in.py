"""MongoDB's wire protocol as its documentation has it (OP_MSG, SCRAM-SHA-256), with whatever state a test wants.

No mongod is to be had here, and the one stand-in that keeps documents knows neither logins nor replica sets.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import struct
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import bson

from tests.waiting import eventually

USER, PASSWORD = "probe", "p@ss/word"
ROUNDS = 4096
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
Document = dict[str, Any]


class MongoState:
    """``hello`` is added to what the server says of itself; ``refused`` is a command's error number, ``answers`` its answer."""

    def __init__(self) -> None:
        self.hello: Document = {"isWritablePrimary": True}
        self.connections: Document = {"current": 5, "available": 95}
        self.refused: dict[str, int] = {}
        self.answers: dict[str, Document] = {}
        self.logins = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}"


class _Session:
    """One connection's conversation."""

    def __init__(self, state: MongoState) -> None:
        self._state = state
        self._first = ""
        self._salt = secrets.token_bytes(16)
        self._server_key = b""

    def answer(self, command: Mapping[str, Any]) -> Document:
        name = next(iter(command))
        if (number := self._state.refused.get(name)) is not None:
            return {"ok": 0, "code": number, "codeName": "No", "errmsg": "refused by the test"}
        if name.lower() in {"hello", "ismaster"}:
            limits = {"maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000}
            return {
                "ok": 1,
                "minWireVersion": 0,
                "maxWireVersion": 21,
                "helloOk": True,
                "saslSupportedMechs": ["SCRAM-SHA-256"],
                **limits,
                **self._state.hello,
            }
        if name == "saslStart":
            return self._begun(bytes(command["payload"]).decode())
        if name == "saslContinue":
            return self._proven(bytes(command["payload"]).decode())
        if name == "serverStatus":
            return {"ok": 1, "version": "7.0.14", "connections": self._state.connections}
        return {"ok": 1} | self._state.answers.get(name, {})

    def _begun(self, said: str) -> Document:
        bare = said.partition(",,")[2]
        fields = _fields(bare)
        if fields["n"] != USER:
            return _login_failed()
        salt = base64.b64encode(self._salt).decode()
        reply = f"r={fields['r']}{secrets.token_hex(8)},s={salt},i={ROUNDS}"
        self._first = f"{bare},{reply}"
        return {"ok": 1, "conversationId": 1, "done": False, "payload": reply.encode()}

    def _proven(self, said: str) -> Document:
        if not said:
            return {"ok": 1, "conversationId": 1, "done": True, "payload": b""}
        without, _, proof = said.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), self._salt, ROUNDS)
        client_key = _hmac(salted, b"Client Key")
        whole = f"{self._first},{without}".encode()
        signature = _hmac(hashlib.sha256(client_key).digest(), whole)
        if bytes(a ^ b for a, b in zip(client_key, signature, strict=True)) != base64.b64decode(proof):
            return _login_failed()
        self._state.logins += 1
        answer = base64.b64encode(_hmac(_hmac(salted, b"Server Key"), whole))
        return {"ok": 1, "conversationId": 1, "done": True, "payload": b"v=" + answer}


def _login_failed() -> Document:
    return {"ok": 0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed."}


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _fields(said: str) -> dict[str, str]:
    return {part[0]: part[2:] for part in said.split(",")}


async def threads_ended() -> None:
    """Returns when no probe's thread is at it any more, and what it connected to at last has been accepted."""
    await eventually(lambda: not any("-probe" in each.name for each in threading.enumerate()), what="probes' threads end")
    for _ in range(3):  # turns of the loop
        await asyncio.to_thread(threading.get_ident)


@asynccontextmanager
async def mongo_stand_in() -> AsyncGenerator[MongoState, None]:
    """It listens on loopback within the block."""
    state = MongoState()
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(state)
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                length, request, _, kind = struct.unpack("<iiii", await reader.readexactly(16))
                if kind not in {OP_QUERY, OP_MSG}:  # as mongod hangs up on whoever wants to speak TLS
                    break
                body = await reader.readexactly(length - 16)
                if kind == OP_QUERY:
                    document = body[body.index(b"\0", 4) + 9 :]
                    answer = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(session.answer(bson.decode(document)))
                else:
                    answer = struct.pack("<IB", 0, 0) + bson.encode(session.answer(bson.decode(body[5:])))
                answered = OP_REPLY if kind == OP_QUERY else OP_MSG
                writer.write(struct.pack("<iiii", len(answer) + 16, request + 1, request, answered) + answer)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(talk(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        state.port = int(server.sockets[0].getsockname()[1])
        yield state
        await threads_ended()
        while left := [each for each in talks if not each.done()]:
            await asyncio.wait(left, timeout=10)
