// Opens itself again and again until that fails, and says how often it worked and why no more.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    int count = 0;
    while (open(argv[0], O_RDONLY) >= 0)
        count++;
    printf("%d: %s\n", count, strerror(errno));
    return 0;
}
