"""The first administrator: the configured one, or under ``up`` one with a password made up and kept in the data directory."""

import secrets

from core.config import Settings
from core.errors import Conflict
from core.identity.passwords import Passwords
from core.store.base import Store
from core.store.users import Users
from deployments.api_parts import FIRST_ADMIN, admin_password_file
from deployments.secret_files import write_secret

NAME = "Administrator"


async def keep_first_admin(settings: Settings, make_up: bool) -> None:
    """Make one where there is no user at all; without a configured password only if one may be made up."""
    given = settings.access.admin_password
    if given is None and not make_up:
        return
    store, passwords = Store.from_settings(settings.database), Passwords()
    try:
        users = Users(store)
        if await users.any():
            return
        password = given.get_secret_value() if given is not None else secrets.token_urlsafe(15)
        email = settings.access.admin_email or FIRST_ADMIN
        if given is None:
            write_secret(admin_password_file(settings.data_dir), password)
        await users.create(email, NAME, "admin", await passwords.hash(password))
    except Conflict:
        return  # another process was first
    finally:
        passwords.close()
        await store.aclose()
