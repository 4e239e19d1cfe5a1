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
from hfclient.types.embeddings import Embeddings
from hfclient.types.files import Audio, File, Image, Video
from hfclient.types.items import Items
from hfclient.types.messages import Message, assistant, system, tool, user
from hfclient.types.meta import Attempt, Meta
from hfclient.types.models import Model, ModelProvider, Pricing

__all__ = [
    "Attempt",
    "Audio",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatMessage",
    "Choice",
    "ChunkChoice",
    "Delta",
    "Embeddings",
    "File",
    "Function",
    "FunctionDelta",
    "Image",
    "Items",
    "LogProbs",
    "Message",
    "Meta",
    "Model",
    "ModelProvider",
    "ParsedChatCompletion",
    "Pricing",
    "TokenLogProb",
    "ToolCall",
    "ToolCallDelta",
    "TopLogProb",
    "Usage",
    "Video",
    "assistant",
    "system",
    "tool",
    "user",
]
