"""Families of parts, each a few paths: what a copy of the project can do without, and nothing else imports."""

from __future__ import annotations

from collections.abc import Iterable

PACKAGE = "src/lightloom"
NEEDS = {"masks": ("boxes",), "gan": ("samples",), "autoencoders": ("samples",)}  # whose parts a family uses
TEXTS = ("text", "language", "translation")
FAMILIES = {
    "boxes": (
        *(f"{PACKAGE}/*/boxes", f"{PACKAGE}/*/*/boxes.py", f"{PACKAGE}/networks/detection"),
        *(
            f"{PACKAGE}/tracking/{name}.py"
            for name in ("byte_track", "light", "measures", "mot", "smoothing", "steady")
        ),
        *(f"{PACKAGE}/modules/detector.py", f"{PACKAGE}/metrics/detection.py"),
        *(f"{PACKAGE}/integrations/bolts_detectors.py", f"{PACKAGE}/reporting/templates/detections.html.jinja"),
        *(f"{PACKAGE}/ops/images/{name}.py" for name in ("colours", "segments", "selective_search")),
        *("configs/predict/boxes.yaml", "configs/smooth.yaml", "src/smooth.py", "docs/detector-for-your-video.md"),
        *("configs/proposals", "docs/rcnn.md"),
    ),
    "gan": (
        *(f"{PACKAGE}/modules/{name}.py" for name in ("acgan", "adversarial", "bigan", "bigbigan")),
        *(f"{PACKAGE}/modules/{name}.py" for name in ("conditional_gan", "gan", "vae_gan")),
        f"{PACKAGE}/networks/class_embedding.py",
        *(f"{PACKAGE}/losses/{name}.py" for name in ("adversarial", "lipschitz", "orthogonal")),
        *(f"{PACKAGE}/networks/{name}.py" for name in ("acgan", "bigan", "bigbigan", "biggan", "cgan")),
        *(f"{PACKAGE}/networks/{name}.py" for name in ("diff_augment", "goodfellow", "resnet_gan")),
        *(f"{PACKAGE}/callbacks/samples/health.py", "docs/gans-that-work.md"),
    ),
    "masks": (
        *(f"{PACKAGE}/*/masks", f"{PACKAGE}/*/*/masks.py", f"{PACKAGE}/networks/segmentation"),
        *(f"{PACKAGE}/{room}/segmentation.py" for room in ("losses", "metrics")),
        *(f"{PACKAGE}/modules/segmenter.py", "configs/predict/masks.yaml", "docs/a-mask-for-your-river.md"),
    ),
    "text": (
        *(f"{PACKAGE}/{room}/{kind}" for room in ("data", "callbacks", "predict") for kind in TEXTS),
        *(f"{PACKAGE}/predict/masked_words", f"{PACKAGE}/ops/beam_search.py", f"{PACKAGE}/metrics/bleu.py"),
        *(f"{PACKAGE}/reporting/chapters/{kind}.py" for kind in TEXTS),
        *(f"{PACKAGE}/exporting/graphs/{name}.py" for name in ("language", "masked_words", "texts", "translation")),
        *(f"{PACKAGE}/modules/{name}.py" for name in ("language_model", "masked_language_model", "writing")),
        f"{PACKAGE}/modules/translator.py",
        *(f"configs/predict/{kind}.yaml" for kind in TEXTS),
        *(f"{PACKAGE}/reporting/templates/{name}.html.jinja" for name in ("texts", "translations", "alignments")),
        *(f"{PACKAGE}/predict/rewards", f"{PACKAGE}/data/preferences", f"{PACKAGE}/reporting/chapters/preferences.py"),
        *(f"{PACKAGE}/modules/{name}.py" for name in ("dpo", "fine_tuning", "language_ppo", "reward_model")),
        *(f"{PACKAGE}/exporting/graphs/rewards.py", f"{PACKAGE}/losses/preference.py"),
        *(f"{PACKAGE}/modules/preference_measures.py", f"{PACKAGE}/reporting/chapters/policies.py"),
        f"{PACKAGE}/reporting/templates/policy.html.jinja",
        *("configs/tokens", "configs/reward", f"{PACKAGE}/data/tokens.py", f"{PACKAGE}/data/vocabulary.py"),
        f"{PACKAGE}/ops/rewards.py",
    ),
    "samples": (
        *(f"{PACKAGE}/predict/{kind}" for kind in ("reconstructions", "samples")),
        *(f"{PACKAGE}/reporting/chapters/{kind}.py" for kind in ("reconstructions", "samples")),
        *(f"{PACKAGE}/callbacks/samples/{name}.py" for name in ("by_class", "class_histogram", "filmstrip")),
        *(f"{PACKAGE}/callbacks/samples/{name}.py" for name in ("generator_average", "interpolation", "neighbours")),
        *(f"{PACKAGE}/callbacks/samples/quality.py", f"{PACKAGE}/callbacks/images/reconstructions.py"),
        *(f"{PACKAGE}/metrics/extractors.py", f"{PACKAGE}/predict/classes/features.py"),
        *("configs/extractor", "configs/predict/samples.yaml"),
    ),
    "targets": (
        *(f"{PACKAGE}/{room}/targets" for room in ("data", "predict")),
        *(f"{PACKAGE}/modules/targets.py", f"{PACKAGE}/reporting/chapters/targets.py"),
    ),
    "environments": (
        *(f"{PACKAGE}/data/environments", f"{PACKAGE}/predict/episodes"),
        *(f"{PACKAGE}/modules/environment_ppo.py", f"{PACKAGE}/reporting/chapters/environments.py"),
    ),
    "graphs": (
        *(f"{PACKAGE}/{room}/graphs" for room in ("data", "callbacks", "networks")),
        *(f"{PACKAGE}/predict/nodes", f"{PACKAGE}/modules/node_classifier.py"),
        f"{PACKAGE}/reporting/chapters/graphs.py",
    ),
    "text_images": (
        *(f"{PACKAGE}/*/text_images", f"{PACKAGE}/*/*/text_images.py", f"{PACKAGE}/networks/recognition"),
        *(f"{PACKAGE}/{room}/text_recognition.py" for room in ("losses", "metrics")),
        *(f"{PACKAGE}/modules/text_reader.py", f"{PACKAGE}/ops/ctc.py", "configs/predict/text_images.yaml"),
    ),
    "signals": (f"{PACKAGE}/*/signals", f"{PACKAGE}/*/*/signals.py", f"{PACKAGE}/networks/signal_autoencoder.py"),
    "autoencoders": (f"{PACKAGE}/modules/autoencoder.py", f"{PACKAGE}/modules/vae.py"),
    "bolts": (f"{PACKAGE}/integrations/bolts*.py", "docs/lightning-bolts.md"),
    "sweeps": (f"{PACKAGE}/sweeps", "src/sweep.py", "configs/sweep.yaml", "configs/sweep", "docs/sweeps.md"),
    "export": (f"{PACKAGE}/exporting", "src/export.py", "configs/export.yaml", "docs/export.md"),
    "trackers": (f"{PACKAGE}/integrations/trackers.py",),
    "serve": (
        *(
            f"{PACKAGE}/serve",
            f"{PACKAGE}/predict/web.py",
            f"{PACKAGE}/predict/*/web.py",
            f"{PACKAGE}/predict/pictures",
        ),
        *("src/serve.py", "configs/serve.yaml", "docs/serve.md", "docs/on-a-small-cloud-server.md"),
    ),
}


def with_needed(families: Iterable[str]) -> set[str]:
    """These families and those whose parts they use."""
    found = set(families)
    while more := {need for family in found for need in NEEDS.get(family, ())} - found:
        found |= more
    return found


def with_users(families: Iterable[str]) -> set[str]:
    """These families and those that cannot be without them."""
    found = set(families)
    while more := {user for user, needs in NEEDS.items() if found & {*needs}} - found:
        found |= more
    return found
