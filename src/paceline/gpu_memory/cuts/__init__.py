"""Ways in which processors cut an image into what a model reads, one module each: a new way is one new file here.

A module is named by ``kind`` of a shape's ``image``, which a family gives (``Family.image_shape``), and holds:

``see(image, processor, size)``
    owed: a :class:`~paceline.gpu_memory.image_tokens.Seen` of a picture of ``size``; of None: of the picture that costs
    most. ``image`` is the shape's, ``processor`` what the model's file sets.
``describe(image, processor)``
    into what an image is cut, for messages, such as ``4 tiles``
``takes(image, processor, size)``
    whether the processor can take a picture of that size; by default it can take any
``narrowest(image, processor)``
    the longest edge to which it scales, where that can make a narrow picture's shorter side nothing; else None

They are read on login nodes, so they import no torch.
"""
