"""The Hub, the router and every provider's protocol in one process, offline: for tests, and for a first look.

>>> client = Client(sandbox=True)
>>> (await client.chat("Why is the sky blue?", model="Qwen/Qwen3-32B")).text
'Air scatters blue light far more than red, so blue reaches your eye from every side.'
"""

from hfclient.sandbox.faults import Fault
from hfclient.sandbox.sandbox import TOKEN, Sandbox, Seen, everywhere, in_use
from hfclient.sandbox.transport import SandboxTransport

__all__ = ["TOKEN", "Fault", "Sandbox", "SandboxTransport", "Seen", "everywhere", "in_use"]
