// Uses up the stack.
#include <stdio.h>

static volatile int depth;

__attribute__((noinline)) static int down(int n) {
    volatile char frame[64];
    frame[n % 64] = (char)n;
    depth = n;
    if (n < 0)
        return 0;
    return down(n + 1) + frame[depth % 64];
}

int main(void) {
    printf("%d\n", down(0));
    return 0;
}
