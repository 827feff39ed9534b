"""What the protocol's own conformance suite asks every server for by name, beside our tools, prompts and resources."""

# No postponed annotations: the SDK reads signatures of functions that are made inside `register`.

import base64
import json
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    ImageContent,
    InputRequiredResult,
    ListRootsRequest,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
PAUSE_S = 0.05


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def picture() -> ImageContent:
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri: str, words: str, mime_type: str = "text/plain") -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    return EmbeddedResource(type="resource", resource=contents)


def question(message: str, **properties: str) -> ElicitRequest:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": [*properties],
    }
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(words: str, most: int) -> CreateMessageRequest:
    messages = [SamplingMessage(role="user", content=text(words))]
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=messages, max_tokens=most))


def required(requests: dict[str, Any], state: str | None = None) -> Any:
    return InputRequiredResult(input_requests=requests, request_state=state)


def content_of(ctx: Context[Any], key: str) -> dict[str, Any] | None:
    """Returns what the user filled in under a key, None when that has not come."""
    answer = (ctx.input_responses or {}).get(key)
    content: Any = getattr(answer, "content", None)
    return content if isinstance(content, dict) and content else None  # pyright: ignore[reportUnknownVariableType]


def register(server: MCPServer[Any]) -> None:
    """Adds every fixture."""
    register_answers(server)
    register_notices(server)
    register_questions(server)
    register_stateful_questions(server)
    register_rounds(server)
    register_legacy_questions(server)
    register_resources(server)
    register_prompts(server)


def register_answers(server: MCPServer[Any]) -> None:
    @server.tool(description="Answers with text.", structured_output=False)
    def test_simple_text() -> Any:
        return [text("This is a simple text response for testing.")]

    @server.tool(description="Answers with an image.", structured_output=False)
    def test_image_content() -> Any:
        return [picture()]

    @server.tool(description="Answers with sound.", structured_output=False)
    def test_audio_content() -> Any:
        return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]

    @server.tool(description="Answers with a resource.", structured_output=False)
    def test_embedded_resource() -> Any:
        return [embedded("test://embedded-resource", "This is an embedded resource content.")]

    @server.tool(description="Answers with several kinds of content.", structured_output=False)
    def test_multiple_content_types() -> Any:
        data = json.dumps({"test": "data", "value": 123})
        mixed = embedded("test://mixed-content-resource", data, "application/json")
        return [text("Multiple content types test:"), picture(), mixed]

    @server.tool(description="Fails.", structured_output=False)
    def test_error_handling() -> Any:
        raise ToolError("This tool intentionally returns an error for testing")


def register_notices(server: MCPServer[Any]) -> None:
    @server.tool(description="Reports progress.", structured_output=False)
    async def test_tool_with_progress(ctx: Context[Any]) -> Any:
        for share in (0, 50, 100):
            await ctx.report_progress(share, 100)
            await anyio.sleep(PAUSE_S)
        return [text("Done.")]

    @server.tool(description="Logs over the protocol.", structured_output=False)
    async def test_tool_with_logging(ctx: Context[Any]) -> Any:
        for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            params = LoggingMessageNotificationParams(level="info", data=words)
            await ctx.session.send_notification(LoggingMessageNotification(params=params), ctx.request_id)
            await anyio.sleep(PAUSE_S)
        return [text("Done.")]

    @server.tool(description="Changes the list of tools.", structured_output=False)
    async def test_trigger_tool_change(ctx: Context[Any]) -> Any:
        await ctx.notify_tools_changed()
        return [text("Changed.")]

    @server.tool(description="Changes the list of prompts.", structured_output=False)
    async def test_trigger_prompt_change(ctx: Context[Any]) -> Any:
        await ctx.notify_prompts_changed()
        return [text("Changed.")]

    @server.tool(description="Needs sampling.", structured_output=False)
    async def test_missing_capability(ctx: Context[Any]) -> Any:
        capabilities = ctx.client_capabilities
        if capabilities is None or capabilities.sampling is None:
            data: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs sampling.", data)
        return [text("Done.")]


def register_questions(server: MCPServer[Any]) -> None:
    @server.tool(description="Asks for a name.", structured_output=False)
    async def test_input_required_result_elicitation(ctx: Context[Any]) -> Any:
        answer = content_of(ctx, "user_name")
        if answer is None:
            return required({"user_name": question("What is your name?", name="string")})
        return [text(f"Hello, {answer.get('name')}!")]

    @server.tool(description="Asks a model.", structured_output=False)
    async def test_input_required_result_sampling(ctx: Context[Any]) -> Any:
        answer = (ctx.input_responses or {}).get("capital_question")
        if answer is None:
            return required({"capital_question": sample("What is the capital of France?", 100)})
        return [text(f"The model said: {getattr(answer, 'content', answer)}")]

    @server.tool(description="Asks for the client's roots.", structured_output=False)
    async def test_input_required_result_list_roots(ctx: Context[Any]) -> Any:
        answer = (ctx.input_responses or {}).get("client_roots")
        if answer is None:
            return required({"client_roots": ListRootsRequest()})
        return [text(", ".join(str(root.uri) for root in getattr(answer, "roots", [])))]


def register_stateful_questions(server: MCPServer[Any]) -> None:
    @server.tool(description="Asks, and keeps a state meanwhile.", structured_output=False)
    async def test_input_required_result_request_state(ctx: Context[Any]) -> Any:
        if content_of(ctx, "confirm") is None or ctx.request_state != "waiting":
            return required({"confirm": question("Please confirm", ok="boolean")}, "waiting")
        return [text("state-ok")]

    @server.tool(description="Asks for three things at once.", structured_output=False)
    async def test_input_required_result_multiple_inputs(ctx: Context[Any]) -> Any:
        requests = {
            "user_name": question("What is your name?", name="string"),
            "greeting": sample("Generate a greeting", 50),
            "client_roots": ListRootsRequest(),
        }
        if requests.keys() - (ctx.input_responses or {}).keys():
            return required(requests, "three")
        return [text("All three came.")]


def register_rounds(server: MCPServer[Any]) -> None:
    @server.tool(description="Asks twice.", structured_output=False)
    async def test_input_required_result_multi_round(ctx: Context[Any]) -> Any:
        if ctx.request_state == "two" and content_of(ctx, "step2") is not None:
            return [text("Both came.")]
        if ctx.request_state == "one" and content_of(ctx, "step1") is not None:
            return required({"step2": question("Step 2: What is your favorite color?", color="string")}, "two")
        return required({"step1": question("Step 1: What is your name?", name="string")}, "one")

    @server.tool(description="Asks, with a state that nobody may change.", structured_output=False)
    async def test_input_required_result_tampered_state(ctx: Context[Any]) -> Any:
        if content_of(ctx, "confirm") is None:
            return required({"confirm": question("Please confirm", ok="boolean")}, "sealed")
        return [text("state-ok")]

    @server.tool(description="Asks for what the client can do.", structured_output=False)
    async def test_input_required_result_capabilities(ctx: Context[Any]) -> Any:
        capabilities = ctx.client_capabilities
        requests: dict[str, Any] = {}
        if capabilities is not None and capabilities.elicitation is not None:
            requests["user_name"] = question("What is your name?", name="string")
        if capabilities is not None and capabilities.sampling is not None:
            requests["greeting"] = sample("Generate a greeting", 50)
        if requests.keys() - (ctx.input_responses or {}).keys():
            return required(requests)
        return [text("Done.")]


def register_legacy_questions(server: MCPServer[Any]) -> None:
    # Asked on the stream of their call: at any other, the client may not listen yet, and the question is lost.
    @server.tool(description="Asks the client's model.", structured_output=False)
    async def test_sampling(prompt: str, ctx: Context[Any]) -> Any:
        messages = [SamplingMessage(role="user", content=text(prompt))]
        answer = await ctx.session.create_message(  # pyright: ignore[reportDeprecated]  # of the older era
            messages, max_tokens=100, related_request_id=ctx.request_id
        )
        return [text(f"LLM response: {getattr(answer.content, 'text', '')}")]

    async def ask(ctx: Context[Any], message: str, schema: dict[str, Any]) -> Any:
        answer = await ctx.session.elicit_form(message, schema, ctx.request_id)
        return [text(f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content)}")]

    @server.tool(description="Asks the user.", structured_output=False)
    async def test_elicitation(message: str, ctx: Context[Any]) -> Any:
        properties = {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        }
        return await ask(ctx, message, {"type": "object", "properties": properties, "required": [*properties]})

    @server.tool(description="Asks the user, with defaults.", structured_output=False)
    async def test_elicitation_sep1034_defaults(ctx: Context[Any]) -> Any:
        properties = {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": True},
        }
        return await ask(ctx, "Please check this.", {"type": "object", "properties": properties})

    @server.tool(description="Asks the user to choose.", structured_output=False)
    async def test_elicitation_sep1330_enums(ctx: Context[Any]) -> Any:
        def titled(word: str) -> list[dict[str, str]]:
            return [
                {"const": f"value{place}", "title": f"{ordinal} {word}"}
                for place, ordinal in enumerate(("First", "Second", "Third"), 1)
            ]

        options = ["option1", "option2", "option3"]
        legacy = {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]}
        properties = {
            "untitledSingle": {"type": "string", "enum": options},
            "titledSingle": {"type": "string", "oneOf": titled("Option")},
            "legacyEnum": {"type": "string", **legacy},
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
        }
        return await ask(ctx, "Please choose.", {"type": "object", "properties": properties})


def register_resources(server: MCPServer[Any]) -> None:
    @server.resource("test://static-text", description="A text.", mime_type="text/plain")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", description="An image.", mime_type="image/png")
    def static_binary() -> bytes:
        return base64.b64decode(PIXEL)

    @server.resource("test://watched-resource", description="One to watch.", mime_type="text/plain")
    def watched() -> str:
        return "Watched."

    @server.resource("test://template/{id}/data", description="One by number.", mime_type="application/json")
    def template(id: str) -> str:  # noqa: A002  # the suite names it
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def register_prompts(server: MCPServer[Any]) -> None:
    @server.prompt(description="A simple prompt.")
    def test_simple_prompt() -> Any:
        return [UserMessage("This is a simple prompt for testing.")]

    @server.prompt(description="A prompt with arguments.")
    def test_prompt_with_arguments(arg1: str, arg2: str) -> Any:
        return [UserMessage(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]

    @server.prompt(description="A prompt with a resource.")
    def test_prompt_with_embedded_resource(resourceUri: str) -> Any:  # noqa: N803  # the suite names it
        contents = embedded(resourceUri, "Embedded resource content for testing.")
        return [UserMessage(contents), UserMessage("Please process the embedded resource above.")]

    @server.prompt(description="A prompt with an image.")
    def test_prompt_with_image() -> Any:
        return [UserMessage(picture()), UserMessage("Please analyze the image above.")]

    @server.prompt(description="A prompt that asks first.")
    def test_input_required_result_prompt(ctx: Context[Any]) -> Any:
        answer = content_of(ctx, "user_context")
        if answer is None:
            return required({"user_context": question("What context should the prompt use?", context="string")})
        return [UserMessage(f"The context is {answer.get('context')}.")]
