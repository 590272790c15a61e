"""Rules for other libraries' layers, loaded when one of their modules is met.

Neither library is needed, and none of their statements is believed: a bound comes from the weight
that a layer computes with in evaluation. Layers that derive from ``nn.Conv2d``,
``nn.ConvTranspose2d``, ``nn.Linear`` or ``nn.Sequential`` without replacing ``forward`` need no
rule of their own.
"""
