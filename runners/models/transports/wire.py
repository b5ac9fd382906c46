"""Messages as chat completions want them: attachments in base64, tool calls in their place."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

from promptc.runners.attachments import AttachmentRefused, Attachments, described, is_address
from promptc.runners.download import download
from promptc.runners.models.request import Attachment, CallFailed, Message

AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
}


async def wire_messages(messages: Sequence[Message], store: Attachments) -> Sequence[Any]:
    """The messages of a request body. Raises CallFailed for an attachment that cannot be had any more."""
    if all(message.plain for message in messages):
        return messages
    return [message if message.plain else await _wired(message, store) for message in messages]


async def _wired(message: Message, store: Attachments) -> dict[str, Any]:
    wired: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.attachments:
        parts: list[dict[str, Any]] = [{"type": "text", "text": message.content}]
        for attachment in message.attachments:
            parts.append({"type": "text", "text": f"[{attachment.label}]"})
            parts.append(await _part(attachment, store))
        wired["content"] = parts
    if message.tool_calls:
        wired["content"] = message.content or None
        wired["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        wired["tool_call_id"] = message.tool_call_id
    return wired


async def _part(attachment: Attachment, store: Attachments) -> dict[str, Any]:
    if attachment.kind == "image" and is_address(attachment.source):
        return {"type": "image_url", "image_url": {"url": attachment.source}}
    try:
        found, content = await _read(attachment, store)
    except AttachmentRefused as error:
        raise CallFailed(str(error)) from error
    data = (await asyncio.to_thread(base64.b64encode, content)).decode("ascii")
    if found.kind == "audio":
        sound = {"data": data, "format": AUDIO_FORMATS[found.media_type]}
        return {"type": "input_audio", "input_audio": sound}
    uri = f"data:{found.media_type};base64,{data}"
    if found.kind == "image":
        return {"type": "image_url", "image_url": {"url": uri}}
    return {"type": "file", "file": {"filename": found.name or found.label, "file_data": uri}}


async def _read(attachment: Attachment, store: Attachments) -> tuple[Attachment, bytes]:
    """What is attached, and its bytes: fetched now where it is an address. Raises AttachmentRefused."""
    if not is_address(attachment.source):
        return attachment, await asyncio.to_thread(store.content, attachment)
    content, name = await download(attachment.source, attachment.limit)
    return described(attachment, content, name, attachment.source), content
