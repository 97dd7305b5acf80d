"""What the status page says, in English and Chinese, and how it writes times, spans and sizes."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Literal, get_args

from core.status import model_words

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_EN: Mapping[str, str] = {
    "status": "Status",
    "ok": "Everything works",
    "warning": "Works, with troubles",
    "critical": "Something is down",
    "one_down": "{title} is down",
    "many_down": "{n} services are down",
    "comma": ", ",
    "overdue_short": "Sweeps are overdue",
    "all_services": "Services",
    "unknown_all": "Nothing has been checked yet",
    "up": "up",
    "degraded": "degraded",
    "down": "down",
    "unreachable": "not reachable from here",
    "unreachable_short": "not reachable",
    "unknown": "not known yet",
    "services": "services",
    "troubles": "What is wrong",
    "more_troubles": "more are not listed here; open their platforms below",
    "since": "since",
    "for": "for",
    "explains": "Explains",
    "explained": "because of",
    "explained_more": "and {n} more",
    "last_sweep": "Last sweep",
    "ago": "{span} ago",
    "just_now": "just now",
    "by_flow": "by the flow",
    "by_standby": "by the API itself, in place of the flow",
    "by_command": "by hand",
    "took": "took {span}",
    "every": "every {span}",
    "no_sweep": "No sweep yet",
    "overdue": "Sweeps are overdue: what is shown here may be out of date.",
    "overdue_since": "The last one was {span} ago, and one is due every {interval}.",
    "overdue_never": "None has come since this began, and one is due every {interval}.",
    "offline": "The machine that sweeps had no network itself: what it saw of other machines says nothing.",
    "service": "Service",
    "latency": "Latency, 24 h",
    "history": "90 days",
    "uptime": "Uptime",
    "uptime_of": "Uptime of {span}",
    "no_data": "no data",
    "picture": "What needs what",
    "picture_part": "Only troubles and what they touch; the platform has {n} services.",
    "picture_note": "A service stands above what it needs. A dashed line is a guess from its environment.",
    "alone": "Not drawn, since nothing joins them to the others: {n}.",
    "picture_said": "{n} services and {edges} dependencies.",
    "alerts": "Alerts",
    "no_alerts": "None in the last days.",
    "open": "open",
    "resolved": "over",
    "silenced": "silenced",
    "lasted": "lasted {span}",
    "sent": "sent",
    "waiting": "waiting",
    "given_up": "given up",
    "passed_on": "passed on to the fallback",
    "tries": "{n} tries",
    "nobody": "no channel took it",
    "channels": "Channels",
    "channel_waits": "{n} waiting, the oldest for {span}",
    "channel_gave_up": "{n} given up in the last day",
    "silences": "Silences",
    "windows": "Maintenance",
    "maintenance": "maintenance",
    "until": "until",
    "by": "by",
    "backups": "Backups",
    "no_backups": "No source is backed up.",
    "fresh": "fresh",
    "late": "late",
    "failed": "failed",
    "none": "no good backup",
    "last_good": "Last good",
    "size": "Size",
    "drill": "Drill",
    "no_drill": "never drilled",
    "good": "good",
    "severity_critical": "critical",
    "severity_warning": "warning",
    "severity_info": "info",
    "flapping": "flapping",
    "runbook": "Runbook",
    "all_platforms": "All platforms",
    "other": "Other services",
    "page": "Page {n} of {of}",
    "earlier": "Back",
    "later": "Next",
    "light": "Light",
    "dark": "Dark",
    "auto": "As the device",
    "theme": "Colours",
    "language": "Language",
    "refreshes": "Loads itself again every {n} s",
    "pause": "Pause",
    "resume": "Load again by itself",
    "to_services": "Go to the services",
    "no_services": "No services are known. Import a compose file, or write them into the configuration.",
    "as_of": "As of",
    "json": "The same for programs",
    "log_out": "Log out",
    "state": "State",
    "door_usage": "Usage and quotas",
    "door_docs": "API documentation",
    "away": "The database does not answer, so nothing can be shown. This page tries again by itself.",
}
_ZH: Mapping[str, str] = {
    "status": "运行状态",
    "ok": "一切正常",
    "warning": "可用，但存在问题",
    "critical": "有服务故障",
    "one_down": "{title} 故障",
    "many_down": "{n} 个服务故障",
    "comma": "，",
    "overdue_short": "巡检已逾期",
    "all_services": "服务",
    "unknown_all": "尚未进行检查",
    "up": "正常",
    "degraded": "降级",
    "down": "故障",
    "unreachable": "此处无法访问",
    "unreachable_short": "无法访问",
    "unknown": "尚不明确",
    "services": "个服务",
    "troubles": "当前问题",
    "more_troubles": "个问题未在此列出，请打开下方的平台查看",
    "since": "始于",
    "for": "已持续",
    "explains": "受其影响",
    "explained": "原因：",
    "explained_more": "以及另外 {n} 个",
    "last_sweep": "上次巡检",
    "ago": "{span}前",
    "just_now": "刚刚",
    "by_flow": "由流程执行",
    "by_standby": "由 API 进程代为执行",
    "by_command": "手动执行",
    "took": "耗时 {span}",
    "every": "每 {span}一次",
    "no_sweep": "尚无巡检",
    "overdue": "巡检已逾期：此处显示的内容可能已过时。",
    "overdue_since": "上一次在 {span}前，应每 {interval}进行一次。",
    "overdue_never": "启动以来尚未巡检，应每 {interval}进行一次。",
    "offline": "执行巡检的机器自身没有网络：它对其他机器的检查结果不可信。",
    "service": "服务",
    "latency": "延迟（24 小时）",
    "history": "90 天",
    "uptime": "可用率",
    "uptime_of": "{span}可用率",
    "no_data": "无数据",
    "picture": "依赖关系",
    "picture_part": "仅显示有问题的服务及其关联；该平台共有 {n} 个服务。",
    "picture_note": "服务位于其依赖的上方。虚线表示根据环境变量推测的依赖。",
    "alone": "另有 {n} 个服务没有依赖关系，未画出。",
    "picture_said": "{n} 个服务，{edges} 条依赖。",
    "alerts": "告警",
    "no_alerts": "最近几天没有告警。",
    "open": "未恢复",
    "resolved": "已恢复",
    "silenced": "已静默",
    "lasted": "持续 {span}",
    "sent": "已发送",
    "waiting": "等待发送",
    "given_up": "已放弃",
    "passed_on": "已转交备用通道",
    "tries": "尝试 {n} 次",
    "nobody": "没有通道接收",
    "channels": "通道",
    "channel_waits": "{n} 条等待发送，最早的已等待 {span}",
    "channel_gave_up": "最近一天放弃 {n} 条",
    "silences": "静默",
    "windows": "维护窗口",
    "maintenance": "维护中",
    "until": "直至",
    "by": "由",
    "backups": "备份",
    "no_backups": "没有配置备份。",
    "fresh": "最新",
    "late": "逾期",
    "failed": "失败",
    "none": "没有可用备份",
    "last_good": "最近成功",
    "size": "大小",
    "drill": "演练",
    "no_drill": "从未演练",
    "good": "成功",
    "severity_critical": "严重",
    "severity_warning": "警告",
    "severity_info": "提示",
    "flapping": "抖动",
    "runbook": "处理手册",
    "all_platforms": "全部平台",
    "other": "其他服务",
    "page": "第 {n} 页，共 {of} 页",
    "earlier": "上一页",
    "later": "下一页",
    "light": "浅色",
    "dark": "深色",
    "auto": "跟随设备",
    "theme": "配色",
    "language": "语言",
    "refreshes": "每 {n} 秒自动刷新",
    "pause": "暂停",
    "resume": "恢复自动刷新",
    "to_services": "跳到服务列表",
    "no_services": "尚无服务。请导入 compose 文件，或在配置中写入服务。",
    "as_of": "截至",
    "json": "程序接口",
    "log_out": "退出登录",
    "state": "状态",
    "door_usage": "用量与配额",
    "door_docs": "API 文档",
    "away": "数据库没有响应，暂时无法显示。本页会自动重试。",
}
WORDS: Mapping[Language, Mapping[str, str]] = {"en": {**_EN, **model_words.EN}, "zh": {**_ZH, **model_words.ZH}}
_SPANS: Mapping[Language, tuple[str, str, str, str]] = {"en": (" d", " h", " min", " s"), "zh": (" 天", " 小时", " 分钟", " 秒")}


def span(seconds: float, language: Language) -> str:
    """``2 d 3 h``: the two largest units, less than a second as milliseconds."""
    if seconds < 1:
        return f"{round(max(0.0, seconds) * 1000)} ms" if language == "en" else f"{round(max(0.0, seconds) * 1000)} 毫秒"
    whole = round(seconds)
    parts = (whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60)
    named = [f"{count}{unit}" for count, unit in zip(parts, _SPANS[language], strict=True)]
    first = next(index for index, count in enumerate(parts) if count)
    said = [named[first]]
    if first < 3 and parts[first + 1] and not (first == 0 and parts[0] > 9):
        said.append(named[first + 1])
    return " ".join(said)


def moment(at: datetime, now: datetime, zone: tzinfo) -> str:
    """``14:03`` of today, else ``11-20 14:03``, with the year where that is another one."""
    local, today = at.astimezone(zone), now.astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def latency(seconds: float) -> str:
    """``12 ms``, ``1.24 s``."""
    return f"{seconds * 1000:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def size(count: float) -> str:
    """``3.4 MB``: bytes in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def percent(share: float | None) -> str:
    """``99.98 %``; rounded down, so that 100 % means that nothing was missed; a dash for None."""
    if share is None:
        return "–"
    return "100 %" if share >= 1 else f"{int(share * 10_000) / 100:.2f} %"


def language_of(wanted: str | None, accepted: str) -> Language:
    """The language that is asked for by name, else the first of an ``Accept-Language`` that there is; English if none."""
    if wanted in LANGUAGES:
        return "zh" if wanted == "zh" else "en"
    ranked: list[tuple[float, int, str]] = []
    for index, part in enumerate(accepted[:500].split(",")):
        name, _, quality = part.partition(";")
        try:
            weight = float(quality.partition("=")[2]) if quality else 1.0
        except ValueError:
            weight = 0.0
        ranked.append((-weight, index, name.strip().lower()))
    for weight, _, name in sorted(ranked):
        if weight < 0 and name.partition("-")[0] in LANGUAGES:
            return "zh" if name.startswith("zh") else "en"
    return "en"
