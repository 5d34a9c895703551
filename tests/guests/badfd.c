// Calls the host with descriptors, pointers and lengths that cannot be right. Every call must be refused with an
// error number, and the guest goes on living. The first argument chooses one wild pointer, which may trap instead.
#include <stdio.h>
#include <string.h>
#include <wasi/api.h>

int main(int argc, char **argv) {
    __wasi_size_t done;
    char byte;
    __wasi_ciovec_t out = {.buf = (const uint8_t *)&byte, .buf_len = 1};
    __wasi_iovec_t in = {.buf = (uint8_t *)&byte, .buf_len = 1};
    const __wasi_fd_t wrong[] = {99, 0x7fffffff, 0xffffffff};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (__wasi_fd_write(wrong[i], &out, 1, &done) == 0 || __wasi_fd_read(wrong[i], &in, 1, &done) == 0 ||
            __wasi_fd_close(wrong[i]) == 0 || __wasi_fd_renumber(wrong[i], 1) == 0) {
            printf("descriptor %u was accepted\n", wrong[i]);
            return 1;
        }
    }
    if (argc > 1 && strcmp(argv[1], "wild") == 0) {
        __wasi_ciovec_t wild = {.buf = (const uint8_t *)0xfffffff0, .buf_len = 0x7fffffff};
        if (__wasi_fd_write(1, &wild, 1, &done) == 0) {
            puts("a wild pointer was accepted");
            return 1;
        }
    }
    puts("all refused");
    return 0;
}
