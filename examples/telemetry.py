"""Print the span that OpenTelemetry is given for a call; it needs `pip install opentelemetry-sdk`."""

import asyncio
import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from hfclient import Client
from hfclient.errors import MissingKeyError

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)


async def main() -> None:
    async with Client(model="Qwen/Qwen3-32B") as client:
        await client.chat("Why is the sky blue?", temperature=0.2)


try:
    asyncio.run(main())
except MissingKeyError as error:
    sys.exit(str(error))
