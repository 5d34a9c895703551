// Times whole processes, one run of each command in turn, so that whatever else the machine does meets all of them alike.
//
//   interleave ROUNDS NAME COMMAND... [-- NAME COMMAND...]...
//
// Prints a line for each: name, the least and the median time in microseconds, the median of processor time, and the most memory
// that one run has had, in KiB. Output of the commands goes nowhere; a command that ends with a signal or code 125 to 127 ends it all.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { COMMANDS = 32 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static double micros(struct timeval time) {
    return time.tv_sec * 1e6 + time.tv_usec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 0;
    char **commands[COMMANDS];
    int count = 0;
    for (int at = 2; at < argc && count < COMMANDS; at++) {
        commands[count++] = &argv[at];
        while (at < argc && strcmp(argv[at], "--") != 0)
            at++;
        argv[at] = NULL;
    }
    if (rounds < 1 || count == 0) {
        fputs("interleave ROUNDS NAME COMMAND... [-- NAME COMMAND...]...\n", stderr);
        return 2;
    }
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    double *wall = calloc((size_t)count * rounds, sizeof *wall);
    double *cpu = calloc((size_t)count * rounds, sizeof *cpu);
    long most[COMMANDS] = {0};
    // Two rounds more, which nobody counts.
    for (int round = -2; round < rounds; round++)
        for (int i = 0; i < count; i++) {
            struct rusage usage;
            pid_t child;
            int status;
            double start = now();
            if (posix_spawnp(&child, commands[i][1], &quiet, NULL, &commands[i][1], environ) != 0) {
                perror(commands[i][1]);
                return 1;
            }
            wait4(child, &status, 0, &usage);
            double took = now() - start;
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
            if (code >= 125) {
                fprintf(stderr, "%s: ended with status %#x\n", commands[i][0], status);
                return 1;
            }
            if (round < 0)
                continue;
            wall[i * rounds + round] = took;
            cpu[i * rounds + round] = micros(usage.ru_utime) + micros(usage.ru_stime);
            if (usage.ru_maxrss > most[i])
                most[i] = usage.ru_maxrss;
        }
    for (int i = 0; i < count; i++) {
        qsort(&wall[i * rounds], rounds, sizeof *wall, ascending);
        qsort(&cpu[i * rounds], rounds, sizeof *cpu, ascending);
        printf("%s\t%.0f\t%.0f\t%.0f\t%ld\n", commands[i][0], wall[i * rounds], wall[i * rounds + rounds / 2],
               cpu[i * rounds + rounds / 2], most[i]);
    }
    return 0;
}
