"""What Pilothouse itself stands on: files, disk, clock, database users, Prefect, channels, and scripts of the operator's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.preflight.item import Item, judged, listed, unseen
from core.sweeps.observation import Observation

SKEW_WARN, SKEW_FAIL = 2.0, 30.0
OTHERS, ANYBODY = 0o077, 0o007


def secret_files(modes: Mapping[str, int]) -> Item:
    """Files with secrets, by their permission bits."""
    wrong = [f"{name} ({mode:o})" for name, mode in modes.items() if mode & ANYBODY]
    doubtful = [f"{name} ({mode:o})" for name, mode in modes.items() if mode & OTHERS and not mode & ANYBODY]
    told = [f"Every user of this machine can open {listed(wrong)}"] if wrong else []
    said = [f"A group can open {listed(doubtful)}"] if doubtful else []
    good = f"None of {len(modes)} files with secrets opens for anybody else"
    return judged("secret_files", told, said, good, "Take the others' rights: `chmod 600 FILE`.")


def data_dir(mode: int | None, at: str) -> Item:
    """The folder with everything that we keep. Others may pass through it (711) where parts run as another user."""
    if mode is None:
        return unseen("data_dir", f"there is no {at} yet", "Start Pilothouse once, or give --data-dir.")
    wrong = [f"Every user of this machine may change {at} ({mode:o})"] if mode & 0o002 else []
    doubtful = [f"Other users of this machine can list {at} ({mode:o})"] if mode & 0o066 and not wrong else []
    return judged("data_dir", wrong, doubtful, f"{at} is closed to others", f"Close it: `chmod 700 {at}`.")


def disk(seen: Observation) -> Item:
    """By a look at the disk of the data directory."""
    wrong = [seen.message] if seen.state == "down" else []
    doubtful = [seen.message] if seen.state not in {"up", "down"} else []
    return judged("disk", wrong, doubtful, "There is room on the disk of the data directory", "Make room, or use a larger disk.")


def clock(skew: float | None) -> Item:
    """Seconds between this machine's clock and the database server's."""
    if skew is None:
        return unseen("clock", "no database server to compare with", "Start Pilothouse, or set DATABASE_URL, and look again.")
    told = f"The clocks of this machine and of the database server differ by {abs(skew):.0f} s"
    wrong = [told] if abs(skew) > SKEW_FAIL else []
    doubtful = [told] if SKEW_WARN < abs(skew) <= SKEW_FAIL else []
    return judged("clock", wrong, doubtful, "The same time here and on the database server", "Set up NTP on both (chrony).")


@dataclass(frozen=True, slots=True)
class DatabaseUser:
    """One that we connect as. ``superuser`` is None where it could not be asked; ``near``: only this machine reaches it."""

    where: str
    superuser: bool | None
    near: bool = False


def database_users(users: Sequence[DatabaseUser]) -> Item:
    """A user that may do everything makes every hole in a program a hole in the server."""
    if not users:
        return unseen("database_users", "no database is running or configured", "Start Pilothouse, or set DATABASE_URL.")
    wrong = [each.where for each in users if each.superuser and not each.near]
    own = [each.where for each in users if each.superuser and each.near]
    away = [each.where for each in users if each.superuser is None]
    told = [f"{listed(wrong)}: the user is a superuser"] if wrong else []
    doubtful = [f"{listed(own)}: a superuser, of a server that only this machine reaches"] if own else []
    doubtful += [f"{listed(away)}: could not be asked"] if away else []
    todo = "Make a user that owns its own database alone (`CREATE ROLE … LOGIN`, `CREATE DATABASE … OWNER …`), and use it."
    return judged("database_users", told, doubtful, "None of our database users is a superuser", todo)


def workspaces(apart: bool | None) -> Item:
    """Whether requests are asked of our database by a role of their own."""
    todo = "Let our database user make it: `ALTER ROLE … CREATEROLE` as a superuser, then start the API again."
    if apart is None:
        return unseen("workspaces", "no database is running or configured", "Start Pilothouse, or set DATABASE_URL.")
    doubtful = [] if apart else ["Row-level security holds to requests, but they share one database user with everything else"]
    return judged("workspaces", [], doubtful, "Requests reach the database as a role that owns nothing", todo)


@dataclass(frozen=True, slots=True)
class ChannelSeen:
    """A configured channel: when something last arrived there, and what came back since, if that was an error."""

    name: str
    sent_at: datetime | None
    error: str = ""


def alert_channel(channels: Sequence[ChannelSeen] | None, configured: Sequence[str]) -> Item:
    """``channels``: None where nobody was there to ask."""
    todo = "Configure [channels.X] and try it: `pilothouse alerts test X`; then look whether it arrived."
    if not configured:
        return judged("alert_channel", ["No alert goes anywhere: there is no channel"], [], "", todo)
    if channels is None:
        return unseen("alert_channel", "whether anything arrived is known in the database, which does not answer", todo)
    known = {each.name: each for each in channels}
    wrong = [f"{name}: {known[name].error}" for name in configured if name in known and known[name].error]
    never = [name for name in configured if name not in known or known[name].sent_at is None]
    doubtful = [f"Nothing was ever sent to {listed(never)}"] if never else []
    return judged("alert_channel", wrong, doubtful, f"Messages arrived at {listed(configured)}", todo)


def prefect_auth(at: str | None, open_: bool | None, loopback: bool) -> Item:
    """``open_``: whether the server answers without a password; None where it did not answer."""
    todo = "Set PREFECT_SERVER_API_AUTH_STRING at the server and PREFECT_API_AUTH_STRING here."
    if at is None:
        return judged(
            "prefect_auth", [], [], "The server that `pilothouse up` starts asks for a password and stays on loopback", todo
        )
    if open_ is None:
        return unseen("prefect_auth", f"the Prefect server at {at} does not answer", "Start it and look again.")
    told = [f"The Prefect server at {at} does what anybody says, without a password"] if open_ else []
    return judged(
        "prefect_auth", [] if loopback else told, told if loopback else [], "The Prefect server asks for a password", todo
    )


@dataclass(frozen=True, slots=True)
class Script:
    """A Python script that a hook or a change runs, and how many findings bandit has in it by severity."""

    name: str
    found: Mapping[str, int] | None
    """None: bandit could not read it."""


def hook_scripts(scripts: Sequence[str], found: Sequence[Script] | None) -> Item:
    """``scripts``: all that there are; ``found``: None without bandit."""
    if not scripts:
        return judged("hook_scripts", [], [], "No hook and no change runs a Python script", "")
    todo = "Look at them: `bandit SCRIPT` says the lines."
    if found is None:
        return unseen("hook_scripts", f"bandit is not installed here, and would read {listed(scripts)}", "`pip install bandit`.")
    wrong = [f"{each.name}: {each.found['HIGH']} grave" for each in found if each.found is not None and each.found.get("HIGH")]
    doubtful = [
        f"{each.name}: {each.found['MEDIUM']} of medium weight" for each in found if each.found and each.found.get("MEDIUM")
    ]
    doubtful += [f"{each.name}: bandit could not read it" for each in found if each.found is None]
    return judged("hook_scripts", wrong, doubtful, f"bandit finds nothing grave in {len(found)} scripts", todo)
