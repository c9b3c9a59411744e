"""The resolver: a question and a catalogue in, one release a skill or an explanation out.

It knows no registry, network, file or clock. PubGrub itself is `nab-resolver`, which no other
room sees.
"""
