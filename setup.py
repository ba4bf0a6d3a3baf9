"""What a wheel carries beside the package: the YAML files and the commands, which in a clone lie beside it."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class Build(build_py):
    """An installed copy finds them in folders of its own (core/places.py); an editable one in the clone."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib, "lightloom")
        local = shutil.ignore_patterns("local")  # of one machine
        shutil.copytree("configs", package / "configs", dirs_exist_ok=True, ignore=local)
        (package / "commands").mkdir(exist_ok=True)
        for command in Path("src").glob("*.py"):
            shutil.copy(command, package / "commands")


setup(cmdclass={"build_py": Build})
