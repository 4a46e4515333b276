"""How a running overlay is reached: a local socket that takes one word and answers with one line."""

from __future__ import annotations

import getpass
import os

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

ANSWER_MS = 2000  # a running overlay may take
HERE = "here"  # asks only whether there is one


def tell(order: str) -> bool:
    """Tells the running overlay; false if there is none."""
    socket = QLocalSocket()
    socket.connectToServer(socket_name())
    if not socket.waitForConnected(ANSWER_MS):
        return False
    socket.write(f"{order}\n".encode())
    socket.waitForBytesWritten(ANSWER_MS)
    socket.waitForReadyRead(ANSWER_MS)
    socket.disconnectFromServer()
    return True


class Control(QObject):
    """The running overlay's end."""

    ordered = Signal(str)

    def __init__(self) -> None:
        """Listens; `reachable` says whether anybody will get through: the name may be taken."""
        super().__init__()
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._welcome)
        QLocalServer.removeServer(socket_name())  # of an overlay that was killed: nobody has answered there
        self.reachable = self._server.listen(socket_name())

    def _welcome(self) -> None:
        socket = self._server.nextPendingConnection()
        socket.readyRead.connect(lambda: self._take(socket))
        socket.disconnected.connect(socket.deleteLater)

    def _take(self, socket: QLocalSocket) -> None:
        if socket.canReadLine():
            order = bytes(socket.readLine().data()).decode(errors="replace").strip()
            socket.write(b"ok\n")
            socket.flush()
            if order != HERE:
                self.ordered.emit(order)


def socket_name() -> str:
    """Where the running overlay is reached."""
    name = f"granite-stream-overlay-{getpass.getuser()}"
    folder = os.environ.get("XDG_RUNTIME_DIR")  # this user's own; in the one for all, another could take the name
    return f"{folder}/{name}" if folder else name
