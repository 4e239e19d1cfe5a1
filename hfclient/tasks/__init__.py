"""The tasks: one function each, whose first parameter is the client."""

from hfclient.tasks.chat import chat_completion, chat_completion_stream, chat_parse

__all__ = ["chat_completion", "chat_completion_stream", "chat_parse"]
