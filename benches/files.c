// File work: FILES small files in one directory four levels down, then one large file. Prints each phase's nanoseconds.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { perror(#condition); exit(1); } } while (0)

static char block[1 << 16];

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void done(const char *phase, long long start) { printf("%s %lld\n", phase, now() - start); }

int main(int argc, char **argv) {
    CHECK(argc == 4);
    int files = atoi(argv[2]), mebibytes = atoi(argv[3]);
    char dir[256], path[300], moved[300];
    snprintf(dir, sizeof dir, "%s", argv[1]);
    for (const char *name = "/a/b/c"; *name; name += 2) {
        strncat(dir, name, 2);
        CHECK(mkdir(dir, 0777) == 0);
    }
    memset(block, 'x', sizeof block);

    long long start = now();
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof path, "%s/file-%d", dir, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
        CHECK(fd >= 0 && close(fd) == 0);
    }
    done("create", start);

    start = now();
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof path, "%s/file-%d", dir, i);
        int fd = open(path, O_WRONLY | O_TRUNC);
        CHECK(fd >= 0 && write(fd, block, 4096) == 4096 && close(fd) == 0);
    }
    done("write", start);

    start = now();
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof path, "%s/file-%d", dir, i);
        int fd = open(path, O_RDONLY);
        CHECK(fd >= 0 && read(fd, block, sizeof block) == 4096 && close(fd) == 0);
    }
    done("read", start);

    start = now();
    struct stat status;
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof path, "%s/file-%d", dir, i);
        CHECK(stat(path, &status) == 0 && status.st_size == 4096);
    }
    done("stat", start);

    start = now();
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof path, "%s/none-%d", dir, i);
        CHECK(stat(path, &status) != 0);
    }
    done("stat-missing", start);

    start = now();
    DIR *listing = opendir(dir);
    CHECK(listing);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(listing));) count += entry->d_name[0] == 'f';
    CHECK(count == files && closedir(listing) == 0);
    done("readdir", start);

    start = now();
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof path, "%s/file-%d", dir, i);
        snprintf(moved, sizeof moved, "%s/moved-%d", dir, i);
        CHECK(rename(path, moved) == 0);
    }
    done("rename", start);

    start = now();
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof path, "%s/moved-%d", dir, i);
        CHECK(unlink(path) == 0);
    }
    done("unlink", start);

    snprintf(path, sizeof path, "%s/large", dir);
    start = now();
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0666);
    CHECK(fd >= 0);
    for (int i = 0; i < mebibytes * 16; i++) CHECK(write(fd, block, sizeof block) == sizeof block);
    done("sequential-write", start);

    start = now();
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    for (int i = 0; i < mebibytes * 16; i++) CHECK(read(fd, block, sizeof block) == sizeof block);
    CHECK(close(fd) == 0);
    done("sequential-read", start);
    CHECK(unlink(path) == 0);
    for (int level = 3; level > 0; level--) {
        CHECK(rmdir(dir) == 0);
        dir[strlen(dir) - 2] = 0;
    }
    return 0;
}
