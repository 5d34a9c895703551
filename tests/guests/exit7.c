// Ends with code 7, after a line on each of stdout and stderr.
#include <stdio.h>

int main(void) {
    puts("to stdout");
    fputs("to stderr\n", stderr);
    return 7;
}
