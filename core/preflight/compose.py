"""What the seasoned demand of compose files before production: checks, limits, logs that end, data that lasts."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.preflight.composed import Service, lacking
from core.preflight.item import Item, judged
from core.topology.known import name_of

UNBOUNDED = ("", "json-file")
ALL = ("", "0.0.0.0", "::", "[::]")  # noqa: S104  (looked for, not listened on)


def healthchecks(services: Sequence[Service]) -> Item:
    """Docker only knows that a process runs, unless it is told how to ask."""
    looked = [each for each in services if each.lasting]
    disabled = [each for each in looked if (each.said.get("healthcheck") or {}).get("disable")]
    wrong = lacking(disabled, lambda _: False, "The check of the image is switched off")
    without = [each for each in looked if each not in disabled]
    wrong += lacking(without, lambda each: bool(each.part.healthcheck), "No healthcheck")
    todo = "Write `healthcheck:` with a test, an interval and retries for each."
    return judged("healthchecks", wrong, [], "Each service has a healthcheck", todo)


def log_rotation(services: Sequence[Service]) -> Item:
    """``json-file``, Docker's default, fills the disk unless it has a size."""
    wrong = lacking(services, _rotates, "Logs grow without end")
    silent = lacking(services, lambda each: _logging(each).get("driver") != "none", "Logs are thrown away")
    todo = 'Write `logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}`, or log-opts in Docker\'s daemon.json.'
    return judged("log_rotation", wrong, silent, "The logs of each service have a size", todo)


def resource_limits(services: Sequence[Service]) -> Item:
    """Without one, a single service takes the whole machine's memory."""
    wrong = lacking(services, lambda each: bool(_limit(each, "memory", "mem_limit")), "No limit of memory")
    doubtful = lacking(services, lambda each: bool(_limit(each, "cpus", "cpus")), "No limit of processors")
    todo = "Write `deploy: {resources: {limits: {memory: 1g, cpus: '1'}}}` for each, by what it needs."
    return judged("resource_limits", wrong, doubtful, "Each service has its limits", todo)


def restart_policies(services: Sequence[Service]) -> Item:
    """What is not told to come back stays away after a crash or a restart of the machine."""
    looked = [each for each in services if each.lasting]
    wrong = lacking(looked, lambda each: _restart(each) not in {"", "no", "none"}, "Not started again")
    failing = [each for each in looked if _restart(each).startswith("on-failure")]
    doubtful = lacking(failing, lambda _: False, "Not started again after a restart of the machine (on-failure)")
    todo = "Write `restart: unless-stopped`."
    return judged("restart_policies", wrong, doubtful, "Each service is started again", todo)


def volumes(services: Sequence[Service]) -> Item:
    """What a store keeps must outlive its container."""
    stores = [each for each in services if each.data is not None]
    kept = [each for each in stores if name_of(each.part.image)[0] not in {"redis", "valkey"}]
    caches = [each for each in stores if each not in kept]
    wrong = lacking(kept, _lasts, "What it keeps is gone with its container")
    doubtful = lacking(caches, _lasts, "What it keeps is gone with its container, be it only a cache")
    todo = "Mount a named volume or a folder of the host at the store's data."
    return judged("volumes", wrong, doubtful, "What stores keep outlives their containers", todo)


def exposed_ports(services: Sequence[Service]) -> Item:
    """Docker's ports go past the host's firewall."""
    wrong, doubtful = [], []
    for each in services:
        open_ = [str(port.outside) for port in each.part.ports if port.address in ALL]
        open_ += ["a random one" for _ in each.part.random]
        if open_ and each.is_store:
            wrong.append(f"{each.name}: everybody who reaches this machine reaches the store, by port {', '.join(open_)}")
        elif each.part.network == "host":
            doubtful.append(f"{each.name}: shares the host's network, with all of its ports")
    todo = "Leave `ports:` out for stores, or write 127.0.0.1:PORT:PORT; services of a project reach each other without."
    return judged("exposed_ports", wrong, doubtful, "No store can be reached from other machines", todo)


def _logging(service: Service) -> Mapping[str, Any]:
    return service.said.get("logging") or {}


def _rotates(service: Service) -> bool:
    logging = _logging(service)
    return logging.get("driver", "") not in UNBOUNDED or bool((logging.get("options") or {}).get("max-size"))


def _limit(service: Service, name: str, old: str) -> object:
    limits = ((service.said.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    return limits.get(name) or service.said.get(old)


def _restart(service: Service) -> str:
    policy = (service.said.get("deploy") or {}).get("restart_policy")
    if policy is not None:
        return str(policy.get("condition") or "any")
    return str(service.said.get("restart") or "")


def _lasts(service: Service) -> bool:
    place = service.data or ""
    return any(
        (target := str(each.get("target") or "").rstrip("/"))
        and (not place or f"{target}/".startswith(f"{place}/") or f"{place}/".startswith(f"{target}/"))
        for each in service.said.get("volumes") or ()
        if each.get("type") in {"volume", "bind", "nfs", "cluster"} and each.get("source")
    )
