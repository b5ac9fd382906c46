"""The prompt formats that come with promptc, by name."""

from __future__ import annotations

FORMATS: dict[str, str] = {
    "chat": "promptc.runners.formats.chat:Chat",
    "json": "promptc.runners.formats.json_object:Json",
    "xml": "promptc.runners.formats.xml_tags:Xml",
    "two_step": "promptc.runners.formats.two_step:TwoStep",
    "template": "promptc.runners.formats.template:Template",
}
