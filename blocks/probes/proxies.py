"""Which proxy leads to an address, by ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``; to this machine, none."""

from urllib.request import getproxies, proxy_bypass

from core.addresses import is_loopback


def proxy_of(scheme: str, host: str, port: int) -> str | None:
    """The proxy's address; None for the direct way."""
    if is_loopback(host):
        return None
    proxies = getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    if not found or proxy_bypass(f"{host}:{port}") or proxy_bypass(host):
        return None
    return found if "://" in found else f"http://{found}"
