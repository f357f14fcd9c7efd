"""What stands between clients and a Realtime service, a package each. It needs the extra ``services``."""

__all__: list[str] = []
