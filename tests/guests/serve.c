// Takes connections from the ports that it finds open, which LISTEN_FDS counts from descriptor 3, and answers each line
// with the line and the contents of the file /a.txt. Arguments: how many connections to take, and from which of the ports.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wasi/api.h>

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 1;
    int fd = 3 + (argc > 2 ? atoi(argv[2]) : 0);
    const char *ports = getenv("LISTEN_FDS");
    printf("ports %s\n", ports ? ports : "none");
    fflush(stdout);
    for (int i = 0; i < count; i++) {
        // Nobody has come yet, or somebody has: both must come to an end.
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, 10000) != 1 || !(wait.revents & POLLIN)) {
            printf("poll: %d %x\n", errno, wait.revents);
            return 1;
        }
        __wasi_fd_t peer;
        __wasi_errno_t failed = __wasi_sock_accept((__wasi_fd_t)fd, 0, &peer);
        if (failed) {
            printf("accept: %d\n", failed);
            return 1;
        }
        char line[256];
        ssize_t len = recv((int)peer, line, sizeof line, 0);
        if (len < 0) {
            printf("recv: %s\n", strerror(errno));
            return 1;
        }
        char answer[512];
        memcpy(answer, line, (size_t)len);
        FILE *file = fopen("/a.txt", "r");
        size_t rest = file ? fread(answer + len, 1, sizeof answer - (size_t)len, file) : 0;
        if (send((int)peer, answer, (size_t)len + rest, 0) < 0 || shutdown((int)peer, SHUT_WR) < 0) {
            printf("send: %s\n", strerror(errno));
            return 1;
        }
        close((int)peer);
    }
    return 0;
}
