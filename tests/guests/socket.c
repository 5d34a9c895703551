// Tries every descriptor below 64 as a socket: accept, send, receive. Prints what it could do, nothing if nothing.
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <wasi/api.h>

int main(void) {
    int opened = 0;
    for (__wasi_fd_t fd = 3; fd < 64; fd++) {
        char byte = 0;
        if (send((int)fd, &byte, 1, 0) >= 0)
            opened += printf("sent on %u\n", fd);
        if (recv((int)fd, &byte, 1, 0) >= 0)
            opened += printf("received on %u\n", fd);
        __wasi_fd_t accepted;
        if (__wasi_sock_accept(fd, 0, &accepted) == 0)
            opened += printf("accepted on %u\n", fd);
    }
    return opened != 0;
}
