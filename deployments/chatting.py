"""``pilothouse chat``: one streamed answer, or a small prompt loop; plain text on stdout."""

import sys
from json import loads
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from core.errors import Conflict, PilothouseError
from deployments.client import DataDir, Token, Url, Workspace, ask, checked, connect, events_of, unreachable

INTERRUPTED = 130


def chat(
    text: Annotated[str | None, typer.Argument(help="What to ask; without it, lines are asked as you type them.")] = None,
    session: Annotated[str | None, typer.Option(help="Go on in this session; it is made if there is none.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to ask; else the provider order decides.")] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt for a new session.")] = None,
    url: Url = None,
    token: Token = None,
    workspace: Workspace = None,
    data_dir: DataDir = None,
) -> None:
    """Ask a model. Ctrl-C stops an answer. Example: pilothouse chat "Why is the sky blue?" """
    with connect(url, token, data_dir, workspace) as client:
        if text is None and not sys.stdin.isatty():
            text = sys.stdin.read().strip()
        conversation = Conversation(client, _session(client, session, system), model)
        if text is not None:
            raise typer.Exit(conversation.ask(text))
        typer.echo(f"session {conversation.session_id} (an empty line or Ctrl-D ends)", err=True)
        while line := _typed():
            conversation.ask(line)


class Conversation:
    """One session, asked turn by turn."""

    def __init__(self, client: httpx.Client, session_id: str, model: str | None) -> None:
        self.session_id = session_id
        self._client = client
        self._path = f"/chat/{quote(session_id, safe='')}"
        self._model = model

    def ask(self, text: str) -> int:
        """Print the answer as it comes; an exit code: 0, 1 when it failed or broke off, 130 when it was stopped."""
        body: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
        if self._model:
            body["modelConfig"] = {"model": self._model}
        turn_id = ""
        try:
            with self._client.stream("POST", self._path, json=body) as response:
                turn_id = checked(response).headers["X-Turn-Id"]
                return self._printed(response)
        except KeyboardInterrupt:
            typer.echo()
            if turn_id:
                ask(self._client, "POST", f"{self._path}/turns/{turn_id}/cancel")
            return INTERRUPTED
        except httpx.TransportError as error:
            if not turn_id:
                raise unreachable(self._client) from error
            typer.echo(f"\nThe connection was lost; the answer is kept in session {self.session_id}.", err=True)
            return 1
        except PilothouseError as error:
            typer.echo(error.message, err=True)
            return 1

    def _printed(self, response: httpx.Response) -> int:
        code = 0
        for event in events_of(response):
            if event.data == "[DONE]":
                break
            data = loads(event.data)
            if event.kind == "error":
                typer.echo(f"\n{data['error']['message']}", err=True)
                code = 1
            else:
                for choice in data.get("choices", ()):
                    typer.echo(choice.get("delta", {}).get("content") or "", nl=False)
        typer.echo()
        return code


def _session(client: httpx.Client, session: str | None, system: str | None) -> str:
    wanted = {key: value for key, value in (("sessionId", session), ("system", system)) if value is not None}
    try:
        return str(ask(client, "POST", "/chat/sessions", json=wanted).json()["sessionId"])
    except Conflict:
        if session is None:
            raise
        return session


def _typed() -> str:
    try:
        return input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        typer.echo()
        return ""
