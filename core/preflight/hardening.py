"""How much a service that is broken into could do: its rights in compose files."""

from collections.abc import Sequence

from core.preflight.composed import Service, lacking
from core.preflight.item import Item, judged, listed
from core.topology.known import name_of

DANGEROUS = frozenset(
    {"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "NET_ADMIN", "DAC_READ_SEARCH", "SYS_RAWIO", "BPF", "SYS_BOOT"}
)
"""Capabilities that lead out of a container, or close to it."""
PROXIES = ("docker-socket-proxy", "socket-proxy")


def read_only(services: Sequence[Service]) -> Item:
    """Stores write beside their volumes as well, so they are left out."""
    doubtful = lacking(
        [each for each in services if not each.is_store], lambda each: bool(each.said.get("read_only")), "Writable"
    )
    todo = "Write `read_only: true`, with `tmpfs: [/tmp]` for what it writes; try it, since some images cannot."
    return judged("read_only", [], doubtful, "The files of each service are read-only", todo)


def capabilities(services: Sequence[Service]) -> Item:
    """Docker gives fourteen by default, of which most services need none."""
    wrong = [
        f"{each.name} gets {listed(sorted(given))}" for each in services if (given := DANGEROUS & set(_words(each, "cap_add")))
    ]
    doubtful = lacking(services, lambda each: "ALL" in _words(each, "cap_drop"), "Capabilities are not dropped")
    todo = "Write `cap_drop: [ALL]`, and `cap_add` with what it cannot do without."
    return judged("capabilities", wrong, doubtful, "Each service drops its capabilities", todo)


def security_options(services: Sequence[Service]) -> Item:
    """``no-new-privileges`` keeps programs from gaining rights by setuid; ``unconfined`` takes a wall away."""
    open_ = [each.name for each in services if any("unconfined" in option for option in _options(each))]
    wrong = [f"A wall around it is taken away (unconfined): {listed(open_)}"] if open_ else []
    doubtful = lacking(
        services,
        lambda each: any(option in {"no-new-privileges", "no-new-privileges:true"} for option in _options(each)),
        "Programs in it may gain rights",
    )
    todo = "Write `security_opt: [no-new-privileges:true]`, and take unconfined profiles out."
    return judged("security_options", wrong, doubtful, "No service can gain rights", todo)


def privileged(services: Sequence[Service]) -> Item:
    """A privileged container is the host."""
    wrong = lacking(services, lambda each: not each.said.get("privileged"), "Privileged, and so as good as root on the host")
    doubtful = lacking(
        services,
        lambda each: each.said.get("pid") != "host" and each.said.get("ipc") != "host",
        "It sees the host's processes or shared memory",
    )
    todo = "Take `privileged`, `pid: host` and `ipc: host` out; give single devices or capabilities instead."
    return judged("privileged", wrong, doubtful, "No service is privileged", todo)


def docker_socket(services: Sequence[Service]) -> Item:
    """Who may talk to Docker may start a privileged container; ``:ro`` does not change that."""
    holders = [each for each in services if _has_socket(each)]
    proxies = [each.name for each in holders if name_of(each.part.image)[0] in PROXIES]
    others = [each.name for each in holders if each.name not in proxies]
    wrong = [f"It may tell Docker anything, and so is as good as root on the host: {listed(others)}"] if others else []
    doubtful = [f"{listed(proxies)}: a proxy of Docker's socket; look at what it lets through"] if proxies else []
    todo = "Take the mount of docker.sock out, or put a proxy before it that lets only reading through."
    return judged("docker_socket", wrong, doubtful, "No service may talk to Docker", todo)


def image_tags(services: Sequence[Service]) -> Item:
    """``latest`` is another version on every machine and after every pull."""
    loose = [each.name for each in services if each.part.image and _is_loose(each.part.image) and not each.said.get("build")]
    wrong = [f"Nobody can say which version runs (latest, or no tag): {listed(loose)}"] if loose else []
    return judged("image_tags", wrong, [], "Each image has a version", "Write the version that was tried, such as `redis:7.4.6`.")


def _is_loose(image: str) -> bool:
    if "@sha256:" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in {"", "latest", "main", "master", "nightly", "edge"}


def _words(service: Service, key: str) -> list[str]:
    return [str(word).upper().removeprefix("CAP_") for word in service.said.get(key) or ()]


def _options(service: Service) -> list[str]:
    return [str(option).replace("=", ":") for option in service.said.get("security_opt") or ()]


def _has_socket(service: Service) -> bool:
    return any(
        str(each.get("source") or "").endswith(("docker.sock", "containerd.sock", "podman.sock"))
        for each in service.said.get("volumes") or ()
    )
