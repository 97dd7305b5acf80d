"""Names of a drill's databases: whole where they fit, else cut so that the server takes them and no two are alike."""

from hypothesis import given
from hypothesis import strategies as st

from core.backups.naming import LONGEST, beside

PREFIX = "pilothouse_drill_1a2b_c3d4e5_"
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=63).filter(
    lambda name: len(name.encode()) <= LONGEST
)


@given(name=names)
def test_a_name_fits_and_keeps_its_prefix(name: str) -> None:
    made = beside(PREFIX, name)
    assert made.startswith(PREFIX)
    assert len(made.encode()) <= LONGEST
    if len((PREFIX + name).encode()) <= LONGEST:
        assert made == PREFIX + name


@given(first=names, second=names)
def test_two_names_never_become_one(first: str, second: str) -> None:
    assert (beside(PREFIX, first) == beside(PREFIX, second)) is (first == second)


def test_without_a_prefix_nothing_is_cut() -> None:
    assert beside("", "x" * 100) == "x" * 100
