"""The types of everything that comes back, and of what may go in."""

from hfclient.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatMessage,
    Choice,
    ChunkChoice,
    Delta,
    Function,
    FunctionDelta,
    LogProbs,
    ParsedChatCompletion,
    TokenLogProb,
    ToolCall,
    ToolCallDelta,
    TopLogProb,
    Usage,
)
from hfclient.types.messages import Message, assistant, system, tool, user
from hfclient.types.meta import Attempt, Meta

__all__ = [
    "Attempt",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatMessage",
    "Choice",
    "ChunkChoice",
    "Delta",
    "Function",
    "FunctionDelta",
    "LogProbs",
    "Message",
    "Meta",
    "ParsedChatCompletion",
    "TokenLogProb",
    "ToolCall",
    "ToolCallDelta",
    "TopLogProb",
    "Usage",
    "assistant",
    "system",
    "tool",
    "user",
]
