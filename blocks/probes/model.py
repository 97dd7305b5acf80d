"""Model providers: that one lists its models, the one that is needed among them, and if asked to, that this one speaks."""

from dataclasses import replace
from time import perf_counter

from blocks.completions import Chunk
from blocks.model_lists import Entry, entries_of, listed
from blocks.models import ModelProvider
from blocks.probes.asking import Answer, Question, ask
from blocks.probes.certificates import expiring
from blocks.probes.http import facts_of, question_of
from blocks.probes.observing import good, within
from blocks.probes.oidc import document_of
from core.conversation import ModelRequest
from core.errors import ConfigurationInvalid, PilothouseError
from core.settings import ProviderSettings, Settings
from core.settings_services import ServiceSettings
from core.sweeps.observation import Observation, Probe

WORDS = [{"role": "user", "content": "Hi"}]


class ModelProbe:
    """Asks for the list, then for one token where that is wanted."""

    def __init__(self, name: str, service: ServiceSettings, provider: ProviderSettings, question: Question) -> None:
        self._name, self._service, self._provider, self._question = name, service, provider, question

    async def look(self) -> Observation:
        """See ``Probe.look``."""
        answer = await ask(self._question)
        if isinstance(answer, Observation):
            return answer
        entries = _entries(answer)
        if isinstance(entries, Observation):
            return Observation(entries.state, entries.code, entries.message, answer.seconds, facts_of(answer))
        facts = {**facts_of(answer), "models": len(entries)}
        names = {str(entry["id"]) for entry in entries}
        wanted = self._service.model
        if wanted is not None and wanted not in names:
            message = f"It does not list the model {wanted}: is it loaded?"
            return Observation("down", "model_missing", message, answer.seconds, facts)
        if self._service.one_token:
            speaking = [info.name for info in listed(self._name, entries)]
            offered = [each.name for each in self._provider.models if each.name in names]
            return await self._token(wanted or next(iter([*offered, *speaking, *names])), answer, facts)
        return self._judged(answer, facts)

    async def _token(self, model: str, answer: Answer, facts: dict[str, str | float | int]) -> Observation:
        # Chat's own client: it knows the ways in which servers fail at this.
        settings = self._provider.model_copy(update={"models": (), "retries": 0})
        provider = ModelProvider.from_settings(self._name, settings, ca_file=self._question.ca_file)
        began = perf_counter()
        try:
            async with within(max(0.1, self._question.limit - answer.seconds)):
                stream = provider.stream(ModelRequest(model, WORDS, options={"max_tokens": 1}))
                try:
                    async for chunk in stream:
                        if _speaks(chunk):
                            facts["first_token"] = round(perf_counter() - began, 3)
                            break
                finally:
                    await stream.aclose()
        except TimeoutError:
            message = f"It lists its models, but gave no token within {self._question.limit:g} s: is it overloaded?"
            return Observation("down", "stalled", message, answer.seconds, facts)
        except PilothouseError as error:
            message = f"It lists its models, but gave no token ({error.code}): look at its log."
            return Observation("down", error.code, message, answer.seconds, facts)
        finally:
            await provider.aclose()
        return self._judged(answer, facts)

    def _judged(self, answer: Answer, facts: dict[str, str | float | int]) -> Observation:
        seconds = float(facts.get("first_token", answer.seconds))
        if answer.certificate is not None and (wrong := expiring(answer.certificate, self._service, answers=True)) is not None:
            return Observation(wrong.state, wrong.code, wrong.message, seconds, facts)
        return good(seconds, self._service.slow, facts)


def _speaks(chunk: Chunk) -> bool:
    """Whether a chunk has a token, or an end: the one token of a model that thinks may be a word that nobody is shown."""
    choices = chunk.get("choices") or []
    if not choices:
        return False
    delta = choices[0].get("delta") or {}
    return any(value for key, value in delta.items() if key != "role") or choices[0].get("finish_reason") is not None


def _entries(answer: Answer) -> tuple[Entry, ...] | Observation:
    if answer.status in {401, 403}:
        return Observation("down", "login", f"It refuses the key ({answer.status}): check it.")
    told = document_of(answer, "What it answers as its list of models")
    if isinstance(told, Observation):
        return told
    entries = entries_of(told)
    if entries is None:
        return Observation("down", "models", "It sends no list of models: does the address end where its API begins (/v1)?")
    return entries or Observation("down", "models", "Its list of models is empty: is one loaded?")


def _list_of(provider: ProviderSettings) -> str:
    if provider.kind == "azure":
        return f"{provider.base_url.removesuffix('/openai')}/openai/models?api-version={provider.api_version}"
    return f"{provider.base_url}/models"


def _provider(name: str, service: ServiceSettings, settings: Settings) -> ProviderSettings:
    """The provider at the service's ``url``, or else ``[providers.X]`` of its ``name``."""
    if service.url is not None:
        url = service.url.get_secret_value().rstrip("/").removesuffix("/models")
        return ProviderSettings(base_url=url, api_key=service.password, retries=0)
    called = service.name or name
    if called not in settings.providers:
        raise ConfigurationInvalid(f"services.{name}: expected a url, or the name of one of [providers.X] as its name.")
    return settings.providers[called]


def probe(name: str, service: ServiceSettings, settings: Settings) -> Probe:
    """See ``choosing.MODULES``."""
    provider = _provider(name, service, settings)
    question = question_of(service, settings, _list_of(provider))
    key = provider.api_key.get_secret_value() if provider.api_key else ""
    headers = dict(question.headers)
    if key:
        headers |= {"api-key": key} if provider.kind == "azure" else {"Authorization": f"Bearer {key}"}
    return ModelProbe(name, service, provider, replace(question, headers=headers))
