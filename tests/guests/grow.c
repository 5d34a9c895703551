// Takes memory and writes to all of it, a megabyte a step. "grow N" stops after N megabytes and says so; "grow N exit" ends with
// code 3 when it gets no more, "grow N abort" by a trap, and "grow N wait" reads standard input then, holding what it has.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    long want = argc > 1 ? atol(argv[1]) : 0;
    const char *then = argc > 2 ? argv[2] : "exit";
    long got = 0;
    for (; got < want; got++) {
        // Volatile, so that the compiler does not see that nobody reads it.
        char *volatile piece = malloc(1 << 20);
        if (!piece)
            break;
        memset(piece, 1, 1 << 20);
    }
    printf("%s\n", got == want ? "got all" : "refused");
    fflush(stdout);
    if (!strcmp(then, "wait"))
        getchar();
    if (got == want)
        return 0;
    if (!strcmp(then, "abort"))
        abort();
    return 3;
}
