"""How a running overlay is reached: a local socket that takes one word and answers with one line."""

from __future__ import annotations

import getpass

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

ANSWER_MS = 2000  # a running overlay may take
HERE = "here"  # asks only whether there is one


def tell(order: str) -> bool:
    """Tells the running overlay; false if there is none."""
    socket = QLocalSocket()
    socket.connectToServer(_name())
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
        """Listens; of two that start at once one may not be reached later."""
        super().__init__()
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._welcome)
        QLocalServer.removeServer(_name())  # of an overlay that was killed: nobody has answered there
        self._server.listen(_name())

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


def _name() -> str:
    return f"granite-stream-overlay-{getpass.getuser()}"
