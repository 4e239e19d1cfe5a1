"""Models on this machine, behind the same calls as the cloud. Nothing here loads a framework until a call needs one."""
