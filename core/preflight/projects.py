"""All checks of compose files, in their order."""

from collections.abc import Mapping, Sequence

from core.preflight import compose, exposed, hardening, versions
from core.preflight.composed import Service
from core.preflight.item import Item, judged, listed, unseen

CHECKS = (
    compose.healthchecks,
    compose.log_rotation,
    compose.resource_limits,
    compose.restart_policies,
    compose.volumes,
    compose.exposed_ports,
    hardening.read_only,
    hardening.capabilities,
    hardening.security_options,
    hardening.privileged,
    hardening.docker_socket,
    hardening.image_tags,
    versions.image_versions,
)


def items_of(
    files: Sequence[str],
    services: Sequence[Service],
    variables: Mapping[str, str],
    refused: Sequence[str],
    doubtful: Sequence[str] = (),
) -> list[Item]:
    """``variables``: of the projects' environment files; ``refused``: why files could not be read;
    ``doubtful``: what Compose said besides.
    """
    if not files:
        why = "no compose file was given, so nothing is known of the containers"
        return [
            unseen("compose", why, "Name them: `pilothouse preflight docker-compose.yaml`; or in the compose of [changes.X].")
        ]
    read = judged("compose", refused, doubtful, f"Read: {listed(files)}", "Correct the file and look again.")
    if not services:
        return [read]
    return [read, exposed.literal_secrets(services, variables), *(check(services) for check in CHECKS)]
