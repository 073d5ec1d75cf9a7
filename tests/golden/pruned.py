"""Networks whose tokens leave, and machines that run them, for tests of many rooms."""

from dataclasses import replace

from hwgen.spec.arch_presets import ARCHS
from hwgen.spec.model import ModelConfig, TaskConfig

SEG = TaskConfig(name="seg", kind="segmentation", classes=3, cell=4)
DEPTH = TaskConfig(name="depth", kind="depth", classes=1, cell=8)
CLASS = TaskConfig(name="label", kind="classification", classes=10)
MINI = ModelConfig(
    name="mini",
    image_height=32,
    image_width=48,
    patch=8,
    dim=32,
    depth=2,
    heads=2,
    mlp_hidden=64,
    moe_blocks=(1,),
    experts=4,
    top_k=2,
    expert_hidden=32,
    tasks=(SEG, DEPTH),
)
TWO = replace(MINI, tasks=(CLASS,), class_token="distilled")
DENSE = replace(MINI, name="pruned-dense", depth=3, keep=((0, 0.8), (2, 0.5)))
PRUNED: dict[str, ModelConfig] = {
    model.name: model
    for model in (
        DENSE,
        replace(DENSE, name="pruned-fused", fuse=True),
        replace(
            MINI, name="pruned-class", moe_blocks=(), tasks=(CLASS,), depth=3, keep=((0, 0.7), (1, 0.5)), fuse=True
        ),
        replace(MINI, name="pruned-experts", tasks=(CLASS,), keep=((1, 0.34),), fuse=True),
        replace(MINI, name="pruned-to-one", moe_blocks=(), tasks=(CLASS,), keep=((0, 0.01),)),
        replace(MINI, name="pruned-all-but-one", tasks=(CLASS,), keep=((0, 0.8),), fuse=True),
        replace(MINI, name="pruned-nothing", keep=((0, 1.0), (1, 1.0))),
        replace(
            MINI, name="pruned-two-class-tokens", tasks=(CLASS,), class_token="distilled", keep=((0, 0.5),), fuse=True
        ),
        replace(MINI, name="pruned-mean", tasks=(CLASS,), pool="mean", keep=((1, 0.5),), fuse=True),
        replace(MINI, name="pruned-features", tasks=(replace(CLASS, kind="features", classes=32),), keep=((0, 0.5),)),
    )
}


LIST_ARCHS = {name: ARCHS[name] for name in ("sim", "sim-3x8x16", "sim-1x8x64", "sim-4x16x32", "sim-1x8x8")}
