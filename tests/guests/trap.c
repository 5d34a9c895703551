// Traps, after a line on stdout.
#include <unistd.h>

int main(void) {
    write(1, "before\n", 7);
    __builtin_trap();
}
