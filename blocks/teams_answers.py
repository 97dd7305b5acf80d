"""What Teams' answers mean. A Workflow's 202 says that it was queued; a connector's 200 may be a failure told in its text.

From Microsoft's documents and the reports of those who send there.
"""

import re
from collections.abc import Mapping

from blocks.channel_answers import judged, refusal
from blocks.channel_errors import Words
from blocks.channel_post import Reply
from core.alerts.message import Answer
from core.errors import ChannelRefused, ChannelUnavailable

TAKEN = "1"
"""The whole body with which a connector says that a card is in the channel."""
NEW_URL = "make sure that the flow still exists, copy its address again and put it into the channel's url"
WORKFLOW: Mapping[int, str] = {
    400: "refused the card",
    401: f"refused us: its signature is wrong, or its trigger is not open to anyone; {NEW_URL}",
    403: f"refused us: its signature is wrong, or its trigger is not open to anyone; {NEW_URL}",
    404: f"is not found: {NEW_URL}",
    405: f"takes no card: {NEW_URL}",
    410: f"is gone: {NEW_URL}",
    413: "found the card too large",
}
RETIRED = 'Office 365 connectors are retired: make a Workflow, put its address into the channel\'s url and set kind = "teams"'
CONNECTOR: Mapping[int, str] = {
    400: "refused the card",
    401: f"refused us; {RETIRED}",
    403: f"refused us; {RETIRED}",
    404: f"is not found; {RETIRED}",
    410: f"is gone; {RETIRED}",
    413: "found the card too large",
}
SWITCHED_OFF = re.compile(r"NotEnabled|not enabled|Disabled|Suspended|turned off", re.I)
WANTS_BARE = re.compile(r"'type' must be|must be 'AdaptiveCard'", re.I)
WANTS_WRAPPED = re.compile(r"foreach|attachments?\b", re.I)
_INNER = re.compile(r"HTTP error (\d{3})", re.I)
_FAILED = re.compile(r"message delivery failed|Microsoft Teams endpoint returned", re.I)
_THROTTLED = re.compile(r"throttl|too many requests|rate.?limit", re.I)


def of_workflow(who: str, reply: Reply, words: Words) -> Answer:
    """Any 2xx is taken, and no proof that a card is shown: 202 is answered before the flow runs."""
    if reply.status_code == 400 and (what := _mistake(reply.text)):
        raise ChannelRefused(f"{who} {what} (400).")
    if 200 <= reply.status_code < 300 and _FAILED.search(reply.text):
        return of_connector(who, reply, words)
    return judged(who, reply, words, WORKFLOW)


def of_connector(who: str, reply: Reply, words: Words) -> Answer:
    """Taken is ``1`` with status 200; every other text tells of a failure, and often of its status."""
    said = words.quote(reply.text)
    if reply.status_code == 200 and reply.text.strip() == TAKEN:
        return Answer(200, said)
    if not 200 <= reply.status_code < 300:
        raise refusal(who, reply.status_code, said, reply.headers, CONNECTOR)
    if inner := _INNER.search(reply.text):
        raise refusal(who, int(inner[1]), said, reply.headers, CONNECTOR)
    if _THROTTLED.search(reply.text):
        raise refusal(who, 429, said, reply.headers, CONNECTOR)
    if reply.status_code == 202:
        raise ChannelRefused(f'{who} answers as a Workflow does (202): set kind = "teams".')
    says = f" It said: {said}" if said else ""
    raise ChannelUnavailable(f"{who} did not say that the card arrived ({reply.status_code}).{says}")


def _mistake(text: str) -> str:
    """What to change where a flow cannot have the card at all; empty: something else."""
    if SWITCHED_OFF.search(text):
        return "is turned off: turn the flow on in Power Automate, and see that its owner and its connections are still valid"
    if WANTS_BARE.search(text):
        return "wants the card by itself: set wrap = false"
    if WANTS_WRAPPED.search(text):
        return "wants the card as an attachment of a message: set wrap = true"
    return ""
