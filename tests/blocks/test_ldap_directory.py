"""Logins by a real OpenLDAP with Active Directory's attributes: who gets in, as what, and what is refused."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ldap3
import pytest
from pydantic import SecretStr

from blocks.ldap_directory import LdapDirectory
from core.config import DatabaseSettings
from core.errors import DirectoryUnavailable
from core.identity.access_tokens import AccessTokens
from core.identity.signing_in import MANAGE, SCOPES, SigningIn
from core.settings_access import AccessSettings, LdapSettings
from core.store.base import Store
from core.store.members import Members
from core.store.workspaces import Workspaces
from tests.blocks.probes.slapd import ADMIN, PASSWORD, SCHEMAS, Slapd, missing, slapd
from tests.certificates import Authority

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PEOPLE, GROUPS = "OU=People,DC=example,DC=com", "OU=Groups,DC=example,DC=com"
SCHEMA = """
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP inetOrgPerson STRUCTURAL MAY ( sAMAccountName $ userPrincipalName $ userAccountControl ) )
"""  # noqa: E501 - a definition stands in one line
MORE = """
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
include {folder}/ad.schema
moduleload memberof
"""
OVERLAYS = """
overlay memberof
memberof-group-oc groupOfNames
memberof-refint true
"""
WORD = "right pässword"
USERS: dict[str, dict[str, Any]] = {
    "ann": {"userAccountControl": 512, "displayName": "Ann 李", "mail": "ann@example.com"},
    "bob": {"userAccountControl": 514},
    "carl": {},
    "star*": {},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="module")
def directory(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    folder = Path(tmp_path_factory.mktemp("ad"))
    (folder / "ad.schema").write_text(SCHEMA, encoding="utf-8")
    more = MORE.format(schemas=SCHEMAS, folder=folder)
    with slapd(folder / "d", authority.signed("127.0.0.1"), more, OVERLAYS) as server:
        filled(server)
        yield server


def filled(server: Slapd) -> None:
    """Groups go in over LDAP, since the overlay notices nothing else."""
    with as_administrator(server) as connection:
        assert added(connection, "DC=example,DC=com", ["dcObject", "organization"], {"o": "example"})
        for unit in (PEOPLE, GROUPS):
            assert added(connection, unit, ["organizationalUnit"])
        for name, more in USERS.items():
            given = {"sAMAccountName": name, "sn": name, "cn": name, "userPassword": WORD, **more}
            assert added(connection, f"CN={name},{PEOPLE}", ["user"], given), connection.result
        for group, members in (("Admins", ["ann"]), ("Staff", ["ann", "carl"]), ("Guests, all", ["carl"])):
            dn = f"CN={group.replace(',', chr(92) + ',')},{GROUPS}"
            assert added(connection, dn, ["groupOfNames"], {"member": [f"CN={name},{PEOPLE}" for name in members]})


@contextmanager
def as_administrator(server: Slapd) -> Iterator[ldap3.Connection]:
    connection = ldap3.Connection(
        ldap3.Server("127.0.0.1", server.tls_port, use_ssl=True, get_info=ldap3.NONE), ADMIN, PASSWORD, auto_bind=True
    )
    yield connection
    connection.unbind()


def added(connection: ldap3.Connection, dn: str, *what: Any) -> bool:
    return bool(connection.add(dn, *what))  # type: ignore[no-untyped-call]


def in_staff(connection: ldap3.Connection, name: str, how: str) -> bool:
    changes = {"member": [(how, [f"CN={name},{PEOPLE}"])]}
    return bool(connection.modify(f"CN=Staff,{GROUPS}", changes))  # type: ignore[no-untyped-call]


def settings(server: Slapd, authority: Authority, **more: Any) -> LdapSettings:
    given: dict[str, Any] = {
        "urls": [f"ldaps://127.0.0.1:{server.tls_port}"],
        "bind_dn": ADMIN,
        "bind_password": PASSWORD,
        "search_base": "DC=example,DC=com",
        "ca_file": authority.file,
        "timeout": 2,
    }
    return LdapSettings.model_validate(given | more)


@pytest.fixture
def known(directory: Slapd, authority: Authority) -> Iterator[LdapDirectory]:
    found = LdapDirectory(settings(directory, authority))
    yield found
    found.close()


async def test_who_somebody_is(known: LdapDirectory) -> None:
    person = await known.person("ANN", WORD)
    assert person is not None
    assert (person.subject, person.name, person.email, person.role) == ("ann", "Ann 李", "ann@example.com", "member")
    assert {group.partition(",")[0] for group in person.groups} == {"cn=Admins", "cn=Staff", "Admins", "Staff"}


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong"), ("ann", ""), ("", WORD), ("nobody", WORD), ("bob", WORD), ("ann\0", WORD), ("ann", f"{WORD}\0")],
)
async def test_who_does_not_get_in(known: LdapDirectory, name: str, password: str) -> None:
    assert await known.person(name, password) is None


@pytest.mark.parametrize("name", ["*", "a*", "*)(sAMAccountName=ann", "ann)(|(cn=*", "\\61nn", "ann)(&", "(ann)", "carl)(cn=*)"])
async def test_a_name_is_no_filter(known: LdapDirectory, name: str) -> None:
    assert await known.person(name, WORD) is None


async def test_a_name_with_marks_of_filters_is_found(known: LdapDirectory) -> None:
    person = await known.person("star*", WORD)
    assert person is not None
    assert person.subject == "star*"


async def test_groups_and_the_filter_decide_the_role(directory: Slapd, authority: Authority) -> None:
    async def role(name: str, **more: Any) -> str | None:
        known = LdapDirectory(settings(directory, authority, **more))
        person = await known.person(name, WORD)
        known.close()
        return person.role if person is not None else None

    admins = f"(memberOf=CN=Admins,{GROUPS})"
    assert await role("ann", admin_filter=admins) == "admin"
    assert await role("carl", admin_filter=admins.strip("()")) == "member"
    assert await role("carl", groups={f"cn=staff,{GROUPS.lower()}": "operator"}) == "operator"
    assert await role("ann", groups={"staff": "operator", "Admins": "admin"}, role="viewer") == "admin"
    assert await role("star*", groups={"staff": "operator"}, role="viewer") == "viewer"
    assert await role("star*", required_group="Staff") is None
    assert await role("carl", required_group="Staff") == "member"


async def test_groups_decide_the_workspaces(directory: Slapd, authority: Authority) -> None:
    places = {"STAFF": "research", f"cn=admins,{GROUPS.lower()}": "research:operator", "guests, all": "guests:viewer", "no": "no"}
    known = LdapDirectory(settings(directory, authority, workspaces=places))
    found = {name: person.places for name in ("ann", "carl", "star*") if (person := await known.person(name, WORD)) is not None}
    known.close()
    assert found == {"ann": {"research": "operator"}, "carl": {"research": "member", "guests": "viewer"}, "star*": {}}


async def test_who_leaves_a_group_is_out_of_the_workspace_at_the_next_login(
    directory: Slapd, authority: Authority, database_url: str
) -> None:
    store = Store.from_settings(DatabaseSettings(url=SecretStr(database_url)))
    await Workspaces(store).create("research")
    await Members(store).invite("research", f"CN=Staff,{GROUPS}", "operator")
    await Members(store).invite("research", "ldap:admins", "admin")
    known = LdapDirectory(settings(directory, authority, workspaces={"guests, all": "guests"}))
    signing_in = SigningIn(store, AccessSettings(), AccessTokens(["a secret of this test and of nobody else"], 15), [known])

    async def scopes(access: str, workspace: str) -> frozenset[str] | None:
        principal = await signing_in.of_access_token(access)
        there = principal.entering(workspace) if principal is not None else None
        return there.scopes if there is not None else None

    ann, carl, star = [(await signing_in.log_in(name, WORD, "api", "")).access for name in ("ann", "carl", "star*")]
    assert MANAGE in (await scopes(ann, "research") or ())
    assert await scopes(carl, "research") == SCOPES["operator"]
    assert await scopes(carl, "guests") == SCOPES["member"]
    assert (await scopes(star, "default"), await scopes(star, "research")) == (SCOPES["member"], None)
    with as_administrator(directory) as connection:
        assert in_staff(connection, "carl", ldap3.MODIFY_DELETE), connection.result
        try:
            again = (await signing_in.log_in("carl", WORD, "api", "")).access
            assert [await scopes(token, "research") for token in (carl, again)] == [None, None], "older logins too"
            assert await scopes(again, "guests") == SCOPES["member"]
        finally:
            assert in_staff(connection, "carl", ldap3.MODIFY_ADD)
    signing_in.close()
    known.close()
    await store.aclose()


async def test_a_server_that_is_away_is_passed_over(directory: Slapd, authority: Authority) -> None:
    here = f"ldap://127.0.0.1:{directory.port}"
    known = LdapDirectory(settings(directory, authority, urls=["ldap://127.0.0.1:9", here], start_tls=True))
    assert await known.person("ann", WORD) is not None
    known.close()
    away = LdapDirectory(settings(directory, authority, urls=["ldap://127.0.0.1:9"], timeout=0.5))
    with pytest.raises(DirectoryUnavailable, match="No server"):
        await away.person("ann", WORD)
    away.close()


async def test_what_is_wrong_with_our_own_account_or_its_trust_is_no_wrong_password(
    directory: Slapd, authority: Authority
) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "ldap.bind_dn": {"bind_password": "wrong"},
        "No server": {"ca_file": None},
        "malformed": {"search_filter": "(({{username}}"},
    }
    for said, more in wrong.items():
        known = LdapDirectory(settings(directory, authority, **more))
        with pytest.raises(DirectoryUnavailable, match=said) as failed:
            await known.person("ann", WORD)
        assert PASSWORD not in str(failed.value)
        known.close()


async def test_a_right_password_is_believed_only_as_long_as_set(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "ad.schema").write_text(SCHEMA, encoding="utf-8")
    with slapd(tmp_path / "d", authority.signed("127.0.0.1"), MORE.format(schemas=SCHEMAS, folder=tmp_path), OVERLAYS) as server:
        filled(server)
        believing = LdapDirectory(settings(server, authority, cache_seconds=60))
        asking = LdapDirectory(settings(server, authority))
        for known in (believing, asking):
            assert await known.person("ann", WORD) is not None
    began = time.monotonic()
    assert await believing.person("ann", WORD) is not None
    assert time.monotonic() - began < 0.5
    for known, password in ((believing, "wrong"), (asking, WORD)):
        with pytest.raises(DirectoryUnavailable):
            await known.person("ann", password)
        known.close()
