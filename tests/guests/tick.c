// Appends a line to /count and says on stdout how many there are, on stderr that it did; then sleeps for an hour.
#include <stdio.h>
#include <unistd.h>

int main(void) {
    FILE *file = fopen("/count", "a+");
    if (!file) {
        perror("/count");
        return 1;
    }
    fprintf(file, "x\n");
    rewind(file);
    int lines = 0;
    for (int byte; (byte = fgetc(file)) != EOF;)
        lines += byte == '\n';
    fclose(file);
    printf("start %d\n", lines);
    fflush(stdout);
    fprintf(stderr, "counted\n");
    sleep(3600);
    return 0;
}
