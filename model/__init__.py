"""The matting network: its layers, its checkpoints and the predictor that runs it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
