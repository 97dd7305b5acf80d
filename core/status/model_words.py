"""What the status page says of models, in English and Chinese."""

from collections.abc import Mapping

EN: Mapping[str, str] = {
    "models": "Models, 24 h",
    "model": "Model",
    "turns": "Turns",
    "errors": "Errors",
    "retries": "Retries",
    "fallbacks": "Passed on",
    "first_token": "First token",
    "first_token_note": "median · 95 of 100",
    "speed": "Tokens/s",
    "version": "Version",
    "version_changed": "changed {ago}",
    "not_listed": "not listed any more",
    "models_note": "First token: median · 95 of 100. Passed on: turns in which the next model was asked in its place.",
}
ZH: Mapping[str, str] = {
    "models": "模型（24 小时）",
    "model": "模型",
    "turns": "轮次",
    "errors": "错误",
    "retries": "重试",
    "fallbacks": "转交",
    "first_token": "首个 token",
    "first_token_note": "中位数 · 95%",
    "speed": "Token/秒",
    "version": "版本",
    "version_changed": "{ago}有变更",
    "not_listed": "已不在列表中",
    "models_note": "首个 token：中位数 · 95%。转交：改由下一个模型回答的轮次。",
}
