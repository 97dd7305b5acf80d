"""Rates: how often somebody has asked in the window that runs, counted exactly over all API processes."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from core.quotas.counting import Window
from core.settings_quotas import Rate
from core.store.base import Base, Store


class RateRow(Base):
    """One key's window; the next request after its end begins another one."""

    __tablename__ = "rates"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    began_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    used: Mapped[int] = mapped_column(BigInteger)


# One statement, whose row lock makes it exact: a refused request counts too, but does not move the window.
_TAKE = text("""
    INSERT INTO pilothouse.rates AS r (key, began_at, used) VALUES (:key, now(), 1)
    ON CONFLICT (key) DO UPDATE SET
        began_at = CASE WHEN r.began_at + make_interval(secs => :seconds) <= now() THEN now() ELSE r.began_at END,
        used = CASE WHEN r.began_at + make_interval(secs => :seconds) <= now() THEN 1 ELSE r.used + 1 END
    RETURNING used, greatest(0, extract(epoch FROM began_at + make_interval(secs => :seconds) - now())) AS seconds
""")


class Rates:
    """Questions about rates."""

    def __init__(self, store: Store) -> None:
        self._store = store.system

    async def take(self, key: str, rate: Rate) -> Window:
        """Count one more request for ``key``."""
        async with self._store.single() as connection:
            row = (await connection.execute(_TAKE, {"key": key, "seconds": rate.seconds})).one()
        return Window(row.used <= rate.most, max(0, rate.most - row.used), float(row.seconds))

    async def forget(self) -> int:
        """Delete windows that ended a day ago; how many."""
        old = text("DELETE FROM pilothouse.rates WHERE began_at < now() - interval '1 day'")
        async with self._store.single() as connection:
            return (await connection.execute(old)).rowcount
