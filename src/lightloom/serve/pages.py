"""The page of a model, made of what its capabilities say of themselves, in English or Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightloom.reporting.render import render

FOLDER = Path(__file__).parent / "page"
LANGUAGES = {"en": "English", "zh": "中文"}
WORDS: dict[str, tuple[str, str]] = {
    "model": ("Model", "模型"),
    "loading": ("The model is being loaded ...", "正在加载模型……"),
    "trained": ("trained on", "训练数据"),
    "able": ("What to do", "功能"),
    "choose": ("Choose a file, or drop one here", "选择文件，或拖放到此处"),
    "choose_film": ("a picture, several, or a film", "一张或多张图片，或一段视频"),
    "choose_picture": ("a picture, or several", "一张或多张图片"),
    "text": ("Text", "文本"),
    "go": ("Go", "开始"),
    "camera": ("Camera", "摄像头"),
    "stop": ("Stop", "停止"),
    "result": ("Result", "结果"),
    "nothing": ("Nothing was found.", "没有检测到任何内容。"),
    "no_text": ("(no text)", "（无文字）"),
    "working": ("Working ...", "处理中……"),
    "opacity": ("opacity", "不透明度"),
    "insecure": (
        "Browsers give the camera to https pages only, or to pages of this very machine: start the server with "
        "ssl=self, or open it at localhost.",
        "浏览器只允许 https 页面或本机页面使用摄像头：请用 ssl=self 启动服务，或通过 localhost 打开。",
    ),
    "denied": ("The browser gives no camera", "浏览器未提供摄像头"),
    "full": ("Too many cameras are on; try again later.", "正在使用的摄像头过多，请稍后再试。"),
    "lost": ("The connection ended.", "连接已断开。"),
    "offline": ("The server does not answer.", "服务器没有响应。"),
    "cancel": ("Cancel", "取消"),
    "waiting": ("waits for its turn", "排队中"),
    "running": ("frames", "帧"),
    "left": ("s left", "秒剩余"),
    "done": ("Done", "完成"),
    "cancelled": ("Cancelled.", "已取消。"),
    "interrupted": ("Interrupted: the server was stopped.", "已中断：服务器曾被停止。"),
    "failed": ("Failed", "失败"),
    "films": ("Films", "视频任务"),
    "fps": ("pictures/s", "帧/秒"),
    "score": ("score", "得分"),
    "number": ("number", "编号"),
    "class": ("class", "类别"),
    "probability": ("probability", "概率"),
}
ERRORS: dict[str, str] = {  # Chinese, by code; English is what the server says
    "empty": "没有收到数据，请发送图片。",
    "no_picture": "无法识别为图片，请使用完整的 JPEG、PNG、WebP、GIF、BMP 或 TIFF 文件。",
    "too_many_pixels": "图片像素过多，请缩小后再试。",
    "too_thin": "图片过于狭长，请裁剪后再试。",
    "too_large": "文件过大。",
    "too_slow": "上传过慢，已放弃。",
    "busy": "等待的任务过多，请几秒后再试。",
    "bad_field": "某个选项超出范围。",
    "refused": "模型不接受此输入的尺寸或格式。",
    "token": "需要令牌。",
    "bad_text": "需要非空的 UTF-8 文本，且不能过长。",
    "no_such_model": "没有这个模型。",
    "not_served": "此模型无法提供服务，原因见服务器日志。",
    "no_room": "内存不足以加载另一个模型，请稍后再试。",
    "no_model": "现在无法加载处理此视频的模型。",
    "no_film": "无法识别为视频。",
    "too_long": "视频过长。",
    "no_memory": "内存不足，请缩小输入或稍后再试。",
    "model_died": "模型处理此输入时中断，正在重启。",
    "failed": "服务器出错。",
}


def language(asked: str | None, accepted: str) -> str:
    """The page's: what the address says, or else what the browser prefers."""
    if asked in LANGUAGES:
        return str(asked)
    first = accepted.partition(",")[0].strip().lower()
    return "zh" if first.startswith("zh") else "en"


def page(name: str, model: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], lang: str) -> str:
    """The HTML of the page of the model of this name. known: each that can be chosen, as /api/v1/models tells it."""
    place = list(LANGUAGES).index(lang)
    words = {name: both[place] for name, both in WORDS.items()}
    told = {
        "model": name,
        "able": model["able"],
        "words": words,
        "errors": ERRORS if lang == "zh" else {},
        "lang": lang,
    }
    shown = {"name": name, "model": model, "known": known, "words": words, "told": told}
    return render("page.html.jinja", folder=FOLDER, **shown, lang=lang, languages=LANGUAGES)


def docs(schema: Mapping[str, Any]) -> str:
    """The API for a person to read, without a network."""
    return render("docs.html.jinja", folder=FOLDER, schema=schema)
