"""What readers and writers share: FFmpeg, times, prefetch, and the base class of errors."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
