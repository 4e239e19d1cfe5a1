"""What a chat template can do is found out by letting it write, not by the model's name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from families import CHATML, GEMMA, family, shared

from hfclient.errors import InputError
from hfclient.local.template import Template, ToolHistory

NATIVE = ToolHistory(empty_content=True, objects=True, short_ids=False)
AS_TEXT = ToolHistory(empty_content=True, objects=False, short_ids=False)

EXPECTED: dict[str, dict[str, Any]] = {
    "qwen": {"tools": True, "history": NATIVE, "thinking_switch": "enable_thinking"},
    "gemma": {"system": False, "late_system": False, "alternates": True},
    "llama": {"tools": True, "history": NATIVE},
    "mistral": {
        "late_system": False, "alternates": True, "tools": True,
        "history": ToolHistory(empty_content=True, objects=True, short_ids=True),
    },
    "deepseek": {"late_system": False, "thinks_first": True},
    "parts": {"parts": True},
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_each_family_is_seen_through(name: str) -> None:
    """Roles, turns, tools, calls in the history, think tags: all that is not as with most is noticed."""
    tokenizer = shared(name)
    template = Template.of(tokenizer)
    found = {each.name: getattr(template, each.name) for each in fields(Template)}
    assert found == {**vars_of_default(tokenizer.chat_template), **EXPECTED[name]}


def vars_of_default(source: str) -> dict[str, Any]:
    default = Template(source=source)
    return {each.name: getattr(default, each.name) for each in fields(Template)}


def test_it_is_found_out_once() -> None:
    """What is known is kept on the tokenizer, until that is given another template."""
    tokenizer = family("qwen")
    first = Template.of(tokenizer)
    assert Template.of(tokenizer) is first
    tokenizer.chat_template = GEMMA
    assert Template.of(tokenizer).alternates


def test_without_a_template_there_is_no_chat() -> None:
    """The error says where to put one."""
    tokenizer = family("qwen", "")
    with pytest.raises(InputError, match=r"LocalOptions\(prompt_format=…\)"):
        Template.of(tokenizer)


def test_a_template_for_tools_beside_the_other() -> None:
    """Where there are several, the one for tools is used with tools."""
    tokenizer = family("qwen")
    tokenizer.chat_template = {"default": "{% for m in messages %}{{ m.content }}{% endfor %}", "tool_use": CHATML}
    template = Template.of(tokenizer)
    assert template.tools
    assert template.history == NATIVE


@pytest.mark.parametrize(
    ("written", "history"),
    [
        ("{{ call.function.arguments | tojson }}", NATIVE),
        ("{{ '```json\\n' + call.function.arguments }}", AS_TEXT),
        ("{{ call.function.arguments }}", AS_TEXT),
        ("{{ call.function.name }}", None),
        ("{{ raise_exception('no') if m.content is defined }}{{ call.function.arguments | tojson }}",
         ToolHistory(empty_content=False, objects=True, short_ids=False)),
    ],
)  # fmt: skip
def test_how_calls_are_put_into_a_history(written: str, history: ToolHistory | None) -> None:
    """Arguments as objects or as text, content or none: as the template writes them, if it does."""
    source = (
        "{% for m in messages %}{% if m.tool_calls %}{% for call in m.tool_calls %}" + written + "{% endfor %}"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    )
    assert Template.of(family("qwen", source)).history == history


def test_system_messages_that_are_moved_cannot_stand_late() -> None:
    """A template that puts the last system message first loses the others, and the place where it stood."""
    source = (
        "{% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %}"
        "{% set ns.system = m.content %}{% endif %}{% endfor %}{{ ns.system }}"
        "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    template = Template.of(family("qwen", source))
    assert (template.system, template.late_system) == (True, False)


@pytest.mark.parametrize(
    ("source", "think", "first"),
    [
        ("{{ messages[0].content }}", ("<think>", "</think>"), False),
        ("{{ messages[0].content }}[THINK]", ("[THINK]", "[/THINK]"), True),
        ("{{ messages[0].content }}{# <seed:think> #}", ("<seed:think>", "</seed:think>"), False),
    ],
)
def test_think_tags_are_read_off_the_template(source: str, think: tuple[str, str], first: bool) -> None:
    """The tags that it names, and whether a prompt ends with the opening one."""
    template = Template.of(family("parts", source))
    assert template.think == think
    assert template.thinks_first is first


def test_a_prompt_tells_whether_it_ends_in_thought() -> None:
    """It depends on the prompt, not on the template alone: thinking can be turned off for one call."""
    tokenizer = shared("qwen")
    template = Template.of(tokenizer)
    for text, inside in (("<think>\n", True), ("<think>\n\n</think>\n\n", False), ("a", False), ("", False)):
        assert template.begins_in_thought(tokenizer, tokenizer.encode(text)) is inside
