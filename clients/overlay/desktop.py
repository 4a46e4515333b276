"""What this desktop allows, found out before Qt is started: Qt ends the program where it finds no display."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from pathlib import Path

from model.errors import GraniteStreamError

PAGE = "or open the page /overlay of a daemon instead"
UNREACHABLE = "the display {!r} cannot be opened; start it within a desktop session"
LIBRARIES = "apt install libegl1 libxkbcommon-x11-0 libdbus-1-3 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1"


class DesktopError(GraniteStreamError):
    """No window can be shown here."""


def prepare() -> str:
    """Chooses how Qt reaches the desktop; gives what cannot be had there, in one line, or nothing.

    Raises:
        DesktopError: there is no desktop, or Qt cannot reach it.
    """
    if sys.platform == "darwin":
        return ""
    if "QT_QPA_PLATFORM" not in os.environ and os.environ.get("DISPLAY"):
        # Under Wayland too: no Wayland window may choose its place or stay on top, those of XWayland may.
        os.environ["QT_QPA_PLATFORM"] = "xcb"
    platform = os.environ.get("QT_QPA_PLATFORM", "wayland").partition(";")[0].partition(":")[0]
    if platform == "xcb":
        _check_x11()
    elif platform.startswith("wayland"):
        _check_wayland()
        there = bool(os.environ.get("DISPLAY"))
        way = "run it under XWayland (QT_QPA_PLATFORM=xcb)" if there else "install XWayland (apt install xwayland)"
        return f"Wayland lets no program place its window or keep it on top; {way}, {PAGE}"
    return ""


def libraries_missing(error: Exception) -> DesktopError:
    """For an import of Qt, or a load of its parts, that failed."""
    if isinstance(error, ModuleNotFoundError):
        return DesktopError("the overlay needs PySide6; pip install 'granite-stream[overlay]'")
    name = str(error).partition(":")[0]
    return DesktopError(f"the overlay needs {name}; {LIBRARIES} (Debian, Ubuntu)")


def is_composited() -> bool:
    """Whether windows may be translucent. On X11 that takes another program, which need not run."""
    if os.environ.get("QT_QPA_PLATFORM") != "xcb":
        return True
    x11 = _x11()
    display = x11 and x11.XOpenDisplay(None)
    if not (x11 and display):
        return True
    name = f"_NET_WM_CM_S{x11.XDefaultScreen(display)}".encode()
    owner = x11.XGetSelectionOwner(display, x11.XInternAtom(display, name, 0))
    x11.XCloseDisplay(display)
    return bool(owner)


def _check_wayland() -> None:
    name = os.environ.get("WAYLAND_DISPLAY", "")
    if not name:
        raise DesktopError("there is no display; start it within a desktop session, or set DISPLAY")
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(str(Path(os.environ.get("XDG_RUNTIME_DIR", ""), name)))
        except OSError:
            raise DesktopError(UNREACHABLE.format(name)) from None


def _check_x11() -> None:
    import PySide6

    plugin = Path(str(PySide6.__file__)).parent / "Qt" / "plugins" / "platforms" / "libqxcb.so"
    if plugin.exists():
        try:
            ctypes.CDLL(str(plugin))
        except OSError as error:
            raise libraries_missing(error) from None
    if x11 := _x11():
        display = x11.XOpenDisplay(None)
        if not display:
            raise DesktopError(UNREACHABLE.format(os.environ.get("DISPLAY", "")))
        x11.XCloseDisplay(display)


def _x11() -> ctypes.CDLL | None:
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return None  # Qt brings its own way
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XOpenDisplay.argtypes = [ctypes.c_char_p]
    x11.XDefaultScreen.argtypes = x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    x11.XInternAtom.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    x11.XInternAtom.restype = x11.XGetSelectionOwner.restype = ctypes.c_ulong
    x11.XGetSelectionOwner.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
    return x11
