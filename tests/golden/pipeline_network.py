"""The network of tiny_pipeline/: three classes and the null class, 8 x 8."""

import unet

CASE = "tiny_pipeline"
SETTINGS = unet.config([4, 6], [False, True], 1, 3, 2, 8, 4)
