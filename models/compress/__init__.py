"""Compression of messages: codecs for a vector of weights, or for its difference to known ones.

A spec names the stages, joined by ``+``, in this order, each at most once::

    delta                               the difference to the received weights travels, not the weights
    top-k:SHARE                         only the largest elements
    float16 | bfloat16 | int8 | int4    fewer bits for each
    deflate                             no redundancy, no loss

``parse("delta+top-k:0.01+int8")`` returns the `Codec`; the empty spec sends vectors as they are. Both sides know spec,
size and dtype, so a frame holds nothing but the data, which its reader checks.
"""

from .base import CodecError
from .codec import Codec, parse, supported
from .error_feedback import error_feedback

__all__ = ["Codec", "CodecError", "error_feedback", "parse", "supported"]
