"""Data with which the models of a task are built though none of it is read: all facts are given; else digits."""

DATA = {
    "detection": ("data=digit_scenes", "data.image_size=64"),
    "signal_reconstruction": ("data=signals",),
    "segmentation": ("data=river_scenes",),
    "text_recognition": ("data=captchas", "data.num_symbols=32", "data.min_length=6"),
    "text_classification": ("data=reviews_toy", "data.vocab_size=9", "data.num_classes=2"),
    "tagging": ("data=digit_tags",),
    "regression": (
        "data=digit_counts",
        "data.target_mean=[0,0,0,0,0,0,0,0,0,0]",
        "data.target_std=[1,1,1,1,1,1,1,1,1,1]",
    ),
    "language_modelling": ("data=tales", "data.vocab_size=40"),
    "supervised_fine_tuning": ("data=deeds", "data.vocab_size=39"),
    "reward_modelling": ("data=deed_preferences", "data.vocab_size=39"),
    "preference_optimization": ("data=deed_preferences", "data.vocab_size=39"),
    "masked_language_modelling": ("data=reviews_toy", "data.vocab_size=9", "data.num_classes=2"),
    "translation": ("data=phrasebook", "data.vocab_size=40"),
    "node_classification": ("data=communities",),
    "control": ("data=grid",),
    "reward_maximization": ("data=deed_prompts", "data.vocab_size=39"),
}

LESS = {  # options of models that take long, by which they do the same with less arithmetic
    "fast_rcnn": ("data.proposals.longest=64", "data.proposals.most=30"),
    "rcnn": ("data.proposals.longest=64", "data.proposals.most=30", "model.network.crop_size=32"),
}
