"""Power modes by name, from nvpmodel's own files: /etc/nvpmodel.conf and /var/lib/nvpmodel/status. Ids differ by board."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from posetrt.runtime.errors import UsageError


@dataclass(frozen=True)
class PowerModes:
    """The modes that this board has.

    Attributes:
        names: id → name, in the order of the ids.
        current_id: in force; None where neither status nor default tells it.
    """

    names: Mapping[int, str]
    current_id: int | None

    @property
    def current(self) -> str | None:
        """Name of the mode in force; "mode 9" where its id is not in the configuration."""
        if self.current_id is None:
            return None
        return self.names.get(self.current_id, f"mode {self.current_id}")

    def id_of(self, name: str) -> int:
        """Id of a mode, whose name may be written in any case.

        Raises:
            UsageError: this board has no such mode.
        """
        for number, known in self.names.items():
            if known.casefold() == name.casefold():
                return number
        raise UsageError(f"this board has no power mode {name!r}; its modes are {', '.join(self.names.values()) or 'not known'}")


def read_power_modes(root: Path = Path("/")) -> PowerModes | None:
    """Modes of the board; None where nvpmodel is not configured.

    `/etc/nvpmodel.conf` is a link to `/etc/nvpmodel/nvpmodel_pNNNN….conf`; in it, `< POWER_MODEL ID=2 NAME=MAXN_SUPER >` begins
    a mode and `< PM_CONFIG DEFAULT=1 >` names the one taken at first boot. The status file holds `pmode:0002`, followed by
    `fmode:…` on some releases.
    """
    try:
        text = (root / "etc/nvpmodel.conf").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    live = "\n".join(line.partition("#")[0] for line in text.splitlines())
    names: dict[int, str] = {}
    for declaration in re.findall(r"<\s*POWER_MODEL\s+([^>]*)>", live):
        fields = dict(re.findall(r"(\w+)\s*=\s*([^\s=]+)", declaration))
        if fields.get("ID", "").isdigit() and "NAME" in fields:
            names[int(fields["ID"])] = fields["NAME"]
    try:
        status = (root / "var/lib/nvpmodel/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        status = ""
    found = re.search(r"pmode:\s*(\d+)", status) or re.search(r"<\s*PM_CONFIG\s+DEFAULT\s*=\s*(\d+)", live)
    return PowerModes(dict(sorted(names.items())), int(found[1]) if found else None)
