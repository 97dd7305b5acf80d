"""What is restored of an archive of ``pg_dump``, and what of it last."""

from blocks.postgres_archive import ROW_SECURITY, archive

PLAIN = """
1; 1259 16385 TABLE public staff owner
2; 0 16385 TABLE DATA public staff owner
3; 2606 16390 FK CONSTRAINT public pay pay_staff_fkey owner
"""
GUARDED = "4; 0 16385 ROW SECURITY public staff owner"


def test_row_level_security_comes_after_what_it_would_hide_rows_from() -> None:
    found = archive(f"{PLAIN}{GUARDED}\n")
    first = found.use_list(None, None, extension_comments=True)
    last = found.use_list(None, None, extension_comments=True, kinds={ROW_SECURITY})
    assert (first, last) == (PLAIN.strip(), GUARDED)
    assert found.use_list("public", "staff", extension_comments=True, kinds={ROW_SECURITY}) == GUARDED
    assert found.use_list("public", "pay", extension_comments=True, kinds={ROW_SECURITY}) == ""


def test_without_it_nothing_is_left_out() -> None:
    found = archive(PLAIN)
    assert found.use_list(None, None, extension_comments=True) is None
    assert found.use_list(None, None, extension_comments=True, kinds={ROW_SECURITY}) == ""
