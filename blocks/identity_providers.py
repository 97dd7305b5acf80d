"""The providers of ``[oidc.X]``, by name."""

from blocks.github_oauth import GithubOauth
from blocks.oidc_provider import OidcProvider
from core.config import Settings
from core.identity.oidc import IdentityProvider


def identity_providers(settings: Settings) -> dict[str, IdentityProvider]:
    """Made without asking them anything: one that is away stops nobody else."""
    return {
        name: (GithubOauth if one.kind == "github" else OidcProvider)(name, one, settings.ca_file)
        for name, one in settings.oidc.items()
    }
