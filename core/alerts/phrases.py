"""The fixed words of alerts in each language, and how a length of time is said."""

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Literal

Language = Literal["en", "zh"]

PHRASES: Mapping[str, tuple[str, str]] = {
    "again": ("{name} is up again after {time}", "{name} 已恢复，历时 {time}"),
    "over": ("Over after {time}: {title}", "已结束（历时 {time}）：{title}"),
    "still": ("Still, after {time}: {title}", "已持续 {time}：{title}"),
    "still_down": ("{name} has been down for {time}", "{name} 不可用已持续 {time}"),
    "flaps": ("{title}, on and off: it changed {flips} times in {time}", "{title}，时断时续：{time}内变化 {flips} 次"),
    "flapping": ("{name} is flapping: it changed {flips} times in {time}", "{name} 反复波动：{time}内变化 {flips} 次"),
    "flapping_line": (
        "No more is said of it until it has been calm for {time}.",
        "在其平稳 {time} 之前不再发送消息。",
    ),
    "calmed": ("Before, it had changed {flips} times.", "此前共变化 {flips} 次。"),
    "many": ("{count} alerts: {first}", "{count} 条告警：{first}"),
    "many_over": ("{count} alerts are over: {first}", "{count} 条告警已结束：{first}"),
    "some_over": ("{count} alerts, {over} of them over: {first}", "{count} 条告警，其中 {over} 条已结束：{first}"),
    "and_more": ("{first} and {more} more", "{first} 等另外 {more} 条"),
    "storm": ("{count} messages at once, the worst: {first}", "同时有 {count} 条消息，最严重的是：{first}"),
    "storm_over": ("{count} messages at once: all of it is over", "同时有 {count} 条消息：均已结束"),
    "digest": ("Last 24 hours: {raised} alerts, {open} still open", "过去 24 小时：{raised} 条告警，{open} 条未结束"),
    "digest_calm": ("Last 24 hours: nothing to report", "过去 24 小时：一切正常"),
    "backups": ("{good} good, {bad} failed", "成功 {good}，失败 {bad}"),
    "open_since": ("{title}, since {since} ({time})", "{title}，自 {since}（{time}）"),
    "alive": ("Pilothouse is alive", "Pilothouse 运行正常"),
    "alive_line": ("This is the daily sign that alerts arrive here.", "这是每日消息，表明告警可以送达此处。"),
    "test": ("A test from Pilothouse", "Pilothouse 测试消息"),
    "test_line": (
        "If you can read this, alerts of Pilothouse arrive here.",
        "如果您能看到这条消息，Pilothouse 的告警就能送达此处。",
    ),
    "fell_back": ("Channel {channel} could not take this.", "渠道 {channel} 未能接收此消息。"),
    "is_down": ("{name} is down", "{name} 不可用"),
    "is_degraded": ("{name} is degraded", "{name} 性能下降"),
    "is_unreachable": ("{name} cannot be reached from here", "从此处无法访问 {name}"),
}
FACTS: Mapping[str, str] = {
    "Since": "开始于",
    "Until": "结束于",
    "Service": "服务",
    "Platform": "平台",
    "Severity": "级别",
    "Last good": "上次正常",
    "Fail with it": "同时受影响",
    "Depend on it": "依赖它的服务",
    "Times": "次数",
    "Reason": "原因",
    "Check": "检查",
    "Address": "地址",
    "Raised": "新告警",
    "Over": "已结束",
    "Open": "未结束",
    "Backups": "备份",
    "Status page": "状态页",
}
"""Names of facts in Chinese; any other is shown as it is."""


def said(phrase: str, language: Language, **values: object) -> str:
    """A phrase in a language, with what it is about."""
    return PHRASES[phrase][language == "zh"].format(**values)


def fact(name: str, language: Language) -> str:
    """A fact's name."""
    return FACTS.get(name, name) if language == "zh" else name


def lasted(time: timedelta, language: Language = "en") -> str:
    """A length of time in its two largest units: ``40 s``, ``12 min``, ``3 h 5 min``, ``2 d 4 h``."""
    seconds = max(0, round(time.total_seconds()))
    units = (("d", "天", 86_400), ("h", "小时", 3600), ("min", "分钟", 60), ("s", "秒", 1))
    for at, (_, _, length) in enumerate(units):
        if seconds >= length:
            parts = [(seconds // length, units[at])]
            # Seconds beside minutes would be more than anybody wants to know.
            if at < 2 and (rest := seconds % length // units[at + 1][2]):
                parts.append((rest, units[at + 1]))
            return " ".join(f"{count} {unit[language == 'zh']}" for count, unit in parts)
    return "0 秒" if language == "zh" else "0 s"


def at(moment: datetime, zone: tzinfo) -> str:
    """A moment to the minute, with its zone: ``2026-11-21 08:30 UTC``."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"
