"""FastGPT's ``config.json`` as people write it."""

from pathlib import Path

import pytest

from core.errors import ConfigurationInvalid
from core.identity.fastgpt_ldap import merged
from core.settings_access import LdapSettings

AS_WRITTEN = """\ufeff
// FastGPT
{
  "feConfigs": { "lafEnv": "https://laf.dev", },   /* another program's */
  "ldap": {
    "enable": true, # the directory
    "url": "ldap://ad.example.com:389", # "quoted" # twice
    "bindDN": "CN=Admin,OU=Users,DC=example,DC=com",
    "bindCredentials": "p#ss\\"word", // with a mark that begins comments
    "searchBase": "OU=Users,DC=example,DC=com",
    "searchFilter": "(sAMAccountName={{username}})",
    "adminFilter": "(memberOf=CN=Admins,DC=example,DC=com)", # optional
    "somethingNew": [1, 2,],
  },
}
"""


def kept(folder: Path, text: str) -> Path:
    file = folder / "config.json"
    file.write_text(text, encoding="utf-8")
    return file


def test_it_is_read_with_comments_and_keys_that_are_not_ours(tmp_path: Path) -> None:
    found = merged(LdapSettings(fastgpt_config=kept(tmp_path, AS_WRITTEN)))
    assert found.urls == ("ldap://ad.example.com:389",)
    assert (found.bind_dn, found.search_base) == ("CN=Admin,OU=Users,DC=example,DC=com", "OU=Users,DC=example,DC=com")
    assert found.bind_password is not None
    assert found.bind_password.get_secret_value() == 'p#ss"word'
    assert found.admin_filter == "(memberOf=CN=Admins,DC=example,DC=com)"


def test_what_is_said_here_comes_first(tmp_path: Path) -> None:
    own = LdapSettings(
        fastgpt_config=kept(tmp_path, AS_WRITTEN), urls=("ldaps://dc1.example.com",), search_base="DC=example", timeout=2
    )
    found = merged(own)
    assert (found.urls, found.search_base, found.timeout) == (("ldaps://dc1.example.com",), "DC=example", 2)
    assert found.admin_filter is not None


@pytest.mark.parametrize("text", ['{"ldap": {"enable": false, "url": "ldap://h"}}', "{}", '{"ldap": {}}'])
def test_switched_off_or_absent_it_says_nothing(tmp_path: Path, text: str) -> None:
    assert merged(LdapSettings(fastgpt_config=kept(tmp_path, text))).urls == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ('{"ldap": []}', "ldap: expected an object"),
        ('{"ldap": {"url": "http://h", "searchBase": "b"}}', "ldap.url: expected an address"),
        ('{"ldap": {"url": "ldap://h"}}', "search_base"),
        ('{"ldap": {"url": "ldap://h", "searchBase": "b", "searchFilter": "(cn=x)"}}', "username"),
        ('{"ldap": {"url": "ldap://h", "searchBase": "b", "bindDN": "cn=x", "bindCredentials": ""}}', "bind_password"),
    ],
)
def test_what_is_wrong_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=said) as failed:
        merged(LdapSettings(fastgpt_config=kept(tmp_path, text)))
    assert "config.json" in failed.value.message
    with pytest.raises(ConfigurationInvalid, match="cannot be read"):
        merged(LdapSettings(fastgpt_config=tmp_path / "none.json"))
