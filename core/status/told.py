"""The status for programs: the same facts as the page's, as JSON whose names stay."""

from datetime import UTC, datetime
from typing import Any

from core.status.model_view import ModelView
from core.status.view import AlertView, BackupView, PlatformView, ServiceView, StatusView, SweepView


def told(view: StatusView, now: datetime | None = None) -> dict[str, Any]:
    """Times in UTC (RFC 3339), spans in seconds, sizes in bytes, uptimes as shares from 0 to 1; null where nothing is known."""
    return {
        "status": view.overall,
        "asOf": _at(now or view.now),
        "sweep": _sweep(view.sweep),
        "counts": view.counts,
        "troubles": [
            {"service": trouble.service.key, "explains": trouble.count, "explained": [each.key for each in trouble.folded]}
            | _brief(trouble.service)
            for trouble in view.troubles
        ],
        "moreTroubles": view.more_troubles,
        "platforms": [_platform(platform) for platform in view.platforms],
        "services": [_service(service) for platform in view.platforms for service in platform.services],
        "page": {
            "number": view.page.number,
            "pages": view.page.pages,
            "platform": view.page.platform,
            "complete": view.page.whole and view.page.platform is None,
        },
        "alerts": [_alert(alert) for alert in view.alerts],
        "silences": [
            {"id": each.id, "covers": each.what, "until": _at(each.until), "reason": each.reason, "by": each.by}
            for each in view.silences
        ],
        "maintenance": [{"service": each.service, "title": each.title, "platform": each.platform} for each in view.windows],
        "backups": [_backup(backup) for backup in view.backups],
        "channels": [
            {"channel": each.name, "waiting": each.waiting, "givenUp": each.given_up, "waitingSince": _at(each.oldest)}
            for each in view.channels
        ],
        "models": [_model(model) for model in view.models],
    }


def _at(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sweep(sweep: SweepView) -> dict[str, Any]:
    return {
        "at": _at(sweep.at),
        "seconds": sweep.seconds,
        "by": sweep.by or None,
        "interval": sweep.interval,
        "overdue": sweep.overdue,
    }


def _brief(service: ServiceView) -> dict[str, Any]:
    return {
        "title": service.title,
        "platform": service.platform,
        "state": service.state,
        "since": _at(service.since),
        "code": service.code,
        "message": service.message,
        "maintenance": service.maintenance,
        "flapping": service.flapping,
    }


def _platform(platform: PlatformView) -> dict[str, Any]:
    return {"name": platform.name, "total": platform.total, "worst": platform.worst, "counts": dict(platform.counts)}


def _service(service: ServiceView) -> dict[str, Any]:
    return {
        "id": service.key,
        "name": service.name,
        **_brief(service),
        "checkedAt": _at(service.checked_at),
        "seconds": service.seconds,
        "because": service.root or None,
        "dependsOn": list(service.needs),
        "hints": list(service.hints),
        "runbook": service.runbook,
        "uptime": {"day": service.uptime.day, "week": service.uptime.week, "quarter": service.uptime.quarter},
        "latency": list(service.latency),
    }


def _alert(alert: AlertView) -> dict[str, Any]:
    return {
        "id": alert.id,
        "title": alert.title,
        "text": alert.text,
        "severity": alert.severity,
        "origin": alert.origin,
        "service": alert.service,
        "platform": alert.platform,
        "openedAt": _at(alert.opened_at),
        "resolvedAt": _at(alert.resolved_at),
        "silenced": alert.silenced,
        "deliveries": [
            {"channel": each.channel, "status": each.status, "at": _at(each.at), "tries": each.tries, "words": each.words}
            for each in alert.deliveries
        ],
    }


def _backup(backup: BackupView) -> dict[str, Any]:
    return {
        "source": backup.source,
        "engine": backup.engine,
        "status": backup.fresh,
        "goodAt": _at(backup.good_at),
        "size": backup.size,
        "seconds": backup.seconds,
        "triedAt": _at(backup.tried_at),
        "error": backup.error,
        "drill": backup.drill or None,
        "drillAt": _at(backup.drill_at),
        "drillSeconds": backup.drill_seconds,
    }


def _model(model: ModelView) -> dict[str, Any]:
    figures = model.figures
    return {
        "provider": model.provider,
        "model": model.model,
        "state": model.state,
        "message": model.message,
        "turns": figures.turns,
        "errors": figures.errors,
        "retries": figures.retries,
        "fallbacks": figures.fallbacks,
        "firstToken": {"median": figures.first_token, "p95": figures.first_token_p95},
        "tokensPerSecond": figures.tokens_per_second,
        "version": model.version or None,
        "changedAt": _at(model.changed_at),
        "listed": not model.gone,
    }
