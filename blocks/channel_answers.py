"""What an answer of a channel means: taken, to be tried again, or refused for good, and then what to do."""

from collections.abc import Mapping

from blocks.channel_errors import WORTH_ANOTHER_TRY, Words, later
from blocks.channel_post import Reply
from core.alerts.message import Answer
from core.errors import ChannelRefused, ChannelUnavailable

WHAT_TO_CHECK: Mapping[int, str] = {
    401: "refused our login: check its headers",
    403: "refused our login: check its headers",
    404: "is not found: check its url",
    405: "takes no POST: check its url",
    410: "is gone: check its url",
    413: "found the message too large",
}


def judged(who: str, reply: Reply, words: Words, what_to_check: Mapping[int, str] = WHAT_TO_CHECK) -> Answer:
    """Any 2xx is taken. Raises ``ChannelUnavailable`` for what may pass, ``ChannelRefused`` for the rest."""
    said = words.quote(reply.text)
    if 200 <= reply.status_code < 300:
        return Answer(reply.status_code, said)
    raise refusal(who, reply.status_code, said, reply.headers, what_to_check)


def refusal(
    who: str, status: int, said: str, headers: Mapping[str, str], what_to_check: Mapping[int, str]
) -> ChannelUnavailable | ChannelRefused:
    """For a status that is none of success; ``said`` is quoted already."""
    says = f" It said: {said}" if said else ""
    if status >= 500 or status in WORTH_ANOTHER_TRY:
        what = "limits our rate" if status == 429 else "failed"
        return ChannelUnavailable(f"{who} {what} ({status}).{says}", retry_after=later(headers))
    if 300 <= status < 400:
        return ChannelRefused(f"{who} leads elsewhere ({status}), where nothing is sent: put the final address into its url.")
    return ChannelRefused(f"{who} {what_to_check.get(status, 'refused the message')} ({status}).{says}")
