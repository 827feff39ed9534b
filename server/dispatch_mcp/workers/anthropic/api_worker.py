"""Carries out tasks with the Anthropic API: a loop of requests and file tools that ends with a structured handoff.

The SDK's own retries are off: what fails ends the attempt, and the run's retry policy, rate limit hold and ceilings
decide what happens next. Every finished turn is kept, so the next attempt goes on behind it and no turn is paid twice.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.model import model_names, ports, work_order
from dispatch_mcp.planning import forecast
from dispatch_mcp.routing import model_choice
from dispatch_mcp.runs import handoff_schema, prompt_builder, tool_permissions
from dispatch_mcp.text import json_types, redaction
from dispatch_mcp.workers import answer_room, attempt_scope, file_tools, provider_errors, usage_meter
from dispatch_mcp.workers.anthropic import api_errors, api_login, conversation

if TYPE_CHECKING:
    import anthropic
    from anthropic.lib import streaming

MAX_TURNS: Final = 60
MAX_TOKENS: Final = 32_000
MOST_TOKENS: Final = 128_000
SILENCE_S: Final = 120.0
"""A provider that says nothing for so long is given up; a stream that goes on says something every few seconds."""

WIND_UP_S: Final = 1.0
NO_END: Final = "The provider: the stream closed before the end of the answer."


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What the user decides about this worker; `in_flight` bounds the requests under way in this process."""

    max_turns: int = MAX_TURNS
    in_flight: int = 8
    silence_s: float = SILENCE_S


class _Answer(NamedTuple):
    """One whole answer of the model, and the room that it had."""

    stop: str
    content: list[conversation.Turn]
    room: answer_room.Room

    @property
    def text(self) -> str:
        return "".join(usage_meter.text(block.get("text")) for block in self.content if block.get("type") == "text")

    @property
    def calls(self) -> list[conversation.Turn]:
        return [block for block in self.content if block.get("type") == "tool_use"]


class _Over(Exception):
    """The attempt is over; the outcome says how."""

    def __init__(self, outcome: model.Outcome) -> None:
        super().__init__(outcome.error)
        self.outcome = outcome


@dataclass(slots=True)
class _Task:
    """One attempt under way."""

    work: work_order.WorkOrder
    model: str
    system: str
    prompt: prompt_builder.Prompt
    tools: file_tools.Toolbox
    talk: conversation.Conversation

    def request(self) -> dict[str, model.Json]:
        """Returns the request without its room for the answer; what all attempts of an agent share comes first."""
        effort = model_names.effort(self.work.effort)
        mark = {"cache_control": {"type": "ephemeral"}}
        definitions = self.tools.definitions()
        return {
            "model": self.model,
            "system": [{"type": "text", "text": self.system, **mark}],
            "messages": conversation.cached(self.talk.turns),
            "output_config": {
                "format": {"type": "json_schema", "schema": handoff_schema.schema_of(self.work)},
                **({"effort": effort} if effort else {}),
            },
            **({"tools": definitions} if definitions else {}),
        }


class AnthropicWorker:
    """Talks to the Anthropic API. `brief` makes prompts, `price` prices, `access` looks at files."""

    def __init__(
        self,
        login: api_login.Login,
        brief: prompt_builder.Brief,
        price: forecast.Price,
        access: file_tools.FileAccess,
        *,
        settings: ApiSettings = ApiSettings(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._login = login
        self._brief = brief
        self._price = price
        self._access = access
        self._settings = settings
        self._clock = clock
        self._tls: ssl.SSLContext | None = None
        self._in_flight = anyio.CapacityLimiter(settings.in_flight)

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns how the attempt ended, with what it cost; never raises for a failure of the work itself."""
        if not self._login:
            return provider_errors.failed(provider_errors.trouble(401), "There is no key for the Anthropic API here.")
        if work.model and not model_choice.exists(work.model):
            return provider_errors.failed(provider_errors.trouble(404), f"There is no model {work.model[:80]!r}.")
        refusal = provider_errors.unpriced(_model_of(work), work.ceiling, self._price)
        if refusal is not None:
            return refusal
        talk = conversation.resume(ctx, work)
        handoff, whole, _ = handoff_schema.parse_text(talk.last_words)
        if handoff is not None:  # its server died between its last answer and the end
            return provider_errors.succeeded(handoff, whole, talk.spent, _model_of(work))
        start = anyio.current_time()
        async with attempt_scope.heartbeat(ctx):
            outcome = await self._until_deadline(self._task(talk, work))
        usage = outcome.usage.model_copy(update={"seconds": anyio.current_time() - start})
        return outcome.model_copy(update={"usage": usage})

    async def fill_in(
        self, name: str, prompt: str, form: Mapping[str, model.Json], max_tokens: int
    ) -> tuple[str, model.Usage]:
        """Returns one answer of a model in the form of a JSON schema, and what it used.

        Raises:
            WorkerError: there is no answer, or none in that form.
        """
        request: dict[str, model.Json] = {
            "model": name,
            "messages": [{"role": "user", "content": prompt}],
            "output_config": {"format": {"type": "json_schema", "schema": dict(form)}},
        }
        try:
            async with (
                self._in_flight,
                self._client() as client,
                client.messages.stream(max_tokens=max_tokens, **request) as stream,
            ):
                message = await _whole(stream)
        except Exception as error:
            if api_errors.trouble_of(error, 1) is None:
                raise
            raise errors.WorkerError(f"The model gave no answer: {api_errors.describe(error)}") from error
        if not message.get("stop_reason"):
            raise errors.WorkerError(f"The model gave no answer: {NO_END}")
        text = "".join(usage_meter.text(_block(block).get("text")) for block in _items(message.get("content")))
        return text, usage_meter.usage_of(message.get("usage"))

    def _task(self, talk: conversation.Conversation, work: work_order.WorkOrder) -> _Task:
        rights = tool_permissions.tools_for(work)
        prompt = handoff_schema.for_structured_answer(self._brief(work), work)
        if not talk.resumes:
            talk.add(conversation.user_turn(prompt.text))
        elif talk.turns[-1].get("role") == "assistant":
            talk.add(conversation.user_turn(handoff_schema.continuation(prompt, work.news).text))
        elif work.news:
            talk.add(conversation.user_turn(handoff_schema.news(prompt, work.news).text))
        tools = file_tools.Toolbox.of(work, rights if work.cwd else (), self._access)
        return _Task(work, _model_of(work), prompt_builder.system_prompt(work, rights), prompt, tools, talk)

    async def _until_deadline(self, task: _Task) -> model.Outcome:
        """Returns the outcome; a little before the deadline, so that what was used until then is still said."""
        seconds = task.work.timeout_s
        early = None if seconds is None else seconds - min(WIND_UP_S, seconds / 20)
        with anyio.move_on_after(early):
            try:
                async with self._client() as client:
                    return await self._converse(client, task)
            except _Over as end:
                return end.outcome
        return provider_errors.timed_out(seconds, task.talk.spent)

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[anthropic.AsyncAnthropic]:
        if self._tls is None:
            self._tls = await anyio.to_thread.run_sync(_load, self._price, abandon_on_cancel=True)
        import anthropic  # noqa: PLC0415  # a second of start-up, and only this worker needs it

        async with anthropic.AsyncAnthropic(
            api_key=self._login.key or None,
            auth_token=self._login.token or None,
            base_url=self._login.url or None,
            max_retries=0,
            http_client=anthropic.DefaultAsyncHttpxClient(verify=self._tls),
            timeout=anthropic.Timeout(self._settings.silence_s, connect=15.0),
        ) as client:
            yield client

    async def _converse(self, client: anthropic.AsyncAnthropic, task: _Task) -> model.Outcome:
        for _ in range(self._settings.max_turns):
            answer = await self._ask(client, task)
            match answer.stop:
                case "tool_use":
                    await self._use_tools(task, answer)
                case "pause_turn":
                    task.talk.add({"role": "assistant", "content": answer.content})
                case _:
                    return self._ending(task, answer)
        trouble = provider_errors.Trouble("max_turns", "The next attempt goes on where this one stopped.")
        return provider_errors.failed(trouble, f"No result after {self._settings.max_turns} turns.", task.talk.spent)

    def _ending(self, task: _Task, answer: _Answer) -> model.Outcome:
        """Returns what a last answer amounts to: its stop reason first, then the form of its content."""
        talk = task.talk
        if answer.stop == "refusal":
            talk.forget()
            return provider_errors.failed(
                provider_errors.Trouble("refusal"),
                f"The model refused: {redaction.beginning(answer.text, 600)}",
                talk.spent,
            )
        if answer.stop == "max_tokens" and answer.room.stopper:
            trouble = provider_errors.at_ceiling(answer.room.stopper)
            return provider_errors.failed(trouble, "The answer was cut off where the ceiling pays no more.", talk.spent)
        if answer.stop == "max_tokens":
            talk.max_tokens = min(2 * (talk.max_tokens or MAX_TOKENS), MOST_TOKENS)
            talk.keep()
            trouble = provider_errors.Trouble("max_tokens", "The next attempt gets more room.")
            return provider_errors.failed(trouble, "The answer was cut off at its longest.", talk.spent)
        if answer.stop not in ("end_turn", "stop_sequence"):
            talk.forget()
            trouble = provider_errors.Trouble("context_full", "Split the task, or give it less context.")
            return provider_errors.failed(trouble, f"The model stopped: {answer.stop[:80]}.", talk.spent)
        talk.add({"role": "assistant", "content": answer.content})
        handoff, whole, problem = handoff_schema.read_text(task.work, answer.text)
        if handoff is None:
            return provider_errors.no_handoff(problem, answer.text, talk.spent)
        return provider_errors.succeeded(handoff, whole, talk.spent, task.model)

    async def _use_tools(self, task: _Task, answer: _Answer) -> None:
        """Carries out what the model asked for and keeps both turns together: one without the other is no request.

        Messages that have come for the task meanwhile go along.
        """
        results: list[tuple[str, str, bool]] = []
        for call in answer.calls:
            text, success = await task.tools.use(usage_meter.text(call.get("name")), call.get("input"))
            results.append((usage_meter.text(call.get("id")), text, success))
        messages = await task.talk.ctx.mail()
        news = handoff_schema.news(task.prompt, messages).text if messages else ""
        task.talk.add({"role": "assistant", "content": answer.content}, conversation.results(results, news))

    async def _ask(self, client: anthropic.AsyncAnthropic, task: _Task) -> _Answer:
        """Returns the model's next answer. Raises _Over when there is none, or no money for one."""
        request = task.request()
        meter = _RequestMeter(task, self._price)
        try:
            async with self._in_flight:
                room = await self._room(client, task, request)
                async with client.messages.stream(max_tokens=room.tokens, **request) as stream:
                    async for event in stream:
                        meter.count(event.to_dict(warnings=False))
                    message = await _whole(stream)
        except Exception as error:
            trouble = api_errors.trouble_of(error, task.work.attempt)
            if trouble is None:
                raise
            meter.settle()
            if trouble.kind == "bad_request" and task.talk.resumes:
                task.talk.forget()
            wait = api_errors.retry_after_s(error, self._clock())
            outcome = provider_errors.failed(trouble, api_errors.describe(error), task.talk.spent, retry_after_s=wait)
            raise _Over(outcome) from error
        except BaseException:
            meter.settle()
            raise
        stop = usage_meter.text(message.get("stop_reason"))
        meter.settle(message.get("usage") if stop else None)
        if not stop:
            raise _Over(provider_errors.failed(api_errors.CUT, NO_END, task.talk.spent))
        return _Answer(stop, [_block(block) for block in _items(message.get("content"))], room)

    async def _room(
        self, client: anthropic.AsyncAnthropic, task: _Task, request: Mapping[str, model.Json]
    ) -> answer_room.Room:
        """Returns the room that the next answer has below the attempt's ceiling, counted before it is paid for.

        Raises:
            _Over: too little is left for an answer.
        """
        most = task.talk.max_tokens or MAX_TOKENS
        ceiling = task.work.ceiling
        if ceiling.tokens is None and ceiling.dollars is None:
            return answer_room.Room(most)
        tokens = (await client.messages.count_tokens(**request)).input_tokens
        room = answer_room.room(most, ceiling, task.talk.usage, (task.model, tokens), self._price)
        if room.is_enough:
            return room
        raise _Over(
            provider_errors.failed(
                provider_errors.at_ceiling(room.stopper),
                f"The next request ({tokens:,} tokens and an answer) could go over the ceiling.",
                task.talk.spent,
            )
        )


@dataclass(slots=True)
class _RequestMeter:
    """A request under way; what it has used counts even if its answer never comes to an end."""

    task: _Task
    price: forecast.Price
    usage: model.Usage = field(default_factory=model.Usage)
    letters: int = 0
    is_settled: bool = False

    def count(self, event: Mapping[str, model.Json]) -> None:
        """Takes in one event of the stream."""
        kind = event.get("type")
        if kind == "message_start":
            self.usage = usage_meter.usage_of(_block(event.get("message")).get("usage"))
        elif kind == "message_delta":
            usage = usage_meter.usage_of(event.get("usage"))
            self.usage = self.usage.model_copy(update={"output_tokens": usage.output_tokens})
        else:
            self.letters += usage_meter.letters(event)

    def settle(self, final: model.Json = None) -> None:
        """Stores the request; without the provider's final word its answer counts a token for four letters."""
        usage = usage_meter.usage_of(final) if final else self.usage
        if not final and self.letters:
            usage = usage.model_copy(
                update={"output_tokens": max(usage.output_tokens, usage_meter.tokens_of(self.letters))}
            )
        if not self.is_settled and usage.tokens:
            self.task.talk.add_usage(usage.model_copy(update={"cost_usd": self.price(self.task.model, usage)}))
        self.is_settled = True


async def _whole(stream: streaming.AsyncMessageStream[None]) -> Mapping[str, model.Json]:
    """Returns the message of a stream; without a stop reason when the stream was closed, as by a proxy, before its end.

    Of a stream that ends before its first event nothing is there.
    """
    try:
        return (await stream.get_final_message()).to_dict(warnings=False)
    except AssertionError:  # how the SDK says that no message has begun
        return {}


def _model_of(work: work_order.WorkOrder) -> str:
    return model_names.bare(work.model) or model_names.bare(model_names.DEFAULT)


def _items(value: model.Json) -> list[model.Json]:
    """Returns a JSON list, empty for anything else."""
    return list(value) if json_types.is_list(value) else []


def _block(value: model.Json) -> conversation.Turn:
    return dict(value) if json_types.is_object(value) else {}


def _load(price: forecast.Price) -> ssl.SSLContext:
    """Imports the SDK and the price list and reads certificates where that does not hold up everybody else."""
    import anthropic  # noqa: F401, PLC0415  # pyright: ignore[reportUnusedImport]  # imported here once for all
    import httpx2  # noqa: PLC0415  # comes with the SDK

    price(model_names.DEFAULT, model.Usage(output_tokens=1))
    return httpx2.create_ssl_context()
