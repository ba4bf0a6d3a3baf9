"""Names that somebody's files and folders may have, and that one language or another takes for its own."""

from __future__ import annotations

SECRET = "the-value-of-a-variable"
VARIABLE = "LIGHTLOOM_TEST_SECRET"

INTERPOLATIONS = (
    f"oc.env:{VARIABLE}",
    f"environment:{VARIABLE}",
    "data.name",
    "paths.output_dir",
    "a",
    "hydra:job.name",
)
BY_LANGUAGE = {
    "OmegaConf": (
        *(f"${{{inside}}}" for inside in INTERPOLATIONS),
        *(f"{before}${{oc.env:{VARIABLE}}}" for before in ("\\", "\\\\", "x", "$")),
        *("${a", "${", "$", "???", "x???", "${oc.decode:${oc.env:" + VARIABLE + "}}", "'${a}'"),
    ),
    "YAML": ("null", "true", "~", "1e3", "0x10", "*a", "&a b", "!!python", "{a: b}", "- a", "a: b", "# a", "%YAML"),
    "rich": ("set[-b]", "photo[red]", "[bold]x[.bold]", "[link=x]y[-]", ":smile:", "[[x]]", "\\[x]"),
    "HTML": ("<img src=x onerror=alert(1)>", "<script>a<.script>", "&amp;", "&lt;", '"onclick="a'),
    "Markdown": ("`x`", "**b**", "|a|b|", "[a](javascript:b)", "_x_", "~~x~~", "1. x", "```", "]: x", "![a](b)"),
    "spreadsheet": ("=1+1", "+1+1", "-1+cmd", "@SUM(1)", "\t=1", "\r=1", "'=1", "'x", "a,b", 'a"b,"'),
    "matplotlib": ("$x$", "$\\frac{$", "_hidden", "$a$ and $"),
    "terminal": ("\x1b[31mred", "a\nb", "a\x07b", "\u202egnp", "x\x7f"),
    "format": ("%s%d", "{0}", "{name}", "%(x)s"),
    "Unicode": ("é", "日本", "x" * 120, "b\udcff", " a ", "\ufeffa"),
    "path": ("--help", "-", "javascript:a", "a b", "a%20b", "a?b#c", "~root"),
}  # fmt: skip
NAMES = tuple(dict.fromkeys(name for names in BY_LANGUAGE.values() for name in names))
