// Greets, then shows what a container gives its program: arguments, environment, and the image's own files.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const char *name = getenv("GREET");
    printf("Hello, %s!\n", name && *name ? name : "world");

    for (int i = 1; i < argc; i++)
        printf("argument %d: %s\n", i, argv[i]);

    FILE *motd = fopen("/motd.txt", "r");
    if (!motd) {
        perror("hello: /motd.txt");
        return 1;
    }
    char line[256];
    while (fgets(line, sizeof line, motd))
        fputs(line, stdout);
    return fclose(motd) == 0 && fflush(stdout) == 0 ? 0 : 1;
}
