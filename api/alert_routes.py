"""All paths of alerting, for the application."""

from fastapi import APIRouter

from api import alerts, channels, heartbeats, silences

alert_routes = APIRouter()
for module in (alerts, silences, channels, heartbeats):
    alert_routes.include_router(module.router)
