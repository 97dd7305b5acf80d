"""Passwords: what is believed, what is made anew, and how many may wait."""

from collections.abc import Iterator

import pytest

from core.errors import InputInvalid, TooManyAttempts
from core.identity import passwords as module
from core.identity.passwords import Passwords

PASSWORD = "correct horse battery"
BY_THE_REFERENCE = (
    "$argon2id$v=19$m=7168,t=5,p=1$2SkuwrHG5rdiwR9rNdZD0A$A5J5fSbnLJ4OQwy88xIPZ7mHb1xgXqx6eUQYu2CGFus",
    "$argon2id$v=19$m=65536,t=3,p=4$snX9fLfswaQaJFN9MUehvg$igBp8ZDIHl4hsLnFeSIxIhAAnLC+sMeyXojGlRSDetc",
)
"""Made by the reference implementation, with today's parameters and with others."""


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


async def test_what_was_hashed_is_known_again_and_nothing_else(passwords: Passwords) -> None:
    hashed, again = await passwords.hash("码头 " + PASSWORD), await passwords.hash("码头 " + PASSWORD)
    assert hashed != again, "each has a salt of its own"
    assert await passwords.matches("码头 " + PASSWORD, hashed)
    for wrong in (PASSWORD, "码头 " + PASSWORD + " ", ""):
        assert not await passwords.matches(wrong, hashed)
    assert not passwords.is_old(hashed)


async def test_hashes_of_other_programs_and_of_before_still_count(passwords: Passwords) -> None:
    for hashed, old in zip(BY_THE_REFERENCE, (False, True), strict=True):
        assert await passwords.matches(PASSWORD, hashed)
        assert not await passwords.matches(PASSWORD + "!", hashed)
        assert passwords.is_old(hashed) is old


@pytest.mark.parametrize("hashed", [None, "", "x", "$2b$12$abc", BY_THE_REFERENCE[0][:-1], "$argon2id$v=19$m=7168,t=5,p=1$$"])
async def test_what_is_no_hash_matches_nothing(passwords: Passwords, hashed: str | None) -> None:
    assert not await passwords.matches(PASSWORD, hashed)


@pytest.mark.parametrize("password", ["short", "x" * 1025])
async def test_a_password_of_a_wrong_length_is_refused(passwords: Passwords, password: str) -> None:
    with pytest.raises(InputInvalid, match="8 to 1024"):
        await passwords.hash(password)
    assert not await passwords.matches(password, BY_THE_REFERENCE[0])


async def test_more_than_may_wait_are_told_to_come_again(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords.require_room()
    monkeypatch.setattr(module, "WAITING", 0)
    with pytest.raises(TooManyAttempts) as refused:
        await passwords.matches(PASSWORD, BY_THE_REFERENCE[0])
    assert refused.value.retry_after == 5
