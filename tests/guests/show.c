// Prints its arguments, its environment and its working directory, one to a line.
#include <stdio.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    for (int i = 0; i < argc; i++)
        printf("arg %d <%s>\n", i, argv[i]);
    for (char **entry = environ; *entry; entry++)
        printf("env <%s>\n", *entry);
    char cwd[4096];
    if (!getcwd(cwd, sizeof cwd)) {
        perror("getcwd");
        return 1;
    }
    printf("cwd <%s>\n", cwd);
    return 0;
}
