// Writes to stdout without end, until that fails; a broken pipe is not reported.
#include <string.h>
#include <unistd.h>

int main(void) {
    char line[4096];
    memset(line, 'x', sizeof line);
    while (write(1, line, sizeof line) > 0)
        ;
    return 0;
}
